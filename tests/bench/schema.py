"""Make the JSON Schema (draft 7) of leanfiles from the dataclasses that check them, with the comments of config.toml.

    python tests/bench/schema.py > examples/leanfile.schema.json

A test compares the checked file with what this makes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import leanloop  # noqa: E402

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "pattern": r"^[^\x00]*$"}
LIST: Schema = {"type": "array", "items": TEXT}
AMOUNT: Schema = {"type": "number", "minimum": 0, "maximum": leanloop.MOST}
SHAPES: dict[str, Schema] = {
    "Text": TEXT,
    "MaybeText": TEXT,
    "Prompt": {**TEXT, "pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"},
    "Texts": LIST,
    "Words": {"anyOf": [TEXT, LIST]},
    "Addresses": {"anyOf": [TEXT, {**LIST, "items": {**TEXT, "minLength": 1}, "minItems": 1}]},
    "Patterns": {"type": "array", "items": {**TEXT, "format": "regex"}},
    "Flag": {"type": "boolean"},
    "Count": {**AMOUNT, "type": "integer"},
    "Positive": {**AMOUNT, "type": "integer", "minimum": 1},
    "Seconds": {**AMOUNT, "exclusiveMinimum": 0},
    "Amount": AMOUNT,
    "Maybe": {"type": "number", "minimum": -leanloop.MOST, "maximum": leanloop.MOST},
    "Size": {**TEXT, "pattern": r"^\d{1,9} *(?:[kKmMgG][bB]?|[bB])?$"},
    "Table": {"type": "object"},
    "Variables": {"type": "object", "propertyNames": {"pattern": r"^[^=\x00]+$"}, "additionalProperties": TEXT},
}


def schema() -> Schema:
    """Make the schema of a leanfile."""
    pieces = re.split(r"^(?:# )?\[+(\w+)\]+", (ROOT / "config.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    comments = (dict(re.findall(r"^(?:# )?(\w+) = .*?  # (.+)$", text, re.MULTILINE)) for text in pieces[2::2])
    told = dict(zip(pieces[1::2], comments, strict=True))
    parts = {name: table_schema(cls, told.get(name, {})) for name, cls in leanloop.TABLES.items()}
    keys = {key: value for key, value in parts["lean"]["properties"].items() if key != "binary"}
    parts["diagnose"] = parts["lean"]
    parts["leaners"] = {"type": "object", "additionalProperties": {**parts["lean"], "properties": keys}}
    for name, cls in leanloop.LISTS.items():
        items = {**table_schema(cls, told["lean"]), "required": [leanloop.NEEDED[name]]}
        parts[name] = {"type": "array", "items": items}
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "leanfile.toml"}
    return {**head, "type": "object", "additionalProperties": False, "properties": parts}


def table_schema(cls: type, told: Mapping[str, str]) -> Schema:
    """Make the schema of one table; TOLD describes its keys."""
    keys: Schema = {}
    for item in leanloop.fields(cls):
        keys[item.name] = dict(table_schema(leanloop.Runner, {}) if item.kind == "Runner" else SHAPES[item.kind])
        if item.choices:
            keys[item.name]["enum"] = [*item.choices]
        if item.name in told:
            keys[item.name]["description"] = told[item.name]
    return {"type": "object", "additionalProperties": False, "properties": keys}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
