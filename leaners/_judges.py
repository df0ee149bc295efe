"""What judges a task beside its tests: what its command reads and starts, and what would stand in a judge's place.

The loop loads this file for every run.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache
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
LOADS = (
    r"""(?m)^[ \t]*(?:import|from)[ \t]+(?:.*\bfrom[ \t]+)?["']?([\w./-]+)|\b(?:require|import)\(\s*["']([\w./-]+)"""
)
# What stands for the project's folder in a path; signs around words; files of recipes, and one recipe in them.
ROOT = r"\$\([^)\n]*\)[\"']?/|\$?[<{]{1,2}\w+[>}]{1,2}/|\$\w+/"
AROUND = r"[\"'`,\[\](){}@<>]+"
RECIPES = r"(?:.*/)?(?:(?:GNU)?[mM]akefile|[jJ]ustfile|[^/]+\.(?:mk|just))"
RECIPE = r"^(\w[^\n:=]*):+(?!=)([^=\n]*)\n((?:[ \t]+.*\n?|\n)*)"
SCRIPT = rf"[^.]+(?:\.(?:ba|z|k)?sh)?|{RECIPES}"
MANY = 40  # files of a folder that are looked into


def runner_files(config: Config, task: Task) -> list[str]:
    """Name what configures runners, the project's files that the test command names, and what its programs read."""
    words, root = words_of(task.runner.command, *task.runner.args), config.root
    texts = texts_behind([task.runner.command, *task.runner.args], root)
    all_words, places = words_in_all(texts), places_of(texts, root)
    found = " ".join(table("_guard.txt")["whole"]["name"]).split()
    found += [f"/{path}" for name in sorted(programs(texts)) for path in reads(name)]
    found += named_in_settings(root, all_words, path_matcher(found)) + tests_in_settings(root, all_words)
    for word in words:
        path = word.split("::")[0].split("=")[-1].removeprefix(f"{root}/").removeprefix("./")
        if (root / path).is_dir() or "*" in path:
            found += tests_below(path, root)
        elif re.fullmatch(r"[^\s-]\S*[./]\S*", path) or (root / path).is_file():
            found.append(path)
    for name in words[words.index("unittest") + 1 :] if "unittest" in words else ():
        found += files_called(name, places, root) or module_files(name)
    product = {PurePosixPath(path).parent for path in task.files}
    for place, command in commands_in(texts):
        scripts = started(command, [place, *places], root)
        apart = [path for path in scripts if PurePosixPath(path).parent not in product]
        found += [*scripts, *(helper for path in apart for helper in helpers_of(path, root))]
    return [*found, *(f"{folder.strip('/')}/" for folder in task.test_files if (root / folder).is_dir())]


def reads(program: str) -> list[str]:
    """List the files that a PROGRAM reads by itself: gulp a gulpfile.js, rake a Rakefile; others are in the table."""
    own = f"[{program[0].swapcase()}{program[0]}]{program[1:]}file"
    return [own, f"{own}.*", *also_read({program})]


def also_read(programs: Set[str]) -> list[str]:
    """List what PROGRAMS read beside a file of their name."""
    return [
        row["reads"][0] for names, row in table("_guard.txt").items() if "reads" in row and programs & {*names.split()}
    ]


def spell_out(argv: Sequence[str], root: Path) -> str:
    """Give the words of a test command, and of the scripts and recipes of the project that they name."""
    return "  ".join([shlex.join(argv), *(text for name, text in texts_behind(argv, root).items() if name)])


def texts_behind(words: Sequence[str], root: Path) -> dict[str, str]:
    """Give what a command of WORDS runs, by name: itself (""), scripts of package.json, recipes, scripts of a shell."""
    texts = {"": " ".join(words)}
    for _ in range(4):
        fresh = dict(texts)
        for place in places_of(texts, root):
            fresh |= texts_of(words_in_all(texts), place, root)
        if fresh == texts:
            break
        texts = fresh
    return texts


def places_of(texts: Mapping[str, str], root: Path) -> list[str]:
    """List the folders in which commands of TEXTS may mean files: the project's, those of texts, those that are named.

    A package is named by its folder, or as it is called.
    """
    words = words_in_all(texts)
    found = ["", *(f"{PurePosixPath(name).parent}/" for name in texts)]
    found += [
        f"{word.strip('/')}/" for word in sorted(words) if re.fullmatch(r"\w[\w./-]*", word) and (root / word).is_dir()
    ]
    for path in packages(root) if (root / "package.json").is_file() else ():
        package = read_json(root / path)
        if isinstance(package, dict) and str(package.get("name")).lstrip("@") in words:
            found.append(path.removesuffix("package.json"))
    return [*dict.fromkeys(place.removeprefix("./") for place in found)]


