#!/usr/bin/env bash
# lean: program=codex overhead=2600 proven=0.171.0 writes=~/.codex/,$CODEX_HOME
# Codex (@openai/codex)
. "$(dirname "$0")/_lib.bash"
begin codex 'npm install -g @openai/codex' "$@"

args=(exec --json --ephemeral --skip-git-repo-check --color never)
set_() { args+=(-c "$1=$2"); }
export LEAN_API_KEY=${key:-not-needed}
if own; then
  need_server
  export CODEX_HOME=$tmp
  set_ model_provider '"lean"'
  set_ model_providers.lean "{name = \"lean\", base_url = $(quote "${url:-https://api.openai.com/v1}"), env_key = \"LEAN_API_KEY\",
    wire_api = \"responses\", request_max_retries = 1, stream_max_retries = 0, stream_idle_timeout_ms = ${LEAN_IDLE:-120}000}"
  # a model that codex does not know gets a tool for edits by a catalog of our own only
  patch='"freeform"' words=$(quote "$system")
  [ "$mode" != ask ] || patch=null
  [ "$lean" = 1 ] || words=$(codex debug models 2>/dev/null | grep -oE '"base_instructions":"([^"\\]|\\.)*"' | tail -n 1 | cut -d : -f 2-)
  printf '{"models": [{"slug": %s, "display_name": "-", "base_instructions": %s, "apply_patch_tool_type": %s, %s}]}\n' \
    "$(quote "$model")" "${words:-\"\"}" "$patch" '"supported_reasoning_levels": [], "shell_type": "unified_exec", "visibility": "list",
    "supported_in_api": true, "priority": 1, "truncation_policy": {"mode": "bytes", "limit": 10000}, "support_verbosity": false,
    "supports_reasoning_summaries": false, "supports_parallel_tool_calls": false, "experimental_supported_tools": []' >"$tmp/catalog.json"
  set_ model_catalog_json "$(quote "$tmp/catalog.json")"
fi
[ -z "$model" ] || args+=(-m "$model")
set_ check_for_update_on_startup false
set_ analytics.enabled false
[ "${LEAN_CONTEXT_FILES:-0}" = 1 ] || set_ project_doc_max_bytes 0

case $mode/$approval in
ask/*) args+=(--sandbox read-only --disable shell_tool --disable unified_exec) ;;
*/yolo) args+=(--dangerously-bypass-approvals-and-sandbox) ;;
*/edit) args+=(--sandbox workspace-write --disable shell_tool --disable unified_exec) ;;
*) args+=(--sandbox "$approval") ;;
esac
if [ "$lean" = 1 ]; then
  printf '%s\n' "$system" >"$tmp/system.md"
  set_ model_instructions_file "$(quote "$tmp/system.md")"
  set_ web_search '"disabled"'
  for name in skills.include_instructions skills.bundled.enabled include_permissions_instructions include_environment_context \
    include_apps_instructions tools.experimental_request_user_input.enabled; do set_ $name false; done
  for name in apps goals hooks image_generation multi_agent plugins shell_snapshot skill_search tool_suggest view_image; do
    args+=(--disable $name)
  done
  ! own || args+=(--disable shell_tool --disable unified_exec) # with a login, the model may know no other tool
fi

watch codex "${args[@]}" -
turn=$(grep '"type":"turn.completed"' "$log")
count() { printf '%s\n' "$turn" | total "$1"; }
items=$(grep -c '"type":"item.completed".*"type":"\(file_change\|command_execution\|mcp_tool_call\|web_search\)"' "$log")
used $((items + 1)) "$(count input_tokens)" "$(count output_tokens)" "$(count cached_input_tokens)"
[ "$code" = 0 ] && [ -n "$turn" ] ||
  fail "$(grep -E '"type":"(error|turn.failed)"' "$log" | text message)"
grep '"type":"agent_message"' "$log" | text text
