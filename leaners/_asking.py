"""Say what a model is asked to answer: the last words of a prompt, which a small model obeys most. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from _answers import Change, Code, Edit, Files, Refused
from _definitions import definitions

FENCED = re.compile(r"^(`{3,}).*?^\1", re.DOTALL | re.MULTILINE)
SEARCH_FORM = """\
Now write the changes. For each: the file's path alone on a line, then a fenced block that holds
<<<<<<< SEARCH
lines exactly as they are
=======
lines as they shall be
>>>>>>> REPLACE"""


def last_section(prompt: str) -> str:
    """Name the last section of a prompt."""
    sections = re.findall(r"^# ([A-Z]\w*)", FENCED.sub("", prompt), re.MULTILINE)
    return str(sections[-1]) if sections else ""


class Asking:
    """What is asked about the files of a task, in a form: "auto", "whole" (files), "search" (and replace)."""

    def __init__(self, files: Files, form: str) -> None:
        self.files, self.form = files, form
        self.prose = FENCED.sub("", files.prompt)

    def closing(self, prompt: str) -> str:
        """Say what to answer to PROMPT: it stands last, and what a small model reads last is what it does.

        Where failing tests stand last, the code above is the model's own. Asked for code alone it sends that back as it
        is; a sentence before the code breaks that (tests/bench/README.md).
        """
        if self.form == "search":
            return SEARCH_FORM
        if last_section(prompt) != "Failing":
            return f"Now {self.code('complete')} No tests, no explanation."
        code = self.code("corrected and complete")
        return (
            f"The code above fails this test. First say in one sentence what the code does wrong. Then {code} No tests."
        )

    def code(self, how: str) -> str:
        """Name the code that is to be written, HOW, and the one form of it."""
        listed = self.files.listed
        if not listed:
            return f"give the corrected function, {how}, in one fenced block."
        wanted = [self.wanted(path) for path in listed]
        if len(listed) == 1:
            return f"write {wanted[0]}, {how}, in one ```{tag(listed[0])} block."
        words = "write the code. For each file that must change: its path alone on a line, then one fenced block with"
        return f"{words} {' or '.join(wanted)}, {how}."

    def wanted(self, path: str) -> str:
        """Name what shall be written of a file: what the prompt names in it, else the whole of it or its functions."""
        names = [] if self.form == "whole" else self.targets(path)
        if names and (new := self.missing()) and len(self.files.listed) == 1:
            return f"the new {', '.join(new)}, and what must change of {', '.join(names)}, in {path}"
        if not names:
            return f"the file {path}" if self.is_whole(path) else f"each function of {path} that must change"
        if len(names) == 1:
            return f"{names[0]} of {path}"
        return f"those of {', '.join(names)} in {path} that must change"

    def is_whole(self, path: str) -> bool:
        """Tell whether a file is new, has no definitions, or shall be sent whole."""
        return self.form == "whole" or not definitions(path, self.files.text(path) or "")

    def targets(self, path: str) -> list[str]:
        """Name the definitions of a file that the prompt's prose names, with their kinds."""
        words = set(re.findall(r"\w+", self.prose))
        found = [item for item in definitions(path, self.files.text(path) or "") if item.name in words]
        return [f"the {item.kind} {item.name}" for item in found if item.kind in ("class", "function")]

    def missing(self) -> list[str]:
        """List what is to be written anew: calls in the prompt's prose that its code makes too, and no file has."""
        calls = re.compile(r"\b([A-Za-z_]\w*)\(")
        shown = "\n".join(found[0] for found in FENCED.finditer(self.files.prompt))
        there = {word for path in self.files.listed for word in re.findall(r"\w+", self.files.text(path) or "")}
        made = set(calls.findall(shown)) - there
        return [name for name in dict.fromkeys(calls.findall(self.prose)) if name in made]


def tag(path: str) -> str:
    """Return what a fence of code of a file is marked with."""
    suffix = PurePosixPath(path).suffix[1:]
    return {"py": "python", "js": "javascript", "ts": "typescript"}.get(suffix, suffix)


def fenced(body: str) -> str:
    """Fence a text with more backticks than it holds."""
    ticks = "`" * (1 + max((len(found) for found in re.findall(r"`{3,}", body)), default=2))
    return f"{ticks}\n{body}\n{ticks}"


def repair_prompt(refused: Refused) -> str:
    """Ask again for the edits that could not be placed, with the lines that they may have meant."""
    parts: list[str] = []
    for edit, refusal in refused[:4]:
        parts.append(f"This edit was not applied, {refusal}:\n{fenced(quoted(edit)[:8000])}")
        if refusal.near:
            parts.append(f"The nearest lines of {edit.path or 'the file'}:\n{fenced(refusal.near[:8000])}")
    return "\n\n".join([*parts, "Send only this again, so that it fits."])


def quoted(edit: Edit) -> str:
    """Show an edit the way it was sent."""
    if isinstance(edit, Change) and edit.readings:
        return "{}\n<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE".format(edit.path, *edit.readings[0])
    return f"{edit.path}\n{edit.text}" if isinstance(edit, Code) else f"DELETE {edit.path}"
