"""What shells complete: the real shells, with the scripts that --completion prints."""

from __future__ import annotations

import subprocess

import pytest

import leanloop
from conftest import Bench, working

NAMES = {name for action in leanloop.parser()._actions for name in action.option_strings}

# Each asks its shell what it would offer behind a line of words.
ASK = {
    "bash": """
source ./script
COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_lean_loop; printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "fish": "source ./script; complete -C '{line}' | string split -f 1 \\t; true",
}


def offered(bench: Bench, shell: str, line: str) -> set[str]:
    """List what SHELL offers for the last word of LINE."""
    if not working(shell):
        pytest.skip(f"{shell} is not installed")
    (bench.project / "script").write_text(bench.lean_loop("--completion", shell).out)
    asked = ASK[shell].format(line=line)
    done = subprocess.run(
        [working(shell), "-c", asked], cwd=bench.project, env=bench.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("shell", ASK)
def test_a_shell_offers_options_names_and_files(bench: Bench, shell: str) -> None:
    bench.write("leanfile.toml", "")
    assert offered(bench, shell, "lean-loop --re") == {name for name in NAMES if name.startswith("--re")}
    assert {"direct", "qwen"} <= offered(bench, shell, "lean-loop --set-leaner ''")
    assert offered(bench, shell, "lean-loop -c leanf") == {"leanfile.toml"}


def test_zsh_takes_its_script(bench: Bench) -> None:
    if not working("zsh"):
        pytest.skip("zsh is not installed")
    (bench.project / "_lean-loop").write_text(bench.lean_loop("--completion", "zsh").out)
    asked = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -d $PWD/dump; print $_comps[lean-loop]"
    done = subprocess.run(
        [working("zsh"), "-f", "-c", asked],
        cwd=bench.project,
        env=bench.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "_lean-loop", done.stderr
    assert {name for name in NAMES if f"'*{name}[" in (bench.project / "_lean-loop").read_text()} == NAMES


def test_a_shell_that_is_not_known_is_told(bench: Bench) -> None:
    ran = bench.lean_loop("--completion", "bsh")
    assert ran.code == 2
    assert "bsh" in ran.err
    assert "bash, zsh, fish" in ran.err
