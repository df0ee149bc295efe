# What the wrappers share. A wrapper sources it, then: begin, watch, and done with what the CLI said. Bash 3.2 will do.
set -u
mode=${LEAN_MODE:-edit} lean=${LEAN_LEAN_PROMPT:-1} approval=${LEAN_APPROVAL_MODE:-yolo}
url=${LEAN_BASE_URL:-} key=${LEAN_API_KEY:-} model=${LEAN_MODEL:-}
url=${url%/}
system='Make the change that is asked for by editing files. Do not run tests. Answer in one sentence.'
[ "$mode" = ask ] && system='Answer from what you are told. Change nothing.'

# stop CODE REASON: say why, and end: 1 no usable edit, 2 wrongly set up, 75 trouble of the server.
stop() {
  printf '%s\n' "$2" >&2
  exit "$1"
}

# begin PROGRAM PACKAGE "$@": look for the CLI, make a temporary folder $tmp, and put the prompt into the file $prompt.
begin() {
  program=$1
  command -v "$program" >/dev/null 2>&1 || stop 2 "$program is not on PATH. Install it: $2"
  tmp=$(mktemp -d "$(dirname "${LEAN_USAGE_FILE:-${TMPDIR:-/tmp}/-}")/lean-$program.XXXXXX") || stop 2 "No temporary folder can be made. Look at TMPDIR."
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 143' HUP INT TERM
  export TMPDIR=$tmp
  log=$tmp/log prompt=${LEAN_PROMPT_FILE:-$tmp/prompt.md}
  [ -n "${LEAN_PROMPT_FILE:-}" ] || printf '%s\n' "${4:-}" >"$prompt"
  [ -s "$prompt" ] || stop 2 "There is no prompt: give -p PROMPT, or LEAN_PROMPT_FILE."
}

# own: tell whether a server or key is configured, so that the CLI's own login and configuration are not used.
own() { [ -n "$url$key" ]; }

# with_context NAME: where context files are wanted but the CLI's lean mode leaves them out, add the project's to $system.
with_context() { [ "${LEAN_CONTEXT_FILES:-0}" != 1 ] || [ ! -f "$1" ] || system+=$'\n'$(cat "$1"); }

# quote TEXT: write TEXT as a JSON string.
quote() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# server PATH ARG…: ask the configured server, with the key told by standard input so that no list of processes shows it.
server() {
  local path=$1
  shift
  printf 'header = "Authorization: Bearer %s"\n' "$key" | curl -sS -m 10 --noproxy '*' -K - "$@" "$url$path" 2>&1
}

# reachable: tell whether the configured server takes connections; a slow answer is an answer.
reachable() {
  [ -n "$url" ] && command -v curl >/dev/null || return 0
  server /models -o /dev/null
  case $? in 6 | 7) return 1 ;; esac
}

# need_server: stop where the configured server is down; where no model is set, take the first one that it lists.
need_server() {
  reachable >/dev/null || stop 75 "$program: no server answers at $url."
  own && [ -z "$model" ] || return 0
  model=$(server /models | grep -oE '"id": ?"[^"]+"' | head -n 1 | cut -d '"' -f 4)
  [ -n "$model" ] || stop 2 "$program: $url lists no models. Set model in [lean]."
}

# watch COMMAND…: run it with the prompt as its input; what it prints goes to $log, less the pieces of an answer, which
# match $pieces. Each line is a sign of life. A CLI that prints no pieces is given time: its own limit on silence holds.
# It is ended when the server goes away, is silent for LEAN_IDLE seconds, or is asked in vain for the third time ($retry).
watch() {
  printf '' | tee "$log" >"$tmp/alive"
  exec 3>&2
  local eager=
  case $(awk -W version 2>&1 </dev/null) in mawk*) eager='-W interactive' ;; esac # mawk waits for 4 KB otherwise
  {
    "$@" <"$prompt" 2>&1 3>&- &
    printf '%s' $! >"$tmp/pid"
    guard $! >/dev/null &
    wait "$(cat "$tmp/pid")"
    printf '%s' $? >"$tmp/code"
    kill $! # the guard
  } 2>/dev/null | awk $eager -v out="$log" -v alive="$tmp/alive" -v pieces="${pieces:-^$}" -v retry="${retry:-^$}" \
    -v progress="${LEAN_PROGRESS:-0}" -v stop="kill \$(pgrep -P \$(cat '$tmp/pid')) \$(cat '$tmp/pid') 2>/dev/null" '
    { if ($0 ~ pieces) count++; else print > out; printf "." > alive; fflush() }
    retry != "^$" && $0 ~ retry && ++tries == 3 { system(stop) }
    progress == 1 { print "progress: " count + 0 " 0" > "/dev/stderr"; fflush() }'
  code=$(cat "$tmp/code")
}

