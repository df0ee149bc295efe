"""Every wrapper against its real CLI, with a scripted model behind it. Heavy: the CLIs are installed on first use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import CACHE
from e2e.clis import (
    CLIS,
    DONE,
    KEY,
    LEANERS,
    MENDED,
    NEW_FILE,
    PROMPT,
    Cli,
    Place,
    Ran,
    Script,
    header,
    install,
    once,
    placed,
)
from e2e.wires import MODEL, Fail, Model, Say, Server

WRAPPERS = [pytest.param(cli, id=cli.name) for cli in CLIS]
REPORTING = [param for param, cli in zip(WRAPPERS, CLIS, strict=True) if cli.reports]
GUESSING = [param for param, cli in zip(WRAPPERS, CLIS, strict=True) if not cli.reports]
READERS = [param for param, cli in zip(WRAPPERS, CLIS, strict=True) if cli.context_file]
LONG = PROMPT + "".join(f"- line {number} of a long list of words\n" for number in range(6000)) + "The end: wren.\n"
ASKED = "In one sentence, say what is wrong in calc.py. Canary: chaffinch.\n"
OWN = {"LEAN_BASE_URL": "", "LEAN_API_KEY": "", "LEAN_MODEL": ""}  # nothing is configured: the user's own account
FAULTS = {
    "wrong key": (Fail(401, "Incorrect API key provided: sk-e2e", "invalid_api_key"), 2, "key"),
    "no such model": (Fail(404, "The model `scripted` does not exist", "model_not_found"), 2, "model"),
    "small context": (
        Fail(
            400, "request (9000 tokens) exceeds the available context size (4096 tokens)", "exceed_context_size_error"
        ),
        2,
        "context",
    ),
    "loading": (Fail(503, "Loading model", "unavailable_error"), 75, "loading|503|unavailable|overloaded"),
}

pytestmark = [pytest.mark.heavy]
wrapper = pytest.mark.parametrize("cli", WRAPPERS)
lean_and_full = pytest.mark.parametrize("lean", ["1", "0"], ids=["lean", "full"])


@dataclass(frozen=True)
class Stage:
    """Where wrappers are called: each call in a fresh place with a fresh server."""

    root: Path
    store: Path

    @property
    def common(self) -> Path:
        """A folder that all workers of this run share."""
        return self.root.parents["PYTEST_XDIST_WORKER" in os.environ]

    def place(self, cli: Cli, **files: str) -> Place:
        place = Place(self.root / f"{len(list(self.root.iterdir()))}", cli, install(cli, self.store))
        place.lay({name.replace("_md", ".md"): text for name, text in files.items()})
        return place

    def edit(self, cli: Cli, prompt: str = PROMPT, **settings: str) -> Ran:
        """Let the model mend calc.py."""
        place = self.place(cli)
        with Server(Script([placed(say, place.project) for say in cli.edit])) as server:
            return place.run(server, prompt, **settings)

    def play(self, cli: Cli, model: Model, **settings: str) -> Ran:
        """Call the wrapper with MODEL behind it."""
        with Server(model) as server:
            return self.place(cli).run(server, **settings)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), CACHE)


Edits = Callable[..., Ran]


@pytest.fixture(scope="module")
def edits(stage: Stage) -> Edits:
    """One edit for each CLI and setting, made when it is first asked for and looked at by many tests."""

    def edit(cli: Cli, lean: str = "1", own: bool = False) -> Ran:
        name = f"edit-{cli.name}-{lean}-{own}"
        return once(stage.common, name, lambda: stage.edit(cli, LEAN_LEAN_PROMPT=lean, **(OWN if own else {})))

    return edit


# --- an edit ----------------------------------------------------------------------------------------------------------


@wrapper
@lean_and_full
def test_an_edit_lands_and_nothing_else_changes(edits: Edits, cli: Cli, lean: str) -> None:
    ran = edits(cli, lean)
    assert (ran.code, ran.calc) == (0, MENDED), ran.err
    assert ran.status() == ["calc.py"]


@wrapper
@lean_and_full
def test_a_new_file_is_made(stage: Stage, cli: Cli, lean: str) -> None:
    place = stage.place(cli)
    with Server(Script([placed(cli.create, place.project)])) as server:
        ran = place.run(server, LEAN_LEAN_PROMPT=lean)
    assert ran.code == 0, ran.err
    assert (place.project / "new.py").read_text() == NEW_FILE


@wrapper
@lean_and_full
def test_what_the_model_says_last_is_the_answer(edits: Edits, cli: Cli, lean: str) -> None:
    assert said(cli) in edits(cli, lean).out


def said(cli: Cli) -> str:
    """The model's last words to this CLI: aider is done after the edit itself."""
    return DONE.text if cli.edit[0].tool else cli.edit[0].text


