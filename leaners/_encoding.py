"""Turn the bytes of a file into its text and back: encoding, byte order mark and line ends stay. Pure."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
DECLARED = re.compile(rb"(?:coding|charset)[ \t]*[:=]?[ \t]*[\"']?([A-Za-z][-\w.]+)")
LATIN = re.compile(rb"[A-Za-z][\x80-\xff]{1,3}[A-Za-z]")


def decode(raw: bytes) -> tuple[str, str] | None:
    """Return a file's text without its byte order mark, and its encoding; None where that is binary or not clear.

    The encoding is UTF-8 or what the mark or the text declares, else what decodes strictly and looks like a language.
    """
    mark, marked = next(((mark, name) for mark, name in BOMS if raw.startswith(mark)), (b"", ""))
    declared = found[1].decode() if (found := DECLARED.search(raw[:400])) else "utf-8"
    order = [declared, "utf-8"] if raw.isascii() else ["utf-8", declared, "cp932", "gbk", "cp1252"]
    if b"\0" in raw and not marked:
        return None
    for encoding in [marked] if marked else order:
        with contextlib.suppress(UnicodeError, LookupError):
            text = raw[len(mark) :].decode(encoding)
            told = marked or encoding in ("utf-8", declared) or is_plausible(raw, text, encoding)
            if told and text.encode(encoding) == raw[len(mark) :]:
                return text, encoding
    return None


def is_plausible(raw: bytes, text: str, encoding: str) -> bool:
    """Tell whether a text that nothing declares looks like one of its encoding's languages."""
    signs = [sign for sign in text if sign > "\x7f"]
    if encoding == "cp932":
        return sum("\u3040" <= sign <= "\u30ff" for sign in signs) * 3 >= len(signs)
    if encoding == "gbk":
        return not LATIN.search(raw) and len("".join(signs).encode("gb2312", "ignore")) >= 1.8 * len(signs)
    return not re.search(rb"[\x80-\xff]{4}", raw)


@dataclass(frozen=True)
class Stored:
    """A file as it lies on disk: its bytes, how they are read, and its text."""

    raw: bytes
    encoding: str
    content: str

    @property
    def text(self) -> str:
        """The text with plain newlines."""
        return self.content.replace("\r\n", "\n")

    def encode(self, text: str) -> bytes:
        """Write a new text the way the file is written: line endings, encoding, byte order mark."""
        mark = self.raw[: len(self.raw) - len(self.content.encode(self.encoding))]
        return mark + endings_like(self.content, text).encode(self.encoding)


def endings_like(old: str, new: str) -> str:
    """Give lines the endings of the old text: of the same line where it stays, else of most lines."""
    olds, news = re.findall(r"[^\n]*\n", old), re.findall(r"[^\n]*\n|[^\n]+", new)
    crlf = sum(line.endswith("\r\n") for line in olds)
    usual = "\r\n" if crlf * 2 > len(olds) else "\n"
    written = [line.replace("\n", usual) for line in news]
    if 0 < crlf < len(olds):
        import difflib  # for few files, and slow to load

        plain = [line.replace("\r\n", "\n") for line in olds]
        for block in difflib.SequenceMatcher(None, plain, news, False).get_matching_blocks():
            written[block.b : block.b + block.size] = olds[block.a : block.a + block.size]
    return "".join(written)