@cache
def packages(root: Path) -> list[str]:
    """List the packages of a project, as they are before an agent makes more."""
    return [path for path in project_files(root) if path.endswith("/package.json")]


def texts_of(words: Set[str], place: str, root: Path) -> dict[str, str]:
    """Give what WORDS of commands stand for in a PLACE of the project, with what programs called so read there."""
    found = dict[str, str]()
    package = read_json(root / place / "package.json")
    scripts = package.get("scripts") if isinstance(package, dict) else {}
    for name, text in scripts.items() if isinstance(scripts, dict) else ():
        if {name, name.removeprefix("pre"), name.removeprefix("post")} & words:
            found[f"{place}script {name}"] = str(text)
    files = {word.removeprefix("./") for word in words if re.fullmatch(SCRIPT, PurePosixPath(word).name)}
    for name in (path.name for path in (root / place).iterdir()):
        own = re.fullmatch(r"(?:GNU)?(\w+?)file(?:\..*)?", name)
        files |= {name} if own and own[1].lower() in words else set()
    files |= {*also_read(words)}
    for path in sorted(files):
        text = "" if path.startswith("/") else read_text(root / place / path, 100_000)
        if text:
            found[f"{place}{path}"] = recipes_in(text, words) if re.fullmatch(RECIPES, path) else text
    return found


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


