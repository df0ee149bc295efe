"""Reading failures: real runners print them in small projects, and what is read is what a person would look at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path

import pytest

import _failures
import _locate
import leanloop
import locating
from conftest import Bench, Serve, few_of, is_ask, prompt_of, working
from forked import run_printing
from leanloop import Failure

Files = Mapping[str, str]
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
UNITTEST = (sys.executable, "-m", "unittest")
STYLES = ("--tb=short", "--tb=auto", "--tb=long", "--tb=native", "--tb=line", "-q", "-x", "-v", "-rA")


def write(root: Path, files: Files) -> Path:
    """Write FILES, dedented, below ROOT; give ROOT."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return root


@cache
def printed(root: Path, *argv: str, **env: str) -> str:
    """Run a real runner in ROOT, which has to end red; give what it printed, as the loop would see it."""
    sealed = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    clean = {**sealed, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "LANG": "C.UTF-8", **env}
    code, said = run_printing(argv, root, clean, 60)
    assert code != 0, said
    return leanloop.readable(said)


def read(root: Path, *argv: str, **env: str) -> Failure:
    return _failures.read_failure(printed(root, *argv, **env), root)


def spot(root: Path, path: str, mark: str) -> tuple[str, int]:
    """Find the line of PATH that holds MARK."""
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    return path, next(number for number, line in enumerate(lines, 1) if mark in line)


def spots(failure: Failure) -> list[tuple[str, int]]:
    return [(frame.path, frame.line) for frame in failure.frames]


def named(root: Path, failure: Failure, files: tuple[str, ...] = (), **defaults: tuple[str, ...]) -> list[str]:
    """Name the definitions that the failure concerns, as path:name, the most needed first."""
    return [f"{item.path}:{item.name}" for item in locating.concerned(root, failure, files, **defaults)]


RATIO: Files = {
    "calc/__init__.py": "",
    "calc/core.py": """
        def divide(left, right):
            return ratio(left, right)  # through


        def ratio(left, right):
            return left / right  # fault


        def untouched():
            return 1
        """,
    "tests/test_core.py": """
        from calc.core import divide


        def test_divides():
            assert divide(4, 2) == 2


        def test_by_zero():
            assert divide(1, 0) == 0  # asks
        """,
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = "."\n',
}


@pytest.fixture(scope="module")
def ratio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose fault lies two calls below its test; each runner runs in it once."""
    return write(tmp_path_factory.mktemp("ratio"), RATIO)


@pytest.mark.parametrize("style", few_of(STYLES, 5))
def test_pytest_is_read_in_every_style(ratio: Path, style: str) -> None:
    failure = read(ratio, *PYTEST, style)
    assert failure.tests == ("tests/test_core.py::test_by_zero",)
    assert "ZeroDivisionError: division by zero" in failure.summary
    assert spots(failure)[-1] == spot(ratio, "calc/core.py", "# fault")
    assert set(spots(failure)) <= {
        spot(ratio, "tests/test_core.py", "# asks"),
        spot(ratio, "calc/core.py", "# through"),
        spot(ratio, "calc/core.py", "# fault"),
    }


@pytest.mark.parametrize("style", [style for style in STYLES if style != "--tb=line"])
def test_pytest_tells_the_whole_way(ratio: Path, style: str) -> None:
    failure = read(ratio, *PYTEST, style)
    assert spots(failure) == [
        spot(ratio, "tests/test_core.py", "# asks"),
        spot(ratio, "calc/core.py", "# through"),
        spot(ratio, "calc/core.py", "# fault"),
    ]


@pytest.mark.parametrize("style", STYLES)
def test_the_definition_with_the_fault_comes_first(ratio: Path, style: str) -> None:
    failure = read(ratio, *PYTEST, style)
    concerned = named(ratio, failure)
    assert concerned[0] == "calc/core.py:ratio"
    assert "calc/core.py:untouched" not in concerned


@pytest.mark.parametrize("style", STYLES)
def test_the_excerpt_holds_the_error_and_no_noise(ratio: Path, style: str) -> None:
    failure = read(ratio, *PYTEST, style)
    assert "ZeroDivisionError" in failure.excerpt
    assert str(ratio) not in failure.excerpt
    assert not [word for word in ("rootdir:", "plugins:", "platform ", "=====", "_ _ _") if word in failure.excerpt]


def test_pytest_without_tracebacks_still_names_test_and_error(ratio: Path) -> None:
    failure = read(ratio, *PYTEST, "--tb=no")
    assert failure.tests == ("tests/test_core.py::test_by_zero",)
    assert "ZeroDivisionError" in failure.summary


SUMS: Files = {
    "sums.py": """
        class Total:
            def __init__(self, numbers):
                self.numbers = numbers

            def value(self):
                return sum(self.numbers) + 1


        def total(numbers):
            return Total(numbers).value()


        def helper():
            return 0
        """,
    "test_sums.py": """
        import pytest

        from sums import Total, total


        def test_total():
            numbers = [1, 2]
            assert total(numbers) == 3  # asserts


        def test_method():
            assert Total([1]).value() == 1


        @pytest.mark.parametrize("numbers", [[], [5, 6]])
        def test_many(numbers):
            assert total(numbers) == sum(numbers)


        class TestInside:
            def test_in_class(self):
                assert total([]) == 0
        """,
}


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose tests fail in their own lines."""
    return write(tmp_path_factory.mktemp("sums"), SUMS)


