"""Configuration: where it is found, how it is merged, and what comes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import leanloop
from conftest import LEANFILE, RIGHT, ROOT, WRONG, Bench, Ran, Serve

RUNNER = '[runner]\ncommand = "check"\n'
TASK = '[[tasks]]\nname = "one"\nprompt = "Do it."\n'

# ----------------------------------------------------------------------------------------------------------- discovery


@pytest.fixture
def leaners(bench: Bench) -> Bench:
    """A home with leaners of the user's own, one for each place that may name the active one."""
    folder = bench.home / "config" / "lean-loop" / "leaners"
    folder.mkdir(parents=True)
    for name in ("option", "variable", "beside", "own", "packaged", "leanfile"):
        (folder / f"{name}.sh").write_text("#!/usr/bin/env bash\necho done\n")
    return bench


def static(path: Path, name: str) -> Path:
    """Write a static configuration that makes the leaner NAME the active one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[lean]\nbinary = "{name}"\nbase_url = ""\n')
    return path


def copy_of(place: Path, shared: Path, name: str) -> Path:
    """Put the module at PLACE and the shared files at SHARED; return the module's path."""
    place.mkdir(parents=True, exist_ok=True)
    for folder in ("leaners", "examples", "playground"):
        shutil.copytree(ROOT / folder, shared / folder, ignore=shutil.ignore_patterns("__pycache__"))
    static(shared / "config.toml", name)
    return Path(shutil.copy(ROOT / "leanloop.py", place))


def clone(bench: Bench) -> Path:
    """Make a plain clone whose config.toml lies beside the module."""
    return copy_of(bench.home / "clone", bench.home / "clone", "beside")


def installed(bench: Bench) -> Path:
    """Lay lean-loop out as an installer does."""
    prefix = bench.home / "prefix"
    return copy_of(prefix / "lib" / "python3" / "site-packages", prefix / "share" / "lean-loop", "packaged")


def own(bench: Bench) -> Path:
    """Write the user's own static configuration."""
    return static(bench.home / "config" / "lean-loop" / "config.toml", "own")


