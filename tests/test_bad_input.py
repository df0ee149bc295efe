"""Bad input and odd surroundings, each through the real command: a clear word, no traceback, nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import CALC, CALC_TEST, LEANFILE, LEANLOOP, RIGHT, ROOT, Bench, Leaner, Ran, Serve, few_of, prompt_of

RUNNER = '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest", "-q"]\n'
TASK = '[[tasks]]\nname = "add"\nprompt = "Mend add in calc.py."\nfiles = ["calc.py"]\n'
SILENT_SERVER = "http://127.0.0.1:9/v1"  # nobody listens there: a run that asks it would fail otherwise


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file below FOLDER, its repository included, except what Python itself caches."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refuse(bench: Bench, code: int, *args: str, **env: str) -> str:
    """Run a command that has to be refused with CODE; return the message, which alone is printed."""
    before = contents(bench.project)
    ran = replace(bench, env={**bench.env, **env}).lean_loop(*args)
    assert ran.code == code, ran.text
    assert ran.out == ""
    assert ran.err.startswith("lean-loop: ")
    assert "Traceback" not in ran.err
    assert contents(bench.project) == before
    return ran.err


def green(ran: Ran) -> None:
    """Check that a run ended green, and quietly so."""
    assert ran.code == 0, ran.text
    assert "Traceback" not in ran.text
    assert "green: add" in ran.out


# ----------------------------------------------------------------------------------------------- the leanfile itself


def test_a_missing_leanfile_is_named_with_the_way_to_write_one(bench: Bench) -> None:
    message = refuse(bench, 2)
    assert "leanfile.toml: there is no such file" in message
    assert "--init" in message


def test_a_leanfile_that_is_a_folder_is_refused(bench: Bench) -> None:
    (bench.project / "leanfile.toml").mkdir()
    assert "leanfile.toml: this is a folder" in refuse(bench, 2)


def test_a_leanfile_that_is_not_utf8_is_refused(calc: Bench) -> None:
    calc.write("leanfile.toml", LEANFILE.encode() + b"# caf\xe9\n")
    assert "leanfile.toml: this is not UTF-8" in refuse(calc, 2)


def test_a_byte_order_mark_is_no_fault(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("leanfile.toml", b"\xef\xbb\xbf" + LEANFILE.encode())
    green(calc.lean_loop())


def test_windows_line_endings_are_no_fault(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("leanfile.toml", LEANFILE.replace("\n", "\r\n").encode())
    green(calc.lean_loop())


REFUSED = {
    "syntax error": (RUNNER + TASK + 'after = ["x"\nmax_iters = 1\n', ["not valid TOML", "line 9"]),
    "key twice": (RUNNER + "args = []\n" + TASK, ["not valid TOML", "line 4"]),
    "args a string": ('[runner]\ncommand = "x"\nargs = "x"\n', ["[runner]", "args", "a list of strings", '"x"']),
    "args of numbers": ('[runner]\ncommand = "x"\nargs = [1]\n', ["[runner]", "args", "a list of strings"]),
    "a number in words": (
        '[defaults]\nmax_iters_per_task = "five"\n' + RUNNER + TASK,
        ["[defaults]", "max_iters_per_task", "a whole number", '"five"'],
    ),
    "a flag as a number": (
        "[defaults]\nsummarize_errors = 1\n" + RUNNER,
        ["[defaults]", "summarize_errors", "true or false"],
    ),
    "a number as a flag": ("[defaults]\nsource_window = true\n" + RUNNER, ["source_window", "a whole number", "true"]),
    "tasks a table": ("tasks = {}\n" + RUNNER, ["[[tasks]]", "a list of tables"]),
    "tasks of words": ('tasks = ["add"]\n' + RUNNER, ["[[tasks 1]]", "a table", '"add"']),
    "a negative time": (RUNNER + "timeout = -1\n" + TASK, ["[runner]", "timeout", "above 0", "-1"]),
    "no time at all": (RUNNER + "timeout = 0\n", ["[runner]", "timeout", "above 0"]),
    "an endless time": (RUNNER + "timeout = nan\n", ["[runner]", "timeout", "above 0"]),
    "a time without end": (RUNNER + "timeout = inf\n", ["[runner]", "timeout", "10^9", "Infinity"]),
    "too large a number": (RUNNER + TASK + "max_iters = 10_000_000_000\n", ["[[tasks 1]]", "max_iters", "10^9"]),
    "no number": ("[lean]\ntemperature = nan\n" + RUNNER, ["[lean]", "temperature", "NaN"]),
    "a zero in a word": ('[runner]\ncommand = "x\\u0000"\n', ["[runner]", "command", "u0000"]),
    "a zero in a list": (RUNNER + TASK + 'after = ["x\\u0000"]\n', ["[[tasks 1]]", "after", "u0000"]),
    "a variable without name": (RUNNER + 'env = { "" = "x" }\n', ["[runner]", "env", "names"]),
    "a variable's name with =": (RUNNER + 'env = { "A=B" = "x" }\n', ["[runner]", "env", "names"]),
    "no regular expression": ('[guard]\nmask = ["("]\n' + RUNNER, ["[guard]", "mask", "regular expressions", '"("']),
    "a mask for everything": ('[guard]\nmask = ["x*"]\n' + RUNNER, ["[guard]", "mask", "not an empty one"]),
    "runner a word": ('runner = "pytest"\n', ["[runner]", "a table", '"pytest"']),
    "lean a list": ("[[lean]]\nmodel = 'x'\n" + RUNNER, ["[lean]", "a table"]),
    "leaners a word": ("leaners = 'qwen'\n" + RUNNER, ["[leaners", "a table", '"qwen"']),
    "a table for a word": (RUNNER + "[defaults]\nproject_root = {}\n", ["[defaults]", "project_root", "a string"]),
    "a wrong choice": ("[guard]\non_fail = 'bset'\n" + RUNNER, ["[guard]", "on_fail", "best, keep, restore", "bset"]),
    "a wrong size": ("[guard]\nmax_file = 'large'\n" + RUNNER, ["[guard]", "max_file", "50MB"]),
    "env of numbers": (RUNNER + "env = { CI = 1 }\n", ["[runner]", "env", "strings"]),
    "an unknown key": (RUNNER + "tiemout = 3\n", ["[runner]", "'tiemout'", "'timeout'"]),
    "an unknown key of a task": (RUNNER + TASK + "promt = 'x'\n", ["[[tasks 1]]", "'promt'", "'prompt'"]),
    "an unknown key of its runner": (RUNNER + TASK + "runner = { arg = ['x'] }\n", ["tasks 1", "'arg'", "'args'"]),
    "an unknown table": ("[defualts]\n" + RUNNER, ["'defualts'", "'defaults'"]),
    "an unknown key at the top": ("command = 'pytest'\n", ["'command'", "under [runner] or [notify]."]),
    "a runner's key below the tasks": (RUNNER + TASK + "args = []\n", ["tasks 1", "Put 'args' under [runner]."]),
    "a key that has two homes": (RUNNER + TASK + "timeout = 9\n", ["under [lean] or [runner]."]),
    "nearly a key, and one elsewhere": (
        RUNNER + TASK + "max_iters_per_task = 2\n",
        ["Did you mean 'max_iters'?", "under [defaults]."],
    ),
    "an unknown leaner key": ("[leaners.qwen]\nmodle = 'x'\n" + RUNNER, ["[leaners.qwen]", "'modle'", "'model'"]),
    "binary in a leaner": ("[leaners.qwen]\nbinary = 'x'\n" + RUNNER, ["[leaners.qwen]", "binary"]),
    "a task without prompt": (RUNNER + "[[tasks]]\nname = 'add'\n", ["[[tasks 1]]", "prompt"]),
    "a task with an empty prompt": (RUNNER + TASK + "[[tasks]]\nprompt = ''\n", ["[[tasks 2]]", "prompt"]),
    "two tasks of one name": (RUNNER + TASK + TASK, ["'add'", "two tasks"]),
    "no runner": (TASK, ["[runner]", "command"]),
    "no command": ("[runner]\nargs = ['-q']\n" + TASK, ["[runner]", "command"]),
    "no such root": ("[defaults]\nproject_root = 'nowhere'\n" + RUNNER, ["project_root", "nowhere"]),
    "a file outside": (RUNNER + TASK.replace("calc.py", "../secret.py"), ["tasks 1", "../secret.py", "outside"]),
    "a file far outside": (RUNNER + TASK.replace('["calc.py"]', '["/etc/passwd"]'), ["/etc/passwd", "outside"]),
    "a folder as a file": (RUNNER + TASK.replace('["calc.py"]', '["."]'), ["tasks 1", "folder"]),
    "a pattern as a file": (RUNNER + TASK.replace('calc.py"]', '*.py"]'), ["tasks 1", "*.py is a pattern"]),
    "an escalation without number": ("[[escalate]]\nbinary = 'x'\n" + RUNNER, ["[[escalate 1]]", "after"]),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_a_bad_leanfile_is_refused_with_file_table_and_key(calc: Bench, text: str, words: list[str]) -> None:
    calc.write("leanfile.toml", text.encode())
    message = refuse(calc, 2)
    assert message.startswith("lean-loop: leanfile.toml: ")
    assert [word for word in words if word not in message] == []
    assert re.search(r"\. [A-Z]\w+", message), "it says what to do next"


def test_a_file_whose_name_looks_like_a_pattern_is_one(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("what*.py", "")
    calc.write("leanfile.toml", LEANFILE.replace('"calc.py"', '"calc.py", "what*.py", "[id].py"'))
    green(calc.lean_loop())


def test_a_date_for_the_server_travels_as_text(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    calc.write("leanfile.toml", "[lean]\nextra_body = { since = 2026-11-28 }\n" + LEANFILE)
    green(calc.lean_loop())
    assert server.requests[0]["since"] == "2026-11-28"


@pytest.mark.parametrize("command", ["python3 -m unittest", "./no such/program"])
def test_a_whole_line_as_the_command_is_told_where_its_words_belong(calc: Bench, serve: Serve, command: str) -> None:
    serve(RIGHT)
    calc.write("leanfile.toml", f'[runner]\ncommand = "{command}"\n' + TASK)
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert f"'{command}' was not found. Put what stands behind the program into args." in ran.err


@pytest.mark.parametrize("prompt", ["", "   \n"], ids=["empty", "blank"])
def test_a_prompt_that_says_nothing_is_missing(calc: Bench, prompt: str) -> None:
    calc.write("leanfile.toml", f'[health]\nmax_wait = 0\n{RUNNER}[[tasks]]\nname = "add"\nprompt = """{prompt}"""\n')
    assert "prompt is a text that says what is to be done" in refuse(calc, 2)


def test_a_link_that_leads_out_of_the_project_is_refused(calc: Bench) -> None:
    secret = calc.home / "secret.py"
    secret.write_text("kept = True\n")
    (calc.project / "near.py").symlink_to(secret)
    calc.write("leanfile.toml", LEANFILE.replace("calc.py", "near.py"))
    assert "near.py lies outside the project" in refuse(calc, 2)


def test_the_static_file_is_named_where_the_fault_is_there(calc: Bench) -> None:
    static = calc.home / "own.toml"
    static.write_text("[health]\nmax_wiat = 3\n")
    message = refuse(calc, 2, "-g", str(static))
    assert f"{static}: [health]" in message
    assert "'max_wait'" in message


def test_an_unknown_task_lists_the_known_ones(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    message = refuse(calc, 2, "--task", "addd")
    assert "--task" in message
    assert "'addd'" in message
    assert "It has: add." in message


@pytest.mark.parametrize(
    ("args", "variable", "origin"),
    [((), "/nowhere/lean.toml", "$LEANLOOP_CONFIG"), (("-g", "/nowhere/lean.toml"), "", "--global-config")],
)
def test_a_static_file_that_is_not_there_is_named_with_its_origin(
    calc: Bench, args: tuple[str, ...], variable: str, origin: str
) -> None:
    message = refuse(calc, 2, *args, LEANLOOP_CONFIG=variable)
    assert f"{origin}: there is no file /nowhere/lean.toml" in message
    assert "Correct the path" in message


# ------------------------------------------------------------------------------------------------- the test command


@pytest.mark.parametrize("shell", ["false", "true"])
def test_a_missing_test_command_is_no_red_test(calc: Bench, serve: Serve, shell: str) -> None:
    server = serve(RIGHT)
    calc.write("leanfile.toml", f'[runner]\ncommand = "no-such-runner"\nshell = {shell}\n' + TASK)
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "Traceback" not in ran.text
    assert "[runner] command" in ran.err
    assert "no-such-runner" in ran.err
    assert "Install" in ran.err
    assert server.requests == []


@pytest.mark.parametrize("kind", ["not executable", "folder", "bad interpreter", "no program"])
def test_a_test_command_that_cannot_start_says_why(calc: Bench, serve: Serve, kind: str) -> None:
    server = serve(RIGHT)
    unstartable(calc.project / "check", kind)
    calc.write("leanfile.toml", '[runner]\ncommand = "./check"\n' + TASK)
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "Traceback" not in ran.text
    assert "[runner] command: './check'" in ran.err
    assert server.requests == []


def test_a_missing_test_module_is_no_red_test(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    calc.write("leanfile.toml", LEANFILE.replace('"unittest", "-q"', '"no_such_runner"'))
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "no_such_runner" in ran.err
    assert server.requests == []


# ---------------------------------------------------------------------------------------------------------- leaners


def unstartable(path: Path, kind: str) -> Path:
    """Make something at PATH that cannot be started, in the way that KIND says."""
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("#!/no/such/interpreter\n" if kind == "bad interpreter" else "neither script nor program\n")
        path.chmod(0o644 if kind == "not executable" else 0o755)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "is not there"),
        ("folder", "is a folder"),
        ("not executable", "cannot be executed"),
        ("bad interpreter", "(#!)"),
        ("no program", "(#!)"),
    ],
)
def test_a_leaner_that_cannot_start_says_why(calc: Bench, kind: str, words: str) -> None:
    path = unstartable(calc.home / "helper", kind)
    static = calc.home / "own.toml"
    static.write_text(f'[lean]\nbinary = "{path.as_posix()}"\nbase_url = ""\n')
    before = contents(calc.project)
    ran = calc.lean_loop("-g", str(static))
    assert ran.code == 3, ran.text
    assert "Traceback" not in ran.text
    assert "[lean] binary" in ran.err
    assert str(path) in ran.err
    assert words in ran.err
    assert contents(calc.project) == before


def test_a_leaner_that_nobody_knows_lists_or_suggests_the_known(calc: Bench) -> None:
    calc.write("leanfile.toml", '[lean]\nbinary = "dirct"\n' + LEANFILE)
    message = refuse(calc, 3)
    assert "'dirct'" in message
    assert "'direct'" in message


def test_a_key_variable_that_is_not_set_is_named(calc: Bench) -> None:
    calc.write("leanfile.toml", '[lean]\napi_key_env = "NO_SUCH_KEY"\n' + LEANFILE)
    assert 'the variable "NO_SUCH_KEY" is not set' in refuse(calc, 3)


def test_a_base_url_that_is_no_url_is_named(calc: Bench) -> None:
    calc.write("leanfile.toml", '[lean]\nbase_url = "127.0.0.1:8080/v1"\n[health]\nmax_wait = 0.2\n' + LEANFILE)
    ran = calc.lean_loop()
    assert ran.code in (2, 3), ran.text
    assert "Traceback" not in ran.text
    assert "127.0.0.1:8080/v1" in ran.err
    assert "no URL" in ran.err
    assert "[lean] base_url" in ran.err


def test_a_server_that_is_not_there_is_waited_for_and_named(calc: Bench) -> None:
    calc.write("leanfile.toml", f'[lean]\nbase_url = "{SILENT_SERVER}"\n[health]\nmax_wait = 0.2\n' + LEANFILE)
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert f"{SILENT_SERVER}/models: the server is not ready after 0.2 s" in ran.err
    assert "base_url" in ran.err


# -------------------------------------------------------------------------------------------------------- listed files


CALC_BY_IMPORT = """calc.py
```python
from parts import new


def add(left: int, right: int) -> int:
    return new.add(left, right)
```
"""


def test_a_test_file_that_is_missing_is_named_before_any_call(calc: Bench, serve: Serve) -> None:
    server = serve("")
    tasks = calc.read("leanfile.toml")
    calc.write("leanfile.toml", tasks + 'test_files = ["test_clac.py::Add"]\n')
    ran = calc.lean_loop()
    assert ran.code == 2, ran.text
    assert "its test file test_clac.py is not there, and no task may write it" in ran.err
    assert not server.requests
    calc.write(
        "leanfile.toml", tasks.replace("files = [", 'files = ["test_clac.py", ') + 'test_files = ["test_clac.py"]\n'
    )
    assert calc.lean_loop("--dry-run").code == 0


def test_a_listed_file_that_is_missing_is_one_to_create(calc: Bench, serve: Serve) -> None:
    server = serve(f"{CALC_BY_IMPORT}\n{RIGHT.replace('calc.py', 'parts/new.py', 1)}")
    calc.write("leanfile.toml", LEANFILE.replace('["calc.py"]', '["calc.py", "parts/new.py"]'))
    green(calc.lean_loop())
    assert "parts/new.py (does not exist yet)" in prompt_of(server.requests[0])
    assert "left + right" in calc.read("parts/new.py")


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), b"caf\xe9 au lait\n", b"", b"\0"],
    ids=["binary", "latin-1", "empty", "a zero"],
)
def test_a_listed_file_of_odd_bytes_stays_as_it_is(calc: Bench, serve: Serve, data: bytes) -> None:
    server = serve(RIGHT)
    calc.write("odd.dat", data)
    calc.write("leanfile.toml", LEANFILE.replace('["calc.py"]', '["odd.dat", "calc.py"]'))
    green(calc.lean_loop())
    assert "odd.dat" in prompt_of(server.requests[0])
    assert (calc.project / "odd.dat").read_bytes() == data


def test_an_edit_of_a_latin_1_source_keeps_its_other_bytes(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("calc.py", b"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\n\n\n" + CALC.strip().encode() + b"\n")
    calc.write("leanfile.toml", "[defaults]\nmax_iters_per_task = 1\n" + LEANFILE)
    ran = calc.lean_loop()
    assert "Traceback (most" not in ran.text
    assert ran.code == 0, ran.text
    assert b"NAME = 'caf\xe9'" in (calc.project / "calc.py").read_bytes()


def test_line_endings_are_kept(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("calc.py", CALC.strip().replace("\n", "\r\n").encode() + b"\r\n")
    calc.commit("endings")
    green(calc.lean_loop())
    data = (calc.project / "calc.py").read_bytes()
    assert b"left + right\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")


@pytest.mark.parametrize("name", few_of(["big.txt", "big.py"]))
def test_a_listed_file_of_5_mb_does_not_fill_the_prompt(calc: Bench, serve: Serve, name: str) -> None:
    server = serve(RIGHT)
    calc.write(name, b"number = 12345678\n" * 280_000)
    calc.write("leanfile.toml", LEANFILE.replace('["calc.py"]', f'["{name}", "calc.py"]'))
    before = (calc.project / name).read_bytes()
    green(calc.lean_loop())
    prompt = prompt_of(server.requests[0])
    assert name in prompt
    assert len(prompt) < 10_000
    assert (calc.project / name).read_bytes() == before


# ------------------------------------------------------------------------------------------------------------ prompts

WILD = "- \"it's\" `touch pwned` $(touch pwned) ${HOME} %PATH% \\n 'a' * ? <&> ; touch pwned #\n"
KEEPS = """
    printf '%s' "$1" > "$HOME/flag"
    printf '%s' "$2" > "$HOME/argument"
    cat "$LEAN_PROMPT_FILE" > "$HOME/prompt"
    sed -i.old 's/left - right/left + right/' calc.py && rm calc.py.old
    echo done
