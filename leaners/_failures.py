"""Reading failures: what a test run printed goes in, and what it says of its tests comes out.

The loop loads this file with the first test run. What is particular to a runner is a row of _readers.txt; nothing here
runs or writes anything.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache, reduce
from itertools import islice
from pathlib import Path, PurePosixPath

from _wrapping import normalize
from leanloop import Failure, Frame, fits_name, project_files, read_text, rx, shorten, table

NEVER = "(?!)"


@dataclass(frozen=True, eq=False)
class OutputReader:
    """How one runner reports: a row of `leaners/_readers.txt`, which explains the fields; others fit nothing."""

    name: str
    failing: Sequence[str]
    final: Sequence[str]
    command: str = NEVER
    summary: str = NEVER
    known: str = NEVER
    repeats: str = ""
    starts: str = ""
    certain: str = NEVER
    prefer: str = NEVER
    also: str = ""
    idle: str = NEVER
    within: str = NEVER
    block: str = NEVER
    end: str = NEVER
    frame: str = NEVER
    noise: str = NEVER
    aside: str = NEVER
    passed: str = NEVER
    subtract: str = NEVER
    failed: str = NEVER
    skipped: str = NEVER

    def is_named_by(self, command: str) -> bool:
        return bool(rx(self.command).search(command))

    def summaries(self, text: str) -> Sequence[re.Match[str]]:
        """Find the runner's closing words in TEXT: those that any program may print at its end alone."""
        part = text if self.prefer == NEVER else text[-8000:]
        return matches(self.summary, part) if rx(self.also).search(text) else ()

    def finds_failure(self, text: str) -> bool:
        return any(rx(pattern).search(text) for pattern in (self.block, *self.failing))


@dataclass(frozen=True)
class Summary:
    """What the closing words of a run's output tell; `passed` is None where they do not, `red` quotes a red one."""

    passed: int | None = None
    failed: int = 0
    skipped: int = 0
    red: str = ""


@lru_cache(maxsize=128)
def matches(pattern: str, text: str) -> Sequence[re.Match[str]]:
    """Find PATTERN in TEXT; what one output is asked again and again is looked for once."""
    return tuple(rx(pattern).finditer(text)) if pattern != NEVER else ()


@cache
def output_readers() -> list[OutputReader]:
    """List the table's rows; the last one reads what no other knows."""
    _, *rows = table("_readers.txt").items()
    joined = {name: {key: "|".join(row[key]) for key in row.keys() - {"failing", "final"}} for name, row in rows}
    return [
        OutputReader(name, row.get("failing") or row["block"], row.get("final", ()), **joined[name])
        for name, row in rows
    ]


NATIVE_FRAME = re.compile(r'File "(?P<path>[^"\n]+)", line (?P<line>\d{1,7})(?:, in (?P<function>.+))?')
PLACE = re.compile(
    r"(?P<ending>\.[A-Za-z]\w{0,5})(?:\(|:\[?|:line |,? (?:on )?line | (?=\d+:\d+ )|: [^\n(]{1,80}\((?=\d+:\d+\)))"
    r"(?P<line>\d{1,7})(?:[^\n]{0,9}?: in (?P<function>\w+))?"
)
PATH_BACKWARDS = re.compile(r"[\w./\\@+~-]+(?::[A-Za-z](?!\w))?")
BELOW_HEADING = re.compile(r"\s+(\d{1,7}):\d+\s+\S")
FOREIGN = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|\.venv|venv|lib/python3[.\d]*|rustc|\.cargo|dist)/"
    r"|^(?:build|out|target|vendor|coverage|obj)/|^<|\bnode:|^java\.base/"
)


def closing_readers(text: str, command: str) -> list[OutputReader]:
    """List the runners whose closing words stand in TEXT: those that COMMAND names, the others, the last first, any."""
    ends = {reader.name: found[-1].end() for reader in output_readers() if (found := reader.summaries(text))}
    closing = [reader for reader in output_readers() if reader.name in ends]
    return sorted(closing, key=lambda own: (own.prefer != NEVER, not own.is_named_by(command), -ends[own.name]))