@wrapper
@lean_and_full
def test_there_is_no_request_beside_the_work(edits: Edits, cli: Cli, lean: str) -> None:
    ran = edits(cli, lean)
    assert len(ran.requests) == len(cli.edit) + bool(cli.edit[0].tool)
    assert set(ran.others) <= {"GET /v1/models"}


@wrapper
@lean_and_full
def test_the_configured_key_and_model_are_used(edits: Edits, cli: Cli, lean: str) -> None:
    requests = edits(cli, lean).requests
    assert {request.key for request in requests} == {KEY}
    assert all(MODEL in (request.body.get("model"), *request.path.replace(":", "/").split("/")) for request in requests)


@pytest.mark.parametrize("cli", REPORTING)
@lean_and_full
def test_the_usage_is_what_the_server_counted(edits: Edits, cli: Cli, lean: str) -> None:
    ran = edits(cli, lean)
    cost = ran.cost
    assert ran.usage == {
        "requests": len(ran.requests),
        "input_tokens": cost.sent,
        "output_tokens": cost.got,
        "cached_tokens": cost.cached,
    }


@pytest.mark.parametrize("cli", GUESSING)
@lean_and_full
def test_a_usage_that_is_guessed_is_marked_and_near(edits: Edits, cli: Cli, lean: str) -> None:
    ran = edits(cli, lean)
    assert ran.usage["estimated"] is True
    assert ran.usage["requests"] == len(ran.requests)
    assert ran.usage["input_tokens"] == pytest.approx(ran.cost.sent, rel=0.2)


@wrapper
@lean_and_full
def test_nothing_stays_in_the_users_home_or_among_temporary_files(edits: Edits, cli: Cli, lean: str) -> None:
    assert edits(cli, lean).leftovers() == []


# --- bytes on the wire ------------------------------------------------------------------------------------------------


@wrapper
def test_the_clis_own_share_of_a_request_is_small(edits: Edits, cli: Cli) -> None:
    share = edits(cli).share()
    print(f"{cli.name} {cli.version}: {share} bytes of its own at its leanest")
    assert share <= cli.limit


@wrapper
def test_the_share_that_the_wrapper_states_is_the_measured_one(edits: Edits, cli: Cli) -> None:
    assert int(header(cli)["overhead"]) == pytest.approx(edits(cli).share(), abs=300)


@wrapper
def test_the_version_that_the_wrapper_states_is_the_one_tested(cli: Cli) -> None:
    assert header(cli)["proven"] == cli.version


@wrapper
def test_the_figures_in_the_readme_are_the_measured_ones(edits: Edits, cli: Cli) -> None:
    row = re.search(rf"^\| {cli.name} \| (.*)$", (LEANERS / "README.md").read_text(), re.MULTILINE)
    assert row
    version, *figures = row[1].replace(",", "").split(" | ")[:4]
    measured = [edits(cli).share(), edits(cli, own=True).share(), edits(cli, "0").share()]
    assert version == cli.version
    assert [int(figure) for figure in figures] == [pytest.approx(share, rel=0.05, abs=400) for share in measured]


@wrapper
def test_with_lean_prompt_off_a_cli_sends_its_own_full_prompt(edits: Edits, cli: Cli) -> None:
    lean, full = edits(cli).share(), edits(cli, "0").share()
    print(f"{cli.name} {cli.version}: {full} bytes of its own with its own prompt, {lean} at its leanest")
    assert full >= lean


