"""The programs that find code: definitions of every language, and what a failure concerns, as source/expected pairs.

A pair is a file of tests/locate: files behind `@@@ file PATH`, a failure behind `@@@ failure` (JSON), and what is
expected of it. UPDATE=1 in the environment writes what is found instead.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import _definitions
import _locate
import leanloop
import locating
from conftest import ROOT, Bench, Leaner
from leanloop import Failure, Frame

PAIRS = Path(__file__).with_name("locate")
MARK = re.compile(r"^@@@ (file|failure|expected) ?(.*)\n", re.MULTILINE)


def pieces(pair: Path) -> list[tuple[str, str, str]]:
    """Read a pair: kind, name and text of each piece."""
    _, *parts = MARK.split(pair.read_text(encoding="utf-8"))
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def check(pair: Path, found: str) -> None:
    """Compare what was FOUND with what the pair expects."""
    text = pair.read_text(encoding="utf-8")
    given = text[: text.index("@@@ expected\n")]
    if os.environ.get("UPDATE"):
        pair.write_text(f"{given}@@@ expected\n{found}", encoding="utf-8")
    assert text == f"{given}@@@ expected\n{found}"


@pytest.mark.parametrize("name", sorted(path.name for path in PAIRS.glob("definitions-*.txt")))
def test_the_definitions_of_a_file(name: str) -> None:
    ((_, path, source), *_) = pieces(PAIRS / name)
    found = "".join(
        f"{item.first}-{item.last} {item.kind} {item.name}{f' in {item.owner}' if item.owner else ''}\n"
        for item in _definitions.definitions(path, source)
    )
    check(PAIRS / name, found)


def asked(root: Path, pair: Path) -> dict[str, Any]:
    """Write the files of a pair below ROOT; make its request."""
    told: dict[str, Any] = {}
    for kind, name, text in pieces(pair):
        if kind == "file":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        elif kind == "failure":
            told = json.loads(text)
    failure = Failure(tuple(told["tests"]), told["summary"], "", tuple(Frame(*frame) for frame in told["frames"]))
    return {**locating.request(root, failure, told.get("files", ())), **told.get("request", {})}


@pytest.mark.parametrize("name", sorted(path.name for path in PAIRS.glob("locate-*.txt")))
def test_the_code_that_a_failure_concerns(name: str, tmp_path: Path) -> None:
    reply = locating.ask(asked(tmp_path, PAIRS / name))
    files = "".join(f"{path}\n" for path in reply.pop("test_files", ()))
    found = "".join(f"# {kind}\n{leanloop.show_passages(passages)}" for kind, passages in reply.items() if passages)
    check(PAIRS / name, files + found)


ENCODED = {"gbk": "余数不能是零", "cp1252": "déjà vu", "cp932": "あまりはゼロではない", "utf-16": "plain"}


@pytest.mark.parametrize("encoding", ENCODED)
def test_files_are_shown_in_their_own_encoding(tmp_path: Path, encoding: str) -> None:
    words = ENCODED[encoding]
    (tmp_path / "calc.py").write_bytes(f'def rest(a, b):\n    return "{words}"\n'.encode(encoding))
    request = locating.request(tmp_path, Failure(("rests",), "wrong", "", (Frame("calc.py", 2),)))
    (passage,) = locating.ask(request)["code"]
    assert words in passage["code"]


MANY = 4000
LARGE = {
    "big.py": "class C{0}:\n    def keep(self, a):\n        self.a = a\n\n    def read(self, x):\n        return x\n\n",
    "big.js": "class C{0} {{\n  constructor(a) {{\n    this.a = a;\n  }}\n  read(x) {{\n    return x;\n  }}\n}}\n\n",
    "Big.java": "class C{0} {{\n  int a;\n  int read(int x) {{\n    return this.a + x;\n  }}\n}}\n\n",
    "big.rb": "class C{0}\n  def read(x)\n    @a + x\n  end\nend\n\n",
}


@pytest.mark.parametrize("path", LARGE)
def test_a_file_of_4000_classes_is_searched_in_a_second(tmp_path: Path, path: str) -> None:
    (tmp_path / path).write_text("".join(LARGE[path].format(number) for number in range(MANY)))
    request = locating.request(tmp_path, Failure(("reads",), "expected 3 to be 4", "", (Frame(path, 5),)), (path,))
    begun = time.process_time()
    reply = _locate.locate(request)
    assert time.process_time() - begun < 1
    assert "read" in reply["code"][0].code


def test_where_finding_code_crashes_the_prompt_goes_without_it(calc: Bench, leaner: Leaner, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(ROOT / "leaners", copied / "leaners")
    for name in ("leanloop.py", "config.toml"):
        shutil.copy(ROOT / name, copied)
    (copied / "leaners" / "_locate.py").write_text("raise SystemError('a bug')\n")
    leaner('cp "$LEAN_PROMPT_FILE" "$HOME/prompt.md"; exit 2')
    argv = [sys.executable, str(copied / "leanloop.py")]
    ran = subprocess.run(argv, cwd=calc.project, env=calc.env, capture_output=True, text=True, timeout=60)
    assert "the prompt goes without code" in ran.stderr
    assert "# Failing tests" in (calc.home / "prompt.md").read_text()
    (run,) = calc.runs()
    assert "SystemError: a bug" in "".join(path.read_text() for path in run.glob("*-locate.txt"))
    assert [json.loads(path.read_text())["files"] for path in run.glob("*-locate.json")] == [["calc.py"]]