@pytest.mark.parametrize("style", few_of(STYLES, 5))
def test_an_assertion_is_shown_with_its_values(sums: Path, style: str) -> None:
    failure = read(sums, *PYTEST, style, "test_sums.py::test_total")
    assert failure.tests == ("test_sums.py::test_total",)
    assert "assert 4 == 3" in failure.summary
    assert spots(failure) == [spot(sums, "test_sums.py", "# asserts")]


def test_every_failing_test_is_named_once(sums: Path) -> None:
    failure = read(sums, *PYTEST, "-q", "-rA")
    assert failure.tests == (
        "test_sums.py::test_total",
        "test_sums.py::test_method",
        "test_sums.py::test_many[numbers0]",
        "test_sums.py::test_many[numbers1]",
        "test_sums.py::TestInside::test_in_class",
    )


def test_only_the_first_failure_is_excerpted(sums: Path) -> None:
    failure = read(sums, *PYTEST, "-q")
    assert "test_total" in failure.excerpt
    assert "test_method" not in failure.excerpt
    assert spots(failure) == [spot(sums, "test_sums.py", "# asserts")]


@pytest.mark.parametrize("style", STYLES)
def test_a_failing_test_line_is_followed_to_the_definition_that_it_calls(sums: Path, style: str) -> None:
    failure = read(sums, *PYTEST, style, "test_sums.py::test_total")
    concerned = named(sums, failure)
    assert concerned[0] == "test_sums.py:test_total"
    assert "sums.py:total" in concerned[1:3]


def test_a_failing_test_line_is_followed_to_a_method(sums: Path) -> None:
    failure = read(sums, *PYTEST, "-q", "test_sums.py::test_method")
    assert set(named(sums, failure)) == {"test_sums.py:test_method", "sums.py:value", "sums.py:__init__"}


def test_a_method_is_shown_below_its_class_with_the_attributes_that_it_uses(sums: Path) -> None:
    failure = read(sums, *PYTEST, "-q", "test_sums.py::test_method")
    ranking = locating.ranking(sums, failure)
    (method,) = [candidate for candidate in ranking.concerned([]) if candidate.item.name == "value"]
    init = "    def __init__(self, numbers):\n        self.numbers = numbers\n"
    code = f"class Total:\n{init}\n    def value(self):\n        return sum(self.numbers) + 1"
    assert _locate.show(ranking.project, [method]) == _locate.Passage("sums.py (lines 5-6 of 14)", "sums.py", code)


BOXES = {
    "Box.java": """
        public class Box {
            private final List<String> names = new ArrayList<>();
            private int size = 3, other;
            static final int MOST = 9;

            int left() {
                int free = 0;
                return size - names.size();
            }
        }
        """,
    "box.ts": """
        export class Box {
          private readonly names: string[] = [];
          private unused = 2;
          size?: number;

          left(): number {
            return this.size - this.names.length;
          }
        }
        """,
    "box.js": """
        class Box {
          constructor(size) {
            this.size = size;
            this.unused = 2;
            this.names = [];
          }

          left() {
            return this.size - this.names.length;
          }
        }
        """,
    "box.rb": """
        class Box
          def initialize(size)
            @size = size
            @unused = 2
            @names = []
          end

          def left
            @size - @names.length
          end
        end
        """,
    "Box.php": """
        <?php
        class Box {
            private int $size = 3;
            private $unused = 2;
            protected array $names = [];

            public function left() {
                return $this->size - count($this->names);
            }
        }
        """,
}


@pytest.mark.parametrize("path", BOXES)
def test_in_other_languages_too_the_attributes_of_a_method_are_shown(tmp_path: Path, path: str) -> None:
    project = locating.project(write(tmp_path, {path: BOXES[path]}))
    shown = _locate.show(project, [_locate.Candidate(locating.find(project, path, "left"))]).code
    assert "Box" in shown.splitlines()[0]
    assert shown.count("size") >= 2
    assert shown.count("names") >= 2
    assert "unused" not in shown
    assert "MOST" not in shown


# How a test reaches the definition that it calls: the files beside the test, and the imports of the test.
LAYOUTS: dict[str, tuple[Files, str, str]] = {
    "a module": ({"price.py": "BODY"}, "from price import price", "price.py"),
    "a module's attribute": ({"price.py": "BODY"}, "import price as p\nprice = p.price", "price.py"),
    "a package": ({"shop/__init__.py": "", "shop/price.py": "BODY"}, "from shop.price import price", "shop/price.py"),
    "through the package": (
        {"shop/__init__.py": "from shop.price import price\n", "shop/price.py": "BODY"},
        "from shop import price",
        "shop/price.py",
    ),
    "through the package, relatively": (
        {"shop/__init__.py": "from .price import price\n", "shop/price.py": "BODY"},
        "from shop import price",
        "shop/price.py",
    ),
    "through a nested package": (
        {
            "shop/__init__.py": "from .goods import price\n",
            "shop/goods/__init__.py": "from .cost import price\n",
            "shop/goods/cost.py": "BODY",
        },
        "from shop import price",
        "shop/goods/cost.py",
    ),
    "a module of a package": (
        {"shop/__init__.py": "", "shop/price.py": "BODY"},
        "from shop import price as prices\nprice = prices.price",
        "shop/price.py",
    ),
    "src layout": (
        {"src/shop/__init__.py": "from shop.price import price\n", "src/shop/price.py": "BODY"},
        "from shop import price",
        "src/shop/price.py",
    ),
    "a folder of modules": ({"app/price.py": "BODY"}, "from price import price", "app/price.py"),
}
BODY = "def price(amount):\n    return amount * 2\n"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_call_is_followed_through_the_imports(tmp_path: Path, name: str) -> None:
    files, imports, home = LAYOUTS[name]
    test = f"{imports}\n\n\ndef test_price():\n    assert price(3) == 3\n"
    ini = '[tool.pytest.ini_options]\npythonpath = [".", "src", "app"]\n'
    write(tmp_path, {path: text.replace("BODY", BODY) for path, text in files.items()})
    write(tmp_path, {"tests/test_price.py": test, "pyproject.toml": ini})
    failure = read(tmp_path, *PYTEST, "-q")
    assert f"{home}:price" in named(tmp_path, failure, (home,) if name == "a folder of modules" else ())


