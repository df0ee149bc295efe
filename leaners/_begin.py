"""Set lean-loop up: --init, --guide, --demo, --list-leaners and --set-leaner.

The loop loads this file where one of these is asked for. Each verb takes the options and what is shown where; it gives
an exit code, or a text to print.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from functools import reduce
from pathlib import Path

from _keys import mask_error
from _project import UNKNOWN, TestCommand, detect_runner, layout, readiness, try_command
from _screen import columns
from leanloop import (
    LEANFILE,
    LOCAL,
    SCHEMA,
    Leaner,
    LeanError,
    NotReady,
    Shows,
    find_program,
    is_packaged,
    leaner_programs,
    load,
    merge,
    nearest,
    read_config,
    read_static,
    read_text,
    read_toml,
    resolve_leaner,
    run_config,
    run_process,
    share,
    shown,
    static_config,
    user_config,
)


def demo(options: argparse.Namespace, shows: Shows) -> int:
    """Run a copy of a playground on its recorded answers."""
    import runpy

    name, places = options.demo, share() / "playground"
    known = [path.parent.name for path in sorted(places.glob("*/leanfile.toml"))]
    if name not in known:
        raise LeanError(f"--demo: there is no playground '{name}'. There is: {', '.join(known)}.")
    with runpy.run_path(str(places / "serve.py"))["replayed"](places / name) as (work, settings):
        config = load(work / LEANFILE, share() / "config.toml", settings)
        shows.say(f"No model is at work, the answers are recorded. All else is real: {work}", shows.err)
        code = run_config(config, options, shows)
    own = f"cp -r {shlex.quote(str(places / name))} . && cd {name} && {called()}"
    shows.say(f"The same with a model of your own: {own}   (set [lean] base_url first)", shows.err)
    return code


def called() -> str:
    """Tell how lean-loop is called here: by its name where that is on PATH, else as it was called."""
    path = Path(sys.argv[0]).absolute()
    if shutil.which("lean-loop") or not path.is_file():
        return "lean-loop"
    return shlex.join([str(path)] if os.access(path, os.X_OK) else [sys.executable, str(path)])


def list_leaners(options: argparse.Namespace, shows: Shows) -> str:
    """List the leaners: * marks the active one, and each says whether its program is there."""
    active, programs = active_leaner(options), leaner_programs()
    try:
        programs[active.name] = find_program(active)
    except LeanError as error:
        shows.say(f"lean-loop: {mask_error(str(error))}", shows.err)
    marks = {active.name: "*"}
    rows = [(marks.get(name, " "), name, readiness(program)) for name, program in sorted(programs.items())]
    return mask_error("\n".join(columns(rows, " ")))


def active_leaner(options: argparse.Namespace) -> Leaner:
    """Tell which leaner would be used here: the leanfile's, where there is one, else the static configuration's."""
    there = (read_config(path) for path in options.config if path.is_file())
    return resolve_leaner(reduce(merge, there, read_static(static_config(options.global_config))), {}, Leaner)


def set_leaner(options: argparse.Namespace, shows: Shows) -> str:
    """Write `[lean] binary` into the static configuration, and leave every other line as it was."""
    programs, name = leaner_programs(), re.sub(r"\.(?:sh|py)$", "", options.set_leaner)
    if name not in programs:
        raise LeanError(f"--set-leaner: there is no leaner '{options.set_leaner}'{nearest(name, programs)}")
    active = static_config(options.global_config)
    path = writable_config(active)
    text = with_binary(path if path.is_file() or path.name == LOCAL else active, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise NotReady(f"{path}: it cannot be written: {error.strerror}. Name another with -g.") from None
    for leanfile in filter(Path.is_file, options.config):
        if over := read_toml(leanfile).get("lean", {}).get("binary"):
            shows.say(f"{leanfile}: [lean] binary = {shown(over)} there still decides for this project.", shows.err)
    return f'{path}: [lean] binary = "{name}"'


def writable_config(active: Path) -> Path:
    """Choose the static configuration to write to: the active one, beside one that git tracks, else the user's own."""
    packaged = is_packaged() and active == share() / "config.toml"
    if not packaged and os.access(active, os.W_OK):
        tracked = ["git", "ls-files", "--error-unmatch", active.name]
        with contextlib.suppress(OSError):
            if run_process(tracked, active.resolve().parent, timeout=10).code == 0:
                return active.with_name(LOCAL)
        return active
    if own := user_config():
        return own
    raise NotReady(f"{active} cannot be written to, and there is no home folder. Set HOME, or name one with -g.")


