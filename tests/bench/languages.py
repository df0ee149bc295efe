#!/usr/bin/env python3
"""Tell how much of what a fix needs stands in the fix prompt, for planted faults in languages other than Python.

Each fault of tests/bench/faults/faults.txt is put into a copy of its project, the project's own runner reports it to
lean-loop, and a scripted leaner keeps the fix prompt that reaches it. A prompt has all that is needed where it names
the failing test and holds the final error, the faulty line, five lines of the faulty function (all of a shorter one)
and the assertion. Beside it: the last 40 lines of the output, and everything (the output and every file of the project
that it names). Tokens are cl100k's where tiktoken and its table are there, else lean-loop's own estimate.

--held-out takes the faults of held_out.txt, in projects on which no weight was chosen and in which most tests go
through one function: what it finds is what to expect of such projects.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import leanloop  # noqa: E402

PROJECTS = ROOT / "tests" / "bench" / "faults"
CACHE = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")
WEB = CACHE / "web-1"
PACKAGES = ("vitest@3.2.4", "mocha@11", "typescript@5.9", "eslint@9", "tsx@4", "jest@30", "chai@5")
JARS = "/usr/share/java"
PLATFORM = (
    f"$(ls {JARS}/junit-*5*.jar {JARS}/junit-platform-*1.9.1.jar {JARS}/opentest4j-1*.jar {JARS}/picocli.jar"
    f" {JARS}/apiguardian-api.jar {JARS}/univocity-parsers.jar | tr '\\n' ':')"
)
COMMANDS = {
    "javascript/calendar": "node --test",
    "javascript/shop": "jest",
    "javascript/ledger": "mocha",
    "typescript/expressions": "vitest run",
    "typescript/depot": "node --import tsx --test test/depot.test.ts",
    "go/timetable": "go test ./...",
    "go/store": "go test ./...",
    "go/shipping": "go test ./...",
    "javascript/dispatch": "node --test",
    "typescript/schema": "vitest run",
    "go/broker": "go test ./...",
    "rust/sheet": "cargo test --offline -- --test-threads=1",
    "c/ini": "make -s test",
    "rust/grid": "cargo test --offline -- --test-threads=1",
    "rust/recipes": "cargo test --offline -- --test-threads=1",
    "rust/layout": "cargo test --offline -- --test-threads=1",
    "c/json": "make -s test",
    "c/textfmt": "make test",
    "c/schedule": "cmake -S . -B build > /dev/null && make -s -C build && ctest --test-dir build --output-on-failure",
    "java/library": f"javac -d out -cp {JARS}/junit-jupiter-api.jar:{JARS}/apiguardian-api.jar $(find src -name *.java)"
    f" && java -cp out:{PLATFORM} org.junit.platform.console.ConsoleLauncher --scan-classpath out --disable-banner",
    "java/routes": f"javac -d out -cp {JARS}/junit4.jar $(find src test -name '*.java')"
    f" && java -cp out:{JARS}/junit4.jar:{JARS}/hamcrest-core.jar org.junit.runner.JUnitCore routes.RouterTest",
}


@dataclass(frozen=True)
class Fault:
    """In FILE of PROJECT, RIGHT is replaced by WRONG; then TEST fails with ERROR at ASSERTION (pieces of lines)."""

    project: str
    file: str
    right: str
    wrong: str
    test: str
    error: str
    assertion: str

    @property
    def language(self) -> str:
        return self.project.split("/")[0]


def faults(name: str = "faults.txt") -> list[Fault]:
    """Read the planted faults of a list."""
    found = []
    for text in re.split(r"\n(?=@ )", (PROJECTS / name).read_text(encoding="utf-8").strip()):
        place, *lines = text.split("\n")
        told = dict(line.split(": ", 1) for line in lines if line)
        project, file = place.removeprefix("@ ").split()
        found.append(Fault(project, file, **told))
    return found


@dataclass(frozen=True)
class Told:
    """A text that could be sent, and what of a fault it holds."""

    tokens: int
    parts: dict[str, bool]
    hidden: bool

    def within(self, most: int, part: str) -> bool:
        return self.tokens <= most and (all(self.parts.values()) if part == "all" else self.parts[part])


def squeezed(text: str) -> str:
    return " ".join(text.split())


def function_lines(source: str, at: int) -> list[str]:
    """Give the lines of the function around line number AT (from 0): from its header to the end of its block."""
    lines = source.split("\n")
    indent = [len(line) - len(line.lstrip()) if line.strip() else 999 for line in lines]
    control = re.compile(
        r"\s*(?:\}?\s*(?:if|else|for|while|switch|case|match|loop|do|try|catch|default)\b|[\w:]+ => |[)}\]])"
    )
    first = at
    for above in range(at, -1, -1):
        if indent[above] < indent[first] or above == at:
            first = above
            if above != at and lines[above].rstrip().endswith(("{", "(", "=>")) and not control.match(lines[above]):
                break
            if lines[above].strip() == "{" and above and indent[above] == 0:
                first = above - 1
                break
    last = next(
        (
            below
            for below in range(at, len(lines))
            if below > first and indent[below] <= indent[first] and lines[below].strip() != "{"
        ),
        at,
    )
    return [squeezed(line) for line in lines[first : last + 1] if len(line.strip()) > 2]


def measure(text: str, fault: Fault, project: Path, output: str, count: Callable[[str], int]) -> Told:
    """Tell what TEXT holds of FAULT, whose project lies at PROJECT and whose runner printed OUTPUT."""
    source = (project / fault.file).read_text(encoding="utf-8")
    at = source[: source.index(fault.wrong)].count("\n")
    body, flat = function_lines(source, at), squeezed(text)
    faulty = squeezed(source.split("\n")[at])
    held = sum(line in flat for line in dict.fromkeys(body))
    parts = {
        "test": fault.test in text,
        "error": squeezed(fault.error) in flat,
        "line": faulty in flat,
        "body": held >= min(5, len(dict.fromkeys(body))),
        "assertion": squeezed(fault.assertion) in flat,
    }
    return Told(count(text), parts, Path(fault.file).name not in output)


def prepare(fault: Fault, folder: Path) -> Path:
    """Copy the project into FOLDER and plant the fault."""
    project = folder / "project"
    shutil.copytree(PROJECTS / fault.project, project, ignore=shutil.ignore_patterns("node_modules", "target"))
    if fault.language in ("javascript", "typescript"):
        (project / "node_modules").symlink_to(WEB / "node_modules")
        (project / ".gitignore").write_text("node_modules\n")
    file = project / fault.file
    source = file.read_text(encoding="utf-8")
    if source.count(fault.right) != 1:
        raise SystemExit(
            f"{fault.project} {fault.file}: {fault.right!r} stands there {source.count(fault.right)} times"
        )
    file.write_text(source.replace(fault.right, fault.wrong), encoding="utf-8")
    return project


LEANER = (
    '#!/usr/bin/env bash\ncp "$LEAN_PROMPT_FILE" "{folder}/prompt-$(ls "{folder}" | grep -c ^prompt)"\necho "no idea"\n'
)
LEANFILE = """[lean]
binary = "{folder}/leaner.sh"
base_url = ""
[runner]
command = {command}
shell = true
timeout = 300
[defaults]
summarize_errors = false
max_iters_per_task = 1
"""


def ask(project: Path, command: str, folder: Path) -> tuple[str, str]:
    """Let lean-loop report to a scripted leaner; give the fix prompt and what the runner printed."""
    (folder / "leaner.sh").write_text(LEANER.format(folder=folder))
    (folder / "leaner.sh").chmod(0o755)
    leanfile = folder / "leanfile.toml"
    text = LEANFILE.format(folder=folder, command="'''" + command + "'''")
    leanfile.write_text(text.replace("[defaults]", f'[defaults]\nproject_root = "{project}"'))
    path = os.pathsep.join([str(WEB / "node_modules" / ".bin"), os.environ["PATH"]])
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("LEAN_") and name != "RUST_BACKTRACE"
    }
    cargo = {"CARGO_HOME": os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")}
    rustup = {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup")}
    caches = {"GOCACHE": str(CACHE / "go-build"), "CARGO_TARGET_DIR": str(folder / "target"), "CI": "1"}
    env = {
        **kept,
        **cargo,
        **rustup,
        **caches,
        "PATH": path,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "NO_COLOR": "1",
    }
    argv = [sys.executable, str(ROOT / "leanloop.py"), "-c", str(leanfile)]
    done = subprocess.run(argv, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    prompts = sorted(folder.glob("prompt-*"))
    outputs = sorted(folder.glob("state/lean-loop/*/runs/*/*tests*.txt"))
    if not prompts or not outputs:
        raise SystemExit(f"{command}: no prompt was sent\n{done.stdout}{done.stderr}")
    return prompts[-1].read_text(encoding="utf-8"), outputs[0].read_text(encoding="utf-8")


def everything(output: str, project: Path) -> str:
    """Join the whole output and every file of the project that it names."""
    paths = [path for path in project.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    named = [path for path in paths if re.search(rf"(?<![\w.]){re.escape(path.name)}\b", output) and path.suffix != ""]
    return "\n".join([output, *(path.read_text(encoding="utf-8", errors="replace") for path in sorted(named))])


METHODS = ("lean-loop", "last 40 lines", "everything")
PARTS = ("test", "error", "line", "body", "assertion", "all")


def try_one(fault: Fault, count: Callable[[str], int], keep: Path | None) -> dict[str, Told]:
    """Plant one fault; measure what each method sends."""
    with tempfile.TemporaryDirectory(prefix="lean-loop-") as made:
        folder = Path(made).resolve()
        project = prepare(fault, folder)
        prompt, output = ask(project, COMMANDS[fault.project], folder)
        if keep:
            name = f"{fault.project.replace('/', '-')}-{Path(fault.file).stem}-{abs(hash(fault.right)) % 1000}"
            (keep / f"{name}.txt").write_text(f"{fault}\n{prompt}\n=== output\n{output}", encoding="utf-8")
        texts = (prompt, "\n".join(output.splitlines()[-40:]), everything(output, project))
        return {name: measure(text, fault, project, output, count) for name, text in zip(METHODS, texts, strict=True)}


def percent(told: Sequence[Told], most: int, part: str) -> str:
    return f"{100 * sum(item.within(most, part) for item in told) / len(told):6.0f}" if told else "     -"


def install() -> None:
    """Put the JavaScript runners into the cache."""
    if not (WEB / "node_modules").is_dir():
        WEB.mkdir(parents=True, exist_ok=True)
        (WEB / "package.json").write_text('{"private": true}\n')
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *PACKAGES], cwd=WEB, check=True)


def counting() -> Callable[[str], int]:
    """Count as cl100k does where it can be done here."""
    import pytest

    from tokens import counter

    try:
        return counter(CACHE, fetch=False)
    except pytest.skip.Exception:
        return leanloop.tokens


def able(language: str) -> bool:
    """Tell whether a language's tools are on this machine."""
    needs = {
        "javascript": "node npm",
        "typescript": "node npm",
        "go": "go",
        "rust": "cargo",
        "c": "gcc make ctest",
        "java": "javac",
    }
    here = all(shutil.which(name) for name in needs[language].split())
    return here and (language != "java" or Path(f"{JARS}/junit-jupiter-api.jar").is_file())


