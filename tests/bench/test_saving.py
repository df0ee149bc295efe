"""What lean-loop saves a cloud model: the real Claude Code CLI in all ways, with the same answers."""

from __future__ import annotations

import pytest

from bench.saving import HEAD, Row, leanfile, measure, read_tasks
from bench.wrappers import tokenizer


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """The first task, the first four, and all twelve, in all ways."""
    made = [measure(number, tokenizer()) for number in (1, 4, 12)]
    print("\n".join([HEAD, *map(str, made)]))
    return made


@pytest.mark.heavy
def test_all_ways_end_green_and_two_take_few_requests_to_the_cloud(rows: list[Row]) -> None:
    assert all(row.green for row in rows)
    assert [row.lean.requests for row in rows] == [5, 5, 5]
    assert [row.at_once.requests for row in rows] == [4, 8, 8]


@pytest.mark.heavy
def test_alone_claude_sees_every_wrong_answer_fail_and_with_lean_loop_none(rows: list[Row]) -> None:
    assert [row.alone.reds for row in rows] == [0, 3, 7]
    assert [row.at_once.reds for row in rows] == [0, 2, 2]
    assert [row.lean.reds for row in rows] == [0, 0, 0]


@pytest.mark.heavy
def test_all_tasks_take_ten_times_fewer_cloud_tokens_and_the_saving_grows(rows: list[Row]) -> None:
    one, four, twelve = (row.fewer(row.alone)[0] for row in rows)
    assert one < four < twelve
    assert twelve >= 10


@pytest.mark.heavy
def test_even_beside_the_surest_session_and_with_a_prompt_cache_there_is_a_saving(rows: list[Row]) -> None:
    assert rows[-1].fewer(rows[-1].alone)[1] > 3
    assert min(rows[-1].fewer(rows[-1].at_once)) > 1.3


def test_the_leanfile_that_claude_writes_holds_the_first_tasks_and_no_comments() -> None:
    text = leanfile(4)
    assert [text.count(f'name = "{task.name}"') for task in read_tasks()] == [1] * 4 + [0] * 8
    assert "# " not in text
