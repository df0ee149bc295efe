"""Before a run, or beside one: --check, --smoke, --dry-run and --ask.

The loop loads this file where one of these is asked for. Each verb takes the options and what is shown where; it gives
an exit code, or a text to print. A check gives, for all that it looks at, what it is about, what is so, and what to do
about it: where there is something to do it is a warning. A LeanError ends a check as an error.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from _earlier import bare_config
from _page import few_names, many
from _project import git_files, missing_from_path, readiness
from _sandbox import tell_sandbox
from _screen import folded, inked, is_terminal, window
from _servers import at, probe, wait_for_server
from leanloop import (
    GREEN,
    LARGEST_PROMPT,
    LEANFILE,
    NOT_READY,
    ChangeRules,
    Config,
    Document,
    Held,
    Leaner,
    LeanError,
    NotReady,
    Reporter,
    Run,
    Shows,
    Task,
    Verdict,
    ask_git,
    check_leaner,
    check_test_files,
    choose,
    fenced,
    find_program,
    first_prompt,
    home,
    insert_test_files,
    load,
    load_all,
    locked,
    make_run,
    project_folder,
    project_relative,
    read_static,
    read_text,
    replace,
    share,
    static_config,
    test_argv,
    tokens,
    verdict_facts,
)


@contextlib.contextmanager
def unrecorded(config: Config, shows: Shows, quiet: bool = True) -> Iterator[Run]:
    """Hold the project for what leaves no record: a check, a dry run, a question."""
    folder = project_folder(config.root)
    with locked(folder, config), tempfile.TemporaryDirectory(prefix="lean-loop-") as place:
        reporter = Reporter(Path(place), config, replace(shows, quiet=quiet, json=False))
        run = make_run(config, folder, reporter)
        try:
            yield run
        finally:
            reporter.display.close()


def each_project(options: argparse.Namespace, shows: Shows) -> Iterator[tuple[Run, tuple[Task, ...]]]:
    """Hold the project of each leanfile in turn; give the tasks that are chosen too."""
    for config in load_all(options):
        with unrecorded(config, shows) as run:
            yield run, choose(config, options)


def dry_run(options: argparse.Namespace, shows: Shows) -> int:
    """Print each task's first prompt as it would be sent, and its tokens; no leaner is called."""
    for run, tasks in each_project(options, shows):
        for task in tasks:
            leaner, state = run.config.lean, run.begin_task(task, run.snapshots.take())
            prompt = run.reporter.mask(run.first(state, leaner))
            own = find_program(leaner).overhead // 4
            sizes = f"about {tokens(prompt):,} tokens, {own:,} more by {leaner.name} itself"
            shows.say(f"=== {task.name}: the first prompt\n{prompt}", shows.out)
            shows.say(f"=== {task.name}: {sizes}, of a context of {run.context(task, leaner):,}\n", shows.out)
    return GREEN


def ask_about(options: argparse.Namespace, shows: Shows) -> str:
    """Ask the leaner one question about some files; give its answer. What it changes is put back."""
    question, *names = options.ask
    config = config_at_hand(options)
    check_leaner(config.lean)
    files = tuple(project_relative(str(Path(name).absolute()), config.root, "--ask") for name in names)
    prompt = "".join(f"{fenced(path, text_for(config.root / path), path)}\n" for path in files) + question
    with asked_in(config, files, replace(shows, quiet=shows.quiet or not is_terminal(shows.err))) as run:
        task = Task(name="question", files=files)
        room = run.context(task, run.wait_for(config.lean)) * 8 // 10
        if tokens(prompt) > room:
            raise LeanError(
                f"--ask: the files have about {tokens(prompt):,} tokens, of the context {room:,} are free for them."
                " Name fewer files, or give the server a larger context ([lean] context_tokens)."
            )
        call = run.ask(task, config.lean, prompt, "ask")
    if call.code or not call.answer:
        raise NotReady(f"{call.leaner}: {call.reason or 'it said nothing'}. Try lean-loop --smoke")
    return call.answer


