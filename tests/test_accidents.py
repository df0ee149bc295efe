"""What an agent does by accident: rights, FIFOs and empty folders, and files that would be waited for."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import pytest

from conftest import LEANLOOP, Bench, Leaner
from terminal import play

FIX = "sed -i 's/left - right/left + right/' calc.py\n"


def kind(path: Path) -> str:
    """Tell kind and rights of what lies there, as `ls -l` does; nothing where there is none."""
    return stat.filemode(path.lstat().st_mode) if os.path.lexists(path) else ""


def tags_of(path: Path) -> list[str]:
    """List the extended attributes of a file, where the system has them."""
    return os.listxattr(path) if hasattr(os, "listxattr") else []


FIFOS = """
fifo() { rm -rf "$1"; mkdir -p "$(dirname "$1")"; mkfifo "$1"; }
run="$(dirname "$LEAN_PROMPT_FILE")"
for path in new/.gitattributes new/.gitignore .git/hooks/x .git/config .git/HEAD .git/info/exclude \\
    .git/objects/info/alternates test_calc.py calc.py package.json \\
    "$LEAN_ANSWER_FILE" "$run/../../snapshots.git/info/exclude" "$run/../../snapshots.git/HEAD"; do fifo "$path"; done
for n in 1 2 3 4 5 6; do fifo "$run/00$n-tests.txt"; fifo "$run/00$n-diff.txt"; fifo "$run/00$n-usage.json"; done
fifo "$run/report.md"
echo 'x = 1' > new/fresh.py
"""
SLOW = "git config filter.slow.clean 'sleep 1000'; echo '* filter=slow' > .git/info/attributes; echo >> calc.py\n"


def test_nothing_waits_for_the_other_end_of_a_fifo(calc: Bench, leaner: Leaner) -> None:
    before = {path: calc.read(path) for path in (".git/config", ".git/HEAD", "test_calc.py", "leanfile.toml")}
    leaner(
        f'[ -e "$HOME/once" ] && {{ git status; {FIX} echo done; exit; }}\ntouch "$HOME/once"\n{FIFOS}\necho done\n',
        "source",
    )
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


FIFOS_BEFORE = {".gitattributes": 3, "sub/.gitattributes": 3, "sub/.gitignore": 3, ".gitmodules": 0}


@pytest.mark.parametrize("path", FIFOS_BEFORE)
def test_a_fifo_of_the_users_that_git_would_read_is_named_at_once_or_gone_round(
    calc: Bench, leaner: Leaner, path: str
) -> None:
    (calc.project / path).parent.mkdir(exist_ok=True)
    os.mkfifo(calc.project / path)
    calc.write("sub/x.txt", "x\n")
    leaner(f"{FIX}echo done\n")
    ran = calc.lean_loop(timeout=20)
    assert (ran.code, f"{path} is a FIFO" in ran.err) == (FIFOS_BEFORE[path], FIFOS_BEFORE[path] > 0), ran.text


def test_fifos_in_the_state_folder_are_not_waited_for(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{FIX}echo done\n")
    assert calc.lean_loop().code == 0
    record = calc.runs()[0]
    store = record.parents[1] / "snapshots.git"
    names = ("lock", "index", "index.lock", "rights.json", "named.json", "git/places")
    inner = ("HEAD", "config", "packed-refs", "info/attributes", "objects/info/alternates")
    for path in (*(record.parents[1] / name for name in names), *(store / name for name in inner)):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    calc.git("checkout", "-q", "calc.py")
    ran = calc.lean_loop(timeout=30)
    assert ran.code == 0, ran.text
    record.joinpath("events.jsonl").unlink()
    os.mkfifo(record / "events.jsonl")
    ran = calc.lean_loop("--undo", timeout=30)
    assert (ran.code, "left - right" in calc.read("calc.py")) == (0, True), ran.text


@pytest.mark.parametrize("file", ["$LEAN_USAGE_FILE", "package.json"])
def test_json_of_any_depth_is_read(calc: Bench, leaner: Leaner, file: str) -> None:
    leaner(f"{FIX}head -c 100000 /dev/zero | tr '\\0' '[' > \"{file}\"\necho done\n")
    ran = calc.lean_loop()
    assert (ran.code, "RecursionError" in ran.err) == (0, False), ran.text


DEEDS = """
rm deploy.key; chmod 777 other.key; rm -r private; rmdir empty; rm -r deep; rm pipe
yes | head -c 2000000 > data.csv; rm notes.txt; mkfifo notes.txt; echo theirs > tagged.txt
mkdir -p made/by/agent void; mkfifo void/pipe; truncate -s 900G core
"""


def test_rights_fifos_and_empty_folders_are_put_back(calc: Bench, leaner: Leaner) -> None:
    for path, text, mode in (("deploy.key", "key", 0o600), ("other.key", "key", 0o640), ("private/x.txt", "x", 0o600)):
        calc.write(path, text, mode)
    calc.write("data.csv", "1\n")
    calc.write("notes.txt", "mine\n")
    calc.write("tagged.txt", "mine\n")
    with contextlib.suppress(OSError, AttributeError):  # not every system has them
        os.setxattr(calc.project / "tagged.txt", "user.tag", b"mine")
    tags = tags_of(calc.project / "tagged.txt")
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
    assert tags_of(calc.project / "tagged.txt") == tags
    assert not {"made", "void"} & {path.name for path in calc.project.iterdir()}
    assert (calc.read("data.csv"), calc.read("notes.txt")) == ("1\n", "mine\n")


def test_a_folder_that_is_only_called_like_a_generated_one_is_covered(calc: Bench, leaner: Leaner) -> None:
    mine = ("target/rules.txt", "src/venv/a b.py", "site-packages/notes.txt")
    theirs = ("node_modules/one/package.json", "app/target/CACHEDIR.TAG", "app/venv/ignored.txt")
    calc.write(".gitignore", "/app/venv/\n")
    for path in (*mine, *theirs):
        calc.write(path, "mine\n")
    leaner(f"{FIX}rm -r target src site-packages node_modules app\necho done\n", "source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert [path for path in (*mine, *theirs) if (calc.project / path).exists()] == [*mine]


def test_undo_gives_a_private_file_back_as_private(calc: Bench, leaner: Leaner) -> None:
    calc.write("private/deploy.key", "key", 0o600)
    (calc.project / "private").chmod(0o700)
    calc.commit()
    leaner(f"{FIX}rm -r private\necho done\n")
    assert calc.lean_loop().code == 0
    assert not (calc.project / "private").exists()
    assert calc.lean_loop("--undo").code == 0
    assert [kind(calc.project / path) for path in ("private", "private/deploy.key")] == ["drwx------", "-rw-------"]


# ------------------------------------------------------------------------------------- around the project, and ignored


@pytest.fixture
def below(calc: Bench) -> Bench:
    """The project as a subfolder of a repository, with work of the user's beside it."""
    (calc.project / ".git").rename(calc.home / "git")
    inner = calc.project / "app"
    inner.mkdir()
    for path in [path for path in calc.project.iterdir() if path != inner]:
        path.rename(inner / path.name)
    calc.write("other/edited.txt", "committed\n")
    calc.commit()
    calc.write("other/edited.txt", "mine\n")
    calc.write("other/new.txt", "mine\n", 0o600)
    calc.write("other/staged.txt", "mine\n")
    calc.write("other/ignored.log", "mine\n", 0o640)
    calc.write(".git/info/exclude", "*.log\n")
    calc.git("add", "other/staged.txt")
    return calc