def test_a_definition_in_a_listed_file_is_found_without_an_import(tmp_path: Path) -> None:
    test = "import importlib\n\n\ndef test_price():\n    assert importlib.import_module('deep.price').price(3) == 3\n"
    write(tmp_path, {"deep/price.py": BODY, "test_price.py": test})
    failure = read(tmp_path, *PYTEST, "-q")
    assert named(tmp_path, failure, ("deep/price.py",)) == ["test_price.py:test_price", "deep/price.py:price"]


def test_a_call_in_a_helper_of_the_test_is_followed_from_the_failing_test(tmp_path: Path) -> None:
    test = """
        from price import price


        def check(amount, want):
            assert price(amount) == want


        def test_price():
            check(3, 3)
        """
    failure = read(write(tmp_path, {"price.py": BODY, "test_price.py": test}), *PYTEST, "-q")
    concerned = named(tmp_path, failure)
    assert {"test_price.py:test_price", "price.py:price"} <= set(concerned)


FIXTURES: Files = {
    "shop/__init__.py": "",
    "shop/till.py": """
        class Till:
            def __init__(self, float_in):
                self.held = float_in

            def take(self, amount):
                self.held -= amount


        class Drawer:
            def take(self, amount):
                return amount
        """,
    "shop/filling.py": "def plenty():\n    return 100\n",
    "shop/rules.py": "def small(amount):\n    return amount\n\n\ndef large(amount):\n    return amount\n",
    "tests/conftest.py": """
        import pytest
        from shop.filling import plenty
        from shop.till import Till


        @pytest.fixture
        def start():
            return plenty()


        @pytest.fixture
        def till(start):
            return Till(start)
        """,
    "tests/test_till.py": """
        import pytest
        from shop.rules import large, small

        CASES = [("small", small, 101), ("large", large, 150)]


        @pytest.mark.parametrize("name, rule, want", CASES)
        def test_takes(till, name, rule, want):
            till.take(rule(50))
            assert till.held == want
        """,
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = "."\n',
}


def test_fixtures_and_parameters_are_followed_by_name(tmp_path: Path) -> None:
    failure = read(write(tmp_path, FIXTURES), *PYTEST, "-q")
    concerned = named(tmp_path, failure)
    assert concerned[0] == "tests/test_till.py:test_takes"
    asked = ["tests/conftest.py:till", "tests/conftest.py:start", "shop/filling.py:plenty", "shop/till.py:__init__"]
    asked += ["tests/test_till.py:CASES", "shop/rules.py:small", "shop/rules.py:large", "shop/till.py:take"]
    assert set(asked) <= set(concerned)


DOCTEST = """
def half(number):
    \"\"\"Halve a number.

    >>> half(4)
    2
    \"\"\"
    return number - 1  # fault
"""


def test_an_example_in_a_docstring_is_read(tmp_path: Path) -> None:
    failure = read(write(tmp_path, {"calc.py": DOCTEST}), *PYTEST, "-q", "--doctest-modules")
    assert failure.tests == ("calc.py::calc.half",)
    assert re.search(r"2\s+.*Got:?\s+3", failure.excerpt, re.DOTALL)
    assert re.search(r"Expected|Got", failure.summary)
    assert named(tmp_path, failure) == ["calc.py:half"]


DEPENDENCY: Files = {
    "app.py": """
        import dep


        def load(text):
            return dep.parse(text)  # calls out
        """,
    "test_app.py": """
        from app import load


        def test_load():
            assert load("x") == 1  # asks
        """,
}
FOREIGN = ("{root}/.venv/lib/python3.11/site-packages", "{root}/venv/Lib/site-packages", "{beside}/libraries")


FOREIGN_STYLES = product(FOREIGN, ["--tb=short", "--tb=auto", "--tb=long", "--tb=native", "--tb=line"])


@pytest.mark.parametrize(("place", "style"), few_of(FOREIGN_STYLES, 8))
def test_frames_of_a_dependency_are_dropped(tmp_path: Path, place: str, style: str) -> None:
    root = write(tmp_path / "project", DEPENDENCY)
    folder = Path(place.format(root=root, beside=tmp_path))
    write(folder, {"dep.py": "def parse(text):\n    return inner(text)\n\n\ndef inner(text):\n    return int(text)\n"})
    failure = read(root, *PYTEST, style, "test_app.py", PYTHONPATH=str(folder))
    assert "invalid literal for int()" in failure.summary
    allowed = [spot(root, "test_app.py", "# asks"), spot(root, "app.py", "# calls out")]
    assert spots(failure) == (allowed if style != "--tb=line" else [])


