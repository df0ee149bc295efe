#!/usr/bin/env python3
"""Measure what a fix prompt carries: seeded faults in real PyPI projects, each killed by the project's own tests.

Every fault is one changed place in one function, found red by the project's whole suite. lean-loop runs on it for real,
without tasks, in three traceback styles; a scripted leaner that mends nothing keeps the fix prompt it got. Asked
of each prompt: the failing test's name, its final error, its assertion's source line, the faulty line, and at least
five lines of the faulty function (all of a shorter one), within its first 1,000, 2,000 and 4,000 cl100k tokens. Beside
it stand two baselines: the last 40 lines of output, and the whole output followed by every file that it names.

--held-out takes other projects, on which no weight was chosen: what it finds is what to expect elsewhere.

Source distributions, their environment and the faults that were found are kept outside the checkout; what one round has
measured is kept with --keep FOLDER, and a later one with the same folder goes on where it ended.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tokens import counter  # noqa: E402

CACHE = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")
NEEDS = (
    "pytest==9.2.0",
    "markupsafe==3.0.3",
    "hypothesis==6.170.15",
    "trio==0.31.0",
    "whatever==0.7",
    "PyYAML==6.0.3",
)
STYLES = {"auto": ("--tb=auto",), "short": ("--tb=short", "-x"), "native": ("--tb=native",)}
SIZES = (1000, 2000, 4000)
ASKED = ("test", "error", "line", "body", "assertion", "all")
LEANER = """#!/usr/bin/env bash
cp "$LEAN_PROMPT_FILE" "$KEPT/prompt.md"
test -e "$KEPT/asked" && { echo "enough" >&2; exit 2; }
touch "$KEPT/asked"
echo "I do not know."
"""
LEANFILE = """
[lean]
binary = "{leaner}"
base_url = ""
[runner]
command = "{python}"
args = {args}
env = {{ PYTHONPATH = "{path}" }}
timeout = 120
[defaults]
summarize_errors = false
max_iters_per_task = 1
"""


@dataclass(frozen=True)
class Real:
    """A project on PyPI whose source distribution holds its tests; `source` is the folder that is mutated."""

    name: str
    version: str
    source: str
    tests: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The folder that has to stand on PYTHONPATH."""
        return "src" if self.source.startswith("src/") else "."


PROJECTS = (
    Real("isodate", "0.7.2", "src/isodate"),
    Real("jinja2", "3.1.6", "src/jinja2"),
    Real("mistune", "3.1.4", "src/mistune"),
    Real("parso", "0.8.5", "parso"),
    Real("tomlkit", "0.13.3", "tomlkit", ("tests", "--ignore=tests/test_toml_spec_tests.py")),
    Real("pyflakes", "3.4.0", "pyflakes"),
    Real("h11", "0.16.0", "h11"),
    Real("voluptuous", "0.15.2", "voluptuous"),
    Real("docstring_parser", "0.17.0", "docstring_parser"),
    Real("tinydb", "4.8.2", "tinydb", ("-o", "addopts=")),
    Real("w3lib", "2.3.1", "w3lib"),
    Real("funcy", "2.0", "funcy"),
    Real("xmltodict", "0.15.0", "xmltodict.py"),
    Real("pathspec", "0.12.1", "pathspec"),
    Real("pyrsistent", "0.20.0", "pyrsistent"),
    Real("webcolors", "24.11.1", "src/webcolors"),
    Real("semver", "3.0.4", "src/semver", ("tests", "-o", "addopts=")),
)
HELD_OUT = (
    Real("boltons", "26.2.0", "boltons"),
    Real("cachetools", "8.0.1", "src/cachetools"),
    Real("sqlparse", "0.6.1", "sqlparse"),
    Real("tabulate", "0.10.0", "tabulate", ("test",)),
    Real("toolz", "1.2.0", "toolz"),
)


@dataclass(frozen=True)
class Fault:
    """One changed place: from `begin` to `end` (bytes of the file) stands `text`; `line` counts from 1.

    `tests` tell of each test that fails its name, error and asserting line; `far` says that the file stands in no
    traceback of the first one.
    """

    project: str
    path: str
    line: int
    begin: int
    end: int
    text: str
    kind: str
    function: tuple[int, int]
    tests: tuple[tuple[str, str, str], ...] = ()
    far: bool = False

    @property
    def name(self) -> str:
        return f"{self.project}-{Path(self.path).stem}-{self.line}-{self.begin}"


