"""The loop itself, through the real command with the real `direct` leaner and a scripted model."""

from __future__ import annotations

import json

from conftest import RIGHT, WRONG, Bench, Serve, is_ask, prompt_of


def test_a_right_answer_is_green_after_one_request(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "green: add: 1 attempt; 1 -> 0 failing; calc.py" in ran.out
    assert "left + right" in calc.read("calc.py")
    assert len(server.requests) == 1


def test_the_first_prompt_holds_task_file_and_failure(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    calc.lean_loop()
    prompt = prompt_of(server.requests[0])
    assert "Mend add in calc.py: it must add." in prompt
    assert "return left - right" in prompt
    assert "AssertionError: -1 != 5" in prompt
    assert str(calc.project) not in prompt


def test_a_wrong_answer_is_diagnosed_and_fixed(calc: Bench, serve: Serve) -> None:
    server = serve(WRONG, RIGHT)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert [is_ask(body) for body in server.requests] == [False, True, False]
    fix = prompt_of(server.requests[2])
    assert "Mend add in calc.py: it must add." in fix
    assert "AssertionError: 6 != 5" in fix
    assert "return left * right" in fix
    assert "add subtracts instead of adding." in fix


def test_without_summaries_there_is_no_diagnosis(calc: Bench, serve: Serve) -> None:
    server = serve(WRONG, RIGHT)
    calc.write("leanfile.toml", "[defaults]\nsummarize_errors = false\n" + calc.read("leanfile.toml"))
    assert calc.lean_loop().code == 0
    assert [is_ask(body) for body in server.requests] == [False, False]


def test_the_tests_run_after_the_last_fix(calc: Bench, serve: Serve) -> None:
    server = serve(WRONG, WRONG, RIGHT)
    calc.write("leanfile.toml", "[defaults]\nmax_iters_per_task = 2\n" + calc.read("leanfile.toml"))
    assert calc.lean_loop().code == 0
    assert len([body for body in server.requests if not is_ask(body)]) == 3


def test_what_stays_red_ends_with_1_and_says_what_is_needed(calc: Bench, serve: Serve) -> None:
    serve(WRONG)
    calc.write("leanfile.toml", "[defaults]\nmax_iters_per_task = 1\n" + calc.read("leanfile.toml"))
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "red: add: 2 attempts" in ran.out
    assert "failing: test_two_and_three (test_calc.Add.test_two_and_three)" in ran.out
    assert "AssertionError: 6 != 5" in ran.out
    assert "test_calc.py:8" in ran.out


def test_direct_mode_brings_what_the_tests_report_to_green(calc: Bench, serve: Serve) -> None:
    serve(RIGHT)
    calc.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest", "-q"]\n')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "left + right" in calc.read("calc.py")


def test_direct_mode_has_nothing_to_do_where_all_is_green(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    calc.write("calc.py", "def add(left, right):\n    return left + right\n")
    calc.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest", "-q"]\n')
    ran = calc.lean_loop()
    assert ran.code == 0
    assert server.requests == []


def test_the_users_index_head_and_stash_are_untouched(calc: Bench, serve: Serve) -> None:
    serve(WRONG, RIGHT)
    calc.write("notes.txt", "staged\n")
    calc.git("add", "notes.txt")
    calc.write("notes.txt", "staged, then edited\n")
    before = [calc.git("rev-parse", "HEAD"), calc.git("diff", "--cached"), calc.git("stash", "list")]
    calc.lean_loop()
    assert [calc.git("rev-parse", "HEAD"), calc.git("diff", "--cached"), calc.git("stash", "list")] == before
    assert calc.read("notes.txt") == "staged, then edited\n"
    assert calc.git("status", "--porcelain").split() == ["M", "calc.py", "AM", "notes.txt"]


def test_the_record_holds_every_prompt_answer_and_event(calc: Bench, serve: Serve) -> None:
    serve(WRONG, RIGHT)
    calc.lean_loop()
    (folder,) = calc.runs()
    events = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events.count("asking") == len(list(folder.glob("*prompt.md"))) == len(list(folder.glob("*answer.txt"))) == 3
    assert events.count("tested") == len(list(folder.glob("*tests.txt"))) == 3
    assert folder.stat().st_mode & 0o077 == 0


def test_the_record_shows_what_the_model_said_and_what_became_of_it(calc: Bench, serve: Serve) -> None:
    serve(answer=lambda body: f"Adding is not sk-0123456789. \x1b[1mNow:\x1b[0m\n\n{RIGHT}")
    calc.write("leanfile.toml", '[lean]\napi_key = "sk-0123456789"\n' + calc.read("leanfile.toml"))
    assert calc.lean_loop().code == 0
    (folder,) = calc.runs()
    (answer,) = folder.glob("*answer.txt")
    words, _, did = answer.read_text().partition("\n--- what direct did with it ---\n")
    assert words.startswith("Adding is not ") and words.rstrip().endswith(RIGHT.strip())
    assert did == "wrote calc.py (+1 -1)\n"
    assert "sk-0123456789" not in answer.read_text() and "\x1b" not in answer.read_text()
    assert list(folder.glob("*said.txt")) == []


def test_the_model_that_was_asked_is_on_record(calc: Bench, serve: Serve) -> None:
    server = serve(RIGHT)
    ran = calc.lean_loop()
    (folder,) = calc.runs()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["model"] for event in events if event["event"] == "answered"] == [server.model]
    assert events[-1]["models"] == [server.model]
    assert server.model in ran.out.splitlines()[-1] and server.model in (folder / "report.md").read_text()
