"""Who names whom in a project's code, and so what is product there, and what only tests use.

The loop loads this file for every run.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cache
from glob import escape
from pathlib import Path, PurePosixPath

from leanloop import TEST_PATH, project_files, read_text, rx, source_endings, table

# A word that may name a file; one that is put together of two; main files of a folder, and what their names are.
WORD = r"\.{0,4}[\w@/\\][\w@./\\:-]*"
COMPOUND = r"[a-z\d][A-Z]|\w[_-]\w"
MAINS = ("__main__", "main", "index", "__init__", "lib", "mod", "src/main", "src/lib", "src/index")
UNNAMED = {"__main__", "main", "index", "__init__", "lib", "mod", "src"}
MANY, MOST, FEW = 800, 200_000, 4  # files of code, and of tests; bytes of one; files of one name that it still tells


class Project:
    """The files of a project, to be looked up by `bare` path, which is without endings, and by what it ends with.

    `texts` holds its code and its tests, `holding` those of them that are tests by what they hold; `is_known` tells
    whether that is all of its code.
    """

    def __init__(self, root: Path) -> None:
        self.paths = project_files(root)
        self.bare, self.ends = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for path in self.paths:
            self.bare[bare(path)].append(path)
            self.ends[bare(path).rpartition("/")[2]].append(path)
        self.folders = {str(parent) for path in self.paths for parent in PurePosixPath(path).parents[:-1]}
        sources = [path for path in self.paths if is_source(path) or is_program(root, path)]
        code, tests = ([path for path in sources if is_usual(path) is usual] for usual in (False, True))
        self.is_known = len(code) <= MANY
        most = MANY if self.is_known else MANY // 4
        self.texts = {path: read_text(root / path, MOST) for path in code[:most] + tests[:most]}
        self.holding = {path for path, text in self.texts.items() if holds_tests(text)}

    def knows(self, parts: Sequence[str]) -> bool:
        """Tell whether a name may mean a file: one of its PARTS is the bare name of one, or of a folder."""
        return any(part in self.ends or part in self.folders for part in parts)

    def files(self, name: str, places: Sequence[str]) -> list[str]:
        """List the files that a NAME means: of a path, a module, something in it, a folder with a main file.

        They lie in the first of PLACES where there are any, else anywhere.
        """
        parts = re.split(r"[.:\\]+", name.lstrip("/"))
        forms = [name.lstrip("/"), *("/".join(parts[:end]) for end in range(len(parts), 0, -1))]
        for path in ("/".join(normal(f"{place}{form}".split("/"))) for place in places for form in forms):
            alike = self.bare.get(bare(path), [])  # what is built may lie beside its source
            found = [path] if path in alike and is_source(path) else alike
            if not found and path in self.folders:
                found = next(filter(None, (self.bare.get(f"{path}/{main}") for main in MAINS)), [])
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


class Uses:
    """Who names whom in the code of a PROJECT, and so what is product.

    `tests` are called as tests are, or hold some; those are `misleading` that hold none and lie in no folder of tests.
    `judging` are these, and what JUDGES: what the command STARTED, settings, and what they name. `product` is what is
    DECLARED, what has a test of its own, what nothing names, and all that these name, unless it judges.
    """

    def __init__(self, project: Project, declared: Set[str], judges: Set[str], started: Set[str]) -> None:
        self.project, self.declared, self.started = project, declared & project.texts.keys(), started
        self.called = defaultdict[str, list[str]](list)
        for path in project.texts:
            for name in names_of(path):
                self.called[name].append(path)
        self.meaning = cache(self.means)  # most words are in many files
        self.named = {path: self.names(path) for path in project.texts}
        self.tests = ({*filter(is_usual, project.texts)} | project.holding) - declared
        full = {test_folder(path) for path in project.holding}
        self.misleading = {path for path in self.tests - project.holding if not is_among_tests(path, full)}
        self.judging = self.tests | judges & project.texts.keys()
        self.product = self.reach(self.begun())

    def names(self, path: str) -> set[str]:
        """List the files that the text of a file names: by a path, a module, or a word that they are called after."""
        found, folder = set[str](), folder_of(path)
        for word in {*rx(WORD).findall(self.project.texts[path])}:
            called, may_be_path = self.meaning(word)
            found |= called
            if may_be_path:
                dots = re.match(r"\.*(?=[^./])", word)  # Python's relative imports
                depth = len(dots[0]) if dots else 0
                place = "".join(f"{part}/" for part in folder.split("/")[: -max(depth, 1)])
                found.update(self.project.files(word[depth:], [place, ""]))
        return found & self.project.texts.keys() - {path}

    def means(self, word: str) -> tuple[set[str], bool]:
        """List the files that are called after a part of a WORD, and tell whether it may be a path."""
        found, parts = set[str](), parts_of(word) if len(word) < 200 else []
        for part in parts:
            alike = self.called.get(plain_name(part), ())
            found.update(alike if 0 < len(alike) <= FEW and rx(COMPOUND).search(part) else ())
        for part in parts[:1] + parts[-2:]:
            found.update(self.called.get(f"/{plain_name(part)}", ()))
        return found, self.project.knows(parts)

    def all_named(self, paths: Iterable[str]) -> set[str]:
        return {file for path in paths for file in self.named[path]}

    def begun(self) -> set[str]:
        """List where product begins: what is declared, what has a test of its own, and code that nothing names.

        What a script of a shell names in another folder is what it tests, no help of its own.
        """
        scripts = {path for path in self.judging if path in self.started or is_shell(path)}
        used = self.all_named(self.named.keys() - scripts)
        for path in scripts:
            place = folder_of(path)
            used |= {file for file in self.named[path] if file.startswith(place) and (place or "/" not in file)}
        alone = {path for path in self.named.keys() - used - self.judging if is_code(path) or is_shell(path)}
        tests = {path for path in self.tests if path in self.project.holding or is_usual(PurePosixPath(path).name)}
        stems = Counter(stem(path) for path in tests if stem(path))
        others = self.named.keys() - self.judging | self.misleading
        return self.declared | alone | {path for path in others if stems[stem(path)] > (path in self.tests)}

    def reach(self, begun: Set[str]) -> set[str]:
        """List what those that have BEGUN name, and what that names; a main file goes with what lies below it."""
        found, queue = {*begun}, [*begun]
        while queue:
            path = queue.pop()
            above = ["", *(f"{parent}/" for parent in PurePosixPath(path).parents[:-1])]
            mains = (file for place in above for main in MAINS for file in self.project.bare.get(f"{place}{main}", ()))
            fresh = (self.named[path] | {*mains} & self.named.keys()) - found - (self.judging - self.misleading)
            queue += fresh
            found |= fresh
        return found

    def helpers(self, listed: Set[str]) -> set[str]:
        """List the code that only tests use: in folders without product, or with libraries for tests."""
        if not self.project.is_known or not self.product & (listed | self.all_named(self.judging)):
            return set()  # nobody knows what the product uses, or what is tested
        full = {folder_of(path) for path in self.product | listed} | ({""} if not listed else set())
        used = self.reach(self.all_named(self.judging) | self.judging)
        rest = {path for path in used - self.product - self.tests if is_code(path)}
        return {path for path in rest if folder_of(path) not in full or says("assists", self.project.texts[path])}

    def folders_of_tests(self, listed: Set[str], meant: Set[str]) -> Iterator[str]:
        """Give the folders in which most code holds tests, but those with product that is listed or declared.

        Of one that is MEANT for tests half of it will do; or it has no usual tests, and nothing outside names it.
        """
        holding = {path for path in self.project.holding if not is_usual(path)}
        for folder in sorted(meant | {folder_of(path)[:-1] for path in holding} - {""}):
            below = {path for path in self.named if path.startswith(f"{folder}/")}
            code, is_meant = {path for path in below if not is_usual(path)}, folder in meant
            is_full = 0 < len(code) < 2 * len(code & holding) + is_meant
            is_apart = is_meant and code == below and below.isdisjoint(self.all_named(self.named.keys() - below))
            if code and (is_full or is_apart) and below.isdisjoint(listed | self.declared):
                yield folder

    def free(self) -> Iterator[str]:
        """Give patterns of what is called as tests are, and is product."""
        yield from ("!src/main/java/", "!src/main/kotlin/", "!src/main/scala/")  # Maven's layout
        free = self.product & self.misleading
        yield from (f"!/{escape(path)}" for path in sorted(free))
        for folder in sorted({*map(test_folder, free)} - {""}):
            if all(path in self.misleading for path in self.tests if path.startswith(f"{folder}/")):
                yield f"!/{escape(folder)}/"


def is_among_tests(path: str, full: Set[str]) -> bool:
    """Tell whether PATH lies in a folder for tests at the root, or in one of those that are FULL of them."""
    folder = test_folder(path)
    return bool(folder) and (folder in full or "/" not in folder)


def test_folder(path: str) -> str:
    """Give the first folder over PATH that is called as those of tests are; empty without one."""
    above = [str(parent) for parent in reversed(PurePosixPath(path).parents[:-1])]
    return next((folder for folder in above if is_usual(f"{folder}/x")), "")


def names_of(path: str) -> list[str]:
    """Give the names under which code may mean a file: its own; with a slash that of the folder that it stands for."""
    parts = bare(path).split("/")
    own, inner = parts[-1], [part for part in parts if part not in UNNAMED]
    return [f"/{plain_name(part)}" for part in inner[-1:]] if own in UNNAMED else [plain_name(own)]


def plain_name(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def parts_of(name: str) -> list[str]:
    return rx(r"[^/.:\\]+").findall(name)


def stem(path: str) -> str:
    """Give the name of a file without what says that it is a test."""
    return re.sub(r"[\W_]|tests?|specs?", "", PurePosixPath(path).name.partition(".")[0].lower())


def bare(path: str) -> str:
    """Give a PATH without the endings of its name."""
    place = folder_of(path)
    return path[: len(place) + 1] + path[len(place) + 1 :].partition(".")[0]


def folder_of(path: str) -> str:
    return path[: path.rfind("/") + 1]


def normal(parts: Sequence[str]) -> list[str]:
    """Take `..` and nothing out of the parts of a path."""
    found = list[str]()
    for part in parts:
        if part == ".." and found:
            found.pop()
        elif part not in ("..", ".", ""):
            found.append(part)
    return found


def says(name: str, text: str) -> bool:
    """Tell whether a TEXT has one of the patterns of that NAME in the guard's table."""
    return bool(pattern(name).search(text))


