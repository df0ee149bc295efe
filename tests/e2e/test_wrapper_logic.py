"""The wrappers' own logic, with a small program in the CLI's place: how it is called, and what is made of its words."""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import leanloop
from e2e.clis import CLIS, KEY, LEANERS, PROMPT, Cli, Place, Ran, Script, header
from e2e.wires import MODEL, Server

CLAUDE, QWEN, GEMINI, AIDER, OPENCODE, CODEX, PI = CLIS
EVERY = pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name) for cli in CLIS])
FAKE = """#!/usr/bin/env bash
[ "$1" = --version ] && echo "fake 9.8.7" && exit
here="$(dirname "$0")"
printf '%s\\n' "$@" > "$here/args"
env > "$here/env"
cat > "$here/stdin"
"""
ANSWER = {
    "claude": '{"type":"result","is_error":false,"num_turns":2,"result":"Done \\"it\\".","usage":{"input_tokens":10,'
    '"cache_creation_input_tokens":3,"cache_read_input_tokens":5,"output_tokens":2}}',
    "qwen": '{"type":"result","is_error":false,"num_turns":2,"result":"Done \\"it\\".","usage":{"input_tokens":18,'
    '"output_tokens":2,"cache_read_input_tokens":5,"total_tokens":20}}',
    "gemini": '{"type":"message","role":"assistant","content":"Done \\"it\\".","delta":true}\n'
    '{"type":"result","status":"success","stats":{"total_tokens":20,"input_tokens":18,"output_tokens":2,"cached":5}}',
    "opencode": '{"type":"text","part":{"type":"text","text":"Done \\"it\\"."}}\n'
    '{"type":"step_finish","part":{"tokens":{"input":10,"output":2,"reasoning":0,"cache":{"write":3,"read":5}}}}',
    "codex": '{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"Done \\"it\\"."}}\n'
    '{"type":"turn.completed","usage":{"input_tokens":18,"cached_input_tokens":5,"output_tokens":2}}',
    "pi": '{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"Done \\"it\\"."}],'
    '"usage":{"input":10,"output":2,"cacheRead":5,"cacheWrite":3},"stopReason":"stop"}}',
}
ANSWERING = pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name) for cli in CLIS if cli.name in ANSWER])


@dataclass(frozen=True)
class Fake:
    """A wrapper with a small program in its CLI's place, and a server that only lists its models."""

    place: Place
    server: Server

    def run(self, script: str = "", **settings: str) -> Ran:
        """Let the CLI do SCRIPT (bash), after it has written down how it was called."""
        self.write(script)
        return self.place.run(self.server, **settings)

    def write(self, script: str) -> None:
        program = self.place.bin / self.place.cli.name
        program.write_text(FAKE + script + "\n")
        program.chmod(0o755)

    def told(self, name: str) -> str:
        """How the CLI was called: its `args` (one a line), `env` or `stdin`."""
        return (self.place.bin / name).read_text()

    def variable(self, name: str) -> str | None:
        found = re.search(rf"^{name}=(.*)$", self.told("env"), re.MULTILINE)
        return found and found[1]


@pytest.fixture
def fake(cli: Cli, tmp_path: Path) -> Iterator[Fake]:
    place = Place(tmp_path, cli, tmp_path / "bin")
    place.bin.mkdir()
    place.lay({})
    with Server(Script([])) as server:
        yield Fake(place, server)


def answer(cli: Cli, code: int = 0) -> str:
    return f"cat <<'END'\n{ANSWER[cli.name]}\nEND\nexit {code}"


def only(cli: Cli) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cli", [pytest.param(cli, id=cli.name)])


# --- the file itself --------------------------------------------------------------------------------------------------


@EVERY
def test_a_wrapper_can_be_started_and_says_what_it_needs(cli: Cli) -> None:
    path = LEANERS / f"{cli.name}.sh"
    assert path.stat().st_mode & stat.S_IXUSR
    assert path.read_text().startswith("#!/usr/bin/env bash\n# lean: program=")
    assert header(cli)["program"] == cli.name