MARKED = 100_000  # characters at each end of an output, where the marks of a runner are looked for


def choose_reader(text: str, command: str) -> OutputReader:
    """Choose who reads the failure in TEXT: by the command and the closing words, else by other marks of a runner."""
    *others, plain = output_readers()
    closing = closing_readers(text, command)
    if any(reader.is_named_by(command) for reader in closing):  # it says itself what failed
        closing = [reader for reader in closing if reader is not plain]
    closing.sort(key=lambda own: not own.is_named_by(command) and not any(own_failed(own, text, command)))
    closing.sort(key=lambda own: own.starts)
    if found := next((own for own in closing if own.finds_failure(text) or failing_tests(text, own, command)), None):
        return found
    ends = text if len(text) < 2 * MARKED else f"{text[:MARKED]}\n{text[-MARKED:]}"
    marked = [reader for reader in others if reader.known != NEVER and rx(reader.known).search(ends)]
    if any(starts_directly(reader, command) for reader in others):  # marks of others are what the tests printed
        marked = [reader for reader in marked if reader.is_named_by(command) or NEVER in reader.failing]
    marked.sort(key=lambda reader: not reader.is_named_by(command))
    guess = [] if any(reader.is_named_by(command) for reader in closing) else [plain]
    finding = (reader for reader in (*marked, *guess) if reader.finds_failure(text))
    return next(finding, closing[0] if closing else plain)


def extract_names(patterns: Iterable[str], text: str) -> list[str]:
    """List what the first of PATTERNS that is found names (the first filled group), each once and on one line."""
    for pattern in patterns:
        groups = (next(filter(None, match.groups()), match[0]) for match in rx(pattern).finditer(text))
        if found := list(dict.fromkeys(" ".join(group.split()) for group in islice(groups, 2000))):
            return found
    return []


EXIT_LOST = (  # what stands last in a command, and ends well whatever the tests did
    r"\|\s*(?:tee|cat|tail|head|e?grep|sed|awk|less|more|ts|tr|cut)\b[^|;&\n]*$"
    r"|(?:;|\|\|)\s*(?:true|:|exit 0|echo\b[^|;&\n]*);?\s*$"
)
HIDING = r"[;|&\n]"  # where one of these stands in a command, its exit code need not be the runner's


def starts_directly(reader: OutputReader, command: str) -> bool:
    """Tell whether COMMAND starts the runner of READER, and nothing can hide its exit code."""
    return reader.is_named_by(command) and not rx(HIDING).search(command)


def own_summaries(reader: OutputReader, text: str, command: str, green: bool) -> list[str]:
    """List the closing words of READER in TEXT that are its own.

    One that COMMAND starts directly prints them once, unless it repeats them, and they fit its exit code, which is
    GREEN or not: others are what the tests printed.
    """
    words = [match[0] for match in reader.summaries(text)]
    if reader.prefer != NEVER:
        return ([own for own in words if rx(reader.prefer).search(own)] or words)[-1:]
    if not starts_directly(reader, command):
        return words
    fitting = [own for own in words if rx(reader.certain).search(own) or green == (not total(reader.failed, own))]
    if reader.repeats:
        return fitting if green and fitting else words
    return (fitting or words)[-1:]


def own_failed(reader: OutputReader, text: str, command: str) -> list[int]:
    """Count the failed tests in each of the closing words of READER in TEXT, a red run's."""
    return [total(reader.failed, words) for words in own_summaries(reader, text, command, green=False)]


