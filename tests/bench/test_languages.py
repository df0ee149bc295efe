"""What fix prompts hold of planted faults in languages other than Python."""

from __future__ import annotations

import pytest

from bench import languages


@pytest.mark.heavy
def test_fix_prompts_hold_what_is_needed() -> None:
    found = languages.survey(["javascript", "typescript", "go", "rust", "c", "java"], jobs=2)
    languages.show(found)
    told = [item["lean-loop"] for item in found.values()]
    hidden = [item for item in told if item.hidden]
    if len(told) < 40:
        pytest.skip("too few of the languages are on this machine")
    assert sum(item.within(2000, "all") for item in told) >= 0.9 * len(told)
    assert sum(item.within(2000, "all") for item in hidden) >= 0.75 * len(hidden)
    for method in ("last 40 lines", "everything"):
        assert sum(item[method].within(2000, "all") for item in found.values()) < 0.5 * len(told)
