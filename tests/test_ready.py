"""Before a run, or beside one: --check, --smoke, --dry-run and --ask, through the real command."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

import pytest

from conftest import LEANLOOP, Bench, Leaner, Serve, few_of, prompt_of
from playground.serve import Body, said
from terminal import play
from test_command_line import COINS


def finding(text: str, subject: str) -> str:
    """The one line that a check says on SUBJECT."""
    (line,) = re.finditer(rf"^\w+ +{re.escape(subject)}: .*$", text, re.MULTILINE)
    return line[0]


# ----------------------------------------------------------------------------------------------------------- --check


def test_a_project_that_is_ready_is_said_to_be(calc: Bench, serve: Serve) -> None:
    server = serve("")
    before = calc.git("status", "--porcelain", "--ignored")
    ran = calc.lean_loop("--check")
    assert ran.code == 0, ran.text
    assert "error" not in ran.out
    assert "1 red" in finding(ran.out, "tests")
    assert server.model in finding(ran.out, "model")
    assert "test_calc.py" in finding(ran.out, "protected")
    assert "8,192 tokens are assumed" in finding(ran.out, "context")
    assert finding(ran.out, "files") == "ok      files: those of 1 of 1 task fit into a prompt"
    assert calc.git("status", "--porcelain", "--ignored") == before
    assert server.requests == []
    assert calc.runs() == []


def test_a_server_that_is_not_there_is_an_error_and_the_rest_is_still_looked_at(calc: Bench) -> None:
    static = calc.home / "own.toml"
    static.write_text('[lean]\nbase_url = "http://127.0.0.1:9/v1"\n')
    ran = calc.lean_loop("--check", "-g", str(static))
    assert ran.code == 3
    assert "base_url" in finding(ran.out, "server")
    assert finding(ran.out, "server").startswith("error")
    assert finding(ran.out, "tests").startswith("ok")


def test_a_check_fails_where_a_run_would_for_want_of_a_model(calc: Bench, serve: Serve) -> None:
    serve("").model = "nomic-embed-text"  # which cannot chat
    for args in (["--check"], ["--quiet"]):
        ran = calc.lean_loop(*args)
        assert ran.code == 3, ran.text
        assert "lists no models. Set model in [lean]" in ran.text


FAULTS: dict[str, tuple[Callable[[Bench], object], str, str]] = {
    "a test command that is not there": (
        lambda calc: calc.write("leanfile.toml", '[runner]\ncommand = "nothing-here"\n'), "tests", "error"),
    "tests that are green": (
        lambda calc: calc.write("calc.py", "def add(left, right):\n    return left + right\n"), "tests", "warning"),
    "a test file that is not there": (
        lambda calc: calc.write("leanfile.toml", calc.read("leanfile.toml") + 'test_files = ["test_no.py"]\n'),
        "tasks", "error"),
    "a test that is not there, of a kind that nothing is known of": (
        lambda calc: calc.write("leanfile.toml", calc.read("leanfile.toml") + 'test_files = ["no/such"]\n'),
        "add", "warning"),
    "a test command that ends before any test": (
        lambda calc: calc.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "pytest", "--qq"]\n'),
        "tests", "warning"),
    "files larger than the context": (
        lambda calc: calc.write("calc.py", calc.read("calc.py") + "# a b c d e f g h\n" * 900), "add", "warning"),
    "files larger than a prompt of the largest context": (
        lambda calc: calc.write("calc.py", calc.read("calc.py") + "# a b c d e f g h\n" * 1200)
        and calc.write("leanfile.toml", "[lean]\ncontext_tokens = 128000\n" + calc.read("leanfile.toml")),
        "add", "warning"),
    "a model that the server lacks": (
        lambda calc: calc.write("leanfile.toml", calc.read("leanfile.toml") + '[lean]\nmodel = "no"\n'),
        "model", "warning"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "subject", "level"), few_of(FAULTS.values(), 4), ids=FAULTS)
def test_what_is_not_ready_is_named(
    calc: Bench, serve: Serve, harm: Callable[[Bench], object], subject: str, level: str
) -> None:
    serve("")
    harm(calc)
    ran = calc.lean_loop("--check")
    assert finding(ran.out, subject).startswith(level), ran.text
    assert ran.code == (3 if level == "error" else 0)


def test_what_the_test_command_says_is_shown_where_it_names_no_test(calc: Bench, serve: Serve) -> None:
    serve("")
    calc.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "pytest", "--qq"]\n')
    assert finding(calc.lean_loop("--check").out, "tests").endswith("error: unrecognized arguments: --qq")
    calc.write("leanfile.toml", '[runner]\ncommand = "echo bad option: --tset; false"\nshell = true\n')
    assert finding(calc.lean_loop("--check").out, "tests").endswith("says: bad option: --tset")


def test_what_a_check_says_of_tests_is_true(calc: Bench, serve: Serve) -> None:
    serve("")
    (calc.project / "test_calc.py").unlink()
    told = finding(calc.lean_loop("--check").out, "tests")
    assert re.match(r"warning tests: not green, 0 passed, .*\. The test command ran no test", told)


def test_tests_that_cannot_be_loaded_are_no_red_tests(bench: Bench, serve: Serve) -> None:
    serve("done")
    for path, text in {**COINS, "src/coins.py": "def total(coins):\n    return 0\n"}.items():
        bench.write(path, text)
    bench.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest"]\n')
    told = " ".join(bench.lean_loop("--check").out.split())
    assert 'under [runner] put env = { PYTHONPATH = "src" }' in told
    (bench.project / "src/coins.py").unlink()
    told = " ".join(bench.lean_loop("--check").out.split())
    assert (
        "No test could be loaded: ModuleNotFoundError: No module named 'coins'. Right where a task is to write it"
        in told
    )


def test_files_that_a_task_will_create_are_named(calc: Bench, serve: Serve) -> None:
    serve("")
    calc.write("leanfile.toml", calc.read("leanfile.toml").replace('["calc.py"]', '["calc.py", "cacl.py"]'))
    told = finding(calc.lean_loop("--check").out, "add")
    assert "add: cacl.py is not there yet, and will be new" in told
    assert "cacl.py: did you mean calc.py?" in told


def test_installed_packages_are_not_counted_as_protected(calc: Bench, serve: Serve) -> None:
    serve("")
    calc.write("node_modules/x/x.test.js", "")
    calc.write(".venv/lib/site-packages/x.pth", "")
    assert finding(calc.lean_loop("--check").out, "protected").endswith("2 of 3 files: leanfile.toml, test_calc.py")


def test_arguments_that_narrow_the_tests_are_no_missing_files(calc: Bench, serve: Serve) -> None:
    serve("")
    narrow = 'test_files = ["-k", "ready", "--maxfail=1", "./..."]\n'
    calc.write("leanfile.toml", calc.read("leanfile.toml") + narrow)
    assert "is not there" not in calc.lean_loop("--check").out


# ----------------------------------------------------------------------------------------------------------- --smoke


def test_direct_passes_the_smoke_test(calc: Bench, serve: Serve) -> None:
    def answer(body: Body) -> str:
        edit = "greeting_smoke.txt\n```\nhello, world\n```\n"
        return edit if "wrold" in said(body) else prompt_of(body)[:30]

    serve(answer=answer)
    ran = calc.lean_loop("--check", "--smoke")
    assert ran.code == 0, ran.text
    assert finding(ran.out, "smoke, edit").startswith("ok")
    assert finding(ran.out, "smoke, long prompt").startswith("ok")
    assert re.match(r"  direct: edit; [\d,]+ tokens in, \d+ out, .* s\n  direct: answer; ", ran.err)
    assert list(calc.home.glob("state/lean-loop/lean-loop-smoke*")) == []


ASKED = '[ "$LEAN_MODE" = ask ] && { head -c 40 "$LEAN_PROMPT_FILE"; exit; }\n'
SMOKE = {
    "hangs": ("sleep 60", "it hangs"),
    "tool calls as text": ("echo '<function=write_file><parameter=path>greeting_smoke.txt'", "tool calls as text"),
    "tool calls as JSON": ("""echo '{"name": "edit", "arguments": {}}'""", "tool calls as text"),
    "empty": ("true", "answer is empty"),
    "wrong folder": ('echo "hello, world" > "$HOME/greeting_smoke.txt"; echo done', "home/greeting_smoke.txt: it must"),
    "no change": ("echo 'I would change it.'", "did not change the file"),
    "wrong change": ("echo hello > greeting_smoke.txt; echo done", "did not change the file"),
    "fails": ("echo 'no such model' >&2; exit 1", "no such model"),
}


@pytest.mark.parametrize(("script", "words"), few_of(SMOKE.values(), 4), ids=SMOKE)
def test_the_smoke_test_names_what_a_leaner_does_wrong(calc: Bench, leaner: Leaner, script: str, words: str) -> None:
    leaner(ASKED + script)
    calc.write("leanfile.toml", calc.read("leanfile.toml") + "[lean]\nidle = 1\n")
    ran = calc.lean_loop("--check", "--smoke")
    assert ran.code == 3, ran.text
    assert words in finding(ran.out, "smoke, edit")
    assert finding(ran.out, "smoke, long prompt").startswith("ok")
    assert "left - right" in calc.read("calc.py")


def test_a_prompt_that_is_silently_cut_is_noticed(calc: Bench, leaner: Leaner) -> None:
    leaner('tail -c 2000 "$LEAN_PROMPT_FILE"')
    ran = calc.lean_loop("--check", "--smoke")
    assert "cuts prompts" in finding(ran.out, "smoke, long prompt")


# --------------------------------------------------------------------------------------------------------- --dry-run


def test_a_dry_run_shows_the_prompt_that_a_run_sends(calc: Bench, leaner: Leaner) -> None:
    leaner('cp "$LEAN_PROMPT_FILE" "$HOME/prompt.md"; exit 2')
    dry = calc.lean_loop("--dry-run")
    assert dry.code == 0, dry.text
    assert not (calc.home / "prompt.md").exists()
    assert calc.runs() == []
    calc.lean_loop()
    assert (calc.home / "prompt.md").read_text().strip() in dry.out


def test_a_dry_run_tells_the_tokens(calc: Bench, leaner: Leaner) -> None:
    leaner("exit 2")
    sizes = r"=== add: about \d+ tokens, 0 more by leaner itself, of a context of 8,192"
    assert re.search(sizes, calc.lean_loop("--dry-run").out)


# ------------------------------------------------------------------------------------------------------------- --ask


def test_a_question_about_files_is_answered_on_standard_output(calc: Bench, serve: Serve) -> None:
    server = serve(answer=lambda body: "It subtracts.")
    ran = calc.lean_loop("--ask", "What does add do?", "calc.py")
    assert (ran.code, ran.out) == (0, "It subtracts.\n")
    (body,) = server.requests
    assert "return left - right" in prompt_of(body)
    assert prompt_of(body).endswith("What does add do?")


def test_a_question_shows_on_a_terminal_that_it_is_at_work_and_what_it_cost(calc: Bench, leaner: Leaner) -> None:
    leaner("sleep 0.6; echo It subtracts.")
    argv = [*LEANLOOP, "--ask", "What does add do?", "calc.py"]
    seen = play(argv, calc.project, {**calc.env, "TERM": "xterm"}, 80, 24)
    assert seen.code == 0, seen.text
    assert "asking leaner · 0 s" in seen.living
    assert re.fullmatch(r"  leaner: answer; about \d+ tokens in, \d+ out, \d\.\d s", seen.all_lines()[0])
    assert seen.all_lines()[1:3] == ["It subtracts.", ""]
    assert calc.lean_loop("--ask", "What?", "calc.py").text == "It subtracts.\n"


@pytest.mark.parametrize("columns", few_of([80, 40, 20], 2))
def test_a_check_is_broken_at_blanks_and_coloured_on_a_terminal(calc: Bench, serve: Serve, columns: int) -> None:
    serve("")
    env = {**calc.env, "TERM": "xterm"}
    seen = play([*LEANLOOP, "--check"], calc.project, env, columns, 24)
    assert "\x1b[32mok\x1b[0m" in seen.text
    assert "\x1b[33mwarning\x1b[0m" in seen.text
    plain = re.sub(r"\x1b\[\d*m", "", seen.text).replace("\r\n", "\n").split("\n")
    assert max(map(len, plain)) < columns
    assert " ".join(" ".join(plain).split()).count("Set [lean] context_tokens") == 1


def test_a_question_needs_no_leanfile(calc: Bench, serve: Serve) -> None:
    serve(answer=lambda body: "Sums.")
    (calc.project / "leanfile.toml").unlink()
    assert calc.lean_loop("--ask", "What is it?", "calc.py").out == "Sums.\n"


def test_a_question_is_answered_beside_a_run(calc: Bench, leaner: Leaner) -> None:
    leaner(
        '[ "$LEAN_MODE" = ask ] && { touch stray; echo "It has $(wc -l < calc.py) lines"; exit; }\n'
        'touch "$HOME/at-work"; while [ ! -e "$HOME/go" ]; do sleep 0.05; done\n'
        "sed -i 's/left - right/left + right/' calc.py; echo done"
    )
    calc.write("leanfile.toml", "[defaults]\nsummarize_errors = false\n" + calc.read("leanfile.toml"))
    process = subprocess.Popen([*LEANLOOP, "--quiet"], cwd=calc.project, env=calc.env, stdout=subprocess.DEVNULL)
    while not (calc.home / "at-work").exists():
        assert process.poll() is None
        time.sleep(0.05)
    ran = calc.lean_loop("--ask", "How long is it?", "calc.py")
    (calc.home / "go").touch()
    assert (ran.code, ran.out) == (0, "It has 6 lines\n"), ran.text
    assert process.wait(60) == 0
    assert not (calc.project / "stray").exists()
    assert len(list(calc.home.glob("state/lean-loop/*/snapshots.git"))) == 1


def test_what_the_leaner_changes_on_a_question_is_put_back(calc: Bench, leaner: Leaner) -> None:
    leaner("echo broken > calc.py; echo new > other.py; echo 'It adds.'")
    assert calc.lean_loop("--ask", "What is it?", "calc.py").out == "It adds.\n"
    assert "left - right" in calc.read("calc.py")
    assert not (calc.project / "other.py").exists()


@pytest.mark.parametrize(
    ("file", "words"),
    [("nothing.py", "is not there"), ("../home/secret.py", "outside the project"), ("large.py", "Name fewer files")],
)
def test_a_file_that_cannot_be_asked_about_is_refused(calc: Bench, serve: Serve, file: str, words: str) -> None:
    server = serve(answer=lambda body: "?")
    calc.write("large.py", "# a b c d e f g h\n" * 1500)
    ran = calc.lean_loop("--ask", "What is it?", file)
    assert ran.code == 2
    assert words in ran.err
    assert server.requests == []