@EVERY
def test_a_wrapper_is_read_in_a_minute(cli: Cli) -> None:
    lines = (LEANERS / f"{cli.name}.sh").read_text().splitlines()
    assert len(lines) <= 60


NEWER_THAN_BASH_3 = (
    r"declare -A|local -[An]|mapfile|readarray|\|&|&>>|\$\{\w+(\^|,)|\[-1\]|\$\{\w+@|coproc|wait -n|printf '%\("
)


@pytest.mark.parametrize("path", [*sorted(LEANERS.glob("*.sh")), LEANERS / "_lib.bash"], ids=lambda path: path.name)
def test_bash_3_can_read_it(path: Path) -> None:
    found = re.search(NEWER_THAN_BASH_3, path.read_text())
    assert not found, found
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0


# --- how a CLI is called ----------------------------------------------------------------------------------------------


@EVERY
def test_a_program_that_is_missing_is_named_with_its_package(fake: Fake, cli: Cli) -> None:
    ran = fake.place.run(fake.server, PATH="/usr/bin:/bin")
    assert ran.code == 2
    assert f"{cli.name} is not on PATH" in ran.reason
    assert cli.package in ran.reason


@EVERY
def test_neither_prompt_nor_key_is_an_argument_and_the_model_is_told(fake: Fake, cli: Cli) -> None:
    fake.run()
    assert "chaffinch" not in fake.told("args")
    assert cli.name == "aider" or fake.told("stdin") == PROMPT
    assert KEY not in fake.told("args")  # the list of processes shows them
    assert KEY in fake.told("env")
    assert re.search(rf"(^|/){MODEL}$", fake.told("args"), re.MULTILINE)


@EVERY
def test_the_prompt_may_come_by_the_option_alone(fake: Fake, cli: Cli) -> None:
    fake.run(LEAN_PROMPT_FILE="")
    assert cli.name == "aider" or fake.told("stdin").strip() == PROMPT.strip()


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize(
    ("cli", "name"),
    [
        pytest.param(CLAUDE, "ANTHROPIC_BASE_URL", id="claude"),
        pytest.param(GEMINI, "GOOGLE_GEMINI_BASE_URL", id="gemini"),
    ],
)
def test_a_v1_at_the_end_of_the_url_is_taken_off(fake: Fake, cli: Cli, name: str, ending: str) -> None:
    fake.run(LEAN_BASE_URL=fake.server.origin + ending)
    assert fake.variable(name) == fake.server.origin


@pytest.mark.parametrize(
    ("cli", "name"),
    [
        pytest.param(CLAUDE, "ANTHROPIC_BASE_URL", id="claude"),
        pytest.param(GEMINI, "GOOGLE_GEMINI_BASE_URL", id="gemini"),
    ],
)
def test_without_a_url_the_clis_own_service_is_used(fake: Fake, cli: Cli, name: str) -> None:
    fake.run(LEAN_BASE_URL="", **{name: ""})
    assert not fake.variable(name)


