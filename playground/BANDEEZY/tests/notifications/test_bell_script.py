"""Task bell-script, for whoever runs pytest alone: the bell's own tests, run by node."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_bell_passes_its_own_tests():
    path = Path(__file__).with_name("bell.test.js")
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"node --test {path.name} is red:\n{done.stdout}{done.stderr}"
