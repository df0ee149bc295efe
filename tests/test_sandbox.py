"""An agent in a sandbox: it writes to the project and its own folders only, and sees no other processes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Bench, Leaner

TRY = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
WORKS = bool(shutil.which("bwrap")) and subprocess.run(TRY, capture_output=True).returncode == 0
needs_bwrap = pytest.mark.skipif(not WORKS, reason="bubblewrap is not installed, or does not work here")

# What it tries is told by the answer; the loop is what started it.
ESCAPE = """
{header}
exec 2>&1
mkdir -p made; echo made > made/helper.py; echo own > ~/.own/state; echo temporary > "$TMPDIR/temporary"
echo out > ~/outside.txt; echo out > "/dev/shm/${{TMPDIR//\\//-}}"; find /dev -type b
echo out > "$(dirname "$LEAN_PROMPT_FILE")/stray.txt"; rm -rf "$XDG_STATE_HOME"/lean-loop/*/git
echo out >> .git/config; git stash -u; kill -STOP $PPID; kill -KILL $PPID
echo "sees $(ls /proc | grep -c '^[0-9]')"
sed -i 's/left - right/left + right/' calc.py
"""


def escape(bench: Bench, leaner: Leaner, header: str) -> str:
    """Let an agent try to get out and to mend calc.py; return what it said."""
    (bench.home / ".own").mkdir()
    bench.write("notes.txt", "mine\n")
    leaner(ESCAPE.format(header=header), "source")
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    return next(bench.runs()[-1].glob("*-answer.txt")).read_text()


@needs_bwrap
def test_an_agent_writes_to_the_project_and_to_its_own_folders_only(calc: Bench, leaner: Leaner) -> None:
    said = escape(calc, leaner, "# lean: writes=~/.own,$NOT_SET")
    told = calc.lean_loop("--check").out
    assert "sandbox: bwrap" in told and "; not" not in told, told
    assert said.count("Read-only file system") >= 4, said
    assert [path.name for path in calc.home.iterdir() if path.name.startswith("outside")] == []
    assert (calc.home / ".own/state").read_text() == "own\n"
    assert (Path(calc.env["TMPDIR"]) / "temporary").exists()
    assert "made/helper.py" in calc.git("status", "--porcelain", "-uall") and calc.read("notes.txt") == "mine\n"
    assert not Path("/dev/shm", calc.env["TMPDIR"].replace("/", "-")).exists() and "/dev/" not in said
    assert "sees " in said and int(said.rpartition("sees ")[2].split()[0]) < 10


@needs_bwrap
def test_a_wrapper_that_does_not_say_what_it_writes_has_no_sandbox(calc: Bench, leaner: Leaner) -> None:
    leaner("# lean: overhead=1\necho out > ~/outside.txt; sed -i 's/left - right/left + right/' calc.py")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert ran.err.count("warning: without a sandbox: leaner") == 1
    assert ran.err.index("without a sandbox") < ran.err.index("[1/1] add")
    assert (calc.home / "outside.txt").exists()


@needs_bwrap
def test_a_sandbox_can_be_switched_off(calc: Bench, leaner: Leaner) -> None:
    calc.write("leanfile.toml", f'[guard]\nsandbox = "off"\n{calc.read("leanfile.toml")}')
    leaner("# lean: writes=\necho out > ~/outside.txt; sed -i 's/left - right/left + right/' calc.py")
    assert calc.lean_loop().code == 0
    assert (calc.home / "outside.txt").exists()


@needs_bwrap
def test_what_a_sandbox_lets_out_is_still_judged_and_told(calc: Bench, leaner: Leaner) -> None:
    leaner("# lean: writes=\nsed -i 's/, 5)/, -1)/' test_calc.py; echo '# more' >> calc.py; kill -KILL $$", "source")
    calc.write("leanfile.toml", f"[defaults]\nmax_iters_per_task = 0\n{calc.read('leanfile.toml')}")
    ran = calc.lean_loop()
    assert ran.code == 1 and "put back: test_calc.py" in ran.err, ran.text
    assert "ended by signal 9 (SIGKILL); what it had changed by then was judged" in ran.err


def test_where_bubblewrap_does_not_work_it_is_said_once(calc: Bench, leaner: Leaner, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (programs / "bwrap").chmod(0o755)
    leaner("# lean: writes=\necho out > ~/outside.txt; echo '# more' >> calc.py; echo tried")
    calc.write("leanfile.toml", f"[defaults]\nmax_iters_per_task = 2\n{calc.read('leanfile.toml')}")
    ran = calc.lean_loop(PATH=f"{programs}:{calc.env['PATH']}")
    assert ran.code == 1, ran.text
    assert ran.err.count("No permissions to create new namespace") == 1
    assert "bwrap does not work here" in calc.lean_loop("--check", PATH=f"{programs}:{calc.env['PATH']}").out
    assert (calc.home / "outside.txt").exists()
