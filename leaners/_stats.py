"""Figures over all kept runs of a project, for each leaner and model: a view over their events, nothing else."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from _earlier import config_here, run_folders
from _page import COSTLY, Event, add_usage, chapters, clip, many, of, read_events
from _screen import columns
from leanloop import Shows, project_folder

PARTICULAR = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\"|`[^`]*`|\S*[\w]/\S*|[\w-]+\.[A-Za-z]\w*|\d[\d.,]*)(?!\w)")


@dataclass
class Figures:
    """What one leaner, with one model, did: tasks that it was asked for, and how those came out that it made green."""

    leaner: str
    model: str
    tasks: int = 0
    green: int = 0
    at_once: int = 0
    in_a_round: int = 0
    calls: int = 0
    tokens: int = 0
    estimated: bool = False
    unusable: Counter[str] = field(default_factory=Counter)

    def add(self, chapter: list[Event], own: list[Event]) -> None:
        """Count a task; OWN are the events of this leaner's calls, and of the attempts that it made."""
        attempts, used = of(own, "attempt"), add_usage(own)
        ended = [attempt for attempt in attempts if attempt["green"]]
        is_green = bool(ended) and chapter[-1].get("state") in ("green", "untested")
        self.tasks += 1
        self.green += is_green
        self.at_once += is_green and ended[-1]["number"] == 1
        self.in_a_round += is_green and ended[-1].get("round", ended[-1]["number"]) == 1
        self.calls += len(of(own, *COSTLY))
        self.tokens += used["input_tokens"] + used["output_tokens"]
        self.estimated |= used["estimated"]
        self.unusable.update(what_kind(event["reason"]) for event in of(own, "answered", "trouble") if event["reason"])

    def facts(self) -> Event:
        """Give what --json shows."""
        return {
            "leaner": self.leaner,
            "model": self.model,
            "tasks": self.tasks,
            "green": self.green,
            "green_at_first_answer": self.at_once,
            "green_in_first_round": self.in_a_round,
            "calls": self.calls,
            "tokens": self.tokens,
            "estimated": self.estimated,
            "calls_per_green": per(self.calls, self.green),
            "tokens_per_green": per(self.tokens, self.green),
            "unusable": dict(self.unusable.most_common(10)),
        }

    def row(self) -> list[str]:
        """Give the cells of the table; nothing is per green task where there is none."""
        facts = self.facts()
        counts = [
            str(facts[key]) for key in ("tasks", "green", "green_at_first_answer", "green_in_first_round", "calls")
        ]
        about = "about " * self.estimated
        each = [f"{about}{facts[key]:,.10g}" if self.green else "–" for key in ("calls_per_green", "tokens_per_green")]
        return [self.leaner, self.model or "–", *counts, each[0].removeprefix("about "), each[1]]


def per(amount: int, green: int) -> float | None:
    """Share AMOUNT out among GREEN tasks, in three figures."""
    return float(f"{amount / green:.3g}") if green else None


def what_kind(reason: str) -> str:
    """Make reasons alike that differ in names, paths and numbers alone."""
    return clip(PARTICULAR.sub("…", reason), 25)


def by_leaner(chapter: Iterable[Event]) -> dict[tuple[str, str], list[Event]]:
    """Sort a task's calls by leaner and model, each attempt to the call before it."""
    found, who = dict[tuple[str, str], list[Event]](), ("", "")
    for event in of(chapter, *COSTLY, "attempt"):
        if event["event"] != "attempt":
            who = event["leaner"], event.get("model") or ""
        found.setdefault(who, []).append(event)
    return found


def gather(runs: Iterable[list[Event]]) -> list[Figures]:
    """Count the tasks of all RUNS; who has most of them comes first."""
    found = dict[tuple[str, str], Figures]()
    for events in runs:
        for chapter in chapters(events):
            for who, own in by_leaner(chapter).items():
                found.setdefault(who, Figures(*who)).add(chapter, own)
    return sorted(found.values(), key=lambda figures: -figures.tasks)


def in_words(found: list[Figures], runs: int) -> Iterator[str]:
    """Give the table, and below it why answers could not be used."""
    heads = ["leaner", "model", "tasks", "green", "at once", "in a round", "calls", "per green", "tokens per green"]
    yield from columns([heads, *(figures.row() for figures in found)])
    for figures in found:
        for reason, count in figures.unusable.most_common(3):
            yield f"{figures.leaner} {figures.model}".strip() + f": {many(count, 'call')} of no use: {reason}"
    yield f"of {many(runs, 'kept run')} ([guard] keep_runs)"


def show_stats(options: argparse.Namespace, shows: Shows) -> str:
    """Show the figures of the project's kept runs, with --json an object a line."""
    runs = [read_events(folder) for folder in run_folders(project_folder(config_here(options).root))]
    runs = [events for events in runs if of(events, "answered", "trouble")]
    found = gather(runs)
    if not found:
        shows.say("lean-loop: no leaner was called in this project yet.", shows.err)
        return ""
    if shows.json:
        return "\n".join(json.dumps(figures.facts()) for figures in found)
    return "\n".join(in_words(found, len(runs)))
