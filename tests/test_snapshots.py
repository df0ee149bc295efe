"""What snapshots hold and put back, in every kind of work tree, and that they leave no trace in it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from itertools import product
from pathlib import Path

import pytest

from conftest import CALC, CALC_TEST, Bench, Leaner, Serve, few_of, is_ask
from conftest import RIGHT as ASWAS
from playground.serve import Body

LEANFILE = """
[runner]
command = "grep"
args = ["-q", "left + right", "calc.py"]

[[tasks]]
name = "add"
prompt = "Mend add in calc.py: it must add."
files = ["calc.py"]
"""
WRONG = "printf 'def add(left, right):\\n    return left * right\\n' > calc.py\n"
RIGHT = WRONG.replace("*", "+")
FIX = f"{RIGHT} echo done\n"


def after_a_diagnosis(deeds: str) -> str:
    """A leaner that is wrong at first, does DEEDS while it is only asked, and is right then."""
    return f'[ $LEAN_MODE = ask ] && {{ {deeds}\n touch "$HOME/asked"; echo why; exit; }}\n' + (
        f'[ -e "$HOME/asked" ] && {{ {FIX} exit; }}\n{WRONG} echo wrong\n'
    )


Facts = dict[str, tuple[str, int, bytes]]


def facts(folder: Path) -> Facts:
    """Every file below FOLDER but git's: its kind, its run bit and its content or target."""
    found: Facts = {}
    for path in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if path.name in (".git", "__pycache__"):
            continue
        if path.is_symlink():
            found[path.name] = ("link", 0, os.fsencode(Path(path.path).readlink()))
        elif path.is_dir():
            found |= {f"{path.name}/{name}": fact for name, fact in facts(Path(path.path)).items()}
        else:
            found[path.name] = ("file", path.stat().st_mode & stat.S_IXUSR, Path(path.path).read_bytes())
    return found


def without(given: Facts, *paths: str) -> Facts:
    return {path: fact for path, fact in given.items() if path not in paths}


def settings(bench: Bench, tables: str) -> None:
    bench.write("leanfile.toml", f"{tables}\n{bench.read('leanfile.toml')}")


def repository(bench: Bench) -> dict[str, str | bytes]:
    """All that a user can see of their repository, and git's own check of it."""
    own, git = (bench.project / bench.git("rev-parse", option).strip() for option in ("--git-dir", "--git-common-dir"))
    return {
        "HEAD": (own / "HEAD").read_text(),
        "index": (own / "index").read_bytes() if (own / "index").exists() else b"",
        "refs": bench.git("for-each-ref"),
        "stash": bench.git("stash", "list"),
        "config": (git / "config").read_text(),
        "files": "\n".join(sorted(str(path.relative_to(git)) for path in git.rglob("*") if path.is_file())),
        "fsck": bench.git("fsck", "--strict", "--no-progress"),
    }


@pytest.fixture
def bare(bench: Bench) -> Bench:
    """A project with one fault and a quick test, without a repository."""
    for path, text in (("calc.py", CALC), ("test_calc.py", CALC_TEST), ("leanfile.toml", LEANFILE)):
        bench.write(path, text)
    return bench


@pytest.fixture
def calc(bare: Bench) -> Bench:
    """The same project, committed."""
    bare.commit()
    return bare


# -------------------------------------------------------------------------------------------- kinds of repositories