@contextlib.contextmanager
def asked_in(config: Config, files: Sequence[str], shows: Shows) -> Iterator[Run]:
    """Hold the project for a question; beside a run, which holds it, ask in a copy of the FILES alone."""
    with contextlib.ExitStack() as held:
        try:
            run = held.enter_context(unrecorded(config, shows, shows.quiet))
        except Held:
            root = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="lean-loop-ask-"))).resolve()
            for path in files:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(config.root / path, root / path)
            copied = replace(config, root=root, path=root / LEANFILE)
            held.callback(shutil.rmtree, project_folder(root), ignore_errors=True)
            run = held.enter_context(unrecorded(copied, shows, shows.quiet))
        yield run


def text_for(path: Path) -> str:
    """Read a file that a question is about; one that is missing, or no text, is refused."""
    text = read_text(path)
    if not path.is_file() or (path.stat().st_size and not text):
        raise LeanError(f"--ask: {path} is not there, or is no text. Name text files.")
    return text


def config_at_hand(options: argparse.Namespace) -> Config:
    """Load the leanfile; where there is none, the static configuration alone, for the folder here."""
    path, static = options.config[0], static_config(options.global_config)
    if path.is_file() or path != LEANFILE:
        return load(path, static)
    return bare_config(path, Path.cwd(), read_static(static))


# What a check found: what it is about, what is so, and what to do about it; where there is something to do, it is a
# warning. A LeanError ends a check as an error.
Check = Iterator[tuple[str, str, str]]


def check_all(options: argparse.Namespace, shows: Shows) -> int:
    """Say of everything that a run needs whether it is ready; the exit code is 3 where something is not."""
    levels = set[str]()
    for run, tasks in each_project(options, shows):
        checks = look_at_project(run, tasks)
        for subject, check in chain(checks, smoke(run, shows) if options.smoke else ()):
            for level, text in settle(subject, check):
                levels.add(level)
                shows.say(tell_finding(level, run.reporter.mask(text), shows.out), shows.out, drawn=True)
    return NOT_READY if "error" in levels else GREEN


def settle(subject: str, check: Check) -> Iterator[tuple[str, str]]:
    """Carry a check out; give the level of each of its findings, and the line that tells it."""
    try:
        for about, text, advice in check:
            yield ("warning", f"{about}: {text}. {advice}") if advice else ("ok", f"{about}: {text}")
    except LeanError as error:
        yield "error", f"{subject}: {error}"


def tell_finding(level: str, text: str, stream: IO[str]) -> str:
    """Tell what a check found; on a terminal in its colour, and broken at blanks."""
    line = f"{level:<8}{text}"
    lines = folded(line, window(stream).columns - 1) if is_terminal(stream) else (line,)
    return inked(level, level, stream) + "\n".join(lines).removeprefix(level)


def look_at_project(run: Run, tasks: Sequence[Task]) -> Iterator[tuple[str, Check]]:
    """List the checks of a project, each with its subject, in their order."""
    config = run.config
    where = f"{config.path}, {many(len(tasks), 'task')}, project {config.root}"
    yield "configuration", iter([("configuration", where, "")])
    for leaner in config.leaners:
        yield "leaner", look_at_leaner(leaner)
        for url in leaner.servers:
            yield "server", look_at_server(config, at(leaner, url))
    yield "sandbox", look_at_sandbox(config)
    yield "tests", look_at_tests(run)
    yield "git", look_at_git(config.root)
    yield "protected", look_at_protection(config)
    yield "tasks", look_at_tasks(run, tasks)


def look_at_leaner(leaner: Leaner) -> Check:
    check_leaner(leaner)
    yield "leaner", f"{leaner.name}, {readiness(find_program(leaner))}", ""


def look_at_sandbox(config: Config) -> Check:
    """Tell how far an agent is shut in; nothing where none is asked."""
    agents = [program for program in map(find_program, config.leaners) if not program.tells_edits]
    if agents:
        off = "off, as [guard] sandbox says: an agent may do what you may"
        yield "sandbox", off if config.guard.sandbox == "off" else tell_sandbox(agents), ""


def look_at_server(config: Config, leaner: Leaner) -> Check:
    """Look at a leaner's server, its models and its context; no further where it does not answer."""
    now = replace(config, health=replace(config.health, max_wait=0))
    told = wait_for_server(now, [leaner], lambda **facts: None)[1]
    yield "server", leaner.base_url or "the leaner's own service", ""
    if leaner.base_url:
        trouble = ""
        if "models" not in told:
            told, trouble = probe(leaner)
        if find_program(leaner).own_check and (trouble or not told["model"]):
            raise NotReady(f"{leaner.base_url}: {trouble or told['why']}")
        yield "model", *look_at_model(told)
    context = leaner.context_tokens or told.get("context")
    unknown = ("the server does not tell it; 8,192 tokens are assumed", "Set [lean] context_tokens")
    yield "context", *((f"{context:,} tokens", "") if context else unknown)