def with_binary(path: Path, name: str) -> str:
    """Set `binary` in the [lean] table of a file's text, adding key or table where it is missing; keep all else."""
    there, text = (read_toml(path), path.read_bytes().decode()) if path.is_file() else ({}, "")
    wanted = merge(there, {"lean": {"binary": name}})
    end, line = "\r\n" if "\r\n" in text else "\n", f'binary = "{name}"'
    header, value = r"^\ufeff?[ \t]*\[[ \t]*lean[ \t]*\][^\r\n]*", r"(?:\"[^\"\n]*\"|'[^'\n]*')"
    ways = {  # each: what is found, of which the group stays, and what comes behind that
        rf"({header}\r?\n(?:(?![ \t]*\[).*\n)*?[ \t]*)binary[ \t]*=[ \t]*{value}": line,
        rf"({header})": f"{end}{line}",
        r"(\A|\S)\s*\Z": f"{end * 2 if text.strip() else ''}[lean]{end}{line}{end}",
    }
    for pattern, new in ways.items():
        found = re.search(pattern, text, re.MULTILINE)
        changed = f"{text[: found.end(1)]}{new}{text[found.end() :]}" if found else text
        with contextlib.suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(changed.removeprefix("\ufeff")) == wanted:
                return changed
    raise LeanError(f"{path}: [lean] binary stands there in an unusual way. Write {line} there yourself.")


def write_sample(options: argparse.Namespace, shows: Shows) -> str:
    """Write the sample leanfile, with the test command that this folder's project seems to have."""
    target, root, command, seen = options.init, Path(), detect_runner(Path()), ""
    if target != "-" and not os.path.lexists(target) and command != UNKNOWN:
        shows.say(f"lean-loop: trying the test command: {' '.join(command.words)}", shows.err)
        command, words = try_command(command, root)
        seen = f"Tried once: {words}. "
    text = filled("leanfile.toml", root, command)
    if target == "-":
        return text
    try:
        with Path(target).open("x", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        there = isinstance(error, FileExistsError)
        why = "is there already" if there else f"cannot be written: {error.strerror}"
        raise LeanError(f"--init: {target} {why}. Name another file.") from None
    again = f"{called()} -c {shlex.quote(target)}"
    shows.say(f"{target} is written ({command.hint}). {seen}Fill in its tasks, then run: {again}", shows.err)
    return ""


def print_guide(options: argparse.Namespace, shows: Shows) -> str:
    """Print what a cloud model needs to know to write leanfiles for this project."""
    return filled("guide.md", Path(), detect_runner(Path()))


def print_schema(options: argparse.Namespace, shows: Shows) -> str:
    """Print the JSON Schema of leanfiles."""
    return read_text(share() / "examples" / SCHEMA).rstrip()


def filled(name: str, root: Path, tests: TestCommand) -> str:
    """Read the text NAME of examples/, with its marks filled in for the project at ROOT and its TESTS."""
    command, *args = tests.words
    path = "" if called() == "lean-loop" else f" (Here `lean-loop` stands for `{called()}`.)"
    more = ["shell = true"] if tests.shell else []
    more += [f"env = {{ {key} = {json.dumps(value)} }}" for key, value in tests.env.items()]
    words = {"COMMAND": json.dumps(command), "ARGS": json.dumps(args), "TEST_HINT": tests.hint, "CALLED": path}
    words |= {"NARROW": json.dumps(tests.narrow), "MORE": "".join(f"\n{line}" for line in more)}
    words |= {"LAYOUT": layout(root), "SCHEMA": (share() / "examples" / SCHEMA).as_uri()}
    text = (share() / "examples" / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda mark: words[mark[1]], text).rstrip()