def pattern(name: str, row: str = "shared") -> re.Pattern[str]:
    """Join the patterns of that NAME in a ROW of the guard's table."""
    return rx("|".join(table("_guard.txt")[row][name]))


def holds_tests(text: str) -> bool:
    """Tell whether a TEXT is one of tests, as their libraries write them; not one of a product that has some inside."""
    return says("holds", text)


def lost_inside(path: str, old: str, new: str) -> set[str]:
    """List the tests inside a source file that an edit changed or removed."""
    row = PurePosixPath(path).suffix
    return matches("test", old, row) - matches("test", new, row) if row in table("_guard.txt") else set()


def matches(name: str, text: str, row: str = "shared") -> set[str]:
    """List what the patterns of that NAME, of a ROW in the guard's table, match in a TEXT."""
    return {found[0].strip() for found in pattern(name, row).finditer(text)}


def is_usual(path: str) -> bool:
    """Tell whether PATH is called as tests usually are."""
    return bool(rx(TEST_PATH).match(path))


def is_source(path: str) -> bool:
    return PurePosixPath(path).suffix in source_endings()


def is_program(root: Path, path: str) -> bool:
    """Tell whether a file without an ending is a script, by its first line."""
    return "." not in PurePosixPath(path).name and read_text(root / path, MOST)[:2] == "#!"


def is_shell(path: str) -> bool:
    """Tell whether PATH is called like a script of a shell, or has no ending."""
    return PurePosixPath(path).suffix in {"", *table("_languages.txt")["shell"]["suffixes"][0].split()}


def is_code(path: str) -> bool:
    """Tell whether PATH is code of a language, no text or style that has a source's ending."""
    return PurePosixPath(path).suffix in code_endings()


@cache
def code_endings() -> set[str]:
    lines = (line for row in table("_languages.txt").values() for line in row.get("suffixes", ()))
    return {*" ".join(lines).split()}
