"""What real small models answered to tasks of the bench: where each edit lands, or why it is refused.

A case of `corpus/models` names its model and its task; the task's files and prompt stand in tests/bench/tasks. `after`
gives a file as it is then; all that an answer does not replace is still there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bench.real_tasks import TASKS, BenchTask, read_task
from support import CORPUS, direct, parts

MODELS = ("Qwen2.5-Coder-0.5B-Instruct", "Qwen2.5-Coder-1.5B-Instruct")


@dataclass(frozen=True)
class Said:
    """One answer of a model to a task: the files that it changes, or the kind of its refusal."""

    name: str
    model: str
    task: str
    answer: str
    after: dict[str, str]
    refused: str = ""


@cache
def answers() -> tuple[Said, ...]:
    return tuple(case for path in sorted((CORPUS / "models").glob("*.txt")) for case in read(path))


def read(path: Path) -> Iterator[Said]:
    """Read the cases of one model's file."""
    for name, body in parts(path.read_text(encoding="utf-8"), "@@@@"):
        (_, answer), *rest = parts(body, "====")
        refused = "".join(said.removeprefix("refused ") for said, _ in rest if said.startswith("refused "))
        after = {said.removeprefix("after "): text for said, text in rest if said.startswith("after ")}
        yield Said(f"{path.stem} {name}", path.stem, re.sub(r" .*", "", name), answer, after, refused)


def project(task: BenchTask, root: Path) -> object:
    """Lay out a task's files; return what `direct` knows of them."""
    for path, text in {**task.before, **task.tests}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    shown = "\n".join(f"{path}\n```\n{task.before[path].rstrip()}\n```" for path in task.files)
    prompt = f"# Files\n{shown}\n\n# Task: {task.name}\n{task.steps[0].prompt}"
    return direct.Project(root, direct.Call(prompt, files=tuple(task.files)))


@pytest.mark.parametrize("said", answers(), ids=lambda said: said.name)
def test_answer_of_a_model(said: Said, tmp_path: Path) -> None:
    place = project(read_task(TASKS / "functions" / f"{said.task}.toml"), tmp_path)
    plan = direct.Plan()
    try:
        edits = direct.understood(said.answer, place)
        kind = "".join(refusal.kind for _, refusal in direct.place_all(edits, place, plan)[:1])
        if not kind:
            direct.check_plan(plan, place)
    except direct.Unusable as unusable:
        kind = unusable.kind
    assert (kind, {} if kind else dict(plan)) == (said.refused, said.after)


def test_both_models_have_their_say() -> None:
    counts = Counter(said.model for said in answers())
    assert sum(counts.values()) >= 200
    assert min(counts[model] for model in MODELS) >= 75