def read_summary(output: str, command: str = "", green: bool = True) -> Summary:
    """Add up the closing words of the runners that COMMAND names, else of the one that closes OUTPUT."""
    text = normalize(output)
    closing = closing_readers(text, command)
    heard = [reader for reader in closing if reader.is_named_by(command)] or closing[:1]
    if all(reader.certain == "." for reader in heard):  # it starts other programs
        heard += [reader for reader in closing if reader not in heard][:1]
    found = [(reader, own) for reader in heard for own in own_summaries(reader, text, command, green)]
    red = [words for reader, words in found if total(reader.failed, words)]
    counted = [(reader, words) for reader, words in found if reader.passed != NEVER]
    passed = sum(count_passed(reader, words) for reader, words in counted)
    skipped = sum(total(reader.skipped, words) for reader, words in found)
    done = skipped and all(starts_directly(reader, command) for reader in heard)
    if counted and not passed and not red and not done:  # another part of the run may have had tests
        rest = reduce(lambda left, own: left.replace(own[1], ""), counted, text)
        passed = max((count_passed(own, words[0]) for own in closing for words in own.summaries(rest)), default=0)
    failed = sum(total(reader.failed, words) for reader, words in found)
    nothing = not counted and says_nothing(text)
    passed *= not any(rx(reader.idle).search(text) for reader in heard)
    return Summary(
        passed if counted else 0 if nothing else None, failed, skipped, " ".join(red[-1].split()) if red else ""
    )


def count_passed(reader: OutputReader, words: str) -> int:
    """Count the tests that passed, by a runner's closing WORDS."""
    return max(0, total(reader.passed, words) - total(reader.subtract, words))


def says_nothing(text: str) -> bool:
    """Tell whether one of the last lines says that no test ran."""
    last = "\n".join([line for line in text.splitlines() if line.strip()][-12:])
    return any(rx(pattern).search(last) for pattern in table("_readers.txt")["shared"]["nothing"])


def loses_exit(command: str) -> bool:
    """Tell whether COMMAND ends with 0 whatever its tests did."""
    return bool(rx(EXIT_LOST).search(command.strip())) and "pipefail" not in command


def total(pattern: str, words: str) -> int:
    """Sum the numbers that PATTERN finds in WORDS; an empty one is 1."""
    return sum(int(next(filter(None, match.groups()), "1")) for match in rx(pattern).finditer(words))


@lru_cache(maxsize=8)
def failing_tests(text: str, reader: OutputReader, command: str) -> tuple[str, ...]:
    """Name the failing tests, no more than the runner counted: as READER does, else by a shape that names as many.

    One that holds others ("A/b" in "A/b/c") is left out.
    """
    parts = [match[0] for match in matches(reader.within, text)]
    several = reader.repeats or not starts_directly(reader, command)
    tests = extract_names(reader.failing, "\n".join(parts if several else parts[-1:]) or text)
    parents = {name[:at] for name in tests[:500] for at in range(len(name)) if name[at] == "/"}
    tests = [name for name in tests if name not in parents]
    failed = own_failed(reader, text, command)
    if not failed and reader.prefer != NEVER and any(starts_directly(own, command) for own in output_readers()):
        return ()  # a runner that the table knows names its tests in its own way
    if not failed or r"(\d+)" not in reader.failed or NEVER in reader.failing:
        return tuple(tests)
    counted = sum(failed)
    if counted and (reader.prefer != NEVER or (not tests and tells_number(reader, text, command))):
        tests = names_counted(reader, text[-200_000:], counted) or tests
    return tuple(tests[max(0, len(tests) - counted) :])


def tells_number(reader: OutputReader, text: str, command: str) -> bool:
    """Tell whether the closing words of READER in TEXT give a number of failed tests, not only that some did."""
    words = own_summaries(reader, text, command, green=False)
    return any(any(match.groups()) for own in words for match in rx(reader.failed).finditer(own))


def names_counted(reader: OutputReader, text: str, counted: int) -> list[str]:
    """List the names in TEXT that READER or a shape finds and that are as many as COUNTED: those that stand last."""
    *shapes, loose = table("_readers.txt")["shared"]["shape"]
    best, last = list[str](), -1
    for pattern in (*reader.failing, *shapes):
        names = extract_names([pattern], text)
        if len(names) == counted and (begin := matches(pattern, text)[-1].start()) > last:
            best, last = names, begin
    return best or [name for names in [extract_names([loose], text)] if len(names) == counted for name in names]