@pytest.mark.parametrize(
    "deed",
    [
        "git stash -q -u",
        "git stash -q -u; mkfifo ../.gitattributes ../other/.gitignore",
        "git reset -q --hard",
        "git checkout -q -- ..",
        "git clean -fdxq ..",
        "rm -r ../other",
    ],
)
def test_work_beside_a_project_in_a_subfolder_is_put_back(below: Bench, leaner: Leaner, deed: str) -> None:
    names = ("edited.txt", "new.txt", "staged.txt", "ignored.log")
    before = {path: below.read(f"other/{path}") for path in names}
    status = below.git("status", "--short")
    leaner(f"{deed}\n{FIX}echo done\n")
    ran = below.lean_loop(below="app")
    assert (ran.code, "../other/" in ran.err) == (0, True), ran.text
    assert {path: below.read(f"other/{path}") for path in before} == before
    assert [kind(below.project / f"other/{path}") for path in names[1::2]] == ["-rw-------", "-rw-r-----"]
    assert set(status.splitlines()) <= set(below.git("status", "--short").splitlines())


def test_ignored_files_are_held_or_named_once(calc: Bench, leaner: Leaner) -> None:
    calc.write(".gitignore", "*.sqlite\n")
    calc.write("leanfile.toml", f'[guard]\nmax_ignored = "5MB"\n{calc.read("leanfile.toml")}')
    calc.commit()
    calc.write("dev.sqlite", b"x" * 3_000_000)
    calc.write("big.sqlite", b"x" * 7_000_000)
    leaner(f"git clean -fdxq\n{FIX}echo done\n")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calc.read("dev.sqlite") == "x" * 3_000_000
    assert "max_ignored, 7 MB)" in ran.err and ran.err.index("big.sqlite (") < ran.err.index("leaner: edit")
    calc.write("big.sqlite", b"x" * 7_000_000)
    assert "big.sqlite" not in calc.lean_loop().err


