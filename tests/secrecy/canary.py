# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are found again, however they were written down.

All canaries of a flock begin with the same mark, so that searching a disk costs the same for one canary or a hundred:
first for the mark in every spelling, then, where it is found, for the canary it belongs to. Identities are random
bytes, spelled in hexadecimal digits, in letters that escapes and encodings fight over, or in nothing but quotes,
backslashes and tabs; so no spelling is searched for that only works for harmless characters.
"""

from __future__ import annotations

import functools
import random
import string
import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.tests.secrecy.spelling import spellings, views

MARK_BYTES = 10
OWN_BYTES = 6

Alphabet = t.Literal["digits", "letters", "signs", "bytes"]
Spelled = tuple[Alphabet, str]

# One for each hexadecimal digit: of one to four bytes, a combining one, and four of no width.
LETTERS = "\u00e9\u00df\u00f1\u00f8\u03bb\u0416\u05d0\u4e2d\ud55c\U0001d11e\U0001f511\u0301\u200b\u200d\u2060\ufeff"
SIGNS = "\"'\\\t"
CUT_OFF = "one that was cut off"
EMPTY = bytes(64)
"""More zeros than any spelling has in a row."""


def _spelled(identity: bytes, alphabet: Alphabet) -> str | bytes:
    if alphabet == "bytes":
        return identity
    digits = identity.hex()
    if alphabet == "digits":
        return digits
    if alphabet == "letters":
        return "".join(LETTERS[int(digit, 16)] for digit in digits)
    return "".join(SIGNS[int(digit, 16) // 4] + SIGNS[int(digit, 16) % 4] for digit in digits)


@functools.cache
def _needles(identity: bytes, alphabet: Alphabet) -> dict[str, bytes]:
    return spellings(_spelled(identity, alphabet))


@dataclass(frozen=True)
class Canary:
    """A secret as a task is given it.

    Attributes:
        name: what it is called in reports.
        text: the key or passphrase.
        identities: random bytes in it; each one alone gives it away.
        alphabets: what these are spelled in.
    """

    name: str
    text: str = field(repr=False)
    identities: tuple[bytes, ...] = field(repr=False)
    alphabets: tuple[Alphabet, ...]

    def needles(self) -> frozenset[bytes]:
        """Return what to look for, whichever spelling it is; most of them are equal."""
        return frozenset(
            needle
            for alphabet in self.alphabets
            for identity in self.identities
            for needle in _needles(identity, alphabet).values()
        )

    def gives_itself_away(self, data: bytes, spelled: t.Iterable[Spelled]) -> bool:
        return any(
            _needles(identity, alphabet)[spelling] in data
            for alphabet, spelling in spelled
            if alphabet in self.alphabets
            for identity in self.identities
        )


def _quoted(name: str, identity: bytes, alphabet: Alphabet) -> Canary:
    core = _spelled(identity, alphabet)
    assert isinstance(core, str)
    return Canary(name, f"\"it's {core} \\ a\ttab\u200b", (identity,), (alphabet,))


class Flock:
    """All canaries of a run.

    Args:
        seed: makes them the same ones again.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # to be found again, not to be kept
        # What follows the mark must not change how its last byte is spelled, so that one is ASCII.
        self._mark = self._random.randbytes(MARK_BYTES - 1) + self._random.choice(string.ascii_letters).encode()
        self._members: dict[str, Canary] = {}
        self._strangers: dict[str, frozenset[bytes]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> t.Iterator[Canary]:
        return iter(self._members.values())

    def key(self, name: str, *, upper: bool = False) -> Canary:
        """Make a key of 64 hexadecimal digits; either half gives it away, in digits or as bytes."""
        halves = (self._identity(), self._identity())
        digits = b"".join(halves).hex()
        return self._added(Canary(name, digits.upper() if upper else digits, halves, ("digits", "bytes")))

    def passphrase(self, name: str, alphabet: Alphabet) -> Canary:
        """Make a passphrase that is spelled in an alphabet and surrounded by what has to be quoted."""
        return self._added(_quoted(name, self._identity(), alphabet))

    def unmarked(self, name: str, alphabet: Alphabet) -> Canary:
        """Make a passphrase without the mark, for a place that is compressed: a mark that is left alone is a hit."""
        stranger = self._added(_quoted(name, self._random.randbytes(MARK_BYTES + OWN_BYTES), alphabet))
        self._strangers[name] = stranger.needles()
        return stranger

    def adopted(self, name: str, secret: bytes) -> None:
        """Take in a secret that somebody else made, of more than 24 bytes; either half gives it away.

        It has no mark, so it is looked for by itself.
        """
        halves = (secret[: len(secret) // 2], secret[len(secret) // 2 :])
        stranger = self._added(Canary(name, secret.hex(), halves, ("digits", "bytes")))
        self._strangers[name] = stranger.needles()

    def seen_in(self, data: bytes, *, text: bool = True) -> dict[str, set[str]]:
        """Return the canaries that data gives away, with the spellings that they were found in.

        Args:
            data: what somebody wrote, printed or passed.
            text: lines may have been folded.
        """
        found: dict[str, set[str]] = {}
        orphans: dict[bytes, bool] = {}
        # Empty places of disks and cores are no concern of ours, and a search for UTF-16 crawls through them.
        data = data.replace(EMPTY, b"")
        for view in views(data) if text else (data,):
            for needle, spelled in self._marks.items():
                if needle in view:
                    owners = [canary.name for canary in self if canary.gives_itself_away(view, spelled)]
                    for owner in owners:
                        found.setdefault(owner, set()).add(": ".join(spelled[0]))
                    orphans[needle] = orphans.get(needle, True) and not owners
            for name, needles in self._strangers.items():
                if any(needle in view for needle in needles):
                    found.setdefault(name, set()).add("some spelling")
        for needle in (needle for needle, orphan in orphans.items() if orphan):
            found.setdefault(CUT_OFF, set()).add(": ".join(self._marks[needle][0]))
        return found

    @functools.cached_property
    def _marks(self) -> dict[bytes, tuple[Spelled, ...]]:
        """The mark's spellings; several may be equal."""
        found: dict[bytes, tuple[Spelled, ...]] = {}
        for alphabet in t.get_args(Alphabet):
            for spelling, needle in _needles(self._mark, alphabet).items():
                found[needle] = (*found.get(needle, ()), (alphabet, spelling))
        return found

    def _identity(self) -> bytes:
        return self._mark + self._random.randbytes(OWN_BYTES)

    def _added(self, canary: Canary) -> Canary:
        assert canary.name not in self._members, canary.name
        self._members[canary.name] = canary
        return canary
