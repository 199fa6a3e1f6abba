# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning which replaced keys are destroyed: those that are old enough, that nothing needs, and never the last.

Nothing is read and nothing is changed here. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils._names import pool_of
from ._escrow import Held
from ._fitting import Index, age
from ._record import Binding, KeyId
from ._seen import Root, Seen

_REPLACED = ("deactivated", "compromised")


@dataclass(frozen=True)
class Retention:
    """How long replaced keys are kept.

    Args:
        replaced_before: those that were replaced later are kept; as records note it.
        given_up_before: those that never opened anything and were given up later are kept: another controller may be
            about to set them.
        versions: how many replaced versions of each root are kept, whatever their age.
        is_unseen_gone: whether copies that the host does not show are gone, or have another key.
    """

    replaced_before: str
    given_up_before: str
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


def old_versions(index: Index, retention: Retention) -> tuple[Held, ...]:
    """Return the replaced versions that are old enough, oldest first."""
    return tuple(held for held in index.all if held.state in _REPLACED and _is_old(held, index, retention))


def kept_for_number(index: Index, seen: Seen, retention: Retention) -> set[KeyId]:
    """Return those that are kept whatever their age: the last few that each root, or copy that is not shown, had.

    What was begun and given up never opened anything, so it takes nobody's place.
    """
    by_root: dict[tuple[str, str], list[KeyId]] = {}
    for held in index.all:
        if held.state in _REPLACED:
            for root in {root for binding in held.entry.bindings for root in _shown_as(binding, seen, retention)}:
                by_root.setdefault(root, []).append(held.key_id)
    return {key_id for had in by_root.values() for key_id in had[max(0, len(had) - retention.versions) :]}


def _shown_as(binding: Binding, seen: Seen, retention: Retention) -> set[tuple[str, str]]:
    """Return what a copy is called now, by pool and root: several, or nothing, where no root has the name any more."""
    if not _is_shown(binding, seen):
        return set() if retention.is_unseen_gone else {binding.copy}
    roots = [root for root in seen.roots.values() if root.pool_guid == binding.pool_guid]
    named = {(root.pool_guid, root.name) for root in roots if root.name == binding.dataset}
    return named or {(root.pool_guid, root.name) for root in roots if root.keyguid == binding.keyguid}


def _is_shown(binding: Binding, seen: Seen) -> bool:
    return binding.pool_guid in seen.pools.values()


def _is_old(held: Held, index: Index, retention: Retention) -> bool:
    """Tell whether a version was replaced long ago; of one of which that is not known, judging it says so."""
    replaced_at = _replaced_at(held, index)
    before = retention.replaced_before if held.entry.bindings else retention.given_up_before
    return replaced_at is None or replaced_at < before


def _replaced_at(held: Held, index: Index) -> str | None:
    """Return when a version was replaced, None where the clocks of those who noted it do not let that be told.

    One that was compromised, or came back after it was replaced, was in use until a newer one took its last copy over.
    """
    newer = _newer(held, index)
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


def successors_of(held: Held, index: Index) -> tuple[Held, ...]:
    """Return the versions that took a version's place and count as what opens its root: those that are newer."""
    return tuple(each for each in _newer(held, index) if each.state == "active")


def _newer(held: Held, index: Index) -> list[Held]:
    return [each for each in index.siblings(held) if age(each) > age(held)]


def roots_of(held: Held, index: Index, seen: Seen) -> list[Root]:
    """Return the roots that a version, or what took its place, may open."""
    family = Index((held, *index.siblings(held)))
    return [root for root in seen.roots.values() if family.fitting(root) or root.name == held.entry.version.dataset]


def not_shown(held: Held, index: Index, seen: Seen) -> str | None:
    """Say what a version opened, or may open, that the host does not show, None where it shows all of that.

    One that was never seen to open anything may have been set all the same, by a run that died, and have come to any
    copy that its siblings opened.
    """
    version = held.entry.version
    if held.entry.bindings:
        does, bindings = "was seen to open", held.entry.bindings
    else:
        if not (
            version.pool_guid in seen.pools.values() if version.pool_guid else pool_of(version.dataset) in seen.pools
        ):
            return f"was made for {_copy(version.pool_guid, version.dataset)}"
        does, bindings = "may have come to", tuple(b for each in index.siblings(held) for b in each.entry.bindings)
    copies = sorted({binding.copy for binding in bindings if not _is_shown(binding, seen)})
    return f"{does} {', '.join(_copy(*each) for each in copies)}" if copies else None


def _since_then(held: Held, index: Index, seen: Seen) -> str:
    """Say that newer versions open all that is not shown, where they do: of what is below they say nothing."""
    hidden = {binding.copy: binding for binding in held.entry.bindings if not _is_shown(binding, seen)}
    if not hidden or not all(_taken_over_at(binding, _newer(held, index)) for binding in hidden.values()):
        return ""
    return (
        "; a newer key was seen to open it since, but what inherits from it may still be wrapped with this one. Look "
        "there, and say that it is not with unseen_copies: true"
    )


def _copy(pool_guid: str, dataset: str) -> str:
    return f"{dataset} of the pool with GUID {pool_guid}" if pool_guid else dataset


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
        f"what inherits from {', '.join(doubtful)} may still be wrapped with it: what opens the root now was not set "
        "on this host after it. Heal with zfs_dataset_key what does not open, then rotate the key of the root here, "
        "which wraps all of it anew; of a replica with replicas_keep_old_key: true"
    )


def _is_rewrapped(root: Root, held: Held, index: Index, seen: Seen) -> bool:
    """Tell whether all that inherits from a root is known to be wrapped with what opens it."""
    if not root.inheriting or root.keyformat == "passphrase":
        return True
    noted = index.noted_on(root)
    if noted is None or str(noted.key_id) not in seen.opened_by(root.name):
        return False
    return age(noted) > age(held) or not held.entry.bindings


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
    unseen = not_shown(held, index, seen)
    if unseen is not None and not retention.is_unseen_gone:
        return Judged(held, f"it {unseen}, which this host does not show{_since_then(held, index, seen)}")
    if _replaced_at(held, index) is None:
        return Judged(
            held,
            "when it was replaced cannot be told: it was noted with a clock that was behind the one with which it or "
            "its successor was made. The next rotation tells; until then zfs_key_escrow destroys it with force_destroy",
        )
    successors = {str(each.key_id) for each in successors_of(held, index)}
    proven = any(successors & set(seen.opened_by(root.name)) for root in own)
    return Judged(held) if proven else Judged(held, "no newer key of its record that is active opens a root here")