def run_copy(bench: Bench, module: Path, *args: str, **env: str) -> Ran:
    """Run another copy of the module in the project."""
    done = subprocess.run(
        [sys.executable, str(module), *args],
        cwd=bench.project,
        env={**bench.env, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def active(ran: Ran) -> str:
    """Tell the leaner that --list-leaners marks."""
    assert ran.code == 0, ran.text
    marked = [line.split()[1] for line in ran.out.splitlines() if line.startswith("*")]
    assert len(marked) == 1, ran.out
    return marked[0]


def test_the_option_wins_over_the_variable(leaners: Bench) -> None:
    first, second = static(leaners.home / "1.toml", "option"), static(leaners.home / "2.toml", "variable")
    module = clone(leaners)
    for option in ("-g", "--global-config"):
        ran = run_copy(leaners, module, option, str(first), "--list-leaners", LEANLOOP_CONFIG=str(second))
        assert active(ran) == "option"


def test_the_variable_wins_over_the_clone(leaners: Bench) -> None:
    own(leaners)
    named = static(leaners.home / "2.toml", "variable")
    assert active(run_copy(leaners, clone(leaners), "--list-leaners", LEANLOOP_CONFIG=str(named))) == "variable"


def test_an_empty_variable_is_none(leaners: Bench) -> None:
    assert active(run_copy(leaners, clone(leaners), "--list-leaners", LEANLOOP_CONFIG="")) == "beside"


def test_the_clone_wins_over_the_users_own(leaners: Bench) -> None:
    own(leaners)
    assert active(run_copy(leaners, clone(leaners), "--list-leaners")) == "beside"


def test_a_clone_that_is_run_through_a_link_is_the_clone(leaners: Bench) -> None:
    link = leaners.home / "bin" / "lean-loop"
    link.parent.mkdir()
    link.symlink_to(clone(leaners))
    assert active(run_copy(leaners, link, "--list-leaners")) == "beside"


def test_the_users_own_wins_over_the_packaged(leaners: Bench) -> None:
    own(leaners)
    assert active(run_copy(leaners, installed(leaners), "--list-leaners")) == "own"


def test_the_packaged_is_used_where_there_is_no_other(leaners: Bench) -> None:
    assert active(run_copy(leaners, installed(leaners), "--list-leaners")) == "packaged"


def test_without_xdg_the_users_own_lies_under_dot_config(leaners: Bench) -> None:
    del leaners.env["XDG_CONFIG_HOME"]
    (leaners.home / "config").rename(leaners.home / ".config")
    static(leaners.home / ".config" / "lean-loop" / "config.toml", "own")
    assert active(run_copy(leaners, installed(leaners), "--list-leaners")) == "own"


def test_the_leanfile_wins_over_every_static_file(leaners: Bench) -> None:
    leaners.write("leanfile.toml", '[lean]\nbinary = "leanfile"\n' + RUNNER)
    named = static(leaners.home / "1.toml", "option")
    assert active(leaners.lean_loop("-g", str(named), "--list-leaners")) == "leanfile"


# ---------------------------------------------------------------------------------------------------------- deep merge

Load = Callable[..., leanloop.Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a leanfile's text over a static file's text."""

    def read(leanfile: str, static: str = "") -> leanloop.Config:
        project, user = tmp_path / "project", tmp_path / "user"
        for folder in (project, user):
            folder.mkdir(exist_ok=True)
        (project / "leanfile.toml").write_text(leanfile, encoding="utf-8")
        (user / "config.toml").write_text(static, encoding="utf-8")
        return leanloop.load(project / "leanfile.toml", user / "config.toml")

    return read


def test_tables_merge_and_everything_else_replaces(load: Load) -> None:
    made = load(
        '[runner]\nargs = ["-q"]\nenv = { B = "3" }\n[guard]\nprotect = ["b"]\n',
        '[runner]\ncommand = "check"\nargs = ["-v", "-x"]\ntimeout = 9\nenv = { A = "1", B = "2" }\n'
        '[guard]\nprotect = ["a"]\nconfirm = 1\n[limits]\ncalls = 7\n',
    )
    assert made.runner == leanloop.Runner("check", ("-q",), 9, False, {"A": "1", "B": "3"})
    assert (made.guard.protect, made.guard.confirm, made.limits.calls) == (("b",), 1, 7)


def test_tables_in_tables_merge_too(load: Load) -> None:
    made = load(
        "[lean]\nextra_body = { a = { y = 3 }, c = [2] }\n" + RUNNER,
        "[lean]\nextra_body = { a = { x = 1, y = 2 }, b = 1, c = [1] }\n",
    )
    assert made.lean.extra_body == {"a": {"x": 1, "y": 3}, "b": 1, "c": [2]}


def test_tasks_and_escalations_of_the_leanfile_replace_those_of_the_static_file(load: Load) -> None:
    made = load(
        RUNNER + TASK + "[[escalate]]\nafter = 2\n",
        '[[tasks]]\nname = "other"\nprompt = "x"\n[[escalate]]\nafter = 1\n[[escalate]]\nafter = 3\n',
    )
    assert [task.name for task in made.tasks] == ["one"]
    assert [item.after for item in made.escalate] == [2]


def test_what_nobody_sets_has_its_default(load: Load) -> None:
    made = load(RUNNER)
    assert made.lean == leanloop.Leaner()
    assert made.defaults == leanloop.Defaults()
    assert made.guard == leanloop.Guard()
    assert made.health == leanloop.Health()
    assert made.limits == leanloop.Limits()
    assert made.runner == leanloop.Runner("check")


def test_what_was_built_cannot_be_changed(load: Load) -> None:
    made = load(RUNNER + TASK + "[[escalate]]\nafter = 1\n")
    tables = (getattr(made, name) for name in leanloop.TABLES)
    for built in (made, *tables, *made.tasks, made.tasks[0].runner, *made.escalate):
        with pytest.raises(AttributeError):
            setattr(built, leanloop.fields(built)[0].name, "changed")


KINDS = {
    "one word": ("[defaults]\nsource_prefix = 'src/'\n", "defaults", "source_prefix", ("src/",)),
    "words": ("[defaults]\nsource_prefix = ['a', 'b']\n", "defaults", "source_prefix", ("a", "b")),
    "no word": ("[defaults]\ntest_prefix = ''\n", "defaults", "test_prefix", ()),
    "megabytes": ("[guard]\nmax_file = '2MB'\n", "guard", "max_file", 2_000_000),
    "gigabytes": ("[guard]\nmax_file = '1 g'\n", "guard", "max_file", 10**9),
    "bytes": ("[guard]\nmax_file = '0'\n", "guard", "max_file", 0),
    "a whole number of seconds": ("[health]\nmax_wait = 3\n", "health", "max_wait", 3),
    "parts of a second": ("[health]\nmax_wait = 0.5\n", "health", "max_wait", 0.5),
    "no check": ("[health]\ncheck_url = ''\n", "health", "check_url", ""),
    "a temperature": ("[lean]\ntemperature = 0\n", "lean", "temperature", 0),
    "a negative number": ("[lean]\ntemperature = -1.5\n", "lean", "temperature", -1.5),
    "stops": ("[lean]\nstop = ['a', 'b']\n", "lean", "stop", ("a", "b")),
}


@pytest.mark.parametrize(("text", "table", "key", "value"), KINDS.values(), ids=KINDS)
def test_a_value_is_read_as_its_kind(load: Load, text: str, table: str, key: str, value: Any) -> None:
    assert getattr(getattr(load(text + RUNNER), table), key) == value


def test_project_root_is_relative_to_the_leanfile(load: Load, tmp_path: Path) -> None:
    (tmp_path / "project" / "code").mkdir(parents=True)
    assert load("[defaults]\nproject_root = 'code'\n" + RUNNER).root == (tmp_path / "project" / "code").resolve()
    assert load("[defaults]\nproject_root = '..'\n" + RUNNER).root == tmp_path.resolve()


# ------------------------------------------------------------------------------------------------------------- leaners

TWO_LEANERS = """
[lean]
base_url = "http://127.0.0.1:1/v1"
model = "common"
timeout = 5
[leaners.qwen]
model = "coder"
[leaners.claude]
base_url = ""
api_key = ""
options = { effort = "low" }
"""


def test_the_table_of_the_active_leaner_is_laid_over_lean(load: Load) -> None:
    lean = load('[lean]\nbinary = "qwen"\n' + RUNNER, TWO_LEANERS).lean
    assert (lean.base_url, lean.model, lean.timeout) == ("http://127.0.0.1:1/v1", "coder", 5)
    lean = load('[lean]\nbinary = "claude"\n' + RUNNER, TWO_LEANERS).lean
    assert (lean.base_url, lean.api_key, lean.model, lean.options) == ("", "", "common", {"effort": "low"})


def test_the_table_of_another_leaner_is_not(load: Load) -> None:
    lean = load('[lean]\nbinary = "direct"\n' + RUNNER, TWO_LEANERS).lean
    assert lean == leanloop.Leaner(base_url="http://127.0.0.1:1/v1", model="common", timeout=5)


@pytest.mark.parametrize("binary", ["qwen.sh", "./tools/qwen.sh", "/opt/tools/qwen"])
def test_a_path_or_an_ending_finds_the_table_as_well(load: Load, binary: str) -> None:
    assert load(f'[lean]\nbinary = "{binary}"\n{RUNNER}', TWO_LEANERS).lean.model == "coder"


def test_the_leanfile_may_add_to_a_leaners_table(load: Load) -> None:
    lean = load('[lean]\nbinary = "qwen"\n[leaners.qwen]\ntemperature = 0.5\n' + RUNNER, TWO_LEANERS).lean
    assert (lean.model, lean.temperature) == ("coder", 0.5)


SHOWS_SETTINGS = """#!/usr/bin/env bash
env | grep ^LEAN_ | sort > "$HOME/told"
sed -i.old 's/left - right/left + right/' calc.py && rm calc.py.old
echo done
"""


def told(bench: Bench) -> dict[str, str]:
    """Read what a leaner that keeps its settings was told."""
    pairs = (line.split("=", 1) for line in (bench.home / "told").read_text().splitlines() if "=" in line)
    return {name: value for name, value in pairs if name.startswith("LEAN_")}


def test_the_leaner_is_told_what_its_table_says_and_no_empty_value(calc: Bench) -> None:
    helper = calc.home / "conf" / "helper.sh"
    own = calc.home / "conf" / "own.toml"
    own.parent.mkdir()
    helper.write_text(SHOWS_SETTINGS)
    own.write_text(
        '[lean]\nbinary = "./helper.sh"\nmodel = "common"\nstop = ["a b", "c"]\nextra_body = { x = 1 }\nidle = 7.5\n'
        '[leaners.helper]\nbase_url = ""\napi_key = ""\nmodel = "special"\n'
    )
    ran = calc.lean_loop("-g", str(own), LEAN_MODEL="from outside", LEAN_STRAY="1")
    assert ran.code == 0, ran.text
    variables = told(calc)
    assert variables["LEAN_MODEL"] == "special"
    assert variables["LEAN_STOP"] == '["a b", "c"]'
    assert variables["LEAN_EXTRA_BODY"] == '{"x": 1}'
    assert variables["LEAN_IDLE"] == "7.5"
    assert {"LEAN_BASE_URL", "LEAN_API_KEY", "LEAN_STRAY", "LEAN_BINARY", "LEAN_TEMPERATURE"} & set(variables) == set()


@pytest.mark.parametrize("where", ["static", "leanfile"])
def test_a_path_is_relative_to_the_file_that_names_it(calc: Bench, where: str) -> None:
    own, folder = calc.home / "own.toml", calc.home if where == "static" else calc.project
    text = '[lean]\nbinary = "tools/helper.sh"\nbase_url = ""\n'
    (folder / "tools").mkdir()
    (folder / "tools" / "helper.sh").write_text(SHOWS_SETTINGS)
    own.write_text(text if where == "static" else "")
    if where == "leanfile":
        calc.write("leanfile.toml", text + LEANFILE)
    elsewhere = replace(calc, project=calc.home)
    ran = elsewhere.lean_loop("-g", "own.toml", "-c", str(calc.project / "leanfile.toml"))
    assert ran.code == 0, ran.text
    assert "LEAN_FILES" in told(calc)


def test_paths_in_escalations_are_relative_to_their_file_too(load: Load, tmp_path: Path) -> None:
    made = load('[lean]\nbinary = "./a.sh"\n' + RUNNER, '[[escalate]]\nafter = 1\nbinary = "../b.sh"\n')
    assert Path(made.lean.binary) == tmp_path / "project" / "a.sh"
    assert Path(made.escalate[0].binary).resolve() == tmp_path / "b.sh"


def test_a_key_comes_from_the_environment_where_a_variable_is_named(calc: Bench) -> None:
    helper, own = calc.home / "helper.sh", calc.home / "own.toml"
    helper.write_text(SHOWS_SETTINGS)
    own.write_text('[lean]\nbinary = "./helper.sh"\nbase_url = ""\napi_key_env = "MY_OWN_KEY"\n')
    ran = calc.lean_loop("-g", str(own), MY_OWN_KEY="sesame-123")
    assert ran.code == 0, ran.text
    assert told(calc)["LEAN_API_KEY"] == "sesame-123"
    assert "LEAN_API_KEY_ENV" not in told(calc)


# ---------------------------------------------------------------------------------------------------------- escalation


def test_escalations_resolve_their_leaner_and_come_in_order(load: Load) -> None:
    made = load(
        RUNNER
        + '[[escalate]]\nafter = 3\nbinary = "claude"\ntimeout = 99\n[[escalate]]\nafter = 1\nmodel = "larger"\n',
        TWO_LEANERS,
    )
    first, second = made.escalate
    assert (first.after, first.name, first.model, first.base_url) == (1, "direct", "larger", "http://127.0.0.1:1/v1")
    assert (second.after, second.name, second.base_url, second.timeout) == (3, "claude", "", 99)


UNREACHABLE = {
    "beyond the default": ("[[escalate]]\nafter = 6\n" + RUNNER + TASK, "after = 6"),
    "beyond the setting": ("[defaults]\nmax_iters_per_task = 2\n[[escalate]]\nafter = 3\n" + RUNNER, "after = 3"),
    "beyond every task": ("[[escalate]]\nafter = 3\n" + RUNNER + TASK + "max_iters = 2\n", "after = 3"),
}


@pytest.mark.parametrize(("text", "words"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_an_escalation_that_is_never_reached_is_refused(calc: Bench, text: str, words: str) -> None:
    calc.write("leanfile.toml", text)
    ran = calc.lean_loop()
    assert ran.code == 2, ran.text
    assert "leanfile.toml: [[escalate 1]]" in ran.err
    assert words in ran.err
    assert "max_iters_per_task" in ran.err


@pytest.mark.parametrize(
    "text",
    ["[[escalate]]\nafter = 5\n" + RUNNER + TASK, "[[escalate]]\nafter = 8\n" + RUNNER + TASK + "max_iters = 8\n"],
    ids=["at the last fix", "in one task"],
)
def test_an_escalation_that_is_just_reached_is_not_refused(load: Load, text: str) -> None:
    assert len(load(text).escalate) == 1


# ------------------------------------------------------------------------------------------------------- tasks, runner


def test_a_tasks_runner_is_merged_over_the_runner(load: Load) -> None:
    made = load(
        '[runner]\ncommand = "check"\nargs = ["-v"]\ntimeout = 7\nenv = { A = "1" }\n'
        + TASK
        + 'runner = { args = ["-x"], env = { B = "2" } }\n'
        + TASK.replace("one", "two")
        + 'runner = { command = "other", shell = true }\n'
    )
    assert made.tasks[0].runner == leanloop.Runner("check", ("-x",), 7, False, {"A": "1", "B": "2"})
    assert made.tasks[1].runner == leanloop.Runner("other", ("-v",), 7, True, {"A": "1"})
    assert made.runner == leanloop.Runner("check", ("-v",), 7, False, {"A": "1"})


PLACED = {
    "appended": (["-q"], ["a", "b"], ("-q", "a", "b")),
    "in their place": (["-q", "{test_files}", "--last"], ["a", "b"], ("-q", "a", "b", "--last")),
    "a place without any": (["-q", "{test_files}", "--last"], [], ("-q", "--last")),
    "nothing at all": (["-q"], [], ("-q",)),
    "with spaces and dashes": (["--"], ["a b.py", "-c"], ("--", "a b.py", "-c")),
}


@pytest.mark.parametrize(("args", "test_files", "placed"), PLACED.values(), ids=PLACED)
def test_test_files_stand_in_their_place(
    load: Load, args: list[str], test_files: list[str], placed: tuple[str, ...]
) -> None:
    made = load(f"[runner]\ncommand = 'check'\nargs = {args}\n{TASK}test_files = {test_files}\n")
    assert made.tasks[0].runner.args == placed


NOTES_ITS_ARGUMENTS = """
import os, pathlib, sys

with pathlib.Path(os.environ["HOME"], "ran").open("a") as log:
    print(*sys.argv[1:], os.environ["LEVEL"], os.environ.get("CI"), file=log)
sys.exit("left + right" not in pathlib.Path("calc.py").read_text())
"""


def test_a_tasks_own_runner_holds_for_the_first_run_and_for_every_fix(calc: Bench, serve: Serve) -> None:
    serve(WRONG, RIGHT)
    calc.write("check.py", NOTES_ITS_ARGUMENTS)
    calc.write(
        "leanfile.toml",
        '[runner]\ncommand = "{python}"\nargs = ["check.py", "{test_files}", "end"]\n'
        'env = { LEVEL = "all", CI = "1" }\n[[tasks]]\nname = "add"\n'
        'prompt = "Mend add."\nfiles = ["calc.py"]\ntest_files = ["test_calc.py"]\n'
        'runner = { env = { LEVEL = "one" } }\n',
    )
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    lines = (calc.home / "ran").read_text().splitlines()
    assert lines.count("test_calc.py end one 1") == 3
    assert set(lines) == {"test_calc.py end one 1", "end all 1"}


def test_direct_mode_takes_the_place_of_test_files_out(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("calc.py", "def add(left, right):\n    return left + right\n")
    calc.write("check.py", NOTES_ITS_ARGUMENTS)
    calc.write(
        "leanfile.toml",
        '[runner]\ncommand = "{python}"\nargs = ["check.py", "{test_files}", "end"]\nenv = { LEVEL = "all" }\n',
    )
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert (calc.home / "ran").read_text() == "end all None\n"


def test_tasks_have_names_and_limits_of_their_own_or_the_default_ones(load: Load) -> None:
    made = load(
        "[defaults]\nmax_iters_per_task = 3\n" + RUNNER + TASK + "[[tasks]]\nprompt = 'x'\nmax_iters = 1\n"
        "[[tasks]]\nprompt = 'y'\nmax_iters = 0\n"
    )
    assert [(task.name, task.max_iters) for task in made.tasks] == [("one", 3), ("task-2", 1), ("task-3", 0)]
    assert not made.taskless


def test_without_tasks_there_is_one_for_whatever_the_tests_report(load: Load) -> None:
    made = load("[defaults]\nmax_iters_per_task = 3\n" + RUNNER)
    assert made.taskless
    assert [(task.max_iters, task.runner) for task in made.tasks] == [(3, made.runner)]


SAYS_ITS_PREFIX = "import pathlib, sys; pathlib.Path('prefix.txt').write_text(sys.prefix)"


@pytest.mark.parametrize("folder", [".venv", "venv"])
@pytest.mark.parametrize("place", ["command", "argument"])
def test_python_is_the_one_of_the_projects_virtual_environment(
    bench: Bench, serve: Serve, folder: str, place: str
) -> None:
    serve(RIGHT)
    venv.create(bench.project / folder, with_pip=False, symlinks=True)
    words = ["{python}", "-c", SAYS_ITS_PREFIX] if place == "command" else ["env", "{python}", "-c", SAYS_ITS_PREFIX]
    bench.write("leanfile.toml", f'[runner]\ncommand = "{words[0]}"\nargs = {words[1:]}\n')
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert Path(bench.read("prefix.txt")).resolve() == (bench.project / folder).resolve()


def test_python_is_the_one_on_path_where_there_is_no_environment(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    programs = calc.home / "bin"
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\necho run >> "$HOME/ran"\nexec "{sys.executable}" "$@"\n')
    (programs / "python3").chmod(0o755)
    calc.write("leanfile.toml", calc.read("leanfile.toml") + '\n[defaults]\ntrace = "off"\n')
    ran = calc.lean_loop(PATH=f"{programs}:{calc.env['PATH']}")
    assert ran.code == 0, ran.text
    assert (calc.home / "ran").read_text().split() == ["run", "run"]


# --------------------------------------------------------------------------------------------------------- config.toml

SHIPPED = (ROOT / "config.toml").read_text(encoding="utf-8")
KEY = re.compile(r"^(?:# )?(\w+) = (.*)$")
TABLE = re.compile(r"^(?:# )?\[\[?([\w.]+)\]\]?(.*)$")
# What the file shows an example of, because the default is "unset" or nothing.
EXAMPLES = {("lean", "temperature"), ("health", "check_url"), ("runner", "command"), ("runner", "args")}


def uncommented() -> str:
    """Take the # away from every line of config.toml that holds a key or a table."""
    lines = SHIPPED.splitlines()
    return "\n".join(line.removeprefix("# ") if KEY.match(line) or TABLE.match(line) else line for line in lines) + "\n"


def keys_of_shipped() -> dict[str, dict[str, Any]]:
    return {name: table for name, table in tomllib.loads(uncommented()).items() if name in leanloop.TABLES}


def test_config_toml_has_every_table_and_every_key() -> None:
    shipped = tomllib.loads(uncommented())
    expected = {name: {item.name for item in leanloop.fields(cls)} for name, cls in leanloop.TABLES.items()}
    assert {name: set(table) for name, table in keys_of_shipped().items()} == expected
    assert set(shipped) == {*expected, "leaners", "escalate", "diagnose"}
    assert [set(table) for table in shipped["escalate"]] == [{"after", "binary"}]


@pytest.mark.parametrize("name", leanloop.TABLES)
def test_config_toml_shows_the_defaults(name: str) -> None:
    cls, table = leanloop.TABLES[name], keys_of_shipped()[name]
    shown = {key: value for key, value in table.items() if (name, key) not in EXAMPLES}
    built: Any = leanloop.build(cls, shown, name)
    assert {key: getattr(built, key) for key in shown} == {key: getattr(cls(), key) for key in shown}


def test_every_key_of_config_toml_has_its_comment() -> None:
    bare, explained = [], False
    for line in SHIPPED.splitlines():
        if table := TABLE.match(line):
            explained = "#" in table[2] or table[1].startswith("leaners.")
        elif (key := KEY.match(line)) and not explained and "  # " not in key[2]:
            bare.append(key[1])
    assert bare == []


def test_config_toml_as_shipped_changes_no_default(tmp_path: Path) -> None:
    leanfile = tmp_path / "leanfile.toml"
    leanfile.write_text(RUNNER + TASK)
    assert leanloop.load(leanfile, ROOT / "config.toml") == leanloop.load(leanfile)


def test_config_toml_with_every_line_uncommented_is_good(leaners: Bench) -> None:
    static = leaners.home / "all.toml"
    static.write_text(uncommented(), encoding="utf-8")
    leaners.write("leanfile.toml", TASK)
    ran = leaners.lean_loop("-g", str(static), "--list-leaners")
    assert active(ran) == "direct"
    made = leanloop.load(leaners.project / "leanfile.toml", static)
    assert made.runner.command == "{python}"
    assert [item.name for item in made.escalate] == ["claude"]


def test_shipped_tables_of_cloud_clis_send_no_address_and_no_key(tmp_path: Path) -> None:
    leanfile = tmp_path / "leanfile.toml"
    for name in ("claude", "gemini", "codex"):
        leanfile.write_text(f'[lean]\nbinary = "{name}"\n{RUNNER}')
        lean = leanloop.load(leanfile, ROOT / "config.toml").lean
        assert (lean.base_url, lean.api_key) == ("", "")
