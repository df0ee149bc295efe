"""A pseudo-terminal with a program in it, and a small reader of what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conftest import LEANLOOP, PATIENCE
from forked import FORKS, Fork

CODES = re.compile(r"\x1b\[[0-9;]*([A-Za-z])|(\r)|(\n)|(.)", re.DOTALL)


def wide(text: str) -> int:
    """Count columns, as wcwidth does for what the tests print."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


@dataclass
class Terminal:
    """What a program wrote to a terminal of COLUMNS x LINES: pieces with their times, and how it ended."""

    columns: int
    lines: int
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    code: int = -1

    @property
    def text(self) -> str:
        return b"".join(piece for _, piece in self.pieces).decode()

    def all_lines(self, text: str | None = None) -> list[str]:
        """Every line from the first on, as the terminal would show it; a line that is too long is wrapped."""
        rows, at = [""], 0
        for code, back, end, sign in CODES.findall(self.text if text is None else text):
            if back or end:
                at = 0
                rows += [""] * bool(end)
            elif code == "K":
                rows[-1] = rows[-1][:at]
            elif sign:
                if wide(rows[-1][:at] + sign) > self.columns:
                    rows, at = [*rows, ""], 0
                rows[-1] = rows[-1][:at] + sign + rows[-1][at + 1 :]
                at += 1
        return [row.rstrip() for row in rows]

    @property
    def screen(self) -> list[str]:
        """The lines that are seen at the end."""
        return self.all_lines()[-self.lines :]

    @property
    def living(self) -> list[str]:
        """The lines that lived, one for each redraw."""
        drawn = [piece.split("\n")[-1] for piece in self.text.split("\r\x1b[K")[1:]]
        return [line for line in drawn if line]


def play(
    argv: Sequence[str],
    cwd: Path,
    env: dict[str, str],
    columns: int = 80,
    lines: int = 24,
    seen: Callable[[str, int, int], None] = lambda text, process, screen: None,
) -> Terminal:
    """Run ARGV on a terminal to its end; SEEN gets all text so far, the process and the terminal's handle."""
    terminal = Terminal(columns, lines)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process: Fork | subprocess.Popen[bytes]
    if tuple(argv[:3]) == LEANLOOP and FORKS.may(env):
        process = FORKS.start(argv[3:], cwd, env, (theirs, theirs, theirs))
    else:
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    deadline = time.monotonic() + 60 * PATIENCE
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:
                break
            terminal.pieces.append((time.monotonic(), piece))
            seen(terminal.text, process.pid, ours)
    terminal.code = process.wait(10 * PATIENCE)
    os.close(ours)
    return terminal
