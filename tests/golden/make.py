#!/usr/bin/env python3
"""Run the real runners again and write the golden pairs: raw output, and what is read of it.

Each file beside this one holds a case: the command (or that it was written from documentation), the project's files,
the raw output with the project's folder as /project, and what is sent of it. Without a name all cases are made again;
--sent only reads the recorded outputs anew.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent
sys.path[:0] = [str(GOLDEN), *(str(GOLDEN.parents[1] / name) for name in (".", "leaners", "tests"))]

import _failures  # noqa: E402
import leanloop  # noqa: E402
import locating  # noqa: E402

MARK = re.compile(r"^@@@ (file|raw|sent) ?(.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Golden:
    """A recorded case: `head` is the command line or says where the output comes from."""

    head: str
    files: Mapping[str, str]
    raw: str
    sent: str

    def __str__(self) -> str:
        files = "".join(f"@@@ file {path}\n{text}" for path, text in self.files.items())
        return f"{self.head}\n{files}@@@ raw\n{self.raw}@@@ sent\n{self.sent}"


def load(path: Path) -> Golden:
    """Read a recorded case."""
    head, *parts = MARK.split(path.read_text(encoding="utf-8"))
    found = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    texts = {kind: text for kind, _, text in found if kind != "file"}
    files = {name: text for kind, name, text in found if kind == "file"}
    return Golden(head.rstrip("\n"), files, texts["raw"], texts["sent"])


def write(files: Mapping[str, str], root: Path) -> Path:
    """Write FILES below ROOT."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def sent(raw: str, root: Path, command: str = "") -> str:
    """Tell what is read of RAW, which COMMAND printed: the failure, its frames, the definitions of ROOT concerned."""
    failure = _failures.read_failure(raw.replace("/project", str(root)), root, command=command)
    parts = (
        f"passed: {_failures.read_summary(raw, command, green=False).passed}",
        *(f"test: {name}" for name in failure.tests),
        f"error: {failure.summary}",
        *(f"frame: {frame.path}:{frame.line} {frame.function}".rstrip() for frame in failure.frames),
        *(f"code: {item.path}:{item.name} {item.first}-{item.last}" for item in locating.concerned(root, failure)),
        leanloop.tell_failure(failure),
    )
    return "\n".join(parts).rstrip() + "\n"


def run(command: str, root: Path) -> str:
    """Run a case's command, which has to end red."""
    cache = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")
    path = [str(Path(sys.executable).parent), str(cache / "web-1" / "node_modules" / ".bin"), os.environ["PATH"]]
    env = {**os.environ, "PATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1", "LANG": "C.UTF-8"}
    (root / "node_modules").symlink_to(cache / "web-1" / "node_modules")
    done = subprocess.run(["bash", "-c", command], cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not done.returncode:
        raise SystemExit(f"{command} ended green:\n{done.stdout.decode()}")
    output = leanloop.readable(done.stdout).replace(str(root), "/project").replace(sys.base_prefix, "/usr")
    return output.rstrip("\n") + "\n"


def main() -> None:
    from cases import CASES

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="the cases to make again")
    options.add_argument("--sent", action="store_true", help="keep the raw outputs, read them anew")
    given = options.parse_args()
    if not given.sent:
        for case in CASES:
            if case.name not in (given.names or [item.name for item in CASES]):
                continue
            files = {path: textwrap.dedent(text).lstrip("\n") for path, text in case.all.items()}
            with tempfile.TemporaryDirectory() as folder:
                root = write(files, Path(folder).resolve())
                raw = run(case.command, root)
            Path(GOLDEN / f"{case.name}.txt").write_text(str(Golden(case.command, files, raw, "")), encoding="utf-8")
            print(case.name)
    for path in sorted(GOLDEN.glob("*.txt")):
        golden = load(path)
        with tempfile.TemporaryDirectory() as folder:
            root = write(golden.files, Path(folder).resolve())
            told = sent(golden.raw, root, golden.head)
            path.write_text(str(Golden(golden.head, golden.files, golden.raw, told)), encoding="utf-8")


if __name__ == "__main__":
    main()