def test_a_run_leaves_no_trace_but_the_work(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > calc.py; echo new > new.txt"))
    before, tree = repository(calc), facts(calc.project)
    assert calc.lean_loop().code == 0
    assert repository(calc) == before
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")
    assert calc.git("status", "--porcelain", "--ignored").split() == ["M", "calc.py"]


def test_staged_and_unstaged_hunks_stay_what_they_are(calc: Bench, leaner: Leaner) -> None:
    calc.write("notes.txt", "".join(f"line {number}\n" for number in range(40)))
    calc.write("gone.txt", "to be removed\n")
    calc.commit()
    calc.write("notes.txt", calc.read("notes.txt").replace("line 3\n", "staged\n"))
    calc.git("add", "notes.txt")
    calc.write("notes.txt", calc.read("notes.txt").replace("line 33\n", "unstaged\n"))
    calc.git("rm", "-q", "--cached", "gone.txt")
    calc.git("add", "-N", calc.write("intended.txt", "later").name)
    before, diffs = repository(calc), (calc.git("diff", "--cached"), calc.git("diff", "--", "notes.txt"))
    tree = facts(calc.project)
    leaner(after_a_diagnosis("echo x > notes.txt; rm gone.txt intended.txt"))
    assert calc.lean_loop().code == 0
    assert repository(calc) == before
    assert (calc.git("diff", "--cached"), calc.git("diff", "--", "notes.txt")) == diffs
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


def test_a_stash_is_untouched(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", calc.read("calc.py") + "# stashed\n")
    calc.git("stash")
    before = repository(calc)
    leaner(after_a_diagnosis("echo x > calc.py"))
    assert calc.lean_loop().code == 0
    assert repository(calc) == before


def test_a_detached_head_stays_detached(calc: Bench, leaner: Leaner) -> None:
    calc.git("checkout", "-q", "--detach")
    before = repository(calc)
    leaner(after_a_diagnosis("echo x > calc.py"))
    assert calc.lean_loop().code == 0
    assert repository(calc) == before


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "untracked"])
def test_a_repository_without_a_commit(bare: Bench, leaner: Leaner, staged: bool) -> None:
    bare.git("init", "-q", "-b", "main")
    if staged:
        bare.git("add", "-A")
    before, tree = repository(bare), facts(bare.project)
    leaner(after_a_diagnosis("echo x > test_calc.py; rm leanfile.toml"))
    ran = bare.lean_loop()
    assert ran.code == 0, ran.text
    assert repository(bare) == before
    assert without(facts(bare.project), "calc.py") == without(tree, "calc.py")


def test_no_repository(bare: Bench, leaner: Leaner) -> None:
    tree = facts(bare.project)
    leaner(after_a_diagnosis("echo x > test_calc.py; rm leanfile.toml; echo new > new.txt"))
    ran = bare.lean_loop()
    assert ran.code == 0, ran.text
    assert without(facts(bare.project), "calc.py") == without(tree, "calc.py")
    assert not (bare.project / ".git").exists()


def test_a_linked_work_tree(calc: Bench, leaner: Leaner) -> None:
    linked = calc.project.parent / "linked tree"
    calc.git("worktree", "add", "-q", "-b", "linked", str(linked))
    other = Bench(calc.home, linked, calc.env)
    before, tree = repository(other), facts(linked)
    leaner(after_a_diagnosis("echo x > test_calc.py; echo new > new.txt"))
    ran = other.lean_loop()
    assert ran.code == 0, ran.text
    assert repository(other) == before
    assert without(facts(linked), "calc.py") == without(tree, "calc.py")


@pytest.mark.parametrize("inner", ["sub", "sub folder/deep é"])
def test_a_project_root_below_the_repositorys_top(bench: Bench, leaner: Leaner, inner: str) -> None:
    for path, text in (("calc.py", CALC), ("test_calc.py", CALC_TEST)):
        bench.write(f"{inner}/{path}", text)
    bench.write("leanfile.toml", f'[defaults]\nproject_root = "{inner}"\n{LEANFILE}')
    bench.write("beside.txt", "of others\n")
    bench.commit()
    bench.write("beside.txt", "edited by the user\n")
    bench.write("loose.txt", "not tracked\n")
    before, tree = repository(bench), facts(bench.project)
    leaner(after_a_diagnosis("echo x > test_calc.py; echo new > new.txt; rm calc.py"))
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert "calc.py" in ran.out and f"{inner}/calc.py" not in ran.out
    assert repository(bench) == before
    assert without(facts(bench.project), f"{inner}/calc.py") == without(tree, f"{inner}/calc.py")


