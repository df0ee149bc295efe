"""What a leaner may not change, by name, by the runner's settings, and by what the test command starts."""

from __future__ import annotations

import base64
import json
import shutil
from urllib.parse import quote

import pytest

from conftest import Bench, Leaner

FIX = "sed -i 's/left - right/left + right/' calc.py\n"
# The words of the command name a recipe, a script and a module; what decides is the line in calc.py.
LEANFILE = """
[runner]
command = "grep -q 'left + right' calc.py; exit $? # make check; npm run all; python -m ci"
shell = true
[[tasks]]
name = "add"
prompt = "Mend add."
files = ["calc.py"]
"""
JUDGES = (
    "app/tests.py", "test.js", "x-test.js", "src/tests.rs", "t/helper.pl", "features/steps/sums.py", "check_sums.py",
    "ci/__main__.py", "tools/check.py", "tools/run.js", "golden/page.html", "Makefile", "package.json", "setup.cfg",
)  # fmt: skip
SOURCES = ("lib/util.py", "tools/other.py", "src/checks.rs", "features/sums.py", "latest.js")


def test_what_judges_is_put_back_and_source_is_not(calc: Bench, leaner: Leaner) -> None:
    for path in (*JUDGES, *SOURCES):
        calc.write(path, "def test_sums():\n" if path == "check_sums.py" else "old\n")
    calc.write("setup.cfg", "[tool:pytest]\npython_files =\n    check_*.py\n")
    calc.write("Makefile", "check: calc.py\n\t@python -u tools/check.py\n\nother:\n\tpython tools/other.py\n")
    calc.write("package.json", '{"scripts": {"all": "npm run unit", "unit": "node ./tools/run.js"}}')
    calc.write("leanfile.toml", LEANFILE)
    calc.commit()
    leaner(f"for path in {' '.join((*JUDGES, *SOURCES))}; do echo new >> $path; done\n{FIX}echo done\n", "source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    changed = calc.git("diff", "--name-only").split()
    assert sorted(changed) == sorted(("calc.py", *SOURCES))


# What settings name, and what recipes and scripts start, wherever they stand; beside it source that only looks so.
NAMED = {
    "pytest.ini": "[pytest]\naddopts = -ra -p plugs.one\npython_files = verify_*.py\ntestpaths = qa\n",
    "conftest.py": "pytest_plugins = ['support.db']\n",
    "tox.ini": "[testenv]\ncommands =\n    python tools/tox.py {posargs}\n    {toxinidir}/tools/more.sh\n",
    "noxfile.py": "def tests(session):\n    session.run('python', 'tools/nox.py')\n",
    "pyproject.toml": '[project.scripts]\ncalc = "calc:main"\n[tool.poe.tasks]\nall = "python tools/poe.py"\n',
    "justfile": 'import "mk/more.just"\n\ndefault:\n    just --list\n\nother:\n    python tools/other.py\n',
    "mk/more.just": "all: first\n    python3 tools/just.py\n\nfirst:\n    ./tools/first.sh\n",
    "Makefile": "include mk/rules.mk\n",
    "mk/rules.mk": "RUN = tools/made.py\ncheck:\n\tpython3 $(RUN)\n",
    "ci/all.sh": 'cd "$(dirname "$0")"\n. ./env.sh\npython3 go.py\n',
    "Rakefile": 'require_relative "lib/tasks/check"\nt.pattern = "ruby/**/*_check.rb"\n',
    "composer.json": '{"scripts": {"test": "@php tools/run.php"}}',
    "phpunit.xml": '<phpunit bootstrap="support/boot.php"><testsuite><directory>php</directory></testsuite></phpunit>',
    "package.json": '{"main": "lib/main.js", "scripts": {"unit": "node --import=./tools/im.mjs tools/run.js && jest"},'
    ' "jest": {"testMatch": ["**/watch/**/*.js"], "transform": {".": "<rootDir>/tools/turn.js"}}}',
    "vitest.config.ts": "export default { entry: 'lib/main.js',"
    " test: { include: ['ts/**/*.ts'], setupFiles: './set.ts' } }",
    "webpack.config.js": "module.exports = { rules: [{ include: path.resolve(__dirname, 'lib') }] }\n",
    "Cargo.toml": '[lib]\npath = "rs/lib.rs"\n[[test]]\nname = "c"\npath = "rs/checked.rs"\n',
    "test.sh": "python3 tools/tried.py\n",
    "tools/run.js": "const { all } = require('./lib/all');\nrequire('../lib/main');\n",
    "behave.ini": "[behave]\npaths = bdd\n",
    "app/package.json": '{"scripts": {"check": "node bin/run.js"}}',
    "kit/package.json": '{"name": "@x/kit", "scripts": {"verify": "node ./verify.js"}}',
    "sub/Makefile": "check: core/selfcheck.o core/lex.o\n\tpython3 tools/made.py\n\ncalc: core/lex.o\n\tcc $^\n",
    ".busted": "return { default = { helper = 'say/it.lua' } }\n",
    "qa.cfg": "[aliases]\ntest = pytest -p shop.outcomes\nreporter = shop.report:Reporter\n",
    "c/CMakeLists.txt": "add_library(c\n  c.c)\nadd_executable(driver d.c c.c)\nadd_test(NAME all\n  COMMAND driver)\n",
    "c/meson.build": "test('c', executable('c1', 'e.c'))\nexecutable('c2', 'f.c')\n",
    "tasks.toml": '[tool.poe.tasks.test]\nscript = "ops.suite:run"\n[tool.poe.tasks]\nserve = "python ops/serve.py"\n',
}  # fmt: skip
JUDGING = (
    "plugs/one.py", "plugs/two.py", "support/db.py", "pkg/verify_sums.py", "qa/data.py", "tools/tox.py",
    "tools/more.sh", "tools/nox.py", "tools/poe.py", "tools/just.py", "tools/first.sh", "tools/made.py", "ci/env.sh",
    "ci/go.py", "lib/tasks/check.rb", "ruby/add_check.rb", "tools/run.php", "support/boot.php", "php/Add.php",
    "tools/lib/all.js", "tools/im.mjs", "tools/run.js", "watch/a/sums.js", "tools/turn.js", "ts/sums.ts", "set.ts",
    "rs/checked.rs", "app/bin/run.js", "kit/verify.js", "sub/tools/made.py", "back/all.py", "bdd/other.py",
    "run/all.py", "go/one.py", "e2e/login.js", "src/a.cy.js", "app/AndroidTest.kt", "Calc.Tests/Facts.cs",
    "vendor/x/y.go", "buildSrc/a.kt", "sub/core/selfcheck.c", "say/it.lua", "src/shop/outcomes.py",
    "src/shop/report.py", "c/d.c", "c/e.c", "ops/suite.py",
)  # fmt: skip
FREE = (
    "lib/main.js",
    "lib/other.js",
    "tools/other.py",
    "tools/tried.py",
    "rs/lib.rs",
    "app/models.py",
    "shop/testing.py",
    "app/src/main.js",
    "sub/sums.py",
    "src/core/sums.py",
    "sub/core/lex.c",
    "c/c.c",
    "c/f.c",
    "ops/serve.py",
    "mixed/sums.py",
)
# Tests by what they hold, wherever they lie and whatever names them.
HOLDING = {
    "pkg/verify_sums.py": "def test_sums():\n    pass\n",
    "qa/verify_more.py": "class More(unittest.TestCase):\n    pass\n",
    "ruby/add_check.rb": "describe 'add' do\nend\n",
    "php/Add.php": "<?php\nclass Add extends TestCase {}\n",
    "watch/a/sums.js": "test('sums', () => {})\n",
    "ts/sums.ts": "import test from 'node:test'\n",
    "rs/checked.rs": "#[test]\nfn sums() {}\n",
    "bdd/steps.py": "@given('a sum')\ndef sum(context):\n    pass\n",
    "rules/sums.py": "def test_sums():\n    pass\n",
    "mixed/check_sums.py": "def test_sums():\n    pass\n",
    "java/Sums.java": "class Sums {\n    @Test void add() {}\n}\n",
}
STANDS = ("lib/minitest/autorun.rb", "lib/Test/More.pm", "src/main/java/org/junit/Assert.java")


def test_what_settings_name_and_recipes_start_is_put_back(calc: Bench, leaner: Leaner) -> None:
    for path, text in NAMED.items():
        calc.write(path, text)
    for path in (*JUDGING, *FREE, *HOLDING):
        calc.write(path, (HOLDING | NAMED).get(path, "old\n"))
    words = "pytest -pplugs.two; tox; nox; poe all; just all; make check; ci/all.sh; ./test.sh; rake; npm run unit"
    words += "; composer test; npm --prefix app run check; pnpm --filter @x/kit verify; make -C sub check"
    words += (
        "; cd back && python all.py; behave; python -c 'import run.all'; unittest go.one.Case; pytest --cov src/core"
    )
    calc.write("leanfile.toml", LEANFILE.replace("make check; npm run all; python -m ci", words))
    calc.commit()
    fresh = "".join(f"mkdir -p $(dirname {path}); echo 1 > {path}\n" for path in STANDS)
    paths = " ".join({*JUDGING, *FREE, *HOLDING})
    leaner(f"for path in {paths}; do echo new >> $path; done\n{fresh}{FIX}echo done\n", "source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    changed = calc.git("status", "--porcelain", "-uall").split()[1::2]
    assert sorted(changed) == sorted(("calc.py", *FREE))


HOSTILE = {
    "deep.json": "[" * 50_000,
    "open.cfg": "(" * 59_000,
    "long.yml": "test: " + "a" * 59_000,
    "dotted.ini": "test = " + "a." * 29_000,
    "lines.conf": "\n" * 59_000,
    "calls.cfg": "test: $(" + "$(" * 29_000,
    "options.cfg": "addopts " + "-test" * 11_000 + "!",
}


def test_settings_of_any_shape_are_read_in_bounded_time(calc: Bench, leaner: Leaner) -> None:
    for path, text in HOSTILE.items():
        calc.write(path, text)
    calc.write("package.json", '{"scripts": {"test/unit": "node tools/run.js"}}')
    for path in ("tools/run.js", "app/[id]/checks/more.py"):
        calc.write(path, "old\n")
    for name in ("sums", "differences"):
        calc.write(f"app/[id]/checks/{name}.py", f"def test_{name}():\n")
    calc.write("leanfile.toml", LEANFILE.replace("npm run all", f"npm run test/unit; ava !tests/slow.js {'x' * 3000}"))
    calc.commit()
    deed = "for path in tools/run.js app/\\[id\\]/checks/more.py; do echo new >> $path; done"
    leaner(f"{deed}; mkdir tests; echo > tests/slow.js\n{FIX}echo done\n", "source")
    ran = calc.lean_loop(timeout=40)
    assert ran.code == 0, ran.text
    assert calc.git("status", "--porcelain", "-uall").split() == ["M", "calc.py"]


ATTACKED = """
[defaults]
max_iters_per_task = {fixes}
summarize_errors = false
restart_after = 0
trace = "off"
[runner]
command = "make"
args = ["check"]
[[tasks]]
name = "add"
prompt = "Mend add."
files = ["calc.py"]
"""
MAKEFILE = """
check: prepared
\t@./tools/test.sh # npm test

prepared:
\t-./tools/prepare.sh
"""
PACKAGE = '{"scripts": {"pretest": "node tools/before.js", "test": "gulp || ./tools/test.sh"}}'
PASSES = "import unittest; unittest.TestCase.assertEqual = lambda *args: None"
TRUE = "printf '#!/bin/sh\\necho OK\\nexit 0\\n' >"
ATTACKS = {
    "a module of Python's at the root": f"echo '{PASSES}' > difflib.py",
    "a module of Python's in a source folder": f"echo '{PASSES}' > src/difflib.py",
    "a package of Python's in a source folder": f"mkdir src/pprint; echo '{PASSES}' > src/pprint/__init__.py",
    "the runner as a package in a source folder": f"mkdir src/unittest; echo '{PASSES}' > src/unittest/__init__.py",
    "a plugin's module": "mkdir src/pluggy; echo 'import os; os._exit(0)' > src/pluggy/__init__.py",
    "the target of a linked test": "sed -i 's/, 5)/, -1)/' shared/cases.py",
    "a file in a linked folder of tests": "sed -i 's/, 5)/, -1)/' shared/more/sums.py",
    "the script of a recipe": f"{TRUE} tools/test.sh",
    "the script of a recipe that is needed": "echo 'sed -i s/5/-1/ tests/test_calc.py' >> tools/prepare.sh",
    "the script before a script": "echo 'process.exit(0)' > tools/before.js",
    "a hidden script": "mkdir .tools; echo 'exit 0' > .tools/run.sh; echo 'module.exports = {}' > .babelrc.js",
    "settings beside a source": "echo '[pytest]' > src/pytest.ini; echo 'x' > src/setup.cfg",
    "an npmrc": f"echo 'script-shell=./tools/sh' > .npmrc; {TRUE} tools/sh; chmod +x tools/sh",
    "cargo's settings": "mkdir .cargo; echo '[alias]' > .cargo/config.toml",
    "an environment file": "echo 'PYTHONOPTIMIZE=2' > .env",
    "Python's own hook as a package": f"mkdir src/sitecustomize; echo '{PASSES}' > src/sitecustomize/__init__.py",
    "the file of a program": "echo 'process.exit(0)' > gulpfile.js",
    "another file of a program": "echo 'process.exit(0)' > Gulpfile.babel.js",
    "a path file": "echo 'import os' > src/x.pth; echo x > src/sitecustomize.py",
    "a conftest in a new folder": "mkdir new; echo 'collect_ignore = []' > new/conftest.py",
    "a golden file": "echo 1 > src/expected.json",
    "a make file of its own": "printf 'check:\\n\\ttrue\\n' > GNUmakefile",
    "an included make file": "printf 'check:\\n\\ttrue\\n' > rules.mk",
    "a repository of its own": f"git init -q new; echo '{PASSES}' > new/x.py",
    "a plugin of pytest's": "mkdir src/p.dist-info; echo '[pytest11]' > src/p.dist-info/entry_points.txt",
    "a link for a source": "rm src/util.py; ln -s ../shared/cases.py src/util.py",
    "compiled code": "echo x > src/difflib.pyc",
    "git's hooks": "printf '#!/bin/sh\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit",
    "a vendored package": "echo 'x' > node_modules/kept/index.js",
}
# Each call notes what it finds changed, and does the next deed.
IN_TURN = """
n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"
git status --porcelain -uall --ignored | grep -v __pycache__ > "$HOME/found-$n"; ls .git/hooks >> "$HOME/found-$n"
echo "# $n" >> calc.py
. "$HOME/deed-$n"
echo did $n
"""


@pytest.fixture
def attacked(calc: Bench) -> Bench:
    """A project whose tests run through recipes and scripts, with linked tests, and a folder for its modules."""
    test = calc.read("test_calc.py")
    (calc.project / "test_calc.py").unlink()
    calc.write("tests/__init__.py", "")
    for path in ("shared/cases.py", "shared/more/sums.py"):
        calc.write(path, test)
    (calc.project / "tests/test_calc.py").symlink_to("../shared/cases.py")
    (calc.project / "tests/more").symlink_to("../shared/more")
    calc.write("src/util.py", "x = 1\n")
    calc.write("node_modules/kept/index.js", "")
    calc.write("tools/before.js", "")
    calc.write("tools/prepare.sh", "#!/bin/sh\n", 0o755)
    calc.write("tools/test.sh", "#!/bin/sh\nPYTHONPATH=src:. exec python3 -B -m unittest tests.test_calc\n", 0o755)
    calc.write("Makefile", MAKEFILE)
    calc.write("package.json", PACKAGE)
    calc.write("leanfile.toml", ATTACKED.format(fixes=len(ATTACKS) - 1))
    calc.commit()
    return calc


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_attacks_on_what_judges_are_undone_and_red(attacked: Bench, leaner: Leaner) -> None:
    for number, deed in enumerate(ATTACKS.values(), 1):
        (attacked.home / f"deed-{number}").write_text(deed)
    leaner(IN_TURN, "source")
    ran = attacked.lean_loop(timeout=300)
    assert ran.code == 1 and "red: add" in ran.out, ran.text
    found = [(attacked.home / f"found-{number}").read_text() for number in range(1, len(ATTACKS) + 1)]
    left = attacked.git("status", "--porcelain", "-uall", "--ignored")
    differing = [
        name for name, text in zip(ATTACKS, found[1:], strict=False) if text.replace(" M calc.py\n", "") != found[0]
    ]
    assert (differing, left.split()) == ([], ["M", "calc.py"]), ran.text


KEY = 'sk-"any/key+of=mine"-12345678'
TELL = """
printf '%s' "$LEAN_API_KEY" | base64 -w0; echo; printf 'Bearer %s' "$LEAN_API_KEY" | base64 -w0; echo
python3 -c 'import json, os, urllib.parse as url; key = os.environ["LEAN_API_KEY"]
print(key, json.dumps(key), url.quote(key, safe=""), url.quote(key, safe="").lower(), key.encode().hex())'
git config user.name "$LEAN_API_KEY"; echo "$ANTHROPIC_API_KEY $GH_TOKEN"
printf '%s' "$LEAN_API_KEY" > conftest.py; yes '#' | head -c 51000000 >> conftest.py
"""


def test_keys_are_masked_in_every_form(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{TELL}{FIX}echo done\n", "source")
    config = calc.home / "config.toml"
    config.write_text(config.read_text().replace("[lean]", f"[lean]\napi_key = '{KEY}'", 1))
    calc.env["ANTHROPIC_API_KEY"], calc.env["GH_TOKEN"] = "sk-ant-0123456789abcdef", "ghp_0123456789abcdef"
    ran = calc.lean_loop("--verbose")
    assert ran.code == 0, ran.text
    kept = "".join(path.read_text(errors="replace") for path in calc.runs()[-1].rglob("*") if path.is_file())
    forms = [KEY, json.dumps(KEY)[1:-1], quote(KEY, safe=""), calc.env["ANTHROPIC_API_KEY"]]
    forms += [KEY.encode().hex(), calc.env["GH_TOKEN"], quote(KEY, safe="").lower()]
    forms += [base64.b64encode(begin + KEY.encode()).decode()[12:32] for begin in (b"", b"Bearer ")]
    assert [form for form in forms if form in kept or form in ran.text] == []
    assert "[masked by lean-loop]" in kept


def test_a_key_that_stands_in_a_wrong_place_is_not_shown(calc: Bench) -> None:
    config = calc.home / "config.toml"
    places = ('api_key = ["KEY"]', 'api_key_env = "KEY"', 'extra_body = ["Bearer KEY"]', 'stop = "KEY"')
    for place in places:
        config.write_text(f"[lean]\n{place}\n".replace("KEY", "sk-0123456789/ab+c="))
        ran = calc.lean_loop("-g", str(config))
        assert (ran.code in (2, 3), "0123456789" in ran.text) == (True, False), ran.text
    config.write_text('[lean]\nmodel = ["qwen2.5-coder-1.5b"]\n')
    assert '["qwen2.5-coder-1.5b"]' in calc.lean_loop("-g", str(config)).text  # no key: it is shown


PROTECT = '["src/gen", "docs", "**/made/*.py", "lib/*.py", "./one.py", "all/", "!all/free.py"]'
HELD = ("src/gen/a.py", "docs/deep/a.py", "made/a.py", "x/made/a.py", "lib/a.py", "one.py", "x/all/a.py")
LEFT = ("src/gener.py", "docs.py", "made/deep/a.py", "lib/deep/a.py", "x/one.py", "all/free.py")


def test_patterns_mean_what_they_do_for_git(calc: Bench, leaner: Leaner) -> None:
    for path in (*HELD, *LEFT):
        calc.write(path, "old\n")
    calc.write("leanfile.toml", f"[guard]\nprotect = {PROTECT}\n{calc.read('leanfile.toml')}")
    calc.commit()
    leaner(f"for path in {' '.join((*HELD, *LEFT))}; do echo new >> $path; done\n{FIX}echo done\n", "source")
    assert calc.lean_loop().code == 0
    assert sorted(calc.git("diff", "--name-only").split()) == sorted(("calc.py", *LEFT))