def look_at_model(told: Document) -> tuple[str, str]:
    """Tell which model is asked, and what to do where the server does not have it."""
    if why := told.get("why"):
        return why, "Choose one" if told["models"] else "Set [lean] model, or base_url (it usually ends in /v1)"
    return told.get("model") or "unknown", ""


def look_at_tests(run: Run) -> Check:
    """Run the plain test command once; tell how many are red."""
    runner = insert_test_files(run.config.runner, ())
    verdict = run.verifier.judge(Task(runner=runner), run.snapshots.take())
    red = "all green" if verdict.green else f"{len(verdict.failing)} red" if verdict.failing else "not green"
    passed = "" if verdict.passed is None else f", {verdict.passed} passed"
    told = f"{red}{passed}, {verdict.seconds:.1f} s: {shlex.join(test_argv(runner, run.config.root))}"
    why = "write a task's tests first: red ones prove it" if verdict.green else verdict.why
    doubt = unloaded(verdict, run.config.root) or why[:1].upper() + why[1:]
    if not (doubt or verdict.failing):
        doubt = f"Look at the test command: it names no failing test, but says: {verdict_facts(verdict)['summary']}"
    yield "tests", told, doubt


UNLOADED = r"ModuleNotFoundError|ImportError|(?i:cannot find (?:module|package)|could not (?:resolve|load|import))"


def unloaded(verdict: Verdict, root: Path) -> str:
    """Say what to do where not one test passed and the code under test was not even found; nothing elsewhere."""
    said = f"{verdict.failure.summary}\n{verdict.failure.excerpt}"
    if verdict.green or verdict.passed or not re.search(UNLOADED, said):
        return ""
    if folder := missing_from_path(said, root):
        return f'The tests do not find their modules: under [runner] put env = {{ PYTHONPATH = "{folder}" }}'
    return (
        f"No test could be loaded: {verdict.failure.summary}. Right where a task is to write it, else mend the set-up"
    )


def look_at_git(root: Path) -> Check:
    """Tell about the project's repository and what is not committed."""
    if ask_git(root, "rev-parse", "--git-dir"):
        count = len(ask_git(root, "status", "--porcelain").splitlines())
        yield "git", f"{many(count, 'uncommitted change')}, which a run keeps" if count else "nothing uncommitted", ""
    else:
        yield "git", "no repository", "It works without one, but git init shows you what was changed"


def look_at_protection(config: Config) -> Check:
    """Tell which files are protected."""
    listed = git_files(config.root)
    held = list(filter(ChangeRules(config, Task(runner=config.runner)).protects, listed))
    told = f"{len(held)} of {len(listed)} files: {', '.join(held[:5])}{', …' if len(held) > 5 else ''}"
    yield "protected", *((told, "") if held else ("no file", "Set [defaults] test_prefix"))


def mistyped(new: Sequence[str], root: Path) -> str:
    """Name the file that may have been meant where a NEW one is called almost like it; nothing where none is."""
    names = git_files(root)
    near = {path: difflib.get_close_matches(path, names, 1, 0.85) for path in new}
    return "; ".join(f"{path}: did you mean {found[0]}?" for path, found in near.items() if found)


def look_at_tasks(run: Run, tasks: Sequence[Task]) -> Check:
    """Tell whether the files of each task fit into a prompt; name its test files that are missing."""
    leaners, fit = (run.config.lean, *run.config.escalate), len(tasks)
    check_test_files(run.config, tasks)
    for task in tasks:
        if new := [path for path in task.files if not (run.config.root / path).exists()]:
            told = f"{few_names(new, 3)} {'is' if len(new) == 1 else 'are'} not there yet, and will be new"
            yield task.name, told, mistyped(new, run.config.root)
        for path in task.test_files:
            looks_like_one = re.match(r"(?!-|.*\.\.\.).*[./]", path)  # no option, no word after one, no ./...
            if looks_like_one and not (run.config.root / path.split("::")[0]).exists():
                yield task.name, f"its test file {path} is not there", "Write it first, or correct the name"
        size = sum(tokens(read_text(run.config.root / path)) for path in task.files)
        room = min(run.budget(task, leaner) for leaner in leaners)
        if size > room:
            fit -= 1
            large = f"its files have about {size:,} tokens, a prompt may have {room:,}: large ones are shown in part"
            more = ", or give the server a larger context" * (room < LARGEST_PROMPT)
            yield task.name, large, f"Split the task{more}"
    yield "files", f"those of {fit} of {many(len(tasks), 'task')} fit into a prompt", ""