# --------------------------------------------------------------------------------------------------------- faults

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
REPLACED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.Mod: ast.Add,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Say in which ways NODE can be wrong, as kind and text."""
    made: ast.AST = copy.deepcopy(node)
    match made:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARED:
            made.ops = [COMPARED[type(operator)]()]
            yield "comparison", ast.unparse(made)
        case ast.BinOp(op=operator) if type(operator) in REPLACED:
            made.op = REPLACED[type(operator)]()
            yield "operator", ast.unparse(made)
        case ast.BoolOp():
            made.op = ast.Or() if isinstance(made.op, ast.And) else ast.And()
            yield "and, or", ast.unparse(made)
        case ast.UnaryOp(op=ast.Not()):
            yield "not removed", ast.unparse(made.operand)
        case ast.Constant(value=bool()):
            yield "flag", str(not made.value)
        case ast.Constant(value=int()):
            yield "off by one", str(cast(int, made.value) + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "return", "return None"
        case ast.Call(args=[ast.expr(), ast.expr(), *_]) if not any(isinstance(a, ast.Starred) for a in made.args):
            made.args[:2] = [made.args[1], made.args[0]]
            yield "arguments swapped", ast.unparse(made)
        case ast.Expr(value=ast.Call()) | ast.Assign() | ast.AugAssign():
            yield "statement dropped", "pass"
        case ast.IfExp():
            made.body, made.orelse = made.orelse, made.body
            yield "branches swapped", ast.unparse(made)


def possible(project: str, path: str, source: str) -> list[Fault]:
    """List every fault of one changed place, on one line inside a function, that the file can have."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Fault] = []

    def visit(node: ast.AST, function: tuple[int, int] | None) -> None:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = (child.lineno, child.end_lineno or child.lineno)
            where = child if isinstance(child, ast.expr | ast.stmt) else None
            if where and function and where.lineno == where.end_lineno and where.lineno > function[0]:
                begin = starts[where.lineno - 1] + where.col_offset
                end = starts[where.lineno - 1] + (where.end_col_offset or 0)
                for kind, text in changes(where):
                    found.append(Fault(project, path, where.lineno, begin, end, text, kind, function))
            if not isinstance(child, ast.JoinedStr):
                visit(child, inner)

    visit(ast.parse(source), None)
    return found


def candidates(real: Real, root: Path, seed: int) -> list[Fault]:
    """List the faults of a project in a seeded order, those of one function and of one kind far apart."""
    top = root / real.source
    files = sorted(top.rglob("*.py")) if top.is_dir() else [top]
    paths = [path.relative_to(root).as_posix() for path in files]
    paths = [path for path in paths if not re.search(r"(?:^|/)(?:tests?|_vendor|python2)/|test_|__main__", path)]
    found = [item for path in paths for item in possible(real.name, path, (root / path).read_text(encoding="utf-8"))]
    random.Random(f"{seed} {real.name}").shuffle(found)
    seen: dict[object, int] = {}

    def turn(item: Fault) -> int:
        keys = ((item.path, item.function), item.kind, item.path)
        for key in keys:
            seen[key] = seen.get(key, 0) + 1
        return 4 * seen[keys[0]] + seen[keys[1]] + seen[keys[2]]

    return sorted(found, key=turn)


def plant(fault: Fault, root: Path) -> None:
    """Put FAULT into the project at ROOT."""
    file = root / fault.path
    raw = file.read_bytes()
    file.write_bytes(raw[: fault.begin] + fault.text.encode() + raw[fault.end :])


# ---------------------------------------------------------------------------------------------------- real projects


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make FOLDER beside its place and move it there, so that it is whole or not there."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            made = Path(name) / folder.name
            make(made)
            if not folder.exists():
                made.rename(folder)
    return folder


PIP = ("-m", "pip", "--disable-pip-version-check", "-q")


def environment() -> Path:
    """Give the Python of the cached environment that the projects' tests need."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), *PIP, "install", *NEEDS], check=True)

    return make_once(CACHE / "python-faults-1", install) / "bin" / "python"


def source_of(real: Real) -> Path:
    """Give the unpacked source distribution."""

    def download(target: Path) -> None:
        only = ("--no-deps", "--no-binary", real.name, "-d", str(target))
        subprocess.run([sys.executable, *PIP, "download", *only, f"{real.name}=={real.version}"], check=True)
        (packed,) = target.glob("*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(target, filter="data")
        packed.unlink()

    (root,) = make_once(CACHE / f"sdist-{real.name}-{real.version}", download).iterdir()
    return root


def sealed(home: Path, path: str) -> dict[str, str]:
    """Make an environment without anything of this machine's but PATH."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(home / "config"), "NO_PROXY": "*", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def arguments(real: Real, style: str) -> list[str]:
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", *STYLES[style], *real.tests]


