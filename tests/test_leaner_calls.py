"""The contract of a leaner as a scripted one sees it, and what the loop makes of leaners that misbehave."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import LEANFILE, Bench, Leaner, few_of

COUNT = 'n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"\n'
DUMP = 'env -0 > "$HOME/env-$LEAN_MODE"\n'
TALK = "echo looked at it\n"


def writes(operator: str) -> str:
    """A script's line that writes calc.py with OPERATOR in it: + is right, all else is wrong."""
    return f"printf 'def add(left, right):\\n    return left {operator} right\\n' > calc.py\n"


UNITTEST = '"-m", "unittest", "-q"'
FIX = writes("+") + "echo done\n"


@pytest.fixture
def calc(calc: Bench) -> Bench:
    """The project with one fault, with a test command that takes no time."""
    calc.write(
        "leanfile.toml", LEANFILE.replace("{python}", "grep").replace(UNITTEST, '"-q", "left + right", "calc.py"')
    )
    calc.commit()
    return calc


def with_unittest(bench: Bench) -> None:
    """Judge by the project's real tests."""
    bench.write("leanfile.toml", LEANFILE)


def settings(bench: Bench, tables: str) -> None:
    """Put TABLES before what the leanfile says."""
    bench.write("leanfile.toml", f"{tables}\n{bench.read('leanfile.toml')}")


def once(bench: Bench, tables: str = "") -> None:
    """Allow a task its first call only."""
    settings(bench, f"[defaults]\nmax_iters_per_task = 0\n{tables}")


def variables(bench: Bench, mode: str = "edit") -> dict[str, str]:
    """The environment that the last call of MODE had."""
    raw = (bench.home / f"env-{mode}").read_bytes().decode()
    return dict(item.split("=", 1) for item in raw.split("\0") if item)


def calls(bench: Bench) -> int:
    """How often a script that begins with COUNT was called."""
    return int((bench.home / "n").read_text())


def events(bench: Bench, kind: str) -> list[dict[str, Any]]:
    """The events of KIND of the only run."""
    (folder,) = bench.runs()
    told = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event for event in told if event["event"] == kind]


def prompts(bench: Bench) -> list[str]:
    """The prompts of the only run, in their order."""
    (folder,) = bench.runs()
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*prompt.md"))]


# ------------------------------------------------------------------------------------------------- the environment

EVERY_KEY = """
[lean]
base_url = "http://127.0.0.1:9/v1"
api_key = "a key with spaces"
model = "small; model"
approval_mode = "edit"
timeout = 30
idle = 20.5
context_tokens = 4096
edit_format = "whole"
edit_retries = 2
thinking = "off"
temperature = 0.25
max_output_tokens = 99
stop = ["<|end|>", "é"]
extra_body = { top_k = 5, deep = { on = true } }
lean_prompt = false
context_files = true
options = { flag = ["a", 1] }

[health]
check_url = ""
"""
EVERY_VARIABLE = {
    "LEAN_BASE_URL": "http://127.0.0.1:9/v1",
    "LEAN_API_KEY": "a key with spaces",
    "LEAN_MODEL": "small; model",
    "LEAN_APPROVAL_MODE": "edit",
    "LEAN_TIMEOUT": "30",
    "LEAN_IDLE": "20.5",
    "LEAN_CONTEXT_TOKENS": "4096",
    "LEAN_EDIT_FORMAT": "whole",
    "LEAN_EDIT_RETRIES": "2",
    "LEAN_THINKING": "off",
    "LEAN_TEMPERATURE": "0.25",
    "LEAN_MAX_OUTPUT_TOKENS": "99",
    "LEAN_STOP": ["<|end|>", "é"],
    "LEAN_EXTRA_BODY": {"top_k": 5, "deep": {"on": True}},
    "LEAN_LEAN_PROMPT": "0",
    "LEAN_CONTEXT_FILES": "1",
    "LEAN_OPTIONS": {"flag": ["a", 1]},
}
PATHS = {"LEAN_FILES", "LEAN_PROTECT", "LEAN_PROMPT_FILE", "LEAN_USAGE_FILE", "LEAN_ANSWER_FILE", "LEAN_LIB"}
OF_THE_CALL = {"LEAN_MODE", "LEAN_PROGRESS", *PATHS}