TRACEBACKS = {
    "pytest, native": (*PYTEST, "--tb=native"),
    "pytest, short": (*PYTEST, "--tb=short"),
    "unittest": (*UNITTEST, "unit_app"),
    "script": (sys.executable, "-c", "import unit_app; unit_app.Load().test_load()"),
}


@pytest.mark.parametrize("runner", TRACEBACKS)
def test_frames_of_a_dependency_take_no_room_in_the_excerpt(tmp_path: Path, runner: str) -> None:
    root, libraries = write(tmp_path / "project", DEPENDENCY), tmp_path / "lib/python3.11/site-packages"
    write(
        libraries, {"dep.py": "def parse(text):\n    return inner(text)\n\n\ndef inner(text):\n    return int(text)\n"}
    )
    unit = "import unittest\n\nfrom test_app import test_load\n\n\nclass Load(unittest.TestCase):\n"
    write(root, {"unit_app.py": f"{unit}    def test_load(self):\n        test_load()\n"})
    failure = read(root, *TRACEBACKS[runner], PYTHONPATH=str(libraries))
    assert "calls out" in failure.excerpt
    assert "invalid literal for int()" in failure.excerpt
    assert "site-packages" not in failure.excerpt


def test_frames_of_the_standard_library_are_dropped(tmp_path: Path) -> None:
    app = "import json\n\n\ndef load(text):\n    return json.loads(text)  # calls out\n"
    root = write(tmp_path, {**DEPENDENCY, "app.py": app})
    failure = read(root, *PYTEST, "-q")
    assert failure.summary.startswith("json.decoder.JSONDecodeError: Expecting value")
    assert spots(failure) == [spot(root, "test_app.py", "# asks"), spot(root, "app.py", "# calls out")]


PREFIXES: Files = {
    "app/model.py": """
        from lib.tools import convert


        def load(text):
            return convert(text)
        """,
    "lib/tools.py": """
        def convert(text):
            return int(text)
        """,
    "checks/model_checks.py": """
        import unittest

        from app.model import load


        class Load(unittest.TestCase):
            def test_load(self):
                self.assertEqual(load("x"), 1)
        """,
}
CHECKS = (*UNITTEST, "checks.model_checks")


def test_the_innermost_frame_of_the_project_comes_first(tmp_path: Path) -> None:
    failure = read(write(tmp_path, PREFIXES), *CHECKS)
    assert named(tmp_path, failure, test_prefix=("checks/",))[:2] == ["lib/tools.py:convert", "app/model.py:load"]


def test_the_frame_is_picked_by_source_prefix(tmp_path: Path) -> None:
    failure = read(write(tmp_path, PREFIXES), *CHECKS)
    picked = named(tmp_path, failure, source_prefix=("app/",), test_prefix=("checks/",))
    assert picked[0] == "app/model.py:load"


def test_several_source_prefixes_hold_alike(tmp_path: Path) -> None:
    failure = read(write(tmp_path, PREFIXES), *CHECKS)
    picked = named(tmp_path, failure, source_prefix=("nowhere/", "lib"), test_prefix=("checks/",))
    assert picked[0] == "lib/tools.py:convert"


def test_a_frame_below_test_prefix_is_never_the_source(tmp_path: Path) -> None:
    failure = read(write(tmp_path, PREFIXES), *CHECKS)
    assert named(tmp_path, failure, test_prefix=("checks/", "lib/"))[0] == "app/model.py:load"


def test_a_source_prefix_without_a_frame_falls_back_to_what_is_no_test(tmp_path: Path) -> None:
    failure = read(write(tmp_path, PREFIXES), *CHECKS)
    picked = named(tmp_path, failure, source_prefix=("web/",), test_prefix=("checks/",))
    assert picked[0] == "lib/tools.py:convert"


UNIT: Files = {
    "calc.py": """
        def add(left, right):
            return left - right


        def half(number):
            return number / 0  # fault
        """,
    "test_calc.py": """
        import unittest

        from calc import add, half


        class Calc(unittest.TestCase):
            def test_add(self):
                \"\"\"Two and three are five.\"\"\"
                self.assertEqual(add(2, 3), 5)  # asks add

            def test_half(self):
                self.assertEqual(half(2), 1)  # asks half

            def test_subs(self):
                for number in (1, 2):
                    with self.subTest(number=number):
                        self.assertEqual(add(number, 0), number + 1)  # asks subs
        """,
}


@pytest.mark.parametrize("option", ["-q", "-v", "-b", "-f", "--locals"])
def test_unittest_failures_are_read(tmp_path: Path, option: str) -> None:
    failure = read(write(tmp_path, UNIT), *UNITTEST, option, "test_calc.Calc.test_add")
    assert failure.tests == ("test_add (test_calc.Calc.test_add)",)
    assert failure.summary == "AssertionError: -1 != 5"
    assert spots(failure) == [spot(tmp_path, "test_calc.py", "# asks add")]
    assert named(tmp_path, failure) == ["test_calc.py:test_add", "calc.py:add"]


def test_every_failing_unittest_is_named(tmp_path: Path) -> None:
    failure = read(write(tmp_path, UNIT), *UNITTEST, "-q")
    assert {name.split()[0] for name in failure.tests} == {"test_add", "test_half", "test_subs"}