@wrapper
def test_a_prompt_of_200_kilobytes_arrives_whole(stage: Stage, cli: Cli) -> None:
    ran = stage.edit(cli, LONG)
    assert len(LONG) > 200_000
    assert ran.code == 0, ran.err
    assert json.dumps(LONG.strip())[1:-1] in ran.requests[0].raw.decode()
    assert ran.calc == MENDED


@pytest.mark.parametrize("cli", READERS)
@lean_and_full
@pytest.mark.parametrize("wanted", ["0", "1"], ids=["left out", "wanted"])
def test_context_files_reach_the_model_where_they_are_wanted(stage: Stage, cli: Cli, lean: str, wanted: str) -> None:
    place = stage.place(cli, **{cli.context_file: "Always mind the nightjar.\n"})
    with Server(Script([])) as server:
        ran = place.run(server, LEAN_LEAN_PROMPT=lean, LEAN_CONTEXT_FILES=wanted)
    assert ran.code == 0, ran.err
    assert (b"nightjar" in server.requests[0].raw) == (wanted == "1")


# --- the user's own account -------------------------------------------------------------------------------------------


@wrapper
def test_without_a_key_the_clis_own_login_is_used(edits: Edits, cli: Cli) -> None:
    ran = edits(cli, own=True)
    assert (ran.code, ran.calc) == (0, MENDED), ran.err
    assert {request.key for request in ran.requests} == {KEY}
    print(f"{cli.name} {cli.version}: {ran.share()} bytes of its own with its own login")


@wrapper
def test_the_own_login_stays_as_it_was(edits: Edits, cli: Cli) -> None:
    ran = edits(cli, own=True)
    kept = {path: (ran.home / path).read_text() for path in cli.own_login}
    assert kept == {path: text.replace("$ORIGIN", ran.origin) for path, text in cli.own_login.items()}


@wrapper
def test_with_the_own_login_no_prompt_stays_in_the_users_home(edits: Edits, cli: Cli) -> None:
    left = map(Path, edits(cli, own=True).leftovers())
    assert [path for path in left if b"chaffinch" in path.read_bytes()] == []


# --- what may be done -------------------------------------------------------------------------------------------------


@wrapper
@lean_and_full
def test_ask_mode_changes_nothing_although_the_model_tries(stage: Stage, cli: Cli, lean: str) -> None:
    place = stage.place(cli)
    calls = [placed(say, place.project) for say in (*cli.edit, cli.shell)]
    with Server(Script(calls)) as server:
        ran = place.run(server, ASKED, LEAN_MODE="ask", LEAN_LEAN_PROMPT=lean)
    assert ran.status() == []


@wrapper
@lean_and_full
def test_ask_mode_answers_in_one_request(stage: Stage, cli: Cli, lean: str) -> None:
    ran = stage.play(cli, Script([]), LEAN_MODE="ask", LEAN_LEAN_PROMPT=lean)
    assert (ran.code, len(ran.requests)) == (0, 1), ran.err
    assert DONE.text in ran.out
    changing = re.compile("edit|write(?!_stdin)|replace|patch", re.IGNORECASE)
    assert list(filter(changing.search, ran.requests[0].tools)) == []


@wrapper
@lean_and_full
def test_with_approval_edit_no_shell_is_run(stage: Stage, cli: Cli, lean: str) -> None:
    place = stage.place(cli)
    calls = [placed(say, place.project) for say in (cli.shell, *cli.edit)]
    with Server(Script(calls)) as server:
        ran = place.run(server, LEAN_APPROVAL_MODE="edit", LEAN_LEAN_PROMPT=lean)
    assert ran.status() in ([], ["calc.py"])
    assert not (place.project / "shell-was-here").exists()


