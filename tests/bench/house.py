"""Measure the house: bytes, lines, density, and functions that are long or used once, for each file.

    python tests/bench/house.py [FILE ...]     the module and the Python programs in leaners/, where none is named

Density is syntax nodes (`ast.walk`) a line that is not blank. A function's length counts its decorators, its signature
and its docstring. A function is used once where its name stands at one more place than its definition.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measures:
    """What one file measures; `functions` holds each function's lines by name, `once` those used once."""

    bytes: int
    lines: int
    density: float
    functions: dict[str, int]
    once: tuple[str, ...]

    @property
    def median(self) -> float:
        return median(self.functions.values()) if self.functions else 0


def measure(path: Path) -> Measures:
    """Measure a Python file."""
    source = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    filled = [line for line in source.splitlines() if line.strip()]
    functions: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = max(length_of(node), functions.get(node.name, 0))
    words = re.findall(r"\w+", source)
    once = tuple(name for name in functions if words.count(name) == 2)
    return Measures(len(source.encode()), len(source.splitlines()), len(nodes) / len(filled), functions, once)


def length_of(function: ast.FunctionDef) -> int:
    """Count the lines of a function, from its first decorator to its end."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def lines_with_callees(path: Path, name: str) -> int:
    """Count the lines of a function and of those that it calls, as far as they stand in the same file."""
    functions = measure(path).functions
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    own = next(node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == name)
    called = {node.attr for node in ast.walk(own) if isinstance(node, ast.Attribute)}  # methods, and properties
    called |= {node.func.id for node in ast.walk(own) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return sum(functions[each] for each in called & {*functions} | {name})


def programs() -> list[Path]:
    """List the module and the Python programs beside it."""
    return [ROOT / "leanloop.py", *sorted((ROOT / "leaners").glob("*.py"))]


def describe(path: Path) -> str:
    """Write the measures of a file in a few lines."""
    found = measure(path)
    longest = sorted(found.functions.items(), key=lambda item: -item[1])[:5]
    lines = [
        f"{path.name}: {found.bytes:,} bytes, {found.lines:,} lines, {found.density:.1f} nodes a line",
        f"  {len(found.functions)} functions, median {found.median:g} lines; {len(found.once)} used once",
        "  longest: " + ", ".join(f"{name} {length}" for name, length in longest),
    ]
    return "\n".join(lines)


def main() -> int:
    for path in [Path(name) for name in sys.argv[1:]] or programs():
        print(describe(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