def commands_in(texts: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Give the simple commands of TEXTS as words, each with its folder; but of tests, which start what they test."""
    for name, text in texts.items():
        if not is_usual(name) or re.fullmatch(RECIPES, name):
            place = name.removesuffix(PurePosixPath(name).name)
            yield from ((place, line.split()) for line in dict.fromkeys(re.split(r"[;&|\n]+", plain(text))))


def programs(texts: Mapping[str, str]) -> set[str]:
    """List the programs that TEXTS start by name, behind others such as npx."""
    own = {name: text for name, text in texts.items() if re.fullmatch(rf"|(?:.*/)?script .*|{RECIPES}", name)}
    return {word for _, command in commands_in(own) for word in command[:2] if re.fullmatch(r"[a-z][a-z-]{2,}", word)}


def started(words: Sequence[str], places: Sequence[str], root: Path) -> list[str]:
    """List the files of the project that a simple command starts, or loads."""
    words = [word.split("=")[-1] for word in words]
    first = next((word.lstrip("-+") for word in words if word), "")
    at = [at for at, word in enumerate(words) if re.fullmatch(rf"(?:.*/)?(?:{GIVEN})", word)]
    given = words[at[-1] + 1 :] if at else [first] if "/" in first else words[1:] if first == "." else []
    named = [] if {"-m", "-c", "-e"} & {*given} else [*given]
    for option, name in pairwise([*words, ""]):
        named += [name] if option in ("-m", "-p") else [option[2:]] if option.startswith("-p") else []
    return [path for name in named for path in files_called(name, places, root)]


def helpers_of(script: str, root: Path) -> list[str]:
    """List the files that a SCRIPT loads from its own folder; at the root lies the product."""
    place = script.removesuffix(PurePosixPath(script).name)
    names = rx(LOADS).findall(read_text(root / script, 100_000)) if place else ()
    inner = [name for name in map("".join, names) if ".." not in name.split("/")]
    return [path for name in inner for path in files_called(name, [place], root) if path != script]


def module_files(name: str) -> list[str]:
    """List the files that a Python module of that NAME may be; a package that is started has a __main__ too."""
    path = name.split(":")[0].replace(".", "/")
    return [f"{path}.py", f"{path}/__main__.py"]


def files_called(name: str, places: Sequence[str], root: Path) -> list[str]:
    """List the files of the project that a NAME means in the first of PLACES where there are any.

    It may have no ending, or be that of a module, with names from within it behind.
    """
    name, parts = name.lstrip("/"), name.split(":")[0].split(".")
    modules = [".".join(parts[:end]) for end in range(len(parts), 0, -1)] if re.fullmatch(r"[\w.:]+", name) else []
    for place in places if re.fullmatch(r"\w[\w./-]*|\.[\w./-]+", name) else ():
        exact = root.joinpath(*normal(f"{place}{name}".split("/")))
        found = [exact] if exact.is_file() else [*exact.parent.glob(f"{exact.name}.*")] if "/" in name else []
        for module in modules:
            found = found or [file for path in module_files(module) if (file := root / place / path).is_file()]
        found += [path.with_name("__init__.py") for path in found if path.name == "__main__.py"]
        if found := [path for path in found if path.is_file()]:
            return [path.relative_to(root).as_posix() for path in found]
    return []


def named_in_settings(root: Path, words: Set[str], is_settings: Callable[[str], bool]) -> list[str]:
    """List the files and folders that settings of test runners name: tests, and what is loaded for them."""
    found, keys = list[str](), rx("|".join(table("_guard.txt")["shared"]["keys"]))
    for path in filter(is_settings, project_files(root)):
        places = [path.removesuffix(PurePosixPath(path).name), ""]
        text = runner_settings(root / path, words)
        for word in words_in_all({"": text}):
            found += [item for place in places if word.strip("./*") for item in tests_below(f"{place}{word}", root)]
        for setting in keys.finditer(text):
            loads = "plugin" in setting[0] or setting[0].startswith("-p")  # else a word may be of any thing
            named = (word.removeprefix("-p") for word in plain(setting[0]).split() if loads or re.search(r"[./]", word))
            found += [f"/{file}" for word in named for file in files_called(word, places, root)]
    return [*dict.fromkeys(found)]


def tests_in_settings(root: Path, words: Set[str]) -> list[str]:
    """List the tests that settings of runners name, but what does not tell them from source.

    That is a pattern that fits every source; a folder, where tests have the usual names.
    """
    rows, paths, found = table("_guard.txt"), project_files(root), list[str]()
    settings = {files: row["names"][0] for files, row in rows.items() if "names" in row}
    for path in filter(path_matcher(" ".join(settings).split()), paths):
        name, within = PurePosixPath(path).name, path.removesuffix(PurePosixPath(path).name)
        inner = [path for path in paths if path.startswith(within)]
        others = [path for path in inner if not is_usual(path)]
        for names in [names for files, names in settings.items() if path_matcher(files.split())(name)]:
            parts = rx(names).findall(runner_settings(root / path, words))
            meant = [form for part in parts for form in forms_in(part, within, root)]
            usual = any(map(path_matcher(form for form in meant if form.endswith("/")), filter(is_usual, inner)))
            found += [form for form in meant if not (usual if form.endswith("/") else fits_all(form, others))]
    return [*dict.fromkeys(found)]


def forms_in(setting: str, within: str, root: Path) -> Iterator[str]:
    """Give the patterns of files and folders that a SETTING WITHIN a folder means."""
    for double, single, bare in re.findall(r"\"([^\"\n]+)\"|'([^'\n]+)'|([^\s,\[\]{}<>\"']+)", setting):
        word = rx(ROOT).sub("", double or single or bare).removeprefix("./")
        if "*" in word:
            form = re.sub(r"[?+@!]?\([^)]*\)|\{[^}]*\}", "*", word).lstrip("/")
            yield f"/{within}{form}" if within or "/" in form else form
        elif word.strip("./") and (root / within / word).exists():
            yield f"/{within}{word.strip('/')}" + "/" * (root / within / word).is_dir()


def fits_all(pattern: str, sources: Sequence[str]) -> bool:
    """Tell whether a PATTERN of many fits all SOURCES of its kind: then it does not tell tests from them."""
    kind = PurePosixPath(pattern).suffix
    alike = [path for path in sources if PurePosixPath(path).suffix in ({kind} if kind else source_endings())]
    return bool(alike) and "*" in pattern and all(map(path_matcher([pattern]), alike))


def runner_settings(file: Path, words: Set[str]) -> str:
    """Read a file with settings; of a package.json the sections that are called as WORDS of the test command are."""
    if file.name != "package.json":
        return read_text(file, 200_000)
    package = read_json(file)
    sections = [part for key, part in package.items() if key in words] if isinstance(package, dict) else []
    return "\n".join(json.dumps(part, indent=1) for part in sections if isinstance(part, dict))


@cache  # as it was when it was first asked for, and quick for the next task
def tests_below(name: str, root: Path) -> list[str]:
    """Give the folder of a NAME, which may be a pattern, if half of the code there is tests by what it holds."""
    folder = "/".join(normal((name.split("*")[0].rpartition("/")[0] if "*" in name else name).split("/")))
    if not folder or not (root / folder).is_dir():
        return [f"/{folder}"] if holds_tests(read_text(root / folder, 200_000)) else []
    sources = [path for path in project_files(root / folder)[:MANY] if PurePosixPath(path).suffix in source_endings()]
    unusual = [path for path in sources if not is_usual(path)]
    holding = [path for path in unusual if holds_tests(read_text(root / folder / path, 200_000))]
    return [f"/{folder}/"] if holding and 2 * len(holding) >= len(unusual) else []


def holds_tests(text: str) -> bool:
    """Tell whether a TEXT is one of tests, as their libraries write them; not one of a product that has some inside."""
    return bool(rx("|".join(table("_guard.txt")["shared"]["holds"])).search(text))


def is_usual(path: str) -> bool:
    """Tell whether PATH is called as tests usually are."""
    return bool(rx(TEST_PATH).match(path))


# What would stand in the place of a judge

IMPORTED = (".py", ".pyc", ".so", ".pyd")

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
        if path.endswith(IMPORTED) and not any(folder in packages for folder in inner):
            names[path] = PurePosixPath(own).name.split(".")[0]
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
