"""Kinds of answers, each in several forms: where they land, and what is refused. No server: texts in, texts out."""

from __future__ import annotations

import contextlib
import re
import time
import unicodedata
from functools import cache

import pytest

from support import Case, Memory, answers, applied, cases

CALC = '''"""Sums."""

import math

LIMIT = 10


def add(a, b):
    """Add."""
    total = a - b
    if total > LIMIT:
        total = LIMIT
    return total


def mul(a, b):
    return a * b


def div(a, b):
    return a / b
'''
FIXED = CALC.replace("a - b", "a + b")
ADD = FIXED[FIXED.index("def add") : FIXED.index("\n\ndef mul")]
MUL = "def mul(a, b):\n    return a * b\n"
SUM_JS = """export function add(a, b) {
  const total = a - b;
  if (total > 10) {
    return 10;
  }
  log(total);
  return total;
}

export function mul(a, b) {
  return a * b;
}
"""
SHAPE = "class A:\n    def one(self):\n        return 1\n\n    def two(self):\n        x = 2\n        return x\n"


def fence(text: str, language: str = "python") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def land(answer: str, path: str = "calc.py", text: str = CALC, prompt: str = "") -> str | None:
    """Return the new text of the only file."""
    plan = applied(answer, Memory({path: text}, (path,), prompt))
    assert set(plan) <= {path}
    return plan.get(path, text)


def refused(answer: str, files: Memory) -> str:
    """Return the kind of the refusal of an answer."""
    with pytest.raises(answers.Refusal) as caught:
        applied(answer, files)
    return str(caught.value.kind)


# --- what is not sent stays -------------------------------------------------------------------------------------------

PARTS = {
    "two of three": ADD + "\n\n" + MUL,
    "with a constant": "LIMIT = 10\n\n\n" + ADD,
    "without the docstring": FIXED.partition("\n\n")[2],
    "without the last": FIXED.partition("\n\ndef div")[0],
    "without the imports": FIXED.replace("import math\n\n", ""),
    "with a usage example": ADD + "\n\n# Example usage\nprint(add(1, 2))",
    "whole with a usage example": FIXED + "\n\n# Example usage:\nprint(add(1, 2))\n",
    "with a main guard": ADD + '\n\nif __name__ == "__main__":\n    print(add(1, 2))',
    "with its test": ADD
    + "\n\nimport unittest\nfrom calc import add\n\n\nclass TestAdd(unittest.TestCase):\n    x = 1\n",
}


TABLE = "RATES = {\n" + "".join(f'    "{name}": {at},\n' for at, name in enumerate("abcdef")) + "}\n"
DESCRIBED = """\
describe("add", () => {
  it("adds", () => {
    expect(add(1, 2)).toBe(3);
  });

  it("adds nothing", () => {
    expect(add(1, 0)).toBe(1);
  });
});
"""
RECEIVERS = """\
package shop

type One struct{ a int }

type Two struct{ a int }

func (o *One) Run() int {
	return o.a
}

func (t *Two) Run() int {
	return t.a
}

func (t *Two) Stop() int {
	return -t.a
}
"""


def test_parameters_below_each_other_are_no_lost_indentation() -> None:
    old = "def area(width,\n         height):\n    return width\n"
    new = old.replace("width\n", "width * height\n")
    assert applied(f"```python\n{new}```", Memory({"a.py": old}, ("a.py",))) == {"a.py": new}


def test_rows_that_a_table_lacks_are_not_dropped() -> None:
    assert refused('```python\nRATES = {\n    "a": 9,\n}\n```', Memory({"a.py": TABLE}, ("a.py",))) == "incomplete"


def test_one_test_of_a_group_leaves_the_others() -> None:
    sent = '```js\ndescribe("add", () => {\n  it("adds", () => {\n    expect(add(1, 2)).toBe(4);\n  });\n});\n```'
    files = Memory({"a.test.js": DESCRIBED}, ("a.test.js",))
    assert applied(sent, files) == {"a.test.js": DESCRIBED.replace("toBe(3)", "toBe(4)")}


def test_a_new_test_goes_into_its_group() -> None:
    more = '  it("subtracts", () => {\n    expect(add(1, -2)).toBe(-1);\n  });\n'
    sent = f'```js\ndescribe("add", () => {{\n{more}}});\n```'
    text = applied(sent, Memory({"add.spec.js": DESCRIBED}, ("add.spec.js",)))["add.spec.js"]
    assert text and more in text and "adds nothing" in text


