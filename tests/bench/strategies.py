#!/usr/bin/env python3
"""Compare strategies of trying again, at equal calls, with a simulated model: no model is asked.

The strategy is lean-loop's own (`next_base` and the choice of the leaner); only what comes of a call is drawn. A task's
chance of being solved by a fresh call is drawn around 20.4 %, that of the first repair is what lifts this to 45.8 %
(Qwen3-32B on aider's polyglot benchmark, without and with one round of test feedback); every further repair of the same
wreck has less of it, 30 % being left after two and a half (60 to 80 % of the debugging power is lost within two or
three attempts, arXiv 2506.18403). The larger model solves 60.5 % at once (Sonnet 3.5, the same benchmark), and the same
tasks are hard for it. How much chances differ between tasks (a Beta distribution, --spread) is our assumption.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import leanloop  # noqa: E402

FRESH, REPAIRED, LARGE = 0.204, 0.458, 0.605
FADES = 0.3 ** (1 / 2.5)
RED = leanloop.Verdict(False, leanloop.Failure(("test",), "", ""))
GREEN = leanloop.Verdict(True, leanloop.Failure((), "", ""))


@dataclass(frozen=True)
class Strategy:
    """What stands in the configuration: restart_after, and after how many judgements the larger model takes over."""

    name: str
    restart_after: int
    large_after: int = 0

    def session(self) -> Any:
        """Make the part of a session that the choice of the leaner looks at."""
        large = leanloop.Escalation(binary="large", after=self.large_after)
        config = SimpleNamespace(escalate=(large,) if self.large_after else (), lean=leanloop.Leaner(binary="small"))
        return SimpleNamespace(config=config)


STRATEGIES = (
    Strategy("one call after the other (restart_after = 0)", 0),
    Strategy("afresh after each (restart_after = 1)", 1),
    Strategy("afresh after two fixes (restart_after = 2, the default)", 2),
    Strategy("afresh after three (restart_after = 3)", 3),
    Strategy("the default, a larger model from the fifth call on", 2, 4),
)


@dataclass(frozen=True)
class Model:
    """What comes of calls: a chance of 1 - (1 - ease) ** power, the powers being such that the means above come out."""

    repair: float
    large: float

    @classmethod
    def fitted(cls, eases: Sequence[float]) -> Model:
        """Fit the powers to tasks of the EASES given, their chances of being solved by a fresh call."""
        after_one = power_for(lambda power: mean((1 - ease) * raised(ease, power) for ease in eases), REPAIRED - FRESH)
        return cls(after_one, power_for(lambda power: mean(raised(ease, power) for ease in eases), LARGE))

    def chance(self, ease: float, large: bool, repairs: int) -> float:
        """Give the chance of a call: a fresh one, or the n-th repair of the same wreck."""
        ease = raised(ease, self.large) if large else ease
        return raised(ease, self.repair) * FADES ** (repairs - 1) if repairs else ease


def raised(ease: float, power: float) -> float:
    return float(1 - (1 - ease) ** power)


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def power_for(value: Callable[[float], float], wanted: float) -> float:
    """Find the power, from 0 to 64, at which VALUE, which rises, is WANTED."""
    low, high = 0.0, 64.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < wanted else (low, middle)
    return low


def solves(strategy: Strategy, model: Model, ease: float, calls: int, draw: random.Random) -> bool:
    """Try one task with at most CALLS calls; tell whether it went green."""
    session, attempts = strategy.session(), list[leanloop.Attempt]()
    wreck = 0
    for number in range(calls):
        leaner = leanloop.Session.leaner(session, number)
        takeover = number > 0 and leaner != leanloop.Session.leaner(session, number - 1)
        base = leanloop.next_base("start", (0, 0, 1), attempts, strategy.restart_after, takeover)
        wreck = 0 if base else wreck + 1
        green = draw.random() < model.chance(ease, leaner.binary == "large", wreck)
        verdict = GREEN if green else RED
        what = (leaner.binary, f"tree {number}", ("file",), verdict, "", "", (0, 0, 1), bool(base))
        attempts.append(leanloop.Attempt(*what))
        if green:
            return True
    return False


def eases(tasks: int, spread: float, seed: int) -> list[float]:
    """Draw each task's chance of being solved by a fresh call of the small model."""
    draw = random.Random(seed)
    return [draw.betavariate(FRESH * spread, (1 - FRESH) * spread) for _ in range(tasks)]


def rates(tasks: Sequence[float], calls: int, seed: int) -> list[float]:
    """Give the share of tasks that each strategy solves with at most CALLS calls a task."""
    model, places = Model.fitted(tasks[:2000]), range(len(tasks))

    def solved(strategy: Strategy, place: int) -> bool:
        return solves(strategy, model, tasks[place], calls, random.Random(seed * len(tasks) + place))

    return [mean(solved(strategy, place) for place in places) for strategy in STRATEGIES]


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--tasks", type=int, default=20_000)
    told.add_argument("--calls", type=int, nargs="+", default=[2, 3, 6, 9, 12], help="calls a task, at most")
    told.add_argument("--spread", type=float, default=2.0, help="small: tasks differ much; large: they are alike")
    told.add_argument("--seed", type=int, default=1)
    options = told.parse_args()
    tasks = eases(options.tasks, options.spread, options.seed)
    columns = [rates(tasks, calls, options.seed) for calls in options.calls]
    print(f"{'tasks solved with at most … calls (simulated)':<56}" + "".join(f"{calls:>8}" for calls in options.calls))
    for strategy, row in zip(STRATEGIES, zip(*columns, strict=True), strict=True):
        print(f"{strategy.name:<56}" + "".join(f"{rate:>8.1%}" for rate in row))


if __name__ == "__main__":
    main()
