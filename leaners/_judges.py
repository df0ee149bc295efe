"""What judges a task beside its tests: what its command reads and starts, and what would stand in a judge's place.

The loop loads this file for every run.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
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

# What is given a file to run, to include or to load; options of pytest that load a module.
GIVEN = r"node|python[\d.]*|(?:ba|da|z|k)?sh|bun|deno|tsx|ts-node|ruby|perl|php|lua|source|-?include|import|load"
GIVEN += r"|require_relative"
# What stands for the project's folder in a path; signs around words; files of recipes, and one recipe in them.
ROOT = r"\$\([^)\n]*\)[\"']?/|\$?[<{]+\w+[>}]+/|\$\w+/"
AROUND = r"[\"'`,\[\](){}@]+"
RECIPES = r"(?:.*/)?(?:(?:GNU)?[mM]akefile|[jJ]ustfile|[^/]+\.(?:mk|just))"
RECIPE = r"^(\w[^\n:=]*):+(?!=)([^=\n]*)\n((?:[ \t]+.*\n?|\n)*)"
SCRIPT = rf"[^.]+(?:\.(?:ba|z|k)?sh)?|{RECIPES}"
OWN = ("file", "file.*")  # gulp reads gulpfile.js, rake Rakefile


def runner_files(config: Config, task: Task) -> list[str]:
    """Name what configures runners, the project's files that the test command names, and what its programs read."""
    rows, words, root = table("_guard.txt"), words_of(task.runner.command, *task.runner.args), config.root
    found = " ".join(rows["whole"]["name"]).split()
    texts = texts_behind(words, root)
    modules = words[words.index("unittest") + 1 :] if "unittest" in words else []
    for word in (*words, *(path for name in modules for path in module_files(name))):
        path = word.split("::")[0].split("=")[-1].removeprefix(f"{root}/").removeprefix("./")
        if re.fullmatch(r"[^\s-]\S*[./]\S*", path) or (root / path).is_file():
            found.append(path)
    for place, command in commands_in(texts):
        found += started(place, command, root)
    for name in words_in_all(texts):
        found += reads(name)
    for name in sorted(programs(texts)):
        found += [f"/[{name[0].swapcase()}{name[0]}]{name[1:]}{end}" for end in OWN]
    for folder in task.test_files:
        if (root / folder).is_dir():
            found.append(f"{folder.strip('/')}/*")
    return [*found, *named_in_settings(root, words_in_all(texts))]


def reads(program: str) -> list[str]:
    """List the files that a PROGRAM reads by itself, as the table has it."""
    rows, name = table("_guard.txt").items(), PurePosixPath(program).name
    return " ".join(row["reads"][0] for names, row in rows if "reads" in row and name in names.split()).split()


def spell_out(argv: Sequence[str], root: Path) -> str:
    """Give the words of a test command, and of the scripts and recipes of the project that they name."""
    return "  ".join([shlex.join(argv), *(text for name, text in texts_behind(argv, root).items() if name)])


def texts_behind(words: Sequence[str], root: Path) -> dict[str, str]:
    """Give what a command of WORDS runs, by name: itself (""), scripts of package.json, recipes, scripts of a shell."""
    texts = {"": " ".join(words)}
    for _ in range(4):
        fresh = {**texts, **dict(texts_of(words_in_all(texts), root))}
        if fresh == texts:
            break
        texts = fresh
    return texts


def texts_of(words: Set[str], root: Path) -> Iterator[tuple[str, str]]:
    """Give what WORDS of commands stand for."""
    package = read_json(root / "package.json")
    scripts = package.get("scripts") if isinstance(package, dict) else {}
    for name, text in scripts.items() if isinstance(scripts, dict) else ():
        if {name, name.removeprefix("pre"), name.removeprefix("post")} & words:
            yield f"script {name}", str(text)
    files = {word.removeprefix("./") for word in words if re.fullmatch(SCRIPT, PurePosixPath(word).name)}
    for path in sorted(files | {path for word in words for path in reads(word)}):
        text = "" if path.startswith("/") else read_text(root / path, 100_000)
        if text:
            yield path, recipes_in(text, words) if re.fullmatch(RECIPES, path) else text


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


def words_in_all(texts: Mapping[str, str]) -> set[str]:
    return {word for text in texts.values() for word in re.split(r"[\s;&|=]+", plain(text)) if 0 < len(word) < 200}