def test_a_unittest_error_leads_to_the_fault(tmp_path: Path) -> None:
    failure = read(write(tmp_path, UNIT), *UNITTEST, "-q", "test_calc.Calc.test_half")
    assert failure.tests == ("test_half (test_calc.Calc.test_half)",)
    assert failure.summary == "ZeroDivisionError: division by zero"
    assert spots(failure) == [spot(tmp_path, "test_calc.py", "# asks half"), spot(tmp_path, "calc.py", "# fault")]
    assert named(tmp_path, failure)[0] == "calc.py:half"


@pytest.mark.parametrize("fixture", ["setUp", "setUpClass", "setUpModule"])
def test_a_unittest_fixture_that_fails_leads_to_the_fault(tmp_path: Path, fixture: str) -> None:
    shape = {
        "setUp": "    def setUp(self):\n        half(1)\n",
        "setUpClass": "    @classmethod\n    def setUpClass(cls):\n        half(1)\n",
        "setUpModule": "",
    }[fixture]
    module = "def setUpModule():\n    half(1)\n\n\n" if fixture == "setUpModule" else ""
    head = "import unittest\n\nfrom calc import half\n\n\n"
    test = f"{head}{module}class Calc(unittest.TestCase):\n{shape}    def test_it(self):\n        pass\n"
    failure = read(write(tmp_path, {**UNIT, "test_calc.py": test}), *UNITTEST)
    assert len(failure.tests) == 1
    assert failure.summary == "ZeroDivisionError: division by zero"
    assert named(tmp_path, failure)[0] == "calc.py:half"


# Broken set-ups: what stands in a module that cannot be imported, its error, and the place.
BROKEN = {
    "syntax": ("def add(left, right)\n    return left\n", "SyntaxError: expected ':'", 1),
    "indentation": ("def add():\nreturn 1\n", "IndentationError: expected an indented block", 2),
    "missing module": ("import nowhere_to_be_found  # fault\n", "ModuleNotFoundError: No module named 'nowhere", 1),
    "missing name": ("from os import nowhere\n", "ImportError: cannot import name 'nowhere'", 1),
    "raises": ("one = 1\nraise RuntimeError('at import')\n", "RuntimeError: at import", 2),
}
RUNNERS = {"pytest": (*PYTEST, "-q"), "unittest": UNITTEST, "script": (sys.executable, "test_add.py")}


@pytest.mark.parametrize(("name", "runner"), few_of(product(BROKEN, RUNNERS), 8))
def test_a_module_that_cannot_be_imported_is_read(tmp_path: Path, name: str, runner: str) -> None:
    source, error, line = BROKEN[name]
    test = "import unittest\n\nfrom calc import add\n\n\nclass Add(unittest.TestCase):\n    pass\n"
    failure = read(write(tmp_path, {"calc.py": source, "test_add.py": test}), *RUNNERS[runner])
    assert error in failure.summary
    assert spots(failure)[-1] == ("calc.py", line)
    assert error in failure.excerpt


def test_a_test_file_with_a_missing_import_is_an_error_of_that_file(tmp_path: Path) -> None:
    files = {"calc.py": "def add():\n    return 1\n", "test_calc.py": "from calc import subtract\n"}
    failure = read(write(tmp_path, files), *PYTEST, "-q")
    assert failure.tests == ("test_calc.py",)
    assert failure.summary.startswith("ImportError: cannot import name 'subtract' from 'calc'")


def test_a_fixture_that_fails_leads_to_the_fault(tmp_path: Path) -> None:
    test = """
        import pytest

        from calc import half


        @pytest.fixture
        def number():
            return half(1)


        def test_it(number):
            assert number
        """
    failure = read(write(tmp_path, {**UNIT, "test_calc.py": test}), *PYTEST, "-q")
    assert failure.tests == ("test_calc.py::test_it",)
    assert "ZeroDivisionError" in failure.summary
    assert named(tmp_path, failure)[0] == "calc.py:half"


SCRIPTS = {
    "uncaught": (
        """
        def half(number):
            return number / 0  # fault


        half(1)  # asks
        """,
        "ZeroDivisionError: division by zero",
    ),
    "raised from": (
        """
        class Broken(Exception):
            pass


        def half(number):
            try:
                return number / 0
            except ZeroDivisionError as error:
                raise Broken("no halves") from error  # fault


        half(1)  # asks
        """,
        "Broken: no halves",
    ),
    "raised during": (
        """
        def half(number):
            try:
                return number / 0
            except ZeroDivisionError:
                return {}["halves"]  # fault


        half(1)  # asks
        """,
        "KeyError: 'halves'",
    ),
    "assertion": ("def two():\n    assert 1 + 1 == 3  # fault\n\n\ntwo()  # asks\n", "AssertionError"),
    "exit": ("import sys\n\n\nsys.exit('no: half is missing')\n", ""),
    "recursion": ("def deep(n):\n    return deep(n + 1)  # fault\n\n\ndeep(0)  # asks\n", "RecursionError: maximum"),
}


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "exit"])
def test_a_plain_script_is_read(tmp_path: Path, name: str) -> None:
    source, error = SCRIPTS[name]
    failure = read(write(tmp_path, {"script.py": source}), sys.executable, "script.py")
    assert error in failure.summary
    assert spot(tmp_path, "script.py", "# fault") in spots(failure)
    assert named(tmp_path, failure)[0] == f"script.py:{failure.frames[-1].function}"