APPROVALS = [
    (CLAUDE, "edit", "yolo", "1", "--permission-mode acceptEdits" if os.geteuid() == 0 else "--dangerously-skip"),
    (CLAUDE, "edit", "edit", "0", "--permission-mode acceptEdits"),
    (CLAUDE, "edit", "dontAsk", "0", "--permission-mode dontAsk"),
    (CLAUDE, "ask", "yolo", "0", "--permission-mode plan"),
    (QWEN, "edit", "yolo", "1", "--approval-mode yolo"),
    (QWEN, "edit", "edit", "1", "--approval-mode auto-edit"),
    (QWEN, "edit", "auto", "1", "--approval-mode auto"),
    (QWEN, "ask", "yolo", "0", "--approval-mode plan"),
    (GEMINI, "edit", "yolo", "1", "--approval-mode yolo"),
    (GEMINI, "edit", "edit", "1", "--approval-mode auto_edit"),
    (GEMINI, "edit", "default", "1", "--approval-mode default"),
    (GEMINI, "ask", "yolo", "1", "--approval-mode plan"),
    (CODEX, "edit", "yolo", "1", "--dangerously-bypass-approvals-and-sandbox"),
    (CODEX, "edit", "edit", "1", "--sandbox workspace-write"),
    (CODEX, "edit", "read-only", "1", "--sandbox read-only"),
    (CODEX, "ask", "yolo", "1", "--sandbox read-only"),
    (PI, "edit", "yolo", "1", "--tools read,edit,write"),
    (PI, "ask", "yolo", "1", "--no-tools"),
    (AIDER, "ask", "yolo", "1", "--edit-format ask"),
]


@pytest.mark.parametrize(
    ("cli", "mode", "approval", "lean", "wanted"),
    [pytest.param(*row, id="-".join((row[0].name, *row[1:4]))) for row in APPROVALS],
)
def test_approval_modes(fake: Fake, cli: Cli, mode: str, approval: str, lean: str, wanted: str) -> None:
    fake.run(LEAN_MODE=mode, LEAN_APPROVAL_MODE=approval, LEAN_LEAN_PROMPT=lean)
    assert wanted in fake.told("args").replace("\n", " ")


@pytest.mark.parametrize(("form", "wanted"), [("whole", "whole"), ("search", "diff")])
@only(AIDER)
def test_aider_is_told_the_edit_format(fake: Fake, cli: Cli, form: str, wanted: str) -> None:
    fake.run(LEAN_EDIT_FORMAT=form)
    assert f"--edit-format {wanted} " in fake.told("args").replace("\n", " ")


@only(AIDER)
def test_aider_is_given_the_files_of_the_task(fake: Fake, cli: Cli) -> None:
    fake.run(LEAN_FILES="calc.py\na b.py")
    assert fake.told("args").splitlines()[-2:] == ["calc.py", "a b.py"]


# --- what is made of a CLI's words ------------------------------------------------------------------------------------


@ANSWERING
def test_the_answer_is_all_that_is_printed_and_the_usage_is_read(fake: Fake, cli: Cli) -> None:
    ran = fake.run(answer(cli))
    assert (ran.code, ran.out.strip()) == (0, 'Done "it".'), ran.err
    usage = ran.usage
    assert (usage["input_tokens"], usage["output_tokens"], usage["cached_tokens"]) == (18, 2, 5)


@ANSWERING
def test_an_answer_with_a_failing_exit_code_is_a_failure(fake: Fake, cli: Cli) -> None:
    assert fake.run(answer(cli, 3)).code == 1


@EVERY
def test_a_cli_that_says_nothing_and_ends_well_is_a_failure(fake: Fake, cli: Cli) -> None:
    ran = fake.run("exit 0")
    assert ran.code == 1
    assert ran.reason.startswith(f"{cli.name} 9.8.7: ")


WORDS = [
    ("error: unknown option '--bare'", 2),
    ("Unknown argument: bare", 2),
    ("error: unexpected argument '--ephemeral' found", 2),
    ("401 Incorrect API key provided", 2),
    ("Not logged in · Please run /login", 2),
    ("404 The model qwen9 does not exist", 2),
    ("400 request (9000 tokens) exceeds the available context size (4096 tokens)", 2),
    ("This model's maximum context length is 8192 tokens", 2),
    ("connect ECONNREFUSED 127.0.0.1:8080", 75),
    ("TypeError: fetch failed", 75),
    ("API Error: 529 Overloaded", 75),
    ("429 Too Many Requests", 75),
    ("503 Loading model", 75),
    ("500 Internal Server Error", 75),
    ("something else went wrong in line 404", 1),
]


