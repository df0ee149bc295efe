"""--stats: figures over the kept runs of a project, for each leaner and model."""

from __future__ import annotations

import json

from conftest import RIGHT, WRONG, Bench, Serve

NO_PLACE = "I would add the numbers."


def test_figures_are_told_for_each_leaner_and_model(calc: Bench, serve: Serve) -> None:
    ran = calc.lean_loop("--stats")
    assert (ran.code, ran.out) == (0, "")
    assert "no leaner was called in this project yet" in ran.err
    tables = "[lean]\nedit_retries = 0\n[defaults]\nsummarize_errors = false\n"
    calc.write("leanfile.toml", tables + calc.read("leanfile.toml"))
    serve(RIGHT)
    assert calc.lean_loop().code == 0
    assert calc.lean_loop("--undo").code == 0
    serve(NO_PLACE, WRONG, RIGHT)
    calc.write("leanfile.toml", calc.read("leanfile.toml").replace("[lean]", '[lean]\nmodel = "other/one"'))
    assert calc.lean_loop().code == 0
    ran = calc.lean_loop("--stats", "--json")
    assert ran.code == 0, ran.text
    other, first = sorted(map(json.loads, ran.out.splitlines()), key=lambda row: row["model"] != "other/one")
    keys = ("tasks", "green", "green_at_first_answer", "green_in_first_round", "calls", "calls_per_green")
    assert [first[key] for key in keys] == [1, 1, 1, 1, 1, 1.0]
    assert [other[key] for key in keys] == [1, 1, 0, 0, 3, 3.0]
    assert first["tokens"] > 0 and other["tokens"] > first["tokens"] and other["tokens_per_green"] > first["tokens"]
    assert list(other["unusable"].values()) == [1]
    table = calc.lean_loop("--stats").out
    assert table.splitlines()[0].split()[:3] == ["leaner", "model", "tasks"]
    assert "direct other/one: 1 call of no use: " in table
    assert "of 2 kept runs" in table
    record = calc.runs()[0] / "events.jsonl"
    record.write_bytes(record.read_bytes() + b'[1]\n"x"\n{}\n\xff\n{"event": "ans')  # a disk that was full, say
    assert calc.lean_loop("--stats").out == table
