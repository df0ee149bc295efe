"""`commit = true`: one commit for each green task, of what it changed, by nobody's leave but the tests'."""

from __future__ import annotations

import time

import pytest

from conftest import Bench, Leaner
from test_earlier_runs import HANG, kill_during, set_up
from test_snapshots import repository

WRITE = 'echo new > "$LEAN_FILES"; echo done\n'
COMMIT = "[defaults]\ncommit = true\n"


def set_up_commits(bench: Bench, *names: str, test: str = "true") -> Bench:
    set_up(bench, *names, test=test)
    bench.write("leanfile.toml", bench.read("leanfile.toml").replace("[defaults]\n", COMMIT))
    bench.commit("commits")
    return bench


def log(bench: Bench) -> list[str]:
    return bench.git("log", "--format=%s").splitlines()


def test_each_green_task_is_a_commit_of_what_it_changed(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one", "two")
    leaner(f"{WRITE} echo more >> notes.txt; rm -f old.txt")
    bench.write("mine.txt", "mine\n")
    ran = bench.lean_loop()
    assert ran.code == 0 and ran.err.count("committed as") == 2, ran.text
    assert log(bench) == ["two", "one", "commits", "start"]
    assert bench.git("show", "--format=", "--name-status", "HEAD~1").split() == [
        "M",
        "notes.txt",
        "D",
        "old.txt",
        "A",
        "one.txt",
    ]
    assert bench.git("show", "--format=", "--name-only", "HEAD").split() == ["notes.txt", "two.txt"]
    assert bench.git("status", "--porcelain").split() == ["??", "mine.txt"]


def test_a_file_that_held_edits_of_the_users_is_not_committed_and_named(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one", "two")
    bench.write("notes.txt", "notes\nunstaged\n")
    bench.write("old.txt", "old\nstaged\n")
    bench.git("add", "old.txt")
    bench.write("loose.txt", "loose\n")
    staged = bench.git("diff", "--cached")
    leaner(f"{WRITE} echo more | tee -a notes.txt loose.txt >> old.txt")
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert "not committed, for earlier edits that are not: loose.txt, notes.txt, old.txt" in ran.err
    assert bench.git("show", "--format=", "--name-only", "HEAD~1").split() == ["one.txt"]
    assert bench.git("diff", "--cached") == staged
    assert bench.git("status", "--porcelain").splitlines() == [" M notes.txt", "MM old.txt", "?? loose.txt"]


def test_where_the_index_is_held_there_is_no_commit_either(bench: Bench, leaner: Leaner) -> None:
    """An index that stays behind its commit would take that back in the user's next one."""
    set_up_commits(bench, "one", test="[ ! -e one.txt ] || touch .git/index.lock")
    leaner(WRITE)
    ran = bench.lean_loop()
    assert ran.code == 0 and "not committed: " in ran.err, ran.text
    (bench.project / ".git/index.lock").unlink()
    assert log(bench) == ["commits", "start"]
    assert bench.git("status", "--porcelain") == "?? one.txt\n"


def test_a_red_task_is_not_committed(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one", test="false")
    leaner(WRITE)
    assert bench.lean_loop().code == 1
    assert log(bench) == ["commits", "start"]


def test_no_hook_runs_nobody_signs_and_nobody_need_be_known(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one")
    bench.git("config", "commit.gpgSign", "true")
    bench.git("config", "gpg.program", "false")
    bench.git("config", "user.useConfigOnly", "true")
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-index-change"):
        hook = bench.project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f'#!/bin/sh\necho {name} >> "$HOME/hooks"\nexit 1\n')
        hook.chmod(0o755)
    for name in [name for name in bench.env if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))]:
        del bench.env[name]
    leaner(WRITE)
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert bench.git("log", "-1", "--format=%an <%ae> %s") == "lean-loop <lean-loop@localhost> one\n"
    assert not (bench.home / "hooks").exists()


def test_filters_and_line_endings_of_the_repository_count_in_a_commit(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one")
    bench.write(".gitattributes", "*.big filter=upper\n*.txt text eol=crlf\n")
    bench.commit("attributes")
    bench.git("config", "filter.upper.clean", "tr a-z A-Z")
    leaner("printf 'one\\r\\n' > one.txt; echo small > some.big; echo done")
    assert bench.lean_loop().code == 0
    assert bench.git("show", "HEAD:some.big") == "SMALL\n"
    assert bench.git("cat-file", "-s", "HEAD:one.txt") == "4\n"
    assert bench.git("status", "--porcelain") == ""


@pytest.mark.parametrize("state", ["merge", "rebase"])
def test_nothing_is_committed_into_a_merge_or_rebase(bench: Bench, leaner: Leaner, state: str) -> None:
    set_up_commits(bench, "one")
    bench.git("checkout", "-q", "-b", "other")
    bench.write("notes.txt", "theirs\n")
    bench.commit("theirs")
    bench.git("checkout", "-q", "main")
    bench.write("notes.txt", "ours\n")
    bench.commit("ours")
    with pytest.raises(Exception, match="returned non-zero"):
        bench.git(state, "other")
    before = repository(bench)
    leaner(WRITE)
    ran = bench.lean_loop()
    assert ran.code == 0 and "merge or rebase under way" in ran.err, ran.text
    assert repository(bench) == before
    assert "<<<<<<<" in bench.read("notes.txt") and bench.read("one.txt") == "new\n"


def test_the_first_commit_of_a_repository_and_none_without_one(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one")
    leaner(WRITE)
    (bench.project / ".git").rename(bench.home / "away")
    assert "no repository" in bench.lean_loop().err
    (bench.project / "one.txt").unlink()
    bench.git("init", "-q", "-b", "main")
    assert bench.lean_loop().code == 0
    assert log(bench) == ["one"] and bench.git("ls-files") == "one.txt\n"


def test_a_commit_on_a_detached_head_in_a_subfolder(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one")
    bench.write("sub/leanfile.toml", bench.read("leanfile.toml"))
    bench.write("sub/notes.txt", "notes\n")
    bench.write("notes.txt", "notes\n")
    bench.commit("sub")
    bench.git("checkout", "-q", "--detach")
    bench.write("notes.txt", "mine\n")
    leaner(f"{WRITE} echo more >> notes.txt; rm -f leanfile.toml.x")
    ran = bench.lean_loop("-c", "sub/leanfile.toml")
    assert ran.code == 0, ran.text
    assert bench.git("show", "--format=%s", "--name-only", "HEAD").split() == ["one", "sub/notes.txt", "sub/one.txt"]
    assert bench.git("status", "--porcelain") == " M notes.txt\n"


def test_what_attempts_before_a_kill_changed_is_committed_too(bench: Bench, leaner: Leaner) -> None:
    set_up_commits(bench, "one", test="test -e $HOME/ready")
    first = 'echo first > first.txt; touch "$HOME/first"; echo done; exit'
    bench.write(
        "leanfile.toml", bench.read("leanfile.toml").replace("max_iters_per_task = 0", "max_iters_per_task = 3")
    )
    bench.write("notes.txt", "mine\n")
    leaner(
        f'[ -e "$HOME/first" ] || {{ {first}; }}; [ -e "$HOME/ready" ] || {{ {HANG}; }}; {WRITE} echo x >> notes.txt'
    )
    kill_during(bench)
    time.sleep(1)
    ran = bench.lean_loop("--resume")
    assert ran.code == 0, ran.text
    assert bench.git("show", "--format=", "--name-only", "HEAD").split() == ["first.txt", "one.txt"]
