#!/usr/bin/env bash
# The least that a loop can be: URL MODEL PROMPT TEST_COMMAND FILE...; whole files, the last 40 lines of output, four rounds.
url=$1 model=$2 prompt=$3 test=$4
shift 4
for _ in 1 2 3 4; do
  output=$(eval "$test" 2>&1) && exit 0
  {
    printf '%s\n\n' "$prompt"
    for file in "$@"; do printf '%s\n```\n%s\n```\n\n' "$file" "$(cat "$file" 2>/dev/null)"; done
    printf 'The tests say:\n%s\n\n' "$(tail -n 40 <<<"$output")"
    printf 'Answer with each file that changes, complete: its path alone on a line, then one fenced block.\n'
  } | python3 -c 'import json, sys; print(json.dumps({"model": sys.argv[1], "messages": [{"role": "user", "content": sys.stdin.read()}]}))' "$model" |
    curl -s "$url/chat/completions" -H 'Content-Type: application/json' -d @- |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"])' |
    awk -v first="$1" '
      /^```/ { if (inside) { inside = 0; close(path); said = "" } else { inside = 1; path = said == "" ? first : said; printf "" >path } next }
      inside { print >path }
      !inside && NF { said = $0; gsub(/[`*:# ]/, "", said); if (said !~ /^[A-Za-z0-9_.\/-]+\.[a-z]+$/) said = "" }'
done
eval "$test" >/dev/null 2>&1