def survey(
    languages: Sequence[str], jobs: int = 3, keep: Path | None = None, name: str = "faults.txt"
) -> dict[Fault, dict[str, Told]]:
    """Measure the faults of LANGUAGES in the list NAME."""
    chosen = [fault for fault in faults(name) if fault.language in languages and able(fault.language)]
    if any(fault.language in ("javascript", "typescript") for fault in chosen):
        install()
    count = counting()
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(chosen, pool.map(lambda fault: try_one(fault, count, keep), chosen), strict=True))


def show(found: dict[Fault, dict[str, Told]]) -> None:
    """Print the tables."""
    for most in (1000, 2000, 4000):
        print(f"\nwithin {most} tokens, %         n  " + "".join(f"{part:>10}" for part in PARTS))
        for method in METHODS:
            for title, chosen in (
                (method, list(found)),
                ("  file not in the output", [fault for fault in found if found[fault][method].hidden]),
            ):
                told = [found[fault][method] for fault in chosen]
                print(f"{title:<26}{len(told):5}  " + "".join(f"{percent(told, most, part):>10}" for part in PARTS))
    print("\nby language, all within 2000 %, median tokens")
    for language in dict.fromkeys(fault.language for fault in found):
        own = [item["lean-loop"] for fault, item in found.items() if fault.language == language]
        median = statistics.median(item.tokens for item in own)
        print(f"{language:<14}{len(own):4}{percent(own, 2000, 'all')}{median:8.0f}")
    for method in METHODS:
        print(f"median tokens, {method}: {statistics.median(item[method].tokens for item in found.values()):.0f}")
    for fault, item in found.items():
        sent = item["lean-loop"]
        if not sent.within(2000, "all"):
            missing = ", ".join(part for part, here in sent.parts.items() if not here) or "-"
            print(f"not all: {fault.project} {fault.file}: {fault.wrong}\n    {sent.tokens} tokens, without {missing}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "languages", nargs="*", default=[], help="only these (javascript, typescript, go, rust, c, java)"
    )
    options.add_argument("--jobs", type=int, default=3, help="how many at a time")
    options.add_argument("--held-out", action="store_true", help="other faults, on which no weight was chosen")
    options.add_argument("--keep", type=Path, help="write prompts and outputs into this folder")
    given = options.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    languages = given.languages or [name.split("/")[0] for name in COMMANDS]
    show(survey(languages, given.jobs, given.keep, "held_out.txt" if given.held_out else "faults.txt"))


if __name__ == "__main__":
    main()
