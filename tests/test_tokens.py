"""What goes over the wire, counted where it arrives: tokens of the messages' text as cl100k counts them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import leanloop
from conftest import CALC, ROOT, Bench, Leaner
from playground.serve import ChatServer, Recording, said
from tokens import counter

Count = Callable[[str], int]
BENCH = ROOT / "tests" / "bench"
DEMO = ROOT / "playground" / "demo"
# A project, the most tokens that its three tasks may take in five requests, and the most of the requests' JSON.
PROJECTS = {"small files": (DEMO, 3000, 3500), "files of a hundred lines": (BENCH / "parcels", 6000, 6800)}
MOST_FILES = 80


def asked(*argv: str) -> Path:
    """Ask a tool for the folder of its own sources; an empty one where the tool is missing."""
    if not shutil.which(argv[0]):
        return Path(os.devnull)
    return Path(subprocess.run(argv, capture_output=True, text=True).stdout.strip() or os.devnull)


# Real code and prose: what lies on this machine, and what the benchmarks hold, as folders and patterns.
SAMPLES: dict[str, list[tuple[Path, str]]] = {
    "python": [(Path(sysconfig.get_path("stdlib")), "*.py")],
    "javascript": [(asked("npm", "root", "-g"), "npm/lib/**/*.js"), (ROOT / "examples", "**/*.js")],
    "go": [(asked("go", "env", "GOROOT"), "src/net/**/*.go"), (ROOT / "examples", "**/*.go")],
    "rust": [(Path.home() / ".cargo/registry/src", "*/*/src/*.rs"), (BENCH / "faults/rust", "**/*.rs")],
    "c": [(Path("/usr/include"), "*.h"), (BENCH / "faults/c", "**/*.c")],
    "typescript": [(BENCH / "faults/typescript", "**/*.ts")],
    "java": [(BENCH / "faults/java", "**/*.java")],
    "prose": [(asked("npm", "root", "-g"), "npm/docs/content/**/*.md"), (ROOT, "*.md"), (ROOT, "playground/*.md")],
}


def sample(kind: str) -> list[str]:
    """Read the first files of a kind; skip where this machine has none."""
    paths = [path for folder, pattern in SAMPLES[kind] for path in sorted(folder.glob(pattern))[:MOST_FILES]]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    return texts or pytest.skip(f"no {kind} lies on this machine")


@pytest.fixture
def count(cache: Path, request: pytest.FixtureRequest) -> Count:
    return counter(cache, fetch=bool(request.config.getoption("--heavy")))


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_estimate_is_within_15_percent(count: Count, kind: str) -> None:
    texts = sample(kind)
    guessed, counted = sum(map(leanloop.tokens, texts)), sum(map(count, texts))
    print(f"{kind}: {len(texts)} files, {counted:,} tokens, the estimate is {guessed / counted:.3f} of it")
    assert guessed == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_estimate_of_a_usual_file_is_within_15_percent(count: Count, kind: str) -> None:
    ratios = sorted(leanloop.tokens(text) / count(text) for text in sample(kind) if len(text) > 1000)
    if not ratios:
        pytest.skip(f"no {kind} file of some size lies on this machine")
    assert statistics.median(ratios) == pytest.approx(1, rel=0.15)


def test_a_text_of_nothing_is_no_token() -> None:
    assert leanloop.tokens("") == 0


def play(bench: Bench, source: Path) -> ChatServer:
    """Run a project on its recorded answers through the real command; give the server with what it was sent."""
    shutil.copytree(source, bench.project, dirs_exist_ok=True, ignore=shutil.ignore_patterns("answers"))
    bench.commit()
    with ChatServer(Recording.read(source / "answers")) as server:
        config = bench.home / "config.toml"
        config.write_text(f'[lean]\nbase_url = "{server.base_url}"\n')
        ran = bench.lean_loop("-g", str(config), timeout=120)
        assert ran.code == 0, ran.text
    return server


@pytest.mark.parametrize("name", PROJECTS)
def test_three_small_tasks_with_a_wrong_answer_are_green_in_five_requests(
    bench: Bench, count: Count, name: str
) -> None:
    source, most, most_json = PROJECTS[name]
    server = play(bench, source)
    texts = [count(said(body)) for body in server.requests]
    whole = sum(count(json.dumps(body)) for body in server.requests)
    print(f"{name}: {len(texts)} requests, {sum(texts):,} tokens of text ({texts}), {whole:,} of JSON")
    assert len(texts) == 5
    assert sum(texts) <= most
    assert whole <= most_json


def test_what_the_outcome_tells_is_what_the_server_counted(bench: Bench) -> None:
    server = play(bench, DEMO)
    (folder,) = bench.runs()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    answered = [event["usage"] for event in events if event["event"] == "answered"]
    sent = sum(max(1, len(said(body).encode()) // 4) for body in server.requests)
    assert sum(usage["input_tokens"] for usage in answered) == sent
    assert not any(usage["estimated"] for usage in answered)


def test_what_is_the_same_in_all_calls_stands_first_and_what_asks_last(bench: Bench) -> None:
    server = play(bench, DEMO)
    task = [said(body) for body in server.requests if "# Task: group fares" in said(body)]
    first, fix = task
    same = next(at for at, (one, other) in enumerate(zip(first, fix, strict=False)) if one != other)
    asked = ("Files", "Task: group fares"), ("Code", "Task: group fares", "Failing tests", "Diagnosis")
    for prompt, names in zip(task, asked, strict=True):
        places = [prompt.index(f"\n# {name}") for name in names]
        assert places == sorted(places)  # what a model shall go by stands last
    assert same > first.index("Do this task by editing files")


def test_a_prompt_leaves_room_in_the_context_that_the_server_tells(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", CALC + '\n\nTABLE = """\n' + "1 2 3 4 5 6 7 8 9\n" * 150 + '"""\n')
    leaner('cp "$LEAN_PROMPT_FILE" "$HOME/prompt.md"; exit 2')
    sizes = {}
    for context in (0, 1500):
        with ChatServer(lambda body: "", context=context) as server:
            static = calc.home / "config.toml"
            static.write_text(static.read_text().split("base_url")[0] + f'base_url = "{server.base_url}"\n')
            calc.lean_loop()
        sizes[context] = leanloop.tokens((calc.home / "prompt.md").read_text())
    assert sizes[1500] <= 900 < sizes[0]
