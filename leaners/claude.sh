#!/usr/bin/env bash
# lean: program=claude overhead=2700 proven=2.1.332 writes=~/.claude/,~/.claude.json
# Claude Code (@anthropic-ai/claude-code)
. "$(dirname "$0")/_lib.bash"
begin claude 'npm install -g @anthropic-ai/claude-code' "$@"

tools=Read,Edit,Write
args=(-p --output-format stream-json --verbose --include-partial-messages --no-session-persistence --strict-mcp-config)
[ -z "$model" ] || args+=(--model "$model")
export DISABLE_TELEMETRY=1 DISABLE_ERROR_REPORTING=1 DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
export CLAUDE_CODE_MAX_RETRIES=1
[ -z "${LEAN_MAX_OUTPUT_TOKENS:-}" ] || export CLAUDE_CODE_MAX_OUTPUT_TOKENS=$LEAN_MAX_OUTPUT_TOKENS

if own; then # --bare reads no login
  export CLAUDE_CONFIG_DIR=$tmp ANTHROPIC_API_KEY=${key:-not-needed}
  unset ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN
  [ -z "$url" ] || export ANTHROPIC_BASE_URL=${url%/v1}
fi

case $mode/$approval in
ask/*) tools= ; [ "$lean" = 1 ] || args+=(--permission-mode plan --disallowedTools Edit Write NotebookEdit Bash) ;;
*/edit) args+=(--permission-mode acceptEdits --disallowedTools Bash) ;;
*/yolo) # root may not bypass permissions
  if [ "$(id -u)" = 0 ]; then args+=(--permission-mode acceptEdits --allowedTools Bash WebFetch); else args+=(--dangerously-skip-permissions); fi ;;
*) args+=(--permission-mode "$approval") ;;
esac

if [ "$lean" = 1 ]; then
  with_context CLAUDE.md
  args+=(--tools "$tools" --system-prompt "$system" --disable-slash-commands)
  if own; then args+=(--bare); else args+=(--safe-mode); fi
fi
[ "${LEAN_CONTEXT_FILES:-0}" = 1 ] || export CLAUDE_CODE_DISABLE_CLAUDE_MDS=1 CLAUDE_CODE_DISABLE_AUTO_MEMORY=1

pieces='"type":"stream_event"'
watch claude "${args[@]}"
result=$(grep '"type":"result"' "$log" | tail -n 1)
count() { printf '%s' "$result" | first "$1"; }
cached=$(count cache_read_input_tokens)
used "$(count num_turns)" $(($(count input_tokens) + cached + $(count cache_creation_input_tokens))) "$(count output_tokens)" "$cached"
said=$(printf '%s' "$result" | text result)
case $code/$result in
0/ | 0/*'"is_error":true'* | [1-9]*) fail "$said" ;;
esac
printf '%s\n' "$said"
