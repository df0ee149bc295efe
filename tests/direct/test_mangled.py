"""No answer, however mangled, writes outside the project, half applies, or ends in a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import few_of
from support import Memory, answers, applied, cases, direct, holds, lay, serve

pytestmark = pytest.mark.usefixtures("sealed")

hypothesis = pytest.importorskip("hypothesis", reason="the property test needs the package hypothesis")
st: Any = hypothesis.strategies
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
composite: Decorator = st.composite

CASES = [case for case in cases() if "utf-16" not in case.marks]
LINES = sorted({line for case in CASES for line in case.answer.split("\n")})
PATHS = [
    "../up.py",
    "/etc/x.py",
    "a/../../b.py",
    "link/x.py",
    ".git/config.py",
    "~/x.py",
    "C:\\x.py",
    "..\\x.py",
    "%2e%2e/x.py",
    "a\0b.py",
]


def examples(count: int, *given: Any) -> Decorator:
    """Run a test on so many examples, bounded by their number and not by a deadline."""
    settings = hypothesis.settings(
        max_examples=count, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = settings(hypothesis.given(*given)(test))
        return decorated

    return decorate


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serve.ChatServer(lambda body: "") as chat:
        yield chat


@composite
def mangled(draw: Any) -> tuple[Any, str]:
    """Take answers of the corpus apart: lines dropped, doubled, moved, cut, glued to others, paths made evil."""
    case = draw(st.sampled_from(CASES))
    lines = case.answer.split("\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines)))
        match draw(st.integers(0, 6)):
            case 0:
                lines = lines[:at]
            case 1:
                lines = lines[at:]
            case 2:
                lines[at:at] = draw(st.lists(st.sampled_from(LINES), max_size=4))
            case 3:
                lines[at : at + 2] = []
            case 4:
                lines[at:at] = [draw(st.text(max_size=30))]
            case 5:
                evil = draw(st.sampled_from(PATHS))
                lines = [line.replace(path, evil) for line in lines for path in case.listed[:1]]
            case _:
                lines[at:at] = lines[: at + 3]
    return case, "\n".join(lines)


@examples(150, mangled())
def test_mangled_answer(server: Any, given: tuple[Any, str]) -> None:
    case, answer = given
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        root.mkdir()
        lay(root, case.before)
        Path(folder, "outside").mkdir()
        (root / "link").symlink_to(Path(folder, "outside"))
        (root / ".git").mkdir()
        before = holds(root)
        server.answer = lambda body: answer
        code, err = run_in(root, case, server.base_url)
        assert code in (0, 1), err
        assert "Traceback" not in err
        assert sorted(path.name for path in Path(folder).iterdir()) == ["outside", "project"]
        assert not list(Path(folder, "outside").iterdir()) and not list((root / ".git").iterdir())
        after = holds(root)
        assert not [name for name in after if name.endswith(".lean")]
        assert (after != before) == (code == 0)


def run_in(root: Path, case: Any, base_url: str) -> tuple[int, str]:
    """Run the program's main in a folder, with the case's settings."""
    err, here, old = io.StringIO(), Path.cwd(), dict(os.environ)
    os.environ |= {
        "LEAN_BASE_URL": base_url,
        "LEAN_FILES": "\n".join(case.listed),
        "LEAN_PROTECT": "\n".join(case.protect),
    }
    os.chdir(root)
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            return direct.main(["-p", case.prompt]), err.getvalue()
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(old)


@examples(200, st.lists(st.sampled_from(LINES), max_size=12), st.text(max_size=200))
def test_any_text_is_parsed(lines: list[str], text: str) -> None:
    for answer in ("\n".join(lines), text, text + "\n".join(lines)):
        with contextlib.suppress(answers.Refusal):
            found = answers.Reader(Memory({"a.py": "x = 1\n"}, ("a.py",))).read(answer)
            assert all(isinstance(edit.path, str) for edit in found)


PIECES = [
    "import os\n",
    "LIMIT = 10\n",
    "# a note of its own\n",
    "def first(a):\n    b = a + 1\n    return b\n",
    "def second(a):\n    # why\n    return a * 2\n",
    "class Third:\n    size = 3\n\n    def run(self):\n        return 3\n\n    def stop(self):\n        return 0\n",
    "TABLE = {\n    'a': 1,\n    'b': 2,\n    'c': 3,\n}\n",
    "print('loose')\n",
    "for row in []:\n    print(row)\n",
    "def fourth():\n    return None\n",
]
FRESH = [
    "def fifth():\n    return 5\n",
    "import json\n",
    "# note\n",
    "print(first(1))\n",
    "OTHER = 2\n",
    "# ...\n",
    "# und so weiter\n",
]


def has_definition(pieces: list[str]) -> bool:
    return any(piece.startswith(("def ", "class ")) for piece in pieces)


@composite
def mixtures(draw: Any) -> tuple[list[str], list[str]]:
    """Draw a file of pieces, and an answer of some of them in any order, some changed, some new.

    A file without a function or class is none of these: its answer is the whole file.
    """
    chosen = st.lists(st.sampled_from(PIECES), unique=True, min_size=1).filter(has_definition)
    changed = st.sampled_from(PIECES).map(lambda piece: piece.replace("return ", "return 1 + "))
    answer = st.lists(st.one_of(st.sampled_from(PIECES), changed, st.sampled_from(FRESH)), min_size=1, max_size=6)
    return draw(chosen), draw(answer)


@examples(400, mixtures())
def test_no_line_is_lost_that_was_not_sent_or_replaced(given: tuple[list[str], list[str]]) -> None:
    pieces, answer = given
    files = Memory({"a.py": "\n\n".join(pieces)}, ("a.py",))
    sent = {piece.split("(")[0].split(" =")[0].split(":")[0] for piece in answer}
    with contextlib.suppress(answers.Refusal):
        after = applied("a.py\n```python\n" + "\n\n".join(answer) + "```", files).get("a.py") or files.texts["a.py"]
        for piece in pieces:
            if piece.split("(")[0].split(" =")[0].split(":")[0] not in sent:
                assert piece.strip() in after, (piece, after)


SLOW = {
    "one long line": "a " * 500_000,
    "a long word": "a" * 1_000_000,
    "many fences": "```\n" * 30_000,
    "many heads": "<<<<<<< SEARCH\n" * 30_000,
    "brackets": "(" * 300_000,
    "many paths": "a.py\n" * 100_000,
    "dots": "a." * 300_000,
    "headers": "def f(x):\n" * 30_000,
    "ellipses": "# ... code ...\n" * 20_000,
    "thoughts": "<think>" * 100_000,
    "stars": "*" * 500_000,
    "minified": "function f(){" * 50_000,
    "tags": '<file path="a.py">\n' * 30_000,
    "tags and fences": '```\n```x\n<file path="a.py">\n' * 10_000,
    "growing fences": "\n".join("`" * (3 + n) + "\n" + "`" * (3 + n) + "x" for n in range(900)),
}


@pytest.mark.parametrize("name", few_of(SLOW))
def test_bounded_time(name: str) -> None:
    files = Memory({"a.py": "x = 1\n" * 2000}, ("a.py",))
    begun = time.process_time()  # others may use the machine as well
    for answer in (
        SLOW[name],
        f"a.py\n```\n{SLOW[name]}\n```",
        f"a.py\n<<<<<<< SEARCH\n{SLOW[name]}\n=======\nx\n>>>>>>> REPLACE",
    ):
        with contextlib.suppress(answers.Refusal):
            applied(answer, files)
    assert time.process_time() - begun < 10
