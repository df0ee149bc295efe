#!/usr/bin/env bash
# lean: program=opencode overhead=5400 proven=1.18.33 writes=~/.config/opencode/,~/.local/share/opencode/,~/.local/state/opencode/,~/.cache/opencode/,$XDG_CONFIG_HOME/opencode/,$XDG_DATA_HOME/opencode/,$XDG_STATE_HOME/opencode/,$XDG_CACHE_HOME/opencode/
# opencode (opencode-ai)
. "$(dirname "$0")/_lib.bash"
begin opencode 'npm install -g opencode-ai' "$@"
need_server

args=(run --pure --print-logs --log-level ERROR --format json --title lean-loop)
export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1
export OPENCODE_DISABLE_DEFAULT_PLUGINS=1 OPENCODE_DISABLE_TERMINAL_TITLE=1
export OPENCODE_DB=:memory: npm_config_cache=$tmp/npm npm_config_offline=true # it installs plugins by npm otherwise
config='"autoupdate": false, "share": "disabled", "snapshot": false, "lsp": false, "formatter": false'

if own; then
  export XDG_CONFIG_HOME=$tmp XDG_DATA_HOME=$tmp XDG_STATE_HOME=$tmp XDG_CACHE_HOME=$tmp LEAN_API_KEY=${key:-not-needed}
  options='"baseURL": '$(quote "${url:-https://api.openai.com/v1}")', "apiKey": "{env:LEAN_API_KEY}", "chunkTimeout": '${LEAN_IDLE:-120}000
  limit='"limit": {"context": '${LEAN_CONTEXT_TOKENS:-0}', "output": '${LEAN_MAX_OUTPUT_TOKENS:-8192}'}'
  config+=', "provider": {"lean": {"npm": "@ai-sdk/openai-compatible", "options": {'$options'},
    "models": {'$(quote "$model")': {'$limit'}}}}'
  model=lean/$model
fi
[ -z "$model" ] || args+=(-m "$model")

case $lean/$mode/$approval in
1/ask/*) allowed='"*": "deny"' ;;
1/*) allowed='"*": "deny", "read": "allow", "edit": "allow"' ;;
*/ask/*) allowed='"*": "allow", "bash": "deny", "edit": "deny", "task": "deny", "todowrite": "deny"' ;;
*/edit) allowed='"*": "allow", "bash": "deny", "task": "deny"' ;;
*) allowed='"*": "allow"' ;;
esac
agent='"mode": "primary", "permission": {'$allowed'}'
[ "$lean" != 1 ] || agent+=', "prompt": '$(quote "$system")
[ -z "${LEAN_TEMPERATURE:-}" ] || agent+=', "temperature": '$LEAN_TEMPERATURE
config+=', "agent": {"lean-loop": {'$agent'}}'
[ "${LEAN_CONTEXT_FILES:-0}" = 1 ] || export OPENCODE_DISABLE_PROJECT_CONFIG=1 OPENCODE_DISABLE_CLAUDE_CODE=1
export OPENCODE_CONFIG_CONTENT="{$config}"

retry='stream error'
watch opencode "${args[@]}" --agent lean-loop
steps=$(grep '"type":"step_finish"' "$log")
count() { printf '%s\n' "$steps" | total "$1"; }
used "$(printf '%s' "$steps" | grep -c step_finish)" $(($(count input) + $(count read) + $(count write))) "$(count output)" "$(count read)"
errors=$(grep '"type":"error"' "$log" | tail -n 1)
[ "$code" = 0 ] && [ -z "$errors" ] && [ -n "$steps" ] || fail "$(printf '%s' "$errors" | text message)"
grep '"type":"text"' "$log" | text text
