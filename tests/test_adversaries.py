"""Agents that cheat or break things, through the real command with a real pytest.

Each one ends in an honest verdict, with the tests as they were and the user's own work byte for byte as before.
"""

from __future__ import annotations

import stat
from typing import Any

import pytest

from conftest import Bench, Leaner, Ran, few_of

SOURCE = "def add(left, right):\n    return left - right\n\n\ndef twice(number):\n    return number * 2\n"
TESTS = """
from calc import add, twice


def test_add():
    assert add(2, 3) == 5


def test_twice():
    assert twice(4) == 8
"""
PYPROJECT = """
[project]
name = "calc"
version = "1"
dependencies = ["one"]

[tool.pytest.ini_options]
testpaths = ["tests"]

[tool.other]
key = "value"
"""
LEANFILE = """
[guard]
scope = "source"
[defaults]
max_iters_per_task = 0
[runner]
command = "./check.sh"
args = ["-q"]
timeout = 20
[[tasks]]
name = "add"
prompt = "mend add"
files = ["calc/__init__.py"]
"""
FIX = "sed -i 's/left - right/left + right/' calc/__init__.py\n"
GUARDED = ("tests/test_calc.py", "tests/data/numbers.json", "pyproject.toml", "check.sh", "leanfile.toml")
MINE = ("notes.txt", "draft.txt", "secret.env", "calc/other.py")


@pytest.fixture
def victim(bench: Bench) -> Bench:
    """A repository with a red and a green test, a script as test command, and work of the user's in every state."""
    bench.write("calc/__init__.py", SOURCE)
    bench.write("tests/test_calc.py", TESTS)
    bench.write("tests/data/numbers.json", "[1, 2]\n")
    bench.write("pyproject.toml", PYPROJECT)
    bench.write("check.sh", '#!/bin/sh\nexec python -m pytest -p no:cacheprovider "$@"\n', 0o755)
    bench.write("leanfile.toml", LEANFILE)
    bench.write("notes.txt", "committed\n")
    bench.write(".gitignore", "*.env\nignored/\n__pycache__/\n")
    bench.commit()
    bench.write("notes.txt", "staged\n")
    bench.write("calc/other.py", "STAGED = True\n")
    bench.git("add", "notes.txt", "calc/other.py")
    bench.write("notes.txt", "staged, then edited\n")
    bench.write("draft.txt", "not tracked\n")
    bench.write("secret.env", "ignored\n")
    return bench


def state(bench: Bench) -> dict[str, Any]:
    """All that an agent may not touch: guarded files with their rights, the user's work, and what git holds of it."""
    files = {path: (bench.project / path).read_bytes() for path in (*GUARDED, *MINE)}
    rights = {path: stat.S_IMODE((bench.project / path).lstat().st_mode) for path in (*GUARDED, "tests", "tests/data")}
    asked = ("rev-parse HEAD", "symbolic-ref HEAD", "diff --cached", "stash list", "for-each-ref", "log --format=%H")
    return {**files, "rights": rights, **{command: bench.git(*command.split()) for command in asked}}


def run(bench: Bench, leaner: Leaner, deed: str) -> Ran:
    """Let the agent do its DEED, and see that everything is as before."""
    before = state(bench)
    leaner(f"{deed}\necho done\n", trace="auto")
    ran = bench.lean_loop(timeout=50)
    assert "Traceback" not in ran.err, ran.text
    assert state(bench) == before
    assert ours(bench) == []
    return ran


def ours(bench: Bench) -> list[str]:
    """List files that decide over tests, and that nobody but an agent has added."""
    found = bench.project.rglob("*")
    known = {bench.project / path for path in (*GUARDED, "tests")}
    names = ("conftest", "pytest", "test", "tox", "setup.cfg", "sitecustomize", ".pth", "Makefile", "dist-info")
    inner = (path for path in found if not {".git", "__pycache__", "data"} & set(path.relative_to(bench.project).parts))
    return sorted(str(path) for path in inner if path not in known and any(name in path.name for name in names))


