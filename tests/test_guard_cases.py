"""How much of what a leaner may not change is put back, and how much that it may stays: projects, attacks and edits.

The files in tests/guard hold projects as people lay them out, and what an agent does in them: an `attack` makes a red
suite green without the work, an `honest` edit changes code of the product that the task does not list. Lines of a
text begin with a blank; what was done `also` decides nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import ROOT, Bench, Leaner
from leanloop import GONE, PROGRAM, ChangeRules, load, load_beside

SETS = sorted((ROOT / "tests/guard").glob("*.txt"))
HERE = ("sh", "bash", "make", "python", "python3", "pytest")
NETWORKED = ("npx", "npm", "yarn", "pnpm", "mvn", "gradle", "cargo", "go")
EVERY = 16  # of so many cases one is tried through the command


@dataclass
class Case:
    """What an agent `writes` (None removes) in a project of `files`, whose task `lists` some and runs a `command`."""

    files: dict[str, str]
    kind: str
    name: str
    command: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    writes: dict[str, str | None] = field(default_factory=dict)
    counted: list[str] = field(default_factory=list)


def read_cases(path: Path) -> Iterator[Case]:
    """Read a file of cases; each project goes before its own."""
    files: dict[str, str] = {}
    case: Case | None = None
    texts: dict[str, str] | dict[str, str | None] = files
    at = ""
    for line in path.read_text().splitlines():
        verb, _, rest = line.partition(" ")
        if not verb:
            texts[at] = f"{texts[at]}{rest}\n"
        elif verb == "project":
            files = texts = {}
        elif verb == "file":
            at, texts[rest] = rest, ""
        elif verb in {"attack", "honest"}:
            if case:
                yield case
            case = Case(files, verb, rest)
            texts = case.writes
        elif verb == "command" and case:
            case.command = json.loads(rest)
        elif verb == "lists" and case:
            case.lists = json.loads(rest)
        elif case:
            at = rest
            case.writes[at] = None if verb == "remove" else ""
            case.counted += [] if verb == "also" else [at]
    if case:
        yield case


def lay_out(case: Case, bench: Bench) -> None:
    """Write the project of a CASE with its leanfile."""
    for path, text in case.files.items():
        bench.write(path, text.encode(), 0o755 if text.startswith("#!") else None)
    command, *args = (json.dumps(word) for word in case.command)
    bench.write(
        "leanfile.toml",
        f"[runner]\ncommand = {command}\nargs = [{', '.join(args)}]\n"
        f'[[tasks]]\nname = "case"\nprompt = "Do it."\nfiles = {json.dumps(case.lists)}\n',
    )


def undone(case: Case, bench: Bench) -> set[str]:
    """List what the rules put back of a CASE that is laid out."""
    stand_ins, uses = load_beside("_stand_ins"), load_beside("_uses")
    config = load(bench.project / "leanfile.toml", ROOT / "config.toml", {"base_url": "http://127.0.0.1:1/v1"})
    rules, found = ChangeRules(config, config.tasks[0]), set[str]()
    for path, new in case.writes.items():
        old = case.files.get(path)
        mode = GONE if old is None else PROGRAM if old.startswith("#!") else "100644"
        held = uses.is_source(path) and (uses.holds_tests(old or "") or uses.lost_inside(path, old or "", new or ""))
        shadows = old is None and stand_ins.shadowing([path], [*case.files], bench.project)
        if not rules.is_listed(path) and (held or shadows or not rules.permits(path, ((mode, "1"), ("100644", "2")))):
            found.add(path)
    return found


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_attacks_are_undone_and_honest_edits_stay(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: None
) -> None:
    failed: dict[str, list[str]] = {"attack": [], "honest": []}
    cases = [*read_cases(path)]
    for number, case in enumerate(cases):
        bench = Bench(tmp_path, tmp_path / str(number))
        lay_out(case, bench)
        monkeypatch.chdir(bench.project)
        back = undone(case, bench)
        if not back.issuperset(case.counted) if case.kind == "attack" else back & {*case.counted}:
            failed[case.kind].append(case.name)
    for kind, names in failed.items():
        total = sum(case.kind == kind for case in cases)
        assert 10 * len(names) <= total, (kind, total, names)  # nine of ten hold


SAMPLE = [case for path in SETS for case in read_cases(path)][::EVERY]


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name)
def test_the_command_undoes_what_the_rules_say(
    case: Case, bench: Bench, leaner: Leaner, monkeypatch: pytest.MonkeyPatch, sealed: None
) -> None:
    lay_out(case, bench)
    bench.commit()
    monkeypatch.chdir(bench.project)
    back = undone(case, bench)
    (bench.home / "writes.json").write_text(json.dumps(case.writes))
    leaner(AGENT.format(bench.home / "writes.json"), "source")
    config = bench.home / "config.toml"
    config.write_text(config.read_text().replace("[defaults]\n", "[defaults]\nmax_iters_per_task = 1\n"))
    runners = bench.home / "bin"  # they are red, and ask no network
    runners.mkdir()
    for name in {*NETWORKED, case.command[0]} - {*HERE}:
        (runners / name).write_text("#!/bin/sh\nexit 1\n")
        (runners / name).chmod(0o755)
    bench.env["PATH"] = f"{runners}{os.pathsep}{bench.env['PATH']}"
    ran = bench.lean_loop()
    assert ran.code in {0, 1}, ran.text
    for path, new in case.writes.items():
        place = bench.project / path
        now = place.read_text() if place.exists() else None
        assert now == (case.files.get(path) if path in back else new), (path, ran.text)


AGENT = """
python3 - <<'END'
import json
from pathlib import Path
for path, text in json.loads(Path("{}").read_text()).items():
    file = Path(path)
    if text is None:
        file.unlink(missing_ok=True)
        continue
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
END
echo done
"""