def test_ignored_files_that_are_too_large_together_are_not_recorded(bench: Bench, leaner: Leaner) -> None:
    leanfile = f'[guard]\nmax_ignored = "1MB"\n{LEANFILE}'
    for path, text in (("calc.py", CALC), ("test_calc.py", CALC_TEST), ("leanfile.toml", leanfile)):
        bench.write(f"inner/{path}", text)
    bench.write(".gitignore", "*.bin\n*.local\n")
    bench.commit()
    (bench.project / "inner/big.bin").write_bytes(os.urandom(2_000_000))
    bench.write("inner/settings.local", "mine\n")
    leaner(after_a_diagnosis("rm settings.local; echo x > big.bin"))
    ran = bench.lean_loop("-c", "inner/leanfile.toml")
    assert ran.code == 0, ran.text
    assert bench.read("inner/settings.local") == "mine\n"
    store = next(bench.home.glob("state/lean-loop/*/snapshots.git"))
    assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) < 1_000_000


def test_a_subfolder_whose_neighbour_is_another_projects(bench: Bench, leaner: Leaner) -> None:
    for folder in ("one", "one-more"):
        for path, text in (("calc.py", CALC), ("test_calc.py", CALC_TEST), ("leanfile.toml", LEANFILE)):
            bench.write(f"{folder}/{path}", text)
    bench.commit()
    leaner(FIX)
    assert bench.lean_loop("-c", "one/leanfile.toml").code == 0
    assert bench.git("status", "--porcelain").split() == ["M", "one/calc.py"]


