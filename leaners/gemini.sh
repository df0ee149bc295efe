#!/usr/bin/env bash
# lean: program=gemini overhead=6400 proven=0.61.0 writes=~/.gemini/
# Gemini CLI (@google/gemini-cli)
. "$(dirname "$0")/_lib.bash"
begin gemini 'npm install -g @google/gemini-cli' "$@"

args=(-o stream-json --skip-trust -e none)
[ -z "$model" ] || args+=(-m "$model")
settings='"general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false, "maxAttempts": 1},
  "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}'
mkdir "$tmp/.gemini" && login=gemini-api-key
if own; then
  export GEMINI_API_KEY=${key:-not-needed}
  unset GOOGLE_API_KEY GOOGLE_GENAI_USE_VERTEXAI GOOGLE_GENAI_USE_GCA
  [ -z "$url" ] || export GOOGLE_GEMINI_BASE_URL=${url%/v1}
else # the login's files are linked, so that no session is kept beside them
  for file in "${GEMINI_CLI_HOME:-$HOME}"/.gemini/*; do
    case $file in
    */settings.json) login=$(text selectedType <"$file") ;;
    */GEMINI.md) [ "${LEAN_CONTEXT_FILES:-0}" != 1 ] || ln -s "$file" "$tmp/.gemini/" ;;
    *) [ ! -f "$file" ] || ln -s "$file" "$tmp/.gemini/" ;;
    esac
  done
fi
settings+=', "security": {"auth": {"selectedType": '$(quote "$login")'}}'
export GEMINI_CLI_HOME=$tmp

case $mode/$approval in
ask/*) args+=(--approval-mode plan) ;;
*/edit) args+=(--approval-mode auto_edit) ;;
*) args+=(--approval-mode "$approval") ;;
esac
if [ "$lean" = 1 ]; then
  printf '%s\n' "$system" >"$tmp/system.md"
  export GEMINI_SYSTEM_MD=$tmp/system.md
  tools='"read_file", "replace", "write_file"'
  [ "$mode" != ask ] || tools='"none"'
  settings+=', "tools": {"core": ['$tools']}, "skills": {"enabled": false}, "mcp": {"allowed": ["none"]}, "context": {"includeDirectoryTree": false'
else
  settings+=', "context": {"includeDirectoryTree": true'
  [ "$mode" != ask ] || settings='"tools": {"exclude": ["replace", "write_file", "run_shell_command", "enter_plan_mode", "exit_plan_mode"]}, '$settings
fi
printf '{%s}}\n' "$settings" >"$tmp/.gemini/settings.json"
if [ "${LEAN_CONTEXT_FILES:-0}" != 1 ]; then # no setting keeps it from reading GEMINI.md
  echo 'const fs = require("fs").promises, access = fs.access
    fs.access = (path, mode) => access(/GEMINI\.md$/.test(path) ? "" : path, mode)' >"$tmp/hide.cjs"
  export NODE_OPTIONS="${NODE_OPTIONS:-} --require \"$tmp/hide.cjs\""
fi

reachable >/dev/null || stop 75 "gemini: no server answers at $url."
watch gemini "${args[@]}"
result=$(grep '"type":"result"' "$log" | tail -n 1)
count() { printf '%s' "$result" | first "$1"; }
turns=$(grep -oE '"(type":"tool_use|type":"tool_result)' "$log" | uniq | grep -c tool_use)
used $((turns + 1)) "$(count input_tokens)" "$(count output_tokens)" "$(count cached)"
case $code/$result in
0/*'"status":"success"'*) ;;
*) fail "$(printf '%s' "$result" | text message)" ;;
esac
grep '"role":"assistant"' "$log" | text content