@dataclass(frozen=True)
class Copy:
    """A project in a folder of its own, with one fault."""

    home: Path
    root: Path

    def pytest(self, real: Real, style: str, *more: str) -> subprocess.CompletedProcess[str]:
        argv = [str(environment()), *arguments(real, style), *more]
        env = sealed(self.home, real.path)
        return subprocess.run(argv, cwd=self.root, env=env, text=True, capture_output=True, timeout=120)


class Copies:
    """Makes and removes copies of a project with a fault in it."""

    def __init__(self, real: Real, fault: Fault) -> None:
        self.real, self.fault = real, fault

    def __enter__(self) -> Copy:
        self.folder = tempfile.TemporaryDirectory(prefix="lean-loop-faults-")
        root = Path(self.folder.name) / "project"
        shutil.copytree(source_of(self.real), root, symlinks=True)
        plant(self.fault, root)
        return Copy(Path(self.folder.name), root)

    def __exit__(self, *exc: object) -> None:
        self.folder.cleanup()


FRAME = re.compile(r'^ *File "(?P<path>[^"]+)", line (?P<line>\d+), in .*\n *(?P<source>.*)$', re.MULTILINE)


def killed(real: Real, fault: Fault) -> Fault | None:
    """Run the project's tests on FAULT; give it back with what fails, or nothing where no test does."""
    with Copies(real, fault) as made:
        report = made.home / "report.xml"
        try:
            done = made.pytest(real, "native", f"--junitxml={report}")
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 1 or not report.is_file():
            return None
        failed = [(case, told) for case in ElementTree.parse(report).iter("testcase") for told in case
                  if told.tag == "failure"]  # fmt: skip
        tests = [
            (re.split(r"[\[(: ]", case.get("name", ""))[0], told.get("message", ""), asserting(told.text or "", fault))
            for case, told in failed
        ]
        seen = [Path(frame["path"]).name for frame in FRAME.finditer(failed[0][1].text or "")] if failed else []
        far = Path(fault.path).name not in seen
        told_well = tuple(test for test in tests[:50] if all(test))
        return Fault(**{**asdict(fault), "tests": told_well, "far": far}) if tests and all(tests[0]) else None


def asserting(traceback: str, fault: Fault) -> str:
    """Find the line of test code that a native traceback ends in, or passes last."""
    frames = [frame for frame in FRAME.finditer(traceback) if re.search(r"(?:^|/|_)tests?[/_]|_test", frame["path"])]
    return frames[-1]["source"].strip() if frames else ""


def faults_of(real: Real, count: int, seed: int) -> list[Fault]:
    """Give COUNT faults of a project that its tests find; what was found is kept in the cache."""
    kept = CACHE / f"python-faults-found-2-{seed}" / f"{real.name}-{real.version}.json"
    found: list[Fault] = []
    tried = 0
    if kept.is_file():
        told = json.loads(kept.read_text())
        tried, found = told["tried"], [revive(item) for item in told["found"]]
    order = candidates(real, source_of(real), seed)
    while len(found) < count and tried < min(len(order), 40 * count):
        fault = killed(real, order[tried])
        tried += 1
        if fault and (fault.path, fault.function) not in {(item.path, item.function) for item in found}:
            found.append(fault)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"tried": tried, "found": [asdict(item) for item in found]}))
    return found[:count]


def revive(told: dict[str, object]) -> Fault:
    tests = tuple(tuple(test) for test in told["tests"])  # type: ignore[attr-defined]
    return Fault(**{**told, "tests": tests, "function": tuple(told["function"])})  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- prompts


@dataclass(frozen=True)
class Sent:
    """What one way of telling sent for a fault in one style."""

    fault: str
    style: str
    way: str
    far: bool
    tokens: int
    found: dict[str, dict[str, bool]]