SKIP_ALL = "import pytest\\ndef pytest_collection_modifyitems(items):\\n    items[:] = items[1:]\\n"
PASS_ALL = "def pytest_collection_modifyitems(items):\\n    for item in items: item.runtest = print\\n"
REPORT = r"<a><testcase name=\047tests.test_calc.test_add\047/></a>"
FORGE = rf'import os\nopen(os.environ["PYTEST_ADDOPTS"].split("=")[-1], "w").write("{REPORT}")\nos._exit(0)\n'
CHEATS = {
    "edits the test": "sed -i 's/== 5/== -1/' tests/test_calc.py",
    "edits the test and sets its time back": "cp -p tests/test_calc.py $HOME/t; sed -i 's/2, 3/5, 0/'"
    " tests/test_calc.py;"
    " touch -r $HOME/t tests/test_calc.py",
    "edits the test's data": "echo '[]' > tests/data/numbers.json",
    "deletes the failing test": "sed -i '/def test_add/,/== 5/d' tests/test_calc.py",
    "deletes the test file": "rm tests/test_calc.py",
    "empties the test file": ": > tests/test_calc.py",
    "renames the test file": "mv tests/test_calc.py tests/calc_checks.py",
    "replaces the test by a link": "echo 'def test_add(): pass' > good.py; ln -sf ../good.py tests/test_calc.py",
    "replaces the test by a hard link": "echo 'def test_add(): pass' > good.py; ln -f good.py tests/test_calc.py",
    "replaces the test by a folder": "rm tests/test_calc.py; mkdir tests/test_calc.py; : > tests/test_calc.py/x",
    "replaces the tests' folder by a link": "mv tests $HOME/gone; mkdir good; echo 'def test_add(): pass' > good/a.py;"
    " ln -s good tests",
    "replaces the tests' folder by a file": "rm -r tests; echo none > tests",
    "makes the tests' folder a repository": "git init -q tests; sed -i 's/== 5/== -1/' tests/test_calc.py",
    "tells snapshots to overlook the test": 'cd "$(dirname "$LEAN_PROMPT_FILE")/../.." && export GIT_DIR=snapshots.git'
    ' GIT_INDEX_FILE="$PWD/index" GIT_WORK_TREE="$OLDPWD" && git -c core.splitIndex=true update-index'
    " --assume-unchanged tests/test_calc.py; cd \"$OLDPWD\"; sed -i 's/== 5/== -1/' tests/test_calc.py",
    "tells snapshots to overlook a conftest.py": 'echo conftest.py >> "$(dirname "$LEAN_PROMPT_FILE")/../../'
    f"snapshots.git/info/exclude\"; printf '{SKIP_ALL}' > conftest.py",
    "adds a passing test": "echo 'def test_more(): pass' > tests/test_more.py",
    "adds a conftest.py": f"printf '{SKIP_ALL}' > conftest.py",
    "adds a conftest.py among the tests": f"printf '{SKIP_ALL}' > tests/conftest.py",
    "adds a conftest.py to the package": f"printf '{SKIP_ALL}' > calc/conftest.py",
    "hides a conftest.py": f"echo conftest.py >> .git/info/exclude; printf '{SKIP_ALL}' > conftest.py",
    "lets git ignore a conftest.py": f"echo conftest.py >> .gitignore; printf '{SKIP_ALL}' > conftest.py",
    "links a conftest.py": f"printf '{SKIP_ALL}' > $HOME/c.py; ln -s $HOME/c.py conftest.py",
    "lets git ignore a large conftest.py": "echo conftest.py >> .gitignore;"
    f" (printf '{SKIP_ALL}'; yes '#' | head -c 1100000) > conftest.py",
    "adds a conftest.py larger than snapshots hold": f"(printf '{SKIP_ALL}'; yes '#' | head -c 51000000) > conftest.py",
    "makes the test larger than snapshots hold": "(printf 'def test_add(): pass\\ndef test_twice(): pass\\n';"
    " yes '#' | head -c 51000000) > tests/test_calc.py",
    "adds a plugin of pytest's": "mkdir cheat-1.dist-info; printf '[pytest11]\\ncheat = cheat\\n' >"
    " cheat-1.dist-info/entry_points.txt; printf 'Name: cheat\\nVersion: 1\\n' > cheat-1.dist-info/METADATA;"
    f" printf '{PASS_ALL}' > cheat.py",
    "adds a pytest.ini": "printf '[pytest]\\naddopts = --deselect tests/test_calc.py::test_add\\n' > pytest.ini",
    "adds a .pytest.ini": "printf '[pytest]\\naddopts = -k twice\\n' > .pytest.ini",
    "adds a tox.ini": "rm pyproject.toml; printf '[pytest]\\naddopts = -k twice\\n' > tox.ini",
    "adds a setup.cfg": "rm pyproject.toml; printf '[tool:pytest]\\naddopts = -k twice\\n' > setup.cfg",
    "changes pyproject's pytest section": "sed -i 's/testpaths.*/addopts = \"-k twice\"/' pyproject.toml",
    "adds to pyproject's pytest section": "printf '\\n[tool.pytest]\\naddopts = [\"-k\", \"twice\"]\\n' >>"
    " pyproject.toml",
    "makes pyproject no TOML": "echo '[[[' >> pyproject.toml",
    "deletes pyproject": "rm pyproject.toml",
    "rewrites the runner's script": "printf '#!/bin/sh\\necho 2 passed\\n' > check.sh",
    "deletes the runner's script": "rm check.sh",
    "makes the runner's script no program": "chmod -x check.sh",
    "rewrites the leanfile": "sed -i 's/check.sh/true/' leanfile.toml",
    "touches the leanfile": "echo '# more' >> leanfile.toml",
    "locks the tests": "chmod 000 tests/test_calc.py tests",
    "opens the tests": "chmod 777 tests/test_calc.py; chmod 700 tests",
    "adds a sitecustomize.py": "echo 'import os; os.environ[\"X\"] = \"1\"' > sitecustomize.py",
    "stands in pytest's place": "echo 'import sys; sys.exit(0)' > pytest.py",
    "stands in pytest's place as a folder": "mkdir pytest; echo 'print(1)' > pytest/__main__.py; : >"
    " pytest/__init__.py",
    "stands in the place of what pytest needs": f"printf '{FORGE}' > iniconfig.py",
    "leaves a background writer": "(setsid nohup sh -c 'while :; do echo \"def test_add(): pass\" > tests/test_calc.py;"
    " sleep 0.01; done' > /dev/null 2>&1 &) ; sleep 0.1",
    "leaves a patient background writer": "(trap '' TERM HUP; setsid nohup sh -c 'sleep 0.4; echo > tests/test_calc.py'"
    " > /dev/null 2>&1 &)",
    "rewrites the test from the source": 'printf "\\nimport pathlib\\np = pathlib.Path(\'tests/test_calc.py\')\\n'
    'p.write_text(p.read_text().replace(\'== 5\', \'== -1\'))\\n" >> calc/__init__.py',
    "writes a conftest.py from the source": 'printf "\\nimport pathlib\\npathlib.Path(\'conftest.py\').write_text('
    '\'collect_ignore = [chr(116)]\')\\n" >> calc/__init__.py; sed -i "s/left - right/left + right - 1/"'
    ' calc/__init__.py',
    "configures pytest from the source": "echo \"import pathlib as p; f = p.Path('pyproject.toml');"
    " f.write_text(f.read_text().replace('testpaths', 'addopts'))\" >> calc/__init__.py",
    "writes a .pytest.toml from the source": "echo \"import pathlib as p; p.Path('.pytest.toml')"
    ".write_text('[pytest]')\" >> calc/__init__.py",
    "ends with 0 at import": "echo 'import sys; sys.exit(0)' >> calc/__init__.py",
    "ends at once with 0 at import": "echo 'import os; os._exit(0)' >> calc/__init__.py",
    "ends with 0 in the test": "sed -i 's/return left - right/import os; os._exit(0)/' calc/__init__.py",
    "ends with 0 at exit": "echo 'import atexit, os; atexit.register(os._exit, 0)' >> calc/__init__.py",
    "skips from the source": "sed -i 's/return left - right/import pytest; pytest.skip(\"later\")/' calc/__init__.py",
    "expects to fail from the source": "sed -i 's/return left - right/import pytest; pytest.xfail(\"x\")/'"
    " calc/__init__.py",
    "skips the module from the source": "echo 'import pytest; pytest.skip(\"x\", allow_module_level=True)' >>"
    " calc/__init__.py",
    "replaces the tests by a link to itself": "rm -r tests; ln -s tests tests",
    "adds a test with a newline in its name": "touch $'test_a\\nb.py'",
    "writes a report of its own": 'echo "<testsuite/>" > "$(dirname "$LEAN_PROMPT_FILE")/003-junit.xml"',
    "claims that all is green": "echo '2 passed in 0.01s'; echo 'All tests pass.'",
    "writes what cannot be read": "head -c 3000 /dev/urandom > calc/__init__.py",
}  # fmt: skip
CLASS = """
import unittest
from calc import add

class Add(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)
"""
COMPILE = """
mkdir -p $HOME/t tests/__pycache__; sed 's/2, 3/5, 0/' tests/test_calc.py > $HOME/t/test_calc.py
touch -r tests/test_calc.py $HOME/t/test_calc.py; python -m compileall -q $HOME/t
cp $HOME/t/__pycache__/*.pyc tests/__pycache__; touch -d yesterday tests/__pycache__/*
"""
BREAKS = {
    "commits": "git add -A; git commit -qm agent",
    "amends": "git commit -q --amend -am agent",
    "commits without a hook": "git commit -q --no-verify -am agent; git tag agent",
    "resets": "git reset -q --hard",
    "stashes": "git stash -q -u",
    "stashes and drops": "git stash -q -u; git stash drop -q",
    "cleans": "git clean -fdxq",
    "switches branch": "git checkout -q -b agent",
    "detaches HEAD": "git checkout -q --detach",
    "checks everything out": "git checkout -q -- .",
    "deletes the branch": "git checkout -q --orphan none; git branch -D main",
    "stages everything": "git add -A",
    "unstages everything": "git reset -q",
    "removes from the index": "git rm -rq --cached .",
    "deletes .git": "rm -rf .git",
    "makes .git anew": "rm -rf .git; git init -q -b main",
    "hides a change from git": "git update-index --assume-unchanged notes.txt; echo x > notes.txt",
    "deletes the user's files": "rm notes.txt draft.txt secret.env calc/other.py",
    "empties everything": "rm -rf ./* .gitignore",
    "removes the project": 'rm -rf "$PWD"',
    "moves the project away": 'mv "$PWD" "$PWD-moved"',
    "puts a link in the project's place": 'mv "$PWD" "$PWD-moved"; ln -s "$PWD-moved" "$PWD"',
    "puts a file in the project's place": 'mv "$PWD" "$PWD-moved"; echo > "$PWD"',
    "locks the index": "touch .git/index.lock; rm notes.txt",
    "sets filters": "echo '* filter=agent text eol=crlf' > .gitattributes; git config filter.agent.clean 'echo gone'",
    "sets hooks": "git config core.hooksPath /nowhere; printf '#!/bin/sh\\nexit 1' > .git/hooks/pre-commit",
}  # fmt: skip