@pytest.mark.parametrize("name", ["raised from", "raised during"])
def test_a_chain_ends_with_what_was_raised_last(tmp_path: Path, name: str) -> None:
    source, error = SCRIPTS[name]
    failure = read(write(tmp_path, {"script.py": source}), sys.executable, "script.py")
    assert error in failure.summary
    assert spots(failure)[-1] == spot(tmp_path, "script.py", "# fault")
    assert error in failure.excerpt
    assert "ZeroDivisionError" in failure.excerpt


def test_words_of_a_script_without_a_traceback_are_shown(tmp_path: Path) -> None:
    failure = read(write(tmp_path, {"script.py": SCRIPTS["exit"][0]}), sys.executable, "script.py")
    assert failure.excerpt == "no: half is missing"
    assert failure.frames == ()


def test_a_group_of_exceptions_is_read(tmp_path: Path) -> None:
    source = """
        def one():
            raise ValueError("first of two")  # fault


        errors = []
        for call in (one, one):
            try:
                call()
            except ValueError as error:
                errors.append(error)
        raise ExceptionGroup("both", errors)
        """
    failure = read(write(tmp_path, {"script.py": source}), sys.executable, "script.py")
    assert "first of two" in failure.excerpt
    assert spot(tmp_path, "script.py", "# fault") in spots(failure)


# Other languages: sources, tests and test command of a small project, the fault, and what is read of its failure.
NODE: Files = {
    "sum.js": """
        export function sum(numbers) {
          return numbers.reduce((all, one) => all - one, 0);
        }
        """,
    "test/sum.test.js": """
        import assert from "node:assert/strict";
        import { test } from "node:test";
        import { sum } from "../sum.js";

        test("sums nothing", () => assert.equal(sum([]), 0));
        test("sums two", () => {
          assert.equal(sum([1, 2]), 3); // asserts
        });
        """,
    "package.json": '{"type": "module"}\n',
}
CARGO: Files = {
    "src/lib.rs": """
        pub fn sum(numbers: &[i32]) -> i32 {
            numbers.iter().fold(0, |all, one| all - one)
        }
        """,
    "tests/sums.rs": """
        use sums::sum;

        #[test]
        fn sums_nothing() {
            assert_eq!(sum(&[]), 0);
        }

        #[test]
        fn sums_two() {
            assert_eq!(sum(&[1, 2]), 3); // asserts
        }
        """,
    "Cargo.toml": '[package]\nname = "sums"\nversion = "0.1.0"\nedition = "2021"\n',
}


@pytest.mark.parametrize("reporter", ["tap", "spec"])
def test_node_is_read(tmp_path: Path, reporter: str) -> None:
    node = working("node") or pytest.skip("node is not installed")
    failure = read(write(tmp_path, NODE), node, "--test", f"--test-reporter={reporter}")
    assert failure.tests == ("sums two",)
    assert "-3 !== 3" in failure.summary + failure.excerpt
    assert spot(tmp_path, "test/sum.test.js", "// asserts") in spots(failure)
    assert "sums nothing" not in failure.excerpt
    assert "node:internal" not in failure.excerpt


def test_a_node_source_that_does_not_parse_is_read(tmp_path: Path) -> None:
    node = working("node") or pytest.skip("node is not installed")
    failure = read(write(tmp_path, {**NODE, "sum.js": "export function sum( {\n"}), node, "--test")
    assert "SyntaxError" in failure.excerpt
    assert ("sum.js", 1) in spots(failure) or ("sum.js", 2) in spots(failure)


def cargo() -> str:
    return working("cargo") or pytest.skip("cargo is not installed")


@pytest.mark.heavy
def test_cargo_is_read(tmp_path: Path) -> None:
    failure = read(write(tmp_path, CARGO), cargo(), "test", "--offline")
    assert failure.tests == ("sums_two",)
    assert "assertion `left == right` failed" in failure.summary
    assert "left: -3" in failure.excerpt
    assert spots(failure) == [spot(tmp_path, "tests/sums.rs", "// asserts")]
    assert "/rustc/" not in failure.excerpt


@pytest.mark.heavy
def test_a_rust_source_that_does_not_compile_is_read(tmp_path: Path) -> None:
    broken = "pub fn sum(numbers: &[i32]) -> i32 {\n    numbers.len()\n}\n"
    failure = read(write(tmp_path, {**CARGO, "src/lib.rs": broken}), cargo(), "test", "--offline")
    assert failure.summary == "error[E0308]: mismatched types"
    assert spots(failure)[0] == ("src/lib.rs", 2)
    assert "Compiling" not in failure.excerpt


NODE_LEANFILE = """
[runner]
command = "node"
args = ["--test"]
[defaults]
summarize_errors = false
[[tasks]]
name = "sum"
prompt = "sum must add the numbers up."
files = ["sum.js"]
"""


@pytest.mark.heavy
def test_another_language_gets_its_block_its_files_and_the_diff(bench: Bench, serve: Serve) -> None:
    if not working("node"):
        pytest.skip("node is not installed")
    wrong = "sum.js\n```js\nexport function sum(numbers) {\n  return numbers.length;\n}\n```\n"
    right = wrong.replace("numbers.length", "numbers.reduce((all, one) => all + one, 0)")
    write(bench.project, NODE)
    bench.write("leanfile.toml", NODE_LEANFILE)
    bench.commit()
    server = serve(wrong, right, trace="auto")
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    first, fix = (prompt_of(body) for body in server.requests if not is_ask(body))
    assert "(all, one) => all - one" in first
    assert "-3 !== 3" in first
    assert "2 !== 3" in fix
    assert "-  return numbers.reduce((all, one) => all - one, 0);\n+  return numbers.length;" in fix
    assert "sums nothing" not in fix.split("# Failing tests")[1]