def record(real: Real, fault: Fault, style: str) -> dict[str, str]:
    """Run lean-loop on FAULT; give the texts that each way sends."""
    with Copies(real, fault) as made:
        leaner = made.home / "leaner.sh"
        leaner.write_text(LEANER)
        leaner.chmod(0o755)
        words = {
            "leaner": leaner,
            "python": environment(),
            "args": json.dumps(arguments(real, style)),
            "path": real.path,
        }
        (made.home / "leanfile.toml").write_text(f'{LEANFILE.format(**words)}project_root = "project"\n')
        env = {**sealed(made.home, real.path), "KEPT": str(made.home)}
        commit(made.root, env)
        argv = [sys.executable, str(ROOT / "leanloop.py"), "-c", str(made.home / "leanfile.toml")]
        done = subprocess.run(argv, cwd=made.root, env=env, text=True, capture_output=True, timeout=300)
        prompt = made.home / "prompt.md"
        if not (made.home / "asked").exists() or not prompt.is_file():
            raise SystemExit(f"{fault.name} {style}: no prompt arrived: {done.stdout}{done.stderr}")
        logs = sorted(made.home.glob("state/lean-loop/*/runs/*/*tests.txt"))
        output = logs[0].read_text(encoding="utf-8", errors="replace")
        return {
            "lean-loop": prompt.read_text(encoding="utf-8"),
            "last 40 lines": "\n".join(output.splitlines()[-40:]),
            "everything": "\n".join([output, *named_files(output, made.root)]),
            "source": (made.root / fault.path).read_text(encoding="utf-8"),
        }


def commit(root: Path, env: dict[str, str]) -> None:
    """Make the project at ROOT a repository with one commit."""
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for args in (("init", "-q"), ("add", "-A", "-f"), (*who, "commit", "-q", "-m", "start")):
        subprocess.run(["git", *args], cwd=root, env=env, check=True)


def named_files(output: str, root: Path) -> Iterator[str]:
    """Read every file of the project that OUTPUT names."""
    for path in dict.fromkeys(re.findall(r"[\w./-]+\.py", output)):
        file = root / path
        if file.is_file() and file.resolve().is_relative_to(root.resolve()):
            yield file.read_text(encoding="utf-8", errors="replace")


def squeezed(text: str) -> str:
    """Drop what runners add to or take from an error's text: spaces, addresses, and the word AssertionError."""
    return re.sub(r"AssertionError:|\s+|\bE\b|(?<=0x)[0-9a-fA-F]+|\d{9,}", "", text)


def carried(text: str, fault: Fault, source: str) -> dict[str, bool]:
    """Say what of a fault TEXT holds."""
    lines = {re.sub(r"^[>E] ", "", line).strip() for line in text.splitlines()}
    lines |= {line.strip() for line in text.splitlines()}
    own = source.splitlines()
    body = {line.strip() for line in own[fault.function[0] - 1 : fault.function[1]] if line.strip()}
    tests = [test for test in fault.tests if re.search(rf"(?<!\w){re.escape(test[0])}(?!\w)", text)]
    bare = squeezed(text)
    found = {
        "test": bool(tests),
        "error": any(squeezed(test[1].split("\n")[0])[:50] in bare for test in tests),
        "line": own[fault.line - 1].strip() in lines,
        "body": own[fault.line - 1].strip() in lines and len(body & lines) >= min(5, len(body)),
        "assertion": any(test[2] in lines for test in tests),
    }
    return {**found, "all": all(found.values())}


def measure(real: Real, fault: Fault, style: str, keep: Path) -> list[Sent]:
    """Measure one fault in one style, or read what was measured already."""
    kept = keep / f"{fault.name}-{style}.json"
    if not kept.is_file():
        texts = record(real, fault, style)
        kept.write_text(json.dumps(texts))
    texts = json.loads(kept.read_text())
    source = texts.pop("source")
    return [weigh(way, text, fault, style, source) for way, text in texts.items()]


def weigh(way: str, text: str, fault: Fault, style: str, source: str) -> Sent:
    """Cut a text to each size, and say what it holds of the fault."""
    encoding = table()
    coded = encoding.encode(text[:200_000], disallowed_special=())
    found = {str(size): carried(encoding.decode(coded[:size]), fault, source) for size in SIZES}
    return Sent(fault.name, style, way, fault.far, len(coded), found)


def table() -> Any:
    """Load cl100k's table, out of the cache or fetched once."""
    counter(CACHE, fetch=True)
    import tiktoken

    return tiktoken.get_encoding("cl100k_base")


# ------------------------------------------------------------------------------------------------------------- table