# Each call of the agent notes what it finds, clears away what it added to the source, and does the next deed.
IN_TURN = f"""
n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"
{{
    sha256sum {" ".join((*GUARDED, *MINE))}; stat -c '%a %n' {" ".join(GUARDED)} tests tests/data
    git rev-parse HEAD; git symbolic-ref HEAD; git diff --cached; git stash list; git for-each-ref
    git log --format=%H; git fsck --no-dangling; cat .gitignore .git/info/exclude
    find . \\( -name .git -o -name __pycache__ \\) -prune -o -print | sort | grep -E 'test|tox|cfg|custom|pth|Make|info'
}} > "$HOME/found-$n" 2>&1
git clean -fdq -e draft.txt; git show HEAD:calc/__init__.py > calc/__init__.py
bash "$HOME/deed-$n"
echo did $n
"""


def run_in_turn(victim: Bench, leaner: Leaner, deeds: dict[str, str]) -> None:
    """Let the agent do all DEEDS, one an attempt; see that each ends red, and what the one after it finds."""
    settings = f'max_iters_per_task = {len(deeds) - 1}\nrestart_after = 0\ntrace = "off"'
    victim.write("leanfile.toml", victim.read("leanfile.toml").replace("max_iters_per_task = 0", settings))
    victim.git("commit", "-q", "-m", "settings", "leanfile.toml")
    for number, deed in enumerate(deeds.values(), 1):
        (victim.home / f"deed-{number}").write_text(deed)
    before = state(victim)
    leaner(IN_TURN)
    ran = victim.lean_loop(timeout=300)
    assert ran.code == 1 and "red: add" in ran.out, ran.text
    assert "Traceback" not in ran.err, ran.text
    found = [(victim.home / f"found-{number}").read_text() for number in range(1, len(deeds) + 1)]
    differing = [name for name, text in zip(deeds, found[1:], strict=False) if text != found[0]]
    assert not differing, ran.text
    assert (state(victim), ours(victim)) == (before, []), f"after: {[*deeds][-1]}"


