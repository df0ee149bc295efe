"""Golden pairs: what real runners printed in small projects, and what is read and sent of it."""

from __future__ import annotations

from pathlib import Path

import make


def test_what_runners_print_is_read_as_recorded(tmp_path: Path) -> None:
    different = []
    for path in sorted(make.GOLDEN.glob("*.txt")):
        golden = make.load(path)
        root = make.write(golden.files, tmp_path / path.stem)
        if make.sent(golden.raw, root) != golden.sent:
            different.append(path.name)
    assert not different, "look at the difference after: tests/golden/make.py --sent"
