"""What may be a key, and how none is shown: they are found by their names, and hidden in whatever form they turn up.

The loop loads this file for each run, for what shows one, and for each error. A form is told by its letters and digits
alone: quotes, escapes, signs between and line breaks make no other of it. So a key is found in JSON at any depth, in a
shell's words, in URLs and HTML, in hex, in base32 and base64 at any place, and split over lines.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from leanloop import (
    LEANFILE,
    MASKED,
    READ,
    Config,
    Leaner,
    LeanError,
    as_text,
    read_regular,
    read_static,
    read_toml,
    static_config,
)

KEY_NAME = re.compile(r"(?:key|token|secret|pass(?:word|wd|phrase)?|credentials?|auth|(?<=_)p(?:at|wd))(?:[_\d]|$)")
IN_URL = re.compile(r"(?<=://)(?:[^\s/@:\"']*:([^\s/@\"']{6,})|([^\s/@:\"']{16,}))@")
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(\"[^\"]*\"|'[^']*'|\S*)", re.MULTILINE)
LEAST, LEAST_MIXED, LEAST_WORD = 8, 10, 16  # characters of a configured key; of one with a digit; of any other
Named = Iterator[tuple[str, str]]

# --------------------------------------------------------------------------------------------------- where keys stand


def keys_of(root: Path) -> set[str]:
    """Find the keys in the variables, in the configuration that was read, and in a project's .env* and .git/config."""
    named = [*os.environ.items(), *chain.from_iterable(walk("", document) for document in READ)]
    for path in (*env_files(root), root / ".git/config"):
        with contextlib.suppress(OSError):
            text = as_text(read_regular(path, 200_000, follow=True))
            named += [("", text), *((name, value.strip("\"'")) for name, value in ASSIGNMENT.findall(text))]
    return {key for name, value in named for key in keys_in(name, value)}