"""


def test_a_wild_prompt_reaches_the_leaner_as_it_is(calc: Bench, leaner: Leaner) -> None:
    leaner(KEEPS)
    calc.write("leanfile.toml", LEANFILE.replace('"Mend add in calc.py: it must add."', f"'''\n{WILD}'''"))
    green(calc.lean_loop())
    assert (calc.home / "flag").read_text() == "-p"
    assert WILD.strip() in (calc.home / "argument").read_text()
    assert (calc.home / "argument").read_text() == (calc.home / "prompt").read_text()
    assert not (calc.project / "pwned").exists()


def test_a_wild_prompt_of_300_kb_stands_whole_in_the_prompt_file(calc: Bench, leaner: Leaner) -> None:
    leaner(KEEPS)
    words = WILD * 3700
    assert len(words) > 300_000
    calc.write("leanfile.toml", LEANFILE.replace('"Mend add in calc.py: it must add."', f"'''\n{words}'''"))
    green(calc.lean_loop())
    argument = (calc.home / "argument").read_text()
    assert words.strip() in (calc.home / "prompt").read_text()
    assert "\n" not in argument
    assert "prompt.md" in argument
    assert not (calc.project / "pwned").exists()


@pytest.mark.parametrize("opening", few_of(["-v", "--help", "-"], 2))
def test_a_prompt_that_begins_with_a_dash_is_no_option(calc: Bench, serve: Serve, opening: str) -> None:
    server = serve(RIGHT)
    calc.write("leanfile.toml", f'[defaults]\nglobal_message = "{opening}"\n' + LEANFILE)
    green(calc.lean_loop())
    assert prompt_of(server.requests[0]).startswith(opening)


# ------------------------------------------------------------------------------------------------------ surroundings


@pytest.mark.parametrize("folder", few_of(["with some spaces", "größe – 尺寸", "it's $HOME `x` [a] {b}", "-dash"], 2))
def test_an_odd_project_path_is_no_fault(bench: Bench, serve: Serve, folder: str) -> None:
    serve(RIGHT)
    odd = replace(bench, project=bench.project / folder)
    fill(odd)
    odd.commit()
    green(odd.lean_loop())
    assert "left + right" in odd.read("calc.py")


def fill(bench: Bench, leanfile: str = LEANFILE) -> None:
    """Write the small project with its one fault."""
    bench.write("calc.py", CALC)
    bench.write("test_calc.py", CALC_TEST)
    bench.write("leanfile.toml", leanfile)


def test_odd_file_names_are_no_fault(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT.replace("calc.py", "summe größer.py", 1))
    (calc.project / "calc.py").rename(calc.project / "summe größer.py")
    calc.write("calc.py", "import importlib\n\nadd = importlib.import_module('summe größer').add\n")
    calc.write("leanfile.toml", LEANFILE.replace('["calc.py"]', '["summe größer.py"]'))
    calc.commit("names")
    green(calc.lean_loop())
    assert "summe größer.py" in prompt_of(server.requests[0])
    assert "left + right" in calc.read("summe größer.py")


def test_project_root_may_be_a_subfolder(bench: Bench, serve: Serve) -> None:
    serve(RIGHT)
    bench.write("leanfile.toml", '[defaults]\nproject_root = "code"\n' + LEANFILE)
    fill(replace(bench, project=bench.project / "code"))
    bench.write("other.txt", "not in it\n")
    bench.commit()
    green(bench.lean_loop())
    assert "left + right" in bench.read("code/calc.py")
    assert bench.git("status", "--porcelain").split() == ["M", "code/calc.py"]


def test_the_command_may_be_run_from_elsewhere(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    green(replace(calc, project=calc.home).lean_loop("-c", str(calc.project / "leanfile.toml")))
    assert "left + right" in calc.read("calc.py")


def test_without_git_on_path_the_need_of_it_is_said(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    programs = calc.home / "bin"
    programs.mkdir()
    for name in ("python3", "bash", "sh"):
        (programs / name).symlink_to(shutil.which(name) or name)
    message = refuse(calc, 3, PATH=str(programs))
    assert "git was not found on PATH" in message
    assert "Install git" in message
    assert server.requests == []


def test_without_a_repository_it_works(bench: Bench, serve: Serve) -> None:
    serve(RIGHT)
    fill(bench)
    green(bench.lean_loop())
    assert sorted(name for name in contents(bench.project)) == ["calc.py", "leanfile.toml", "test_calc.py"]


def test_before_the_first_commit_it_works(bench: Bench, serve: Serve) -> None:
    serve(RIGHT)
    fill(bench)
    bench.git("init", "-q", "-b", "main")
    bench.git("add", "calc.py")
    green(bench.lean_loop())
    assert bench.git("status", "--porcelain").split() == ["AM", "calc.py", "??", "leanfile.toml", "??", "test_calc.py"]


def test_with_a_detached_head_it_works(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.git("checkout", "-q", "--detach")
    head = calc.git("rev-parse", "HEAD")
    green(calc.lean_loop())
    assert calc.git("rev-parse", "HEAD") == head
    assert calc.git("branch", "--show-current").strip() == ""


LOCALES = {
    "C": {"LANG": "C"},
    "nothing": {"LANG": ""},
    "POSIX, and Python believes it": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


@pytest.mark.parametrize("locale", few_of(LOCALES.values(), 2), ids=LOCALES)
def test_the_locale_c_is_no_fault(calc: Bench, serve: Serve, locale: dict[str, str]) -> None:
    server = serve(RIGHT.replace("Small sums", "Größen"))
    calc.write("calc.py", CALC.replace("Small sums", "Größen"))
    calc.write("leanfile.toml", LEANFILE.replace("it must add", "es muß addieren – 和"))
    calc.env.update(locale)
    green(calc.lean_loop())
    assert "es muß addieren – 和" in prompt_of(server.requests[0])
    assert "Größen" in calc.read("calc.py")


def test_with_home_unset_it_works(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    del calc.env["HOME"]
    green(calc.lean_loop())


def test_without_any_home_the_state_goes_to_a_temporary_folder_and_that_is_said(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    temporary = calc.home / "tmp"
    temporary.mkdir()
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        del calc.env[name]
    ran = calc.lean_loop(HOME="", TMPDIR=str(temporary))
    green(ran)
    assert list(temporary.glob("lean-loop-*/*/runs/*/events.jsonl"))
    assert "no home" in ran.err
    assert str(temporary) in ran.err


def test_a_state_folder_that_cannot_be_made_is_named(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    blocked = calc.home / "blocked"
    blocked.write_text("a file, no folder\n")
    message = refuse(calc, 3, XDG_STATE_HOME=str(blocked / "state"))
    assert str(blocked) in message
    assert "XDG_STATE_HOME" in message
    assert server.requests == []


# ------------------------------------------------------------------------------------------------ no rights to write


def plain_python() -> str:
    """Find a Python 3.11 or newer that a user without rights can start; skip the test where there is none."""
    readable = "os.access(sys.executable, os.X_OK) and os.access(sys.argv[1], os.R_OK)"
    ask = ["-c", f"import os, sys, tomllib; sys.exit(not ({readable}))", str(ROOT / "leanloop.py")]
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        started = Path(python).exists() and subprocess.run([*unprivileged(), python, *ask], capture_output=True)
        if started and not started.returncode:
            return python
    pytest.skip("no Python 3.11, or no leanloop.py, that a user without rights can start")


def unprivileged() -> list[str]:
    """Say how a command is run by a user without rights: through setpriv where this one may do anything."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and setpriv is not here")
    return [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--",
    ]


