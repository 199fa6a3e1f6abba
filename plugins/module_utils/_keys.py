# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key material: what a person types, what a file holds, what the kernel wants.

A wrapping key is always 32 bytes, whatever the cipher. ``raw`` and ``hex`` give them directly,
``passphrase`` by PBKDF2-HMAC-SHA1 over the dataset's salt (libzfs_crypto.c, ``derive_key``).

Private to the collection.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import struct
import threading
import typing as t
from dataclasses import dataclass, field

from ._errors import Refused

KeyFormat = t.Literal["raw", "hex", "passphrase"]

WRAPPING_KEY_BYTES = 32
PASSPHRASE_BYTES = range(8, 513)  # zfsprops(7): MIN_PASSPHRASE_LEN, MAX_PASSPHRASE_LEN
MINIMUM_ITERATIONS = 100_000  # MIN_PBKDF2_ITERATIONS; the kernel refuses less
MAXIMUM_ITERATIONS = 2**31 - 1  # libzfs hands OpenSSL an int: more would be cut down to other, fewer rounds
DEFAULT_ITERATIONS = 1_300_000  # OWASP's figure for PBKDF2-HMAC-SHA1, and TrueNAS's default

HEX_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True)
class Key:
    """A secret that may open an encryption root.

    Args:
        kind: ``key`` for 32 bytes, ``passphrase`` for text that a wrapping key is derived from.
        secret: the 32 bytes, or the passphrase in UTF-8. Never shown by ``repr``.
    """

    kind: t.Literal["key", "passphrase"]
    secret: bytes = field(repr=False)

    def fits(self, keyformat: str) -> bool:
        """Tell whether a root of this keyformat can be opened by a secret of this kind."""
        return (keyformat == "passphrase") == (self.kind == "passphrase")

    def wrapping_key(self, *, salt: int, iterations: int) -> bytes:
        """Return the 32 bytes for the kernel; salt and iterations only matter for a passphrase."""
        if self.kind == "key":
            return self.secret
        return _derive(self.secret, salt, iterations)

    def text(self, keyformat: str) -> bytes:
        """Return the secret as a key file of this format holds it, and as ``zfs`` reads it from stdin."""
        if self.kind == "passphrase" or keyformat == "raw":
            return self.secret
        return self.secret.hex().encode("ascii")


def _derive(passphrase: bytes, salt: int, iterations: int) -> bytes:
    """Derive as libzfs does: the salt is packed little-endian, the digest is SHA-1.

    Once for each salt and number of rounds, also when many threads want it: roots share them after a raw replication.
    """
    wanted = (passphrase, salt, iterations)
    with _turns.setdefault(wanted, threading.Lock()):
        if wanted not in _derived:
            packed = struct.pack("<Q", salt)
            _derived[wanted] = hashlib.pbkdf2_hmac("sha1", passphrase, packed, iterations, WRAPPING_KEY_BYTES)
        return _derived[wanted]


_turns: dict[tuple[bytes, int, int], threading.Lock] = {}
_derived: dict[tuple[bytes, int, int], bytes] = {}


AS_IT_WAS_SET = "Give it as it was set."
A_NEW_ONE = "Make a new one with 'openssl rand -hex 32', or give text of your own as a passphrase."


def hex_key(text: str, *, whose: str, way_out: str = AS_IT_WAS_SET) -> Key:
    """Read 64 hex digits.

    Args:
        text: the digits, upper or lower case, leading zeros kept.
        whose: what the key is for, for the refusal.
        way_out: what to do about it, for the refusal.

    Raises:
        Refused: it is anything else.
    """
    if not HEX_KEY.fullmatch(text):
        raise Refused(f"The key of {whose} is not 64 hexadecimal digits ({_shape(text)}). {way_out}")
    return Key("key", bytes.fromhex(text))


def _shape(text: str) -> str:
    if not text:
        return "it is empty"
    if HEX_KEY.fullmatch(text.rstrip("\r\n")):
        return "it ends with a carriage return" if text.endswith("\r") else "it ends with a line feed"
    wrong = ", some of which are no digits" if len(text) == 2 * WRAPPING_KEY_BYTES else ""
    return f"it has {len(text)} characters{wrong}"


