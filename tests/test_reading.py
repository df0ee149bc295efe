"""Reading failures: real runners print them in small projects, and what is read is what a person would look at."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import leanloop
import pytest
from leanloop import Defaults, Failure, Project

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


def printed(root: Path, *argv: str, **env: str) -> str:
    """Run a real runner in ROOT, which has to end red; give what it printed, as the loop would see it."""
    sealed = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    clean = {**sealed, "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", **env}
    done = subprocess.run(
        argv, cwd=root, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert done.returncode != 0, done.stdout
    return leanloop.readable(done.stdout)


def read(root: Path, *argv: str, **env: str) -> Failure:
    return leanloop.read_failure(printed(root, *argv, **env), root)


def spot(root: Path, path: str, mark: str) -> tuple[str, int]:
    """Find the line of PATH that holds MARK."""
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    return path, next(number for number, line in enumerate(lines, 1) if mark in line)


def spots(failure: Failure) -> list[tuple[str, int]]:
    return [(frame.path, frame.line) for frame in failure.frames]


def named(root: Path, failure: Failure, files: tuple[str, ...] = (), **defaults: tuple[str, ...]) -> list[str]:
    """Name the definitions that the failure concerns, as path:name, the most needed first."""
    concerned = Project(root, Defaults(**defaults)).concerned(failure, files)  # type: ignore[arg-type]
    return [f"{item.path}:{item.name}" for item in concerned]


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


@pytest.mark.parametrize("style", STYLES)
def test_pytest_is_read_in_every_style(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, RATIO), *PYTEST, style)
    assert failure.tests == ("tests/test_core.py::test_by_zero",)
    assert "ZeroDivisionError: division by zero" in failure.summary
    assert spots(failure)[-1] == spot(tmp_path, "calc/core.py", "# fault")
    assert set(spots(failure)) <= {
        spot(tmp_path, "tests/test_core.py", "# asks"),
        spot(tmp_path, "calc/core.py", "# through"),
        spot(tmp_path, "calc/core.py", "# fault"),
    }


@pytest.mark.parametrize("style", [style for style in STYLES if style != "--tb=line"])
def test_pytest_tells_the_whole_way(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, RATIO), *PYTEST, style)
    assert spots(failure) == [
        spot(tmp_path, "tests/test_core.py", "# asks"),
        spot(tmp_path, "calc/core.py", "# through"),
        spot(tmp_path, "calc/core.py", "# fault"),
    ]


@pytest.mark.parametrize("style", STYLES)
def test_the_definition_with_the_fault_comes_first(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, RATIO), *PYTEST, style)
    concerned = named(tmp_path, failure)
    assert concerned[0] == "calc/core.py:ratio"
    assert "calc/core.py:untouched" not in concerned


@pytest.mark.parametrize("style", STYLES)
def test_the_excerpt_holds_the_error_and_no_noise(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, RATIO), *PYTEST, style)
    assert "ZeroDivisionError" in failure.excerpt
    assert str(tmp_path) not in failure.excerpt
    assert not [word for word in ("rootdir:", "plugins:", "platform ", "=====") if word in failure.excerpt]


def test_pytest_without_tracebacks_still_names_test_and_error(tmp_path: Path) -> None:
    failure = read(write(tmp_path, RATIO), *PYTEST, "--tb=no")
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


@pytest.mark.parametrize("style", STYLES)
def test_an_assertion_is_shown_with_its_values(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, style, "test_sums.py::test_total")
    assert failure.tests == ("test_sums.py::test_total",)
    assert "assert 4 == 3" in failure.summary
    assert spots(failure) == [spot(tmp_path, "test_sums.py", "# asserts")]


def test_every_failing_test_is_named_once(tmp_path: Path) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, "-q", "-rA")
    assert failure.tests == (
        "test_sums.py::test_total",
        "test_sums.py::test_method",
        "test_sums.py::test_many[numbers0]",
        "test_sums.py::test_many[numbers1]",
        "test_sums.py::TestInside::test_in_class",
    )


def test_only_the_first_failure_is_excerpted(tmp_path: Path) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, "-q")
    assert "test_total" in failure.excerpt
    assert "test_method" not in failure.excerpt
    assert spots(failure) == [spot(tmp_path, "test_sums.py", "# asserts")]


@pytest.mark.parametrize("style", STYLES)
def test_a_failing_test_line_is_followed_to_the_definition_that_it_calls(tmp_path: Path, style: str) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, style, "test_sums.py::test_total")
    assert named(tmp_path, failure) == ["test_sums.py:test_total", "sums.py:total"]


def test_a_failing_test_line_is_followed_to_a_method(tmp_path: Path) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, "-q", "test_sums.py::test_method")
    assert set(named(tmp_path, failure)) == {"test_sums.py:test_method", "sums.py:value", "sums.py:Total"}


def test_a_method_is_shown_below_the_line_of_its_class(tmp_path: Path) -> None:
    failure = read(write(tmp_path, SUMS), *PYTEST, "-q", "test_sums.py::test_method")
    project = Project(tmp_path, Defaults())
    (method,) = [item for item in project.concerned(failure, ()) if item.name == "value"]
    assert project.show(method) == (
        "sums.py (lines 5-6 of 14)\n```py\nclass Total:\n    def value(self):\n        return sum(self.numbers) + 1\n```\n"
    )


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


@pytest.mark.parametrize("place", FOREIGN)
@pytest.mark.parametrize("style", ["--tb=short", "--tb=auto", "--tb=long", "--tb=native", "--tb=line"])
def test_frames_of_a_dependency_are_dropped(tmp_path: Path, place: str, style: str) -> None:
    root = write(tmp_path / "project", DEPENDENCY)
    folder = Path(place.format(root=root, beside=tmp_path))
    write(folder, {"dep.py": "def parse(text):\n    return inner(text)\n\n\ndef inner(text):\n    return int(text)\n"})
    failure = read(root, *PYTEST, style, "test_app.py", PYTHONPATH=str(folder))
    assert "invalid literal for int()" in failure.summary
    allowed = [spot(root, "test_app.py", "# asks"), spot(root, "app.py", "# calls out")]
    assert spots(failure) == (allowed if style != "--tb=line" else [])


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
    failure = read(write(tmp_path, UNIT), *UNITTEST, option)
    assert failure.tests[0] == "test_add (test_calc.Calc.test_add)"
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


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("name", BROKEN)
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
