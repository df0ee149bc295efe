"""What would stand in the place of what judges a task: modules of a library's name, and the targets of links.

The loop loads this file for every run.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath

from _uses import says
from leanloop import python_of, read_text, rx

MOST = 60_000  # bytes of a list of libraries
IMPORTED = (".py", ".pyc", ".so", ".pyd")

FIND = """
import sys, importlib.util
for name in sys.stdin.read().split():
    try:
        spec = importlib.util.find_spec(name)
        place = spec.origin or [*spec.submodule_search_locations][0]
    except Exception:
        continue
    if not place.startswith(sys.argv[1] + "/") or "site-packages" in place:
        print(name)
"""


def shadowing(fresh: Sequence[str], before: Sequence[str], root: Path) -> list[str]:
    """List the FRESH files that stand for libraries of tests, or modules that are in Python itself, or installed.

    Within a package that was in the project BEFORE a name is its own.
    """
    folders = {f"{parent}/" for path in before for parent in PurePosixPath(path).parents}
    packages = {path.removesuffix("__init__.py") for path in before if path.endswith("/__init__.py")}
    names = dict[str, str]()
    for path in fresh:
        inner = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents[:-1])]
        own = next((folder for folder in inner if folder not in folders), path)  # the first that was not there
        if path.endswith(IMPORTED) and not any(folder in packages for folder in inner):
            names[path] = PurePosixPath(own).name.split(".")[0]
    known = installed({*names.values()}, root) | required(root) | {"sitecustomize", "usercustomize"}
    return [path for path in fresh if names.get(path) in known or says("stands", path)]


def installed(names: Set[str], root: Path) -> set[str]:
    """Find those of NAMES that the project's Python imports from elsewhere than the project at ROOT."""
    if not names:
        return set()
    argv, asked = [python_of(root), "-I", "-c", FIND, str(root)], "\n".join(sorted(filter(str.isidentifier, names)))
    try:
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", timeout=20, input=asked, cwd="/")
    except (OSError, ValueError, subprocess.SubprocessError):
        return set()
    return {*done.stdout.split()}


def required(root: Path) -> set[str]:
    """List the libraries that a Python project says it needs, as modules are called: they may not be installed."""
    names = re.findall(
        r"[\"'](\w[\w-]*)(?:\[[^]\n\"']*\])?\s*(?:[<>=~!]|[\"']\s*[],])", read_text(root / "pyproject.toml", MOST)
    )
    for path in root.glob("*requirements*.txt"):
        names += rx(r"^\w[\w-]*").findall(read_text(path, MOST))
    return {name.replace("-", "_").lower() for name in names}


def link_targets(links: Mapping[str, str], root: Path) -> dict[str, str]:
    """Tell for each of LINKS, a path and a target, what it means in the project at ROOT, if it lies there."""
    found = dict[str, str]()
    for path, target in links.items():
        meant = Path(os.path.normpath((root / path).parent / target))
        if meant.is_relative_to(root):
            found[path] = meant.relative_to(root).as_posix()
    return found
