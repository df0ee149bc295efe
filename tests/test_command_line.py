"""The command line: every option, exit code and stream, through the real command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import leanloop
from conftest import LEANFILE, LEANLOOP, RIGHT, ROOT, WRONG, Bench, Leaner, Ran, Serve, is_alive, working
from test_bad_input import contents, plain_python, unprivileged
from test_configuration import active, clone, installed, own, run_copy, static

# ---------------------------------------------------------------------------------------------------------------- init

PYTEST = ("{python}", ("-m", "pytest", "-q"))
KINDS: dict[str, tuple[dict[str, str], str, tuple[str, ...]]] = {
    "pytest in pyproject": ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, *PYTEST),
    "pytest as a dependency": ({"pyproject.toml": '[project.optional-dependencies]\ndev = ["pytest"]\n'}, *PYTEST),
    "pytest.ini": ({"pytest.ini": "[pytest]\n"}, *PYTEST),
    "setup.cfg": ({"setup.cfg": "[tool:pytest]\n"}, *PYTEST),
    "conftest": ({"tests/conftest.py": ""}, *PYTEST),
    "test files": ({"tests/test_it.py": "def test_it(): pass\n"}, *PYTEST),
    "test files beside": ({"test_it.py": "def test_it(): pass\n"}, *PYTEST),
    "go": ({"go.mod": "module x\n"}, "go", ("test", "./...")),
    "cargo": ({"Cargo.toml": '[package]\nname = "x"\n'}, "cargo", ("test",)),
    "vitest": ({"package.json": '{"devDependencies": {"vitest": "^3.0.0"}}'}, "npx", ("vitest", "run")),
    "jest": ({"package.json": '{"devDependencies": {"jest": "^30.0.0"}}'}, "npx", ("jest",)),
    "node": ({"package.json": '{"scripts": {"test": "node --test"}}'}, "node", ("--test",)),
    "another script": ({"package.json": '{"scripts": {"test": "mocha"}}'}, "npm", ("test",)),
    "make": ({"Makefile": "all:\n\ttrue\n\ntest: all\n\ttrue\n"}, "make", ("test",)),
    "make without a test": ({"Makefile": "all:\n\ttrue\n"}, "", ()),
    "nothing": ({}, "", ()),
    "maven": ({"pom.xml": "<project/>"}, "mvn", ("-q", "test")),
    "maven's wrapper": ({"pom.xml": "<project/>", "mvnw": ""}, "./mvnw", ("-q", "test")),
    "gradle's wrapper": ({"build.gradle.kts": "", "gradlew": ""}, "./gradlew", ("test",)),
    "dotnet": ({"App/App.csproj": "<Project/>"}, "dotnet", ("test",)),
    "rspec": ({"Gemfile": "gem 'rspec'\n"}, "bundle", ("exec", "rspec")),
    "phpunit": ({"composer.json": '{"require-dev": {"phpunit/phpunit": "^11"}}'}, "vendor/bin/phpunit", ()),
    "deno": ({"deno.json": "{}"}, "deno", ("test",)),
    "workspaces": ({"package.json": '{"workspaces": ["a"]}'}, "npm", ("test", "--workspaces", "--if-present")),
    "tox": ({"tox.ini": "[tox]\n"}, "tox", ("-q",)),
    "make check": ({"Makefile": "check:\n\ttrue\n"}, "make", ("check",)),
    "jest and make": ({"package.json": '{"jest": {}}', "Makefile": "test:\n\tnpx jest\n"}, "npx", ("jest",)),
    "go and make": ({"go.mod": "module x\n", "Makefile": "test:\n\tgo test\n"}, "go", ("test", "./...")),
    "odd bytes": ({"package.json": '{"description": "\udcff", "jest": {}}'}, "npx", ("jest",)),
}


@pytest.mark.parametrize(("files", "command", "args"), KINDS.values(), ids=KINDS)
def test_init_names_the_test_command_of_the_project(
    bench: Bench, files: dict[str, str], command: str, args: tuple[str, ...]
) -> None:
    for path, text in files.items():
        bench.write(path, text.encode("utf-8", "surrogateescape"))
    ran = bench.lean_loop("--init")
    assert ran.code == 0, ran.text
    made = tomllib.loads(ran.out)
    assert (made["runner"]["command"], tuple(made["runner"]["args"])) == (command, args)
    assert len(made["tasks"]) == 1
    if not command:
        bench.write("leanfile.toml", ran.out)
        assert "[runner] has no command" in bench.lean_loop().err


COINS = {
    "tests/__init__.py": "",
    "tests/test_coins.py": """
import unittest
from coins import total


