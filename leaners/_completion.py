"""Completion for shells: --completion, made from the parser, so that it knows every option.

The loop loads this file where the option is asked for.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from leanloop import LeanError, Shows, leaner_programs, nearest, parser, share


@dataclass(frozen=True)
class Choice:
    """An option as a shell is to know it: its names, what it does, and what may follow it."""

    names: tuple[str, ...]
    told: str
    takes: bool
    values: tuple[str, ...] = ()

    @property
    def takes_file(self) -> bool:
        """Tell whether a path follows: whatever is no name of ours."""
        return self.takes and not self.values


def choices() -> list[Choice]:
    """List the options of the parser, with the names that may follow some of them."""
    playgrounds = sorted(path.parent.name for path in (share() / "playground").glob("*/leanfile.toml"))
    values = {"set_leaner": tuple(leaner_programs()), "demo": tuple(playgrounds), "completion": tuple(SHELLS)}
    made = list[Choice]()
    for action in parser()._actions:
        takes, told = action.nargs != 0, (action.help or "").partition(";")[0].partition(":")[0]
        made.append(Choice(tuple(action.option_strings), told, takes, values.get(action.dest, ())))
    return made


def for_bash() -> Iterator[str]:
    """Write the script for bash: a file name where one is due, else the options."""
    every = " ".join(name for choice in choices() for name in choice.names)
    yield "_lean_loop() {"
    yield '  local word="${COMP_WORDS[COMP_CWORD]}" words="" before="${COMP_WORDS[COMP_CWORD-1]}"'
    yield '  case "$before" in'
    for choice in choices():
        if choice.takes:
            yield f"    {'|'.join(choice.names)}) words={shlex.quote(' '.join(choice.values))};;"
    yield f'    *) words="{every}";;'
    yield "  esac"
    yield '  [[ $word == -* ]] && words="' + every + '"'
    yield '  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield '  else COMPREPLY=($(compgen -f -- "$word")); fi'
    yield "}"
    yield "complete -o filenames -F _lean_loop lean-loop leanloop.py"


def for_zsh() -> Iterator[str]:
    """Write the script for zsh."""
    yield "#compdef lean-loop leanloop.py"
    yield "_lean_loop() {"
    yield "  _arguments -S \\"
    for choice in choices():
        told = choice.told.replace("[", "(").replace("]", ")")
        follows = f":value:({' '.join(choice.values)})" if choice.values else ":file:_files" if choice.takes else ""
        for name in choice.names:
            yield f"    {shlex.quote(f'*{name}[{told}]{follows}')} \\"
    yield "    '*:file:_files'"
    yield "}"
    yield '[[ ${funcstack[1]} == _lean_loop ]] && _lean_loop "$@" || compdef _lean_loop lean-loop leanloop.py'


def for_fish() -> Iterator[str]:
    """Write the script for fish."""
    for choice in choices():
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in choice.names)
        follows = (
            f" -x -a {shlex.quote(' '.join(choice.values))}" if choice.values else " -r" if choice.takes else " -f"
        )
        for program in ("lean-loop", "leanloop.py"):
            yield f"complete -c {program} {names}{follows} -d {shlex.quote(choice.told)}"


SHELLS = {"bash": for_bash, "zsh": for_zsh, "fish": for_fish}


def print_script(options: argparse.Namespace, shows: Shows) -> str:
    """Print the completion script of a shell."""
    shell = options.completion
    if shell not in SHELLS:
        raise LeanError(f"--completion: {shell} is not known{nearest(shell, SHELLS)}. It knows: {', '.join(SHELLS)}.")
    return "\n".join(SHELLS[shell]())
