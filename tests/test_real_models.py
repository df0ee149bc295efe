"""A smoke test with a real small model: six easy tasks by Qwen2.5-Coder-0.5B behind a real llama-server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent / "bench" / "real_models.py"
USABLE = {"green", "red", "worse"}


@pytest.mark.heavy
def test_six_easy_tasks(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    options = ("--weights", "0.5B", "--set", "functions", "--first", "6", "--calls", "2", "--json", str(rows))
    done = subprocess.run([sys.executable, str(BENCH), *options], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [answer for row in json.loads(rows.read_text()) for answer in row["answers"]]
    assert sum(answer["kind"] in USABLE for answer in answers) >= 4, done.stdout
    assert all(answer["kind"] != "deletes" for answer in answers), done.stdout
