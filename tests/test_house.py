"""The module stays one that a stranger reads in an hour: its size, its density and its functions have budgets."""

from __future__ import annotations

from statistics import median

import pytest

from bench.house import ROOT, lines_with_callees, measure

# Where a budget is not reached yet, the limit is what was reached: it may only fall. (goal in the comment)
BYTES = {
    ("leanloop.py",): 171_400,
    ("leaners/direct.py", "leaners/_edits.py", "leaners/_definitions.py"): 80_000,
    ("leaners/_answers.py", "leaners/direct.py", "leaners/_edits.py", "leaners/_definitions.py"): 109_700,  # 100,000
    ("leaners/_asking.py", "leaners/_encoding.py"): 8_900,
    ("leaners/_server.py",): 36_800,
    ("leaners/_locate.py",): 45_000,
}
LINES, DENSITY = 3_900, 10.7
LOOP = 120  # two screens
LONGEST, MEDIAN, MANY = 40, 10, 25  # of few functions a median says little


@pytest.mark.parametrize("names", BYTES, ids=lambda names: names[0])
def test_files_stay_within_their_bytes(names: tuple[str, ...]) -> None:
    sizes = [measure(ROOT / name).bytes for name in names if (ROOT / name).exists()]
    assert sum(sizes) <= BYTES[names]


def test_the_module_stays_short_and_airy() -> None:
    found = measure(ROOT / "leanloop.py")
    assert found.lines <= LINES
    assert round(found.density, 1) <= DENSITY


def test_the_loop_and_what_it_calls_fit_on_two_screens() -> None:
    assert lines_with_callees(ROOT / "leanloop.py", "run_task") <= LOOP


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("leaners/*.py")), ROOT / "leanloop.py"], ids=lambda path: path.name)
def test_functions_are_short(path: object) -> None:
    functions = measure(ROOT / str(path)).functions
    assert [name for name, length in functions.items() if length > LONGEST] == []
    assert len(functions) < MANY or median(functions.values()) <= MEDIAN
