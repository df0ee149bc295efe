"""What a leaner may not change, by name, by the runner's settings, and by what the test command starts."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

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
        calc.write(path, "old\n")
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


KEY = 'sk-"any/key+of=mine"-12345678'
TELL = """
printf '%s' "$LEAN_API_KEY" | base64 -w0; echo; printf 'Bearer %s' "$LEAN_API_KEY" | base64 -w0; echo
python3 -c 'import json, os, urllib.parse as url; key = os.environ["LEAN_API_KEY"]
print(key, json.dumps(key), url.quote(key, safe=""))'
echo "$ANTHROPIC_API_KEY"; printf '%s' "$LEAN_API_KEY" > conftest.py; yes '#' | head -c 51000000 >> conftest.py
"""


def test_keys_are_masked_in_every_form(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{TELL}{FIX}echo done\n", "source")
    config = calc.home / "config.toml"
    config.write_text(config.read_text().replace("[lean]", f"[lean]\napi_key = '{KEY}'", 1))
    calc.env["ANTHROPIC_API_KEY"] = "sk-ant-0123456789abcdef"
    ran = calc.lean_loop("--verbose")
    assert ran.code == 0, ran.text
    kept = "".join(path.read_text(errors="replace") for path in calc.runs()[-1].iterdir())
    forms = [KEY, json.dumps(KEY)[1:-1], quote(KEY, safe=""), calc.env["ANTHROPIC_API_KEY"]]
    forms += [base64.b64encode(begin + KEY.encode()).decode()[12:32] for begin in (b"", b"Bearer ")]
    assert [form for form in forms if form in kept or form in ran.text] == []
    assert "[masked by lean-loop]" in kept


def test_a_key_of_a_wrong_type_is_not_shown(calc: Bench) -> None:
    config = calc.home / "config.toml"
    config.write_text('[lean]\napi_key = ["sk-0123456789"]\n')
    ran = calc.lean_loop("-g", str(config))
    assert (ran.code, "sk-0123456789" in ran.text) == (2, False), ran.text
