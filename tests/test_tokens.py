"""What goes over the wire, counted where it arrives: tokens of the messages' text as cl100k counts them."""

from __future__ import annotations

import json
import re
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import leanloop
from conftest import ROOT, Bench
from playground.serve import ChatServer, Recording, said
from tokens import counter

Count = Callable[[str], int]
PYTHON = Path(sysconfig.get_path("stdlib"))
SAMPLES = {
    "python": sorted(PYTHON.glob("*.py"))[:40],
    "javascript": sorted((ROOT / "examples").rglob("*.js")),
    "go": sorted((ROOT / "examples").rglob("*.go")),
    "rust": sorted((ROOT / "examples").rglob("*.rs")),
    "c": sorted(Path("/usr/include").glob("*.h"))[:40],
    "prose": sorted(ROOT.glob("*.md")) + sorted((ROOT / "playground").rglob("README.md")),
}


@pytest.fixture
def count(cache: Path, request: pytest.FixtureRequest) -> Count:
    return counter(cache, fetch=bool(request.config.getoption("--heavy")))


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_estimate_is_within_15_percent(count: Count, kind: str) -> None:
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in SAMPLES[kind]]
    if not texts:
        pytest.skip(f"no {kind} lies on this machine")
    assert sum(map(leanloop.tokens, texts)) == pytest.approx(sum(map(count, texts)), rel=0.15)


def play(bench: Bench, name: str) -> ChatServer:
    """Run a playground on its recorded answers through the real command; give the server with what it was sent."""
    source = ROOT / "playground" / name
    shutil.copytree(source, bench.project, dirs_exist_ok=True, ignore=shutil.ignore_patterns("answers"))
    bench.commit()
    with ChatServer(Recording.read(source / "answers")) as server:
        config = bench.home / "config.toml"
        config.write_text(f'[lean]\nbase_url = "{server.base_url}"\n')
        ran = bench.lean_loop("-g", str(config), timeout=120)
        assert ran.code == 0, ran.text
    return server


def test_three_small_tasks_with_a_wrong_answer_are_green_in_five_requests(bench: Bench, count: Count) -> None:
    server = play(bench, "demo")
    texts = [said(body) for body in server.requests]
    assert len(texts) == 5
    assert sum(map(count, texts)) <= 3000
    assert sum(count(json.dumps(body)) for body in server.requests) <= 3500


def test_what_the_outcome_tells_is_what_the_server_counted(bench: Bench) -> None:
    server = play(bench, "demo")
    (folder,) = bench.runs()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    answered = [event["usage"] for event in events if event["event"] == "answered"]
    sent = sum(max(1, len(said(body).encode()) // 4) for body in server.requests)
    assert sum(usage["input_tokens"] for usage in answered) == sent
    assert not any(usage["estimated"] for usage in answered)


def test_what_is_the_same_in_all_calls_of_a_task_stands_first(bench: Bench) -> None:
    server = play(bench, "demo")
    task = [said(body) for body in server.requests if "# Task: group fares" in said(body)]
    first, fix = task
    same = next(at for at, (one, other) in enumerate(zip(first, fix, strict=False)) if one != other)
    heading = re.search(r"# Task: group fares\n.*?\n\n", first, re.DOTALL)
    assert heading and same >= heading.end() - 1