@pytest.mark.parametrize(("words", "code"), WORDS, ids=[words for words, _ in WORDS])
@only(CLAUDE)
def test_trouble_is_told_apart_by_its_words(fake: Fake, cli: Cli, words: str, code: int) -> None:
    ran = fake.run(f"echo {shlex.quote(words)}; exit 1")
    assert ran.code == code
    assert ran.reason == f"claude 9.8.7: {words}"


@EVERY
def test_a_reason_is_one_short_line(fake: Fake, cli: Cli) -> None:
    ran = fake.run("for i in $(seq 2000); do echo error: line $i of a very long story; done; exit 1")
    assert ran.code == 1
    assert len([line for line in ran.err.splitlines() if not line.startswith("progress: ")]) == 1
    assert len(ran.reason) < 500


@EVERY
def test_no_temporary_folder_stays(fake: Fake, cli: Cli) -> None:
    ran = fake.run(answer(cli) if cli.name in ANSWER else "")
    assert [path.name for path in fake.place.root.iterdir() if path.name.startswith("lean-")] == []
    assert ran.leftovers() == []


@EVERY
def test_a_server_that_is_down_is_trouble_of_the_server(fake: Fake, cli: Cli) -> None:
    fake.server.__exit__(None, None, None)
    ran = fake.run("echo connect ECONNREFUSED; exit 1")
    assert ran.code == 75
    assert ran.reason.startswith(cli.name)


@ANSWERING
def test_progress_is_told_only_where_it_is_wanted(fake: Fake, cli: Cli) -> None:
    assert "progress: " not in fake.run(answer(cli), LEAN_PROGRESS="").err


@EVERY
def test_ending_the_group_leaves_nothing(fake: Fake, cli: Cli) -> None:
    fake.write("sleep 1000 &\nsleep 1000")
    env = fake.place.environment(PROMPT, LEAN_BASE_URL=f"{fake.server.origin}/v1")
    process = fake.place.start(env)
    while not (fake.place.bin / "env").exists() and process.poll() is None:
        signal.sigtimedwait([], 0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(10) == 143
    assert [path.name for path in fake.place.root.iterdir() if path.name.startswith("lean-")] == []


# --- what the README of the leaners says ------------------------------------------------------------------------------

README = (LEANERS / "README.md").read_text()
EXAMPLE = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Fake]:
    """The README's wrapper in a folder of its own, with a small program for the CLI that it drives."""
    folder = tmp_path / "leaners"
    folder.mkdir()
    (folder / "mycli.sh").write_text(EXAMPLE)
    (folder / "_lib.bash").write_bytes((LEANERS / "_lib.bash").read_bytes())
    cli = replace(CLAUDE, name="mycli")
    place = Place(tmp_path, cli, tmp_path / "bin", folder)
    place.bin.mkdir()
    place.lay({})
    with Server(Script([])) as server:
        yield Fake(place, server)


def test_the_example_edits_and_answers(example: Fake) -> None:
    ran = example.run("sed -i s/-/+/ calc.py; echo It adds.")
    assert (ran.code, ran.out, ran.status()) == (0, "It adds.\n", ["calc.py"])
    assert example.told("stdin") == PROMPT


def test_the_example_passes_failures_on(example: Fake) -> None:
    ran = example.run("echo error: 401 unauthorized; exit 1")
    assert (ran.code, ran.reason) == (2, "mycli 9.8.7: error: 401 unauthorized")


def test_the_readme_names_every_variable_that_is_passed() -> None:
    names = {field.name for field in leanloop.fields(leanloop.Leaner)} - {*leanloop.NOT_PASSED}
    passed = {f"LEAN_{name.upper()}" for name in names} | {"LEAN_MODE", "LEAN_FILES", "LEAN_PROTECT"}
    assert sorted(passed - set(re.findall(r"LEAN_[A-Z_]+", README))) == []