def env_files(root: Path) -> Iterator[Path]:
    """List the .env* files in a folder, and in the folders there."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for folder in (root, *(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))):
            with contextlib.suppress(OSError):
                yield from (path for path in folder.iterdir() if path.name.startswith(".env"))


def walk(name: str, value: Any) -> Named:
    """List the texts in a configuration, each with the names of its key and of the table around it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(f"{name.rpartition('.')[2]}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(name, inner)


def keys_in(name: str, value: str) -> Iterator[str]:
    """Give what is a key in a VALUE of that NAME: all of it, a line of it, or a part of a URL; nothing in most."""
    for found in IN_URL.findall(value):
        yield from {word for part in found if part for word in (part, unquote(part))}
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", name).lower()
    if name.endswith("_env"):  # it names a variable
        if re.fullmatch(r"[A-Z][A-Z\d]*(?:_[A-Z\d]+)+", value) or value in os.environ:
            value = os.environ.get(value, "").strip()
        name = "api_key"
    if KEY_NAME.search(name):
        lines = value.split("\n")
        yield from (line.strip() for line in lines if is_key(name, line.strip(), len(lines) > 1))


def is_key(name: str, value: str, is_line: bool) -> bool:
    """Tell whether a VALUE under the NAME of a key is one, by its shape; a place or an address is none."""
    if name.endswith("api_key"):
        return len(value) >= LEAST and value != "not-needed"
    if "://" in value or value.startswith("-----") or os.path.lexists(value):
        return False
    is_mixed = re.search(r"\d", value) and re.search("[A-Za-z]", value)
    return len(value) >= (LEAST_MIXED if is_mixed and not is_line else LEAST_WORD)


# ------------------------------------------------------------------------------------------------ the forms of a key

# A sign that is written as something else; nothing is left of what has no group, and is no letter or digit.
ESCAPED = (
    r"%(?:25)*([0-9A-Fa-f]{2})|\\+(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|[nrt])"
    r"|&(?:amp;)*(?:#[xX]([0-9A-Fa-f]{1,6})|#(\d{1,6})|\w{2,6});|0[xX](?=[0-9A-Fa-f]{2}\b)"
)
ESCAPES, SIGNS = re.compile(ESCAPED), re.compile(f"{ESCAPED}|[0-9A-Za-z]")
OTHERS = bytes(code for code in range(128) if not chr(code).isalnum())


def plain(found: re.Match[str]) -> str:
    """Give the letter or digit that a sign stands for; nothing for any other."""
    if len(found[0]) == 1:
        return found[0]
    in_hex, decimal = found[1] or found[2] or found[3] or found[4], found[5]
    code = int(in_hex, 16) if in_hex else int(decimal or 0)
    return chr(code) if code < 128 and chr(code).isalnum() else ""


def letters(text: str) -> bytes:
    """Reduce TEXT to its letters and digits."""
    return ESCAPES.sub(plain, text).encode("ascii", "ignore").translate(None, OTHERS)


def forms_of(keys: Iterable[str]) -> tuple[set[bytes], set[bytes]]:
    """Give the forms of KEYS, as letters: those whose case counts, and those that are looked for in small letters."""
    exact, small = set[bytes](), set[bytes]()
    for key in keys:
        raw = key.encode("utf-8", "surrogateescape")
        small |= {letters(key).lower(), letters(key.replace("\\", "")).lower(), raw.hex().encode()}
        small |= {form.lower() for form in encoded(raw, base64.b32encode, 5)}
        exact |= encoded(raw, base64.b64encode, 6)
    return {form for form in exact if len(form) >= LEAST}, {form for form in small if len(form) >= LEAST}


def encoded(raw: bytes, encode: Callable[[bytes], bytes], bits: int) -> set[bytes]:
    """ENCODE a key, with so many BITS a sign, at each place that it may have in what is encoded."""
    found = set[bytes]()
    for before in range(bits if bits % 2 else bits // 2):
        first, last = -(-before * 8 // bits), (before + len(raw)) * 8 // bits  # those at its ends hold bits of others
        found.add(encode(b"\0" * before + raw)[first:last].translate(None, OTHERS))
    return found


# --------------------------------------------------------------------------------------------------------- masking


def masker(root: Path, patterns: Sequence[str] = (), keys: Iterable[str] = ()) -> Callable[[str], str]:
    """Make what hides, in a text, KEYS and those that are found for the project at ROOT, and what PATTERNS match."""
    known = sorted({key for key in keys if len(key) >= LEAST} | keys_of(root), key=len, reverse=True)
    exact, small = forms_of(known)
    compiled = [re.compile(pattern) for pattern in patterns]

    def mask(text: str) -> str:
        for key in known:
            text = text.replace(key, MASKED)
        seen = letters(text)
        lower = seen.lower()
        if any(form in lower for form in small) or any(form in seen for form in exact):
            text = without(text, exact, small)
        for pattern in compiled:
            text = pattern.sub(MASKED, text)
        return text

    return mask


def without(text: str, exact: Iterable[bytes], small: Iterable[bytes]) -> str:
    """Put the mark in the place of each form in TEXT; its line breaks stay."""
    signs = [found for found in SIGNS.finditer(text) if plain(found)]
    seen = "".join(map(plain, signs)).encode()
    hits = [*places(seen, exact), *places(seen.lower(), small)]
    at, pieces = 0, list[str]()
    for first, last in merged(sorted(hits)):
        begin, end = signs[first].start(), signs[last - 1].end()
        pieces += [text[at:begin], MASKED, "\n" * text.count("\n", begin, end)]
        at = end
    return "".join([*pieces, text[at:]])


def places(seen: bytes, forms: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """List where FORMS begin and end."""
    for form in forms:
        at = seen.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = seen.find(form, at + 1)


def merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join those of sorted SPANS that touch."""
    begin, end = 0, -1
    for first, last in spans:
        if first > end >= 0:
            yield begin, end
        begin, end = (first if first > end else begin), max(end, last)
    if end >= 0:
        yield begin, end


def masker_of(config: Config) -> Callable[[str], str]:
    """Make what hides the keys of a configuration and of its project, and what `[guard] mask` matches."""
    return masker(config.root, config.guard.mask, {leaner.key for leaner in config.leaners} - {Leaner.api_key})


def mask_error(text: str) -> str:
    """Hide keys in an error, and whoever a URL in it names; also where the configuration was not read yet."""
    if not READ:
        with contextlib.suppress(LeanError):
            read_static(static_config(None))
            read_toml(LEANFILE)
    return masker(Path())(IN_URL.sub(f"{MASKED}@", text))


def mask_record(path: Path, folder: Path, mask: Callable[[str], str]) -> None:
    """MASK a file, or all in a folder, that was moved into the record in FOLDER: what it holds, and its name."""
    inner = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    for item in reversed(inner):
        with contextlib.suppress(OSError):
            if item.is_symlink():
                if mask(str(item.readlink())) != str(item.readlink()):
                    item.unlink()
            elif item.is_file():
                mask_content(item, mask)
            move(item, folder / mask(str(item.relative_to(folder))))


def mask_content(path: Path, mask: Callable[[str], str]) -> None:
    """MASK what a file holds."""
    text = as_text(read_regular(path))
    if (masked := mask(text)) != text:
        path.write_bytes(os.fsencode(masked))


def move(path: Path, to: Path) -> None:
    """Give a file or a folder another name, if it is another; a folder whose files were moved there goes."""
    if path == to:
        return
    if path.is_dir() and to.is_dir():
        path.rmdir()
    elif os.path.lexists(path):
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
