#!/usr/bin/env bash
# lean: program=pi overhead=2800 proven=0.73.1 writes=~/.pi/
# pi (@mariozechner/pi-coding-agent)
. "$(dirname "$0")/_lib.bash"
begin pi 'npm install -g @mariozechner/pi-coding-agent' "$@"
need_server

args=(-p --mode json --no-session --offline)
export PI_TELEMETRY=0 PI_OFFLINE=1
if own; then
  export PI_CODING_AGENT_DIR=$tmp LEAN_API_KEY=${key:-not-needed}
  compat='"compat": {"supportsDeveloperRole": false, "supportsReasoningEffort": false, "supportsStore": false}'
  printf '{"providers": {"lean": {"baseUrl": %s, "api": "openai-completions", "apiKey": "LEAN_API_KEY", %s, "models": [{"id": %s}]}}}\n' \
    "$(quote "${url:-https://api.openai.com/v1}")" "$compat" "$(quote "$model")" >"$tmp/models.json"
  printf '{"retry": {"enabled": false}, "compaction": {"enabled": false}}\n' >"$tmp/settings.json"
  args+=(--provider lean)
fi
[ -z "$model" ] || args+=(--model "$model")
[ "${LEAN_CONTEXT_FILES:-0}" = 1 ] || args+=(--no-context-files)

case $lean/$mode/$approval in
1/ask/*) args+=(--no-tools) ;;
1/*) args+=(--tools read,edit,write) ;;
*/ask/*) args+=(--tools read,grep,find,ls) ;;
*/edit) args+=(--tools read,edit,write,grep,find,ls) ;;
esac
[ "$lean" != 1 ] || args+=(--system-prompt "$system" --no-skills --no-extensions --no-prompt-templates --no-themes)

pieces='^[{]"type":"(message_update|tool_execution_update)"'
watch pi "${args[@]}"
answers=$(grep '^{"type":"message_end","message":{"role":"assistant"' "$log")
count() { printf '%s\n' "$answers" | total "$1"; }
used "$(printf '%s' "$answers" | grep -c .)" $(($(count input) + $(count cacheRead) + $(count cacheWrite))) "$(count output)" "$(count cacheRead)"
error=$(printf '%s\n' "$answers" | tail -n 1 | text errorMessage)
[ "$code" = 0 ] && [ -z "$error" ] && [ -n "$answers" ] || fail "$error"
printf '%s\n' "$answers" | tail -n 1 | text text
