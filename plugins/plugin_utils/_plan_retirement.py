# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning which replaced keys are destroyed: those that are old enough, that nothing needs, and never the last.

Nothing is read and nothing is changed here. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils._model import pool_of
from ._escrow import Held
from ._fitting import Index, age
from ._record import Binding
from ._seen import Root, Seen

_REPLACED = ("deactivated", "compromised")


@dataclass(frozen=True)
class Retention:
    """How long replaced keys are kept.

    Args:
        replaced_before: those that were replaced later are kept; as records note it.
        versions: how many of each record's replaced versions are kept, whatever their age.
        is_unseen_gone: whether copies that the host does not show are gone, or have another key.
    """

    replaced_before: str
    versions: int
    is_unseen_gone: bool


@dataclass(frozen=True)
class Judged:
    """What becomes of a replaced version.

    Args:
        held: the version.
        kept_because: why it is kept, None where it is destroyed.
    """

    held: Held
    kept_because: str | None = None


def due_versions(index: Index, versions: t.Iterable[Held], retention: Retention) -> tuple[Held, ...]:
    """Return the versions that are old enough, of records that have enough others, oldest first.

    What was begun and given up never opened anything, so it is not among those that are kept for their number.
    """
    due: list[Held] = []
    for record in dict.fromkeys(held.key_id.record for held in versions):
        replaced = [held for held in index.of_record(record) if held.state in _REPLACED]
        numbered = [held.key_id for held in replaced if held.entry.bindings]
        kept = numbered[max(0, len(numbered) - retention.versions) :]
        left = (held for held in replaced if held.key_id not in kept)
        due += [held for held in left if _is_old(held, index, retention)]
    return tuple(sorted(due, key=lambda held: held.entry.version.created))


def _is_old(held: Held, index: Index, retention: Retention) -> bool:
    """Tell whether a version was replaced long ago; of one of which that is not known, judging it says so."""
    replaced_at = _replaced_at(held, index)
    return replaced_at is None or replaced_at < retention.replaced_before


def _replaced_at(held: Held, index: Index) -> str | None:
    """Return when a version was replaced, None where the clocks of those who noted it do not let that be told.

    One that was compromised, or came back after it was replaced, was in use until a newer one took its last copy over.
    """
    newer = [each for each in index.siblings(held) if age(each) > age(held)]
    last_seen = {binding.copy: binding for binding in held.entry.bindings}  # they are in the order of time
    moments = [_taken_over_at(binding, newer) for binding in last_seen.values()]
    if held.entry.since >= held.entry.version.created:
        moments.append(held.entry.since)
    elif not moments:
        moments.append(
            _earliest((each.entry.version.created, binding) for each in newer for binding in each.entry.bindings)
        )
    told = [moment for moment in moments if moment is not None]
    return max(told, default="") or None if len(told) == len(moments) else None


def _taken_over_at(last: Binding, newer: t.Sequence[Held]) -> str | None:
    """Return when a newer version was first seen to open a copy, empty where none was.

    None where all that says so contradicts itself: it was noted before the newer version was made, or before the older
    one was last seen to open the copy. A copy that was renamed is known by its master key.
    """
    notes = [(each.entry.version.created, binding) for each in newer for binding in each.entry.bindings]
    found = [(made, binding) for made, binding in notes if binding.copy == last.copy] or [
        (made, binding)
        for made, binding in notes
        if (binding.pool_guid, binding.keyguid) == (last.pool_guid, last.keyguid)
    ]
    if not found:
        return ""
    return _earliest((made, binding) for made, binding in found if binding.at >= last.at)


def _earliest(notes: t.Iterable[tuple[str, Binding]]) -> str | None:
    """Return the first moment at which something was seen to be opened, but for those before the version was made."""
    return min((binding.at for made, binding in notes if binding.at >= made), default=None)


def active_of(index: Index, held: Held) -> tuple[Held, ...]:
    """Return the versions of a record that count as what opens its root."""
    return tuple(each for each in index.siblings(held) if each.state == "active")