WORDY = """
for number in $(seq 300); do echo "step $number is done"; done
echo "the third valve leaks" >&2
exit 1
"""


def test_of_an_unknown_runner_the_trimmed_tail_is_shown(tmp_path: Path) -> None:
    output = printed(write(tmp_path, {"check.sh": WORDY}), "bash", "check.sh")
    failure = _failures.read_failure(output, tmp_path, tail=12)
    lines = failure.excerpt.splitlines()
    assert lines[-1] == "the third valve leaks"
    assert len(lines) == 13
    assert "[... 289 lines left out ...]" in lines
    assert (failure.tests, failure.frames) == ((), ())


def test_a_place_in_any_language_is_found(tmp_path: Path) -> None:
    write(
        tmp_path, {"src/valve.c": "int main() {\n", "check.sh": "echo 'src/valve.c:1:12: error: no end' >&2\nexit 1\n"}
    )
    failure = _failures.read_failure(printed(tmp_path, "bash", "check.sh"), tmp_path)
    assert spots(failure) == [("src/valve.c", 1)]


def test_without_a_definition_a_window_of_lines_is_shown(tmp_path: Path) -> None:
    source = "".join(f"line {number}\n" for number in range(1, 101))
    write(tmp_path, {"long.c": source, "check.sh": "echo 'long.c:50: error' >&2\nexit 1\n"})
    failure = _failures.read_failure(printed(tmp_path, "bash", "check.sh"), tmp_path)
    (window,) = locating.concerned(tmp_path, failure, source_window=10)
    assert (window.path, window.first, window.last) == ("long.c", 45, 55)


def test_long_lines_are_shortened(tmp_path: Path) -> None:
    failure = _failures.read_failure(f"E   {'x' * 100_000} the end", tmp_path)
    assert len(failure.excerpt) < 1000
    assert failure.excerpt.endswith("the end")


# What is read is read only: the same words give the same failure, and nothing is written or started.
AUDIT = """
import json
import sys
from pathlib import Path

sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/leaners"]
import _failures
import _locate
import leanloop

output, root = Path(sys.argv[2]).read_text(encoding="utf-8"), Path.cwd()
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chmod", "os.truncate", "os.utime", "os.link")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")


def watch(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & 3
    if writes or event in WRITES + STARTS:
        print("IMPURE", event, args)


sys.dont_write_bytecode = True
sys.addaudithook(watch)
failure = _failures.read_failure(output, root)
task = leanloop.Task(name="tests", prompt="Mend it.", files=("calc/core.py", "missing.py"))
request = leanloop.location_request(root, leanloop.Defaults(), task, failure, "fix", 4000, ())
found = _locate.locate(json.loads(json.dumps(request)))
print(len(failure.frames), len(found["code"]), len(found["test"]))
"""


def test_reading_writes_and_starts_nothing(tmp_path: Path) -> None:
    root = write(tmp_path / "project", RATIO)
    write(tmp_path, {"audit.py": AUDIT, "output.txt": printed(root, *PYTEST, "-q")})
    home = str(Path(leanloop.__file__).parent)
    argv = [sys.executable, str(tmp_path / "audit.py"), home, str(tmp_path / "output.txt")]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "1", "1"], done.stdout + done.stderr


def test_the_same_words_give_the_same_failure(ratio: Path) -> None:
    output = printed(ratio, *PYTEST)
    assert _failures.read_failure(output, ratio) == _failures.read_failure(output, ratio)


# Pieces that the patterns look for, so that what is made of them comes close to real output.
PIECES = (
    """
Traceback (most recent call last):
  File "calc.py", line 2, in add
  File "calc.py", line 99999999999999
  File "\0.py", line 1
calc.py:2: in add
calc.py:0: E
C:\\a\\calc.py:3
../../etc/passwd.x:1
E   assert 1 == 2
E   ValueError: no
FAILED test_calc.py::test_add - assert
===== FAILURES =====
_____ test_add _____
FAIL: test_add (test_calc)
Ran 1 test in 0.1s
--- FAIL: TestAdd (0.00s)
panic: oh
---- add stdout ----
error[E0308]: mismatched
 --> calc.py:2:3
not ok 1 - add
# tests 1
1..2
test at calc.py:1
  ● add
Tests: 1 failed, 1 total
""".splitlines(keepends=True)
    + list(" \t\r()[]:|._=-+\ud800")
    + ["\x1b[31m", "_" * 40, "=" * 40]
)


