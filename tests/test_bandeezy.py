"""Prove the large playground: the application, the feature's red tests, the recorded answers, the bell on a screen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playground.serve import ChatServer, Recording, parse  # noqa: E402

BANDEEZY = ROOT / "playground" / "BANDEEZY"
ANSWERS = sorted((BANDEEZY / "answers").glob("*.md"))
PASSWORD = "encore-encore"
BROWSER = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1100,800"
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's reference, set by the WebDriver standard
LABEL = "attribute/aria-label"
NEEDS_NODE = () if shutil.which("node") else ("edit-09-bell-script-1-wrong", "diagnosis-09-bell-script")
HAS_BROWSER = bool(shutil.which("chromium") and shutil.which("chromedriver"))
IN_CI = os.environ.get("CI") == "true"  # there a missing browser is a failure


@dataclass(frozen=True)
class Task:
    """One task of the leanfile."""

    name: str
    prompt: str
    files: tuple[str, ...]
    test_files: tuple[str, ...]
    runner: tuple[str, ...]

    @property
    def answers(self) -> list[str]:
        """Return the names of the recorded answers to its edit prompts, in their order."""
        pattern = re.compile(rf"edit-\d\d-{self.name}(-\d.*)?")
        return [path.stem for path in ANSWERS if pattern.fullmatch(path.stem)]


def read_tasks() -> list[Task]:
    """Read the tasks of the leanfile, each with the arguments of its own runner."""
    leanfile = tomllib.loads((BANDEEZY / "leanfile.toml").read_text(encoding="utf-8"))
    return [
        Task(
            name=table["name"],
            prompt=table["prompt"],
            files=tuple(table["files"]),
            test_files=tuple(table.get("test_files", ())),
            runner=tuple({**leanfile["runner"], **table.get("runner", {})}["args"]),
        )
        for table in leanfile["tasks"]
    ]


TASKS = read_tasks()


@dataclass(frozen=True)
class Attempt:
    """A wrong answer: how `direct` took it, what the task's tests said then, and the diagnosis that was asked for."""

    answer: str
    direct: subprocess.CompletedProcess[str]
    tests: subprocess.CompletedProcess[str]
    diagnosis: str


@dataclass(frozen=True)
class Feature:
    """The application after all answers, and what happened on the way."""

    root: Path
    wrong: list[Attempt]
    given: dict[str, int]