def test_a_new_method_takes_no_place_of_another_receivers() -> None:
    new = "func (o *One) Stop() int {\n\treturn 0\n}\n"
    text = applied(f"```go\n{new}```", Memory({"a.go": RECEIVERS}, ("a.go",)))["a.go"]
    assert text and new in text and "return -t.a" in text


def test_a_new_function_goes_above_the_main_guard() -> None:
    old = 'import sys\n\n\ndef main():\n    sys.exit(run())\n\n\nif __name__ == "__main__":\n    main()\n'
    text = applied("```python\ndef run():\n    return 0\n```", Memory({"a.py": old}, ("a.py",)))["a.py"]
    assert text and text.index("def run") < text.index("if __name__")


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("path", ["", "calc.py\n", "Here is the corrected function:\n\n"])
def test_what_is_not_sent_stays(part: str, path: str) -> None:
    assert land(path + fence(part)) == FIXED


GETTERS = """class Box:
    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value):
        self._size = value

    @size.deleter
    def size(self):
        del self._size

    @overload
    def get(self, at: int) -> str: ...
    @overload
    def get(self, at: slice) -> list: ...
    def get(self, at):
        return self.rows[at]


square = lambda x: x * x
"""


def test_those_of_one_name_are_told_apart_by_their_headers() -> None:
    pair = GETTERS[GETTERS.index("    @property") : GETTERS.index("\n    @size.deleter")]
    changed = pair.replace("return self._size", "return self._size or 0").replace("= value", "= int(value)")
    assert land(fence("class Box:\n" + changed), "k.py", GETTERS) == GETTERS.replace(pair, changed)
    new = GETTERS[GETTERS.index("    @overload") : GETTERS.index("\n\nsquare")]
    new = new.replace(
        "    def get(self, at):", "    @overload\n    def get(self, at: str) -> list: ...\n    def get(self, at):"
    )
    after = land(fence("class Box:\n" + new), "k.py", GETTERS)
    assert after and after.replace("\n", "").count("at: str") == 1 and len(after) > len(GETTERS)


def test_a_function_takes_the_place_of_a_value_of_its_name() -> None:
    new = "def square(x):\n    return x**2\n"
    assert land(fence(new), "k.py", GETTERS) == GETTERS.replace("square = lambda x: x * x\n", new)


def test_what_a_nested_function_leaves_out_stays() -> None:
    text = (
        "def outer(n):\n    def one(x):\n        return x\n\n    def two(x):\n        return n\n\n    return one, two\n"
    )
    block = "def outer(n):\n    def one(x):\n        return x + 1\n\n    # ... the rest stays"
    assert land(fence(block), "k.py", text) == text.replace("return x\n", "return x + 1\n")


def test_a_header_in_a_string_is_none() -> None:
    text = 'SQL = """\ndef fake():\n    return 1\n"""\n'
    new = "def fake():\n    return 2\n"
    assert land(fence(new), "k.py", text) == f"{text}\n\n{new}"


def test_a_definition_as_it_is_changes_nothing() -> None:
    assert land(fence(MUL)) == CALC


def test_a_new_definition_takes_no_place() -> None:
    new = "def pow(a, b):\n    return a ** b\n"
    assert land(fence(f"{ADD}\n\n{MUL}\n\n{new}")) == FIXED.replace("def div", f"{new}\n\ndef div")


def test_a_new_route_takes_no_place() -> None:
    text = "app.get('/a', (q, s) => {\n  s.json(1);\n});\n\nmodule.exports = app;\n"
    new = "app.post('/a', (q, s) => {\n  s.json(2);\n});"
    after = land(fence(new, "js"), "app.js", text)
    assert after and all(line in after for line in [*text.split("\n"), *new.split("\n")])


# --- lines left out, in any words -------------------------------------------------------------------------------------