def test_variables_of_git_in_the_callers_environment_do_not_matter(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > calc.py"))
    other = calc.home / "other.git"
    ran = calc.lean_loop(GIT_DIR=str(other), GIT_INDEX_FILE=str(calc.home / "other-index"), GIT_WORK_TREE="/")
    assert ran.code == 0, ran.text
    assert not other.exists()


def test_the_users_git_settings_do_not_matter(calc: Bench, leaner: Leaner) -> None:
    (calc.home / ".gitconfig").write_text(
        "[core]\nautocrlf = true\nquotePath = true\nfsmonitor = /no/such/program\nhooksPath = /no/such\n"
        "[diff]\nexternal = /no/such/program\nnoprefix = true\n[commit]\ngpgSign = true\n[color]\nui = always\n"
    )
    tree = facts(calc.project)
    leaner(after_a_diagnosis("echo x > test_calc.py"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


def test_hooks_of_the_repository_do_not_run(calc: Bench, leaner: Leaner) -> None:
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        hook = calc.project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f'#!/bin/sh\necho {name} >> "$HOME/hooks"\n')
        hook.chmod(0o755)
    leaner(after_a_diagnosis("echo x > test_calc.py"))
    assert calc.lean_loop().code == 0
    assert not (calc.home / "hooks").exists()


# ---------------------------------------------------------------------------------------------------------- content


@pytest.mark.parametrize(
    ("autocrlf", "attributes"),
    [
        ("true", ""),
        ("true", "* text=auto\n"),
        ("false", "* text eol=crlf\n"),
        ("input", "*.txt text eol=lf\n"),
    ],
)
def test_line_endings_are_put_back_as_they_were(calc: Bench, leaner: Leaner, autocrlf: str, attributes: str) -> None:
    if attributes:
        calc.write(".gitattributes", attributes)
    calc.git("config", "core.autocrlf", autocrlf)
    calc.git("config", "core.safecrlf", "false")
    for name, text in (("crlf.txt", b"one\r\ntwo\r\n"), ("lf.txt", b"one\ntwo\n"), ("mixed.txt", b"one\r\ntwo\n\r")):
        calc.write(name, text)
    calc.commit()
    calc.write("loose.txt", b"not\r\ntracked\r\n")
    before, tree = repository(calc), facts(calc.project)
    leaner(after_a_diagnosis("for f in *.txt; do echo x > $f; done"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert repository(calc) == before
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


def test_filters_of_the_repository_are_off(calc: Bench, leaner: Leaner) -> None:
    calc.write(".gitattributes", "*.dat filter=upper ident\n")
    calc.write("some.dat", "small $Id$\n")
    calc.commit()
    calc.git("config", "filter.upper.clean", f"touch {calc.home}/cleaned; tr a-z A-Z")
    calc.git("config", "filter.upper.smudge", "tr A-Z a-z")
    tree = facts(calc.project)
    leaner(after_a_diagnosis("echo x > some.dat"))
    (calc.home / "cleaned").unlink(missing_ok=True)
    assert calc.lean_loop().code == 0
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


NAMES = [
    "with space.txt", "new\nline.txt", "tab\t.txt", "quote's \".txt", "back\\slash", "größe-漢字-\U0001f600.txt", "-n",
    "*.txt", "[a].txt", ":(top)x", "!x", "#x", "$HOME", " leading", "trailing ", "..x", "a/b c/d\ne/f", "e\u0301.txt",
]  # fmt: skip


@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "untracked"])
def test_files_of_any_name_are_put_back(calc: Bench, leaner: Leaner, tracked: bool) -> None:
    for name in NAMES:
        calc.write(name, f"content of {name}\n")
    if tracked:
        calc.commit()
    tree = facts(calc.project)
    leaner(after_a_diagnosis('for f in *; do [ -f "$f" ] && echo x > "./$f"; done; rm -rf ./a; rm -f -- "./-n"'))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are Unicode there")
def test_a_name_that_is_not_utf_8_is_put_back(calc: Bench, leaner: Leaner) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.txt")
    (calc.project / name).write_text("mine")
    leaner(after_a_diagnosis("for f in caf*; do echo x > \"$f\"; done; touch new$(printf '\\377')"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert (calc.project / name).read_text() == "mine"
    assert list(calc.project.glob("new*")) == []


def test_a_name_that_is_not_utf_8_may_be_written_by_an_edit(calc: Bench, leaner: Leaner) -> None:
    leaner("touch new$(printf '\\377'); " + FIX)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "Traceback" not in ran.text


def test_symbolic_links_are_put_back_as_links(calc: Bench, leaner: Leaner) -> None:
    outside = calc.home / "outside.txt"
    outside.write_text("outside")
    (calc.home / "folder").mkdir()
    (calc.home / "folder/inner.txt").write_text("inner")
    links = {
        "inside": "test_calc.py",
        "nowhere": "no/such",
        "outside": str(outside),
        "folder": str(calc.home / "folder"),
    }
    for name, target in links.items():
        (calc.project / name).symlink_to(target)
    tree = facts(calc.project)
    leaner(
        after_a_diagnosis(
            "rm inside nowhere outside folder; echo > inside; ln -s x outside; mkdir folder; echo > folder/x"
        )
    )
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")
    assert outside.read_text() == "outside"
    assert (calc.home / "folder/inner.txt").read_text() == "inner"


def test_what_lies_behind_a_link_is_not_removed_with_it(calc: Bench, leaner: Leaner) -> None:
    (calc.home / "folder").mkdir()
    (calc.home / "folder/inner.txt").write_text("inner")
    leaner(after_a_diagnosis(f'mkdir made; echo x > made/x; ln -s "{calc.home}/folder" made/link'))
    assert calc.lean_loop().code == 0
    assert not (calc.project / "made").exists()
    assert (calc.home / "folder/inner.txt").read_text() == "inner"


def test_the_run_bit_is_put_back(calc: Bench, leaner: Leaner) -> None:
    calc.write("run.sh", "#!/bin/sh\n", 0o755)
    calc.write("plain.txt", "text\n")
    tree = facts(calc.project)
    leaner(after_a_diagnosis("chmod -x run.sh; chmod +x plain.txt"))
    assert calc.lean_loop().code == 0
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


DEEDS = {
    "changed": "echo x > notes.txt",
    "emptied": ": > notes.txt",
    "removed": "rm notes.txt",
    "created": "echo x > new.txt; mkdir -p some/where; echo x > some/where/deep.txt",
    "renamed": "mv notes.txt other.txt",
    "swapped": "mv notes.txt x; mv bytes.bin notes.txt; mv x bytes.bin",
    "folder removed": "rm -r folder",
    "folder renamed": "mv folder elsewhere",
    "a folder for a file": "rm notes.txt; mkdir notes.txt; echo x > notes.txt/x",
    "a file for a folder": "rm -r folder; echo x > folder",
    "a link for a file": "rm notes.txt; ln -s calc.py notes.txt",
    "all of it": "rm -rf ./*",
    "same size and time": "touch -r notes.txt stamp; echo other > notes.txt; touch -r stamp notes.txt; rm stamp",
}


KINDS = [("all of it", "no repository"), *product(DEEDS, ("tracked", "untracked"))]


@pytest.mark.parametrize(("deed", "kind"), few_of(KINDS, 9))
def test_what_an_ask_call_does_is_put_back(bare: Bench, leaner: Leaner, deed: str, kind: str) -> None:
    if kind == "untracked":
        bare.commit()
    bare.write("notes.txt", "notes\n")
    bare.write("bytes.bin", bytes(range(256)) * 10)
    bare.write("folder/one.txt", "one\n")
    bare.write("folder/inner/two.txt", "two\n")
    if kind == "tracked":
        bare.commit()
    tree = facts(bare.project)
    leaner(after_a_diagnosis(DEEDS[deed]))
    ran = bare.lean_loop()
    assert ran.code == 0, ran.text
    assert without(facts(bare.project), "calc.py") == without(tree, "calc.py")


def test_a_small_ignored_file_is_put_back(calc: Bench, leaner: Leaner) -> None:
    calc.write(".gitignore", ".env\n*.local\n")
    calc.write(".env", "PORT=1\n")
    calc.write("deep/settings.local", "mine\n")
    calc.commit()
    leaner(after_a_diagnosis("rm .env; echo x > deep/settings.local"))
    assert calc.lean_loop().code == 0
    assert calc.read(".env") == "PORT=1\n"
    assert calc.read("deep/settings.local") == "mine\n"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_is_told_to_overlook_is_put_back(calc: Bench, leaner: Leaner, flag: str) -> None:
    calc.write("local.toml", "port = 1\n")
    calc.commit()
    calc.git("update-index", flag, "local.toml")
    calc.write("local.toml", "port = 2\n")
    before = repository(calc)
    leaner(after_a_diagnosis("echo x > local.toml"))
    assert calc.lean_loop().code == 0
    assert calc.read("local.toml") == "port = 2\n"
    assert repository(calc) == before


def test_what_a_sparse_checkout_leaves_out_stays_out(calc: Bench, leaner: Leaner) -> None:
    calc.write("far/away.txt", "far\n")
    calc.commit()
    calc.git("sparse-checkout", "set", "--no-cone", "/*", "!/far/")
    before, tree = repository(calc), facts(calc.project)
    leaner(after_a_diagnosis("mkdir far; echo x > far/away.txt"))
    assert calc.lean_loop().code == 0
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")
    assert repository(calc) == before


def test_dependency_folders_are_not_walked(calc: Bench, leaner: Leaner) -> None:
    calc.write("node_modules/big/package.json", "{}")
    calc.write("node_modules/big/index.js", "x\n")
    calc.write(".venv/lib/x.py", "x\n")
    leaner(FIX)
    assert calc.lean_loop().code == 0
    store = next(calc.home.glob("state/lean-loop/*/snapshots.git"))
    index = {**calc.env, "GIT_DIR": str(store), "GIT_INDEX_FILE": str(store.parent / "index")}
    listed = Bench(calc.home, calc.project, index).git("ls-files")
    assert "calc.py" in listed
    assert "node_modules" not in listed and ".venv" not in listed


# ------------------------------------------------------------------------------------------- the user's own edits

RED = "max_iters_per_task = 1\nsummarize_errors = false\n"


def line_is(bench: Bench, line: str, defaults: str = RED) -> None:
    """Make LINE, for the shell, a test command that is followed by the project's own."""
    command = json.dumps(f"{line}; grep -q 'left + right' calc.py")
    bench.write(
        "leanfile.toml",
        f"[defaults]\n{defaults}[runner]\ncommand = {command}\nshell = true\n"
        '[guard]\non_fail = "restore"\n[[tasks]]\nname = "add"\nprompt = "mend"\nfiles = ["calc.py"]\n',
    )


def test_an_edit_of_the_users_during_the_tests_survives_a_restore(calc: Bench, leaner: Leaner) -> None:
    leaner(WRONG + "echo new > by-leaner.txt; echo done")
    line_is(calc, "echo mine > notes.txt; echo '# mine' >> test_calc.py")
    before = calc.read("calc.py")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert calc.read("notes.txt") == "mine\n"
    assert calc.read("test_calc.py").endswith("# mine\n")
    assert calc.read("calc.py") == before
    assert not (calc.project / "by-leaner.txt").exists()


def test_an_edit_of_the_users_in_a_file_that_the_leaner_changed_is_left_and_named(calc: Bench, leaner: Leaner) -> None:
    leaner(WRONG + "echo new > by-leaner.txt; echo done")
    line_is(calc, "grep -q '[*]' calc.py && echo '# mine' >> calc.py", RED.replace("1", "0", 1))
    ran = calc.lean_loop()
    assert ran.code == 1
    assert calc.read("calc.py").endswith("# mine\n")
    assert "calc.py" in next(line for line in ran.err.splitlines() if "put back" in line)
    assert not (calc.project / "by-leaner.txt").exists()


def test_an_edit_of_the_users_before_a_diagnosis_is_not_taken_for_the_leaners(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > notes.txt"))
    line_is(calc, "grep -q '[*]' calc.py && echo mine > notes.txt", "")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calc.read("notes.txt") == "mine\n"


def test_a_file_that_the_user_removed_during_the_tests_stays_away(calc: Bench, leaner: Leaner) -> None:
    calc.write("old.txt", "old\n")
    calc.commit()
    leaner(WRONG + "echo done")
    line_is(calc, "rm -f old.txt")
    assert calc.lean_loop().code == 1
    assert not (calc.project / "old.txt").exists()


def test_what_the_user_commits_during_a_run_stays(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > calc.py"))
    line_is(calc, "git commit -q --allow-empty -m mine 2>/dev/null", "")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calc.git("log", "-1", "--format=%s") == "mine\n"


def test_an_edit_of_the_users_during_a_call_of_direct_survives_whatever_happens(calc: Bench, serve: Serve) -> None:
    def answer(body: Body) -> str:
        calc.write("notes.txt", f"mine {body['messages'][-1]['content'][:20]}\n")
        calc.write("test_calc.py", CALC_TEST + "# mine\n")
        calc.write("tests/large.bin", b"0" * 1_100_000)
        (calc.project / "old.txt").unlink(missing_ok=True)
        return "why" if is_ask(body) else ASWAS.replace("+", "*")

    serve(answer=answer)
    calc.write("old.txt", "old\n")
    settings(calc, '[defaults]\nmax_iters_per_task = 1\n[guard]\non_fail = "restore"\nmax_file = "1MB"\n')
    before = calc.read("calc.py")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert calc.read("calc.py") == before
    assert calc.read("notes.txt").startswith("mine") and calc.read("test_calc.py").endswith("# mine\n")
    assert not (calc.project / "old.txt").exists()
    assert (calc.project / "tests/large.bin").stat().st_size == 1_100_000
    assert "protected" not in ran.err


def test_a_file_that_changes_while_it_would_be_restored_is_left_alone(calc: Bench, leaner: Leaner) -> None:
    """A git that is slow to read what a tree holds gives the user time for an edit in the midst of a restore."""
    real, slow = shutil.which("git"), calc.home / "bin/git"
    slow.parent.mkdir()
    edit = f"echo mine > {calc.project}/calc.py; echo more > {calc.project}/more.txt"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *cat-file*--batch*) {edit};; esac\nexec "{real}" "$@"\n')
    slow.chmod(0o755)
    settings(calc, '[defaults]\nmax_iters_per_task = 0\n[guard]\non_fail = "restore"\n')
    leaner(WRONG + "echo new > new.txt; echo done")
    ran = calc.lean_loop(PATH=f"{slow.parent}{os.pathsep}{calc.env['PATH']}")
    assert ran.code == 1, ran.text
    assert (calc.read("calc.py"), calc.read("more.txt")) == ("mine\n", "more\n")
    assert "calc.py" in next(line for line in ran.err.splitlines() if "put back" in line)
    assert not (calc.project / "new.txt").exists()


def test_the_rights_of_a_read_only_file_stay(calc: Bench, leaner: Leaner) -> None:
    calc.write("fixed.txt", "fixed\n", 0o444)
    leaner(after_a_diagnosis("chmod u+w fixed.txt; echo x > fixed.txt; chmod 444 fixed.txt"))
    assert calc.lean_loop().code == 0
    assert calc.read("fixed.txt") == "fixed\n"
    assert (calc.project / "fixed.txt").stat().st_mode & 0o777 == 0o444


# ------------------------------------------------------------------------------------------------- what is not covered


def test_a_file_over_max_file_is_named_once_and_left_alone(calc: Bench, leaner: Leaner) -> None:
    (calc.project / "big.bin").write_bytes(b"\0" * 60_000_000)
    leaner(after_a_diagnosis("echo x >> big.bin"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert ran.err.count("big.bin (larger than [guard] max_file, 60 MB)") == 1
    assert (calc.project / "big.bin").stat().st_size == 60_000_002
    store = next(calc.home.glob("state/lean-loop/*/snapshots.git"))
    assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) < 1_000_000


def test_max_file_sets_what_is_covered(calc: Bench, leaner: Leaner) -> None:
    calc.write("big.bin", b"a" * 2000)
    settings(calc, '[guard]\nmax_file = "1kB"\n')
    leaner(after_a_diagnosis("echo x > big.bin"))
    ran = calc.lean_loop()
    assert ran.code == 0 and "big.bin" in ran.err, ran.text
    assert calc.read("big.bin") == "x\n"


@pytest.mark.parametrize("kind", ["nested", "submodule"])
def test_a_repository_within_is_named_and_left_alone(calc: Bench, leaner: Leaner, kind: str) -> None:
    inner = Bench(calc.home, calc.project / "inner dir", calc.env)
    inner.project.mkdir()
    inner.write("x.txt", "x\n")
    inner.commit()
    if kind == "submodule":
        calc.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./inner dir", "sub")
        shutil.rmtree(inner.project)
        inner = Bench(calc.home, calc.project / "sub", calc.env)
        calc.commit()
    inner.write("x.txt", "edited\n")
    before, own = repository(inner), repository(calc)
    leaner(after_a_diagnosis("echo x > test_calc.py; git status >/dev/null"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert f"{inner.project.name}/ (a repository of its own)" in ran.err
    assert (repository(inner), repository(calc)) == (before, own)
    assert inner.read("x.txt") == "edited\n"


@pytest.mark.parametrize("state", ["merge", "rebase"])
def test_a_merge_or_rebase_under_way_stays_under_way(calc: Bench, leaner: Leaner, state: str) -> None:
    calc.git("checkout", "-q", "-b", "other")
    calc.write("notes.txt", "theirs\n")
    calc.commit("theirs")
    calc.git("checkout", "-q", "main")
    calc.write("notes.txt", "ours\n")
    calc.commit("ours")
    with pytest.raises(Exception, match="returned non-zero"):
        calc.git(state, "other")
    before, tree = repository(calc), facts(calc.project)
    leaner(after_a_diagnosis(f"echo x > notes.txt; git add -A; git {state} --abort"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    parts = ("HEAD", "index", "refs", "stash", "config")
    assert [repository(calc)[part] for part in parts] == [before[part] for part in parts]
    assert (calc.project / ".git" / ("MERGE_HEAD" if state == "merge" else "rebase-merge")).exists()
    assert without(facts(calc.project), "calc.py") == without(tree, "calc.py")


def test_without_git_it_says_so(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    (calc.home / "bin").mkdir()
    for name in ("bash", "sh", "grep", "python3"):
        (calc.home / "bin" / name).symlink_to(str(shutil.which(name)))
    ran = calc.lean_loop(PATH=str(calc.home / "bin"))
    assert ran.code == 3 and "git was not found on PATH" in ran.err, ran.text


# ------------------------------------------------------------------------------------------------------ where it lies


def test_snapshots_lie_in_a_private_folder_outside_the_project(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.lean_loop()
    (folder,) = (calc.home / "state/lean-loop").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "snapshots.git").is_dir()
    assert calc.project not in folder.parents


def test_a_second_run_uses_the_same_snapshots(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.lean_loop()
    calc.git("checkout", "calc.py")
    assert calc.lean_loop().code == 0
    assert len(list(calc.home.glob("state/lean-loop/*/snapshots.git"))) == 1


def test_the_private_repository_passes_gits_own_check(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > calc.py; echo new > new.txt"))
    calc.lean_loop()
    (store,) = calc.home.glob("state/lean-loop/*/snapshots.git")
    assert calc.git("--git-dir", str(store), "fsck", "--no-progress", "--no-dangling") == ""


@pytest.mark.parametrize(
    "damage", few_of(["index", "snapshots.git/HEAD", "snapshots.git/info/attributes", "snapshots.git"], 2)
)
def test_a_damaged_state_folder_is_made_anew_or_named(calc: Bench, leaner: Leaner, damage: str) -> None:
    leaner(FIX)
    calc.lean_loop()
    calc.git("checkout", "calc.py")
    (folder,) = (calc.home / "state/lean-loop").iterdir()
    target = folder / damage
    if target.is_dir():
        target.rename(folder / "away")
    else:
        target.write_bytes(b"\0damaged")
    ran = calc.lean_loop()
    assert "Traceback" not in ran.err
    assert ran.code == 0 or str(folder) in ran.err


def test_a_state_folder_inside_the_project_is_no_part_of_it(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > test_calc.py"))
    state = calc.project / ".state"
    ran = calc.lean_loop(XDG_STATE_HOME=str(state))
    assert ran.code == 0, ran.text
    assert ".state" not in ran.out


def test_every_state_of_a_run_stands_in_its_events(calc: Bench, leaner: Leaner) -> None:
    leaner(after_a_diagnosis("echo x > calc.py"))
    calc.lean_loop()
    (folder,) = calc.runs()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    run, task = (next(event for event in events if event["event"] == kind) for kind in ("run", "task"))
    answered = [event for event in events if event["event"] == "answered"]
    result = next(event for event in events if event["event"] == "result")
    assert run["id"] == folder.name
    assert run["tree"] == task["tree"] == answered[0]["before"]
    assert answered[-1]["after"] == result["tree"] != run["tree"]
    store = folder.parent.parent / "snapshots.git"
    assert "left + right" in calc.git("--git-dir", str(store), "show", f"{result['tree']}:calc.py")
    assert "left - right" in calc.git("--git-dir", str(store), "show", f"{run['tree']}:calc.py")
