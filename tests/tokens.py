"""Count tokens as cl100k does; its table comes out of the litellm wheel, because tiktoken alone would fetch it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

LITELLM = "1.109.1"
TABLE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


def counter(cache: Path, fetch: bool) -> Callable[[str], int]:
    """Give cl100k's count of a text; skip where tiktoken or its table is missing and may not be fetched."""
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed: pip install -e '.[heavy]'")
    folder = cache / f"cl100k-{LITELLM}"
    if not (folder / TABLE).is_file():
        if not fetch:
            pytest.skip("the table of cl100k is not in the cache: run once with --heavy")
        fetch_table(folder)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    encoding = tiktoken.get_encoding("cl100k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def fetch_table(folder: Path) -> None:
    """Take the table out of the wheel of litellm."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), f"litellm=={LITELLM}"]
    subprocess.run(argv, check=True)
    (wheel,) = folder.glob("litellm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(TABLE))
        (folder / f"{TABLE}.part").write_bytes(archive.read(name))
    (folder / f"{TABLE}.part").rename(folder / TABLE)
    wheel.unlink()