class Coins(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
""",
}


@pytest.mark.parametrize("folder", ["src", "lib/python"])
def test_init_finds_where_python_modules_lie_and_tells_what_it_saw(bench: Bench, folder: str) -> None:
    for path, text in {**COINS, f"{folder}/coins.py": "def total(coins):\n    return sum(coins)\n"}.items():
        bench.write(path, text)
    bench.commit()
    ran = bench.lean_loop("--init", "leanfile.toml")
    assert ran.code == 0, ran.text
    assert "Tried once: 1 passed, 0 failed" in ran.err
    assert leanloop.load(bench.project / "leanfile.toml").runner.env == {"PYTHONPATH": folder}


def test_init_tells_where_the_test_command_does_not_start(bench: Bench) -> None:
    bench.write("composer.json", '{"require-dev": {"phpunit/phpunit": "^11"}}')
    ran = bench.lean_loop("--init", "leanfile.toml")
    assert ran.code == 0
    assert "Tried once: it does not start: is vendor/bin/phpunit installed?" in ran.err


def test_init_lets_the_tool_that_keeps_the_packages_start_python(bench: Bench) -> None:
    tools = bench.home / "tools"
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\n")
    (tools / "uv").chmod(0o755)
    bench.env["PATH"] = f"{tools}:{bench.env['PATH']}"
    bench.write("uv.lock", "")
    bench.write("pytest.ini", "[pytest]\n")
    runner = tomllib.loads(bench.lean_loop("--init").out)["runner"]
    assert (runner["command"], runner["args"]) == ("uv", ["run", "python", "-m", "pytest", "-q"])


def test_init_without_a_file_prints_the_same_sample(bench: Bench) -> None:
    printed = bench.lean_loop("--init")
    assert bench.lean_loop("--init", "sample.toml").code == 0
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == bench.read("sample.toml")


def test_init_with_a_file_prints_what_comes_next(bench: Bench) -> None:
    ran = bench.lean_loop("--init", "mine.toml")
    assert ran.out == ""
    assert "mine.toml is written" in ran.err
    assert "lean-loop -c mine.toml" in ran.err


def test_the_sample_is_commented_and_has_no_mark_left(bench: Bench) -> None:
    sample = bench.lean_loop("--init").out
    assert sample.count("#") > 10
    assert "@" not in sample
    for table in ("[runner]", "[defaults]", "[limits]", "[[escalate]]", "[guard]", "[[tasks]]"):
        assert table in sample


def test_the_samples_commented_keys_are_known_ones(bench: Bench) -> None:
    bench.write("pytest.ini", "[pytest]\n")
    lines = bench.lean_loop("--init").out.splitlines()
    shown = [
        line.removeprefix("# ") if line.startswith(("# [", "# ")) and is_toml(line[2:]) else line for line in lines
    ]
    bench.write("leanfile.toml", "\n".join(shown) + "\n")
    made = leanloop.load(bench.project / "leanfile.toml")
    assert made.limits.calls > 0
    assert made.escalate[0].after > 0
    assert made.tasks[0].test_files


def is_toml(line: str) -> bool:
    """Tell whether a line by itself is a key or a table."""
    try:
        return bool(tomllib.loads(line))
    except tomllib.TOMLDecodeError:
        return False


def test_init_never_overwrites(bench: Bench) -> None:
    bench.write("leanfile.toml", "# mine\n")
    ran = bench.lean_loop("--init", "leanfile.toml")
    assert ran.code == 2
    assert "leanfile.toml is there already" in ran.err
    assert bench.read("leanfile.toml") == "# mine\n"


@pytest.mark.parametrize("target", ["nowhere/leanfile.toml", "."])
def test_init_says_where_it_cannot_write(bench: Bench, target: str) -> None:
    ran = bench.lean_loop("--init", target)
    assert ran.code == 2, ran.text
    assert f"--init: {target}" in ran.err
    assert "Traceback" not in ran.err
    assert contents(bench.project) == {}


def test_the_sample_runs_as_it_is(bench: Bench, leaner: Leaner) -> None:
    leaner("sed -i.old 's/ - / + /' calc.py && rm calc.py.old && echo done\n")
    bench.write("calc.py", "def add(a, b):\n    return a - b\n")
    bench.write("Makefile", f"test:\n\t{sys.executable} -B check.py\n")
    bench.write("check.py", "import calc\n\nassert calc.add(2, 3) == 5\n")
    bench.lean_loop("--init", "leanfile.toml")
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert "green: first task" in ran.out


# ------------------------------------------------------------------------------------------------------------- leaners


@pytest.fixture
def home(bench: Bench) -> Bench:
    """A home with two leaners of the user's own: one whose program is there, one whose program is not."""
    folder = bench.home / "config" / "lean-loop" / "leaners"
    folder.mkdir(parents=True)
    (folder / "alpha.sh").write_text("#!/usr/bin/env bash\n# lean: program=git\necho done\n")
    (folder / "beta.sh").write_text("#!/usr/bin/env bash\n# lean: program=no-such-program\necho done\n")
    (folder / "_part.sh").write_text("# no leaner\n")
    (folder / "README.md").write_text("# no leaner\n")
    return bench


def test_list_leaners_lists_all_of_them(home: Bench) -> None:
    ran = home.lean_loop("--list-leaners", "-g", str(static(home.home / "own.toml", "alpha")))
    shipped = {path.stem for path in (ROOT / "leaners").iterdir() if path.suffix in (".py", ".sh")}
    listed = [line[2:].split()[0] for line in ran.out.splitlines()]
    assert ran.err == ""
    assert active(ran) == "alpha"
    assert listed == sorted({name for name in shipped if not name.startswith("_")} | {"alpha", "beta"})


def test_list_leaners_says_whether_a_program_is_on_path(home: Bench) -> None:
    rows = {line[2:].split()[0]: line for line in home.lean_loop("--list-leaners").out.splitlines()}
    assert shutil.which("git", path=home.env["PATH"]) in rows["alpha"].split()
    assert "no-such-program is not on PATH" in rows["beta"]
    assert "built in" in rows["direct"]


def test_list_leaners_tells_the_version_of_a_program_and_the_proven_one(home: Bench) -> None:
    leaner = home.home / "config/lean-loop/leaners/gitty.sh"
    leaner.parent.mkdir(parents=True, exist_ok=True)
    leaner.write_text("#!/usr/bin/env bash\n# lean: program=git proven=1.2.3\n")
    row = next(line for line in home.lean_loop("--list-leaners").out.splitlines() if "gitty" in line)
    assert re.search(r" version [23]\.\d+[\d.]* \(proven with 1\.2\.3\)$", row)


def test_an_active_leaner_that_does_not_exist_is_said(home: Bench) -> None:
    ran = home.lean_loop("--list-leaners", "-g", str(static(home.home / "own.toml", "gamma")))
    assert ran.code == 0
    assert "gamma" in ran.text


def test_a_leaner_whose_program_is_missing_stops_the_run(home: Bench) -> None:
    home.write("leanfile.toml", LEANFILE)
    ran = home.lean_loop("-g", str(static(home.home / "own.toml", "beta")))
    assert ran.code == 3
    assert "'no-such-program' is not on PATH" in ran.err
    assert "--list-leaners" in ran.err


# Each: a static configuration before, and after `--set-leaner alpha`.
SET: dict[str, tuple[str, str]] = {
    "a comment behind it": ('[lean]\nbinary = "direct"   # who\n', '[lean]\nbinary = "alpha"   # who\n'),
    "single quotes": ("[lean]\nbinary = 'direct'\n", '[lean]\nbinary = "alpha"\n'),
    "no blanks": ('[lean]\nbinary="direct"\n', '[lean]\nbinary = "alpha"\n'),
    "indented": ('[lean]\n  binary = "direct"\n', '[lean]\n  binary = "alpha"\n'),
    "no newline at the end": ('[lean]\nbinary = "direct"', '[lean]\nbinary = "alpha"'),
    "a commented header": ('[lean] # who\nbinary = "direct"\n', '[lean] # who\nbinary = "alpha"\n'),
    "other tables around": (
        '# top\n\n[guard]\nconfirm = 1\n\n[lean]\nmodel = "m"\nbinary = "direct"\n\n[limits]\n# calls = 3\n',
        '# top\n\n[guard]\nconfirm = 1\n\n[lean]\nmodel = "m"\nbinary = "alpha"\n\n[limits]\n# calls = 3\n',
    ),
    "another binary before": (
        '[[escalate]]\nafter = 1\nbinary = "direct"\n[lean]\nbinary = "direct"\n',
        '[[escalate]]\nafter = 1\nbinary = "direct"\n[lean]\nbinary = "alpha"\n',
    ),
    "windows endings": ('# top\r\n[lean]\r\nbinary = "direct"\r\n', '# top\r\n[lean]\r\nbinary = "alpha"\r\n'),
    "a byte order mark": ('\ufeff[lean]\nbinary = "direct"\n', '\ufeff[lean]\nbinary = "alpha"\n'),
    "already so": ('[lean]\nbinary = "alpha" # mine\n', '[lean]\nbinary = "alpha" # mine\n'),
}


@pytest.mark.parametrize(("before", "after"), SET.values(), ids=SET)
def test_set_leaner_changes_that_one_value(home: Bench, before: str, after: str) -> None:
    config = home.home / "own.toml"
    config.write_bytes(before.encode())
    ran = home.lean_loop("--set-leaner", "alpha", "-g", str(config))
    assert ran.code == 0, ran.text
    assert config.read_bytes().decode() == after


# Each: a static configuration in which the value stands nowhere yet, or in an unusual way.
ADDED = {
    "an empty file": "",
    "comments only": "# binary = 'direct'\n# nothing else\n",
    "no lean table": "# top\n[limits]\ncalls = 3 # few\n",
    "no newline at the end": "[limits]\ncalls = 3",
    "a lean table without it": '[lean]\nmodel = "m" # mine\n\n# next\n[limits]\ncalls = 3\n',
    "an empty lean table": "[lean]\n[limits]\ncalls = 3\n",
    "a lean table at the very end": "[limits]\ncalls = 3\n[lean]",
    "it is commented out": '[lean]\n# binary = "direct"\nmodel = "m"\n',
    "lean in leaners only": '[leaners.alpha]\nmodel = "m"\n',
    "windows endings": '# top\r\n[lean]\r\nmodel = "m"\r\n',
    "windows endings, no lean": "# top\r\n[limits]\r\ncalls = 3\r\n",
}


@pytest.mark.parametrize("before", ADDED.values(), ids=ADDED)
def test_set_leaner_adds_what_is_missing_and_keeps_every_line(home: Bench, before: str) -> None:
    config = home.home / "own.toml"
    config.write_bytes(before.encode())
    ran = home.lean_loop("--set-leaner", "alpha", "-g", str(config))
    assert ran.code == 0, ran.text
    after = config.read_bytes().decode()
    assert tomllib.loads(after) == with_alpha(before)
    assert kept(before) == [line for line in kept(after) if line in kept(before)]
    assert ("\r\n" in before) == ("\r\n" in after)
    assert "\r\n" not in before or after.count("\n") == after.count("\r\n")


def with_alpha(text: str) -> dict[str, Any]:
    """Read TOML with alpha as the active leaner."""
    document = tomllib.loads(text)
    return {**document, "lean": {**document.get("lean", {}), "binary": "alpha"}}


def kept(text: str) -> list[str]:
    """List the lines of a text that say something."""
    return [line for line in text.splitlines() if line.strip()]


ODD = {
    "blanks in the header": '[ lean ]\nbinary = "direct"\n',
    "a dotted key": 'lean.binary = "direct"\n',
    "an inline table": 'lean = { binary = "direct", model = "m" }\n',
    "a quoted key": '[lean]\n"binary" = "direct"\n',
    "a quoted table": '["lean"]\nbinary = "direct"\n',
    "three quotes": '[lean]\nbinary = """direct"""\n',
    "a text that looks like it": '[prompts]\nsummary = """\n[lean]\nbinary = "x"\n"""\n[lean]\nbinary = "direct"\n',
    "a list over lines": '[lean]\nstop = [\n"[x]",\n]\nbinary = "direct"\n',
    "a header inside a list": "[lean]\nstop = [\n'''\n[x]\n''',\n]\nbinary = 'direct'\n",
    "a table of its own below": '[lean.options]\nbinary = "kept"\n',
    "a table of its own above": '[lean.options]\nbinary = "kept"\n[lean]\nbinary = "direct"\n',
}


@pytest.mark.parametrize("before", ODD.values(), ids=ODD)
def test_set_leaner_changes_an_oddly_written_file_rightly_or_not_at_all(home: Bench, before: str) -> None:
    config = home.home / "own.toml"
    config.write_text(before)
    ran = home.lean_loop("--set-leaner", "alpha", "-g", str(config))
    assert "Traceback" not in ran.text
    wanted = with_alpha(before) if ran.code == 0 else tomllib.loads(before)
    assert tomllib.loads(config.read_text()) == wanted
    assert ran.code == 0 or str(config) in ran.err


@pytest.mark.parametrize(("name", "stem"), [("alpha.sh", "alpha"), ("direct.py", "direct"), ("direct", "direct")])
def test_set_leaner_takes_a_name_with_its_ending_and_writes_the_bare_one(home: Bench, name: str, stem: str) -> None:
    config = static(home.home / "own.toml", "beta")
    ran = home.lean_loop("--set-leaner", name, "-g", str(config))
    assert ran.code == 0, ran.text
    assert f'binary = "{stem}"\n' in config.read_text()
    assert str(config) in ran.out
    assert ran.err == ""


def test_set_leaner_keeps_the_shipped_file_but_for_one_word(home: Bench) -> None:
    config = Path(shutil.copy(ROOT / "config.toml", home.home / "own.toml"))
    home.lean_loop("--set-leaner", "alpha", "-g", str(config))
    shipped, changed = (ROOT / "config.toml").read_bytes(), config.read_bytes()
    assert changed == shipped.replace(b'\nbinary = "direct"', b'\nbinary = "alpha"', 1) != shipped


def test_set_leaner_refuses_a_name_that_nobody_knows(home: Bench) -> None:
    config = static(home.home / "own.toml", "beta")
    before = config.read_bytes()
    ran = home.lean_loop("--set-leaner", "alpah", "-g", str(config))
    assert ran.code == 2
    assert "'alpah'" in ran.err
    assert "'alpha'" in ran.err
    assert config.read_bytes() == before


def test_set_leaner_writes_to_the_clones_own_file(home: Bench) -> None:
    own(home)
    module = clone(home)
    assert run_copy(home, module, "--set-leaner", "alpha").code == 0
    assert 'binary = "alpha"' in (module.parent / "config.toml").read_text()
    assert active(run_copy(home, module, "--list-leaners")) == "alpha"


def test_set_leaner_leaves_a_tracked_file_as_it_is(home: Bench) -> None:
    own(home)
    module = clone(home)
    home.git("init", "-q", str(module.parent))
    home.git("-C", str(module.parent), "add", "config.toml")
    before, mine = (module.parent / "config.toml").read_bytes(), module.parent / "config.local.toml"
    for name in ("beta", "alpha"):
        ran = run_copy(home, module, "--set-leaner", name)
        assert (ran.code, str(mine) in ran.out) == (0, True), ran.text
    assert (module.parent / "config.toml").read_bytes() == before
    assert mine.read_text() == '[lean]\nbinary = "alpha"\n'
    assert active(run_copy(home, module, "--list-leaners")) == "alpha"


def test_set_leaner_never_writes_to_the_packaged_file(home: Bench) -> None:
    module = installed(home)
    packaged = home.home / "prefix" / "share" / "lean-loop" / "config.toml"
    packaged.write_text("# packaged\n" + packaged.read_text())
    before = packaged.read_bytes()
    ran = run_copy(home, module, "--set-leaner", "alpha")
    mine = home.home / "config" / "lean-loop" / "config.toml"
    assert ran.code == 0, ran.text
    assert str(mine) in ran.out
    assert packaged.read_bytes() == before
    assert mine.read_text() == before.decode().replace('"packaged"', '"alpha"')
    assert active(run_copy(home, module, "--list-leaners")) == "alpha"


def test_set_leaner_makes_dot_config_where_xdg_is_not_set(bench: Bench) -> None:
    del bench.env["XDG_CONFIG_HOME"]
    assert run_copy(bench, installed(bench), "--set-leaner", "direct").code == 0
    assert 'binary = "direct"' in (bench.home / ".config" / "lean-loop" / "config.toml").read_text()


def test_set_leaner_without_any_home_says_what_to_do(bench: Bench) -> None:
    del bench.env["XDG_CONFIG_HOME"]
    ran = run_copy(bench, installed(bench), "--set-leaner", "direct", HOME="")
    assert ran.code == 3, ran.text
    assert "config.toml cannot be written to" in ran.err
    assert "HOME" in ran.err


def test_set_leaner_in_a_folder_that_cannot_be_made_says_so(bench: Bench) -> None:
    (bench.home / "config").write_text("a file, no folder\n")
    ran = run_copy(bench, installed(bench), "--set-leaner", "direct")
    assert ran.code in (2, 3), ran.text
    assert "Traceback" not in ran.text
    assert str(bench.home / "config") in ran.err


def test_set_leaner_follows_a_link_and_keeps_the_mode(home: Bench) -> None:
    config = static(home.home / "dotfiles" / "lean.toml", "beta")
    config.chmod(0o600)
    link = home.home / "own.toml"
    link.symlink_to(config)
    assert home.lean_loop("--set-leaner", "alpha", LEANLOOP_CONFIG=str(link)).code == 0
    assert link.is_symlink()
    assert 'binary = "alpha"' in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def shared_clone(bench: Bench) -> Iterator[tuple[Bench, list[str]]]:
    """A clone that its user may read and not write, and the command that runs it as this user."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        env = {**bench.env, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(place / "home"), "TMPDIR": name}
        made = Bench(place / "home", place / "project", {**env, "XDG_CONFIG_HOME": str(place / "home" / "config")})
        for folder in (made.home, made.project):
            folder.mkdir()
        module = clone(made)
        (module.parent / "config.toml").chmod(0o444)
        if not os.geteuid():
            os.chown(made.home, 65534, 65534)
        yield made, [*unprivileged(), plain_python(), "-B", str(module)]


def test_set_leaner_leaves_a_clone_of_somebody_else_alone(shared_clone: tuple[Bench, list[str]]) -> None:
    bench, command = shared_clone
    done = subprocess.run([*command, "--set-leaner", "direct"], cwd=bench.project, env=bench.env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert 'binary = "beside"' in (bench.home / "clone" / "config.toml").read_text()
    assert 'binary = "direct"' in (bench.home / "config" / "lean-loop" / "config.toml").read_text()
    listed = subprocess.run([*command, "--list-leaners"], cwd=bench.project, env=bench.env, capture_output=True)
    assert b"* direct" in listed.stdout


def test_set_leaner_warns_where_a_leanfile_overrides(home: Bench) -> None:
    config = static(home.home / "own.toml", "beta")
    home.write("leanfile.toml", '[lean]\nbinary = "direct"\n' + LEANFILE)
    ran = home.lean_loop("--set-leaner", "alpha", "-g", str(config))
    assert ran.code == 0
    assert "leanfile.toml" in ran.err
    assert '"direct"' in ran.err
    assert 'binary = "alpha"' in config.read_text()


def test_set_leaner_is_silent_where_the_leanfile_does_not_override(home: Bench) -> None:
    home.write("leanfile.toml", '[lean]\nmodel = "m"\n' + LEANFILE)
    assert home.lean_loop("--set-leaner", "alpha", "-g", str(static(home.home / "own.toml", "beta"))).err == ""


# --------------------------------------------------------------------------------------------------- tasks, leanfiles

NOTES_ITS_TASK = """
    grep '^# Task: ' "$LEAN_PROMPT_FILE" >> "$HOME/asked"
    echo done
"""
THREE = '[runner]\ncommand = "{python}"\nargs = ["-c", "pass"]\n' + "".join(
    f'[[tasks]]\nname = "{name}"\nprompt = "Do {name}."\n' for name in ("one", "two", "three")
)


def asked(bench: Bench) -> list[str]:
    """List the tasks that the leaner was asked for, in order."""
    log = bench.home / "asked"
    return log.read_text().replace("# Task: ", "").split() if log.exists() else []


@pytest.mark.parametrize(
    ("args", "tasks"),
    [
        ([], ["one", "two", "three"]),
        (["--task", "two"], ["two"]),
        (["--task", "three", "--task", "one"], ["one", "three"]),
        (["--task", "two", "--task", "two"], ["two"]),
    ],
    ids=["all", "one", "two of them", "one twice"],
)
def test_task_chooses_and_the_leanfile_orders(bench: Bench, leaner: Leaner, args: list[str], tasks: list[str]) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("leanfile.toml", THREE)
    ran = bench.lean_loop(*args)
    assert ran.code == 0, ran.text
    assert asked(bench) == tasks
    assert [line.split(":")[1].strip() for line in ran.out.splitlines() if line.startswith("green")] == tasks


@pytest.mark.parametrize(
    ("word", "hint"), [("--quite", "Did you mean '--quiet'?"), ("leanfile.toml", "put -c before it"), ("", "-c")]
)
def test_of_an_unknown_word_it_is_said_what_may_be_meant(bench: Bench, word: str, hint: str) -> None:
    ran = bench.lean_loop(word)
    assert (ran.code, hint in ran.err.splitlines()[-1]) == (2, True), ran.text


def test_an_unknown_task_lists_the_known_and_runs_none(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("leanfile.toml", THREE)
    ran = bench.lean_loop("--task", "one", "--task", "four")
    assert ran.code == 2
    assert "'four'" in ran.err
    assert "one, two, three" in ran.err
    assert asked(bench) == []


RED = THREE.replace('"pass"', '"raise SystemExit(1)"').replace(
    "[runner]", "[defaults]\nmax_iters_per_task = 0\n[runner]"
)


def test_leanfiles_run_in_their_order(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("a.toml", THREE)
    bench.write("b.toml", THREE.replace('"one"', '"four"'))
    ran = bench.lean_loop("-c", "b.toml", "--config", "a.toml")
    assert ran.code == 0, ran.text
    assert asked(bench) == ["four", "two", "three", "one", "two", "three"]


def test_the_first_red_leanfile_stops(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("a.toml", THREE)
    bench.write("b.toml", RED.replace('"one"', '"four"'))
    ran = bench.lean_loop("-c", "a.toml", "-c", "b.toml", "-c", "a.toml")
    assert ran.code == 1, ran.text
    assert asked(bench) == ["one", "two", "three", "four"]


def test_a_fault_in_a_later_leanfile_is_said_before_anything_runs(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("a.toml", THREE)
    ran = bench.lean_loop("-c", "a.toml", "-c", "missing.toml")
    assert ran.code == 2
    assert "missing.toml" in ran.err
    assert asked(bench) == []


# ------------------------------------------------------------------------------------------------- codes and streams


def test_version_tells_version_and_place(bench: Bench) -> None:
    ran = bench.lean_loop("--version")
    assert (ran.code, ran.err) == (0, "")
    first, *places = ran.out.splitlines()
    assert first == f"lean-loop {leanloop.__version__} ({ROOT})"
    state = bench.home / "state" / "lean-loop"
    assert places == [f"configuration: {ROOT / 'config.toml'}", f"runs and states: {state}"]


def test_version_of_an_installed_copy_tells_where_its_files_lie(bench: Bench) -> None:
    ran = run_copy(bench, installed(bench), "--version")
    assert str(bench.home / "prefix" / "share" / "lean-loop") in ran.out


def test_reports_and_runs_are_found_from_where_no_leanfile_lies(calc: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    calc.lean_loop()
    elsewhere = calc.home / "elsewhere"
    elsewhere.mkdir()
    calc.project = elsewhere
    assert "# lean-loop: red" in calc.lean_loop("--report").out
    assert "leanfile.toml" in calc.lean_loop("--runs").out


def test_where_nothing_ever_ran_a_report_says_so(bench: Bench) -> None:
    for verb in ("--report", "--runs"):
        ran = bench.lean_loop(verb)
        assert (ran.code, "no run yet" in ran.err) == (2, True), ran.text


def test_help_names_every_option(bench: Bench) -> None:
    ran = bench.lean_loop("--help")
    options = "-c -g --config --global-config --task --init --list-leaners --set-leaner --demo --version"
    assert ran.code == 0
    assert [option for option in options.split() if option not in ran.out] == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--resmue"], "--resmue: there is no such option. Did you mean '--resume'?"),
        (["resume"], "resume: there is no such option. Did you mean '--resume'?"),
        (["-x"], "-x: there is no such option. Known here: -c, --config, "),
        (["leanfile.toml"], "leanfile.toml: to run a leanfile, put -c before it: lean-loop -c leanfile.toml"),
        (["calc.py"], "calc.py: to run a leanfile, put -c before it: lean-loop -c calc.py"),
        (["--task"], "argument --task: expected one argument. Look at lean-loop --help"),
        (["--resum"], "--resum: there is no such option. Did you mean '--resume'?"),
        (["--check", "--runs"], "--check and --runs: these do not go together. Ask for one of them."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_one_line_that_helps(calc: Bench, args: list[str], told: str) -> None:
    ran = calc.lean_loop(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"lean-loop: {told}")
    assert len(ran.err.splitlines()) == 1


def test_the_outcome_goes_to_standard_output_and_progress_to_standard_error(calc: Bench, serve: Serve) -> None:
    serve(WRONG, RIGHT)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert ran.out.startswith("green: add: 2 attempts")
    assert len(ran.out.splitlines()) == 2
    assert "[1/1] add" in ran.err
    assert "tests: " in ran.err
    assert "[1/1]" not in ran.out
    assert "tokens in" in ran.out
    (run,) = calc.runs()
    assert ran.out.endswith(f"; run {run.name}\n")


def test_red_ends_with_1(calc: Bench, serve: Serve) -> None:
    serve(WRONG)
    calc.write("leanfile.toml", "[defaults]\nmax_iters_per_task = 0\n" + LEANFILE)
    ran = calc.lean_loop()
    assert ran.code == 1
    assert ran.out.startswith("red: add")


def test_a_red_task_stops_those_after_it(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("leanfile.toml", RED)
    ran = bench.lean_loop()
    assert ran.code == 1
    assert asked(bench) == ["one"]


def test_a_failed_after_command_ends_with_1(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("leanfile.toml", THREE.replace('"Do one."', '"Do one."\nafter = ["echo sorry; exit 7"]'))
    ran = bench.lean_loop()
    assert ran.code == 1
    assert "echo sorry; exit 7" in ran.out
    assert "7: sorry" in ran.out
    assert asked(bench) == ["one"]


def test_a_limit_that_is_reached_ends_with_1(bench: Bench, leaner: Leaner) -> None:
    leaner(NOTES_ITS_TASK)
    bench.write("leanfile.toml", "[limits]\ncalls = 2\n" + THREE)
    ran = bench.lean_loop()
    assert ran.code == 1
    assert "[limits] calls" in ran.out
    assert asked(bench) == ["one", "two"]


WAITS = """
    echo $$ > "$HOME/waiting"
    while [ ! -e "$HOME/go" ]; do sleep 0.05; done
    echo done
"""


def start_waiting(bench: Bench) -> subprocess.Popen[bytes]:
    """Start a run and come back when its leaner waits."""
    process = subprocess.Popen(
        LEANLOOP, cwd=bench.project, env=bench.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not (bench.home / "waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_project_that_another_run_holds_ends_with_3(bench: Bench, leaner: Leaner) -> None:
    leaner(WAITS)
    bench.write("leanfile.toml", THREE)
    first = start_waiting(bench)
    try:
        second = bench.lean_loop()
        assert second.code == 3, second.text
        assert f"process {first.pid}" in second.err
    finally:
        (bench.home / "go").touch()
        out, err = first.communicate(timeout=30)
    assert first.returncode == 0, err
    assert b"green: three" in out


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_the_run_and_its_leaner(bench: Bench, leaner: Leaner, name: str, code: int) -> None:
    leaner(WAITS)
    bench.write("leanfile.toml", THREE)
    process, begun = start_waiting(bench), time.monotonic()
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert time.monotonic() - begun < 10
    assert f"ended by {name}".encode() in err
    assert b"Traceback" not in err
    assert not is_alive(int((bench.home / "waiting").read_text()))


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
def test_an_older_python_is_told_in_one_line(bench: Bench, version: str) -> None:
    pythons = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = str(pythons[0]) if pythons else working(f"python{version}")
    if not found:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([found, str(ROOT / "leanloop.py")], cwd=bench.project, env=bench.env, capture_output=True)
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert b"3.11" in done.stderr
    assert version.encode() in done.stderr
    assert done.returncode in (2, 3), "1 would say that a task ended red"


# ---------------------------------------------------------------------------------------------------------------- demo


@dataclass(frozen=True)
class Demo:
    """The demo, run once on a machine with Python and git and nothing else."""

    home: Path
    folder: Path
    temporary: Path
    ran: Ran


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run the demo in an empty folder, with nothing on PATH but Python and git."""
    place = tmp_path_factory.mktemp("demo")
    home, folder, temporary, programs = (place / name for name in ("home", "folder", "tmp", "bin"))
    for path in (home, folder, temporary, programs):
        path.mkdir()
    (programs / "python3").symlink_to(Path(sys.executable).resolve())
    (programs / "git").symlink_to(shutil.which("git") or "git")
    env = {"PATH": str(programs), "HOME": str(home), "TMPDIR": str(temporary), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*LEANLOOP, "--demo"],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Demo(home, folder, temporary, Ran(done.returncode, done.stdout, done.stderr))


def test_the_demo_goes_green_with_one_fix_on_the_way(demo: Demo) -> None:
    assert demo.ran.code == 0, demo.ran.text
    rows = demo.ran.out.splitlines()
    assert [row.split(";")[0] for row in rows[:3]] == [
        "green: board: 1 attempt",
        "green: next boat: 1 attempt",
        "green: group fares: 2 attempts",
    ]
    assert " 5 requests" in rows[-1]


def test_the_demo_leaves_nothing_but_its_record_and_its_copy(demo: Demo) -> None:
    kept = {path.relative_to(demo.home).as_posix() for path in demo.home.rglob("*")}
    assert {path for path in kept if not path.startswith(".local/state/lean-loop/")} <= {
        ".local", ".local/state", ".local/state/lean-loop"
    }  # fmt: skip
    assert contents(demo.folder) == {}
    assert len(list(demo.temporary.glob("*/demo/leanfile.toml"))) == 1
    assert not (ROOT / "playground" / "demo" / "__pycache__").exists()


def test_the_demo_says_that_its_answers_are_recorded_and_how_to_go_on(demo: Demo) -> None:
    (copy,) = demo.temporary.glob("*/demo")
    assert "recorded" in demo.ran.err
    assert str(copy) in demo.ran.err
    assert "base_url" in demo.ran.err


def run_demo(bench: Bench, *args: str, **env: str) -> Ran:
    """Run the demo with a temporary folder of its own."""
    (bench.home.parent / "tmp").mkdir(exist_ok=True)
    bench.env.update(env, TMPDIR=str(bench.home.parent / "tmp"))
    return bench.lean_loop("--demo", *args, timeout=120)


def test_the_demo_does_not_care_for_the_users_own_settings(bench: Bench) -> None:
    config = bench.home.parent / "own.toml"
    config.write_text('[lean]\nbinary = "no-such-leaner"\n[limits]\ncalls = 1\n[runner]\ncommand = "false"\n')
    ran = run_demo(bench, "--task", "board", LEANLOOP_CONFIG=str(config), LEAN_MODEL="stray", OPENAI_API_KEY="stray")
    assert ran.code == 0, ran.text


def test_the_demo_runs_one_task_where_one_is_named(bench: Bench) -> None:
    ran = run_demo(bench, "--task", "board")
    assert ran.code == 0, ran.text
    assert [row.split(":")[1] for row in ran.out.splitlines() if row.startswith("green")] == [" board"]


@pytest.mark.parametrize("name", ["dmeo", "../demo", "/", ""])
def test_an_unknown_demo_lists_the_known_ones(bench: Bench, name: str) -> None:
    ran = run_demo(bench, name)
    known = [path.parent.name for path in (ROOT / "playground").glob("*/leanfile.toml")]
    assert (ran.code, ran.out) == (2, ""), ran.text
    assert f"'{name}'" in ran.err
    assert [demo for demo in known if demo not in ran.err] == []


def test_a_second_demo_does_not_meet_the_first(bench: Bench) -> None:
    assert [run_demo(bench, "--task", "board").code for _ in range(2)] == [0, 0]
    events = [json.loads(line) for run in bench.runs() for line in (run / "events.jsonl").read_text().splitlines()]
    assert len({event["leanfile"] for event in events if event["event"] == "run"}) == 2


def test_the_nearest_leanfile_above_is_meant(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    (calc.project / "deep/er").mkdir(parents=True)
    ran = calc.lean_loop(below="deep/er")
    assert ran.code == 0, ran.text
    assert "lean-loop: ../../leanfile.toml with direct" in ran.err
    assert "deep" not in calc.lean_loop("--runs", below="deep").out
