"""The JSON Schema of leanfiles accepts what lean-loop accepts, and refuses what it refuses, as far as a schema can."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from bench.schema import schema
from conftest import ROOT, Bench
from test_bad_input import REFUSED

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install -e '.[heavy]'")

SCHEMA = json.loads((ROOT / "examples" / "leanfile.schema.json").read_text(encoding="utf-8"))
GOOD = [*ROOT.glob("examples/*/leanfile.toml"), *ROOT.glob("playground/*/leanfile.toml"), ROOT / "config.toml"]
# What no schema can know: faults of TOML itself, the file system, other tasks, and keys that the static file may hold.
BEYOND = {
    "syntax error", "key twice", "an endless time", "two tasks of one name", "no runner", "no command", "no such root",
    "a file outside", "a file far outside", "a folder as a file", "a pattern as a file", "no regular expression",
    "a mask for everything", "no number",
}  # fmt: skip


@pytest.fixture(scope="module")
def check() -> Any:
    """A checker of the schema, which is itself a valid one."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    return jsonschema.Draft7Validator(SCHEMA)


def test_the_checked_file_is_what_the_dataclasses_make() -> None:
    assert schema() == SCHEMA, "python tests/bench/schema.py > examples/leanfile.schema.json"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_schema_accepts_every_leanfile_that_is_shipped(check: Any, path: Path) -> None:
    assert [error.message for error in check.iter_errors(tomllib.loads(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - BEYOND))
def test_the_schema_refuses_what_is_refused(check: Any, name: str) -> None:
    assert not check.is_valid(tomllib.loads(REFUSED[name][0]))


def test_descriptions_are_those_of_config_toml(check: Any) -> None:
    tables = check.schema["properties"]
    assert tables["lean"]["properties"]["timeout"]["description"] == "seconds that one call may take in all"
    assert tables["runner"]["properties"]["timeout"]["description"] == "seconds; a run that reaches it is red"


def test_a_sample_names_the_schema_where_it_lies(bench: Bench) -> None:
    first = bench.lean_loop("--init").out.splitlines()[0]
    assert first.startswith("#:schema file://")
    path = Path(unquote(urlsplit(first.removeprefix("#:schema ")).path))
    assert json.loads(path.read_text(encoding="utf-8")) == SCHEMA


def test_the_schema_is_printed(bench: Bench) -> None:
    assert json.loads(bench.lean_loop("--schema").out) == SCHEMA
