# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept in escrow: records, their versions, and the copies of data that a version opens.

A record has a random id and stands for one wrapping key's place: an encryption root of one host. A rotation gives it a
new version. A binding ties a version to a copy of the data that it was seen to open; copies are many, since a raw
replica has its source's keyguid. Private to the collection.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from ..module_utils._errors import Refused
from ..module_utils._keys import Key, KeyFormat

# NIST SP 800-57 part 1, section 7, in their order: a state never goes back.
STATES = ("pre-active", "active", "deactivated", "compromised", "destroyed")
State = t.Literal["pre-active", "active", "deactivated", "compromised", "destroyed"]

_NOTED = "%Y-%m-%dT%H:%M:%S.%fZ"
_KEY_ID = re.compile(r"(?P<record>[0-9a-f]{16})\.(?P<version>[0-9a-f]{12})")


@dataclass(frozen=True)
class KeyId:
    """The name of one version of one record; it says nothing of a key, and stands in a user property of the dataset.

    Args:
        record: 16 hexadecimal digits.
        version: 12 hexadecimal digits; random, so two controllers or branches never make the same.
    """

    record: str
    version: str

    def __str__(self) -> str:
        return f"{self.record}.{self.version}"


def key_id_from(text: str) -> KeyId:
    """Read ``<record>.<version>``.

    Raises:
        Refused: it is anything else.
    """
    found = _KEY_ID.fullmatch(text)
    if not found:
        raise Refused(f"{text!r} is no key id. One is 16 hexadecimal digits, a dot and 12 more, as key_id says it.")
    return KeyId(found["record"], found["version"])


def new_record() -> str:
    """Mint the id of a record."""
    return secrets.token_hex(8)


def new_key_id(record: str) -> KeyId:
    """Mint the id of a version."""
    return KeyId(record, secrets.token_hex(6))


def now() -> str:
    """Return the time as records note it: UTC, ISO 8601, to the microsecond, so that texts sort by time."""
    return noted(datetime.now(timezone.utc))


def later_than(moments: t.Iterable[str]) -> str:
    """Return the time as records note it, but later than these: a clock that was put back does not mix up versions."""
    latest = max(moments, default="")
    moment = now()
    if moment > latest:
        return moment
    return noted(datetime.strptime(latest, _NOTED).replace(tzinfo=timezone.utc) + timedelta(microseconds=1))


def moment_from(text: str, *, option: str) -> str:
    """Read a time or a date that a person wrote, in ISO 8601; without an offset it is UTC.

    Raises:
        Refused: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return noted(moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError):
        raise Refused(f"{option} is no time. Write it like 2026-11-30 or 2026-11-30T18:00:00Z.") from None


def days_ago(days: float, *, option: str) -> str:
    """Return the moment this many days ago as records note it.

    Raises:
        Refused: there is no such moment.
    """
    try:
        return noted(datetime.now(timezone.utc) - timedelta(days=days))
    except (ValueError, OverflowError):
        raise Refused(f"{option} is {days:g} days, which no calendar goes back. Write a number like 3650.") from None


def noted(moment: datetime) -> str:
    """Return a moment in UTC as records note it; strftime would give the year 931 three digits, and sort it last."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def digest_of(content: bytes) -> str:
    """Return what names a content, so that the same one twice has one name: 16 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Version:
    """All that is told about a version without its key; it never changes.

    Args:
        key_id: its id.
        host: the host's name in the inventory.
        dataset: the encryption root, as it was called when the version was made.
        keyformat: how OpenZFS is given the key.
        iterations: PBKDF2 rounds, 0 for what is no passphrase.
        created: when, as :func:`now` writes it.
        pool_guid: of the pool, empty where the version came before the pool.
        keyguid: of the root's master key, empty where the version came before the root.
    """

    key_id: KeyId
    host: str
    dataset: str
    keyformat: KeyFormat
    iterations: int
    created: str
    pool_guid: str = ""
    keyguid: str = ""


@dataclass(frozen=True)
class Binding:
    """A copy of the data that a version was seen to open.

    Args:
        pool_guid: the pool that the copy lies in.
        dataset: its encryption root there.
        keyguid: of the root's master key.
        salt: what a passphrase is stretched with in this copy, in decimal; ``0`` for what is no passphrase.
        at: when it was seen.
    """

    pool_guid: str
    dataset: str
    keyguid: str
    salt: str
    at: str

    @property
    def copy(self) -> tuple[str, str]:
        """What is bound; of several bindings of one copy the last holds."""
        return (self.pool_guid, self.dataset)


@dataclass(frozen=True)
class Entry:
    """What a backend knows of a version, without its key.

    Args:
        version: what never changes.
        state: the furthest that was noted.
        since: when that was noted.
        bindings: all that were noted, oldest first.
        faults: a sentence about each thing that was kept of it and cannot be read, like a torn file. The key may be
            readable all the same; ``fetch`` tells.
    """

    version: Version
    state: State
    since: str
    bindings: tuple[Binding, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def key_id(self) -> KeyId:
        return self.version.key_id

    def concerns(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> bool:
        """Tell whether it was made or bound for one of these master keys or pools."""
        told: list[Version | Binding] = [self.version, *self.bindings]
        return any(each.keyguid in keyguids or each.pool_guid in pool_guids for each in told)


@dataclass(frozen=True)
class Kept:
    """A version and its key, as it goes into a backend and comes back from it.

    Args:
        version: what is told.
        key: the key; never shown by ``repr``.
    """

    version: Version
    key: Key = field(repr=False)


def named(version: Version) -> str:
    """Name a version in a sentence."""
    return f"the key {version.key_id}" + (f" of {version.dataset}" if version.dataset else "")


def in_order(bindings: t.Iterable[Binding]) -> tuple[Binding, ...]:
    """Return bindings, oldest first."""
    return tuple(sorted(bindings, key=lambda binding: (binding.at, binding.copy)))


def furthest(states: t.Iterable[State]) -> State:
    """Return the state that is last in NIST's order: a state that was reached is never lost."""
    return max(states, key=STATES.index)
