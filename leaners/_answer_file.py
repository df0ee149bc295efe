"""An answer that is asked for in one call and made into edits in another: what lies between them is a file.

LEAN_MODE=draft asks the server and writes down what the model said, or why that cannot be used; no file of a project is
touched. A later call that is given that file takes the answer from it in place of asking, once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from _server import Call, Misconfigured, Server, Stop, Unusable


class Drafted(Stop):
    """The draft is written: the call is over, and all is well."""

    code = 0


def server_of(call: Call) -> Server:
    """Return whom a call asks: its server, by way of a file where it makes a draft or is given one."""
    if call.mode == "draft" and not call.draft:
        raise Misconfigured("LEAN_DRAFT does not name the file that the draft is written to.")
    if call.mode == "ask" or not call.draft:
        return Server(call)
    return Drafting(call) if call.mode == "draft" else Drawn(call)


class Drafting(Server):
    """A server whose first answer goes into a file."""

    def ask(self, *args: Any, **settings: Any) -> str:
        try:
            told = {"text": super().ask(*args, **settings)}
        except Unusable as unusable:
            told = {"reason": str(unusable), "kind": unusable.kind, "said": unusable.said}
        told |= {"model": self.model, "words": read_words(self.call)}
        Path(self.call.draft).write_text(json.dumps(told), encoding="utf-8")
        raise Drafted("the answer is drafted")


class Drawn(Server):
    """A server whose first answer was drafted; it is asked for what comes after."""

    given = False

    def ask(self, *args: Any, **settings: Any) -> str:
        if self.given:
            return super().ask(*args, **settings)
        self.given = True
        try:
            told = json.loads(Path(self.call.draft).read_text(encoding="utf-8"))
            self.model = told["model"]
            if self.call.answer_file:
                Path(self.call.answer_file).write_text(told["words"], encoding="utf-8")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"LEAN_DRAFT {self.call.draft} holds no draft: {error}.") from error
        if "text" in told:
            return str(told["text"])
        raise Unusable(told["reason"], told["kind"], told["said"])


def read_words(call: Call) -> str:
    """Read what the model said, as the record of a call has it."""
    with suppress(OSError):
        return Path(call.answer_file).read_text(encoding="utf-8", errors="replace") if call.answer_file else ""
    return ""