def roots_of(held: Held, index: Index, seen: Seen) -> list[Root]:
    """Return the roots that a version, or what took its place, may open."""
    family = Index((held, *index.siblings(held)))
    return [root for root in seen.roots.values() if family.fitting(root) or root.name == held.entry.version.dataset]


def in_doubt(held: Held, roots: t.Iterable[Root], index: Index, seen: Seen) -> str | None:
    """Say what may still be wrapped with a version though another opens its root, None where that is certain.

    An increment of a raw stream brings a root the key of its source, and what inherits from it keeps the one before
    until its own increment comes. Passphrases show that by their salt; other keys leave no mark. So what inherits is
    certain only where this host gave the root its key: that wraps all of it anew.

    Args:
        held: the version.
        roots: those that it, or what took its place, may open.
        index: all versions of the host.
        seen: the host, and what came of trying the versions that roots say they have.
    """
    locked = [root.name for root in roots if root.locked and root.inheriting]
    if locked:
        return f"what inherits from {', '.join(locked)} may still be wrapped with it; unlock it and look"
    doubtful = [root.name for root in roots if root.broken or not _is_rewrapped(root, held, index, seen)]
    if not doubtful:
        return None
    return (
        f"what inherits from {', '.join(doubtful)} may still be wrapped with it, since this host has not set the key "
        "there that opens the root now. Heal with zfs_dataset_key what does not open, then rotate the key of the root "
        "here, which wraps all of it anew; of a replica with replicas_keep_old_key: true"
    )


def _is_rewrapped(root: Root, held: Held, index: Index, seen: Seen) -> bool:
    """Tell whether all that inherits from a root is known to be wrapped with what opens it."""
    if not root.inheriting or root.keyformat == "passphrase":
        return True
    noted = index.noted_on(root)
    return noted is not None and age(noted) > age(held) and str(noted.key_id) in seen.opened_by(root.name)


def judge(held: Held, index: Index, seen: Seen, strangers: t.Collection[Root], retention: Retention) -> Judged:
    """Say what becomes of a version that is old enough.

    Args:
        held: the version.
        index: all versions of the host.
        seen: the host, and what came of trying it and those that took its place.
        strangers: roots that nothing in escrow is meant for; they may have any key.
        retention: how long keys are kept.
    """
    key_id = str(held.key_id)
    own = roots_of(held, index, seen)
    likely = list({root.name: root for root in (*own, *strangers)}.values())
    opened = [root.name for root in likely if key_id in seen.opened_by(root.name)]
    if opened:
        return Judged(held, f"it opens {', '.join(opened)}")
    # A root that another key opens was not tried any further: it has one key.
    undecided = (root.name for root in likely if not seen.opened_by(root.name))
    untried = [name for name in undecided if not seen.was_found_wrong(name, key_id)]
    if untried:
        return Judged(held, f"it could not be tried on {', '.join(untried)}")
    rewindable = sorted({pool_of(root.name) for root in own} & seen.checkpointed)
    if rewindable:
        return Judged(held, f"{', '.join(rewindable)} has a checkpoint, and rewinding to it may bring it back")
    below = in_doubt(held, own, index, seen)
    if below is not None:
        return Judged(held, below)
    unseen = sorted({each.copy for each in held.entry.bindings if each.pool_guid not in set(seen.pools.values())})
    if unseen and not retention.is_unseen_gone:
        copies = ", ".join(f"{dataset} of the pool with GUID {guid}" for guid, dataset in unseen)
        return Judged(held, f"it was seen to open {copies}, which this host does not show")
    if _replaced_at(held, index) is None:
        return Judged(
            held,
            "when it was replaced cannot be told: it was noted with a clock that was behind the one with which it or "
            "its successor was made. The next rotation tells; until then zfs_key_escrow destroys it with force_destroy",
        )
    successors = {str(each.key_id) for each in active_of(index, held)}
    proven = any(successors & set(seen.opened_by(root.name)) for root in own)
    return Judged(held) if proven else Judged(held, "no newer key of its record was seen to open anything")