def passphrase(text: str, *, whose: str) -> Key:
    """Read a passphrase as it stands, without judging its length or content.

    Raises:
        Refused: it cannot be written as UTF-8.
    """
    try:
        return Key("passphrase", text.encode("utf-8"))
    except UnicodeEncodeError:
        raise Refused(f"The passphrase of {whose} holds characters that UTF-8 cannot express.") from None


def from_file(content: bytes, keyformat: str, *, path: str, way_out: str = AS_IT_WAS_SET) -> Key:
    """Read what a key file holds, in the form that the keyformat prescribes (zfsprops(7)).

    libzfs reads one line of a hex or passphrase file and nothing after it, and a raw one as it is (libzfs_crypto.c,
    ``get_key_material_raw``).

    Raises:
        Refused: the file cannot hold a key of this format.
    """
    if keyformat == "raw":
        if len(content) != WRAPPING_KEY_BYTES:
            raise Refused(
                f"The key file {path} holds {len(content)} bytes; keyformat raw wants exactly 32, without a newline."
            )
        return Key("key", content)
    line = content.partition(b"\n")[0]
    if keyformat == "passphrase":
        return Key("passphrase", line)
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(f"The key file {path} is not text; keyformat hex wants 64 hexadecimal digits.") from None
    return hex_key(text, whose=f"the file {path}", way_out=way_out)


def from_manifest(text: str, keyformat: str, *, whose: str) -> Key | None:
    """Read a manifest's value, whose kind only the dataset's keyformat tells; None where it cannot be one."""
    if keyformat == "passphrase":
        return passphrase(text, whose=whose)
    return Key("key", bytes.fromhex(text)) if HEX_KEY.fullmatch(text) else None


def refuse_unsettable(key: Key, *, whose: str) -> None:
    """Refuse a key that must not become a root's key; keys that are only tried are not judged.

    Length is checked by libzfs alone, so calls past it would install what no command could load again
    (openzfs/zfs#12651); text after a NUL byte would be dropped silently, and one line is all that ``zfs`` reads.

    Raises:
        Refused: naming the rule.
    """
    if key.kind == "key":
        if len(key.secret) != WRAPPING_KEY_BYTES:
            raise Refused(f"The key of {whose} has {len(key.secret)} bytes; a wrapping key has 32.")
        if not any(key.secret):
            raise Refused(f"The key of {whose} is all zeros, which protects nothing. Make one at random.")
        return
    if len(key.secret) not in PASSPHRASE_BYTES:
        raise Refused(
            f"The passphrase of {whose} has {len(key.secret)} bytes; OpenZFS wants 8 to 512 bytes of UTF-8. "
            "Choose one of that length."
        )
    for character, name in ((b"\0", "a NUL byte"), (b"\r", "a carriage return"), (b"\n", "a line feed")):
        if character in key.secret:
            raise Refused(
                f"The passphrase of {whose} holds {name}, which OpenZFS would cut off or could not read again. "
                "Give it on one line; in YAML, quote it or use '|-' for a block without a final newline."
            )


def refuse_unsettable_iterations(iterations: int, *, whose: str) -> None:
    """Refuse fewer PBKDF2 rounds than OpenZFS accepts (zfsprops(7), ``pbkdf2iters``), and more than it makes."""
    if iterations > MAXIMUM_ITERATIONS:
        raise Refused(
            f"pbkdf2iters of {whose} is {iterations}; OpenZFS makes {MAXIMUM_ITERATIONS} at most, which takes minutes. "
            f"Leave it out for {DEFAULT_ITERATIONS}."
        )
    if iterations < MINIMUM_ITERATIONS:
        raise Refused(
            f"pbkdf2iters of {whose} is {iterations}; OpenZFS accepts {MINIMUM_ITERATIONS} or more. "
            f"Leave it out for {DEFAULT_ITERATIONS}."
        )


def generate() -> Key:
    """Make a random wrapping key from the system's CSPRNG."""
    return Key("key", secrets.token_bytes(WRAPPING_KEY_BYTES))


def new_salt() -> int:
    """Make a salt as libzfs does: 8 random bytes, never 0, which the kernel reads as absent."""
    return secrets.randbelow(2**64 - 1) + 1