def share(sent: Sequence[Sent], size: int, what: str) -> float:
    return 100 * sum(item.found[str(size)][what] for item in sent) / len(sent) if sent else 0.0


def summary(sent: Sequence[Sent]) -> dict[str, float]:
    """Give the figures that the goals are about."""
    own = [item for item in sent if item.way == "lean-loop"]
    far = [item for item in own if item.far]
    median = statistics.median(item.tokens for item in own)
    return {"all": share(own, 2000, "all"), "far": share(far, 2000, "all"), "median": median, "count": len(own)}


def tell(sent: Sequence[Sent], worst: int) -> Iterator[str]:
    """Write the table, then the worst cases."""
    for far, title in ((False, "all faults"), (True, "the faulty file is in no traceback")):
        count = len({item.fault for item in sent if item.far or not far})
        yield f"\n{title}: {count} faults in {len(STYLES)} styles; % of prompts"
        yield f"{'':24}{'tokens':>8}{'median':>8}" + "".join(f"{what:>11}" for what in ASKED)
        for way in dict.fromkeys(item.way for item in sent):
            of = [item for item in sent if item.way == way and (item.far or not far)]
            for size in SIZES if of else ():
                median = statistics.median(item.tokens for item in of)
                row = "".join(f"{share(of, size, what):11.1f}" for what in ASKED)
                yield f"{way:24}{size:8,}{median:8,.0f}{row}"
    own = [item for item in sent if item.way == "lean-loop"]
    for style in STYLES:
        of = [item for item in own if item.style == style]
        yield f"{style}: all within 2,000: {share(of, 2000, 'all'):.1f} %" if of else f"{style}: none"
    large = sum(item.tokens > 2000 for item in own)
    yield f"{large} of {len(own)} prompts over 2,000 tokens, the largest {max(item.tokens for item in own):,}"
    bad = [item for item in own if not item.found["2000"]["all"]]
    for item in sorted(bad, key=lambda item: sum(item.found["2000"].values()))[:worst]:
        missing = ", ".join(what for what in ASKED[:-1] if not item.found["2000"][what])
        yield f"  missed: {item.fault} {item.style} ({item.tokens} tokens{', far' if item.far else ''}): {missing}"


def run_all(options: argparse.Namespace) -> list[Sent]:
    """Find the faults, then measure each in every style."""
    projects = HELD_OUT if options.held_out else PROJECTS
    chosen = [real for real in projects if not options.projects or real.name in options.projects.split(",")]
    environment()
    with ThreadPoolExecutor(options.j) as pool, Keeping(options.keep) as keep:
        found = list(pool.map(lambda real: faults_of(real, options.per, options.seed), chosen))
        pairs = [(real, fault) for row in spread(zip(chosen, found, strict=True)) for real, fault in [row]]
        jobs = [(real, fault, style) for real, fault in pairs[: options.limit or None] for style in STYLES]
        results = list(pool.map(lambda job: measure(job[0], job[1], job[2], keep), jobs))
    return [item for result in results for item in result]


def spread(found: Iterable[tuple[Real, list[Fault]]]) -> list[tuple[Real, Fault]]:
    """Order the faults so that a limit takes some of every project."""
    rows = [(number, real, fault) for real, faults in found for number, fault in enumerate(faults)]
    return [(real, fault) for _, real, fault in sorted(rows, key=lambda row: row[0])]


class Keeping:
    """The folder of what was measured: the named one, else a temporary one."""

    def __init__(self, named: str) -> None:
        self.named = named

    def __enter__(self) -> Path:
        self.own = None if self.named else tempfile.TemporaryDirectory()
        folder = Path(self.named or self.own.name)  # type: ignore[union-attr]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def __exit__(self, *exc: object) -> None:
        if self.own:
            self.own.cleanup()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--projects", default="", help="names, with commas between (default: all)")
    made.add_argument("--held-out", action="store_true", help="measure the projects that no weight was chosen on")
    made.add_argument("--per", type=int, default=5, help="faults in each project (default: 5)")
    made.add_argument("--limit", type=int, default=0, help="faults in all, some of every project (default: no limit)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--keep", default="", metavar="FOLDER", help="keep what is measured, and go on with it")
    made.add_argument("--worst", type=int, default=10, help="how many misses are named (default: 10)")
    made.add_argument("-j", type=int, default=1, help="how many run at once (default: 1)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    for line in tell(run_all(options), options.worst):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