def test_every_setting_travels_as_a_variable(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    path = calc.home / "leaner.sh"
    (calc.home / "config.toml").write_text(f'[lean]\nbinary = "{path}"\n')
    settings(calc, EVERY_KEY)
    assert calc.lean_loop().code == 0
    given: dict[str, Any] = {name: text for name, text in variables(calc).items() if name.startswith("LEAN_")}
    for name in ("LEAN_STOP", "LEAN_EXTRA_BODY", "LEAN_OPTIONS"):
        given[name] = json.loads(given[name])
    assert {name: given.pop(name, None) for name in EVERY_VARIABLE} == EVERY_VARIABLE
    assert set(given) == OF_THE_CALL


def test_what_is_empty_is_not_passed(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    assert calc.lean_loop().code == 0
    empty = {"LEAN_BASE_URL", "LEAN_MODEL", "LEAN_TEMPERATURE", "LEAN_STOP", "LEAN_EXTRA_BODY", "LEAN_OPTIONS",
             "LEAN_CONTEXT_TOKENS", "LEAN_MAX_OUTPUT_TOKENS", "LEAN_BINARY", "LEAN_API_KEY_ENV"}  # fmt: skip
    assert empty & set(variables(calc)) == set()


@pytest.mark.parametrize("key", ["temperature", "edit_retries"])
def test_a_zero_that_means_zero_is_passed(calc: Bench, leaner: Leaner, key: str) -> None:
    leaner(DUMP + FIX)
    settings(calc, f"[lean]\n{key} = 0")
    assert calc.lean_loop().code == 0
    assert variables(calc).get(f"LEAN_{key.upper()}") == "0"


def test_the_callers_own_lean_variables_do_not_reach_the_leaner(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    assert calc.lean_loop(LEAN_MODEL="stray", LEAN_STRAY="stray").code == 0
    assert {"LEAN_MODEL", "LEAN_STRAY"} & set(variables(calc)) == set()


def test_the_key_comes_from_the_variable_that_api_key_env_names(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    settings(calc, '[lean]\napi_key = "the other"\napi_key_env = "MY_KEY"')
    assert calc.lean_loop(MY_KEY="from the environment").code == 0
    assert variables(calc)["LEAN_API_KEY"] == "from the environment"


def test_the_leaners_own_table_lies_over_the_common_one(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    settings(calc, '[lean]\nmodel = "common"\n[leaners.leaner]\nmodel = "own"\n[leaners.other]\nmodel = "others"')
    assert calc.lean_loop().code == 0
    assert variables(calc)["LEAN_MODEL"] == "own"


def test_the_leaner_is_told_the_files_and_what_is_protected(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + FIX)
    settings(calc, '[guard]\nprotect = ["docs/*"]\nallow = ["test_free.py"]')
    task = calc.read("leanfile.toml").replace('["calc.py"]', '["calc.py", "sub dir/new ü.py"]')
    calc.write("leanfile.toml", task)
    assert calc.lean_loop().code == 0
    assert variables(calc)["LEAN_FILES"].split("\n") == ["calc.py", "sub dir/new ü.py"]
    protect = variables(calc)["LEAN_PROTECT"].split("\n")
    assert {"test_*", "conftest.py", "docs/*", "leanfile.toml", "!test_free.py", "!/calc.py"} <= set(protect)


def test_the_leaner_runs_in_the_projects_root_with_closed_standard_input(calc: Bench, leaner: Leaner) -> None:
    calc.write("inner/leanfile.toml", '[defaults]\nproject_root = ".."\n' + calc.read("leanfile.toml"))
    leaner('pwd -P > "$HOME/cwd"; readlink /proc/self/fd/0 > "$HOME/stdin" || echo /dev/null > "$HOME/stdin"\n' + FIX)
    assert calc.lean_loop("-c", "inner/leanfile.toml").code == 0
    assert (calc.home / "cwd").read_text().strip() == str(calc.project.resolve())
    assert (calc.home / "stdin").read_text().strip() == "/dev/null"


def test_tests_and_hooks_have_no_variable_of_ours(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write(
        "leanfile.toml",
        """
        [runner]
        command = 'env > "$HOME/test-env"; python3 -m unittest -q'
        shell = true
        [[tasks]]
        prompt = "mend"
        after = ['env > "$HOME/after-env"']
        """,
    )
    assert calc.lean_loop(LEAN_STRAY="stray").code == 0
    told = (calc.home / "test-env").read_text() + (calc.home / "after-env").read_text()
    assert f"HOME={calc.home}" in told
    assert "LEAN_" not in told


# -------------------------------------------------------------------------------------------------------- the prompt

TAKE_PROMPT = """
printf %s "$#" > "$HOME/count"; printf %s "$1" > "$HOME/option"; printf %s "$2" > "$HOME/argument"
cp "$LEAN_PROMPT_FILE" "$HOME/file"
"""
WORDS = "- say \"it\" 'so': `id` $(id) ${HOME} \\n %s ! * ~ <|im_end|> é 漢 \\\\"


def of(bench: Bench, name: str) -> str:
    return (bench.home / name).read_bytes().decode()


def with_prompt(bench: Bench, prompt: str, tables: str = "") -> None:
    """Give the task PROMPT."""
    leanfile = bench.read("leanfile.toml").replace('"Mend add in calc.py: it must add."', json.dumps(prompt))
    bench.write("leanfile.toml", f"{tables}\n{leanfile}")


def test_a_prompt_arrives_as_it_is_as_argument_and_file(calc: Bench, leaner: Leaner) -> None:
    leaner(TAKE_PROMPT + FIX)
    with_prompt(calc, WORDS)
    assert calc.lean_loop().code == 0
    assert (of(calc, "count"), of(calc, "option")) == ("2", "-p")
    assert WORDS in of(calc, "argument")
    assert of(calc, "argument").rstrip() == of(calc, "file").rstrip()


def test_a_prompt_with_a_leading_dash_is_still_one_argument(calc: Bench, leaner: Leaner) -> None:
    leaner(TAKE_PROMPT + FIX)
    settings(calc, '[defaults]\nglobal_message = "--version -p"')
    assert calc.lean_loop().code == 0
    assert (of(calc, "count"), of(calc, "option")) == ("2", "-p")
    assert of(calc, "argument").startswith("--version -p\n")


def test_a_prompt_of_300_kb_is_handed_over_in_the_file(calc: Bench, leaner: Leaner) -> None:
    leaner(TAKE_PROMPT + FIX)
    words = "\n".join(f"{number} {WORDS}" for number in range(300_000 // len(WORDS.encode())))
    with_prompt(calc, words)
    assert calc.lean_loop().code == 0
    assert words in of(calc, "file")
    assert "\n" not in of(calc, "argument")
    assert variables_path(calc) in of(calc, "argument")


def variables_path(bench: Bench) -> str:
    """The record's only prompt, which is the file that the leaner was given."""
    (folder,) = bench.runs()
    (path,) = folder.glob("*prompt.md")
    return str(path)


@pytest.mark.parametrize("length", [127_000, 128_500, 131_072])
def test_a_prompt_near_an_arguments_limit_can_be_started(calc: Bench, leaner: Leaner, length: int) -> None:
    leaner(COUNT + TAKE_PROMPT + FIX)
    with_prompt(calc, "é" * (length // 2))
    assert calc.lean_loop().code == 0
    assert calls(calc) == 1


def test_a_nul_in_a_test_output_does_not_keep_the_prompt_from_starting(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + DUMP + f"if [ $n = 1 ]; then {writes('*')} echo wrong; else {FIX} fi")
    with_unittest(calc)
    calc.write("test_calc.py", "import unittest\nprint('nul\\0nul')\n" + calc.read("test_calc.py"))
    assert calc.lean_loop().code == 0


# --------------------------------------------------------------------------------------------------------- ask mode

MISCHIEF = """
if [ $LEAN_MODE = ask ]; then
    echo changed > calc.py; echo new > new.txt; rm notes.txt; mkdir -p deep/er; echo x > deep/er/file
    echo the operator is wrong
    exit
fi
"""


def test_a_diagnosis_changes_nothing(calc: Bench, leaner: Leaner) -> None:
    calc.write("notes.txt", "of the user")
    leaner(MISCHIEF + COUNT + f'if [ $n = 1 ]; then {writes("*")} echo wrong; else cp calc.py "$HOME/seen"; {FIX} fi')
    assert calc.lean_loop().code == 0
    assert "left * right" in of(calc, "seen")
    assert calc.read("notes.txt") == "of the user"
    assert not (calc.project / "new.txt").exists()
    assert not (calc.project / "deep/er/file").exists()


def test_the_diagnosis_is_asked_for_in_ask_mode_and_reaches_the_fix(calc: Bench, leaner: Leaner) -> None:
    leaner(DUMP + MISCHIEF.replace("echo changed > calc.py;", "") + COUNT + f"[ $n = 1 ] && echo no || {{ {FIX} }}")
    calc.write("notes.txt", "")
    assert calc.lean_loop().code == 0
    assert variables(calc, "ask")["LEAN_MODE"] == "ask"
    first, ask, fix = prompts(calc)
    assert ask.startswith("In one sentence")
    assert "the operator is wrong" in fix
    assert "one sentence" not in (first + fix).lower()


def test_a_failed_diagnosis_is_no_attempt_and_the_fix_is_asked_for_all_the_same(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"[ $LEAN_MODE = ask ] && exit 1; [ $n = 1 ] && echo no || {{ {FIX} }}")
    settings(calc, "[defaults]\nmax_iters_per_task = 1")
    assert calc.lean_loop().code == 0
    assert calls(calc) == 3


# -------------------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize("code", [1, 7, 255])
def test_a_failing_call_is_an_attempt_and_its_reason_is_shown_and_told(calc: Bench, leaner: Leaner, code: int) -> None:
    leaner(COUNT + f"if [ $n = 1 ]; then echo one line; echo the reason >&2; exit {code}; fi\n{FIX}")
    settings(calc, "[defaults]\nsummarize_errors = false\nmax_iters_per_task = 1")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "the reason" in ran.err
    assert "the reason" in prompts(calc)[1]
    assert calls(calc) == 2


def test_a_failing_call_shows_its_last_lines(calc: Bench, leaner: Leaner) -> None:
    leaner("seq 100 | sed 's/^/line /'; exit 3")
    once(calc)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "line 99" in ran.err and "line 100" in ran.err
    assert "line 50" not in ran.text


def test_a_failing_call_without_a_word_says_its_exit_code(calc: Bench, leaner: Leaner) -> None:
    leaner("exit 9")
    once(calc)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "exit code 9" in ran.err


def test_what_a_failing_call_changed_is_judged(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX + "exit 1")
    assert calc.lean_loop().code == 0


@pytest.mark.parametrize("end", ["kill -KILL $$", "bash -c 'kill -KILL $$'; exit $?"], ids=["itself", "its agent"])
def test_an_edit_by_a_leaner_that_a_signal_ended_is_judged_and_told(calc: Bench, leaner: Leaner, end: str) -> None:
    leaner(f'cp "$LEAN_PROMPT_FILE" "$HOME/prompt"; [ -e "$HOME/first" ] && {{ {FIX} {end}; }}; touch "$HOME/first"\n'
           f"echo '# more' >> calc.py\n{end}")  # fmt: skip
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "ended by signal 9 (SIGKILL)" in ran.out
    assert "ended by signal 9 (SIGKILL)" in (calc.home / "prompt").read_text()


def test_a_leaner_killed_by_a_signal_is_a_failed_attempt(calc: Bench, leaner: Leaner) -> None:
    leaner("kill -SEGV $$")
    once(calc)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "SIGSEGV" in ran.err


def test_a_wrongly_set_up_leaner_ends_the_run_and_leaves_the_tree(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + "echo broken > calc.py; echo new > new.txt; echo LEAN_MODEL is missing >&2; exit 2")
    before = calc.read("calc.py")
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "LEAN_MODEL is missing" in ran.err
    assert calls(calc) == 1
    assert calc.read("calc.py") == before
    assert not (calc.project / "new.txt").exists()


def test_trouble_of_the_server_is_waited_for_and_is_no_attempt(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"if [ $n = 1 ]; then echo 503 loading >&2; exit 75; fi\n{FIX}")
    once(calc)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "add: 1 attempt;" in ran.out
    assert "503 loading" in ran.err


def test_trouble_of_the_server_that_stays_ends_the_run(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + "echo 503 loading >&2; exit 75")
    settings(calc, "[health]\nmax_wait = 1")
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "503 loading" in ran.err.splitlines()[-1]
    assert 1 < calls(calc) < 5


# ------------------------------------------------------------------------------------------------------------- usage


def test_what_a_leaner_says_it_used_is_told(calc: Bench, leaner: Leaner) -> None:
    leaner('echo \'{"requests": 2, "input_tokens": 12345, "output_tokens": 678}\' > "$LEAN_USAGE_FILE"\n' + FIX)
    ran = calc.lean_loop()
    assert "12,345 tokens in, 678 out, 2 requests" in ran.out
    assert "about" not in ran.out


def test_an_estimate_by_the_leaner_is_marked(calc: Bench, leaner: Leaner) -> None:
    used = '{"requests": 1, "input_tokens": 50, "output_tokens": 5, "estimated": true}'
    leaner(f"echo '{used}' > \"$LEAN_USAGE_FILE\"\n" + FIX)
    assert "about 50 tokens in, 5 out, 1 request" in calc.lean_loop().out


def test_without_figures_the_prompt_and_the_leaners_overhead_are_estimated(calc: Bench, leaner: Leaner) -> None:
    leaner("# lean: overhead=40000\n" + FIX)
    ran = calc.lean_loop()
    assert "about" in ran.out
    (answered,) = events(calc, "answered")
    (asking,) = events(calc, "asking")
    assert answered["usage"]["input_tokens"] == asking["tokens"] + 10_000


@pytest.mark.parametrize(
    "text", few_of(["{", "[]", '{"requests": null}', '{"input_tokens": 1e999}', "\xff", "9" * 9999], 3)
)
def test_figures_that_are_none_are_estimated(calc: Bench, leaner: Leaner, text: str) -> None:
    (calc.home / "used").write_bytes(text.encode("latin-1"))
    leaner('cp "$HOME/used" "$LEAN_USAGE_FILE"\n' + FIX)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "about " in ran.out


def test_progress_lines_are_not_taken_for_the_reason(calc: Bench, leaner: Leaner) -> None:
    leaner('[ "$LEAN_PROGRESS" = 1 ] || exit 5; echo the reason >&2; echo "progress: 120 33.5" >&2; exit 1')
    once(calc)
    ran = calc.lean_loop()
    assert "the reason" in ran.err
    assert "33.5" not in ran.err


# ------------------------------------------------------------------------------------------- leaners that misbehave


def test_a_silent_leaner_that_changes_nothing_is_tried_once_more_then_fails(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert calls(calc) == 2
    assert "printed nothing and changed nothing" in ran.out


def test_a_silent_leaner_that_works_at_the_second_try_has_made_one_attempt(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"if [ $n = 2 ]; then {FIX} fi")
    ran = calc.lean_loop()
    assert ran.code == 0
    assert "add: 1 attempt;" in ran.out


def test_a_silent_leaner_that_changed_files_did_its_work(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + writes("+"))
    assert calc.lean_loop().code == 0
    assert calls(calc) == 1


def test_a_leaner_that_talks_and_never_changes_anything_fails_after_its_attempts(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + TALK)
    settings(calc, "[defaults]\nmax_iters_per_task = 2\nsummarize_errors = false")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert calls(calc) == 3
    assert "3 attempts" in ran.out
    assert "nothing changed" in ran.out


def test_an_unchanged_tree_is_tested_again_only_where_nothing_changed_twice(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    settings(calc, "[defaults]\nmax_iters_per_task = 2\nsummarize_errors = false")
    calc.lean_loop()
    assert len(events(calc, "testing")) == 2


def test_a_fix_at_the_third_call_is_green_in_the_end(calc: Bench, leaner: Leaner) -> None:
    script = f"case $n in 1) {writes('*')};; 2) {writes('/')};; *) {writes('+')};; esac\n{TALK}"
    leaner(f"[ $LEAN_MODE = ask ] && echo why && exit\n{COUNT}{script}")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "add: 3 attempts;" in ran.out


def test_200_mb_of_a_leaners_words_are_read_and_not_kept(calc: Bench, leaner: Leaner) -> None:
    leaner("yes talking and talking | head -c 200000000\n" + FIX + "echo the very end")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    (folder,) = calc.runs()
    (answer,) = folder.glob("*answer.txt")
    assert answer.stat().st_size < 10_000_000
    assert "bytes left out" in answer.read_text()
    assert answer.read_text().rstrip().endswith("the very end")


def test_200_mb_in_the_diagnosis_do_not_reach_the_fix(calc: Bench, leaner: Leaner) -> None:
    leaner(f"[ $LEAN_MODE = ask ] && yes talk | head -c 200000000 && exit\n{COUNT}[ $n = 1 ] && echo no || {{ {FIX} }}")
    assert calc.lean_loop().code == 0
    assert len(prompts(calc)[-1]) < 20_000


def test_bytes_that_are_not_utf_8_are_replaced(calc: Bench, leaner: Leaner) -> None:
    leaner("printf 'ab\\377\\376cd \\303'; printf '\\033[31mred\\033[0m \\377' >&2\n" + writes("+") + "exit 1")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    (folder,) = calc.runs()
    (answer,) = folder.glob("*answer.txt")
    assert "ab\ufffd\ufffdcd" in answer.read_text(encoding="utf-8")
    assert "\x1b" not in answer.read_text(encoding="utf-8")
    assert "\x1b" not in ran.text


def test_a_leaner_that_waits_on_standard_input_reads_its_end(calc: Bench, leaner: Leaner) -> None:
    leaner("read -r answer || echo no answer; cat\n" + FIX)
    assert calc.lean_loop(timeout=20).code == 0


def test_a_leaner_that_never_ends_is_ended_and_the_next_one_called(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"if [ $n = 1 ]; then echo begun; sleep 1000; fi\n{FIX}")
    settings(calc, "[lean]\ntimeout = 1\n[defaults]\nsummarize_errors = false")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 0, ran.text
    assert "time limit" in ran.err
    assert "[lean] timeout" in ran.err
    assert "add: 2 attempts;" in ran.out


def test_a_leaner_that_falls_silent_is_ended(calc: Bench, leaner: Leaner) -> None:
    leaner("echo begun; sleep 1000")
    once(calc, "[lean]\nidle = 0.5")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 1
    assert "[lean] idle" in ran.err


@pytest.mark.slow
def test_a_leaner_that_is_heard_now_and_then_is_not_silent(calc: Bench, leaner: Leaner) -> None:
    leaner(f"for i in $(seq 10); do sleep 0.8; echo . >&2; done\n{FIX}")
    settings(calc, "[lean]\nidle = 1")
    assert calc.lean_loop(timeout=30).code == 0


def test_a_leaner_that_ends_while_its_child_holds_its_output_does_not_hang(calc: Bench, leaner: Leaner) -> None:
    leaner(f'sleep 1000 & echo $! > "$HOME/pid"\n{FIX}')
    assert calc.lean_loop(timeout=20).code == 0
    assert not Path(f"/proc/{of(calc, 'pid').strip()}").exists()


# ---------------------------------------------------------------------------------------------------- starting it


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "is not there"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("#!/bin/sh\n"), "chmod +x"),
        (lambda path: path.write_text("#!/no/such/shell\n") and path.chmod(0o755), "#!"),
        (lambda path: path.write_bytes(b"\x7fELF\0\0") and path.chmod(0o755), "cannot be started"),
    ],
    ids=["missing", "folder", "not executable", "bad shebang", "no program"],
)
def test_a_leaner_that_cannot_be_started_is_named(calc: Bench, make: Any, words: str) -> None:
    path = calc.home / "agent"
    make(path)
    settings(calc, f'[lean]\nbinary = "{path}"\nbase_url = ""')
    ran = calc.lean_loop()
    assert ran.code == 3
    assert str(path) in ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_python_leaner_needs_no_run_bit(calc: Bench) -> None:
    calc.write(
        "tools/agent.py",
        "import pathlib\npathlib.Path('calc.py').write_text('def add(left, right): return left + right')\n",
    )
    settings(calc, '[lean]\nbinary = "tools/agent.py"\nbase_url = ""')
    assert calc.lean_loop().code == 0


def test_a_key_variable_that_is_not_set_is_named_before_any_call(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + FIX)
    settings(calc, '[lean]\napi_key_env = "NO_SUCH_KEY"')
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "NO_SUCH_KEY" in ran.err
    assert not (calc.home / "n").exists()


# ------------------------------------------------------------------------------------------------- protected files


@pytest.mark.parametrize(
    "deed",
    [
        "echo 'import unittest' > test_calc.py",
        "rm test_calc.py",
        "mv test_calc.py elsewhere.txt",
        "ln -sf /dev/null test_calc.py",
        "chmod 000 test_calc.py",
        "mkdir tests; echo 'import unittest' > tests/test_more.py",
        "echo 'collect_ignore = [\"test_calc.py\"]' > conftest.py",
        "echo '[runner]' > leanfile.toml",
    ],
)
def test_protected_files_are_put_back(calc: Bench, leaner: Leaner, deed: str) -> None:
    once(calc)
    before = {path: (calc.project / path).read_bytes() for path in ("test_calc.py", "leanfile.toml")}
    leaner(f"{deed}; echo done")
    ran = calc.lean_loop("--task", "add")
    assert ran.code == 1
    assert {path: (calc.project / path).read_bytes() for path in before} == before
    assert not (calc.project / "test_calc.py").is_symlink()
    assert os.access(calc.project / "test_calc.py", os.R_OK)
    assert [path for path in ("conftest.py", "tests/test_more.py") if (calc.project / path).exists()] == []


def test_who_changed_a_protected_file_is_told_so(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"if [ $n = 1 ]; then rm test_calc.py; echo removed; else {FIX} fi")
    settings(calc, "[defaults]\nsummarize_errors = false")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "test_calc.py" in ran.err
    note = prompts(calc)[1].partition("# Note")[2]
    assert "test_calc.py" in note and "undone" in note


def test_more_files_can_be_protected_and_tests_be_freed(calc: Bench, leaner: Leaner) -> None:
    calc.write("docs/plan.md", "the plan")
    leaner("echo other > docs/plan.md; echo extra > test_free.py\n" + FIX)
    settings(calc, '[guard]\nprotect = ["docs/*"]\nallow = ["test_free.py"]')
    assert calc.lean_loop().code == 0
    assert calc.read("docs/plan.md") == "the plan"
    assert calc.read("test_free.py") == "extra\n"


def test_a_test_that_the_task_lists_may_be_written(calc: Bench, leaner: Leaner) -> None:
    leaner("echo 'import unittest' > test_more.py\n" + FIX)
    calc.write("leanfile.toml", calc.read("leanfile.toml").replace('["calc.py"]', '["calc.py", "test_more.py"]'))
    assert calc.lean_loop().code == 0
    assert calc.read("test_more.py") == "import unittest\n"


def test_without_protection_tests_may_be_changed(calc: Bench, leaner: Leaner) -> None:
    with_unittest(calc)
    test = "import unittest\nclass Any(unittest.TestCase):\n    def test_it(self): pass\n"
    leaner(f"printf '{test}' > test_calc.py; echo done".replace("\n", "\\n"))
    settings(calc, "[guard]\nprotect_tests = false")
    assert calc.lean_loop().code == 0


# --------------------------------------------------------------------------------- escalation, limits, the best state


def test_another_leaner_takes_over_after_n_failed_judgements(calc: Bench, leaner: Leaner) -> None:
    leaner("[ $LEAN_MODE = ask ] && echo why && exit\n" + COUNT + TALK)
    strong = calc.home / "strong.sh"
    strong.write_text("#!/bin/sh\n[ $LEAN_MODE = ask ] && echo why && exit\n" + DUMP + FIX)
    settings(calc, f'[[escalate]]\nafter = 2\nbinary = "{strong}"\nmodel = "large"')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calls(calc) == 2
    assert variables(calc)["LEAN_MODEL"] == "large"
    edits = [event["leaner"] for event in events(calc, "answered") if event["mode"] == "edit"]
    assert edits == ["leaner", "leaner", "strong"]


def test_a_takeover_begins_afresh_with_what_was_tried(calc: Bench, leaner: Leaner) -> None:
    leaner(writes("*") + TALK)
    strong = calc.home / "strong.sh"
    strong.write_text("cat calc.py > $HOME/found\n" + FIX)
    settings(calc, f'[[escalate]]\nafter = 1\nbinary = "{strong}"')
    assert calc.lean_loop().code == 0
    asked = [(event["leaner"], event["mode"]) for event in events(calc, "answered")]
    assert asked == [("leaner", "edit"), ("strong", "edit")]
    assert "left - right" in (calc.home / "found").read_text()
    assert "1. first attempt -> changed calc.py" in prompts(calc)[1]


@pytest.mark.parametrize(("limit", "most"), [("calls = 2", 2), ("tokens = 1", 1), ("minutes = 0.0001", 1)])
def test_a_limit_ends_the_run_before_the_next_call(calc: Bench, leaner: Leaner, limit: str, most: int) -> None:
    leaner(COUNT + TALK)
    settings(calc, f"[limits]\n{limit}")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert f"[limits] {limit.split()[0]}" in ran.out
    assert not (calc.home / "n").exists() or calls(calc) <= most


def test_tasks_that_a_limit_leaves_are_named(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + FIX)
    settings(calc, "[limits]\ncalls = 1")
    calc.write("leanfile.toml", calc.read("leanfile.toml") + '\n[[tasks]]\nname = "second"\nprompt = "more"\n')
    ran = calc.lean_loop()
    assert ran.code == 1
    assert calls(calc) == 1
    assert "second" in ran.out


SCORE = """
import unittest

from score import POINTS


class Score(unittest.TestCase):
    def test_one(self): self.assertIn(1, POINTS)
    def test_two(self): self.assertIn(2, POINTS)
    def test_three(self): self.assertIn(3, POINTS)
"""


BROKEN = """
[runner]
command = "{python}"
args = ["-m", "pytest", "-q"]
[defaults]
max_iters_per_task = 1
summarize_errors = false
[[tasks]]
prompt = "all points"
"""


@pytest.mark.parametrize(
    ("on_fail", "left"), [("best", "POINTS = [1, 2]\n"), ("keep", "POINTS = [9]\n"), ("restore", "POINTS = [0]\n")]
)
def test_a_red_task_leaves_the_state_that_on_fail_names(bench: Bench, leaner: Leaner, on_fail: str, left: str) -> None:
    points = 'case $n in 1) p=1;; 2) p="1, 2";; 3) p=9;; esac; echo "POINTS = [$p]" > score.py\n'
    leaner(f"{COUNT}{points}echo x > new$n; {TALK}")
    bench.write("score.py", "POINTS = [0]\n")
    bench.write("test_score.py", SCORE)
    bench.write(
        "leanfile.toml",
        f"""
        [runner]
        command = "{{python}}"
        args = ["-m", "unittest", "-q"]
        [guard]
        on_fail = "{on_fail}"
        [defaults]
        max_iters_per_task = 2
        summarize_errors = false
        [[tasks]]
        prompt = "all points"
        """,
    )
    bench.commit()
    ran = bench.lean_loop()
    assert ran.code == 1
    assert bench.read("score.py") == left
    made = sorted(path.name for path in bench.project.glob("new*"))
    assert made == {"best": ["new1", "new2"], "keep": ["new1", "new2", "new3"], "restore": []}[on_fail]


def test_a_file_that_cannot_be_loaded_is_worse_than_failing_tests(bench: Bench, leaner: Leaner) -> None:
    leaner(f"{COUNT}echo 'POINTS = [' > score.py; {TALK}")
    bench.write("score.py", "POINTS = [0]\n")
    bench.write("test_score.py", SCORE)
    bench.write("leanfile.toml", BROKEN)
    bench.commit()
    ran = bench.lean_loop()
    assert ran.code == 1
    assert bench.read("score.py") == "POINTS = [0]\n"
    failing = SCORE.count("def test_")
    assert f"{failing} -> {failing} failing" in ran.out, ran.text


def test_the_attempts_that_were_not_left_can_be_had_from_the_record(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + f"case $n in 1) {writes('*')};; *) {writes('/')};; esac\n{TALK}")
    settings(calc, "[defaults]\nmax_iters_per_task = 1\nsummarize_errors = false")
    calc.lean_loop()
    (folder,) = calc.runs()
    diffs = [path.read_text() for path in sorted(folder.glob("*-diff.txt"))]
    assert ["left * right" in diffs[0], "left / right" in diffs[1]] == [True, True]


# --------------------------------------------------------------------------------------------------- a task's own keys

PER_TASK = """
[runner]
command = 'echo "common $*" >> "$HOME/ran"; exit 1; :'
shell = true
[defaults]
max_iters_per_task = 1
summarize_errors = false
[[tasks]]
name = "own"
prompt = "mend"
files = ["calc.py"]
test_files = ["test_calc.py", "test two.py"]
after = ["echo after >> \\"$HOME/ran\\""]
[tasks.runner]
command = 'own() { printf "<%s>" "$@" >> "$HOME/ran"; echo >> "$HOME/ran"; grep -q "left + right" calc.py; }; own'
args = ["-x", "{test_files}", "-y"]
env = { COLOUR = "green" }
"""


def test_a_tasks_own_runner_files_and_after_hold_for_first_run_and_fixes(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + DUMP + f"[ $n = 1 ] && {{ {writes('*')} echo no; }} || {{ {FIX} }}")
    calc.write("leanfile.toml", PER_TASK)
    calc.lean_loop()
    ran = of(calc, "ran").splitlines()
    own = "<-x><test_calc.py><test two.py><-y>"
    assert [line for line in ran if not line.startswith("common")] == [own, own, own, "after"]
    assert variables(calc)["LEAN_FILES"] == "calc.py"
    assert "calc.py" in prompts(calc)[0]


def test_test_files_stand_last_where_the_arguments_do_not_place_them(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("leanfile.toml", PER_TASK.replace('"{test_files}", ', ""))
    calc.lean_loop()
    assert "<-x><-y><test_calc.py><test two.py>" in of(calc, "ran").splitlines()


def test_a_task_without_tests_is_called_once_and_says_it_is_untested(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + TALK)
    calc.write("leanfile.toml", calc.read("leanfile.toml") + "skip_tests = true\nafter = ['echo after > after.txt']\n")
    ran = calc.lean_loop()
    assert ran.code == 0
    assert calls(calc) == 1
    assert "untested: add" in ran.out
    assert events(calc, "tested") == []
    assert calc.read("after.txt") == "after\n"


def test_a_task_after_an_untested_one_is_tested_though_it_has_the_same_files(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + TALK)
    calc.write(
        "leanfile.toml",
        calc.read("leanfile.toml").replace("[[tasks]]", "[defaults]\nmax_iters_per_task = 0\n[[tasks]]"),
    )
    calc.write(
        "leanfile.toml",
        calc.read("leanfile.toml") + "skip_tests = true\n[[tasks]]\nprompt = 'add'\nfiles = ['calc.py']\n",
    )
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert [event["green"] for event in events(calc, "tested")][:2] == [False, False]


def test_an_after_command_that_fails_ends_the_run_with_1(calc: Bench, leaner: Leaner) -> None:
    leaner(COUNT + FIX)
    after = "after = ['echo fine', 'echo cannot build; exit 4', 'echo never > never.txt']\n[[tasks]]\nprompt = 'next'\n"
    calc.write("leanfile.toml", calc.read("leanfile.toml") + after)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "cannot build" in ran.out
    assert "echo cannot build; exit 4" in ran.out
    assert calls(calc) == 1
    assert not (calc.project / "never.txt").exists()


def test_an_after_command_has_a_time_limit(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, "[defaults]\nafter_command_timeout = 0.5")
    calc.write("leanfile.toml", calc.read("leanfile.toml") + "after = ['sleep 1000']\n")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 1
    assert "time limit: [defaults] after_command_timeout" in ran.out


# --------------------------------------------------------------------------------------------------------- the secret

SECRET = "sk-0123456789abcdef"


def leaks(bench: Bench, text: str) -> list[str]:
    """Name the files of the record that hold TEXT."""
    found = [path for folder in bench.runs() for path in folder.rglob("*") if path.is_file()]
    assert found, "there is no record"
    return [path.name for path in found if text.encode() in path.read_bytes()]


def test_the_key_is_masked_wherever_it_comes_up(calc: Bench, leaner: Leaner) -> None:
    with_unittest(calc)
    leaner('echo "key $LEAN_API_KEY"; echo "key $LEAN_API_KEY" >&2; echo "# $LEAN_API_KEY" >> calc.py; exit 1')
    calc.write("test_calc.py", calc.read("test_calc.py").replace("import unittest", "import os, unittest", 1)
               .replace("add(2, 3), 5", "add(2, 3), os.environ['MY_KEY']"))  # fmt: skip
    calc.commit()
    settings(calc, '[lean]\napi_key_env = "MY_KEY"\n[defaults]\nmax_iters_per_task = 1')
    with_prompt(calc, f"Use {SECRET} for it")
    ran = calc.lean_loop(MY_KEY=SECRET)
    assert ran.code == 1
    assert SECRET not in ran.text
    assert leaks(calc, SECRET) == []
    assert "[masked" in "".join(prompts(calc))


def test_the_key_is_masked_in_pytests_report(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    with_unittest(calc)
    calc.write(
        "test_calc.py", "import os\n\ndef test_it():\n    assert not os.environ['MY_KEY'], os.environ['MY_KEY']\n"
    )
    calc.write("leanfile.toml", calc.read("leanfile.toml").replace("unittest", "pytest"))
    once(calc, '[lean]\napi_key_env = "MY_KEY"')
    ran = calc.lean_loop(MY_KEY=SECRET)
    assert "1 failing" in ran.text
    assert SECRET not in ran.text
    assert leaks(calc, SECRET) == []


def test_the_key_is_masked_in_what_the_leaner_says_it_used(calc: Bench, leaner: Leaner) -> None:
    leaner('echo "{\\"requests\\": 1, \\"note\\": \\"$LEAN_API_KEY\\"}" > "$LEAN_USAGE_FILE"\n' + FIX)
    settings(calc, f'[lean]\napi_key = "{SECRET}"')
    assert calc.lean_loop().code == 0
    assert leaks(calc, SECRET) == []


def test_the_key_of_an_escalation_is_masked_too(calc: Bench, leaner: Leaner) -> None:
    leaner(f"echo {SECRET}\n" + FIX)
    settings(calc, f'[[escalate]]\nafter = 5\nbinary = "direct"\napi_key = "{SECRET}"')
    assert calc.lean_loop().code == 0
    assert leaks(calc, SECRET) == []


def test_what_the_mask_patterns_match_is_masked(calc: Bench, leaner: Leaner) -> None:
    leaner("echo token tok_12345; exit 1")
    once(calc, f"[lean]\napi_key = '{SECRET}'\n[guard]\nmask = ['(?i)TOK_\\d+', '(?i)other']")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert "tok_12345" not in ran.text
    assert leaks(calc, "tok_12345") == []


def test_a_missing_bash_is_told_before_any_test_is_run(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    tools = calc.home / "tools"
    tools.mkdir()
    for name in ("git", "grep"):
        (tools / name).symlink_to(str(shutil.which(name)))
    ran = calc.lean_loop(PATH=str(tools))
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("lean-loop: bash was not found: .sh leaners need it. Install bash")


@pytest.mark.parametrize("key", ["not-needed", "short"])
def test_the_default_key_and_short_ones_are_not_masked(calc: Bench, leaner: Leaner, key: str) -> None:
    leaner(f"echo this is {key}\n" + FIX)
    settings(calc, f'[lean]\napi_key = "{key}"')
    assert calc.lean_loop().code == 0
    assert [name.partition("-")[2] for name in leaks(calc, f"this is {key}")] == ["answer.txt"]


def test_a_key_split_by_terminal_codes_is_still_masked(calc: Bench, leaner: Leaner) -> None:
    leaner('printf "%s\\033[0m%s\\n" "${LEAN_API_KEY:0:6}" "${LEAN_API_KEY:6}"; exit 1')
    once(calc, f'[lean]\napi_key = "{SECRET}"')
    assert SECRET not in calc.lean_loop().text
    assert leaks(calc, SECRET) == []


def test_a_wrapper_that_lies_elsewhere_finds_the_helpers(calc: Bench, leaner: Leaner) -> None:
    leaner('. "${LEAN_LIB:-$(dirname "$0")/_lib.bash}"\nbegin bash "the shell" "$@"\nwatch cat\ncat "$log"\n')
    ran = calc.lean_loop("--ask", "What does it add?", "calc.py")
    assert ran.code == 0, ran.text
    assert "What does it add?" in ran.out
