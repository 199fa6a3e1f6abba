# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions in escrow may open a root, the likeliest first. Only trying them tells. Private to the collection."""

from __future__ import annotations

import typing as t

from ..module_utils._names import parent_of
from ._escrow import Held
from ._record import KeyId
from ._seen import Root

# After a crash the pre-active one may be what the root has; a rewound pool has an older one again.
_LIKELIHOOD = ("active", "pre-active", "deactivated", "compromised")
_USED = ("active", "pre-active")


class Index:
    """Versions, found by what they have to do with.

    Args:
        held: any versions.
    """

    def __init__(self, held: t.Iterable[Held]) -> None:
        self._by_keyguid: dict[str, list[Held]] = {}
        self._unbound: dict[str, list[Held]] = {}
        self._before_pools: list[Held] = []
        self._by_name: dict[str, list[Held]] = {}
        self._by_record: dict[str, list[Held]] = {}
        self._by_id: dict[KeyId, Held] = {}
        for each in sorted(held, key=age):
            entry = each.entry
            keyguids = {entry.version.keyguid, *(binding.keyguid for binding in entry.bindings)} - {""}
            for keyguid in keyguids:
                self._by_keyguid.setdefault(keyguid, []).append(each)
            if not keyguids:
                self._unbound.setdefault(entry.version.dataset, []).append(each)
                if not entry.version.pool_guid:
                    self._before_pools.append(each)
            for name in {entry.version.dataset, *(binding.dataset for binding in entry.bindings)}:
                self._by_name.setdefault(name, []).append(each)
            self._by_record.setdefault(each.key_id.record, []).append(each)
            self._by_id[each.key_id] = each
        self._by_text = {str(key_id): each for key_id, each in self._by_id.items()}

    @property
    def all(self) -> tuple[Held, ...]:
        """All of them, oldest first."""
        return tuple(self._by_id.values())

    def get(self, key_id: KeyId) -> Held | None:
        return self._by_id.get(key_id)

    def noted_on(self, root: Root) -> Held | None:
        """Return the version that a root says it has, by a note that was made on this host."""
        return self._by_text.get(root.noted)

    def fitting(self, root: Root) -> tuple[Held, ...]:
        """Return the versions worth trying on a root.

        A master key's id survives renaming, rotation and raw replication, and a dataset that was made anew has another;
        so the id decides wherever it is known. What was made before its dataset is found by what the root says of its
        key, whatever it is called now, and by its name; what was made even before its pool, which is too young to say
        anything when it is made, may be that of any pool of which nothing else is known.
        """
        known = sorted(self._by_keyguid.get(root.keyguid, ()), key=age, reverse=True)
        known.sort(key=lambda each: (not is_bound_to(each, root), rank(each)))
        noted = self.noted_on(root)
        found = (*known, *([] if noted is None else [noted]), *_likeliest(self._unbound.get(root.name, ())))
        if not found and parent_of(root.name) is None:
            found = _likeliest(self._before_pools)
        return tuple({each.key_id: each for each in found}.values())

    def named(self, dataset: str) -> tuple[Held, ...]:
        """Return versions that ever had to do with a dataset of this name, while nothing else is known of it.

        Trying these spares a look at the host in nearly all cases.
        """
        return _likeliest(self._by_name.get(dataset, ()))

    def waiting(self, dataset: str) -> tuple[Held, ...]:
        """Return the versions that a run made for a dataset that it did not get to make, oldest first.

        The oldest is taken, so that two controllers that find the same go on with the same.
        """
        return tuple(each for each in self._unbound.get(dataset, ()) if each.state == "pre-active")

    def of_record(self, record: str) -> tuple[Held, ...]:
        """Return all versions of a record, oldest first."""
        return tuple(self._by_record.get(record, ()))

    def siblings(self, held: Held) -> tuple[Held, ...]:
        """Return the other versions of the same record."""
        return tuple(each for each in self.of_record(held.key_id.record) if each.key_id != held.key_id)

    def superseded(self, held: Held) -> tuple[Held, ...]:
        """Return older versions of the same record that any place still counts as active, or as begun."""
        older = (each for each in self.siblings(held) if age(each) < age(held))
        return tuple(each for each in older if any(entry.state in _USED for entry in each.at.values()))


def is_bound_to(held: Held, root: Root) -> bool:
    """Tell whether a version was seen to open this very copy of the data."""
    return any(
        binding.copy == (root.pool_guid, root.name) and binding.keyguid == root.keyguid
        for binding in held.entry.bindings
    )


def rank(held: Held) -> int:
    """Return how likely a version is to be what opens its root, by its state; the likeliest comes first."""
    return _LIKELIHOOD.index(held.state) if held.state in _LIKELIHOOD else len(_LIKELIHOOD)


def _likeliest(held: t.Iterable[Held]) -> tuple[Held, ...]:
    return tuple(sorted(sorted(held, key=age, reverse=True), key=rank))


def age(held: Held) -> tuple[str, str]:
    """Return what versions are sorted by, oldest first."""
    return (held.entry.version.created, str(held.key_id))
