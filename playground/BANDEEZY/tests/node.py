"""Run `node --test` on the files named, or say that node is missing: `python tests/node.py FILE…`."""

from __future__ import annotations

import shutil
import subprocess
import sys


def main() -> int:
    """Run the tests and return node's exit code, 0 where there is no node."""
    if shutil.which("node") is None:
        print("skipped: node is not installed")
        return 0
    return subprocess.run(["node", "--test", *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