def copy(target: Path) -> Path:
    """Copy the playground to a folder of its own."""
    return Path(
        shutil.copytree(BANDEEZY, target, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.db"))
    )


def run_tests(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a test command in ROOT with this Python."""
    argv = [sys.executable, "-B", *arguments]
    env = {**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider", "HOME": str(root.parent)}
    return subprocess.run(argv, cwd=root, env=env, text=True, capture_output=True, timeout=120)


def outcomes(root: Path) -> dict[str, Counter[str]]:
    """Run the whole suite; return for each module of tests how many passed, failed or were skipped."""
    report = root.parent / "report.xml"
    run_tests(root, "-m", "pytest", "-q", f"--junitxml={report}")
    counts: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module = case.get("classname") or case.get("name") or ""
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        counts.setdefault(module, Counter())[kinds.pop() if kinds else "passed"] += 1
    return counts


def ask_direct(root: Path, server: ChatServer, task: Task, mode: str, prompt: str) -> subprocess.CompletedProcess[str]:
    """Hand PROMPT to the real `direct` leaner as the contract says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEAN_")}
    (root.parent / "prompt.md").write_text(prompt, encoding="utf-8")
    env = {
        **clean,
        "HOME": str(root.parent),
        "LEAN_BASE_URL": server.base_url,
        "LEAN_FILES": "\n".join(task.files),
        "LEAN_MODE": mode,
        "LEAN_PROMPT_FILE": str(root.parent / "prompt.md"),
        "LEAN_PROTECT": "tests/**",
    }
    argv = [sys.executable, str(ROOT / "leaners" / "direct.py"), "-p", prompt]
    return subprocess.run(argv, cwd=root, env=env, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def try_answer(root: Path, server: ChatServer, task: Task, name: str) -> Attempt | None:
    """Ask for the next answer to TASK; after one that is named wrong, run the task's tests and ask for a diagnosis."""
    done = ask_direct(root, server, task, "edit", f"# Task: {task.name}\n{task.prompt}")
    if not name.endswith("-wrong"):
        assert done.returncode == 0, f"{name}: {done.stderr}"
        return None
    tests = run_tests(root, *task.runner, *task.test_files)
    asked = ask_direct(root, server, task, "ask", f"In one sentence, say why this fails.\n\n{tests.stdout}")
    return Attempt(name, done, tests, asked.stdout.strip())


@pytest.fixture(scope="module")
def feature(tmp_path_factory: pytest.TempPathFactory) -> Feature:
    """Let `direct` apply every recorded answer in its order."""
    root = copy(tmp_path_factory.mktemp("feature") / "BANDEEZY")
    recording = Recording.read(root / "answers")
    with ChatServer(recording) as server:
        tried = [try_answer(root, server, task, name) for task in TASKS for name in task.answers]
    given = {path.stem: answer.given for path, answer in zip(ANSWERS, recording.answers, strict=True)}
    return Feature(root, [attempt for attempt in tried if attempt], given)


@pytest.mark.heavy
def test_before_the_feature_its_tests_are_red_and_the_applications_own_are_green(tmp_path: Path) -> None:
    before = outcomes(copy(tmp_path / "BANDEEZY"))
    feature = {module: counts for module, counts in before.items() if module.startswith("tests.notifications.")}
    own = sum((counts for module, counts in before.items() if module not in feature), Counter[str]())
    assert own["passed"] > 60
    assert own.keys() <= {"passed", "skipped"}
    files = {path.stem for path in (BANDEEZY / "tests" / "notifications").glob("test_*.py")}
    red = {module.split(".")[2] for module, counts in feature.items() if counts["failure"] + counts["error"]}
    assert red == files - ({"test_bell_script"} if NEEDS_NODE else set())


def test_every_task_has_tests_of_its_own_and_the_last_one_runs_everything() -> None:
    assert 8 <= len(TASKS) <= 12
    assert len({task.name for task in TASKS}) == len(TASKS)
    scoped = [path for task in TASKS for path in task.test_files if path.startswith("tests/notifications/")]
    assert len(scoped) == len(set(scoped)) == len(TASKS) - 1
    assert all((BANDEEZY / path).is_file() for task in TASKS for path in task.test_files)
    assert TASKS[-1].test_files == ()


def test_every_task_lists_files_that_are_there_by_then() -> None:
    there = {path.relative_to(BANDEEZY).as_posix() for path in BANDEEZY.rglob("*") if path.is_file()}
    for task in TASKS:
        new = [path for path in task.files if path not in there]
        assert all(path in task.prompt for path in new), task.name
        there |= set(new)


def test_no_answer_fits_the_task_of_another() -> None:
    heads = [f"# Task: {task.name}" for task in TASKS]
    for path in ANSWERS:
        when = parse(path.read_text(encoding="utf-8")).when
        fitting = [head for head in heads if all(text in head for text in when)]
        expected = re.fullmatch(r"edit-\d\d-([a-z-]+?)(-\d.*)?", path.stem)
        assert fitting == ([f"# Task: {expected[1]}"] if expected else []), path.name


@pytest.mark.heavy
def test_every_answer_is_given_once(feature: Feature) -> None:
    asked = {name for task in TASKS for name in task.answers}
    assert asked == {name for name in feature.given if name.startswith("edit-")}
    assert {name for name, times in feature.given.items() if times != 1} <= set(NEEDS_NODE)


@pytest.mark.heavy
def test_wrong_answers_leave_their_task_red_and_are_diagnosed(feature: Feature) -> None:
    wrong = [attempt for attempt in feature.wrong if attempt.answer not in NEEDS_NODE]
    assert len(wrong) >= 6
    for attempt in wrong:
        assert attempt.tests.returncode == 1, attempt.answer
        assert attempt.diagnosis.endswith("."), attempt.answer


@pytest.mark.heavy
def test_the_answer_that_edits_a_test_is_refused(feature: Feature) -> None:
    refused = [attempt for attempt in feature.wrong if attempt.direct.returncode]
    assert [attempt.answer for attempt in refused] == ["edit-08-settings-1-wrong"]
    assert "protected" in refused[0].direct.stderr
    for path in (BANDEEZY / "tests").rglob("*.py"):
        assert (feature.root / path.relative_to(BANDEEZY)).read_bytes() == path.read_bytes()


@pytest.mark.heavy
def test_after_the_feature_everything_is_green(feature: Feature) -> None:
    after = sum(outcomes(feature.root).values(), Counter[str]())
    assert after["passed"] > 120
    assert after.keys() <= {"passed", "skipped"}


@pytest.mark.heavy
def test_the_loop_brings_every_task_to_green(tmp_path: Path) -> None:
    root = copy(tmp_path / "BANDEEZY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEAN")}
    env = {**clean, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    with ChatServer(Recording.read(root / "answers")) as server:
        (tmp_path / "config.toml").write_text(f'[lean]\nbinary = "direct"\nbase_url = "{server.base_url}"\n')
        argv = [sys.executable, str(ROOT / "leanloop.py"), "-g", str(tmp_path / "config.toml")]
        done = subprocess.run(argv, cwd=root, env=env, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == len(ANSWERS)


@dataclass(frozen=True)
class Browser:
    """A browser's window, driven over plain WebDriver."""

    session: str

    def go(self, url: str) -> None:
        """Load a page."""
        call("POST", f"{self.session}/url", {"url": url})

    def find(self, css: str) -> str:
        """Find an element; return its address."""
        found = call("POST", f"{self.session}/element", {"using": "css selector", "value": css})
        return f"{self.session}/element/{found[ELEMENT]}"

    def wait(self, css: str, seconds: float = 10) -> str:
        """Wait until an element is there; return its address."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(urllib.error.HTTPError):
                return self.find(css)
            time.sleep(0.1)
        raise AssertionError(f"{css} is not there:\n{call('GET', f'{self.session}/source')}")

    def fill(self, css: str, text: str) -> None:
        """Type into a field."""
        call("POST", f"{self.wait(css)}/value", {"text": text})

    def click(self, css: str) -> None:
        """Click an element."""
        call("POST", f"{self.wait(css)}/click", {})

    def see(self, css: str, text: str, what: str = "text", seconds: float = 10) -> None:
        """Wait until an element shows TEXT; a page may change between finding the element and reading it."""
        deadline, shown = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            with suppress(urllib.error.HTTPError):
                shown = str(call("GET", f"{self.find(css)}/{what}"))
            if shown == text:
                return
            time.sleep(0.2)
        raise AssertionError(f"{css} shows {shown!r}, not {text!r}")


def call(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    """Send one WebDriver command and return its value."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]


@contextmanager
def started(argv: list[str], cwd: Path, ready: str) -> Iterator[str]:
    """Start a program, wait for the line that READY matches and yield its first group; end the program afterwards."""
    env = {**os.environ, "HOME": str(cwd), "PYTHONUNBUFFERED": "1"}
    program = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with program:
        assert program.stdout
        try:
            found = next((match for line in program.stdout if (match := re.search(ready, line))), None)
            assert found, f"{argv[0]} did not start"
            yield found[1]
        finally:
            program.terminate()


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Open a headless Chromium with an empty profile."""
    options = {"binary": shutil.which("chromium"), "args": [*BROWSER.split(), f"--user-data-dir={folder / 'profile'}"]}
    wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
    with started(["chromedriver", "--port=0"], folder, r"started successfully on port (\d+)") as port:
        driver = f"http://127.0.0.1:{port}/session"
        session = f"{driver}/{call('POST', driver, {'capabilities': wanted})['sessionId']}"
        try:
            yield Browser(session)
        finally:
            call("DELETE", session)


def sign_in(browser: Browser, site: str, handle: str) -> None:
    """Sign in as one of the sample accounts."""
    browser.go(f"{site}sign-in")
    browser.fill("[name=handle]", handle)
    browser.fill("[name=password]", PASSWORD)
    browser.click("main button")
    browser.wait(".account")


def sign_out(browser: Browser) -> None:
    """Sign out."""
    browser.click(".account form button")
    browser.wait("nav [href='/sign-in']")


def offer(browser: Browser, site: str, title: str) -> None:
    """Offer a folk evening, signed in as a band."""
    evening = date.today() + timedelta(10)
    browser.go(f"{site}offers/new")
    browser.fill("[name=title]", title)
    browser.click("option[value=folk]")
    browser.fill("[name=evening]", f"{evening:%m%d%Y}")
    browser.fill("[name=fee]", "300")
    browser.click("main button")
    browser.see("h1", title)


@pytest.mark.heavy
@pytest.mark.skipif(not (HAS_BROWSER or IN_CI), reason="chromium and chromium-driver are missing")
def test_the_bell_rings_in_a_browser(feature: Feature, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bandeezy", "--port", "0", "--db", str(tmp_path / "bell.db")]
    with started(argv, feature.root, r"(http://127\.0\.0\.1:\d+/)") as site, open_browser(tmp_path) as browser:
        sign_in(browser, site, "barn-four")
        browser.click(".bell")
        browser.click("form[action='/notifications/read-all'] button")
        browser.see(".bell", "Notifications", LABEL)
        sign_out(browser)
        sign_in(browser, site, "comet-marmalade")
        offer(browser, site, "Reels after rain")
        sign_out(browser)
        sign_in(browser, site, "barn-four")
        browser.see(".bell .count", "1")
        browser.see(".bell", "1 unread notification", LABEL)
        offer_from_elsewhere(tmp_path / "elsewhere", site, "Jigs before noon")
        browser.see(".bell .count", "2", seconds=30)
        browser.click(".bell")
        browser.click(".unread:first-child button")
        browser.see("h1", "Jigs before noon")
        browser.see(".bell .count", "1")


def offer_from_elsewhere(folder: Path, site: str, title: str) -> None:
    """Let a band in a browser of its own make an offer, while the first browser looks on."""
    folder.mkdir()
    with open_browser(folder) as band:
        sign_in(band, site, "teapot-sirens")
        offer(band, site, title)
