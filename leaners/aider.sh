#!/usr/bin/env bash
# lean: program=aider overhead=3100 proven=0.86.2 files=own writes=
# aider (aider-chat)
. "$(dirname "$0")/_lib.bash"
begin aider 'pipx install aider-chat (it needs Python 3.12 or older)' "$@"
need_server

args=(--message-file "$prompt" --no-git --no-pretty --yes-always --no-auto-lint --no-suggest-shell-commands --no-detect-urls
  --no-check-update --no-analytics --no-show-model-warnings --no-show-release-notes --disable-playwright --no-fancy-input
  --input-history-file /dev/null --chat-history-file "$tmp/chat.md")
mkdir -p "$tmp/.aider/caches" # a fresh list of prices, or aider fetches one
printf '{"-": {}}' >"$tmp/.aider/caches/model_prices_and_context_window.json"
export LITELLM_LOCAL_MODEL_COST_MAP=True COLUMNS=1000 PYTHONUNBUFFERED=1
if own; then
  export OPENAI_API_KEY=${key:-not-needed}
  [ -z "$url" ] || export OPENAI_API_BASE=$url
  model=openai/${model#openai/}
else # what aider knows of the user's keys; its history goes elsewhere
  [ ! -f "$HOME/.aider.conf.yml" ] || args+=(--config "$HOME/.aider.conf.yml")
  [ ! -f "$HOME/.env" ] || args+=(--env-file "$HOME/.env")
fi
export HOME=$tmp

extra=
[ -z "${LEAN_MAX_OUTPUT_TOKENS:-}" ] || extra+='"max_tokens": '$LEAN_MAX_OUTPUT_TOKENS,
[ -z "${LEAN_TEMPERATURE:-}" ] || extra+='"temperature": '$LEAN_TEMPERATURE,
[ -z "${LEAN_STOP:-}" ] || extra+='"stop": '$LEAN_STOP,
[ -z "${LEAN_EXTRA_BODY:-}" ] || extra+='"extra_body": '$LEAN_EXTRA_BODY,
if [ -n "$model" ]; then
  args+=(--model "$model" --weak-model "$model")
  ! own || printf -- '- {"name": %s, "reminder": "sys", "use_temperature": false, "use_repo_map": false, "extra_params": {%s}}\n' \
    "$(quote "$model")" "${extra%,}" >"$tmp/models.yml"
  [ ! -f "$tmp/models.yml" ] || args+=(--model-settings-file "$tmp/models.yml")
fi
[ "$lean" != 1 ] || args+=(--map-tokens 0)

size=$(printf '%s\n' "${LEAN_FILES:-}" | while IFS= read -r file; do cat "$file"; done 2>/dev/null | wc -c)
case $mode/${LEAN_EDIT_FORMAT:-auto} in
ask/*) args+=(--edit-format ask) ;;
*/whole) args+=(--edit-format whole) ;;
*/auto) # whole files, as the smaller models write them best, where they are small
  ! own || [ "$size" -gt 8000 ] || args+=(--edit-format whole) ;;
*/search) args+=(--edit-format diff) ;;
esac
while IFS= read -r file; do
  [ -z "$file" ] || args+=("$file")
done <<<"${LEAN_FILES:-}"

pieces='^$' retry='^Retrying in'
watch aider "${args[@]}"
tokens() { # 'Tokens: 4.2k sent, 13 received.'
  grep '^Tokens: ' "$log" | sed -E "s/.*[ ,]([0-9.]+)(k?) $1.*/\1 \2/" |
    awk '{ n += $1 * ($2 == "k" ? 1000 : 1) } END { printf "%d", n }'
}
estimated=1
used "$(grep -c '^Tokens: ' "$log")" "$(tokens sent)" "$(tokens received)" 0
said=$(awk '/^#### / { text = ""; next } /^> / { next } { text = text $0 "\n" } END { printf "%s", text }' "$tmp/chat.md" 2>/dev/null)
[ "$code" = 0 ] && grep -q '^Tokens: ' "$log" ||
  fail "$(grep -iE -m 1 '^aider: error' "$log" || grep -iE -m 1 -A 4 'error|exception' "$log")"
printf '%s\n' "$said"
