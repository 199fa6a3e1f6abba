# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test needs of a place for keys, and what goes into one."""

from __future__ import annotations

import secrets
import typing as t

from ansible.parsing.dataloader import DataLoader

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, KeyFormat
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import Backend, Surroundings
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import (
    Binding,
    Entry,
    Kept,
    Version,
    new_key_id,
    new_record,
    now,
)


class Place(t.Protocol):
    """A place for keys that backends open. It may hold what other tests put there."""

    def open(self) -> Backend:
        """Open it as one more controller does."""


def surroundings(host: str = "any.example.org") -> Surroundings:
    """Return the run of a play that reaches a host by SSH."""
    return Surroundings(DataLoader(), host, "ssh")


def a_guid() -> str:
    """Return a guid that nothing else has."""
    return str(secrets.randbits(63) + 1)


def a_host() -> str:
    """Return the name of a host of which nothing is kept yet."""
    return f"host-{secrets.token_hex(6)}.example.org"


def a_version(
    host: str,
    *,
    dataset: str = "tank/home",
    keyformat: KeyFormat = "hex",
    record: str | None = None,
    pool_guid: str = "",
    keyguid: str = "",
) -> Version:
    iterations = 1_300_000 if keyformat == "passphrase" else 0
    key_id = new_key_id(record or new_record())
    return Version(key_id, host, dataset, keyformat, iterations, now(), pool_guid, keyguid)


def kept(version: Version, key: Key | None = None) -> Kept:
    """Return a version with a key, at random where none is given."""
    if key is not None:
        return Kept(version, key)
    if version.keyformat == "passphrase":
        return Kept(version, Key("passphrase", secrets.token_urlsafe(24).encode()))
    return Kept(version, _keys.generate())


def a_binding(*, dataset: str = "tank/home", pool_guid: str = "", keyguid: str = "", at: str = "") -> Binding:
    return Binding(pool_guid or a_guid(), dataset, keyguid or a_guid(), "0", at or now())


def fresh(version: Version) -> Entry:
    """Return the entry of a version that was just put."""
    return Entry(version, "pre-active", version.created)