# guard PID: end PID when the server is gone or silent; watch no longer than PID lives.
guard() {
  local seen=0 now silent=0 nap in_vain
  trap 'kill "$nap"; exit' TERM
  while sleep 3 & nap=$!; wait "$nap"; kill -0 "$1"; do
    reachable || { printf 'no server answers at %s\n' "$url" >"$tmp/trouble" && end "$1" && return; }
    in_vain=$(grep -ls '"error": {' "$tmp"/api/* 2>/dev/null) # requests that failed, where a CLI keeps a file for each
    [ "$(printf '%s' "$in_vain" | grep -c .)" -lt 2 ] || { text message <"$(printf '%s' "$in_vain" | head -n 1)" >"$tmp/trouble" && end "$1" && return; }
    now=$(wc -c <"$tmp/alive")
    silent=$((now == seen ? silent + 3 : 0)) seen=$now
    [ -n "${pieces:-}" ] || { [ "${LEAN_PROGRESS:-}" != 1 ] || echo 'progress: 0 0' >&3 && continue; }
    [ "$silent" -lt "${LEAN_IDLE:-120}" ] || { printf 'the server was silent for %s s ([lean] idle)\n' "$silent" >"$tmp/trouble" && end "$1" && return; }
  done
}

# end PID: end a CLI and what it started.
end() { kill $(pgrep -P "$1" 2>/dev/null) "$1"; }

# text NAME: print the last JSON string called NAME among the lines on standard input.
text() { printf '%b\n' "$(sed -nE 's/.*"'"$1"'": ?"(([^"\\]|\\.)*)".*/\1/p' | tail -n 1 | sed 's/\\"/"/g')"; }

# first NAME, total NAME: print the first, or the sum of all, JSON numbers called NAME on standard input; 0 if there is none.
first() { grep -oE "\"$1\": ?[0-9]+" | head -n 1 | awk -F: '{ n = $2 } END { print n + 0 }'; }
total() { grep -oE "\"$1\": ?[0-9]+" | awk -F: '{ n += $2 } END { print n + 0 }'; }

# used REQUESTS INPUT OUTPUT CACHED: tell the loop what the CLI used; cached tokens are among those of the input.
used() {
  [ -n "${LEAN_USAGE_FILE:-}" ] && [ "$2" -gt 0 ] || return 0
  printf '{"requests": %d, "input_tokens": %d, "output_tokens": %d, "cached_tokens": %d%s}\n' "$@" \
    "${estimated:+, \"estimated\": true}" >"$LEAN_USAGE_FILE"
}

# What CLIs and servers say of trouble: a code, and words (extended regular expression) that stand for it.
troubles='2 unknown (option|argument|flag)|unexpected argument|unrecognized argument|unknown configuration|no such option
2 exceed_context|context (size|length|window)|maximum context|prompt is too long|too many tokens|context.*(too small|exceed)
2 invalid.?(x-)?api.?key|incorrect api key|unauthorized|unauthenticated|authentication|not logged in|please run /login|api key not valid|(status|error|code)[^0-9a-z]{0,4}(401|403)|permission.?denied.*api
2 model.{0,80}(not found|not exist|not available|may not|unknown)|not.?found.?error|model_not_found|(status|error|code)[^0-9a-z]{0,4}404|no such path
75 econnrefused|econnreset|enotfound|eai_again|connection (error|refused|reset)|unable to connect|fetch failed|socket hang up|stream disconnected|error sending request|timed? ?out|overloaded|rate.?limit|too many requests|loading model|internal.?server.?error|service.?unavailable|(status|error|code)[^0-9a-z]{0,4}(429|5[0-9][0-9])|retry'

# fail WORDS: end with the code that WORDS stand for, and with one line of reason that names the CLI's version. Without
# WORDS, what it printed that is no JSON is searched for some.
fail() {
  local kind pattern version words=$1
  [ ! -s "$tmp/trouble" ] || stop 75 "$program: $(cat "$tmp/trouble")${words:+ ($words)}"
  [ -n "$words" ] || words=$(grep -v '^{' "$log" | grep -iE -m 1 '(unknown|unexpected|unrecognized|invalid).{0,12}(arg|opt|flag)|^ *(Usage: )?opencode run \[message')
  case $words in *'opencode run [message'*) words='unknown flag: it printed its usage' ;; esac # and does not say which
  [ -n "$words" ] || words=$(grep -v '^{' "$log" | tail -n 3)
  words=$(printf '%s' "$words" | tr -s '\n\r\t ' ' ' | cut -c 1-300)
  version=$("$program" --version 2>&1 </dev/null | grep -v WARNING | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
  while read -r kind pattern; do
    printf '%s' "$words" | grep -qiE "$pattern" && stop "$kind" "$program ${version:-of unknown version}: $words"
  done <<<"$troubles"
  [ "$code" -le 128 ] || stop "$code" "$program ${version:-of unknown version}: it was ended by signal $((code - 128))${words:+ ($words)}"
  stop 1 "$program ${version:-of unknown version}: ${words:-it ended with exit code $code and said nothing}"
}