def test_any_text_is_read_without_an_exception(tmp_path: Path) -> None:
    hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install -e '.[lint]'")
    st = hypothesis.strategies
    write(
        tmp_path,
        {"calc.py": "def add(left, right):\n    return left\n", "test_calc.py": "def test_add():\n    add(1)\n"},
    )
    texts = st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=9))).map("".join))

    def read_any(text: str, tail: int) -> None:
        failure = _failures.read_failure(text, tmp_path, tail)
        assert len(failure.excerpt.splitlines()) <= tail + 1
        assert all((tmp_path / frame.path).is_file() for frame in failure.frames)
        ranking = locating.ranking(tmp_path, failure, ("calc.py", "missing.py"))
        shown = _locate.pack(ranking.project, ranking.concerned([]), 1000)
        assert leanloop.tokens("\n".join(map(str, shown))) <= 1000
        assert _failures.read_summary(text).skipped >= 0

    settings = hypothesis.settings(max_examples=300, deadline=None, database=None, derandomize=True)
    settings(hypothesis.given(texts, st.integers(0, 50))(read_any))()


FLOODS = {
    "one line": "x" * 1_000_000,
    "blank lines": "\n" * 200_000,
    "blanks": " " * 1_000_000,
    "rules": ("=" * 1500 + "\n") * 700,
    "words": ("a b " * 400 + "\n") * 600,
    "places": "calc.py:2: in add\n" * 50_000,
    "frames": '  File "calc.py", line 2, in add\n' * 30_000,
    "dots": ("a." * 900 + "\n") * 500,
    "errors": "E   ValueError: no\n" * 50_000,
    "tracebacks": "Traceback (most recent call last):\n" * 30_000,
    "failing": "FAILED test_calc.py::test_add - assert 1\n" * 25_000,
    "node": "    not ok 1 - add\n" * 50_000 + "# tests 1\n",
    "go": "--- FAIL: TestAdd (0.00s)\n" * 40_000,
}


@pytest.mark.parametrize("name", few_of(FLOODS, 3))
def test_a_flood_of_output_is_read_in_time(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"calc.py": "def add(left, right):\n    return left\n"})
    begun = time.process_time()
    failure = _failures.read_failure(FLOODS[name], tmp_path)
    _failures.read_summary(FLOODS[name])
    assert time.process_time() - begun < 5
    assert len(failure.excerpt) < 100_000


INLINE: Files = {
    "src/lib.rs": """
        mod price;

        pub fn quote(weight: u32) -> u32 {
            price::of(weight)
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn heavy_ones_cost_more() {
                assert_eq!(quote(30), 9);
            }
        }
        """,
    "src/price.rs": """
        pub const STEPS: [(u32, fn(u32) -> u32); 2] = [(20, light), (u32::MAX, heavy)];

        pub fn of(weight: u32) -> u32 {
            let step = STEPS.iter().find(|(limit, _)| weight <= *limit);
            step.map_or(0, |(_, price)| price(weight))
        }

        fn light(_: u32) -> u32 {
            4
        }

        fn heavy(weight: u32) -> u32 {
            4 + weight / 10
        }
        """,
}


def test_a_test_inside_of_a_source_file_is_a_test(tmp_path: Path) -> None:
    write(tmp_path, INLINE)
    output = """
        running 1 test
        test tests::heavy_ones_cost_more ... FAILED

        failures:

        ---- tests::heavy_ones_cost_more stdout ----
        thread 'tests::heavy_ones_cost_more' panicked at src/lib.rs:13:9:
        assertion `left == right` failed
          left: 7
         right: 9

        test result: FAILED. 0 passed; 1 failed
        """
    failure = _failures.read_failure(textwrap.dedent(output), tmp_path)
    found = locating.located(tmp_path, failure)
    assert "fn heavy_ones_cost_more()" in found.test
    assert "fn heavy(weight: u32) -> u32 {\n    4 + weight / 10" in found.code  # a table names it


GREETING: Files = {
    "src/greet.js": """
        const { title } = require('./words');

        exports.greet = (name) => `Hello ${title(name)}`;
        """,
    "src/words.js": """
        exports.title = (text) => text[1].toUpperCase() + text.slice(1);
        """,
    "test/greet.test.js": """
        const { greet } = require('../src/greet');

        test('greets', () => {
          expect(greet('ada')).toBe('Hello Ada');
        });
        """,
}


def test_what_a_string_puts_in_is_followed(tmp_path: Path) -> None:
    write(tmp_path, GREETING)
    failure = Failure(("greets",), "Expected: x", "", (leanloop.Frame("test/greet.test.js", 4),))
    assert "src/words.js:title" in named(tmp_path, failure)


def test_a_long_line_that_nothing_marks_is_shown(tmp_path: Path) -> None:
    numbers = ", ".join(map(str, range(900)))
    write(tmp_path, {"table.go": f"package table\n\nvar Numbers = []int{{{numbers}}}\n"})
    project = locating.project(tmp_path)
    item = locating.find(project, "table.go", "Numbers")
    assert "var Numbers" in _locate.show(project, [_locate.Candidate(item)]).code


def test_what_lies_beside_the_source_prefix_is_no_test(tmp_path: Path) -> None:
    write(tmp_path, GREETING)
    failure = Failure(("greets",), "Expected: x", "", (leanloop.Frame("test/greet.test.js", 4),))
    found = locating.located(tmp_path, failure, source_prefix=("lib",))
    assert "exports.greet = (name)" in found.code
    assert "exports.greet = (name)" not in found.test


def test_a_long_report_leaves_room_for_the_code(tmp_path: Path) -> None:
    write(tmp_path, GREETING)
    long = "\n".join(f"{number}: {'hello ada ' * 40}" for number in range(40))
    failure = Failure(("greets",), "Expected: x", long, (leanloop.Frame("test/greet.test.js", 4),))
    assert "exports.title = (text)" in locating.located(tmp_path, failure).code
