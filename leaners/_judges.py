"""What judges a task beside its tests: what its command starts and reads, what settings name, and what these use.

The loop loads this file for every run.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence, Set
from functools import cache
from glob import escape
from itertools import pairwise, takewhile
from pathlib import Path, PurePosixPath

from _patterns import path_matcher
from _uses import MANY, Project, Uses, folder_of, is_source, is_usual, normal, parts_of, says
from leanloop import LEANFILE, Config, Task, project_files, read_json, read_text, rx, table, words_of

# What is given a file to run, to include or to load.
GIVEN = r"node|python[\d.]*|(?:ba|da|z|k)?sh|bun|deno|tsx|ts-node|ruby|perl|php|lua|julia|java|Rscript|pwsh|run|source"
GIVEN = rf"(?:.*/)?(?:{GIVEN}|-?include|import|load|require_relative)"
# What stands for the project's folder in a path; signs around words; files of recipes, and one recipe in them.
ROOT = r"\$\([^()\n]*\)[\"']?/|\$?[<{]{1,2}\w+[>}]{1,2}/|\$\w+/"
AROUND = r"[\"'`,;\[\](){}@<>]+"
RECIPES = r"(?:.*/)?(?:(?:GNU)?[mM]akefile(?:\.am)?|[jJ]ustfile|[^/]+\.(?:mk|just))"
RECIPE = r"^(\w[^\n:=]*):+(?![=:])([^=\n]*)\n((?:[ \t]+.*\n?|\n)*)"
SCRIPT = rf"[^.]+(?:\.(?:ba|z|k)?sh)?|{RECIPES}"
# A piece of settings; a name in them; files with settings of the program that they are called after.
TOKEN = r"\"[^\"\n]*\"|'[^'\n]*'|[^\"'\[\](){},\n]+|."
NAME = r"(?<![\w@-])[\w@][\w@-]*(?:[/\\.][\w@*-]+)+|\.{1,2}/\S+"
OWN = r"\.?(?!package)(\w+?)(?:rc|\.(?:ini|cfg|json|toml|ya?ml))?"
PROSE = {".md", ".rst", ".txt", ".adoc", ".csv", ".svg", ".lock", ".log", ".ipynb"}
UNKNOWN, MOST = 60, 60_000  # the most files of unknown settings; bytes of one
ENDLESS, DEEP = 10_000, 20  # an indentation that no line has, for an open bracket; the most heads of an item


def runner_files(config: Config, task: Task) -> list[str]:
    """Give patterns of what judges a TASK beside its tests, and after `!` of what only looks like them."""
    argv, root, listed = [task.runner.command, *task.runner.args], config.root, {*task.files}
    command, project = Command(argv, root), Project(root)
    settings, words = Settings(command, project), words_of(*argv)
    started = {*command.started(project)}
    judges = settings.judges - settings.product | started | command.texts.keys()
    whole = {*filter(path_matcher(whole_names()), project.paths)}
    uses = Uses(project, listed | settings.product - started, (judges | whole) - listed, started - listed)
    paths = {path_in(word, root) for word in words if word[0] != "-" and is_short(word)}
    files = [file for file in sorted(judges | uses.helpers(listed) | paths) if (root / file).is_file()]
    to_come = [
        escape(path) for path in sorted(paths - project.folders) if re.fullmatch(r"[^\s*!-][^\s*]*[./][^\s*]*", path)
    ]
    named = {path_in(word, root) for before, word in pairwise(words) if not re.match("--|-[A-Z]", before)}
    meant = named & project.folders
    meant |= {folder_of(path)[:-1] for path in started if not is_source(path)}  # of a program's project file
    folders = [*uses.folders_of_tests(listed, settings.folders | meant)]
    folders += [path_in(folder, root) for folder in task.test_files if (root / folder).is_dir()]
    closed = [*(f"/{escape(file)}" for file in files), *(f"/{escape(folder)}/" for folder in folders)]
    return [*uses.free(), *whole_names(), *to_come, *closed]


def whole_names() -> list[str]:
    """List the patterns of what configures runners, or would stand in their place."""
    return " ".join(table("_guard.txt")["whole"]["name"]).split()


def path_in(word: str, root: Path) -> str:
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
        self.root, self.texts = root, {"": " ".join(argv).replace(f"{root}/", "")}
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
        there = set[str]()
        with contextlib.suppress(OSError):
            there |= {path.name for path in folder.iterdir()}
        files = {path for path in self.scripts if "/" in path or path in there}
        for name in there:
            own = re.fullmatch(r"(?:GNU)?(\w+?)(?:file(?:\..*)?|\.(?:ini|jsonc?|ya?ml))", name)
            files |= {name} if own and own[1].lower() in words and own[1] != "package" else set()
        for names, row in table("_guard.txt").items():
            files |= {*row.get("reads", ())} if words & {*names.split()} else set()
        for path in sorted(files):
            text = "" if path.startswith("/") else read_text(folder / path, 100_000)
            if text:
                found["/".join(normal(f"{place}{path}".split("/")))] = (
                    recipes_in(text, words) if is_recipe(path) else text
                )
        return found

    def started(self, project: Project) -> Iterator[str]:
        """Give the files that commands start or load; scripts called like tests start what they test."""
        for name, text in self.texts.items():
            if not self.is_subject(name) or is_recipe(name):
                places = [folder_of(name), *self.places]
                for line in dict.fromkeys(re.split(r"[;&|\n]+", plain(text))):
                    yield from (path for word in given(line) for path in project.files(word, places))

    def is_subject(self, name: str) -> bool:
        """Tell whether a text is called as tests are, or only such ones name it: they start what they test."""
        by = [other for other, text in self.texts.items() if other != name and PurePosixPath(name).name in text]
        return is_usual(name) or bool(name and by and all(map(is_usual, by)))


class Settings:
    """What settings of a PROJECT name: `judges` and `folders` where they speak of tests, and files of the `product`."""

    def __init__(self, command: Command, project: Project) -> None:
        self.command, self.project = command, project
        self.judges, self.product, self.folders = set[str](), set[str](), set[str]()
        is_whole = path_matcher(whole_names())
        texts = {
            path
            for path in command.texts
            if is_recipe(path) or not (is_source(path) or re.fullmatch(SCRIPT, PurePosixPath(path).name))
        }
        own = {*command.texts} - texts | {str(LEANFILE)}  # scripts are no settings
        paths = [path for path in project.paths if not (is_usual(path) or path in own)]
        known = [path for path in paths if is_whole(path) or path in texts or re.search(r"settings\b.*\.py$", path)]
        others = [path for path in paths if not (is_source(path) or is_prose(path))]
        for path in dict.fromkeys([*known[:MANY], *sorted(others, key=lambda path: path.count("/"))[:UNKNOWN]]):
            self.read(path, read_text(command.root / path, MOST))

    def read(self, path: str, text: str) -> None:
        """Read the TEXT of settings at PATH."""
        own = folder_of(path)
        for heads, item in items(text):
            words = {word.strip("/") for word in words_in(item)}
            names = [
                word for word in words if self.project.knows(parts_of(word)) and (own or re.search(r"[./\\:]", word))
            ]
            value = re.sub(r"^[^:=]*[:=]", "", item)
            folders = {word.removeprefix("./").strip("/") for word in words_in(value)} & self.project.folders
            role = self.role_in(path, heads, item) if names or folders else ""
            found = {file for name in names if role for file in self.project.files(name, [own, ""])}
            if role == "product":
                self.product |= found
            elif role == "judge":
                self.judges |= found
                self.folders |= folders

    def role_in(self, path: str, heads: Sequence[str], item: str) -> str:
        """Tell what an ITEM below HEADS in settings at PATH is about: what judges, the product, or neither."""
        above = "\n".join([*heads, item])
        if re.match(r"\s*(?:from|import)\b", item):
            return "" if re.search("conftest|settings", path) else "judge"  # that loads the product as well
        if says("product", above):
            return "" if path.endswith("/package.json") else "product"  # a package may be one for tests
        if is_recipe(path) and heads:  # a command: what it starts is known
            return ""
        about = above.partition(":")[0] if is_recipe(path) else "\n".join([*heads, rx(NAME).sub("", item)])
        own = re.fullmatch(OWN, PurePosixPath(path).name)
        if says("speaks", f"{path}\n{about}") or (own and own[1] in self.command.words):
            return "judge"
        return "product" if is_recipe(path) else ""


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
        elif option in {"--example", "--bin", "--package", "--project"} and "run" in words:
            names += [name, f"examples/{name}"]
    return names


def items(text: str) -> Iterator[tuple[list[str], str]]:
    """Take settings apart: give each item with what stands over it, by brackets and by indentation."""
    heads: list[tuple[int, str]] = []  # how deep what is below it stands; an open bracket's is endless
    for line in text.splitlines():
        deep = len(line) - len(line.lstrip()) + line.lstrip().startswith("- ")
        if line.lstrip()[:1] == "#":
            continue
        if re.match(r"\[.*\]\s*(?:#.*)?$", line):
            heads = [(-1, line)]
            continue
        while heads and deep <= heads[-1][0] < ENDLESS:
            heads.pop()
        piece = ""
        for token in re.findall(TOKEN, line):
            if token not in "()[]{},":
                piece += token
                continue
            yield [head for _, head in heads[-DEEP:]], piece
            if token in "([{":
                heads.append((ENDLESS, piece[:200] + token))
            elif token != "," and any(at == ENDLESS for at, _ in heads):
                while heads.pop()[0] != ENDLESS:
                    pass
            piece = ""
        if piece.strip():
            yield [head for _, head in heads[-DEEP:]], piece
            if heads and heads[-1][1] == "(" and re.fullmatch(r"\s*[\w-]+\s*", piece):
                heads[-1] = (ENDLESS, f"{piece}(")  # the first word of a list says what it is
            if not heads or heads[-1][0] < ENDLESS:
                heads.append((deep, piece[:200]))


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
    return (word for word in re.split(r"[\s;&|=]+", plain(text)) if is_short(word))


def is_short(word: str) -> bool:
    """Tell whether a WORD may be the name of a file, for its length and its signs."""
    return word.isprintable() and 0 < len(word.encode()) < 200


def is_recipe(path: str) -> bool:
    return bool(re.fullmatch(RECIPES, path))


def is_prose(path: str) -> bool:
    """Tell whether a file at PATH is for readers: by its ending, or called like LICENSE, but no BUILD of Bazel's."""
    name = PurePosixPath(path)
    return name.suffix in PROSE or bool(re.fullmatch(r"(?!BUILD)[A-Z-]{4,}", name.name))
