"""What prompts carry for projects that run on Node: what the failing test ran, under each runner of tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import languages
from conftest import Bench, Leaner

KEEP = 'cp "$LEAN_PROMPT_FILE" "$HOME/prompt.md"; exit 2'
# As in test_context.py, the tests' text leads nowhere: what runs is found by a made-up name, and one is at fault.
RULES = """
interface Parcel {
  kg?: number;
  zone?: string;
}

export function byWeight(parcel: Parcel): number {
  const heavy = (parcel.kg ?? 0) > 20;
  return heavy ? 9 : 4;
}

export function byZone(parcel: Parcel): number {
  const far = ["b", "c"].includes(parcel.zone ?? "");
  return far ? 7 : 2;
}

export function byHand(parcel: Parcel): number {
  return 1;
}
"""
COST = """
import * as rules from "./rules.js";

export function cost(parcel, ...names) {
  return names.reduce((sum, name) => sum + rules["by" + name](parcel), 0);
}
"""
TESTS = """
describe("cost", () => {
  it("of weight", () => assert.equal(cost({ kg: 30 }, "Weight"), 9));
  it("of work", () => assert.equal(cost({}, "Hand"), 1));
  it("of distance", async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(cost({ zone: "c" }, "Zone", "Hand"), 3);
  });
});
"""
NODE = 'import { describe, it } from "node:test";\n'
VITEST = 'import { describe, it } from "vitest";\n'
# The command, what the test file begins with, and how the sources end.
RUNNERS = {
    "node": (["node", "--test"], NODE, "js"),
    "node, one file": (["node", "test/cost.test.js"], NODE, "js"),
    "tsx": (["node", "--import", "tsx", "--test", "test/cost.test.ts"], NODE, "ts"),
    "mocha": (["mocha", "test"], "", "js"),
    "jest": (["jest"], "", "js"),
    "vitest": (["vitest", "run"], VITEST, "ts"),
    "vitest in threads": (["vitest", "run", "--pool=threads"], VITEST, "ts"),
}
HEAVY = [pytest.param(name, marks=pytest.mark.heavy) for name in RUNNERS if not name.startswith("node")]


def untyped(source: str) -> str:
    """Turn the TypeScript above into JavaScript."""
    return source.split("}\n", 1)[1].replace(": Parcel", "").replace("): number", ")")


def required(source: str) -> str:
    """Turn the modules above into those of CommonJS."""
    named = ", ".join(re.findall(r"export function (\w+)", source))
    imported = re.sub(r"import (?:\* as )?(.+) from (.+);", r"const \1 = require(\2);", source)
    return imported.replace("export ", "") + (f"module.exports = {{ {named} }};\n" if named else "")


@pytest.fixture
def post(bench: Bench, leaner: Leaner) -> Bench:
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    leaner(KEEP, trace="auto")
    return bench


def make(post: Bench, runner: str) -> None:
    """Write the project in the language and for the RUNNER of tests that are asked for."""
    command, begin, suffix = RUNNERS[runner]
    program = command[command.index("tsx")] if "tsx" in command else command[0]
    if program != "node":
        languages.install()
        (post.project / "node_modules").symlink_to(languages.WEB / "node_modules")
        post.write(".gitignore", "node_modules\n")
        command = [f"node_modules/.bin/{command[0]}", *command[1:]] if command[0] == program else command
    head = f'{begin}import assert from "node:assert";\nimport {{ cost }} from "../src/cost.js";\n'
    form = required if program == "jest" else str
    post.write("package.json", '{"type": "module"}' if program != "jest" else "{}")
    post.write(f"src/rules.{suffix}", form(RULES if suffix == "ts" else untyped(RULES)))
    post.write(f"src/cost.{suffix}", form(COST))
    post.write(f"test/cost.test.{suffix}", form(head + TESTS))
    args = json.dumps(command[1:])
    post.write("leanfile.toml", f'[runner]\ncommand = "{command[0]}"\nargs = {args}\n[defaults]\n')
    post.commit()


def prompt(post: Bench) -> str:
    ran = post.lean_loop()
    assert (post.home / "prompt.md").is_file(), ran.text
    return (post.home / "prompt.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("runner", ["node", pytest.param("node, one file", marks=pytest.mark.heavy), *HEAVY])
def test_the_function_that_only_the_failing_test_ran_comes_first(post: Bench, runner: str) -> None:
    make(post, runner)
    told = prompt(post)
    records = [path.read_text(encoding="utf-8") for path in post.home.rglob("*-trace.txt")]
    code = told.split("# Code\n")[1].split("# The test")[0]
    suffix = RUNNERS[runner][2]
    first = 11 if suffix == "ts" else 6
    assert code.startswith(f"src/rules.{suffix} (lines {first}-"), f"{told}\n{records}"
    assert "function byZone(parcel" in code.splitlines()[2]
    assert "byWeight(parcel" not in code


def test_without_the_tracer_names_alone_lead_on(post: Bench) -> None:
    make(post, "node")
    post.write("leanfile.toml", f'{(post.project / "leanfile.toml").read_text()}trace = "off"\n')
    assert "byZone(parcel" not in prompt(post)


def test_the_tracer_leaves_nothing_in_the_project_and_judges_nothing(post: Bench) -> None:
    make(post, "node")
    before = {path.relative_to(post.project) for path in post.project.rglob("*") if ".git" not in path.parts}
    prompt(post)
    assert {path.relative_to(post.project) for path in post.project.rglob("*") if ".git" not in path.parts} == before
    (run,) = post.runs()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert events.count("tested") == 1
    assert not (run / "trace").exists()


@pytest.mark.heavy
def test_a_block_that_only_the_failing_test_ran_counts_within_its_line(post: Bench) -> None:
    make(post, "node")
    for n in range(1, 9):
        text = f'export function r{n}(x) {{\n  return x > {10 if n == 3 else 100} ? "far" : x;\n}}\n'
        post.write(f"src/r{n}.js", text)
    imports = "\n".join(f'import {{ r{n} }} from "./r{n}.js";' for n in range(1, 9))
    post.write(
        "src/cost.js", f"{imports}\nexport const cost = (x) => [r1, r2, r3, r4, r5, r6, r7, r8].map((r) => r(x));\n"
    )
    tests = 'it("small", () => assert.deepEqual(cost(1), Array(8).fill(1)));\n'
    tests += 'it("large", () => assert.deepEqual(cost(15), Array(8).fill(15)));\n'
    head = f'{NODE}import assert from "node:assert";\nimport {{ cost }} from "../src/cost.js";\n'
    post.write("test/cost.test.js", head + tests)
    post.commit()
    shown = re.findall(r"^src/r\d.js", prompt(post), re.MULTILINE)
    assert "src/r3.js" in shown[:2]  # the first of the eight is the nearest by name


@pytest.mark.heavy
def test_an_error_that_a_helper_throws_later_leads_to_the_test_by_its_title(post: Bench) -> None:
    make(post, "node")
    later = """
