"""Finding the code of a failure, as the loop asks for it: in this process, or of the program itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _locate
import leanloop
from _definitions import Definition
from conftest import ROOT
from leanloop import Defaults, Failure, Task

PROGRAM = ROOT / "leaners" / "_locate.py"


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Let the program answer a request."""
    argv = [sys.executable, "-E", "-S", str(PROGRAM)]
    done = subprocess.run(argv, input=json.dumps(request), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def project(root: Path, **defaults: Any) -> _locate.Project:
    """Open the project at ROOT."""
    return _locate.Project(request(root, None, **defaults))


def request(root: Path, failure: Failure | None, files: Sequence[str] = (), **defaults: Any) -> dict[str, Any]:
    """Write the request for a fix prompt, as it arrives."""
    task = Task(name="tests", prompt="Mend it.", files=tuple(files))
    made = leanloop.location_request(root, Defaults(**defaults), task, failure, "fix", 4000, ())
    return dict(json.loads(json.dumps(made)))


def ranking(root: Path, failure: Failure, files: Sequence[str] = (), **defaults: Any) -> _locate.Ranking:
    """Open the project at ROOT to rank what a failure concerns."""
    return _locate.Ranking(request(root, failure, files, **defaults))


def concerned(root: Path, failure: Failure, files: Sequence[str] = (), **defaults: Any) -> list[Definition]:
    """List the definitions that the failure concerns, the most needed first; nothing was traced."""
    return [candidate.item for candidate in ranking(root, failure, files, **defaults).concerned([])]


def located(root: Path, failure: Failure, **defaults: Any) -> leanloop.Located:
    """Find the code for a fix prompt."""
    return leanloop.read_location(json.dumps(ask(request(root, failure, **defaults))))


def find(opened: _locate.Project, path: str, name: str) -> Definition:
    """Find the one definition of that NAME in a file."""
    (item,) = [item for item in opened.source(path).definitions if item.name == name]
    return item