def test_other_work_trees_and_lfs_come_back_with_the_repository(calc: Bench, leaner: Leaner) -> None:
    calc.git("worktree", "add", "-q", str(calc.home / "tree"))
    stored = calc.write(".git/lfs/objects/ab/cd/abcd", "large")
    leaner(f"rm -rf .git\n{FIX}echo done\n")
    assert calc.lean_loop().code == 0
    assert stored.read_text() == "large"
    assert calc.git("-C", str(calc.home / "tree"), "status", "--short") == ""


WORK = {"work.txt": "mine\n", "notes.txt": "mine, too\n", "sub/run.sh": "mine\n"}


@pytest.mark.parametrize(
    "deed",
    [
        "git worktree remove --force ../tree",
        "rm -rf ../tree; git worktree prune",
        "git worktree move ../tree ../elsewhere",
    ],
)
def test_work_in_another_work_tree_is_put_back(calc: Bench, leaner: Leaner, deed: str) -> None:
    tree = calc.project.parent / "tree"
    calc.write("notes.txt", "committed\n")
    calc.commit()
    calc.git("worktree", "add", "-q", str(tree))
    for path, text in WORK.items():
        calc.write(f"../tree/{path}", text, 0o700 if path.endswith(".sh") else None)
    before = calc.git("-C", str(tree), "status", "--short")
    leaner(f"{deed}\n{FIX}echo done\n")
    ran = calc.lean_loop()
    assert (ran.code, "and it was put back: ../tree" in ran.err) == (0, True), ran.text
    assert {path: calc.read(f"../tree/{path}") for path in WORK} == WORK
    assert kind(tree / "sub/run.sh") == "-rwx------"
    assert (tree / "calc.py").exists()
    assert calc.git("-C", str(tree), "status", "--short") == before


@pytest.mark.parametrize("deed", ["stash -q -u", "reset -q --hard; git -C ../tree clean -fdxq", "switch -q -f other"])
def test_work_that_goes_from_a_work_tree_that_stays_is_copied_and_the_tree_left_to_who_works_there(
    calc: Bench, leaner: Leaner, deed: str
) -> None:
    tree = calc.project.parent / "tree"
    calc.git("checkout", "-q", "-b", "other")
    calc.write("sub/other.txt", "other\n")
    calc.write("notes.txt", "of the other\n")
    calc.commit()
    calc.git("checkout", "-q", "main")
    calc.write("notes.txt", "committed\n")
    calc.commit()
    calc.git("worktree", "add", "-q", str(tree))
    calc.write("../tree/notes.txt", "mine, too\n")
    calc.git("-C", str(tree), "add", "notes.txt")
    leaner(f"git -C ../tree {deed}\n{FIX}echo done\n")
    ran = calc.lean_loop()
    assert (ran.code, "from another work tree meanwhile: tree/notes.txt" in ran.err) == (0, True), ran.text
    assert [path.read_text() for path in calc.runs()[0].glob("*-beside/tree/*")] == ["mine, too\n"]
    assert calc.git("-C", str(tree), "status", "--short") == ""


def test_what_is_no_file_does_not_matter(calc: Bench, leaner: Leaner) -> None:
    os.mkfifo(calc.project / ".git/fsmonitor--daemon.ipc")
    os.mkfifo(calc.project / "add.js")  # code is looked for there
    leaner(f"{FIX}echo done\n")
    assert calc.lean_loop().code == 0


# ---------------------------------------------------------------------------------------------- verbs, verdicts, names


