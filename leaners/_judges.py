"""What judges a task beside its tests: what its command reads and starts, and what would stand in a judge's place.

The loop loads this file for every run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath

from leanloop import Config, Task, python_of, read_json, read_text, rx, table, words_of

# A program at the begin of a command, or what an interpreter there is given; in a recipe, a script or a line.
PROGRAMS = r"node|python3?|sh|bash|bun|tsx|ts-node|ruby|perl|php"
BEGIN = r"(?:^[ \t]*[@+-]*|[;&|(])[ \t]*(?:\w+=\S*[ \t]+)*"
GIVEN = rf"(?:{PROGRAMS})[ \t]+(?:-\S+[ \t]+)*([\w./-]+\.\w+)"
STARTED = rf"{BEGIN}(?:{GIVEN}|([\w.-]*/[\w./-]+))"
PROGRAM = rf"{BEGIN}(?:(?:npx|bunx|exec|yarn)[ \t]+)*([a-z][\w-]{{2,}})(?![\w./=-])"
OWN = ("file", "file.*")  # gulp reads gulpfile.js, rake Rakefile


def runner_files(config: Config, task: Task) -> list[str]:
    """Name what configures runners, the project's files that the test command names, and what its programs read."""
    rows, words = table("_guard.txt"), words_of(task.runner.command, *task.runner.args)
    found = [*rows["whole"]["name"]]
    modules = words[words.index("-m") + 1 :] if "-m" in words else []
    if "unittest" not in words:
        modules = modules[:1]
    files = [f"{name.replace('.', '/')}{end}" for name in modules for end in (".py", "/__main__.py")]
    for word in (*words, *files, *scripts_run(words, config.root)):
        path = word.split("::")[0].split("=")[-1].removeprefix(f"{config.root}/").removeprefix("./")
        if re.fullmatch(r"[^\s-]\S*[./]\S*", path) or (config.root / path).is_file():
            found.append(path)
        found += rows.get(PurePosixPath(word).name, {}).get("reads", [])
    found += [
        f"/[{word[0].swapcase()}{word[0]}]{word[1:]}{end}" for word in programs(words, config.root) for end in OWN
    ]
    for folder in task.test_files:
        if (config.root / folder).is_dir():
            found.append(f"{folder.strip('/')}/*")
    return [*found, *collected_names(config.root)]


def programs(words: Sequence[str], root: Path) -> set[str]:
    """Name the programs that a command of WORDS starts, in its scripts and recipes too."""
    texts = [" ".join(words), *scripts_named(words, root)]
    return {name for text in texts for name in rx(PROGRAM).findall(text) if not re.fullmatch(PROGRAMS, name)}


def scripts_run(words: Sequence[str], root: Path) -> list[str]:
    """Name the files that scripts of package.json, or recipes of a Makefile, start, which WORDS of the command name."""
    found = [given or alone for text in scripts_named(words, root) for given, alone in rx(STARTED).findall(text)]
    return [path.removeprefix("./") for path in found if (root / path).is_file()]


def scripts_named(words: Sequence[str], root: Path) -> list[str]:
    """Give the scripts of package.json and the recipes of a Makefile that WORDS of a command name, and those name."""
    known, todo, found = set[str](), {*words}, list[str]()
    scripts, makefile = read_json(root / "package.json"), read_text(root / "Makefile", 100_000)
    scripts = scripts.get("scripts") if isinstance(scripts, dict) else {}
    for _ in range(4):
        known |= todo
        texts = [text for word in sorted(todo) for text in recipes_of(word, scripts, makefile)]
        found += texts
        todo = {word for text in texts for word in words_of(text)} - known
    return found


def recipes_of(word: str, scripts: object, makefile: str) -> Iterator[str]:
    """Give what a WORD of a command stands for: scripts, with those before and after; a recipe, with what it needs."""
    for name in (word, f"pre{word}", f"post{word}"):
        if isinstance(scripts, dict) and name in scripts:
            yield str(scripts[name])
    if makefile:
        for needs, recipe in rx(rf"^{re.escape(word)}[ \t]*::?([^=\n]*)\n((?:\t.*\n?)*)").findall(makefile):
            yield from (f"make {needs}", recipe)


def collected_names(root: Path) -> list[str]:
    """List the names by which pytest's own settings tell tests, but one that fits every file."""
    for name in ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        for setting in rx(r"^python_files\s*=\s*(\[[^\]]*\]|.*(?:\n[ \t]+\S.*)*)").findall(read_text(root / name)):
            return [word for word in re.findall(r"[^\s,\[\]\"']+", setting) if word not in ("*.py", "*")]
    return []


# What would stand in the place of a judge

FIND = """
import sys, importlib.util
for name in sys.argv[2:]:
    try:
        spec = importlib.util.find_spec(name)
        place = spec.origin or [*spec.submodule_search_locations][0]
    except Exception:
        continue
    if not place.startswith(sys.argv[1] + "/"):
        print(name)
"""


def shadowing(fresh: Iterable[str], before: Sequence[str], root: Path) -> list[str]:
    """List the FRESH files of Python modules that are not in the project BEFORE, but in Python itself or installed.

    Within a package a name is its own.
    """
    folders = {f"{parent}/" for path in before for parent in PurePosixPath(path).parents}
    packages = {path.removesuffix("__init__.py") for path in before if path.endswith("/__init__.py")}
    names = dict[str, str]()
    for path in fresh:
        inner = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents[:-1])]
        own = next((folder for folder in inner if folder not in folders), path)  # the first that was not there
        if path.endswith(".py") and not any(folder in packages for folder in inner):
            names[path] = PurePosixPath(own).stem
    known = installed({*names.values()}, root) | {"sitecustomize", "usercustomize"}  # Python looks for these
    return [path for path, name in names.items() if name in known]


def installed(names: Set[str], root: Path) -> set[str]:
    """Find those of NAMES that the project's Python imports from elsewhere than the project at ROOT."""
    if not names:
        return set()
    argv = [python_of(root), "-I", "-c", FIND, str(root), *sorted(names)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return set()
    return {*done.stdout.split()}


def link_targets(links: Mapping[str, str], root: Path) -> dict[str, str]:
    """Tell for each of LINKS, a path and a target, what it means in the project at ROOT, if it lies there."""
    found = dict[str, str]()
    for path, target in links.items():
        meant = PurePosixPath(*normal((*PurePosixPath(path).parts[:-1], *PurePosixPath(target).parts)))
        if not PurePosixPath(target).is_absolute():
            found[path] = str(meant)
        elif Path(target).is_relative_to(root):
            found[path] = Path(target).relative_to(root).as_posix()
    return found


def normal(parts: Sequence[str]) -> list[str]:
    """Take `..` out of the parts of a path."""
    found = list[str]()
    for part in parts:
        if part == ".." and found:
            found.pop()
        elif part not in ("..", "."):
            found.append(part)
    return found
