"""What an agent does by accident: rights, FIFOs and empty folders, and files that would be waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from conftest import Bench, Leaner

FIX = "sed -i 's/left - right/left + right/' calc.py\n"


def kind(path: Path) -> str:
    """Tell kind and rights of what lies there, as `ls -l` does; nothing where there is none."""
    return stat.filemode(path.lstat().st_mode) if os.path.lexists(path) else ""


FIFOS = """
fifo() { rm -rf "$1"; mkdir -p "$(dirname "$1")"; mkfifo "$1"; }
run="$(dirname "$LEAN_PROMPT_FILE")"
for path in new/.gitattributes new/.gitignore .git/hooks/x .git/config .git/HEAD .git/info/exclude test_calc.py \\
    calc.py package.json "$LEAN_ANSWER_FILE" "$run/../../snapshots.git/info/exclude"; do fifo "$path"; done
for n in 1 2 3 4 5 6; do fifo "$run/00$n-tests.txt"; fifo "$run/00$n-diff.txt"; fifo "$run/00$n-usage.json"; done
fifo "$run/report.md"
echo 'x = 1' > new/fresh.py
"""
SLOW = "git config filter.slow.clean 'sleep 1000'; echo '* filter=slow' > .git/info/attributes; echo >> calc.py\n"


def test_nothing_waits_for_the_other_end_of_a_fifo(calc: Bench, leaner: Leaner) -> None:
    before = {path: calc.read(path) for path in (".git/config", ".git/HEAD", "test_calc.py", "leanfile.toml")}
    leaner(f'[ -e "$HOME/once" ] && {{ {FIX} echo done; exit; }}\ntouch "$HOME/once"\n{FIFOS}\necho done\n', "source")
    ran = calc.lean_loop(timeout=40)
    assert ran.code == 0, ran.text
    assert {path: calc.read(path) for path in before} == before
    assert [path for path in calc.project.rglob("*") if path.is_fifo()] == []
    assert "put back: " in ran.err and "new/.gitattributes" in ran.err


def test_a_filter_that_an_agent_sets_is_not_waited_for(calc: Bench, leaner: Leaner) -> None:
    calc.write("other.py", "x = 1\n")
    leaner(f'[ -e "$HOME/once" ] && {{ {FIX} echo done; exit; }}\ntouch "$HOME/once"\n{SLOW}\necho done\n', "source")
    ran = calc.lean_loop(timeout=40)
    assert (ran.code, "settings" in ran.err) == (0, True), ran.text


def test_a_leanfile_that_is_a_fifo_is_refused(calc: Bench) -> None:
    (calc.project / "leanfile.toml").unlink()
    os.mkfifo(calc.project / "leanfile.toml")
    ran = calc.lean_loop(timeout=20)
    assert (ran.code, "no regular file" in ran.err) == (2, True), ran.text


@pytest.mark.parametrize("file", ["$LEAN_USAGE_FILE", "package.json"])
def test_json_of_any_depth_is_read(calc: Bench, leaner: Leaner, file: str) -> None:
    leaner(f"{FIX}head -c 100000 /dev/zero | tr '\\0' '[' > \"{file}\"\necho done\n")
    ran = calc.lean_loop()
    assert (ran.code, "RecursionError" in ran.err) == (0, False), ran.text


DEEDS = """
rm deploy.key; chmod 777 other.key; rm -r private; rmdir empty; rm -r deep; rm pipe
yes | head -c 2000000 > data.csv; rm notes.txt; mkfifo notes.txt
"""


def test_rights_fifos_and_empty_folders_are_put_back(calc: Bench, leaner: Leaner) -> None:
    for path, text, mode in (("deploy.key", "key", 0o600), ("other.key", "key", 0o640), ("private/x.txt", "x", 0o600)):
        calc.write(path, text, mode)
    calc.write("data.csv", "1\n")
    calc.write("notes.txt", "mine\n")
    calc.write("leanfile.toml", f'[guard]\nmax_file = "1MB"\n{calc.read("leanfile.toml")}')
    for folder in ("empty", "deep/empty"):
        (calc.project / folder).mkdir(parents=True)
    (calc.project / "private").chmod(0o700)
    os.mkfifo(calc.project / "pipe", 0o640)
    paths = (
        "deploy.key",
        "other.key",
        "private",
        "private/x.txt",
        "empty",
        "deep/empty",
        "pipe",
        "data.csv",
        "notes.txt",
    )
    before = {path: kind(calc.project / path) for path in paths}
    leaner(f"{FIX}{DEEDS}\necho done\n", "source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert {path: kind(calc.project / path) for path in paths} == before
    assert (calc.read("data.csv"), calc.read("notes.txt")) == ("1\n", "mine\n")


def test_undo_gives_a_private_file_back_as_private(calc: Bench, leaner: Leaner) -> None:
    calc.write("private/deploy.key", "key", 0o600)
    (calc.project / "private").chmod(0o700)
    calc.commit()
    leaner(f"{FIX}rm -r private\necho done\n")
    assert calc.lean_loop().code == 0
    assert not (calc.project / "private").exists()
    assert calc.lean_loop("--undo").code == 0
    assert [kind(calc.project / path) for path in ("private", "private/deploy.key")] == ["drwx------", "-rw-------"]
