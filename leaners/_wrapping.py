"""Taking what a test run printed out of its wrappings: a stream of events, the names of programs, and times.

What tools put before each line is a row of _readers.txt; nothing here runs or writes anything.
"""

from __future__ import annotations

import json
import re
from itertools import chain

from leanloop import rx, shorten, table


def normalize(output: str) -> str:
    """Take an output out of its wrappings, and bound the number of its lines and the length of each."""
    text = shorten(rx(r"\n{3,}").sub("\n\n", unwrap_events(output)), 60_000, 1 << 30)
    text = rx(r"^.{2000,}$").sub(lambda line: f"{line[0][:500]} [...] {line[0][-500:]}", text)
    return unwrap_events(drop_labels(text))


def drop_labels(text: str) -> str:
    """Take off what stands before each line: the names of programs that ran side by side, and times."""
    labels = [re.compile(label) for label in table("_readers.txt")["shared"]["label"]]
    for _ in range(3):
        before, text = text, next((bare for label in labels if (bare := without_label(text, label)) != text), text)
        if text == before:
            break
    return text


def without_label(text: str, label: re.Pattern[str]) -> str:
    """Take LABEL off the lines, and put each stream's together; TEXT as it is where not all lines carry it.

    Lines before the first and behind the last labelled one are of the program that started the others, as are one in
    ten between them; its own lines come first and last.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    found = [label.match(line[:200]) for line in lines]
    at = [number for number, match in enumerate(found) if match]
    if len(at) < max(3, len(lines) / 2) or len(at) < 0.9 * (at[-1] - at[0] + 1):
        return text
    streams: dict[str, list[str]] = {"": lines[: at[0]]}
    for line, match in zip(lines[at[0] : at[-1] + 1], found[at[0] : at[-1] + 1], strict=True):
        stream = match.groupdict().get("stream", "") if match else ""
        streams.setdefault(stream, []).append(line[match.end() :] if match else line)
    if len(streams) > 1 + len(at) / 3:  # what differs from line to line is no name of a program
        return text
    return "\n".join([*chain.from_iterable(streams.values()), *lines[at[-1] + 1 :]])


def unwrap_events(output: str) -> str:
    """Take the words out of a stream of JSON events (`go test -json`)."""
    words = re.findall(r'"Output":("(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*")', output)
    return "".join(json.loads(word, strict=False) for word in words) if '"Action":"output"' in output else output