def test_undo_names_the_run_and_its_files(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{FIX}echo done\n")
    assert calc.lean_loop().code == calc.lean_loop().code == 0
    first = calc.runs()[0].name
    ran = calc.lean_loop("--undo")
    assert f"1 file put back to {first}/0: calc.py." in ran.out and "1 later run changed nothing" in ran.out, ran.text
    assert calc.lean_loop("--undo", "--restore", "last").code == 2


LOST = {
    "is skipped": (
        "import pytest\nextra = pytest.importorskip('extra')\n\n\ndef test_more():\n    assert extra.CASES\n",
        "rm",
    ),
    "vanishes while another appears": (
        "import pytest\n\nfrom extra import CASES\n\n\n@pytest.mark.parametrize('case', CASES)\n"
        "def test_more(case):\n    assert case\n",
        "sed -i s/3/4/",
    ),
}


@pytest.mark.parametrize("how", LOST)
def test_a_green_test_that_is_lost_is_red(calc: Bench, leaner: Leaner, how: str) -> None:
    text, deed = LOST[how]
    calc.write("test_more.py", text)
    calc.write("extra.py", "CASES = [1, 2, 3]\n")
    leanfile = calc.read("leanfile.toml").replace("unittest", "pytest")
    calc.write("leanfile.toml", f"[defaults]\nmax_iters_per_task = 0\n{leanfile}")
    calc.commit()
    leaner(f"{FIX}{deed} extra.py\necho done\n")
    ran = calc.lean_loop()
    assert (ran.code, "green before, and skipped or vanished now: test_more.test_more" in ran.out) == (1, True), (
        ran.text
    )


def test_control_characters_in_a_name_reach_no_terminal(calc: Bench, leaner: Leaner) -> None:
    leaner(f"printf 'x = 1\\n' > $'a\\e[2J\\e]0;x\\a\\u009b\\u202e.py'\n{FIX}echo done\n", "source")
    shown = [calc.lean_loop(), calc.lean_loop("--report"), calc.lean_loop("--undo")]
    assert [ran.code for ran in shown] == [0, 0, 0], shown
    assert not any(sign in ran.text for ran in shown for sign in "\x1b\x07\x9b\u202e")


LOCKING = "chmod -R u+w own; mv own/deep own/other; rm own/x.txt; chmod -R a-rwx .git own *; chmod a-rwx .\n"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write everywhere")
def test_what_is_locked_is_put_back_and_stays_locked(calc: Bench, leaner: Leaner) -> None:
    calc.write("own/x.txt", "mine\n", 0o400)
    calc.write("own/deep/y.txt", "mine\n", 0o400)
    for folder in ("own/deep", "own"):
        (calc.project / folder).chmod(0o500)
    paths = ("own", "own/x.txt", "own/deep", "own/deep/y.txt", ".git", "")
    before = {path: kind(calc.project / path) for path in paths}
    leaner(f"{FIX}{LOCKING}echo done\n", "source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert {path: kind(calc.project / path) for path in before} == before
    assert calc.git("status", "--short") == " M calc.py\n?? own/\n"


FORGED = "\\r\\e[K\\e[31mb\\u200b\\u202e\\nlean-loop: forged"


def test_inks_line_ends_and_what_is_invisible_in_names_and_files_forge_nothing(calc: Bench, leaner: Leaner) -> None:
    leaner(
        f"touch $'n{FORGED}.json'; echo '#' $'c{FORGED[:-17]}' > $'m{FORGED}.py'\n{FIX}echo $'a{FORGED}'\n", "source"
    )
    verbs: tuple[list[str], ...] = ([], ["--report"], ["--undo"], ["--report", "--diff"], ["--ask", "what?", "calc.py"])
    wrong = ["--restore", "last/0", "x\r\x1b[K\ny"], ["-c", "no\nlean-loop: forged"]
    shown = [calc.lean_loop(*verb) for verb in (*verbs, *wrong)]
    assert [ran.code for ran in shown] == [0, 0, 0, 0, 0, 2, 2], shown
    told = "\n".join(ran.text for at, ran in enumerate(shown) if at != 4)  # an answer may have lines
    assert "\nlean-loop: forged" not in told, told
    assert not any(sign in ran.text for ran in shown for sign in "\x1b\r\u202e\u200b")
    terminal = play([*LEANLOOP, "--report", "--diff"], calc.project, {**calc.env, "TERM": "xterm"}, 80, 24).text
    assert "\x1b[32m+# c??[K?[31mb??" in terminal, terminal
    page = calc.home / "page.html"
    assert calc.lean_loop("--report", "--html", str(page)).code == 0
    assert not any(sign in page.read_text() for sign in "\x1b\u202e\u200b")
