"""`direct` against a real llama-server, built from source, with a tiny model of random weights.

What the model says is noise, or what a grammar makes it say; loading, sizes, slots, keys and streams are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama import OFF, VERSION, Llama, build_tools, free_port, llama_server, only_once, serving, shell
from support import HERE, PROGRAM, Done, call

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("sealed")]

EDIT = 'root ::= "a.py\\n```\\nx = 2\\n```\\n"'
LONG_ANSWER = "root ::= " + "part " * 30 + "\npart ::= [a-z ]{100}"


@pytest.fixture(scope="module")
def tools() -> Path:
    """Return the Python of an environment that has gguf, cmake and ninja."""
    return build_tools()


@pytest.fixture(scope="module")
def binary() -> Path:
    return llama_server()


def noise(tools: Path, path: Path, width: int, layers: int) -> Path:
    shell(tools, HERE / "tiny_gguf.py", path, str(width), str(layers))
    return path


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def model(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise(tools, tmp_path_factory.mktemp("model") / "noise.gguf", 64, 2)


@pytest.fixture(scope="module")
def llama(binary: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    with serving(binary, model, tmp_path_factory.mktemp("llama")) as server:
        server.wait(200)
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("x = 1\n")
    return tmp_path / "project"


def edit(root: Path, server: Llama, prompt: str = "Set x to 2.", grammar: str = EDIT, **settings: object) -> Done:
    """Ask for an edit, which a grammar forces the model to write."""
    given = {"extra_body": json.dumps({"grammar": grammar}), "files": "a.py", "base_url": server.base_url, **settings}
    return call(root, prompt, **given)


def test_edit_lands(root: Path, llama: Llama) -> None:
    done = edit(root, llama)
    assert (done.code, done.out, (root / "a.py").read_text()) == (0, "wrote a.py (+1 -1)\n", "x = 2\n"), done.err
    assert "estimated" not in done.usage
    assert done.usage["input_tokens"] > 200
    assert done.usage["output_tokens"] in range(15, 30)


def test_same_beginning_comes_from_the_cache(root: Path, llama: Llama) -> None:
    task = "# Task: two\nSet x to 2, and leave the rest as it is.\n" * 25
    first = edit(root, llama, task + "# Failing tests\nassert 1 == 2")
    (root / "a.py").write_text("x = 1\n")
    second = edit(root, llama, task + "# Failing tests\nassert 3 == 2")
    assert (first.code, second.code) == (0, 0)
    assert second.usage["cached_tokens"] > 0.85 * second.usage["input_tokens"]  # what to answer stands behind it


def test_noise_is_no_edit(root: Path, llama: Llama) -> None:
    done = edit(root, llama, grammar="root ::= [a-z ]{40}")
    assert (done.code, "holds no edit" in done.reason) == (1, True), done.err
    done = edit(root, llama, "Say something.", grammar="root ::= [a-z ]{40}", max_output_tokens=20, mode="ask")
    assert (done.code, "cut off after 20 tokens" in done.reason) == (1, True), done.err
    assert (root / "a.py").read_text() == "x = 1\n"


def test_ask_mode(root: Path, llama: Llama) -> None:
    done = edit(root, llama, "In one sentence, why?", grammar='root ::= "The edge is wrong."', mode="ask")
    assert (done.code, done.out) == (0, "The edge is wrong.\n")


def test_stream_is_seen_while_it_comes(root: Path, llama: Llama) -> None:
    done = edit(root, llama, grammar=LONG_ANSWER, progress=1)
    counts = [int(line.split()[1]) for line in done.err.split("\n") if line.startswith("progress: ")]
    assert counts == sorted(counts) and 0 < counts[0] < done.usage["output_tokens"] <= 3001  # a quick one shows once


def test_prompt_over_the_context_is_not_sent(root: Path, llama: Llama) -> None:
    done = edit(root, llama, "word " * 4000)
    assert (done.code, done.usage["requests"]) == (2, 0), done.err
    words = done.reason.split()
    tokens, size = int(words[words.index("tokens,") - 1]), int(words[words.index("context") + 1].rstrip("."))
    assert 20000 < tokens < 21000, "the server counts: one token a letter"
    assert size in (4096, 8192)


def test_servers_own_word_on_the_context(root: Path, llama: Llama) -> None:
    done = edit(root, llama, "word " * 4000, context_tokens=1_000_000)
    assert (done.code, done.usage["requests"]) == (2, 0), done.err
    assert "the server's context" in done.reason and "has about 20" in done.reason


def test_wrong_and_right_key(root: Path, binary: Path, model: Path, tmp_path: Path) -> None:
    with serving(binary, model, tmp_path, "--api-key", "open-sesame") as server:
        server.wait(200)
        for key in ("", "wrong"):
            done = edit(root, server, api_key=key, model="noise")
            assert (done.code, "refuses the key (401)" in done.reason) == (2, True), done.err
        assert edit(root, server, api_key="open-sesame").code == 0


def test_loading_is_waited_for(root: Path, binary: Path, tools: Path, tmp_path: Path) -> None:
    large = noise(tools, tmp_path / "large.gguf", 1024, 10)
    try:
        with serving(binary, large, tmp_path, "--load-mode", "none") as server:
            server.wait(503)
            done = edit(root, server)
            assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n"), done.err
    finally:
        large.unlink()


def test_two_at_once_on_two_slots(tmp_path: Path, llama: Llama) -> None:
    env = {**os.environ, "LEAN_BASE_URL": llama.base_url, "LEAN_EXTRA_BODY": json.dumps({"grammar": LONG_ANSWER})}
    command = [sys.executable, str(PROGRAM), "--ask", "-p", "Say much."]
    begun = len(llama.log.read_bytes())
    both = [
        subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(len(text) > 2500 for text in said)
    log = llama.log.read_bytes()[begun:].decode(errors="replace")
    assert "id  0" in log and "id  1" in log


def test_server_killed_in_the_middle(root: Path, binary: Path, model: Path, tmp_path: Path) -> None:
    with serving(binary, model, tmp_path) as server:
        server.wait(200)
        env = {**os.environ, "LEAN_BASE_URL": server.base_url, "LEAN_PROGRESS": "1", "LEAN_FILES": "a.py"}
        env["LEAN_EXTRA_BODY"] = json.dumps({"grammar": LONG_ANSWER})
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "-p", "Say much."],
            cwd=root, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr and process.stderr.readline().startswith("progress: ")
        server.process.kill()
        reason = process.stderr.read().strip().split("\n")[-1]
        assert process.wait(20) == 75
        assert "in the middle of the answer" in reason
    again = call(root, "Say much.", base_url=server.base_url)
    assert (again.code, "No server answers" in again.reason) == (75, True)
    assert (root / "a.py").read_text() == "x = 1\n"


@pytest.fixture(scope="module")
def other(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the same model with llama_cpp.server, which speaks the same API in its own way; return its base URL."""
    with only_once(f"llama-cpp-python-{VERSION}") as folder:
        python = folder / "bin" / "python"
        if not (folder / "done").exists():
            shell(sys.executable, "-m", "venv", folder)
            flags = " ".join(f"-D{switch}=OFF" for switch in sorted(OFF - {"BUILD_SHARED_LIBS"}))
            install = (python, "-m", "pip", "install", "--quiet", f"llama-cpp-python[server]=={VERSION}")
            shell("env", f"CMAKE_ARGS={flags}", f"CMAKE_BUILD_PARALLEL_LEVEL={os.cpu_count() or 2}", "nice", *install)
            (folder / "done").touch()
    port, log = free_port(), tmp_path_factory.mktemp("other") / "log"
    command = [str(python), "-m", "llama_cpp.server", "--model", str(model), "--port", str(port), "--n_ctx", "2048"]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as process,
    ):
        until = time.monotonic() + 60
        while not listens(port):
            assert time.monotonic() < until and process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
        process.kill()


def test_other_server(root: Path, other: str) -> None:
    given = {"base_url": other, "extra_body": json.dumps({"grammar": EDIT}), "files": "a.py"}
    done = call(root, "Set x to 2.", **given)
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n"), done.err
    assert done.usage["estimated"] is True, "it tells no usage in a stream"
    done = call(root, "word " * 4000, **given)
    assert (done.code, "before a word of the answer" in done.reason) == (75, True), done.err