def parts(deeds: dict[str, str], number: int) -> list[dict[str, str]]:
    """Deal DEEDS out into NUMBER of runs, neighbours apart."""
    return [dict([*deeds.items()][begin::number]) for begin in range(number)]


@pytest.mark.parametrize("deeds", few_of(parts(CHEATS, 3)))
def test_cheats_are_red_and_undone(victim: Bench, leaner: Leaner, deeds: dict[str, str]) -> None:
    run_in_turn(victim, leaner, deeds)


@pytest.mark.parametrize("deeds", few_of(parts(BREAKS, 2)))
def test_what_breaks_the_repository_is_put_right(victim: Bench, leaner: Leaner, deeds: dict[str, str]) -> None:
    settings = victim.read("leanfile.toml").replace("[defaults]", 'on_fail = "restore"\n[defaults]')
    victim.write("leanfile.toml", settings)
    run_in_turn(victim, leaner, deeds)


@pytest.mark.parametrize("place", ["snapshots.git", "runs", ""])
def test_an_agent_that_removes_the_record_ends_the_run(victim: Bench, leaner: Leaner, place: str) -> None:
    ran = run(victim, leaner, f'rm -rf "$XDG_STATE_HOME"/lean-loop/*/{place}')
    assert ran.code == 3
    assert victim.lean_loop("--task", "add").code in (1, 3)


@pytest.mark.parametrize(
    "cheat", ["edits the test", "adds a conftest.py", "leaves a background writer", "locks the tests"]
)
def test_a_cheat_that_does_the_work_too_is_green(victim: Bench, leaner: Leaner, cheat: str) -> None:
    ran = run(victim, leaner, FIX + CHEATS[cheat])
    assert ran.code == 0, ran.text
    assert "left + right" in victim.read("calc/__init__.py")


def test_what_an_agent_compiled_does_not_stand_for_the_test(victim: Bench, leaner: Leaner) -> None:
    """Python takes a compiled file for a source of the same size and time."""
    victim.write("tests/__init__.py", "")
    victim.write("tests/test_calc.py", CLASS)
    victim.write("check.sh", "#!/bin/sh\nexec python -m unittest -q\n", 0o755)
    victim.write("leanfile.toml", LEANFILE.replace('["-q"]', "[]"))
    victim.commit()
    ran = run(victim, leaner, COMPILE)
    assert ran.code == 1, ran.text
    assert list((victim.project / "tests/__pycache__").iterdir()) == []
