# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All the ways in which programs write a text down.

Each way treats every character by itself, so the spelling of the beginning of a text is the beginning of its spelling.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import typing as t
import urllib.parse

import yaml

Way = t.Callable[[str], str]

BOTH_QUOTES = "\"'"


def _yaml(text: str, *, unicode: bool) -> str:
    dumped: str = yaml.dump(text, default_style='"', allow_unicode=unicode, width=float("inf"))
    return dumped.strip()[1:-1]


def _repr(data: bytes) -> str:
    return repr(BOTH_QUOTES.encode() + data)[5:-1]


def _octal(text: str) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\{byte:03o}" for byte in text.encode("utf-8"))


WAYS: dict[str, Way] = {
    "text": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not only ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "YAML": lambda text: _yaml(text, unicode=False),
    "YAML, not only ASCII": lambda text: _yaml(text, unicode=True),
    "YAML in single quotes": lambda text: text.replace("'", "''"),
    # Python takes the quotes that need less escaping; a canary has both kinds.
    "repr": lambda text: repr(f"{BOTH_QUOTES}{text}")[4:-1],
    "ascii": lambda text: ascii(f"{BOTH_QUOTES}{text}")[4:-1],
    "repr of bytes": lambda text: _repr(text.encode()),
    "URL": urllib.parse.quote,
    "URL in lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(text)),
    "shell": lambda text: shlex.quote(f" {text}")[2:-1],
    "octal": _octal,
    "HTML": html.escape,
}
# In what a log quotes, another program's quoting may be.
OUTER_WAYS = ("JSON", "JSON, not only ASCII", "YAML", "YAML, not only ASCII", "repr", "ascii", "shell")


def spellings(text: str | bytes) -> dict[str, bytes]:
    """Return needles to look for, by the names of their spellings; several may be equal."""
    return dict(_of_bytes(text) if isinstance(text, bytes) else _of_text(text))


def _of_text(text: str) -> t.Iterator[tuple[str, bytes]]:
    for name, way in WAYS.items():
        yield name, way(text).encode()
    for outer in OUTER_WAYS:
        for inner, way in WAYS.items():
            yield f"{inner} in {outer}", WAYS[outer](way(text)).encode()
    for name in ("text", "JSON", "JSON, not only ASCII"):
        for encoding, needle in _encoded(WAYS[name](text).encode()):
            yield f"{encoding} of {name}", needle
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield encoding, text.encode(encoding)


def _of_bytes(data: bytes) -> t.Iterator[tuple[str, bytes]]:
    yield "bytes", data
    yield "repr", _repr(data).encode()
    yield "octal", "".join(f"\\{byte:03o}" for byte in data).encode()
    yield "numbers", ", ".join(map(str, data)).encode()
    yield "URL", urllib.parse.quote(data).encode()
    # What surrogateescape and Latin-1 make of bytes.
    for name in ("JSON", "ascii"):
        yield f"surrogates in {name}", WAYS[name](data.decode("utf-8", "surrogateescape")).encode()
        yield f"Latin-1 in {name}", WAYS[name](data.decode("latin-1")).encode()
    yield "Latin-1", data.decode("latin-1").encode()
    yield from _encoded(data)


def _encoded(data: bytes) -> t.Iterator[tuple[str, bytes]]:
    yield "hex", data.hex().encode()
    yield "upper hex", data.hex().upper().encode()
    yield "spaced hex", data.hex(" ").encode()
    for shift in range(3):
        encoded = _base64_core(data, shift)
        yield f"base64 shifted {shift}", encoded
        yield f"URL-safe base64 shifted {shift}", encoded.translate(bytes.maketrans(b"+/", b"-_"))


def _base64_core(data: bytes, shift: int) -> bytes:
    """Return what base64 makes of data that begins `shift` bytes into a group, wherever it stands."""
    padded = b"\0" * shift + data
    encoded = base64.b64encode(padded[: len(padded) // 3 * 3])
    return encoded[4:] if shift else encoded


def views(data: bytes) -> list[bytes]:
    """Return data as it is, and without the folds of YAML, of wrapped base64 and of indented output."""
    unfolded = re.sub(rb"\\\r?\n *(?:\\(?= ))?", b"", data)
    joined = re.sub(rb"\r?\n *", b"", data)
    return list(dict.fromkeys((data, unfolded, joined)))
