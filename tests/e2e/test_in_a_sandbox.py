"""Every wrapper with its real CLI in a sandbox: its edits land, with a key and with an own login; nothing gets out."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from conftest import CACHE, Bench
from e2e.clis import CALC, CLIS, KEY, TOUCH, Cli, Place, Script, install, placed
from e2e.wires import MODEL, Say, Server
from test_sandbox import needs_bwrap

pytestmark = [pytest.mark.heavy, needs_bwrap]
LEANFILE = """
[defaults]
max_iters_per_task = 0
[runner]
command = "grep -q 'left + right' calc.py"
shell = true
[[tasks]]
name = "add"
prompt = "Mend add in calc.py: it must add."
files = ["calc.py"]
"""


def run(bench: Bench, cli: Cli, calls: list[Say], own: bool, lean: str = "true") -> str:
    """Let CLI make its CALLS in a run of lean-loop, which must end green; return what the run told."""
    bench.write("calc.py", CALC)
    bench.write("leanfile.toml", LEANFILE)
    bench.commit()
    bench.env["PATH"] = os.pathsep.join([str(install(cli, CACHE)), bench.env["PATH"]])
    with Server(Script([placed(say, bench.project) for say in calls])) as server:
        url, key, model = ("", "", "") if own else (f"{server.origin}/v1", KEY, MODEL)
        named = {"binary": cli.name, "model": model, "base_url": url, "api_key": key}
        if own:
            bench.env.update(Place(bench.home.parent, cli, bench.home).login(server.origin))
            del bench.env["XDG_CONFIG_HOME"]
        lines = [f"{name} = {json.dumps(value)}" for name, value in named.items()]
        (bench.home / "config.toml").write_text("\n".join(["[lean]", *lines, f"lean_prompt = {lean}", ""]))
        ran = bench.lean_loop(timeout=300, LEANLOOP_CONFIG=str(bench.home / "config.toml"))
    assert ran.code == 0, ran.text
    assert "sandbox" not in ran.err, ran.err
    return ran.text


@pytest.mark.parametrize("own", [False, True], ids=["key", "login"])
@pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name) for cli in CLIS])
def test_an_edit_lands(bench: Bench, cli: Cli, own: bool) -> None:
    run(bench, cli, [*cli.edit], own)
    assert bench.git("status", "--porcelain").split() == ["M", "calc.py"]


@pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name) for cli in CLIS if cli.name != "aider"])
def test_its_shell_does_not_get_out(bench: Bench, cli: Cli) -> None:
    lines = ("touch shell-was-here.py", f"touch {bench.home}/outside", "touch .git/inside")
    told = json.dumps(cli.shell.arguments)
    calls = [replace(cli.shell, arguments=json.loads(told.replace(TOUCH, line))) for line in lines]
    run(bench, cli, [*calls, *cli.edit], own=False, lean="false")
    assert (bench.project / "shell-was-here.py").exists()
    assert not (bench.home / "outside").exists() and not (bench.project / ".git/inside").exists()