WORDS = [
    "其余代码保持不变", "resto del código sin cambios", "The rest of your code here", "Everything below is unchanged",
    "LINES 4-12 UNCHANGED", "etc.", "...", "[...]", "остальной код без изменений", "残りのコードは変更なし",
    "... 38 lines omitted",
]  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_left_out_in_python(words: str) -> None:
    note = f"# {words}"
    for block in (
        f"{ADD}\n\n{note}",
        f"{ADD}{note}",
        f"{note}\n\n{ADD}",
        f"{note}\n{ADD}",
        f'"""Sums."""\n\nimport math\n\n{note}\n\n{ADD}\n{note}',
        f'def add(a, b):\n    """Add."""\n    total = a + b\n    {note}',
        f"{ADD}\n\ndef mul(a, b):\n    {note}",
    ):
        assert land(fence(block)) == FIXED, block


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("form", ["// {}", "/* {} */"])
def test_left_out_in_javascript(words: str, form: str) -> None:
    note, wanted = form.format(words), SUM_JS.replace("a - b", "a + b")
    head = "export function add(a, b) {\n  const total = a + b;\n  "
    for block in (
        f"{head}{note}\n}}",
        f"{head}{note}\n  return total;\n}}",
        wanted.partition("\n\n")[0] + "\n\n" + note,
    ):
        assert land(fence(block, "js"), "sum.js", SUM_JS) == wanted, block


def test_what_is_left_out_is_not_guessed() -> None:
    block = 'def add(a, b):\n    """Add."""\n    # ...\n    carry = a & b\n    # ...\n'
    assert refused(fence(block), Memory({"calc.py": CALC}, ("calc.py",))) == "incomplete"


@pytest.mark.parametrize("note", ["# the sum of both", "# wait for it...", "# unchanged since 2019"])
def test_a_comment_is_no_gap(note: str) -> None:
    block = ADD.replace("    total = a + b", f"    {note}\n    total = a + b")
    assert land(fence(block)) == FIXED.replace("    total = a + b", f"    {note}\n    total = a + b")


# --- thoughts and drafts ----------------------------------------------------------------------------------------------