def read_failure(output: str, root: Path, tail: int = 40, command: str = "") -> Failure:
    """Read what a red test run of COMMAND printed.

    Gives the failing tests, the final error of the first failure, its block without the noise (at most TAIL lines of
    it), the frames that lie in the project at ROOT, outermost first, and what the other failures end with. Where no
    error is found, or no name though the runner has some, the end of the output is the excerpt and `reader` is empty.
    """
    text, resolver = strip_root(normalize(output), root), PathResolver(root)
    reader = choose_reader(text, command)
    tests = [*failing_tests(text, reader, command)]
    shared, names = table("_readers.txt")["shared"], "|".join(map(re.escape, tests[:9])).replace("\\ ", r"\s+") or NEVER
    for own in (reader, replace(reader, block=f"^.*?({names})", end=NEVER, final=shared["told"])):
        told = [(name, block, final_error(block, own.final)) for name, block in failure_blocks(text, own, tests)]
        if any(final for *_, final in told) or final_error(text, reader.final):
            break
    name, block, final = next(
        (item for item in told if item[2]),
        ("", text, final_error(text, (*reader.final, *shared["any"]))),
    )
    tests.sort(key=lambda test: bool(name) and not fits_name(name, [test]))  # the test that is shown is the first
    shown = drop_noise(shorten(block, 2000, 1000, mark=final), reader, resolver)
    if block is text and len(tests) > 1 and final in " ".join(shown.partition(tests[1])[0].split()):
        shown = shown[: shown.rfind("\n", 0, shown.find(tests[1]))]  # what comes before the second failing test
    frames = tuple(resolver.find(shown, tests) or resolver.find(block, tests) or resolver.find(text, tests))
    if not final or (reader.failing and not tests and block is text and reader.name != "plain"):
        return Failure(tuple(tests), final, shorten(text.strip("\n"), tail), frames)
    others = tuple((other, error) for other, _, error in told if error and other != name)
    excerpt = shorten(shown, tail, mark=final)
    return Failure(tuple(tests), final, excerpt, frames, others, reader.name)


def strip_root(text: str, root: Path) -> str:
    """Take ROOT off the paths in TEXT that begin with it."""
    return re.sub(rf"(?<![\w.@~+-]){re.escape(f'{root}{os.sep}')}", "", text)


def failure_blocks(text: str, reader: OutputReader, tests: Sequence[str], most: int = 200) -> Iterator[tuple[str, str]]:
    """Cut the reports of single failures out of TEXT: the test's name and the block, cut to 400 lines."""
    begins = list(islice(rx(reader.block).finditer(text), 20_000))
    known, given = set(tests), 0
    for begin, following in zip(begins, [*begins[1:], None], strict=False):
        name = next((" ".join(group.split()) for group in begin.groups() if group), "")
        if (tests and name and name not in known and not fits_name(name, tests)) or given == most:
            continue
        stop = following.start() if following else len(text)
        end = rx(reader.end).search(text, begin.end(), stop)
        block = text[begin.start() : end.start() if end else stop]
        given += 1
        yield name, shorten(block, 400)


def final_error(text: str, patterns: Sequence[str]) -> str:
    """Find the error that the first of PATTERNS finds in TEXT, on one line; of Python's chains the last one."""
    for pattern in patterns:
        if found := extract_names([pattern], text):
            return shorten(found[-1 if "(?!E )" in pattern or "Traceback" in pattern else 0], 1, 600)
    return ""


ASIDE = 10  # lines of what a test printed


def drop_noise(block: str, reader: OutputReader, resolver: PathResolver) -> str:
    """Take out of a failure's BLOCK the noise, the frames outside the project, addresses and blank lines."""
    from textwrap import dedent

    def own(frame: re.Match[str]) -> str:
        if resolver.find(frame[0]):
            return frame[0]
        return "".join(line for line in frame[0].splitlines(keepends=True) if line.startswith("E "))

    text = rx(reader.aside).sub(lambda said: f"{shorten(said[0], ASIDE)}\n", block)
    text = rx(reader.noise).sub("", rx(reader.frame).sub(own, text))
    text = rx(r"^[-_]{3,} (.+?) [-_]{3,}$").sub(r"\1", rx(r"\b0x[0-9a-fA-F]{6,}").sub("0x", text))
    text = rx(r"^((?:.+\n){1,4}?)\1{2,}").sub(r"\1[... the same again and again ...]\n", rx(r"\n\s*\n").sub("\n", text))
    return dedent(text).strip("\n")


