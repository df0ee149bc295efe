"""The forms in which a key may turn up in what programs print: as it stands, in a URL, in JSON, in base64, in hex.

The loop loads this file for each run, and hides all of them in its record and on the screen.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

LEAST = 16  # characters of a variable's value that is taken for a key


def keys_of_programs() -> set[str]:
    """List the keys that agent CLIs find in their own variables, such as ANTHROPIC_API_KEY or GH_TOKEN."""
    named = {
        value
        for name, value in os.environ.items()
        if re.search(r"(?:(?:API|ACCESS)_?KEY|TOKEN|SECRET|PASSWORD)$", name)
    }
    return {value for value in named if len(value) >= LEAST}


def key_patterns(keys: Iterable[str]) -> list[str]:
    """Make a pattern for each form of each key, the longest first."""
    forms = {form for key in keys for form in forms_of(key)}
    return [spelled(form) for form in sorted(forms, key=len, reverse=True)]


def spelled(form: str) -> str:
    """Make the pattern of a form; what is percent-encoded may have small letters."""
    return re.sub("%[0-9A-F]{2}", lambda sign: f"(?i:{sign[0]})", re.escape(form))


def forms_of(key: str) -> set[str]:
    """Give a KEY as it stands, percent-encoded, JSON-escaped, in hex, and in base64 at any place in what is encoded."""
    raw = key.encode("utf-8", "surrogateescape")
    found = {key, quote(key, safe=""), quote(key), json.dumps(key)[1:-1], raw.hex()}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * before + raw).decode().rstrip("=")
            inner = coded[(0, 2, 3)[before] : len(coded) - 1]  # the first and last signs hold bits of others
            if len(inner) >= 8:
                found.add(inner)
    return found
