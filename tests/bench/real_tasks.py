"""The tasks that real small models are measured on: where they lie, how a project is made of one, how it is solved.

`functions` and `features` stand in tasks/ as one TOML file each, named like the task. `faults` are places in PyPI
projects that python_faults changes; tasks/faults.toml names them. Every task belongs to `tune` or to `held out`.
"""

from __future__ import annotations

import ast
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import python_faults
from bench.python_faults import Fault, Real

TASKS = Path(__file__).resolve().parent / "tasks"
KINDS = ("functions", "faults", "features")
SPLITS = ("tune", "held out")


@dataclass(frozen=True)
class Runner:
    """A test command as a leanfile has it."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


RUNNERS = {
    ".py": Runner("{python}", ("-m", "unittest", "-q")),
    ".js": Runner("node", ("--test",)),
}  # by the ending of a test file


# ----------------------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class Step:
    """One of a leanfile's [[tasks]]."""

    name: str
    prompt: str
    files: tuple[str, ...]
    test_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function of a fault's file, as it stands with the fault in it."""

    path: str
    name: str
    text: str


@dataclass(frozen=True)
class BenchTask:
    """A project whose tests are red, and how they get green.

    `level` is 1 (easy) to 3. `steps` are its leanfile's [[tasks]]: none where the loop works on what the tests report.
    `before`, `tests` and `solution` give texts by path. A fault has its project's own files in place of those, and
    `function` is where it lies.
    """

    name: str
    kind: str
    split: str
    language: str
    level: int
    steps: tuple[Step, ...]
    runner: Runner
    before: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    solution: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    function: Function | None = None

    @property
    def files(self) -> list[str]:
        """The files that its steps list, each once."""
        return list(dict.fromkeys(path for step in self.steps for path in step.files))


def load_tasks(kind: str, split: str, mode: str = "task") -> list[BenchTask]:
    """Give the tasks of one of KINDS and one of SPLITS, the easy ones first.

    `mode` is for faults: "task" has one step that tells what is wrong and lists the file, "direct" has none. Their
    projects are fetched from PyPI into the tests' cache.
    """
    told = fault_tasks(mode) if kind == "faults" else map(read_task, sorted((TASKS / kind).glob("*.toml")))
    return sorted((task for task in told if task.split == split), key=lambda task: task.level)


def read_task(file: Path) -> BenchTask:
    """Read a task of `functions` or `features`."""
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    steps = tuple(read_step(step) for step in told["tasks"])
    texts = {key: told[key] for key in ("before", "tests", "solution")}
    facts = {key: told[key] for key in ("split", "language", "level")}
    return BenchTask(file.stem, file.parent.name, steps=steps, runner=runner_of(steps[0]), **facts, **texts)


def read_step(told: Mapping[str, Any]) -> Step:
    """Read one of a task's [[tasks]]."""
    return Step(told["name"], told["prompt"].strip(), tuple(told["files"]), tuple(told["test_files"]))


def runner_of(step: Step) -> Runner:
    """Give what runs the step's test files."""
    return RUNNERS[Path(step.test_files[0]).suffix]


# ---------------------------------------------------------------------------------------------------------- faults


def fault_tasks(mode: str) -> Iterator[BenchTask]:
    """Make a task of each fault that tasks/faults.toml names."""
    for told in tomllib.loads((TASKS / "faults.toml").read_text(encoding="utf-8"))["faults"]:
        yield fault_task(project_named(told["project"]), told, mode)


def project_named(name: str) -> Real:
    """Give one of the PyPI projects."""
    return next(real for real in (*python_faults.PROJECTS, *python_faults.HELD_OUT) if real.name == name)


def fault_task(real: Real, told: Mapping[str, Any], mode: str) -> BenchTask:
    """Make a task of one row of tasks/faults.toml."""
    source = (python_faults.source_of(real) / told["path"]).read_text(encoding="utf-8")
    fault = find_fault(real, told, source)
    step = Step(fault.name, told["prompt"].strip(), (fault.path,))
    args = tuple(python_faults.arguments(real, "auto"))
    runner = Runner(str(python_faults.environment()), args, {"PYTHONPATH": real.path})
    return BenchTask(
        name=fault.name,
        kind="faults",
        split=told["split"],
        language="python",
        level=told["level"],
        steps=(step,) if mode == "task" else (),
        runner=runner,
        solution={fault.path: source},
        fault=fault,
        function=faulty_function(fault, source),
    )


def find_fault(real: Real, told: Mapping[str, Any], source: str) -> Fault:
    """Find the fault at a place, of a kind, among all that the file can have."""
    possible = python_faults.possible(real.name, told["path"], source)
    place = (told["line"], told["begin"], told["fault"])
    (fault,) = (item for item in possible if (item.line, item.begin, item.kind) == place)
    return fault


def faulty_function(fault: Fault, source: str) -> Function:
    """Give the function that the fault lies in, with its decorators, and with the fault."""
    raw = source.encode()
    text = (raw[: fault.begin] + fault.text.encode() + raw[fault.end :]).decode()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno == fault.function[0]:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = text.splitlines(keepends=True)[first - 1 : fault.function[1]]
            return Function(fault.path, node.name, "".join(lines))
    raise LookupError(f"{fault.name}: no function begins at line {fault.function[0]} of {fault.path}")


# -------------------------------------------------------------------------------------------------------- projects


def write_project(task: BenchTask, folder: Path) -> None:
    """Make FOLDER the task's project: its files, a leanfile that does not say who works, and one commit."""
    if task.fault:
        shutil.copytree(python_faults.source_of(project_named(task.fault.project)), folder, symlinks=True)
        python_faults.plant(task.fault, folder)
    else:
        write_files(folder, {**task.before, **task.tests})
    write_files(folder, {"leanfile.toml": leanfile(task)})
    python_faults.commit(folder, python_faults.sealed(folder.parent, "."))


def solve(task: BenchTask, folder: Path) -> None:
    """Write the solution into the task's project."""
    write_files(folder, task.solution)


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts to their paths within a folder."""
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")


# -------------------------------------------------------------------------------------------------------- leanfile


def leanfile(task: BenchTask) -> str:
    """Write the task's leanfile."""
    lines = ["[runner]", *toml_runner(task.runner), "timeout = 120"]
    for step in task.steps:
        lines += ["", "[[tasks]]", f"name = {toml(step.name)}", f"prompt = {toml(step.prompt)}"]
        lines += [f"files = {toml(step.files)}"]
        lines += [f"test_files = {toml(step.test_files)}"] if step.test_files else []
        if step.test_files and runner_of(step) != task.runner:
            lines += [f"runner.{line}" for line in toml_runner(runner_of(step))]
    return "\n".join(lines) + "\n"


def toml_runner(runner: Runner) -> list[str]:
    """Write a runner as lines of TOML."""
    lines = [f"command = {toml(runner.command)}", f"args = {toml(runner.args)}"]
    pairs = ", ".join(f"{name} = {toml(value)}" for name, value in runner.env.items())
    return [*lines, f"env = {{ {pairs} }}"] if pairs else lines


def toml(value: str | Sequence[str]) -> str:
    """Write a string or a list of strings as TOML, which takes JSON's form of them."""
    return json.dumps(value, ensure_ascii=False)
