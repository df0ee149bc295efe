"""Every answer of the corpus does to its files what the case says, through the real program and a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import PROGRAM, Case, cases, direct, holds, lay, serve

pytestmark = pytest.mark.usefixtures("sealed")

CASES = cases()


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Serve one answer, which each test sets."""
    with serve.ChatServer(lambda body: "") as chat:
        yield chat


def environment(case: Case, base_url: str) -> dict[str, str]:
    """Set the variables of a leaner call, without a repair round."""
    return {
        "LEAN_BASE_URL": base_url,
        "LEAN_FILES": "\n".join(case.listed),
        "LEAN_PROTECT": "\n".join(case.protect),
        "LEAN_EDIT_RETRIES": "0",
    }


def make_project(case: Case, root: Path) -> dict[str, bytes]:
    """Lay out what a case starts from; return the files that no answer may touch."""
    lay(root, case.before)
    extra = {}
    if "binary" in case.marks:
        extra["logo.png"] = b"\x89PNG\0\0\1"
        lay(root, extra)
    if "symlink" in case.marks:
        (root.parent / "elsewhere").mkdir()
        (root / "link").symlink_to(root.parent / "elsewhere")
    return extra


def check(case: Case, code: int, said: str, root: Path, extra: dict[str, bytes]) -> None:
    """Compare exit code, reason and every file with what the case states."""
    if case.refused:
        assert code == 1, said
        assert any(reason in said for reason in case.refused.split("|")), said
    else:
        assert code == 0, said
    assert holds(root) == {**case.after, **extra}
    assert sorted(path.name for path in root.parent.iterdir() if path != root) in ([], ["elsewhere"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer(
    case: Case, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    extra = make_project(case, root)
    server.answer = lambda body: case.answer
    for name, value in environment(case, server.base_url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    code = direct.main(["-p", case.prompt])
    out, err = capsys.readouterr()
    check(case, code, err, root, extra)
    assert bool(out) == (code == 0)


@pytest.mark.parametrize("case", CASES[::50], ids=lambda case: case.name)
def test_answer_through_the_command(case: Case, server: Any, tmp_path: Path) -> None:
    root, usage = tmp_path / "project", tmp_path / "usage.json"
    root.mkdir()
    extra = make_project(case, root)
    server.answer = lambda body: case.answer
    env = {**os.environ, **environment(case, server.base_url), "LEAN_USAGE_FILE": str(usage)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "-p", case.prompt],
        cwd=root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert json.loads(usage.read_text())["requests"] == 1
    usage.unlink()
    check(case, done.returncode, done.stderr.strip().split("\n")[-1], root, extra)
    assert "Traceback" not in done.stderr


def test_corpus_is_large_enough() -> None:
    assert len(CASES) == len({case.name for case in CASES}) >= 490
    assert sum(bool(case.refused) for case in CASES) >= 80