@pytest.fixture
def foreign(bench: Bench, serve: Serve) -> Iterator[Bench]:
    """The small project in a folder that its user may read and not write, with a home that he may write."""
    serve(RIGHT)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        made = Bench(place / "home", place / "project", {**bench.env, "PATH": "/usr/local/bin:/usr/bin:/bin"})
        fill(made, f"[defaults]\nmax_iters_per_task = 1\n{LEANFILE}")
        made.home.mkdir()
        shutil.copy(bench.home / "config.toml", made.home / "config.toml")
        own = {"HOME": "", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config", "LEANLOOP_CONFIG": "config.toml"}
        made.env.update({name: str(made.home / path) for name, path in own.items()}, TMPDIR=str(made.home))
        if not os.geteuid():
            for path in (made.home, made.home / "config.toml"):
                os.chown(path, 65534, 65534)
        yield made
        for path in (made.project, *made.project.iterdir()):
            path.chmod(0o755)


def run_foreign(bench: Bench, *args: str) -> Ran:
    """Run the command as the user without rights."""
    argv = [*unprivileged(), plain_python(), "-B", str(ROOT / "leanloop.py"), *args]
    done = subprocess.run(
        argv, cwd=bench.project, env=bench.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def lock_up(bench: Bench) -> None:
    """Take the right to write from the project's files and folder."""
    for path in bench.project.iterdir():
        path.chmod(0o444)
    bench.project.chmod(0o555)


def test_a_read_only_project_is_said_to_be_one(foreign: Bench) -> None:
    lock_up(foreign)
    before = contents(foreign.project)
    ran = run_foreign(foreign)
    assert ran.code in (1, 3), ran.text
    assert "Traceback" not in ran.text
    assert "calc.py" in ran.text
    assert "read-only" in ran.text
    assert contents(foreign.project) == before


def test_one_read_only_file_is_said_to_be_one(foreign: Bench) -> None:
    if not os.geteuid():
        os.chown(foreign.project, 65534, 65534)
    lock_up(foreign)
    foreign.project.chmod(0o755)
    before = contents(foreign.project)
    ran = run_foreign(foreign)
    assert "Traceback" not in ran.text
    assert ran.code in (1, 3), ran.text
    assert "calc.py is read-only" in ran.text
    assert contents(foreign.project) == before


def test_a_leanfile_that_may_not_be_read_is_named(foreign: Bench) -> None:
    (foreign.project / "leanfile.toml").chmod(0o000)
    ran = run_foreign(foreign)
    assert ran.code == 2, ran.text
    assert "Traceback" not in ran.text
    assert "leanfile.toml: it cannot be read" in ran.err


def test_a_listed_file_that_may_not_be_read_is_no_traceback(foreign: Bench) -> None:
    secret = foreign.write("secret.py", "x = 1\n", 0o000)
    foreign.write("leanfile.toml", LEANFILE.replace('["calc.py"]', '["calc.py", "secret.py"]'))
    ran = run_foreign(foreign)
    assert "Traceback" not in ran.text
    assert "secret.py" in ran.text
    assert secret.stat().st_size == 6


@pytest.mark.parametrize("home", [None, "/nonexistent"], ids=["unset", "not there"])
def test_a_user_without_a_home_is_told_where_the_state_goes(foreign: Bench, home: str | None) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        del foreign.env[name]
    foreign.env.update({"HOME": home} if home else {})
    lock_up(foreign)
    ran = run_foreign(foreign)
    assert ran.code in (1, 3), ran.text
    assert "Traceback" not in ran.text
    assert "no home" in ran.err or "XDG_STATE_HOME" in ran.err


def test_a_folder_that_may_not_be_entered_is_no_traceback(foreign: Bench) -> None:
    foreign.write("closed/inner.txt", "x\n")
    (foreign.project / "closed").chmod(0o000)
    if not os.geteuid():
        for path in (foreign.project, foreign.project / "calc.py"):
            os.chown(path, 65534, 65534)
    green(run_foreign(foreign))


# ------------------------------------------------------------------------------------------------------ closed pipes


def run_into_closed_pipe(bench: Bench, stream: str, *args: str) -> tuple[int, str]:
    """Run the command with STREAM a pipe that nobody reads; return its code and what the other stream got."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        done = subprocess.run(
            [*LEANLOOP, *args],
            cwd=bench.project,
            env=bench.env,
            stdin=subprocess.DEVNULL,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
            timeout=60,
        )
    finally:
        os.close(writer)
    return done.returncode, ((done.stdout or b"") + (done.stderr or b"")).decode()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_went_away_does_not_end_the_run(calc: Bench, serve: Serve, stream: str) -> None:
    serve(RIGHT)
    code, other = run_into_closed_pipe(calc, stream)
    assert code == 0, other
    assert "Traceback" not in other
    assert "Broken pipe" not in other
    assert "left + right" in calc.read("calc.py")


@pytest.mark.parametrize(
    "args", [("--list-leaners",), ("--init",), ("--version",), ("--help",)], ids=lambda args: args[0]
)
def test_a_reader_that_went_away_hears_no_complaint(calc: Bench, args: tuple[str, ...]) -> None:
    code, errors = run_into_closed_pipe(calc, "stdout", *args)
    assert (code, errors) == (0, "")
