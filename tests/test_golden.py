"""Golden pairs: what real runners printed in small projects, what is read and sent of it; and any other bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import make
import pytest

import _failures
import leanloop
import locating

GOLDEN = {path.stem: make.load(path) for path in sorted(make.GOLDEN.glob("*.txt"))}
NO_PLACE = ("pytest-no", "pytest-xpass")  # these outputs name no file with a line
JUNK = (
    b"\xff\xfe",
    b"\0",
    b"\x1b[31m",
    b"\r",
    b"(((",
    b"\\",
    b"../../etc/passwd.c:1",
    b"C:\\x\\y.py:3: E",
    b"\xe2\x9c\x96 ",
)


def test_what_runners_print_is_read_as_recorded(tmp_path: Path) -> None:
    different = []
    for name, golden in GOLDEN.items():
        root = make.write(golden.files, tmp_path / name)
        if any(make.sent(golden.raw, root, command) != golden.sent for command in (golden.head, "./check", "")):
            different.append(name)
    assert not different, "look at the difference after: tests/golden/make.py --sent"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_runner_is_known_by_what_it_prints(name: str, tmp_path: Path) -> None:
    golden = GOLDEN[name]
    failure = _failures.read_failure(golden.raw, make.write(golden.files, tmp_path))
    assert failure.reader, "the raw end of the output would be sent"
    assert failure.summary
    assert bool(failure.frames) != (name in NO_PLACE)


def test_of_an_output_that_names_no_test_the_raw_end_is_sent(tmp_path: Path) -> None:
    output = "".join(f"step {number}\n" for number in range(90)) + "running 2 tests\nno more is said\n"
    failure = _failures.read_failure(output, tmp_path, tail=9)
    assert failure.reader == ""
    assert failure.excerpt.endswith("running 2 tests\nno more is said")


def test_any_bytes_are_read_and_lead_nowhere_else(tmp_path: Path) -> None:
    pieces = [line for golden in GOLDEN.values() for line in golden.raw.encode().splitlines(keepends=True)]
    for name in ("go-panic", "junit5", "cargo", "jest", "pytest-q", "rspec", "phpunit", "make-assert"):
        make.write(GOLDEN[name].files, tmp_path)
    chance = random.Random(5)
    for _ in range(250):
        chosen = [chance.choice(pieces) for _ in range(chance.randrange(60))]
        raw = b"".join(chance.choice(JUNK) + line if chance.random() < 0.1 else line for line in chosen)
        failure = _failures.read_failure(leanloop.readable(raw[chance.randrange(9) :]), tmp_path)
        concerned = locating.concerned(tmp_path, failure, ("none.js",))
        for path in {frame.path for frame in failure.frames} | {item.path for item in concerned}:
            assert (tmp_path / path).resolve().is_relative_to(tmp_path.resolve())
        assert len(failure.excerpt.splitlines()) <= 41


FLOODS: dict[str, Callable[[str], str]] = {
    "indented": lambda text: "".join(f"    {line}\n" for line in text.splitlines()),
    "one line": lambda text: text.replace("\n", " "),
    "again and again": str,
    "a sign a line": "\n".join,
}


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_a_megabyte_is_read_in_time(flood: str, tmp_path: Path) -> None:
    text = ("x" * 39 + "\n") * 25_000
    begun = time.process_time()
    for _ in range(900):
        text.splitlines()
    allowed = max(1.0, time.process_time() - begun)  # about a second, and more on a slow machine
    for name, golden in GOLDEN.items():
        text = FLOODS[flood](golden.raw * (1_000_000 // len(golden.raw) + 1))[:1_000_000]
        root = make.write(golden.files, tmp_path / name)
        begun = time.process_time()
        _failures.read_failure(text, root)
        assert time.process_time() - begun < allowed, name


def test_a_link_out_of_the_project_is_no_place_of_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.c").write_text("int secret;\n")
    root = make.write({"src/own.c": "int own;\n"}, tmp_path / "project")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    failure = _failures.read_failure("linked/secret.c:1:5: error: no\nsrc/own.c:1:5: error: no\n", root)
    assert {frame.path for frame in failure.frames} == {"src/own.c"}
