"""What an agent does to the user's repository is noticed, put back and said; uncommitted work stays byte for byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from itertools import product
from pathlib import Path

import pytest

from conftest import Bench, Leaner, few_of
from test_earlier_runs import HANG, kill_during
from test_snapshots import FIX, after_a_diagnosis, bare, calc, facts, repository, without

__all__ = ["bare", "calc"]
WHO = "git config user.name >/dev/null; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost\n"
COMMIT = "git add -A; git commit -q -m 'by the agent'"


@pytest.fixture
def worked(bare: Bench) -> Bench:
    """A project in the midst of work: staged, unstaged and untracked edits, an ignored file, a stash, a branch."""
    bench = bare
    bench.write(".gitignore", ".env\n*.log\n")
    bench.write("notes.txt", "".join(f"line {number}\n" for number in range(30)))
    bench.write("other.txt", "other\n")
    bench.commit()
    bench.git("checkout", "-q", "-b", "feature")
    bench.write("feature.txt", "feature\n")
    bench.write("other.txt", "of the feature\n")
    bench.commit("feature")
    bench.git("checkout", "-q", "main")
    bench.write("other.txt", "stashed\n")
    bench.git("stash")
    bench.git("tag", "v1")
    bench.write("notes.txt", bench.read("notes.txt").replace("line 3\n", "staged\n"))
    bench.git("add", "notes.txt")
    bench.write("notes.txt", bench.read("notes.txt").replace("line 20\n", "unstaged\n"))
    bench.write("untracked.txt", "mine\n")
    bench.write(".env", "PORT=1\n")
    return bench


DEEDS = {
    "commit": (COMMIT, "HEAD|branches"),
    "commit on a new branch": (f"git checkout -q -b wip; {COMMIT}", "HEAD"),
    "commit and amend": (f"{COMMIT}; git commit -q --amend -m again", "branches"),
    "stage": ("git add -A", "staged"),
    "unstage": ("git reset -q", "staged"),
    "reset hard": ("git reset -q --hard", "threw away"),
    "reset to another commit": ("git reset -q --hard feature", "branches"),
    "restore": ("git checkout -q -- .", "threw away"),
    "stash": ("git stash -q", "the stash"),
    "stash all": ("git stash -q -u", "the stash"),
    "drop a stash": ("git stash drop -q", "the stash"),
    "clean": ("git clean -q -fd", "threw away"),
    "clean all": ("git clean -q -fdx", "threw away"),
    "switch": ("git checkout -q -f feature", "HEAD"),
    "detach": ("git checkout -q --detach", "HEAD"),
    "delete a branch": ("git branch -q -D feature; git tag -d v1 >/dev/null", "branches"),
    "move branches beside a work tree": (
        "git worktree add -q -b side $HOME/side >&2; git branch -q -f feature main; git tag -f v1 feature >&2",
        "branches",
    ),
    "move a branch below itself": ("git branch -q -m feature feature/x", "branches"),
    "merge": ("git stash -q; git merge -q feature", "branches"),
    "stop in a merge": ("git merge -q --no-ff --no-commit feature >&2; git rm -q --cached calc.py", "staged"),
    "pack": (f"{COMMIT}; git gc -q --prune=now", "branches"),
    "configure": ("git config core.hooksPath /tmp; git config user.name x", "settings"),
    "hook": ("mkdir -p .git/hooks; echo 'exit 1' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit", "hooks"),
    "exclude": ("mkdir -p .git/info; echo conftest.py >> .git/info/exclude", "ignored"),
    "remove": ("rm -rf .git", "HEAD"),
    "remove objects": ("rm -rf .git/objects", ""),
    "edit every file": ("find .git -type f -exec sed -i 's/[a-f]/x/g' {} +", "HEAD"),
    "begin anew": (f"rm -rf .git; git init -q -b other; {COMMIT}", "HEAD"),
    "remove and put a file": ("rm -rf .git; echo x > .git", "HEAD"),
}  # fmt: skip


UNSEEN = ("objects/", "gc.", "info/refs", "worktrees/side/")


def without_objects(seen: dict[str, str | bytes]) -> dict[str, str | bytes]:
    """Leave out the names of objects, of which there may be more than before, and what git notes for itself."""
    names = [name for name in str(seen["files"]).splitlines() if not name.startswith(UNSEEN)]
    return {**seen, "files": "\n".join(names), "fsck": ""}


@pytest.mark.parametrize(("deed", "mode"), [*few_of(product(DEEDS, ("edit",)), 8), *few_of(product(DEEDS, ("ask",)))])
def test_what_an_agent_does_to_the_repository_is_put_back_and_said(
    worked: Bench, leaner: Leaner, deed: str, mode: str
) -> None:
    script, said = DEEDS[deed]
    before, tree = repository(worked), facts(worked.project)
    edit = f"{script}; {FIX}" if said == "threw away" else f"{FIX} {script}; echo done"
    leaner(WHO + (edit if mode == "edit" else after_a_diagnosis(script)))
    ran = worked.lean_loop()
    assert without_objects(repository(worked)) == without_objects(before), ran.text
    assert "error" not in str(repository(worked)["fsck"])
    assert without(facts(worked.project), "calc.py") == without(tree, "calc.py"), ran.text
    assert any(word in ran.err for word in said.split("|")), ran.text
    assert worked.git("stash", "show", "-p").count("stashed") == 1


def test_a_commit_of_the_agents_leaves_its_edit_as_work_that_is_not_committed(worked: Bench, leaner: Leaner) -> None:
    leaner(f"{WHO}{FIX} {COMMIT}")
    ran = worked.lean_loop()
    assert ran.code == 0, ran.text
    assert "left + right" in worked.read("calc.py")
    assert " M calc.py" in worked.git("status", "--porcelain").splitlines()


def test_a_look_at_the_repository_is_not_worth_a_word(worked: Bench, leaner: Leaner) -> None:
    before = repository(worked)
    leaner(f"touch notes.txt; git status -s; git log -1; git diff; {FIX}")
    ran = worked.lean_loop()
    assert ran.code == 0 and "warning" not in ran.err, ran.text
    assert repository(worked) == before


def test_what_the_leaner_itself_takes_back_is_not_called_thrown_away(worked: Bench, leaner: Leaner) -> None:
    calls = '[ "$LEAN_MODE" = ask ] && { echo why; exit; }; echo x >> "$HOME/calls"\n'
    once = '[ "$(wc -l < "$HOME/calls")" = 1 ] && { echo more >> other.txt; touch new.txt; echo done; exit; }\n'
    leaner(f"{calls}{once}git checkout -q other.txt; rm new.txt; {FIX}")
    ran = worked.lean_loop()
    assert ran.code == 0 and "threw away" not in ran.err, ran.text
    assert worked.read("other.txt") == "other\n" and not (worked.project / "new.txt").exists()


def test_a_lock_that_an_agents_git_left_is_removed_but_not_one_that_is_held(worked: Bench, leaner: Leaner) -> None:
    leaner(f"{FIX} git add -A; touch .git/index.lock")
    before = repository(worked)
    assert worked.lean_loop().code == 0
    assert without_objects(repository(worked)) == without_objects(before)
    worked.git("checkout", "calc.py")
    argv = ["git", "-c", "core.editor=touch $HOME/open; sleep 1000; false", "commit", "-a"]
    user = subprocess.Popen(argv, cwd=worked.project, env=worked.env, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        while not (worked.home / "open").exists() and user.poll() is None:
            time.sleep(0.01)
        leaner(f"{FIX} git config user.name x")
        ran = worked.lean_loop()
        assert ran.code == 0 and "left a lock" in ran.err, ran.text
        assert (worked.project / ".git/index.lock").exists()
    finally:
        os.killpg(user.pid, signal.SIGKILL)
        user.wait()


@pytest.mark.parametrize("deed", ["commit", "remove objects", "begin anew"])
def test_a_repository_behind_a_link_is_put_back(worked: Bench, leaner: Leaner, deed: str) -> None:
    link, real = worked.project / ".git", worked.home / "real.git"
    link.rename(real)
    link.symlink_to(real)
    before, tree, head = repository(worked), facts(worked.project), (real / "config").stat()
    leaner(f"{WHO}{FIX} {DEEDS[deed][0].replace('rm -rf .git;', 'rm .git;')}; echo done")
    ran = worked.lean_loop()
    assert ran.code == 0, ran.text
    assert link.is_symlink() and link.resolve() == real
    assert without_objects(repository(worked)) == without_objects(before), ran.text
    assert without(facts(worked.project), "calc.py") == without(tree, "calc.py"), ran.text
    assert (real / "config").stat() == head


@pytest.mark.parametrize("deed", ["update --init", "add {} more"])
def test_a_submodule_that_an_agent_fetched_can_be_worked_with(calc: Bench, leaner: Leaner, deed: str) -> None:
    lib = Bench(calc.home, calc.project.parent / "lib", calc.env)
    lib.project.mkdir()
    lib.write("lib.txt", "lib\n")
    lib.commit()
    calc.git("-c", "protocol.file.allow=always", "submodule", "add", str(lib.project), "sub")
    calc.commit()
    clone = Bench(calc.home, calc.project.parent / "clone", calc.env)
    calc.git("clone", "-q", ".", str(clone.project))
    leaner(f"git -c protocol.file.allow=always submodule {deed.format(lib.project)} >&2; {FIX}")
    ran = clone.lean_loop()
    assert ran.code == 0, ran.text
    assert "fatal" not in clone.git("status") and clone.git("config", "--list").count("submodule.") == 0
    clone.git("-c", "protocol.file.allow=always", "submodule", "update", "--init")
    assert (clone.project / "sub/lib.txt").exists()


def test_a_git_file_that_leads_nowhere_stays_what_it_is(bare: Bench, leaner: Leaner) -> None:
    bare.write(".git", "gitdir: /no/such\n")
    leaner(after_a_diagnosis("rm .git; git init -q"))
    ran = bare.lean_loop()
    assert ran.code == 0, ran.text
    assert bare.read(".git") == "gitdir: /no/such\n"


def test_a_repository_that_an_agent_makes_does_not_stay(bare: Bench, leaner: Leaner) -> None:
    leaner(f"{WHO}{FIX} git init -q; {COMMIT}")
    ran = bare.lean_loop()
    assert ran.code == 0 and "changed the repository" in ran.err, ran.text
    assert not (bare.project / ".git").exists()


@pytest.mark.parametrize("deed", few_of(["commit", "remove", "begin anew", "switch", "reset hard"], 3))
def test_a_linked_work_tree_is_put_back_and_the_others_are_left_alone(worked: Bench, leaner: Leaner, deed: str) -> None:
    linked = Bench(worked.home, worked.project.parent / "linked", worked.env)
    worked.git("worktree", "add", "-q", "-b", "side", str(linked.project))
    shutil.copy(worked.project / "leanfile.toml", linked.project)
    linked.write("untracked.txt", "mine\n")
    before, tree = repository(linked), facts(linked.project)
    beside = f"git -C '{worked.project}' commit -q --allow-empty -m 'of the user'"
    leaner(f"{WHO}{FIX} {beside}; {DEEDS[deed][0].replace('feature', 'v1')}; echo done")
    ran = linked.lean_loop()
    after = repository(linked)
    assert (after["HEAD"], after["index"], after["stash"]) == (before["HEAD"], before["index"], before["stash"]), (
        ran.text
    )
    assert without(facts(linked.project), "calc.py") == without(tree, "calc.py"), ran.text
    assert linked.git("log", "-1", "--format=%s", "main") == "of the user\n"
    assert linked.git("log", "-1", "--format=%s", "side") == "start\n"


def test_a_repository_that_a_killed_call_removed_comes_back(worked: Bench, leaner: Leaner) -> None:
    before, tree = repository(worked), facts(worked.project)
    leaner(f"[ -e $HOME/ready ] || {{ git stash -q -u; rm -rf .git; {HANG}; }}; {FIX}")
    kill_during(worked)
    assert not (worked.project / ".git").exists()
    ran = worked.lean_loop("--undo")
    assert ran.code == 0 and "the repository was put back" in ran.err, ran.text
    assert without_objects(repository(worked)) == without_objects(before)
    assert facts(worked.project) == tree


def test_what_the_user_committed_after_a_kill_stays(worked: Bench, leaner: Leaner) -> None:
    leaner(f"[ -e $HOME/ready ] || {{ {HANG}; }}; {FIX}")
    kill_during(worked)
    time.sleep(1)
    worked.git("commit", "-q", "-m", "mine")
    before = repository(worked)
    assert worked.lean_loop().code == 0
    assert repository(worked) == before


def test_ctrl_c_puts_the_repository_back_too(worked: Bench, leaner: Leaner) -> None:
    from test_earlier_runs import started

    before, tree = repository(worked), facts(worked.project)
    leaner(f"{WHO}{COMMIT}; {HANG}")
    with started(worked) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert without_objects(repository(worked)) == without_objects(before)
    assert facts(worked.project) == tree


def test_objects_are_hard_links_and_follow_the_repository(worked: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    worked.lean_loop()
    (copy,) = worked.home.glob("state/lean-loop/*/git")
    kept = {path.relative_to(copy) for path in copy.rglob("objects/??/*")}
    assert kept == {path.relative_to("/") for path in (worked.project / ".git/objects").glob("??/*")}
    assert all((copy / path).samefile(Path("/", path)) for path in kept)
    packs = []
    for _ in range(2):
        worked.git("commit", "-q", "--allow-empty", "-m", "more")
        worked.git("gc", "-q")
        worked.git("checkout", "calc.py")
        worked.lean_loop()
        packs.append({path.name for path in copy.rglob("*.pack")})
    assert [len(found) for found in packs] == [1, 1] and packs[0] != packs[1]
    (copy,) = worked.home.glob("state/lean-loop/*/snapshots.git")
    assert worked.git("--git-dir", str(copy), "fsck", "--no-dangling", "--no-progress") == ""


def test_rights_in_the_repository_are_put_back(worked: Bench, leaner: Leaner) -> None:
    hook = worked.write(".git/hooks/pre-commit", "#!/bin/sh\n", 0o755)
    rights = {hook: 0o755, worked.project / ".git/config": 0o600, worked.project / ".git": 0o700}
    for path, mode in rights.items():
        path.chmod(mode)
    leaner(f"chmod -x .git/hooks/pre-commit; chmod 666 .git/config; chmod 755 .git; {FIX}")
    ran = worked.lean_loop()
    assert (ran.code, "(hooks, settings)" in ran.err) == (0, True), ran.text
    assert {path: path.stat().st_mode & 0o777 for path in rights} == rights


def test_states_outlive_the_repository(worked: Bench, leaner: Leaner) -> None:
    leaner(f"rm notes.txt; {FIX}")
    before = worked.read("notes.txt")
    assert worked.lean_loop().code == 0
    shutil.rmtree(worked.project / ".git")
    ran = worked.lean_loop("--undo")
    assert (ran.code, worked.read("notes.txt")) == (0, before), ran.text


def test_a_line_break_in_the_folders_name_is_told(calc: Bench) -> None:
    calc.project = calc.project.rename(calc.home / "line\nbreak")
    ran = calc.lean_loop()
    assert ran.code == 2, ran.text
    assert "line break in its name lies. Rename it" in ran.err
    assert "Traceback" not in ran.err