import assert from "node:assert";

export function later(found, wanted) {
  const judge = (resolve, reject) => (found === wanted ? resolve() : reject(Error("not so")));
  return new Promise((resolve, reject) => setTimeout(judge, 1, resolve, reject));
}
"""
    post.write("test/helpers.js", later)
    test = (post.project / "test" / "cost.test.js").read_text()
    test = test.replace("assert.equal(cost({ zone", "await later(cost({ zone")
    post.write("test/cost.test.js", f'import {{ later }} from "./helpers.js";\n{test}')
    post.commit()
    told = prompt(post)
    assert "not so" in told
    assert "function byZone(parcel" in told.split("# Code\n")[1].splitlines()[2]


@pytest.mark.heavy
def test_own_options_for_node_are_kept(post: Bench) -> None:
    make(post, "node")
    Path(post.home / "with blank").mkdir()
    Path(post.home / "with blank" / "own.cjs").write_text("globalThis.own = 'b';\n")
    post.env["NODE_OPTIONS"] = f'--require "{post.home}/with blank/own.cjs"'
    post.write("src/rules.js", untyped(RULES).replace('["b", "c"]', '[globalThis.own, "c"]'))
    post.commit()
    post.env["XDG_STATE_HOME"] = str(post.home / "Zustände")
    assert prompt(post).split("# Code\n")[1].splitlines()[2].startswith("export function byZone(parcel")


# ------------------------------------------------------------------------------------- the tracer by itself

SOURCE = """
exports.a = function a(x) {
  return x > 5 ? "big" : "small";
};
exports.b = function b(x) {
  return x + 1;
};
exports.c = function c(x) {
  return x * 2;
};
"""
LINES = {2: "a", 5: "b", 8: "c"}
TRACER = Path(__file__).parent.parent / "leaners" / "_trace.cjs"
NODE_HEAD = 'const { test, mock } = require("node:test"); const { a, b, c } = require("../src/r.js");\n'
WEB_HEAD = NODE_HEAD.split(";", 1)[1].strip() + "\n"


def traced(post: Bench, command: list[str], tests: str, name: str = "test/x.test.js") -> list[dict[str, Any]]:
    """Run COMMAND with TESTS in the file NAME under the tracer; give what it wrote."""
    if command[0] != "node":
        languages.install()
        (post.project / "node_modules").symlink_to(languages.WEB / "node_modules")
        command = [f"node_modules/.bin/{command[0]}", *command[1:]]
    if not (post.project / "package.json").exists():
        post.write("package.json", "{}")
    if not (post.project / "src").exists():
        post.write("src/r.js", SOURCE)
    post.write(name, tests)
    folder = post.home / "trace"
    folder.mkdir()
    told = {"root": str(post.project), "files": [name], "folder": str(folder), "seconds": 60, "passing": 200}
    env = {**os.environ, "LEANLOOP_TRACE": json.dumps(told), "NODE_OPTIONS": f'--require "{TRACER}"'}
    subprocess.run(command, cwd=post.project, env=env, capture_output=True, timeout=40, check=False)
    return [test for path in folder.glob("*.json") for test in json.loads(path.read_text())["tests"]]


def outcomes(tests: list[dict[str, Any]]) -> dict[str, tuple[bool, str]]:
    """Give of each test whether it failed, and which of the functions a, b and c it ran."""
    ran = {test["name"]: {int(line) for line in test["lines"].get("src/r.js", ())} for test in tests}
    named = {name: "".join(LINES[line] for line in sorted(lines & LINES.keys())) for name, lines in ran.items()}
    assert len(ran) == len(tests), tests
    return {test["name"]: (test["failed"], named[test["name"]]) for test in tests}


@pytest.mark.heavy
def test_a_test_may_stub_what_the_tracer_writes_with(post: Bench) -> None:
    tests = """
