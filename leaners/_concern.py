"""What a task is about, of the tests that were red before it: the others are none of its business.

The loop loads this file where a task that names no test files begins red. Only reports that name every test say enough
for it; where one is in doubt, the task is about it.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from leanloop import Config, Failure, Task, Verdict, compare, is_test, read_text, replace


def strangers(config: Config, task: Task, red: Verdict | None) -> frozenset[str]:
    """List the tests that were RED before TASK and that it is not about, where it is about some other red one.

    It is about a test whose file names one of its files, or holds a name of code that its prompt tells, or that the
    prompt names itself.
    """
    sources = [path for path in task.files if not is_test(path, config.defaults)]
    if config.taskless or config.guard.confirm or task.test_files or not sources:
        return frozenset()
    if not red or red.green or not red.report:
        return frozenset()
    found = frozenset(name for name in red.report.failing if not concerns(config.root, task, sources, name))
    return found if found != red.report.failing else frozenset()


def concerns(root: Path, task: Task, sources: list[str], name: str) -> bool:
    """Tell whether TASK is about the test that a report calls NAME."""
    parts = name.partition("[")[0].split(".")
    files = ["/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1)]
    file = next((path for path in files if (root / path).is_file()), "")
    told = {*re.findall(r"\b\w+(?=\()|\b\w*_\w+\b", task.prompt)}  # names of code: called, or of several words
    wanted = {PurePosixPath(path).stem for path in sources} | told
    words = {*re.findall(r"\w+", read_text(root / file) if file else "")}
    said = {*re.findall(r"\w+", task.prompt)}
    return not file or file in task.files or bool(wanted & words or said & {parts[-1], PurePosixPath(file).stem})


def judged_alone(verdict: Verdict, red: Verdict | None, others: frozenset[str]) -> Verdict:
    """Make a verdict green of which nothing is red but OTHERS, which were so before, and by which a test was mended.

    What vetoes it stays: a reason of the guard, a check, a demand on the coverage.
    """
    report = verdict.report
    if verdict.green or not report or not report.failing or report.failing - others:
        return verdict
    if verdict.why or verdict.check or verdict.note:
        return verdict
    green = replace(verdict, green=True, failure=Failure())
    return green if compare(red, green).fixed else verdict
