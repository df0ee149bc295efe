"""The scripts of the pages, run by node."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", sorted(HERE.glob("js/*.test.js")), ids=lambda path: path.name)
def test_the_scripts_pass_their_own_tests(path):
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"node --test {path.name} is red:\n{done.stdout}{done.stderr}"
