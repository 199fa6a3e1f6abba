# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in escrow, told without keys. Private to the collection."""

from __future__ import annotations

import typing as t

from ._escrow import Escrow, Held
from ._record import Binding

Told = dict[str, t.Any]


def told(escrow: Escrow, host: str) -> Told:
    """Return what ``zfs_key_escrow_info`` documents.

    Raises:
        BackendFailed: no place could be read.
    """
    held = escrow.entries(host)
    places = [{"name": name, "readable": name in escrow.readable} for name in escrow.names]
    found: Told = {"changed": False, "places": places, "versions": [_version(each, escrow) for each in held]}
    return {**found, "warnings": list(escrow.problems)} if escrow.problems else found


def _version(held: Held, escrow: Escrow) -> Told:
    entry, version = held.entry, held.entry.version
    return {
        "key_id": str(held.key_id),
        "host": version.host,
        "dataset": version.dataset,
        "state": entry.state,
        "since": entry.since,
        "created": version.created,
        "keyformat": version.keyformat,
        "pbkdf2iters": version.iterations,
        "pool_guid": version.pool_guid,
        "keyguid": version.keyguid,
        "bindings": [_binding(binding) for binding in entry.bindings],
        "places": list(held.at),
        "missing_in": [name for name in escrow.readable if name not in held.at],
        "level": held.is_level(escrow.readable),
    }


def _binding(binding: Binding) -> Told:
    return {
        "pool_guid": binding.pool_guid,
        "dataset": binding.dataset,
        "keyguid": binding.keyguid,
        "pbkdf2salt": binding.salt,
        "at": binding.at,
    }