class PathResolver:
    """Finds the places of the project at ROOT in a text; lists the folder only when it has to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[tuple[str, str], str] = {}

    @cached_property
    def files(self) -> dict[str, list[str]]:
        """The project's files by their names."""
        found: dict[str, list[str]] = {}
        for path in project_files(self.root):
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def find(self, text: str, tests: Sequence[str] = (), most: int = 40) -> list[Frame]:
        """List the places in TEXT, outermost first, each once; TESTS tell files of the same name apart."""
        found, heading = dict[Frame, None](), ""
        whole = text.replace("\\n", "\n")  # an error may quote the traceback of a program that the test ran
        for line in islice(whole.splitlines(), 20_000):
            for path, number, function in mentioned_places(line, heading):
                if int(number) and (own := self.resolve(path, line, tests)):
                    found[Frame(own, int(number), function)] = None
            heading = line if not line[:1].isspace() else heading
            if len(found) >= most:
                break
        return list(found)[:: 1 if any(frame.path.endswith((".py", ".pyi")) for frame in found) else -1]

    def resolve(self, path: str, line: str, tests: Sequence[str]) -> str:
        """Turn a printed PATH into one relative to the root; empty where it is not one of the project's own."""
        path = re.sub(r"^/(?=/)/?", "", os.path.normpath(path.replace("\\", "/")).replace("\\", "/"))
        if "/" not in path and (package := re.search(rf"((?:[a-z_]\w*\.)+)[A-Z][\w$.<>]*\({re.escape(path)}:", line)):
            path = package[1].replace(".", "/") + path  # a Java frame
        key = (path, line if "/" not in path else "")
        if key not in self.known:
            self.known[key] = ""
            with contextlib.suppress(OSError, ValueError):
                self.known[key] = self.as_it_stands(path) or self.by_tail(path, line, tests)
        return self.known[key]

    def as_it_stands(self, path: str) -> str:
        """Take PATH from the root on."""
        whole, root = Path(os.path.normpath(self.root / path)), self.root.resolve()
        inside = whole.is_relative_to(self.root) and whole.is_file() and whole.resolve().is_relative_to(root)
        own = whole.relative_to(self.root).as_posix() if inside else ""  # a link may have led elsewhere
        return "" if FOREIGN.search(path) or FOREIGN.search(own) else own

    def by_tail(self, path: str, line: str, tests: Sequence[str]) -> str:
        """Find the file that PATH ends like, seen from another folder or machine; the LINE's words and TESTS decide."""
        outside = Path(path).is_file() or (self.root / path).exists() or ".." in path.split("/")[1:]
        if outside or FOREIGN.search(path):
            return ""
        path = re.sub(r"^(?:[A-Za-z]:)?(?:\.{0,2}/)+", "", path)
        known = self.files.get(path.rpartition("/")[2], ())
        alike = [own for own in known if f"/{own}".endswith(f"/{path}") or f"/{path}".endswith(f"/{own}")]
        parts = [re.split(r"\W", name) for name in tests[:50]]
        words = {word for split in parts for word in (split[0], split[-1])}

        def likeness(item: str) -> tuple[int, bool, int]:
            named = sum(part in line for part in PurePosixPath(item).parent.parts)
            asked = len(alike) > 1 and not words.isdisjoint(re.findall(r"\w+", read_text(self.root / item, 200_000)))
            return named, asked, -len(item)

        return max(alike[:50], key=likeness, default="")


def mentioned_places(line: str, heading: str) -> Iterator[tuple[str, str, str]]:
    """Find the places that a LINE names, as path, line number and function; HEADING may name its file."""
    if below := BELOW_HEADING.match(line):
        yield heading.strip(), below[1], ""
    if native := NATIVE_FRAME.search(line) if 'File "' in line else None:
        yield native["path"], native["line"], (native["function"] or "").strip()
        return
    for match in islice(PLACE.finditer(line), 8):
        before = line[max(0, match.start() - 300) : match.end("ending")]
        if path := PATH_BACKWARDS.match(before[::-1]):
            yield path[0][::-1], match["line"], match["function"] or ""
