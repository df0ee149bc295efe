"""What judges a task beside its tests: what its command starts and reads, and what would stand in a judge's place.

The loop loads this file for every run.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from glob import escape
from itertools import pairwise, takewhile
from pathlib import Path, PurePosixPath

from _patterns import path_matcher
from leanloop import (
    TEST_PATH,
    Config,
    Task,
    project_files,
    python_of,
    read_json,
    read_text,
    rx,
    source_endings,
    table,
    words_of,
)

# What is given a file to run, to include or to load; what a script loads.
GIVEN = r"node|python[\d.]*|(?:ba|da|z|k)?sh|bun|deno|tsx|ts-node|ruby|perl|php|lua|julia|java|Rscript|pwsh|run|source"
GIVEN = rf"(?:.*/)?(?:{GIVEN}|-?include|import|load|require_relative)"
LOADS = r"""^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\w+)|^[ \t]*(?:import|require_relative)[ \t]+["']?([\w./-]+)"""
LOADS += r"""|["'](\./[\w./-]+)["']|^[ \t]*#[ \t]*include[ \t]+"([\w./-]+)\""""
# What stands for the project's folder in a path; signs around words; files of recipes, and one recipe in them.
ROOT = r"\$\([^()\n]*\)[\"']?/|\$?[<{]{1,2}\w+[>}]{1,2}/|\$\w+/"
AROUND = r"[\"'`,;\[\](){}@<>]+"
RECIPES = r"(?:.*/)?(?:(?:GNU)?[mM]akefile(?:\.am)?|[jJ]ustfile|[^/]+\.(?:mk|just))"
RECIPE = r"^(\w[^\n:=]*):+(?!=)([^=\n]*)\n((?:[ \t]+.*\n?|\n)*)"
SCRIPT = rf"[^.]+(?:\.(?:ba|z|k)?sh)?|{RECIPES}"
# A piece of settings; a name in them; files with settings of the program that they are called after.
TOKEN = r"\"[^\"\n]*\"|'[^'\n]*'|[^\"'\[\](){},\n]+|."
NAME = r"(?<![\w@-])[\w@][\w@-]*(?:[/\\.][\w@*-]+)+|\.{1,2}/\S+"
OWN = r"\.?(\w+?)(?:rc)?(?:\.(?:config|conf|ini|json|ya?ml|toml|xml|cfg)\b.*)?"
PROSE = {".md", ".rst", ".txt", ".adoc", ".csv", ".svg", ".lock", ".log", ".ipynb"}
FEW, MANY, MOST = 60, 400, 60_000  # files of unknown settings, of code; bytes of one
ENDLESS, DEEP = 10_000, 20  # an indentation that no line has, for an open bracket; the most heads of an item


def runner_files(config: Config, task: Task) -> list[str]:
    """Give patterns of what judges a TASK beside its tests: what its command starts, and what settings name."""
    argv, root = [task.runner.command, *task.runner.args], config.root
    command, project = Command(argv, root), Project(root)
    settings = Settings(command, project)
    paths = [named_by(word, root) for word in words_of(*argv) if word[0] != "-" and len(word) < 200]
    product = settings.product | {*task.files}
    judges = (settings.judges | {*command.started(project)}) - product
    judges |= project.helpers(judges, {"", *map(folder_of, task.files)}) - product
    files = [file for file in sorted({*judges, *command.texts, *paths}) if (root / file).is_file()]
    folders = [*project.folders_of_tests(product, settings.folders | {*paths})]
    folders += [folder.removeprefix("./").strip("/") for folder in task.test_files if (root / folder).is_dir()]
    to_come = [
        path for path in paths if re.fullmatch(r"[^\s*!-][^\s*]*[./][^\s*]*", path) and path not in project.folders
    ]
    fixed = [*whole_names(), *to_come, *command.own_files()]
    return [*fixed, *(f"/{escape(file)}" for file in files), *(f"/{escape(folder)}/" for folder in folders)]


def whole_names() -> list[str]:
    """List the patterns of what configures runners, or would stand in their place."""
    return " ".join(table("_guard.txt")["whole"]["name"]).split()


def named_by(word: str, root: Path) -> str:
    """Give the path that a WORD of the command may mean."""
    return word.split("::")[0].split("=")[-1].removeprefix(f"{root}/").removeprefix("./").rstrip("/")


def spell_out(argv: Sequence[str], root: Path) -> str:
    """Give the words of a test command, and of the scripts and recipes of the project that they name."""
    return "  ".join([shlex.join(argv), *(text for name, text in Command(argv, root).texts.items() if name)])


class Command:
    """A test command in the project at ROOT, with the texts of the project that stand behind it, by name.

    These are itself (""), scripts of package.json, recipes and scripts of a shell; `words` are those in all of them;
    `places` are the folders in which they may mean files: the project's, those of texts, those that are named, and
    those of packages.
    """

    def __init__(self, argv: Sequence[str], root: Path) -> None:
        self.root, self.texts = root, {"": " ".join(argv)}
        for _ in range(4):
            known = dict(self.texts)
            self.words = {word for text in known.values() for word in words_in(text)}
            scripts = (word for word in self.words if re.fullmatch(SCRIPT, word.rpartition("/")[2]))
            self.scripts = {word.removeprefix("./") for word in scripts}
            self.places = self.find_places()
            for place in self.places:
                self.texts |= self.texts_in(place)
            if known == self.texts:
                break

    def find_places(self) -> list[str]:
        names = [word.strip("/") for word in sorted(self.words) if re.fullmatch(r"\w[\w./-]*", word)]
        found = ["", *map(folder_of, self.texts), *(f"{name}/" for name in names if (self.root / name).is_dir())]
        return [*dict.fromkeys(place.removeprefix("./") for place in [*found, *packages(self.root)])]

    def texts_in(self, place: str) -> dict[str, str]:
        """Give what words stand for in a PLACE of the project, with what programs called so read there."""
        found, folder, words = dict[str, str](), self.root / place, self.words
        package = read_json(folder / "package.json")
        scripts = package.get("scripts") if isinstance(package, dict) else {}
        for name, text in scripts.items() if isinstance(scripts, dict) else ():
            if {name, name.removeprefix("pre"), name.removeprefix("post")} & words:
                found[f"{place}script {name.replace('/', ':')}"] = str(text)
        files, there = {*self.scripts}, list[str]()
        with contextlib.suppress(OSError):
            there += [path.name for path in folder.iterdir()]
        for name in there:
            own = re.fullmatch(r"(?:GNU)?(\w+?)(?:file(?:\..*)?|\.(?:ini|jsonc?|ya?ml))", name)
            files |= {name} if own and own[1].lower() in words and own[1] != "package" else set()
        for names, row in table("_guard.txt").items():
            files |= {*row.get("reads", ())} if words & {*names.split()} else set()
        for path in sorted(files):
            text = "" if path.startswith("/") else read_text(folder / path, 100_000)
            if text:
                found[f"{place}{path}"] = recipes_in(text, words) if re.fullmatch(RECIPES, path) else text
        return found

    def started(self, project: Project) -> Iterator[str]:
        """Give the files that commands start or load; scripts called like tests start what they test."""
        for name, text in self.texts.items():
            if not is_usual(name) or re.fullmatch(RECIPES, name):
                places = [folder_of(name), *self.places]
                for line in dict.fromkeys(re.split(r"[;&|\n]+", plain(text))):
                    yield from (path for word in given(line) for path in project.files(word, places))

    def own_files(self) -> Iterator[str]:
        """Give patterns of the scripts that programs read by themselves, as gulp does a gulpfile.js."""
        lines = [
            text for name, text in self.texts.items() if not name or "script " in name or re.fullmatch(RECIPES, name)
        ]
        for word in sorted({word for text in lines for word in words_in(text)}):
            if re.fullmatch(r"[a-z][a-z-]{2,}", word):
                yield f"/[{word[0].upper()}{word[0]}]{word[1:]}file.*[jt]s"


class Project:
    """The files of a project, to be looked up by `bare` path, which is without endings, and by what it ends with."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, project_files(root)
        self.bare, self.ends = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for path in self.paths:
            self.bare[bare(path)].append(path)
            self.ends[bare(path).rpartition("/")[2]].append(path)
        self.folders = {str(parent) for path in self.paths for parent in PurePosixPath(path).parents[:-1]}
        code = [path for path in self.paths if is_source(path) and not is_usual(path)]
        texts = {path: read_text(root / path, MOST) for path in code[:MANY]}
        self.holding = {path: holds_tests(text) for path, text in texts.items() if text.strip()}

    def knows(self, name: str) -> bool:
        """Tell whether a NAME may mean a file: a part of it is the bare name of one, or of a folder."""
        return any(part in self.ends or part in self.folders for part in re.split(r"[/.:\\]+", name))

    def files(self, name: str, places: Sequence[str]) -> list[str]:
        """List the files that a NAME means: of a path, a module, something in it, a folder with a main file.

        They lie in the first of PLACES where there are any, else anywhere.
        """
        parts = re.split(r"[.:\\]+", name.lstrip("/"))
        forms = [name.lstrip("/"), *("/".join(parts[:end]) for end in range(len(parts), 0, -1))]
        for path in ("/".join(normal(f"{place}{form}".split("/"))) for place in places for form in forms):
            alike = self.bare.get(bare(path), [])  # what is built may lie beside its source
            found = [path] if path in alike and is_source(path) else alike
            for inner in ("__main__", "main", "index"):
                found = found or self.bare.get(f"{path}/{inner}", [])
            if found:
                return [*{*found, *(file.replace("__main__", "__init__") for file in found)}]
        return [] if name.startswith(".") else next(filter(None, map(self.ending, forms)), [])

    def ending(self, form: str) -> list[str]:
        """List the files whose bare path ends like a FORM of at least two parts, or like it without its first parts."""
        parts = bare(form).split("/")
        for begin in range(len(parts) - 1):
            end = "/" + "/".join(parts[begin:])
            if found := [path for path in self.ends.get(parts[-1], [])[:MANY] if f"/{bare(path)}".endswith(end)]:
                return found
        return []

    def helpers(self, scripts: Set[str], folders: Set[str]) -> set[str]:
        """List the files that SCRIPTS load from their own folder, but in FOLDERS of the product.

        Tests are passed over: they load what they test.
        """
        found, queue = set[str](), [*scripts]
        while queue:
            script = queue.pop()
            place, text = folder_of(script), read_text(self.root / script, MOST)
            loads = () if place in folders or holds_tests(text) else rx(LOADS).findall(text)
            names = (".".join(filter(None, parts)).lstrip("./") for parts in loads)
            files = {path for name in names for path in self.files(name, [place, ""]) if path.startswith(place)}
            queue += files - found
            found |= files
        return found

    def folders_of_tests(self, product: Set[str], meant: Set[str]) -> Iterator[str]:
        """Give the folders, without any of the PRODUCT, in which most of the code is tests by what it holds.

        If a folder is MEANT for tests, half of all below it will do. Tests with usual names do not count: what tells
        them from source is their name.
        """
        tests = [path for path, holds in self.holding.items() if holds]
        for folder in sorted({f"{parent}/" for path in tests for parent in PurePosixPath(path).parents[:-1]}):
            is_meant = folder[:-1] in meant
            code = [
                path for path in self.holding if path.startswith(folder) and (is_meant or folder_of(path) == folder)
            ]
            holding = sum(self.holding[path] for path in code)
            is_mixed = any(path.startswith(folder) for path in product) or has_pairs(code, tests)
            if 2 * holding >= len(code) + (not is_meant) and not is_mixed:
                yield folder[:-1]


def has_pairs(code: Sequence[str], tests: Sequence[str]) -> bool:
    """Tell whether some of CODE lies beside one of TESTS that is called after it: CartShould after Cart."""
    names = [(folder_of(path), bare(path)[len(folder_of(path)) :]) for path in {*code} - {*tests}]
    return any(
        path.startswith(place) and len(name) > 2 and name in path[len(place) :]
        for path in tests
        for place, name in names
    )


class Settings:
    """What settings of a PROJECT name: `judges` and `folders` where they speak of tests, and files of the `product`."""

    def __init__(self, command: Command, project: Project) -> None:
        self.command, self.project = command, project
        self.judges, self.product, self.folders = set[str](), set[str](), set[str]()
        is_whole = path_matcher(whole_names())
        paths = [path for path in (*project.paths, ".cargo/config.toml") if not is_usual(path)]
        known = [
            path for path in paths if is_whole(path) or path in command.texts or re.search(r"settings\b.*\.py$", path)
        ]
        others = [path for path in paths if not (is_source(path) or is_prose(path))]
        for path in dict.fromkeys([*known[:MANY], *sorted(others, key=lambda path: path.count("/"))[:FEW]]):
            self.read(path, read_settings(project.root / path))

    def read(self, path: str, text: str) -> None:
        """Read the TEXT of settings at PATH."""
        own, parts, built = folder_of(path), [*items(text)], set[str]()
        places = [own, "", *(f"{word}/" for word in sorted({*words_in(text)} & self.project.folders))]
        for heads, item in parts:
            built |= {*targets(heads, item)}
        for heads, item in parts:
            words = {word.strip("/") for word in words_in(item)}
            names = [word for word in words if self.project.knows(word) and (own or re.search(r"[./\\:]", word))]
            value = re.sub(r"^[^:=]*[:=]", "", item)
            folders = {word.removeprefix("./").strip("/") for word in words_in(value)} & self.project.folders
            role = (self.role_in(path, heads, item) or role_of_built(heads, item, built)) if names or folders else ""
            found = {file for name in names if role for file in self.project.files(name, places)}
            if role == "product":
                self.product |= found
            elif role == "judge":
                self.judges |= found
                self.folders |= folders

    def role_in(self, path: str, heads: Sequence[str], item: str) -> str:
        """Tell what an ITEM below HEADS in settings at PATH is about: what judges, the product, or neither."""
        above, is_recipe = "\n".join([*heads, item]), re.fullmatch(RECIPES, path)
        about = above.partition(":")[0] if is_recipe else "\n".join([*heads, rx(NAME).sub("", item)])
        own = re.fullmatch(OWN, PurePosixPath(path).name)
        names = {own[1] if own and own[1] != "package" else "", *(head.strip('" :{') for head in heads[1:2])}
        if re.match(r"\s*(?:from|import)\b", item):
            return "" if re.search(r"conftest|settings", path) else "judge"  # these load the product as well
        if says("product", above):
            return "product"
        if is_recipe and heads:  # a command: what it starts is known
            return "" if self.command.words & {*about.split()} else "product"
        if says("speaks", f"{path}\n{about}") or names & self.command.words:
            return "judge"
        return "product" if is_recipe and ":" in above else ""


def targets(heads: Sequence[str], item: str) -> list[str]:
    """List the words of an ITEM below HEADS that speak of tests: they may be programs that are built for them."""
    above = "\n".join([*heads, item.partition("=")[0] if "=" in item else ""])
    is_call = "(" in above or "_PROGRAMS" in above
    return re.findall(r"\w{3,}", item) if is_call and says("speaks", above) and not says("product", above) else []


def role_of_built(heads: Sequence[str], item: str, built: Set[str]) -> str:
    """Tell whether an ITEM names the sources of a program that is BUILT for tests, or of the product."""
    if not any(re.fullmatch(r"\s*\w+\s*\(", head) for head in heads) and "_SOURCES" not in item:
        return ""
    first = re.match(r"\W*(\w+?)(?:_SOURCES|\b)", item)
    return "judge" if first and first[1] in built else "product"


def read_settings(file: Path) -> str:
    """Read a file with settings; JSON is written line by line."""
    text = read_text(file, MOST)
    if file.suffix == ".json":
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(json.loads(text), indent=1)
    return text


def given(line: str) -> list[str]:
    """List the names of what a simple command starts, or loads."""
    line = re.sub(r"^\s*[-+]?(?:\w+=\S*\s+)*", "", line).replace("=", " ")
    words = [word for word in line.split() if len(word) < 200]
    first, names = words[0] if words else "", list[str]()
    starts = [at for at, word in enumerate(words) if re.fullmatch(GIVEN, word)]
    if starts:  # of `uv run python x.py run` it is python
        at = next(at for at in starts if at + 1 not in starts)
        options = {*takewhile(lambda word: word[:1] == "-", words[at + 1 :])}
        names = [] if {"-m", "-c", "-e"} & options else [name for name in words[at + 1 :] if re.search(r"[./]", name)]
    elif "/" in first:
        names = [first]
    elif first == ".":
        names = words[1:]
    for option, name in pairwise([*words, ""]):
        if rx(table("_guard.txt")["shared"]["option"][0]).fullmatch(option):
            names.append(name)
        elif option.startswith("-p"):
            names.append(option[2:])
        elif option == "unittest" or ("unittest" in words and name[:1] not in {"", "-"} and option[:1] != "-"):
            names.append(name)
    return names


def items(text: str) -> Iterator[tuple[list[str], str]]:
    """Take settings apart: give each item with what stands over it, by brackets and by indentation."""
    heads: list[tuple[int, str]] = []  # how deep what is below it stands; an open bracket's is endless
    for line in text.splitlines():
        deep = len(line) - len(line.lstrip()) + line.lstrip().startswith("- ")
        if re.match(r"\[.*\]\s*$", line):
            heads = [(-1, line)]
            continue
        while heads and deep <= heads[-1][0] < ENDLESS:
            heads.pop()
        piece = ""
        for token in re.findall(TOKEN, line):
            if token not in "()[]{},":
                piece += token
                continue
            yield [head for _, head in heads[:DEEP]], piece
            if token in "([{":
                heads.append((ENDLESS, piece + token))
            elif token != "," and any(at == ENDLESS for at, _ in heads):
                while heads.pop()[0] != ENDLESS:
                    pass
            piece = ""
        if piece.strip():
            yield [head for _, head in heads[:DEEP]], piece
            if heads and heads[-1][1] == "(" and re.fullmatch(r"\s*[\w-]+\s*", piece):
                heads[-1] = (ENDLESS, f"{piece}(")  # the first word of a list says what it is
            if not heads or heads[-1][0] < ENDLESS:
                heads.append((deep, piece))


def bare(path: str) -> str:
    """Give a PATH without the endings of its name."""
    place = folder_of(path)
    return path[: len(place) + 1] + path[len(place) + 1 :].partition(".")[0]


def folder_of(path: str) -> str:
    return path[: path.rfind("/") + 1]


@cache
def packages(root: Path) -> list[str]:
    """List the folders of packages of a project, as they are before an agent makes more."""
    there = project_files(root) if (root / "package.json").is_file() else ()
    return [folder_of(path) for path in there if path.endswith("/package.json")][:MANY]


def recipes_in(text: str, words: Set[str]) -> str:
    """Give the recipes for WORDS, else the first one, of a TEXT with variables; and what it includes."""
    values: dict[str, str] = dict(rx(r"^(?:export )?(\w+)[ \t]*[:?]*=[ \t]*(.*)").findall(text))
    rules = [rule for rule in rx(RECIPE).findall(text) if not rule[0].startswith("include ")]
    meant = [rule for rule in rules if words & {*rule[0].split()}] or rules[:1]
    lines = [f"make {needs}\n{recipe}" for _, needs, recipe in meant]
    lines += rx(r"^-?(?:include|import)\b.*").findall(text)
    return rx(r"\$[({](\w+)[)}]").sub(lambda name: values.get(name[1], name[0]), "\n".join(lines))


def plain(text: str) -> str:
    """Write a TEXT of commands without the signs around its words, and paths from the project's folder on."""
    return rx(AROUND).sub(" ", rx(ROOT).sub("", text))


def words_in(text: str) -> Iterator[str]:
    return (word for word in re.split(r"[\s;&|=]+", plain(text)) if 0 < len(word) < 200)


def says(name: str, text: str) -> bool:
    """Tell whether a TEXT has one of the patterns of that NAME in the guard's table."""
    return bool(rx("|".join(table("_guard.txt")["shared"][name])).search(text))


def holds_tests(text: str) -> bool:
    """Tell whether a TEXT is one of tests, as their libraries write them; not one of a product that has some inside."""
    return says("holds", text)


def is_source(path: str) -> bool:
    return PurePosixPath(path).suffix in source_endings()


def is_prose(path: str) -> bool:
    """Tell whether a file at PATH is for readers: by its ending, or called like LICENSE, but no BUILD of Bazel's."""
    name = PurePosixPath(path)
    return name.suffix in PROSE or bool(re.fullmatch(r"(?!BUILD)[A-Z-]{4,}", name.name))


def is_usual(path: str) -> bool:
    """Tell whether PATH is called as tests usually are."""
    return bool(rx(TEST_PATH).match(path))


# What would stand in the place of a judge

IMPORTED = (".py", ".pyc", ".so", ".pyd")

FIND = """
import sys, importlib.util
for name in sys.stdin.read().split():
    try:
        spec = importlib.util.find_spec(name)
        place = spec.origin or [*spec.submodule_search_locations][0]
    except Exception:
        continue
    if not place.startswith(sys.argv[1] + "/") or "site-packages" in place:
        print(name)
"""


def shadowing(fresh: Sequence[str], before: Sequence[str], root: Path) -> list[str]:
    """List the FRESH files that stand for libraries of tests, or modules that are in Python itself, or installed.

    Within a package that was in the project BEFORE a name is its own.
    """
    folders = {f"{parent}/" for path in before for parent in PurePosixPath(path).parents}
    packages = {path.removesuffix("__init__.py") for path in before if path.endswith("/__init__.py")}
    names = dict[str, str]()
    for path in fresh:
        inner = [f"{parent}/" for parent in reversed(PurePosixPath(path).parents[:-1])]
        own = next((folder for folder in inner if folder not in folders), path)  # the first that was not there
        if path.endswith(IMPORTED) and not any(folder in packages for folder in inner):
            names[path] = PurePosixPath(own).name.split(".")[0]
    known = installed({*names.values()}, root) | declared(root) | {"sitecustomize", "usercustomize"}
    return [path for path in fresh if names.get(path) in known or says("stands", path)]


def installed(names: Set[str], root: Path) -> set[str]:
    """Find those of NAMES that the project's Python imports from elsewhere than the project at ROOT."""
    if not names:
        return set()
    argv, asked = [python_of(root), "-I", "-c", FIND, str(root)], "\n".join(sorted(filter(str.isidentifier, names)))
    try:
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", timeout=20, input=asked, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return set()
    return {*done.stdout.split()}


def declared(root: Path) -> set[str]:
    """List the libraries that a Python project says it needs, as modules are called: they may not be installed."""
    names = re.findall(r"[\"'](\w[\w-]*)(?:\[[^]\n]*\])?\s*[<>=~!]", read_text(root / "pyproject.toml", MOST))
    for path in root.glob("*requirements*.txt"):
        names += rx(r"^\w[\w-]*").findall(read_text(path, MOST))
    return {name.replace("-", "_").lower() for name in names}


def link_targets(links: Mapping[str, str], root: Path) -> dict[str, str]:
    """Tell for each of LINKS, a path and a target, what it means in the project at ROOT, if it lies there."""
    found = dict[str, str]()
    for path, target in links.items():
        meant = PurePosixPath(*normal((*PurePosixPath(path).parts[:-1], *PurePosixPath(target).parts)))
        if not PurePosixPath(target).is_absolute():
            found[path] = str(meant)
        elif Path(target).is_relative_to(root):
            found[path] = Path(target).relative_to(root).as_posix()
    return found


def normal(parts: Sequence[str]) -> list[str]:
    """Take `..` out of the parts of a path."""
    found = list[str]()
    for part in parts:
        if part == ".." and found:
            found.pop()
        elif part not in ("..", "."):
            found.append(part)
    return found
