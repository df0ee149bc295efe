"""One call from beginning to end: repair, reading, modes, and what is left in the project."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import leanloop
from support import PROGRAM, call, direct, holds, lay, serve, tree

pytestmark = pytest.mark.usefixtures("sealed")

FARES = {path: text.encode() for path, text in tree("fares").items()}
FIXED = {path: text.encode() for path, text in tree("fares-fixed").items()}
LONG = "".join(f"def step_{n}(x):\n    y = x + {n}\n    return y * 2\n\n\n" for n in range(300))
WRONG = (
    "fares.py\n```python\n<<<<<<< SEARCH\n    if years < 15:\n        return CHILD\n"
    "=======\n    if years <= 15:\n        return CHILD\n>>>>>>> REPLACE\n```"
)
RIGHT = WRONG.replace("years", "age")


class Model:
    """Answer from a list, one answer a request; the last one again when they are used up."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def __call__(self, body: dict[str, Any]) -> str:
        self.asked.append(body["messages"][-1]["content"])
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project with fares.py."""
    lay(tmp_path / "project", FARES)
    return tmp_path / "project"


@pytest.fixture
def server() -> Iterator[Any]:
    with serve.ChatServer(lambda body: "") as chat:
        yield chat


def show(root: Path, *paths: str) -> str:
    """Write a prompt that shows files whole."""
    return "# Task: fix it\nFix it.\n\n# Files\n" + "\n".join(
        f"{path}\n```\n{(root / path).read_text()}\n```" for path in paths
    )


def test_repair_asks_for_the_failing_edit_only(root: Path, server: Any) -> None:
    model = server.answer = Model(WRONG, RIGHT)
    done = call(root, show(root, "fares.py") + "\nA long story. " * 200, base_url=server.base_url, files="fares.py")
    assert (done.code, holds(root)) == (0, FIXED), done.err
    assert done.usage["requests"] == 2
    assert "    if years < 15:" in model.asked[1]
    assert "    if age < 15:" in model.asked[1], "the nearest lines are not shown"
    assert "does not stand in the file" in model.asked[1]
    assert "A long story" not in model.asked[1]
    assert len(model.asked[1]) < 1500


def test_repair_keeps_the_edits_that_fitted(root: Path, server: Any) -> None:
    other = "fares.py\n```\n<<<<<<< SEARCH\nCHILD = 320\n=======\nCHILD = 300\n>>>>>>> REPLACE\n```\n"
    server.answer = Model(other + WRONG, RIGHT)
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py")
    assert done.code == 0, done.err
    assert holds(root)["fares.py"] == FIXED["fares.py"].replace(b"320", b"300")


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_repair_ends_after_its_tries(root: Path, server: Any, retries: int) -> None:
    model = server.answer = Model(WRONG)
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py", edit_retries=retries)
    assert (done.code, holds(root), len(model.asked)) == (1, FARES, 1 + retries)
    assert done.reason == "direct: No edit was applied (fares.py): its SEARCH part does not stand in the file."


def test_each_answer_of_a_call_is_kept_as_it_came(root: Path, server: Any, tmp_path: Path) -> None:
    server.answer, kept = Model("<think>Hm.</think>\n" + WRONG, "No."), tmp_path / "answers.txt"
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py", answer_file=str(kept))
    assert done.code == 1
    assert kept.read_text() == f"<think>Hm.</think>\n{WRONG}\n--- the next answer ---\nNo."


def test_repair_shows_all_places(tmp_path: Path, server: Any) -> None:
    root = tmp_path / "clock"
    lay(root, {path: text.encode() for path, text in tree("twice").items()})
    first = "clock.py\n```\n<<<<<<< SEARCH\n    clock.ticks = 0\n=======\n    clock.ticks = 1\n>>>>>>> REPLACE\n```"
    second = first.replace("    clock.ticks", "def reset(clock):\n    clock.ticks")
    model = server.answer = Model(first, second)
    done = call(root, show(root, "clock.py"), base_url=server.base_url, files="clock.py")
    assert (done.code, (root / "clock.py").read_text()) == (0, tree("twice-reset")["clock.py"]), done.err
    assert "def start(clock):" in model.asked[1] and "def reset(clock):" in model.asked[1]


def test_no_repair_of_what_is_forbidden(root: Path, server: Any) -> None:
    model = server.answer = Model("test_fares.py\n```python\ndef test_nothing():\n    pass\n```")
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py", protect="test_*.py")
    assert (done.code, holds(root), len(model.asked)) == (1, FARES, 1)
    assert done.reason == "direct: test_fares.py is protected: it may be read, not changed."


STEPS = "".join(LONG.splitlines(keepends=True)[:15])


@pytest.mark.parametrize(
    ("words", "files", "form", "closing"),
    [
        (
            "Mend step_1.",
            "steps.py",
            "auto",
            "write the function step_1 of steps.py, complete, in one ```python block.",
        ),
        (
            "Mend step_1, step_2.",
            "steps.py",
            "auto",
            "those of the function step_1, the function step_2 in steps.py that",
        ),
        ("Mend it.", "steps.py", "auto", "write each function of steps.py that must change, complete"),
        ("Mend it.", "steps.py", "whole", "write the file steps.py, complete, in one ```python block."),
        ("Write it.", "new.js", "auto", "write the file new.js, complete, in one ```javascript block."),
        (
            "Mend step_1.",
            "steps.py\nnew.js",
            "auto",
            "its path alone on a line, then one fenced block with the function",
        ),
        ("Mend it.", "", "auto", "Now give the corrected function, complete, in one fenced block."),
        ("Mend it.", "steps.py", "search", ">>>>>>> REPLACE"),
    ],
)
def test_form_that_is_asked_for(tmp_path: Path, server: Any, words: str, files: str, form: str, closing: str) -> None:
    root = tmp_path / "steps"
    lay(root, {"steps.py": STEPS.encode()})
    prompt = f"# Task: t\n{words}\n\n# Files\nsteps.py\n```\n{STEPS}\n```"
    model = server.answer = Model("steps.py\n```python\ndef step_1(x):\n    return 0\n```")
    done = call(root, prompt, base_url=server.base_url, files=files, edit_format=form)
    assert done.code == 0, done.err
    said = model.asked[0].removeprefix(prompt).strip()
    assert said.startswith("Now ") and closing in said


NEW = "Mend step_1. And add step_9(x), which gives 9.\n\n# The test\n```\nassert step_9(4) == 9\nprint(4)\n```\n"


def test_what_is_new_is_asked_for_and_waited_for(tmp_path: Path, server: Any) -> None:
    lay(tmp_path, {"steps.py": STEPS.encode()})
    pieces = [
        "```python\ndef step_1(x):\n    return 0\n```\n",
        "\n```python\ndef step_9(x):\n    return 9\n```\n",
        "Done.",
    ]
    model = server.answer = Model("".join(pieces))
    done = call(tmp_path, NEW, base_url=server.base_url, files="steps.py")
    assert done.code == 0, done.err
    assert "write the new step_9, and what must change of the function step_1, in steps.py, complete" in model.asked[0]
    assert "def step_9" in (tmp_path / "steps.py").read_text()


FIX = f"# Code\nsteps.py\n```\n{STEPS}```\n\n# Task: t\nMend step_1.\n\n# Failing tests\n```\nassert 1 == 0\n```\n"


def test_a_fix_is_asked_for_with_a_sentence_before_it(tmp_path: Path, server: Any) -> None:
    lay(tmp_path, {"steps.py": STEPS.encode()})
    code = "```python\ndef step_1(x):\n    return 0\n```\n"
    model = server.answer = Model(f"It adds instead.\n\n{code}")
    assert call(tmp_path, FIX, base_url=server.base_url, files="steps.py").code == 0
    assert model.asked[0].endswith(
        "The code above fails this test. First say in one sentence what the code does wrong. "
        "Then write the function step_1 of steps.py, corrected and complete, in one ```python block. No tests."
    )


def test_a_sentence_without_code_is_a_diagnosis_for_the_second_try(tmp_path: Path, server: Any) -> None:
    lay(tmp_path, {"steps.py": STEPS.encode()})
    code = "```python\ndef step_1(x):\n    return 0\n```\n"
    model = server.answer = Model("It adds instead of\ngiving nothing.", code)
    assert call(tmp_path, FIX, base_url=server.base_url, files="steps.py").code == 0
    assert "# Diagnosis\nIt adds instead of" in model.asked[1]
    assert model.asked[1].endswith(
        "Now write the function step_1 of steps.py, complete, in one ```python block. No tests, no explanation."
    )


def test_tests_and_explanations_behind_the_code_are_not_waited_for(tmp_path: Path, server: Any) -> None:
    lay(tmp_path, {"steps.py": STEPS.encode()})
    code = "```python\ndef step_1(x):\n    return 0\n```\n"
    server.answer = Model(f"Here it is:\n{code}" + "\n\nThis function returns nothing at all." * 400)
    done = call(tmp_path, "# Task: t\nMend step_1.", base_url=server.base_url, files="steps.py")
    assert (done.code, "return 0" in holds(tmp_path)["steps.py"].decode()) == (0, True), done.err
    assert done.usage["output_tokens"] < 200


def test_ask_mode_prints_and_writes_nothing(root: Path, server: Any) -> None:
    model = server.answer = Model(f"<think>hm</think>\nIt is the comparison.\n{RIGHT}")
    done = call(root, "In one sentence, what is wrong?", base_url=server.base_url, files="fares.py", mode="ask")
    assert (done.code, holds(root)) == (0, FARES)
    assert done.out.startswith("It is the comparison.\n")
    assert model.asked == ["In one sentence, what is wrong?"]
    assert len(server.requests[0]["messages"]) == 1


def test_prompt_comes_from_the_file(root: Path, tmp_path: Path, server: Any) -> None:
    (tmp_path / "prompt.md").write_text(show(root, "fares.py") + "x" * 300_000)
    model = server.answer = Model(RIGHT)
    done = call(root, "Read the file.", base_url=server.base_url, files="fares.py", prompt_file=tmp_path / "prompt.md")
    assert (done.code, holds(root)) == (0, FIXED), done.err
    assert len(model.asked[0]) > 300_000


def test_by_hand(root: Path, server: Any) -> None:
    model = server.answer = Model(RIGHT)
    done = call(root, "A child of 15 pays less.", "--files", "fares.py", "new.py", base_url=server.base_url)
    assert (done.code, done.out, holds(root)) == (0, "wrote fares.py (+1 -1)\n", FIXED)
    assert FARES["fares.py"].decode().strip() in model.asked[0]
    assert "new.py (does not exist yet)" in model.asked[0]
    outside = call(root, "x", "--files", "../x.py", base_url=server.base_url)
    assert (outside.code, "'../x.py' lies outside" in outside.reason, len(model.asked)) == (1, True, 1)


def test_help_and_no_prompt(root: Path) -> None:
    done = call(root, "x", "--help")
    assert (done.code, "LEAN_BASE_URL" in done.out) == (0, True)
    assert call(root, "").code == 2
    assert call(root, "x", prompt_file=root / "missing").code == 2


def test_runs_as_a_program_of_its_own() -> None:
    assert PROGRAM.stat().st_mode & 0o111
    assert PROGRAM.read_text().startswith("#!/usr/bin/env python3\n")


def test_record_can_be_played_again(root: Path, tmp_path: Path, server: Any) -> None:
    options = json.dumps({"record": str(tmp_path / "answers")})
    server.answer = Model(WRONG, RIGHT, "The comparison.")
    prompt = show(root, "fares.py")
    assert call(root, prompt, base_url=server.base_url, files="fares.py", options=options).code == 0
    asked = call(
        root, "In one sentence, say\nwhy.", "--record", str(tmp_path / "answers"), base_url=server.base_url, mode="ask"
    )
    assert asked.out == "The comparison.\n"
    assert [path.name for path in sorted((tmp_path / "answers").iterdir())] == ["01.md", "02.md", "03.md"]
    lay(root, FARES)
    with serve.ChatServer(serve.Recording.read(tmp_path / "answers")) as again:
        assert call(root, "In one sentence, say\nwhy.", base_url=again.base_url, mode="ask").out == "The comparison.\n"
        played = call(root, prompt, base_url=again.base_url, files="fares.py")
    assert (played.code, len(again.requests), holds(root)) == (0, 3, FIXED), played.err


def test_a_folder_that_cannot_be_recorded_into_is_named(root: Path, server: Any) -> None:
    server.answer = Model(RIGHT)
    options = json.dumps({"record": str(root / "fares.py" / "answers")})
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py", options=options)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert "options.record: " in done.reason and "Not a directory" in done.reason


def test_mode_and_link_are_kept(root: Path, server: Any) -> None:
    (root / "src").mkdir()
    (root / "fares.py").rename(root / "src" / "real.py")
    (root / "src" / "real.py").chmod(0o754)
    (root / "fares.py").symlink_to("src/real.py")
    server.answer = Model(RIGHT)
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py")
    assert (done.code, (root / "fares.py").is_symlink()) == (0, True), done.err
    assert stat.S_IMODE((root / "src" / "real.py").stat().st_mode) == 0o754
    assert holds(root) == {"src/real.py": FIXED["fares.py"], "fares.py": FIXED["fares.py"]}


def test_mixed_line_endings_are_kept(root: Path, server: Any) -> None:
    lines = FARES["fares.py"].splitlines(keepends=True)
    mixed = [line.replace(b"\n", b"\r\n") if at % 3 else line for at, line in enumerate(lines)]
    (root / "fares.py").write_bytes(b"".join(mixed))
    server.answer = Model(RIGHT)
    done = call(root, "x", base_url=server.base_url, files="fares.py")
    assert done.code == 0, done.err
    after = (root / "fares.py").read_bytes().splitlines(keepends=True)
    assert [a for a, b in zip(after, mixed, strict=True) if a != b] == [b"    if age <= 15:\r\n"]


def test_character_that_the_encoding_lacks(root: Path, server: Any) -> None:
    (root / "fares.py").write_bytes(FARES["fares.py"] + b"# \xe4\n")
    server.answer = Model(RIGHT.replace("CHILD\n>", "CHILD  # \u4e2d\n>"))
    done = call(root, "x", base_url=server.base_url, files="fares.py")
    assert (done.code, "in its encoding" in done.reason) == (1, True)
    assert holds(root) == {"fares.py": FARES["fares.py"] + b"# \xe4\n"}


@pytest.mark.parametrize("bad", ["fares.py/inner.py", "a" * 300 + ".py", "deep/" * 2000 + "x.py"])
def test_path_that_cannot_be_written(root: Path, server: Any, bad: str) -> None:
    server.answer = Model(f"{RIGHT}\n\nnew/other.py\n```\nx = 1\n```\n\n```python title={bad}\ny = 1\n```\n")
    done = call(root, show(root, "fares.py"), base_url=server.base_url, files="fares.py")
    assert (done.code, holds(root)) == (1, FARES), done.err
    assert not (root / "new").exists()


def test_error_in_the_middle_of_writing_takes_all_back(
    root: Path, server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(root, {"b.py": b"b = 1\r\n", "c.py": b"c = 1\n"})
    before, replace, turns = holds(root), Path.replace, []

    def failing(self: Path, target: Path) -> Path:
        turns.append(target.name)
        if len(turns) == 3:
            raise OSError(28, "No space left on device", str(target))
        return replace(self, target)

    server.answer = Model("b.py\n```\nb = 2\n```\nnew/d.py\n```\nd = 1\n```\n" + RIGHT + "\n\nDELETE c.py")
    monkeypatch.setattr(Path, "replace", failing)
    monkeypatch.setenv("LEAN_BASE_URL", server.base_url)
    monkeypatch.chdir(root)
    assert direct.main(["-p", show(root, "fares.py", "b.py")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (holds(root), (root / "new").exists(), len(turns)) == (before, False, 3)


def test_sigterm_leaves_nothing_half_done(root: Path, server: Any) -> None:
    server.pause, server.answer = 0.2, Model(RIGHT * 20)
    env = {**os.environ, "LEAN_BASE_URL": server.base_url, "LEAN_FILES": "fares.py", "LEAN_PROGRESS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "-p", "x"],
        cwd=root,
        env=env,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr and process.stderr.readline().startswith("progress: ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert "Traceback" not in process.stderr.read()
    assert holds(root) == FARES


ENCODED = {
    "gbk": ("gbk", "# 计算两个数的和，返回结果。\n"),
    "shift-jis": ("cp932", "# ふたつの かずを たす\n"),
    "cp1252": ("cp1252", "# Größe für Straße\n"),
}


@pytest.mark.parametrize(("encoding", "note"), ENCODED.values(), ids=ENCODED)
def test_other_encodings_are_shown_edited_and_kept(tmp_path: Path, server: Any, encoding: str, note: str) -> None:
    root, old = tmp_path / "project", f"{note}\n\ndef add(a, b):\n    return a - b\n"
    lay(root, {"a.py": old.encode(encoding)})
    model = server.answer = Model("a.py\n```python\ndef add(a, b):\n    return a + b\n```")
    done = call(root, "Mend add.", "--files", "a.py", base_url=server.base_url)
    assert done.code == 0, done.err
    assert note.strip() in model.asked[0]
    assert holds(root)["a.py"] == old.replace("a - b", "a + b").encode(encoding)


PROTECTED = [
    ("tests/", "tests/a.py", True),
    ("tests/", "src/tests/deep/a.py", True),
    ("/tests/", "src/tests/a.py", False),
    ("/tests/", "tests/deep/a.py", True),
    ("test_*.py", "src/test_a.py", True),
    ("test_*.py", "src/a_test.py", False),
    ("test_*", "test_data/a.py", False),
    ("/test_*", "test_data/a.py", True),
    ("src/*.py", "src/a.py", True),
    ("src/*.py", "src/deep/er/a.py", False),
    ("src/**/*.py", "src/deep/er/a.py", True),
    ("src/**/*.py", "src/a.py", True),
    ("**/gen/*", "gen/deep/er/a.py", True),
    ("./src/gen", "src/gen/a.py", True),
    ("src/gen", "src/gen.py", False),
    (r"x\[1\].py", "x[1].py", True),
    ("[]a].py", "].py", True),
    ("src/*.py", "lib/src/a.py", False),
    ("conftest.py", "conftest.py", True),
    ("conftest.py", "a/conftest.py", True),
    ("a?.[ch]", "x/ab.c", True),
    ("a.[!c]", "a.c", False),
    ("a+b.py", "a+b.py", True),
]
ODD = ["setup.cfg", "[id].py", "a/[id].py", "a/id.py", "docs/secrets/key", "secrets/key", "secrets.py", "x/secrets.py"]
GUARDS = {
    "the usual tests": "",
    "patterns of one's own": "[guard]\nprotect = ['secret*', 'docs/', 'a/*.py']\nallow = ['test_a.py', 'tests/b*']",
    "prefixes": "[defaults]\ntest_prefix = ['tests/', 'test_']",
    "tests that are free": "[guard]\nprotect_tests = false\nprotect = ['conftest.py']",
}


@pytest.mark.parametrize(("pattern", "path", "verdict"), PROTECTED)
def test_protected_patterns(pattern: str, path: str, verdict: bool) -> None:
    assert direct.path_matcher([pattern])(path) is verdict
    assert direct.path_matcher([pattern, f"!{pattern}"])(path) is False


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_the_loop_and_direct_protect_the_same(tmp_path: Path, guard: str) -> None:
    (tmp_path / "leanfile.toml").write_text(
        f"{guard}\n[runner]\ncommand = 'pytest'\n[[tasks]]\nname = 't'\nprompt = 'p'\n"
        "files = ['a/[id].py', 'test_c.py']\n"
    )
    config = leanloop.load(tmp_path / "leanfile.toml")
    rules = leanloop.ChangeRules(config, config.tasks[0])
    asked = direct.path_matcher(leanloop.protected_patterns(config, config.tasks[0]))
    paths = [*ODD, *(path for _, path, _ in PROTECTED), "test_a.py", "test_c.py", "b/test_c.py", "tests/b1.py"]
    assert [path for path in paths if asked(path)] == [path for path in paths if rules.protects(path)]
    assert any(map(asked, paths))


def test_mask_of_a_secret_is_never_written(root: Path, server: Any) -> None:
    (root / "fares.py").write_text('TOKEN = "hush-hush-hush"\nCHILD = 320\n')
    masked = 'fares.py\n```python\nTOKEN = "[masked by lean-loop]"\nCHILD = 300\n```'
    server.answer = Model(masked, "fares.py\n```python\nCHILD = 310\n```")
    done = call(root, "Children pay less.", base_url=server.base_url, files="fares.py")
    assert (done.code, "in the place of a secret" in done.reason) == (1, True)
    assert "hush-hush-hush" in (root / "fares.py").read_text()
    assert call(root, "Children pay less.", base_url=server.base_url, files="fares.py").code == 0
    assert (root / "fares.py").read_text() == 'TOKEN = "hush-hush-hush"\nCHILD = 310\n'
