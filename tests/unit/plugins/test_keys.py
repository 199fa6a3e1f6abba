# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key material."""

from __future__ import annotations

import hashlib
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._side_by_side import side_by_side

DIGITS = "00" + "aB" * 31


def test_hex_key_keeps_leading_zeros() -> None:
    assert _keys.hex_key(DIGITS, whose="tank").secret == bytes.fromhex(DIGITS)


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_survive_the_way_through_hex(secret: bytes) -> None:
    assert _keys.hex_key(secret.hex(), whose="tank").secret == secret
    assert Key("key", secret).text("hex") == secret.hex().encode()
    assert Key("key", secret).text("raw") == secret


@pytest.mark.parametrize(
    "text",
    ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, "0x" + "ab" * 31, "ab " * 21 + "a", "ab" * 32 + "\n", "٣" * 64],
    ids=["empty", "short", "62 digits", "66 digits", "no hex", "prefix", "blanks", "newline", "arabic digits"],
)
def test_anything_but_64_hex_digits_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        _keys.hex_key(text, whose="tank/media")
    assert "tank/media is not 64 hexadecimal digits" in str(refusal.value)
    assert str(refusal.value).endswith("Give it as it was set.")
    assert len(text) < 8 or text not in str(refusal.value)


def test_a_key_shows_no_secret_when_printed() -> None:
    assert DIGITS.lower() not in repr(_keys.hex_key(DIGITS, whose="tank"))
    assert "horse" not in repr(_keys.passphrase("correct horse", whose="tank"))


def test_a_passphrase_is_derived_as_libzfs_does() -> None:
    key = _keys.passphrase("pässword", whose="tank")
    expected = hashlib.pbkdf2_hmac("sha1", "pässword".encode(), b"\x01\x02\0\0\0\0\0\0", 1000, 32)
    assert key.wrapping_key(salt=0x0201, iterations=1000) == expected


def test_threads_that_want_the_same_derivation_share_it_and_others_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[bytes] = []
    others = threading.Barrier(2, timeout=20)

    def derive(_digest: str, _passphrase: bytes, salt: bytes, _rounds: int, _length: int) -> bytes:
        derived.append(salt)
        others.wait()
        return salt * 4

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", derive)
    key = _keys.passphrase("shared by many roots", whose="tank")
    salts = [1, 2] * 8
    found = side_by_side(lambda salt: key.wrapping_key(salt=salt, iterations=100_000), salts)
    assert sorted(derived) == [struct.pack("<Q", 1), struct.pack("<Q", 2)]
    assert found == [struct.pack("<Q", salt) * 4 for salt in salts]


def test_a_surrogate_in_a_passphrase_is_refused() -> None:
    with pytest.raises(Refused, match="tank holds characters that UTF-8 cannot express"):
        _keys.passphrase("abcdefgh\udc80", whose="tank")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("1234567", "has 7 bytes; OpenZFS wants 8 to 512", id="short"),
        pytest.param("x" * 513, "has 513 bytes; OpenZFS wants 8 to 512", id="long"),
        pytest.param("ä" * 257, "has 514 bytes; OpenZFS wants 8 to 512", id="long in bytes"),
        pytest.param("12345678\0abc", "holds a NUL byte", id="NUL"),
        pytest.param("12345678\r", "holds a carriage return", id="CR"),
        pytest.param("12345678\n", "holds a line feed", id="LF"),
    ],
)
def test_a_passphrase_that_must_not_be_set_is_refused(text: str, rule: str) -> None:
    with pytest.raises(Refused, match=rule) as refusal:
        _keys.refuse_unsettable(_keys.passphrase(text, whose="tank"), whose="tank")
    assert "12345678" not in str(refusal.value)


@pytest.mark.parametrize("text", ["12345678", "x" * 512, "ä" * 4, "spaces and 'quotes\" \\"])
def test_a_sound_passphrase_can_be_set(text: str) -> None:
    _keys.refuse_unsettable(_keys.passphrase(text, whose="tank"), whose="tank")


def test_a_key_of_zeros_is_refused_when_set() -> None:
    with pytest.raises(Refused, match="all zeros"):
        _keys.refuse_unsettable(_keys.hex_key("0" * 64, whose="tank"), whose="tank")


@pytest.mark.parametrize(
    ("content", "keyformat", "kind", "secret"),
    [
        pytest.param(b"\n" * 32, "raw", "key", b"\n" * 32, id="raw may be newlines"),
        pytest.param(DIGITS.encode(), "hex", "key", bytes.fromhex(DIGITS), id="hex"),
        pytest.param(DIGITS.encode() + b"\n", "hex", "key", bytes.fromhex(DIGITS), id="hex with newline"),
        pytest.param(b"correct horse\n", "passphrase", "passphrase", b"correct horse", id="passphrase"),
        pytest.param(DIGITS.encode() + b"\n# mine\n", "hex", "key", bytes.fromhex(DIGITS), id="hex with a comment"),
        pytest.param(b"correct horse\n\n", "passphrase", "passphrase", b"correct horse", id="passphrase, blank line"),
        pytest.param(b"correct horse\nmine", "passphrase", "passphrase", b"correct horse", id="passphrase, two lines"),
        pytest.param(b"correct horse\r\n", "passphrase", "passphrase", b"correct horse\r", id="passphrase with CRLF"),
    ],
)
def test_a_key_file_is_read_as_its_format_says(content: bytes, keyformat: str, kind: str, secret: bytes) -> None:
    key = _keys.from_file(content, keyformat, path="/k")
    assert (key.kind, key.secret) == (kind, secret)


@pytest.mark.parametrize(
    ("content", "keyformat", "sentence"),
    [
        pytest.param(b"x" * 31, "raw", "holds 31 bytes; keyformat raw wants exactly 32", id="31 bytes"),
        pytest.param(b"x" * 32 + b"\n", "raw", "holds 33 bytes", id="raw with newline"),
        pytest.param(b"\xff" * 64, "hex", "is not text", id="binary"),
        pytest.param(b"ab" * 32 + b"\r\n", "hex", "is not 64 hexadecimal digits", id="CRLF"),
        pytest.param(b"\n" + b"ab" * 32, "hex", "is not 64 hexadecimal digits", id="on the second line"),
    ],
)
def test_a_key_file_that_cannot_hold_a_key_is_refused(content: bytes, keyformat: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refusal:
        _keys.from_file(content, keyformat, path="/etc/k")
    assert "/etc/k" in str(refusal.value)


def test_a_manifest_value_is_what_the_keyformat_makes_of_it() -> None:
    digits = _keys.from_manifest(DIGITS, "hex", whose="tank")
    words = _keys.from_manifest(DIGITS, "passphrase", whose="tank")
    assert digits == Key("key", bytes.fromhex(DIGITS))
    assert words == Key("passphrase", DIGITS.encode())
    assert _keys.from_manifest("correct horse", "raw", whose="tank") is None


def test_fewer_iterations_than_openzfs_takes_are_refused() -> None:
    _keys.refuse_unsettable_iterations(100_000, whose="tank")
    with pytest.raises(Refused, match="pbkdf2iters of tank is 99999; OpenZFS accepts 100000 or more"):
        _keys.refuse_unsettable_iterations(99_999, whose="tank")


def test_generated_keys_differ_and_salts_are_never_zero() -> None:
    assert _keys.generate() != _keys.generate()
    assert all(0 < _keys.new_salt() < 2**64 for _attempt in range(100))