THOUGHTS = [
    ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"), ("<|channel>thought\n", "<channel|>"),
    ("◁think▷", "◁/think▷"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("<THINK>", "</THINK>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("Sure. <think>", "</think>"), ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"), ("<plan>", "</plan>"), ("", "</think>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]  # fmt: skip


@pytest.mark.parametrize(("begin", "end"), THOUGHTS)
@pytest.mark.parametrize("draft", [ADD.replace("a + b", "a * 99"), "def mul(a, b):\n    return 99"])
def test_a_draft_in_thoughts_is_none(begin: str, end: str, draft: str) -> None:
    said = f"{begin}\nMaybe:\ncalc.py\n{fence(draft)}\nNo.\n{end}\ncalc.py\n{fence(ADD)}"
    assert land(said) == FIXED


def test_the_last_of_several_counts() -> None:
    draft = ADD.replace("a + b", "a * 99")
    assert land(f"calc.py\n{fence(draft)}\nWait, no:\n\ncalc.py\n{fence(ADD)}") == FIXED
    pair = "calc.py\n<<<<<<< SEARCH\n    total = a - b\n=======\n    total = a {} b\n>>>>>>> REPLACE\n"
    assert land(pair.format("*") + "Better:\n" + pair.format("+")) == FIXED


# --- markers and tags -------------------------------------------------------------------------------------------------

MARKERS = [
    ("<<<<<<‹SEARCH…", "=======", ">>>>>>> REPLACE"), ("------- SEARCH", "=======", "+++++++ REPLACE"),
    ("<<<<<<< SEARCH", "=======", "+++++++ REPLACE"), ("# <<<<<<< SEARCH", "# =======", "# >>>>>>> REPLACE"),
    ("<<<<<<< SEARCH", "=======", "=======\n>>>>>>> REPLACE"), ("<<<<<<<", "=======", ">>>>>>>"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "middle", "tail"), MARKERS)
@pytest.mark.parametrize(
    ("old", "new"), [("    total = a - b\n", "    total = a + b\n"), (ADD.replace("a + b", "a - b"), ADD)]
)
def test_markers_stay_out_of_files(head: str, middle: str, tail: str, old: str, new: str) -> None:
    assert land("calc.py\n" + fence(f"{head}\n{old}{middle}\n{new}{tail}")) == FIXED


LABELS = [
    ("BEFORE", "AFTER", ""), ("OLD CODE:", "NEW CODE:", ""), ("<before>", "</before>\n<after>", "</after>"),
    ("<old>", "</old>\n<new>", "</new>"), ("[SEARCH]", "[REPLACE]", "[/REPLACE]"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "middle", "tail"), LABELS)
@pytest.mark.parametrize(
    ("old", "new"), [("    total = a - b\n", "    total = a + b\n"), (ADD.replace("a + b", "a - b"), ADD)]
)
def test_labels_of_no_known_form_change_nothing_else(head: str, middle: str, tail: str, old: str, new: str) -> None:
    files = Memory({"calc.py": CALC}, ("calc.py",))
    with contextlib.suppress(answers.Refusal):
        assert applied("calc.py\n" + fence(f"{head}\n{old}{middle}\n{new}{tail}"), files) in ({}, {"calc.py": FIXED})


@pytest.mark.parametrize("wrap", ["<code>\n{}</code>", "<answer>\n{}</answer>", "{}</file>", "[PYTHON]\n{}[/PYTHON]"])
def test_tags_around_code_stay_out_of_files(wrap: str) -> None:
    assert land("calc.py\n" + fence(wrap.format(FIXED))) == FIXED


@pytest.mark.parametrize("mark", ["<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "</s>"])
def test_marks_of_a_template_stay_out_of_files(mark: str) -> None:
    assert land(f"calc.py\n```python\n{FIXED}{mark}") == FIXED


def test_a_marker_that_is_left_over_is_refused() -> None:
    block = ADD.replace("    return total", ">>>>>>> REPLACE\n    return total")
    assert refused("calc.py\n" + fence(block), Memory({"calc.py": CALC}, ("calc.py",))) in ("marker", "broken-syntax")


# --- paths ------------------------------------------------------------------------------------------------------------

NAMES = [
    "users.$id.py", "it's.py", "bin/run", "Jenkinsfile", "BUILD", "LICENSE", "[id].py", "(shop)/page.py",
    "my tools/area.py", "a&b/area.py", "src/+page.svelte", ".env.example", "Dockerfile.dev", "go.mod",
    "[...slug].tsx", "@types/index.d.ts", "ünï.py",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "form",
    ["{}", "`{}`", "**{}**", "### {}", "File: {}", "**File:** `{}`", "**`{}`**", "_{}_", "\U0001f4c4 {}", "{}\n----"],
)
def test_a_heading_is_a_path(name: str, form: str) -> None:
    files = Memory({"calc.py": CALC}, ("calc.py",))
    assert applied(form.format(name) + "\n```\nx = 1\n```", files) == {name: "x = 1\n"}


@pytest.mark.parametrize("form", ["/* {} */", "<!-- {} -->", "# {}", "// {} (new)", "-- {}", "; {}"])
def test_a_comment_on_the_first_line_names_the_file(form: str) -> None:
    files = Memory({"calc.py": CALC}, ("calc.py",))
    assert applied(f"```\n{form.format('web/area.css')}\nx = 1\n```", files) == {"web/area.css": "x = 1\n"}


def test_a_sentence_names_a_new_file_in_a_folder() -> None:
    said = "Put the following into util/area.py:\n```python\nx = 1\n```"
    assert applied(said, Memory({"calc.py": CALC}, ("calc.py",))) == {"util/area.py": "x = 1\n"}


@pytest.mark.parametrize("name", ["users.$id.py", "naïve café.py", "my tools/area.py", "go.mod", "src/new.rs"])
@pytest.mark.parametrize("form", ["Create `{}` with this content:", "Here is `{}`:", "The new file `{}` is:"])
def test_a_sentence_names_a_new_file_in_ticks(name: str, form: str) -> None:
    files = Memory({"calc.py": CALC}, ("calc.py",))
    assert applied(form.format(name) + "\n```\nx = 1\n```", files) == {name: "x = 1\n"}


@pytest.mark.parametrize(
    "line",
    ["Here is `LICENSE`:", "Create `Jenkinsfile` with this content:", "shop", "BUILD:", "a b.py", "Then see other.py:"],
)
def test_an_unread_heading_is_not_the_listed_file(line: str) -> None:
    assert refused(f"{line}\n```\nx = 1\n```", Memory({"calc.py": CALC}, ("calc.py",))) == "no-place"


@pytest.mark.parametrize("sentence", ["Use the same style as in util.py:", "As `util.py` does:", "See also util.py."])
@pytest.mark.parametrize("listed", [("calc.py",), ("util.py", "calc.py")])
def test_a_mention_steers_nothing(sentence: str, listed: tuple[str, ...]) -> None:
    files = Memory({"calc.py": CALC, "util.py": "def helper():\n    return 1\n"}, listed)
    assert applied(f"{sentence}\n\n{fence(ADD)}", files) == {"calc.py": FIXED}


def test_a_block_without_a_path_goes_to_what_the_prompt_shows() -> None:
    prompt = f"Fix it.\n\ncalc.py (lines 8-14 of 22)\n{fence(ADD)}\n"
    assert applied(fence(ADD), Memory({"calc.py": CALC}, (), prompt)) == {"calc.py": FIXED}
    assert applied("calc.py (lines 8-14 of 22)\n" + fence(ADD), Memory({"calc.py": CALC}, (), prompt)) == {
        "calc.py": FIXED
    }


# --- deletions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["DELETE calc.py", "DELETE calc.py 26-28", "DELETE old.py", "DELETE tests/test_calc.py"]
)
def test_nothing_is_deleted_unasked(line: str) -> None:
    files = Memory({"calc.py": CALC, "old.py": "x", "tests/test_calc.py": "x"}, ("calc.py",), "Mend add in calc.py.")
    assert applied(line, files) == {}
    assert applied(f"calc.py\n{fence(ADD)}\n\n{line}", files) == {"calc.py": FIXED}


def test_a_file_is_deleted_where_the_task_says_so() -> None:
    files = Memory({"calc.py": CALC, "old.py": "x"}, ("calc.py",), "Please remove old.py, it is not used.")
    diff = "--- a/{0}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    assert applied(diff.format("old.py"), files) == {"old.py": None}
    assert refused(diff.format("calc.py"), files) == "deletes"


CHECKED = "def test_add():\n    assert add(1, 2) == 3\n"
CASES = {
    "a function": CHECKED,
    "a class": f"import unittest\n\n\nclass Adds(unittest.TestCase):\n    {CHECKED.replace('    ', '        ')}",
    "with a helper": "def helper():\n    return 3\n\n\n" + CHECKED,
    "with a guard": CHECKED + '\n\nif __name__ == "__main__":\n    test_add()\n',
}


@pytest.mark.parametrize("tests", CASES.values(), ids=CASES)
@pytest.mark.parametrize("code", [ADD, FIXED], ids=["part", "whole"])
def test_tests_stay_out_of_a_source_file(tests: str, code: str) -> None:
    test = "def helper():\n    return 3\n\n\n" + CHECKED
    files = Memory({"calc.py": CALC, "test_calc.py": test}, ("calc.py",), f"# Failing\ntest_calc.py\n```\n{test}```\n")
    assert applied(f"calc.py\n{fence(code + chr(10) * 2 + tests)}", files) == {"calc.py": FIXED}
    assert refused(f"calc.py\n{fence(tests)}", files) == "no-place"


def test_what_the_task_asks_for_by_name_is_no_test() -> None:
    prompt = "# Task: a test\nAdd ab_test(a, b) to calc.py.\n"
    asked = "def ab_test(a, b):\n    return a > b\n"
    files = Memory({"calc.py": CALC}, ("calc.py",), prompt)
    assert applied(f"calc.py\n{fence(asked)}", files) == {"calc.py": f"{CALC}\n\n{asked}"}


def test_a_name_that_a_shown_test_has_too_may_be_new_code() -> None:
    old, new = "export const a = 1;\n", "export function groups(stars) {\n  return {};\n}\n"
    test = 'describe("groups", () => {\n  it("is empty", () => {\n    check(groups([]));\n  });\n});\n'
    prompt = f"# Failing\ntest/groups.test.js\n```\n{test}```\n# Task\nMend what fails.\n"
    files = Memory({"sky.js": old, "test/groups.test.js": test}, ("sky.js",), prompt)
    assert applied(f"sky.js\n{fence(old + chr(10) + new, 'js')}", files) == {"sky.js": f"{old}\n{new}"}


# --- what is said around an answer ------------------------------------------------------------------------------------

AROUND = {
    "an example of use": "{}\n\nFor example:\n\n```python\nprint(run(1, 2))\n```\n",
    "a command": "{}\n\nThen run:\n\n```bash\npython -m pytest -q\n```\n",
    "a draft": "<reasoning>\nMaybe:\n\n{draft}\n\nNo.\n</reasoning>\n\n{}",
    "a draft in brackets": "[THOUGHTS]\n{draft}\n[/THOUGHTS]\n{}",
    "the same again": "{}\n\nFinal answer:\n\n{}",
    "a question": "{}\n\nShall I explain `parse` in utils.py?",
    "a preface": "Sure! Here is the change, in the style of README.md and of other.py.\n\n{}",
    "a table": "{}\n\n### Summary\n\n| file | change |\n|---|---|\n| calc.py | mended |\n",
    "marks of a template": "<|im_start|>assistant\n{}<|im_end|>",
}


@cache
def accepted_answers() -> list[tuple[Case, dict[str, str], dict[str, str | None]]]:
    """Give each case that is not refused, the texts before it, and what its answer makes of them."""
    found = []
    for case in cases():
        if not case.refused and not {"utf-16", "latin-1"} & {*case.marks}:
            texts = {path: raw.decode("utf-8-sig").replace("\r\n", "\n") for path, raw in case.before.items()}
            found.append((case, texts, applied(case.answer, Memory(texts, case.listed, case.prompt))))
    return found


@pytest.mark.parametrize("around", AROUND)
def test_what_is_said_around_an_answer_changes_nothing(around: str) -> None:
    refused, accepted = 0, accepted_answers()
    for case, texts, wanted in accepted:
        draft = re.sub("return ", "return None or ", case.answer)
        said = AROUND[around].replace("{draft}", draft).replace("{}", case.answer.rstrip("\n"))
        try:
            assert applied(said, Memory(texts, case.listed, case.prompt)) == wanted, said
        except answers.Refusal:
            refused += 1
    assert refused <= len(accepted) // 40 > 5


# --- signs ------------------------------------------------------------------------------------------------------------

SIGNS = 'def say():\n    text = "non‑breaking – 5 − 3 and 10\u202f%\u3000x"\n    return text\n'


@pytest.mark.parametrize("block", [ADD.replace(">", "&gt;"), ADD.replace("\n", "\\n")])
def test_signs_of_another_text_are_refused(block: str) -> None:
    assert refused("calc.py\n" + fence(block), Memory({"calc.py": CALC}, ("calc.py",))) == "escaped"


def test_entities_in_the_new_lines_of_a_pair_are_refused() -> None:
    pair = "<<<<<<< SEARCH\n    total = a - b\n=======\n    total = a &lt; b\n>>>>>>> REPLACE"
    assert refused(f"calc.py\n{pair}", Memory({"calc.py": CALC}, ("calc.py",))) == "escaped"


PAGE = "<!doctype html>\n<html>\n<body>\n<p>one</p>\n</body>\n</html>\n"
TEXTS = {  # sent whole, with another line in the place of one that is quite unlike
    "page.html": (PAGE, PAGE.replace("<p>one</p>", "<h1>Something else</h1>")),
    "list.html": ("<ul>\n<li>1</li>\n<li>2</li>\n</ul>\n", "<ul>\n<li>1</li>\n<li>9</li>\n</ul>\n"),
    "drawing.svg": ("<svg>\n<rect/>\n<path d='a'/>\n</svg>\n", "<svg>\n<rect/>\n<circle r='5'/>\n</svg>\n"),
    "requirements.txt": ("flask==1.0\nrequests\npytest\n", "flask==2.0\nhttpx\npytest\n"),
    "letters.txt": ("a\nb\nc\n", "a\nx\nc\n"),
}


@pytest.mark.parametrize("path", TEXTS)
def test_a_line_of_a_text_takes_the_place_of_the_one_between_the_same_neighbours(path: str) -> None:
    old, new = TEXTS[path]
    assert land(f"{path}\n{fence(new)}", path, old) == new


def test_prose_may_hold_an_open_bracket() -> None:
    pair = "<<<<<<< SEARCH\nhello\n=======\nhello :-(\n>>>>>>> REPLACE"
    assert land(f"a.txt\n{pair}", "a.txt", "hello\nyou\n") == "hello :-(\nyou\n"


def test_a_label_names_the_file_of_its_pair() -> None:
    files = Memory({"calc.py": CALC, "util.py": CALC}, ("calc.py",))
    pair = "<<<<<<< SEARCH util.py\n    total = a - b\n=======\n    total = a + b\n>>>>>>> REPLACE"
    assert set(applied(pair, files)) == {"util.py"}


def test_signs_that_look_alike_find_their_place_and_stay() -> None:
    plain = 'text = "non-breaking - 5 - 3 and 10 % x"\n'
    pair = f"<<<<<<< SEARCH\n    {plain}    return text\n=======\n    {plain}    return text.upper()\n>>>>>>> REPLACE"
    assert land("s.py\n" + pair, "s.py", SIGNS) == SIGNS.replace("return text", "return text.upper()")
    block = "def say():\n    " + plain.replace(' x"', ' x!"') + "    return text"
    assert land(fence(block), "s.py", SIGNS) == SIGNS.replace('x"', 'x!"')


def test_code_is_written_in_the_signs_of_a_keyboard_where_it_is_no_python_otherwise() -> None:
    text = "def say(name):\n    return 'hi ' + name\n"
    body = "    said = ‘it’ + name * (2 − 1)  # a – sign\n    return 'it’s ' + said"
    wanted = "def say(name):\n    said = 'it' + name * (2 - 1)  # a – sign\n    return 'it’s ' + said\n"
    assert land(fence(f"def say(name):\n{body}"), "s.py", text) == wanted
    pair = "<<<<<<< SEARCH\n    return 'hi ' + name\n=======\n    return ‘it’ + name\n>>>>>>> REPLACE"
    assert land("s.py\n" + pair, "s.py", text) == text.replace("hi ", "it")


def test_combined_signs_find_their_place_and_stay() -> None:
    text = unicodedata.normalize("NFD", 'WORD = "café"\n')
    pair = '<<<<<<< SEARCH\nWORD = "café"\n=======\nWORD = "café!"\n>>>>>>> REPLACE'
    assert land("s.py\n" + pair, "s.py", text) == text.replace('"\n', '!"\n')


def test_a_file_with_a_conflict_of_git_is_edited() -> None:
    conflict = "<<<<<<< HEAD\n    return 1\n=======\n    return 2\n>>>>>>> feature\n"
    text = f"def a():\n{conflict}\n\ndef b():\n    return 3\n"
    wanted = text.replace(conflict, "    return 2\n")
    pair = f"c.py\n<<<<<<< SEARCH\n{conflict}=======\n    return 2\n>>>>>>> REPLACE"
    assert land(pair, "c.py", text) == wanted
    assert land(fence("def a():\n    return 2"), "c.py", text) == wanted
    assert land(fence("def b():\n    return 4"), "c.py", text) == text.replace("3", "4")


# --- indentation ------------------------------------------------------------------------------------------------------

DEPTHS = {
    "flat": "def two(self):\n    x = 3\n    return x",
    "only the header flat": "def two(self):\n        x = 3\n        return x",
    "too deep": "        def two(self):\n            x = 3\n            return x",
    "the first line alone": "def one(self):\n        return 1\n\n    def two(self):\n        x = 3\n        return x",
    "in its class": "class A:\n    def two(self):\n        x = 3\n        return x",
}


@pytest.mark.parametrize("block", DEPTHS.values(), ids=DEPTHS)
def test_a_method_finds_its_depth(block: str) -> None:
    assert land(fence(block), "k.py", SHAPE) == SHAPE.replace("x = 2", "x = 3")


@pytest.mark.parametrize("block", ["def two(self):\nx = 3\nreturn x", "def two(self)\n    x = 3\n    return x"])
def test_what_does_not_parse_is_refused(block: str) -> None:
    assert refused(fence(block), Memory({"k.py": SHAPE}, ("k.py",)))


# --- speed ------------------------------------------------------------------------------------------------------------


def test_a_failed_search_in_a_long_file_is_fast() -> None:
    text = "".join(f"    row{n % 97} = table[{n % 89}] + other[{n}]\n" for n in range(5000))
    wanted = "\n".join(f"    row{n} = table[{n}] - other[{n}]" for n in range(80))
    begun = time.process_time()
    kind = refused(f"b.py\n<<<<<<< SEARCH\n{wanted}\n=======\nx\n>>>>>>> REPLACE", Memory({"b.py": text}, ("b.py",)))
    assert kind == "no-place"
    assert time.process_time() - begun < 1


def test_a_file_of_many_classes_is_fast() -> None:
    text = "\n\n".join(
        f"class C{n}(Base):\n    size = {n}\n\n    def run(self):\n        return {n}\n" for n in range(4000)
    )
    begun = time.process_time()
    after = land(fence("class C77(Base):\n    def run(self):\n        return 5"), "c.py", text)
    assert after == text.replace("return 77\n", "return 5\n", 1)
    assert time.process_time() - begun < 1.5