@wrapper
@lean_and_full
def test_with_approval_edit_an_edit_lands(stage: Stage, cli: Cli, lean: str) -> None:
    if cli.name == "codex" and shutil.which("bwrap") and os.geteuid() == 0:
        pytest.skip("codex's own sandbox lets root write no file where bubblewrap is installed")
    ran = stage.edit(cli, LEAN_APPROVAL_MODE="edit", LEAN_LEAN_PROMPT=lean)
    assert (ran.code, ran.calc) == (0, MENDED), ran.err


@wrapper
def test_with_approval_yolo_the_full_cli_has_its_shell(stage: Stage, cli: Cli) -> None:
    if cli.name == "aider":
        pytest.skip("aider runs no command without a person")
    place = stage.place(cli)
    with Server(Script([placed(cli.shell, place.project)])) as server:
        ran = place.run(server, LEAN_LEAN_PROMPT="0")
    assert ran.code == 0, ran.err
    assert (place.project / "shell-was-here").exists()


@wrapper
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_another_user_than_root_can_use_it(stage: Stage, cli: Cli) -> None:
    place = stage.place(cli)
    for path in (place.root, *place.root.rglob("*")):
        os.chown(path, 65534, 65534)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # The cache may lie in root's home, where this user must read, though not write.
    reading = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with Server(Script([placed(say, place.project) for say in cli.edit])) as server:
        ran = place.run(server, before=[*nobody, *reading])
    assert (ran.code, ran.calc) == (0, MENDED), ran.err


# --- failures ---------------------------------------------------------------------------------------------------------


@wrapper
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_server_comes_through(stage: Stage, cli: Cli, fault: str) -> None:
    fail, code, words = FAULTS[fault]
    check_reason(stage.play(cli, lambda request: fail), cli, code, words)


@wrapper
def test_a_server_that_is_down_is_trouble_of_the_server(stage: Stage, cli: Cli) -> None:
    place = stage.place(cli)
    with Server(Script([])) as server:
        pass
    check_reason(place.run(server), cli, 75, "answer|connect|refused")


@wrapper
def test_a_flag_that_the_cli_does_not_know_is_named(stage: Stage, cli: Cli) -> None:
    place = stage.place(cli)
    shim = place.root / "shim"
    shim.mkdir()
    real = place.bin / cli.name
    version = f'[ "$1" = --version ] && exec "{real}" --version'
    (shim / cli.name).write_text(f'#!/bin/sh\n{version}\nexec "{real}" "$@" --gone\n')
    (shim / cli.name).chmod(0o755)
    with Server(Script([])) as server:
        ran = Place(place.root, cli, shim).run(server)
    check_reason(ran, cli, 2, "unknown flag" if cli.name == "opencode" else "gone")  # opencode does not say which
    assert cli.version in ran.reason
    assert server.requests == []


def check_reason(ran: Ran, cli: Cli, code: int, words: str) -> None:
    """Check the exit code, and that one line says why and names the CLI and the version that was met."""
    assert ran.code == code, ran.err
    assert re.search(words, ran.reason, re.IGNORECASE), ran.reason
    assert cli.name in ran.reason
    assert len(ran.reason) < 500
    assert KEY not in ran.out + ran.err


# --- processes --------------------------------------------------------------------------------------------------------


@wrapper
def test_no_process_and_no_folder_stays_after_its_group_is_ended(stage: Stage, cli: Cli) -> None:
    place = stage.place(cli)
    mark = f"E2E_MARK={place.root}"
    with Server(lambda request: wait_for_ever()) as server:
        env = {**place.environment(PROMPT, LEAN_BASE_URL=f"{server.origin}/v1"), "E2E_MARK": str(place.root)}
        process = place.start(env)
        assert comes(lambda: bool(server.requests), 30)
        os.killpg(process.pid, signal.SIGTERM)
        ended = comes(lambda: not marked(mark), 5)
        left = marked(mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        process.wait(5)
    assert ended, f"still there: {left}"
    assert [path for path in place.scratch.rglob("*") if path.is_file()] == []


def wait_for_ever() -> Say:
    """Never answer, for as long as a test may last."""
    time.sleep(60)
    return DONE


def comes(true: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def marked(mark: str) -> list[int]:
    """Find the processes that have MARK in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
