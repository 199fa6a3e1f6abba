# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host showed of itself, as far as keys in escrow are concerned: read from what ``zfs_encryption_info`` returns.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._keys import KeyFormat
from ..module_utils._names import pool_of
from ._record import Binding


@dataclass(frozen=True)
class Root:
    """An encryption root.

    Args:
        name: the dataset.
        pool_guid: of its pool.
        keyguid: of its master key.
        keyformat: how OpenZFS is given its key.
        iterations: PBKDF2 rounds, 0 for what is no passphrase.
        salt: what a passphrase is stretched with, in decimal; ``0`` for what is no passphrase.
        locked: whether its key is not loaded.
        location: where OpenZFS looks for its key, as ``keylocation`` says it.
        noted: the id of its key, as the dataset says it; empty where it says nothing that can be believed.
        inheriting: how many datasets inherit its key.
        broken: names of those below it that were seen to be wrapped with another key.
    """

    name: str
    pool_guid: str
    keyguid: str
    keyformat: KeyFormat
    iterations: int = 0
    salt: str = "0"
    locked: bool = False
    location: str = "prompt"
    noted: str = ""
    inheriting: int = 0
    broken: tuple[str, ...] = ()

    @property
    def key_file(self) -> str | None:
        """The file on the host that ``keylocation`` names, None where it names none."""
        return self.location[len("file://") :] if self.location.startswith("file://") else None

    def is_bound_among(self, bindings: t.Iterable[Binding]) -> bool:
        """Tell whether one of these bindings is to this copy of the data as it is now."""
        return any(binding == self.binding(binding.at) for binding in bindings)

    def binding(self, at: str) -> Binding:
        """Return the binding of this copy of the data to a version that was seen to open it then."""
        return Binding(self.pool_guid, self.name, self.keyguid, self.salt, at)


@dataclass(frozen=True)
class Tried:
    """What came of the keys that were tried on one root, by the ids that they were tried under."""

    opened_by: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    unknown: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A host as it was seen.

    Args:
        pools: GUIDs of the imported pools that were looked at, by name.
        roots: their encryption roots, by name.
        others: their other datasets, those that inherit a key and those that are plain.
        tried: by root, what came of the keys that were tried.
        offered: by root, whether a key that was offered besides opens it; None where there was none.
        checkpointed: names of the pools that can be rewound to a checkpoint.
    """

    pools: t.Mapping[str, str] = field(default_factory=dict)
    roots: t.Mapping[str, Root] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    tried: t.Mapping[str, Tried] = field(default_factory=dict)
    offered: t.Mapping[str, bool | None] = field(default_factory=dict)
    checkpointed: frozenset[str] = frozenset()

    def has(self, dataset: str) -> bool:
        """Tell whether a dataset is there."""
        return dataset in self.roots or dataset in self.others

    def was_tried(self, dataset: str, known_as: str) -> bool:
        tried = self.tried.get(dataset, Tried())
        return known_as in (*tried.opened_by, *tried.wrong, *tried.unknown)

    def was_found_wrong(self, dataset: str, known_as: str) -> bool:
        return known_as in self.tried.get(dataset, Tried()).wrong

    def opened_by(self, dataset: str) -> tuple[str, ...]:
        """Return the ids of the key that was seen to open a root."""
        return self.tried.get(dataset, Tried()).opened_by


def seen_from(info: t.Mapping[str, t.Any]) -> Seen:
    """Read the result of ``zfs_encryption_info``."""
    guids = {name: pool["guid"] for name, pool in info["pools"].items()}
    checkpointed = frozenset(name for name, pool in info["pools"].items() if pool["checkpoint"])
    plain = {name for pool in info["pools"].values() for name in pool["plain"]}
    inheriting = {name for root in info["roots"] for name in root["inheriting"]}
    roots = {root["name"]: _root(root, guids) for root in info["roots"]}
    tried = {each["name"]: _tried(each) for each in info["candidates"]}
    offered = {each["name"]: each["valid_key"] if each["key_given"] else None for each in info["summary"]}
    return Seen(guids, roots, frozenset(plain | inheriting), tried, offered, checkpointed)


def _root(root: t.Mapping[str, t.Any], guids: t.Mapping[str, str]) -> Root:
    return Root(
        root["name"],
        guids[pool_of(root["name"])],
        root["keyguid"],
        root["keyformat"],
        int(root["pbkdf2iters"]),
        root["pbkdf2salt"] if root["keyformat"] == "passphrase" else "0",
        bool(root["locked"]),
        root["keylocation"],
        root.get("key_id", ""),
        len(root["inheriting"]),
        tuple(root["broken"]),
    )


def _tried(each: t.Mapping[str, t.Any]) -> Tried:
    unknown = {key: str(value["msg"]) for key, value in each["unknown"].items()}
    return Tried(tuple(each["opened_by"]), tuple(each["wrong"]), unknown)
