#!/usr/bin/env bash
# lean: program=qwen overhead=6800 proven=0.24.4 writes=~/.qwen/
# Qwen Code (@qwen-code/qwen-code)
. "$(dirname "$0")/_lib.bash"
begin qwen 'npm install -g @qwen-code/qwen-code' "$@"
need_server

args=(--openai-logging --openai-logging-dir "$tmp/api" -o stream-json --include-partial-messages --chat-recording false)
[ -z "$model" ] || args+=(-m "$model")
export QWEN_CODE_DISABLE_CRON=1 QWEN_CODE_DISABLE_ARTIFACT=1 QWEN_CODE_NO_RELAUNCH=1 QWEN_CODE_SUPPRESS_YOLO_WARNING=1 QWEN_USAGE_STATISTICS_ENABLED=false QWEN_TELEMETRY_ENABLED=false
[ -z "${LEAN_MAX_OUTPUT_TOKENS:-}" ] || export QWEN_CODE_MAX_OUTPUT_TOKENS=$LEAN_MAX_OUTPUT_TOKENS

generation='"maxRetries": 0'
[ -z "${LEAN_TEMPERATURE:-}" ] || generation+=", \"samplingParams\": {\"temperature\": $LEAN_TEMPERATURE}"
[ -z "${LEAN_EXTRA_BODY:-}" ] || generation+=", \"extra_body\": $LEAN_EXTRA_BODY"
printf '{"general": {"enableAutoUpdate": false}, "model": {"generationConfig": {%s}}}\n' "$generation" >"$tmp/settings.json"
if own; then
  export QWEN_HOME=$tmp OPENAI_API_KEY=${key:-not-needed} OPENAI_BASE_URL=$url
  [ -n "$url" ] || unset OPENAI_BASE_URL
  args+=(--auth-type openai)
else
  export QWEN_CODE_SYSTEM_SETTINGS_PATH=$tmp/settings.json
fi

shell=run_shell_command
extras="$shell get_goal update_goal notebook_edit"
more='agent glob grep_search list_agents skill tool_call tool_search enter_worktree exit_worktree loop_wakeup monitor
  read_mcp_resource report_findings send_message task_stop web_fetch zoom_image' # those that --bare has not
case $mode/$lean/$approval in
ask/1/*) banned="$extras $more read_file edit write_file" ;;
ask/*) approval=plan banned="$shell edit write_file notebook_edit" ;;
*/1/*) banned="$extras $more" ;;
*/edit) banned=$shell ;;
*) banned= ;;
esac
[ "$approval" != edit ] || approval=auto-edit
args+=(--approval-mode "$approval")
[ -z "$banned" ] || args+=(--exclude-tools $banned)
if [ "$lean" = 1 ]; then
  with_context QWEN.md
  args+=(--system-prompt "$system")
  if own; then args+=(--bare); else args+=(--safe-mode); fi # --bare reads no login
elif [ "${LEAN_CONTEXT_FILES:-0}" != 1 ]; then
  args+=(--safe-mode)
fi

pieces='"type":"stream_event"'
watch qwen "${args[@]}"
result=$(grep '"type":"result"' "$log" | tail -n 1)
count() { printf '%s' "$result" | first "$1"; }
used "$(count num_turns)" "$(count input_tokens)" "$(count output_tokens)" "$(count cache_read_input_tokens)"
said=$(printf '%s' "$result" | text result)
case $code/$result in
0/ | 0/*'"is_error":true'* | [1-9]*) fail "$(printf '%s' "$result" | text message)" ;;
esac
printf '%s\n' "$said"
