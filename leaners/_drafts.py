"""Several answers to one prompt, written at the same time by a server that has room, and tried one after the other.

The loop loads this file where that is so. A draft is a leaner's process that asks and writes the model's answer into a
file; it never touches the project, whose listed files it finds as copies. Drafts are taken in the order in which they
end: the leaner's ordinary call makes edits of one and the tests judge it, while the others are being written. What is
under way when no other answer is wanted is ended, and so its connection: the server writes no further.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from _servers import at, goes_on_elsewhere
from leanloop import (
    ANSWER_FILE,
    OWN_END,
    SERVER_TROUBLE,
    USAGE_FILE,
    Call,
    Completed,
    Deadline,
    Leaner,
    Program,
    Question,
    Run,
    StreamReader,
    TaskState,
    TaskStopped,
    Usage,
    completed,
    defer_signals,
    drawing,
    encodable,
    find_program,
    read_regular,
    read_usage,
    replace,
    send_signal,
    tokens,
    under_way,
    why_ended,
)

NOT_DONE = Completed((), 0, "", "", 0.0)
POLL = 0.05  # seconds between two looks at what is under way
PROGRESS = re.compile(rb"progress: (\d+) (\d+(?:\.\d+)?)\n")


def answers(run: Run, state: TaskState, question: Question, rooms: dict[str, int]) -> Generator[Call, None, None]:
    """Give the calls that answer QUESTION, drafted side by side where servers have ROOMS, else one by one."""
    with ExitStack() as ending:
        drafts = Drafts(run, state, question, rooms)
        ending.callback(drafts.clear)
        while drafts.begin():
            draft = drafts.next_ended()
            if draft.done.code:
                drafts.lay_aside(draft)
            elif call := drafts.call(draft):
                yield call
    for leaner in drafts.wanted:
        run.go_to(state, question.base)
        yield run.ask_retrying_empty(state, leaner, question.prompt)


@dataclass
class Draft:
    """An answer that is being written; `ending` ends its process, `done` tells how it ended."""

    leaner: Leaner
    folder: Path
    deadline: Deadline
    ending: ExitStack = field(default_factory=ExitStack)
    argv: tuple[str, ...] = ()
    outputs: list[StreamReader] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    done: Completed = NOT_DONE
    told: tuple[int, float] = (0, 0.0)

    @property
    def file(self) -> str:
        """Name the file that it is written to."""
        return str(self.folder / "draft")

    def start(self, root: Path, program: Program, env: dict[str, str]) -> None:
        """Start its process, which finds the files of the task below ROOT."""
        self.argv = (*program.argv(), "-p", f"Read the file {env['LEAN_PROMPT_FILE']} and do what it says.")
        with defer_signals():
            begun = under_way(self.argv, root, env, self.deadline, True, self.hear, guarded=True, beside=True)
            self.process, self.outputs = self.ending.enter_context(begun)
        for output in self.outputs:
            output.start()

    def hear(self, raw: bytes) -> None:
        """Take in how many tokens were written, and how many in a second."""
        if found := PROGRESS.findall(raw):
            self.told = int(found[-1][0]), float(found[-1][1])

    def has_ended(self) -> bool:
        """Tell whether its process has ended, or has no time left."""
        return not self.process or self.process.poll() is not None or bool(self.deadline.cut())

    def end(self) -> None:
        """End its process where it has not; note how it ended."""
        cut = "" if self.process and self.process.poll() is not None else self.deadline.cut()
        self.ending.close()
        if self.process:
            self.done = completed(self.argv, self.process, self.outputs, self.deadline, cut)


class Drafts:
    """The drafts of the answers to one question: those under way, and the leaners of those that are wanted yet.

    `rooms` tells how many each server may write at the same time.
    """

    def __init__(self, run: Run, state: TaskState, question: Question, rooms: dict[str, int]) -> None:
        self.run, self.state, self.question, self.rooms = run, state, question, rooms
        self.program = find_program(question.leaner)
        self.wanted, self.under_way, self.begun = deque(drawing(question.leaner)), list[Draft](), 0
        self.prompt = encodable(run.reporter.mask(question.prompt)).replace("\0", "")
        self.folder = run.reporter.path("drafts")
        self.copy_files()

    def copy_files(self) -> None:
        """Copy the files of the task as they are in the base state: the project changes while drafts are written."""
        root = self.run.config.root
        for path in self.state.task.files:
            place, copy = root / path, self.folder / "files" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError, ValueError):
                place.resolve().relative_to(root)
                copy.write_bytes(read_regular(place, follow=True))
        (self.folder / "files").mkdir(parents=True, exist_ok=True)
        (self.folder / "prompt.md").write_bytes(self.prompt.encode("utf-8", "replace"))

    def begin(self) -> bool:
        """Start as many drafts as there is room for, none beyond a limit; tell whether any is under way."""
        if not (self.wanted or self.under_way):
            return False
        self.run.check_limits()
        fresh = 0
        while self.wanted and (url := self.free_server()) and self.has_calls_left():
            self.start(at(self.wanted.popleft(), url))
            fresh += 1
        if fresh:
            size = tokens(self.prompt)
            self.run.reporter.emit("drafting", leaner=self.program.name, answers=len(self.under_way), tokens=size)
        return bool(self.under_way)

    def free_server(self) -> str:
        """Name the server that writes the fewest answers, and has room; nothing where none has."""
        free = [url for url, room in self.rooms.items() if self.load(url) < room]
        return min(free, key=self.load, default="")

    def load(self, url: str) -> int:
        """Count the answers that a server is writing."""
        return sum(draft.leaner.base_url == url for draft in self.under_way)

    def has_calls_left(self) -> bool:
        """Tell whether `[limits] calls` lets another one be begun."""
        most, before = self.run.config.limits.calls, self.run.spent.get("calls", 0)
        return not most or len(self.run.calls) + before + len(self.under_way) < most

    def start(self, leaner: Leaner) -> None:
        """Start a draft."""
        self.begun += 1
        draft = Draft(leaner, self.folder / str(self.begun), Deadline(leaner.timeout + OWN_END, None))
        draft.folder.mkdir()
        env = self.run.variables(self.state.task, leaner, "draft", self.folder / "prompt.md", draft.folder)
        self.under_way.append(draft)
        draft.start(self.folder / "files", self.program, env | {"LEAN_DRAFT": draft.file})

    def next_ended(self) -> Draft:
        """Wait for the draft that ends first, no longer than a limit lets the run go on."""
        while True:
            for draft in self.under_way:
                if draft.has_ended():
                    draft.end()
                    self.under_way.remove(draft)
                    return draft
            self.run.check_limits()
            self.show_progress()
            time.sleep(POLL)

    def show_progress(self) -> None:
        """Show how much was written in all."""
        count = sum(draft.told[0] for draft in self.under_way)
        rate = sum(draft.told[1] for draft in self.under_way)
        self.run.reporter.on_lines(b"progress: %d %.1f\n" % (count, rate))

    def lay_aside(self, draft: Draft) -> None:
        """Record a draft that came to nothing: its answer is wanted yet, and the server has less room than was said."""
        self.wanted.appendleft(draft.leaner)
        errors = re.sub(r"(?m)^progress: .*\n?", "", draft.done.errors).strip()
        reason = why_ended(draft.done, errors, draft.done.output.strip(), draft.leaner)
        self.record("trouble", draft, reason)
        url = draft.leaner.base_url
        if url in self.rooms:
            self.rooms[url] = self.load(url)
        if not self.load(url) and goes_on_elsewhere(self.run, draft.leaner, reason):
            self.rooms.pop(url, None)

    def call(self, draft: Draft) -> Call | None:
        """Let the leaner make edits of a draft, in the base state; None where it asked again, of a server in trouble.

        Where a limit is reached it may not ask again.
        """
        run, state, leaner = self.run, self.state, draft.leaner
        try:
            run.check_limits()
        except TaskStopped:
            leaner = replace(leaner, edit_retries=0)
        run.go_to(state, self.question.base)
        run.workspace.pass_on(run.reporter.mask(draft.done.errors))
        call = run.call(state.task, leaner, self.question.prompt, "edit", state.start, draft.file)
        used, model = self.usage(draft)
        call = replace(call, usage=used + call.usage, seconds=draft.done.seconds + call.seconds, model=model)
        run.calls[-1] = call
        if call.code != SERVER_TROUBLE:
            return run.answered(call, "edit")
        run.reporter.emit("trouble", leaner=call.leaner, model=model, reason=call.reason, usage=call.usage)
        self.wanted.append(draft.leaner)
        return None

    def usage(self, draft: Draft) -> tuple[Usage, str]:
        """Tell what a draft used, and which model it asked; of one that was ended, what is known of it, or a guess."""
        said = ""
        with suppress(OSError):
            said = read_regular(draft.folder / ANSWER_FILE).decode("utf-8", "replace")
        used, model = read_usage(draft.folder / USAGE_FILE, self.program, draft.leaner.model, self.prompt, said)
        if not used.requests and draft.done.code and draft.done.code != SERVER_TROUBLE:
            (draft.folder / USAGE_FILE).unlink()  # the prompt was sent, and no word came back yet
            return self.usage(draft)
        return used, model

    def record(self, kind: str, draft: Draft, reason: str) -> None:
        """Record a draft that is not tried: what it cost counts."""
        used, model = self.usage(draft)
        name, code = self.program.name, draft.done.code
        self.run.calls.append(Call(name, "", code, reason, used, draft.done.seconds, "", "", model=model))
        facts = {"reason": reason, "usage": used, "seconds": draft.done.seconds}
        self.run.reporter.emit(kind, leaner=name, model=model, **facts)

    def clear(self) -> None:
        """End what is under way, record what it cost, and remove the files."""
        with ExitStack() as ending:
            ending.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for draft in self.under_way:
                ending.push(draft.ending)
                if draft.process and draft.process.poll() is None:
                    send_signal(draft.process.pid, signal.SIGTERM)
            for draft in self.under_way:
                draft.end()
                self.record("dropped", draft, "not needed any more")
