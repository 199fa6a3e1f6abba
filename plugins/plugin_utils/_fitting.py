# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions in escrow may open a root, the likeliest first. Only trying them tells. Private to the collection."""

from __future__ import annotations

import typing as t

from ._escrow import Held
from ._seen import Root

# After a crash the pre-active one may be what the root has; a rewound pool has an older one again.
_LIKELIHOOD = ("active", "pre-active", "deactivated", "compromised")


def fitting(root: Root, held: t.Iterable[Held]) -> tuple[Held, ...]:
    """Return the versions worth trying on a root.

    A master key's id survives renaming, rotation and raw replication, and a dataset that was made anew has another; so
    the id decides wherever it is known. The name decides only for what was made before its dataset.
    """
    found = [(closeness, each) for each in held for closeness in (_closeness(root, each),) if closeness is not None]
    found.sort(key=lambda pair: pair[1].entry.version.created, reverse=True)
    found.sort(key=lambda pair: (pair[0], rank(pair[1])))
    return tuple(each for _closeness, each in found)


def _closeness(root: Root, held: Held) -> int | None:
    entry = held.entry
    bound = [binding for binding in entry.bindings if binding.keyguid == root.keyguid]
    if any(binding.copy == (root.pool_guid, root.name) for binding in bound):
        return 0
    if bound or entry.version.keyguid == root.keyguid:
        return 1
    return 2 if is_unbound(held) and entry.version.dataset == root.name else None


def is_unbound(held: Held) -> bool:
    """Tell whether a version was made before its dataset, and not seen to open anything yet."""
    return not held.entry.bindings and not held.entry.version.keyguid


def named_for(dataset: str, held: t.Iterable[Held]) -> tuple[Held, ...]:
    """Return versions that ever had to do with a dataset of this name, while nothing else is known of it.

    One round of trying fewer where they do, which is nearly always; what they do not open is looked at by its ids.
    """
    found = [each for each in held if dataset in _names(each)]
    found.sort(key=lambda each: each.entry.version.created, reverse=True)
    found.sort(key=rank)
    return tuple(found)


def _names(held: Held) -> set[str]:
    return {held.entry.version.dataset, *(binding.dataset for binding in held.entry.bindings)}


def waiting(held: t.Iterable[Held]) -> dict[str, list[Held]]:
    """Return, by dataset, the versions that a run made for one that it did not get to make, oldest first.

    The oldest is taken, so that two controllers that find the same go on with the same.
    """
    found: dict[str, list[Held]] = {}
    for each in sorted(held, key=lambda each: (each.entry.version.created, str(each.key_id))):
        if each.state == "pre-active" and is_unbound(each):
            found.setdefault(each.entry.version.dataset, []).append(each)
    return found


def rank(held: Held) -> int:
    """Return how likely a version is to be what opens its root; the likeliest comes first."""
    return _LIKELIHOOD.index(held.state) if held.state in _LIKELIHOOD else len(_LIKELIHOOD)