CANARY = "quokka-7341"
SMOKE_WAIT = 3.0  # seconds for a server that does not answer

TOOL_TEXT = re.compile(r"<function=|<tool_call>|<\|python_tag\|>|\{\s*\"(?:name|tool|function)\"\s*:")


def smoke(run: Run, shows: Shows) -> Iterator[tuple[str, Check]]:
    """Let the leaner do one real edit in a temporary project, and answer to a long prompt; name what goes wrong."""
    with tempfile.TemporaryDirectory(prefix="lean-loop-smoke-") as place:
        root = Path(place).resolve()
        shutil.copytree(share() / "examples" / "smoke", root, dirs_exist_ok=True)
        health = replace(run.config.health, max_wait=min(SMOKE_WAIT, run.config.health.max_wait))
        config = replace(run.config, root=root, path=root / "leanfile.toml", tasks=(), health=health)
        try:
            with unrecorded(config, shows, quiet=shows.quiet) as small:
                yield "smoke, edit", smoke_edit(small, run.config.root)
                yield "smoke, long prompt", smoke_canary(small)
        finally:
            shutil.rmtree(project_folder(root), ignore_errors=True)


def smoke_edit(run: Run, elsewhere: Path) -> Check:
    """Ask for one line, and look at what lies there then; a leaner in a wrong folder may have written ELSEWHERE."""
    root, leaner, name = run.config.root, run.config.lean, "greeting_smoke.txt"
    task = Task(name="smoke", prompt=read_text(root / "prompt.md"), files=(name,))
    run.wait_for(leaner)
    prompt = first_prompt(run.builder(task, leaner), None, "")
    call = run.ask(task, leaner, prompt, "edit")
    places = (folder / name for folder in (elsewhere, Path.cwd(), home() or root) if folder != root)
    stray = next(filter(Path.exists, places), None)
    faults: dict[str, object] = {
        "": read_text(root / name).split() == ["hello,", "world"],
        f"it wrote {stray}: it must edit in the folder that it is started in": stray,
        f"it hangs: {call.reason}. If it asks for a permission: [lean] approval_mode": "was ended" in call.reason,
        "it prints tool calls as text. Serve the model with its own template for tools (llama-server --jinja), or use"
        " the leaner direct, which needs none": TOOL_TEXT.search(call.answer),
        f"it failed: {call.reason}": call.reason,
        "its answer is empty. Look at the server's log, and at [lean] model": not call.answer,
        f"it did not change the file as it was asked to. It said: {call.answer[:200]}": True,
    }
    if fault := next(text for text, holds in faults.items() if holds):
        raise NotReady(fault)
    yield "smoke, edit", f"done in {call.seconds:.1f} s, {call.usage.input_tokens:,} tokens in", ""


def smoke_canary(run: Run) -> Check:
    """Ask for a word at the beginning of a prompt as long as the loop's may be."""
    task, leaner = Task(name="smoke"), run.config.lean
    filler = "This line says nothing of interest, and is here to be long.\n"
    middle = filler * (max(0, run.budget(task, leaner) - 100) // tokens(filler))
    prompt = f"The word is {CANARY}.\n\n{middle}\nAnswer with the word that the first line tells, and nothing else."
    call = run.ask(task, leaner, prompt, "ask")
    if CANARY not in call.answer:
        raise NotReady(
            f"of {tokens(prompt):,} tokens the beginning did not come back: the server cuts prompts, or the model does"
            f" not follow. Give the server a larger context, or set [lean] context_tokens to what it has. It said:"
            f" {call.answer[:200] or call.reason or 'nothing'}"
        )
    yield "smoke, long prompt", f"the beginning of {tokens(prompt):,} tokens was read", ""
