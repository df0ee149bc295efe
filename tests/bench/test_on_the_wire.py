"""lean-loop with `direct` beside agents alone: the same edits by the same scripted model, counted on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.on_the_wire import AGENTS, HEAD, Row, Work, demo, large, rows
from bench.wrappers import DIAGNOSIS, tokenizer

pytestmark = [pytest.mark.heavy]


def measured(work: Work) -> tuple[Row, Row, list[Row]]:
    """Measure all; give direct's row, that with SEARCH/REPLACE alone, and the others'."""
    direct, search, *others = rows(work, list(AGENTS), tokenizer())
    print("\n".join([HEAD, *map(str, (direct, search, *others))]))
    assert {row.who.split()[0] for row in others} == set(AGENTS)
    assert all(row.green for row in (direct, search, *others))
    return direct, search, others


@pytest.fixture(scope="module")
def small() -> tuple[Row, Row, list[Row]]:
    return measured(demo())


Rows = tuple[Row, Row, list[Row]]


def test_three_tasks_take_five_requests_and_few_tokens(small: Rows) -> None:
    for row in small[:2]:
        assert row.requests == 5
        assert row.text <= 4500
        assert row.whole <= 5200


def test_agents_that_edit_with_tools_or_blocks_take_three_times_as_much(small: Rows) -> None:
    direct, _, others = small
    assert 3 * direct.whole <= min(row.whole for row in others if row.who != "aider")


def test_aider_with_whole_files_and_a_fresh_chat_for_each_task_takes_nearly_twice_as_much(small: Rows) -> None:
    direct, _, others = small
    assert direct.whole <= 0.55 * min(row.whole for row in others)


def test_edits_take_no_more_output_than_aiders_in_the_same_format(small: Rows) -> None:
    direct, search, others = small
    said = tokenizer()(DIAGNOSIS)
    whole, diff = (next(row for row in others if row.who == who) for who in ("aider", "aider diff"))
    assert direct.output <= whole.output
    assert search.output - said <= diff.output


def test_agents_with_tools_write_more_than_edits_in_text(small: Rows) -> None:
    _, search, others = small
    assert search.output <= min(row.output for row in others if not row.who.startswith("aider"))


def test_a_fix_repeats_the_beginning_of_the_tasks_first_request(small: Rows) -> None:
    assert all(row.shares and min(row.shares) >= 0.25 for row in small[:2])


def test_one_task_in_a_file_of_1500_lines_takes_less_than_half_of_the_best_of_the_others(tmp_path: Path) -> None:
    work = large(tmp_path)
    assert (work.source / "harbour.py").read_text().count("\n") >= 1500
    direct, _, others = measured(work)
    assert direct.requests == 3
    assert 2 * direct.whole <= min(row.whole for row in others)
