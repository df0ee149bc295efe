"""The page of a run: what it holds, that nothing in it is obeyed, and how a browser shows it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from conftest import CALC, Bench, Leaner
from test_bandeezy import HAS_BROWSER, IN_CI, Browser, call, open_browser

EVIL = "<script>document.title = 'owned'</script><img src=http://127.0.0.1:9/ onerror=\"document.title = 'owned'\">"
LEANFILE = f"""
[runner]
command = "{{python}}"
args = ["-m", "unittest", "-q"]

[[tasks]]
name = "add </title>{EVIL.replace('"', "'")}"
prompt = '''Mend add in calc.py. {EVIL}'''
files = ["calc.py", "<b>.py"]
"""
LEANER = f"""
[ "$LEAN_MODE" = ask ] && {{ echo 'It multiplies & {EVIL.replace("'", "`")}'; exit; }}
if [ -e "$HOME/asked" ]; then sed -i 's/left . right/left + right/' calc.py; echo '-- a note' > '<b>.py'
else touch "$HOME/asked"; sed -i 's/left . right/left * right/' calc.py
echo '</pre>{EVIL.replace("'", "`")}' > '<b>.py'; fi
echo done
"""


@pytest.fixture
def page(calc: Bench, leaner: Leaner) -> Path:
    """The page of a run of two attempts, in which task, prompt, answers, diffs and a file's name try to be HTML."""
    leaner(LEANER)
    calc.write("leanfile.toml", LEANFILE)
    ran = calc.lean_loop("--quiet")
    assert ran.code == 0, ran.text
    ran = calc.lean_loop("--report", "--html", "page.html")
    assert (ran.code, ran.out) == (0, f"{(calc.project / 'page.html').as_uri()}\n"), ran.text
    return calc.project / "page.html"


class Page(HTMLParser):
    """Reads a page: its elements with their attributes, the text in each, and what was not closed in its order."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.open, self.torn = list[str](), list[str]()
        self.elements, self.text = list[tuple[str, dict[str, str | None]]](), dict[str, str]()
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.torn.append(tag)

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.text[tag] = self.text.get(tag, "") + data

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        found = [attributes for name, attributes in self.elements if name == tag]
        return [item for item in found if all(item.get(key) == value for key, value in wanted.items())]


def test_a_page_holds_the_run_and_nothing_in_it_is_obeyed(page: Path, calc: Bench) -> None:
    read, (run,) = Page(page), calc.runs()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert (read.open, read.torn) == ([], [])
    assert {tag for tag, _ in read.elements} & {"script", "img", "b", "iframe", "object", "form"} == set()
    assert [(tag, name) for tag, found in read.elements for name in found if name.startswith("on")] == []
    links = [found[name] for _, found in read.elements for name in ("src", "href", "data", "action") if name in found]
    assert {link for link in links if not str(link).startswith("#")} == {"data:,"}
    assert "@import" not in read.text["style"] and "url(" not in read.text["style"]
    assert EVIL in read.text["pre"] and EVIL.replace("'", "`") in read.text["blockquote"]
    assert "<b>.py" in read.text["summary"]
    kinds = [event["event"] for event in events]
    assert len(read.of("circle")) == kinds.count("tested") == 3
    assert kinds.count("answered") == 3 == len(read.of("span", **{"class": "bar"}))
    assert "-    return left - right" in read.text["span"] and "+    return left + right" in read.text["span"]
    assert "+-- a note" in read.text["span"]
    assert read.of("svg")[0]["aria-label"] == "Failing tests over time: 1 at first, 0 at last"


def test_a_page_is_written_over_an_older_one_and_over_nothing_else(calc: Bench, leaner: Leaner) -> None:
    leaner("echo done; sed -i 's/left - right/left + right/' calc.py")
    assert calc.lean_loop("--quiet").code == 0
    calc.write("notes.html", "my own\n")
    ran = calc.lean_loop("--html", "notes.html")
    assert (ran.code, calc.read("notes.html")) == (2, "my own\n")
    assert "notes.html is there already, and is no page of lean-loop. Name another file." in ran.err
    ran = calc.lean_loop("--html", "no/where.html")
    assert (ran.code, "cannot be written" in ran.err, "Traceback" in ran.err) == (3, True, False)
    for _ in range(2):
        assert calc.lean_loop("--report", "last", "--html", "page.html").code == 0


def test_the_whole_change_of_a_run_is_a_diff_that_git_can_take_back(calc: Bench, leaner: Leaner) -> None:
    leaner("sed -i 's/left - right/left + right/' calc.py; echo > new.py; printf 'A = 1\\r\\n' > crlf.py; echo done")
    assert calc.lean_loop("--quiet").code == 0
    ran = calc.lean_loop("--report", "--diff")
    assert ran.code == 0
    changed = {line[6:] for line in ran.out.splitlines() if line.startswith("+++ b/")}
    assert changed == {"calc.py", "new.py", "crlf.py"}
    calc.write("../change.diff", ran.out.encode())
    calc.git("apply", "--reverse", "../change.diff")
    assert calc.read("calc.py") == CALC.lstrip("\n")
    assert not (calc.project / "new.py").exists()
    both = calc.lean_loop("--report", "--diff", "--html", "x.html")
    assert (both.code, "do not go together" in both.err) == (2, True)


@pytest.mark.heavy
@pytest.mark.skipif(not (HAS_BROWSER or IN_CI), reason="chromium and chromium-driver are missing")
def test_a_browser_shows_the_page_on_a_phone_in_the_dark_and_asks_nobody(page: Path, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        phone = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
        command(browser, "Emulation.setDeviceMetricsOverride", **phone)
        command(browser, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        browser.go(page.as_uri())
        title = tell(browser, "document.title")
        assert title.startswith("green: ") and "owned" not in title
        assert tell(browser, "performance.getEntriesByType('resource').length") == 0
        assert tell(browser, "document.documentElement.scrollWidth <= innerWidth && innerWidth == 390") is True
        assert tell(browser, "getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
        assert tell(browser, "getComputedStyle(document.querySelector('.added')).backgroundColor") == "rgb(23, 56, 31)"
        assert tell(browser, "document.querySelector('svg').getBoundingClientRect().height > 80") is True
        browser.click("article:last-of-type details:last-of-type summary")
        assert tell(browser, "document.querySelectorAll('details[open]').length") == 3


def command(browser: Browser, name: str, **words: object) -> None:
    """Give Chromium one of its own commands."""
    call("POST", f"{browser.session}/goog/cdp/execute", {"cmd": name, "params": words})


def tell(browser: Browser, expression: str) -> Any:
    """Ask what an expression is in the page."""
    return call("POST", f"{browser.session}/execute/sync", {"script": f"return {expression}", "args": []})
