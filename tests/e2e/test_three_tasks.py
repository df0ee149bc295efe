"""A whole leanfile of three tasks, with one wrong first answer, through the loop and every wrapper with its real CLI.

`tests/bench/wrappers.py` prints the same as a table.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from bench.wrappers import HEAD, Row, measure, tokenizer
from e2e.clis import CLIS, Cli, once

pytestmark = [pytest.mark.heavy]
wrapper = pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name) for cli in CLIS])
Measured = Callable[[Cli], Row]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Run the three tasks through a wrapper when it is first asked for."""
    base = tmp_path_factory.getbasetemp()
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def run(cli: Cli) -> Row:
        row = once(common, f"three-tasks-{cli.name}", lambda: measure(cli.name, cli, tokenizer()))
        print(f"{HEAD}\n{row}")
        return row

    return run


@wrapper
def test_three_tasks_and_a_fix_go_green(measured: Measured, cli: Cli) -> None:
    assert measured(cli).green


@wrapper
def test_the_loop_reports_the_tokens_that_reached_the_server(measured: Measured, cli: Cli) -> None:
    row = measured(cli)
    assert row.reported == pytest.approx(row.counted, rel=0.2 if row.estimated else 0.05)


@wrapper
def test_no_call_takes_more_requests_than_its_tool_calls_and_an_answer(measured: Measured, cli: Cli) -> None:
    edits, diagnoses = 4, 1
    assert measured(cli).requests <= edits * (len(cli.edit) + bool(cli.edit[0].tool)) + diagnoses