const fs = require("node:fs");
const no = () => { throw new Error("stub"); };
test("stubs", () => {
  for (const name of ["realpathSync", "writeFileSync", "existsSync"]) mock.method(fs, name, no);
  mock.method(JSON, "stringify", no);
  a(1);
});
test("after", () => b(1));
"""
    assert outcomes(traced(post, ["node", "--test"], NODE_HEAD + tests)) == {
        "stubs": (False, "a"),
        "after": (False, "b"),
    }


@pytest.mark.heavy
def test_programs_that_are_ended_by_a_signal_still_are(post: Bench) -> None:
    tests = """
const { spawn } = require("node:child_process");
for (const code of ["setInterval(() => {}, 1000)", "for (;;);"])
  test(code, (_, done) => {
    b(1);
    const child = spawn(process.execPath, ["-e", code]);
    setTimeout(() => child.kill(), 500);
    const late = setTimeout(() => child.kill("SIGKILL"), 3000);
    child.on("exit", (_, signal) => {
      clearTimeout(late);
      done(signal === "SIGTERM" ? undefined : new Error(signal));
    });
  });
"""
    assert [test["failed"] for test in traced(post, ["node", "--test"], NODE_HEAD + tests)] == [False, False]


@pytest.mark.heavy
@pytest.mark.parametrize(("code", "known"), [("for (;;);", False), ("return new Promise(() => {});", True)])
def test_a_test_that_hangs_is_ended_by_the_runner(post: Bench, code: str, known: bool) -> None:
    tests = f'setInterval(() => {{}}, 1000);\ntest("hangs", () => {{ a(1); {code} }});\n'
    found = traced(post, ["node", "--test", "--test-timeout=1000"], NODE_HEAD + tests)
    assert outcomes(found) == ({"hangs": (True, "a")} if known else {})


@pytest.mark.heavy
def test_under_mocha_each_attempt_and_each_failed_hook_ends(post: Bench) -> None:
    tests = """