def commands_in(texts: Mapping[str, str]) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Give the simple commands of TEXTS as words, each with its folder; but of tests, which start what they test."""
    for name, text in texts.items():
        if not is_usual(name) or re.fullmatch(RECIPES, name):
            yield from ((PurePosixPath(name).parent, line.split()) for line in re.split(r"[;&|\n]+", plain(text)))


def programs(texts: Mapping[str, str]) -> set[str]:
    """List the programs that TEXTS start by name, behind others such as npx."""
    own = {name: text for name, text in texts.items() if re.fullmatch(rf"|script .*|{RECIPES}", name)}
    return {word for _, command in commands_in(own) for word in command[:2] if re.fullmatch(r"[a-z][a-z-]{2,}", word)}


def started(folder: PurePosixPath, words: Sequence[str], root: Path) -> list[str]:
    """List the files of the project that a simple command of a FOLDER starts, or loads."""
    words = [word.split("=")[-1] for word in words]
    first = next((word.lstrip("-+") for word in words if word), "")
    places = [at for at, word in enumerate(words) if re.fullmatch(rf"(?:.*/)?(?:{GIVEN})", word)]
    given = words[places[0] + 1 :] if places else [first] if "/" in first else words[1:] if first == "." else []
    modules = list[str]()
    for option, name in pairwise([*words, ""]):
        modules += [name] if option in ("-m", "-p") else [option[2:]] if option.startswith("-p") else []
    given = [] if {"-m", "-c", "-e"} & {*given} else given
    named = [*given, *(path for name in modules for path in module_files(name))]
    return [path for name in named for path in files_called(name, folder, root)]


def module_files(name: str) -> list[str]:
    """List the files that a Python module of that NAME may be; a package that is started has a __main__ too."""
    path = name.split(":")[0].replace(".", "/")
    return [f"{path}.py", f"{path}/__main__.py"]


def files_called(name: str, folder: PurePosixPath, root: Path) -> list[str]:
    """List the files of the project at ROOT that a NAME means in a FOLDER of it; it may have no ending."""
    found, name = list[str](), name.lstrip("/").removeprefix("./")
    for place in dict.fromkeys((root, root / folder)) if re.fullmatch(r"\w[\w./-]*|\.[\w./-]+", name) else ():
        exact = place / name
        paths = [exact] if exact.is_file() else [*exact.parent.glob(f"{exact.name}.*")] if "/" in name else []
        if exact.name == "__main__.py" and paths:
            paths.append(exact.with_name("__init__.py"))
        found += [path.relative_to(root).as_posix() for path in paths if ".." not in path.parts and path.is_file()]
    return found


def named_in_settings(root: Path, words: Set[str]) -> list[str]:
    """List the files, folders and patterns that the settings of test runners name, but what tells no test from source.

    That is a pattern that fits every source; a folder, where tests have the usual names; it is there for examples.
    """
    rows, paths, found = table("_guard.txt"), project_files(root), list[str]()
    settings = {files: "|".join(row["names"]) for files, row in rows.items() if "names" in row}
    for path in filter(path_matcher(" ".join(settings).split()), paths):
        within, name = re.fullmatch(r"(.*/)?(.*)", path).groups("")  # type: ignore[union-attr]
        text = runner_settings(root / path, words)
        for names in [names for files, names in settings.items() if path_matcher(files.split())(name)]:
            meant = [item for setting in rx(names).finditer(text) for item in meant_by(setting[0], within, root)]
            inner = [path for path in paths if path.startswith(within)]
            usual = any(map(path_matcher(item for item in meant if item.endswith("/")), filter(is_usual, inner)))
            others = [path for path in inner if not is_usual(path)]
            found += [item for item in meant if not (usual if item.endswith("/") else fits_all(item, others))]
    return [*dict.fromkeys(found)]


def is_usual(path: str) -> bool:
    """Tell whether PATH is called as tests usually are."""
    return bool(rx(TEST_PATH).match(path))


def runner_settings(file: Path, words: Set[str]) -> str:
    """Read a file with settings; of a package.json the sections that are called as WORDS of the test command are."""
    if file.name != "package.json":
        return read_text(file, 200_000)
    package = read_json(file)
    sections = [part for key, part in package.items() if key in words] if isinstance(package, dict) else []
    return "\n".join(json.dumps(part, indent=1) for part in sections if isinstance(part, dict))


def meant_by(setting: str, within: str, root: Path) -> Iterator[str]:
    """Give the patterns that a SETTING WITHIN a folder means: of files, folders and modules, and its own."""
    for double, single, bare in re.findall(r"\"([^\"\n]+)\"|'([^'\n]+)'|([^\s,\[\]{}<>\"']+)", setting):
        word = rx(ROOT).sub("", double or single or bare).removeprefix("-p").removeprefix("./")
        if "*" in word:
            form = re.sub(r"[?+@!]?\([^)]*\)|\{[^}]*\}", "*", word).lstrip("/")
            yield f"/{within}{form}" if within or "/" in form else form
        elif word.strip("./") and (root / within / word).is_dir():
            yield f"/{within}{word.strip('/')}/"
        else:
            names = [word, *module_files(word)]
            yield from (f"/{path}" for name in names for path in files_called(name, PurePosixPath(within), root))


def fits_all(pattern: str, sources: Iterable[str]) -> bool:
    """Tell whether a PATTERN of many fits all SOURCES of its kind: then it does not tell tests from them."""
    kind = PurePosixPath(pattern).suffix
    alike = [path for path in sources if PurePosixPath(path).suffix in ({kind} if kind else source_endings())]
    return bool(alike) and "*" in pattern and all(map(path_matcher([pattern]), alike))


# What would stand in the place of a judge

FIND = """
import sys, importlib.util
for name in sys.argv[2:]:
    try:
        spec = importlib.util.find_spec(name)
        place = spec.origin or [*spec.submodule_search_locations][0]
    except Exception:
        continue
    if not place.startswith(sys.argv[1] + "/"):
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
        if path.endswith(".py") and not any(folder in packages for folder in inner):
            names[path] = PurePosixPath(own).stem
    known = installed({*names.values()}, root) | {"sitecustomize", "usercustomize"}  # Python looks for these
    stands = rx("|".join(table("_guard.txt")["shared"]["stands"]))
    return [path for path in fresh if names.get(path) in known or stands.search(path)]


def installed(names: Set[str], root: Path) -> set[str]:
    """Find those of NAMES that the project's Python imports from elsewhere than the project at ROOT."""
    if not names:
        return set()
    argv = [python_of(root), "-I", "-c", FIND, str(root), *sorted(names)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return set()
    return {*done.stdout.split()}


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
