# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary is found again whatever wrote it down, and told from the others."""

from __future__ import annotations

import base64
import json
import shlex
import textwrap
import urllib.parse

import pytest
import yaml

from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Canary, Flock

WRITERS = {
    "as it is": lambda text: f"a {text} b".encode(),
    "hexadecimal": lambda text: f"({text.encode().hex()})".encode(),
    "upper hexadecimal": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 from the second byte on": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64 from the third byte on": lambda text: base64.b64encode(b"xy" + text.encode()),
    "base64 that was wrapped": lambda text: base64.encodebytes(b"x" * 30 + text.encode()),
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(text.encode()),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps({"a": [text]}).encode()),
    "JSON": lambda text: json.dumps({"a": [text]}).encode(),
    "JSON that is not only ASCII": lambda text: json.dumps([text], ensure_ascii=False).encode(),
    "JSON in JSON": lambda text: json.dumps({"stdout": json.dumps({"a": text})}).encode(),
    "YAML": lambda text: yaml.safe_dump({"a": text}).encode(),
    "YAML that is not only ASCII": lambda text: yaml.safe_dump([text], allow_unicode=True).encode(),
    "narrow YAML": lambda text: yaml.safe_dump({"a": {"b": text}}, width=40, indent=8).encode(),
    "quoted YAML": lambda text: yaml.safe_dump([text], default_style="'", allow_unicode=True).encode(),
    "repr": lambda text: repr({"key": text}).encode(),
    "ascii": lambda text: ascii([text]).encode(),
    "repr of bytes": lambda text: repr([text.encode()]).encode(),
    "JSON of repr": lambda text: json.dumps({"msg": f"{[text]}"}).encode(),
    "URL": lambda text: f"http://x/?k={urllib.parse.quote(text)}&a".encode(),
    "a form": lambda text: urllib.parse.urlencode({"a": text}).encode(),
    "shell": lambda text: shlex.join(["zfs", "-o", f"key={text}"]).encode(),
    "JSON in a shell's words": lambda text: shlex.join(["echo", json.dumps({"a": text})]).encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "indented over lines": lambda text: textwrap.indent(
        "\n".join(text[i : i + 7] for i in range(0, len(text), 7)), "  "
    ).encode(),
}


def hatch() -> tuple[Flock, list[Canary]]:
    flock = Flock(7)
    return flock, [
        flock.key("key"),
        flock.passphrase("plain", "digits"),
        flock.passphrase("letters", "letters"),
        flock.passphrase("signs", "signs"),
    ]


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("number", range(4), ids=["key", "plain", "letters", "signs"])
def test_a_canary_is_found_in_every_spelling(number: int, writer: object) -> None:
    assert callable(writer)
    flock, canaries = hatch()
    assert set(flock.seen_in(b"\0\xff noise " + writer(canaries[number].text) + b" noise")) == {canaries[number].name}


@pytest.mark.parametrize("part", [slice(None), slice(16), slice(16, None)], ids=["whole", "first half", "second half"])
def test_the_bytes_of_a_key_are_found(part: slice) -> None:
    flock, (key, *_others) = hatch()
    raw = bytes.fromhex(key.text)[part]
    for written in (raw, base64.b64encode(b"x" + raw), repr(raw).encode(), json.dumps(list(raw)).encode()):
        assert set(flock.seen_in(b"\0" + written + b"\n")) == {"key"}


def test_a_key_that_the_product_made_is_found() -> None:
    flock, _canaries = hatch()
    flock.adopted("made", bytes(range(32)))
    assert set(flock.seen_in(bytes(range(32)).hex().upper().encode())) == {"made"}
    assert set(flock.seen_in(bytes(range(16, 32)))) == {"made"}


def test_what_is_left_of_a_canary_is_found() -> None:
    flock, (key, *_others) = hatch()
    assert set(flock.seen_in(key.text[:24].encode())) == {"one that was cut off"}


def test_nothing_else_is_found() -> None:
    flock, _canaries = hatch()
    assert flock.seen_in(Flock(8).key("of another flock").text.encode() * 100) == {}


def test_a_seed_makes_the_same_canaries_again() -> None:
    assert [canary.text for canary in hatch()[0]] == [canary.text for canary in hatch()[0]]