let n = 0;
it("flaky", function () { this.retries(1); a(1); if (!n++) throw new Error("x"); });
describe("hook", () => { beforeEach(() => { b(1); throw new Error("x"); }); it("never", () => {}); });
describe("then", () => { it("fine", () => c(1)); });
"""
    expected = {"flaky": (False, "a"), "hook never": (True, "b"), "then fine": (False, "c")}
    assert outcomes(traced(post, ["mocha", "test"], WEB_HEAD + tests)) == expected


@pytest.mark.heavy
def test_under_mocha_in_parallel_its_workers_alone_tell(post: Bench) -> None:
    tests = 'it("one", () => { a(1); });\n'
    assert outcomes(traced(post, ["mocha", "--parallel", "test"], WEB_HEAD + tests)) == {"one": (False, "a")}


@pytest.mark.heavy
def test_under_jest_the_last_attempt_counts_and_an_environment_need_not_call_its_base(post: Bench) -> None:
    own = 'const { TestEnvironment } = require("jest-environment-node");\n'
    post.write("own.js", f"{own}module.exports = class extends TestEnvironment {{ async handleTestEvent() {{}} }};\n")
    tests = """
let n = 0;
jest.retryTimes(1);
test("flaky", () => { a(1); if (!n++) throw new Error("x"); });
test("red", () => { b(1); throw new Error("x"); });
"""
    found = outcomes(traced(post, ["jest"], f"/** @jest-environment ./own.js */\n{WEB_HEAD}{tests}"))
    assert found == {"flaky": (False, "a"), "red": (True, "b")}


@pytest.mark.heavy
def test_under_vitest_a_skipped_test_is_none(post: Bench) -> None:
    post.write("package.json", '{"type": "module"}')
    post.write("src/r.js", SOURCE.replace("exports.", "export const "))
    tests = """
import { test } from "vitest";
import { a, b, c } from "../src/r.js";
test.skip("skipped", () => {});
test.todo("planned");
test("skips itself", (context) => context.skip());
test("one", () => { a(1); });
test("two", () => { b(1); throw new Error("x"); });
"""
    found = outcomes(traced(post, ["vitest", "run"], tests))
    assert found == {"test/x.test.js > one": (False, "a"), "test/x.test.js > two": (True, "b")}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("root", "source", "expected"),
    [
        ("", "../lib/r.ts", ("lib/r.ts", 4)),
        ("..", "lib/r.ts", ("lib/r.ts", 4)),
        ("", "webpack://parcel/./lib/r.ts", ("src/r.js", 2)),  # without its source, what was compiled is shown
        ("", "100%.ts", ("src/r.js", 2)),
    ],
)
def test_lines_are_those_of_the_file_that_a_source_map_names(
    post: Bench, root: str, source: str, expected: tuple[str, int]
) -> None:
    post.write("lib/r.ts", "type A = 1;\n\nexport function b(x: A) {\n  return x;\n}\n")
    table = {"version": 3, "sourceRoot": root, "sources": [source], "names": [], "mappings": "AAEA;EACE"}
    post.write("src/r.js.map", json.dumps(table))
    post.write("src/r.js", "exports.b = function b(x) {\n  return x;\n};\n//# sourceMappingURL=r.js.map\n")
    (test,) = traced(post, ["node", "--test"], NODE_HEAD + 'test("one", () => b(1));\n')
    ran = {(path, int(line)) for path, lines in test["lines"].items() for line in lines}
    assert expected in ran
    assert {path for path, _ in ran} == {expected[0], "test/x.test.js"}


@pytest.mark.heavy
def test_a_script_that_a_program_made_is_not_recorded(post: Bench) -> None:
    post.write("src/r.js", SOURCE)
    post.write("src/made.js", f"exports.made = function made() {{}}; // {'x' * 300_000}\n")
    tests = 'test("one", () => { require("../src/made.js").made(); a(1); });\n'
    (test,) = traced(post, ["node", "--test"], NODE_HEAD + tests)
    assert set(test["lines"]) == {"src/r.js", "test/x.test.js"}
