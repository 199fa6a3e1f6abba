# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locking trees of encryption roots: deepest first, only what is proven to open again, never what the system needs.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._errors import Refused
from ._model import Dataset, Tree
from ._mount_steps import ProtectIfBare, ProtectMountpoint, Unmount
from ._names import is_below, names_above
from ._plan import Failure, Group, Observed
from ._replicas import lost_by_locking
from ._step import Step
from ._steps import CloseRoot, UnloadKey
from ._unlock_wanted import UnlockWanted
from ._verdicts import unopened

_KEPT = "It stays unlocked: what is locked must be proven to open again."


def plan_locked(
    chosen: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed
) -> tuple[list[Group], dict[str, Failure]]:
    _refuse_foundations(chosen, observed)
    _refuse_unlocked_below(chosen, observed)
    failures: dict[str, Failure] = {}
    groups: list[Group] = []
    closing = _closing(chosen, observed.tree)
    names = frozenset(root.name for root in chosen)
    unmounted: set[str] = set()
    for root in reversed(chosen):
        protecting = tuple(_protecting(root, closing, observed)) if wanted.protect_mountpoint else ()
        members = tuple(member.name for member in observed.tree.members(root.name) if member.name != root.name)
        clones = observed.tree.clones(root.name)
        if not observed.tree.is_open(root):
            sure = (CloseRoot(root.name, members, clones),) if clones else ()
            groups.append(Group(root.name, (*protecting, *sure)))
            continue
        mounted = [each for each in _mounted_below(root, names, observed.tree) if each.name not in unmounted]
        unmounted.update(each.name for each in mounted)
        failure = _held_elsewhere(root, wanted, observed) or (
            None if wanted.force_unmount else _mounted_by_hand(root, mounted)
        )
        if failure is None and wanted.verify_key:
            failure = unopened(root, wanted.offers, observed, kept=_KEPT) or lost_by_locking(
                (*observed.tree.members(root.name), *mounted), observed, kept=f"{root.name} stays unlocked."
            )
        if failure is not None:
            failures[root.name] = failure
        below = (each for each in observed.tree.roots_at_or_below(root.name) if each.name != root.name)
        deeper = tuple(each.name for each in below if observed.tree.is_open(each))
        unmounts = tuple(Unmount.of(dataset, force=wanted.force_unmount) for dataset in mounted)
        close: Step = UnloadKey(root.name, members, clones)
        if not root.is_key_loaded:
            close = CloseRoot(root.name, members, clones, was_open=True)
        steps: tuple[Step, ...] = (*protecting, close)
        groups.append(Group(root.name, steps, after=deeper, unmounts=unmounts))
    return _inner_places_first(groups), failures


def _inner_places_first(groups: t.Sequence[Group]) -> list[Group]:
    """Have what is mounted inside of another root's filesystem locked before that, and that not if it fails.

    Else it would be mounted again into a bare mountpoint, or could not be. The order of names goes before.
    """
    owners = {step.mountpoint: group.name for group in groups for step in group.unmounts}
    pairs = {
        (group.name, owners[place]): None
        for group in groups
        for step in group.unmounts
        for place in names_above(step.mountpoint)
        if owners.get(place, group.name) != group.name
    }
    after = {group.name: dict.fromkeys(group.after) for group in groups}
    for inner, outer in pairs:
        if inner not in after[outer] and outer not in _all_before(inner, after):
            after[outer][inner] = None
    return _in_order([replace(group, after=tuple(after[group.name])) for group in groups])


def _all_before(name: str, after: t.Mapping[str, t.Collection[str]]) -> set[str]:
    """Return a group and all that comes before it."""
    found: set[str] = set()
    to_see = {name}
    while to_see:
        found |= to_see
        to_see = {before for each in to_see for before in after.get(each, ())} - found
    return found


def _in_order(groups: t.Sequence[Group]) -> list[Group]:
    """Sort groups so that each comes after those that it names, else in the order that they have."""
    by_name = {group.name: group for group in groups}
    ordered: dict[str, Group] = {}

    def put(group: Group) -> None:
        for name in group.after:
            if name in by_name and name not in ordered:
                put(by_name[name])
        ordered[group.name] = group

    for group in groups:
        if group.name not in ordered:
            put(group)
    return list(ordered.values())


def unprotected(chosen: t.Sequence[Dataset], observed: Observed) -> tuple[str, ...]:
    """Name the mountpoints that should be protected and cannot be."""
    closing = _closing(chosen, observed.tree)
    return tuple(
        f"{path}, the mountpoint of {dataset.name}, is not protected: {observed.places[path].obstacle}."
        for root in chosen
        for dataset in observed.tree.domain(root.name)
        for path in (dataset.value("mountpoint"),)
        if path in observed.places
        and observed.places[path].state != "protected"
        and observed.places[path].obstacle is not None
        and not any(above in closing for above in names_above(path))
    )


def protections(
    roots: t.Iterable[Dataset], groups: t.Iterable[Group], observed: Observed
) -> dict[str, tuple[ProtectIfBare, ...]]:
    """Return, by root, the protection of the mountpoints of those that are locked and may stay so.

    What shows inside of a mountpoint that is used first is none of the places that will show then.
    """
    around = {mount.mountpoint for group in groups for mount in group.mounts}

    def protection(dataset: Dataset) -> ProtectIfBare:
        path = dataset.value("mountpoint")
        is_seen = not any(above in around for above in names_above(path))
        is_due = is_seen and observed.places[path].can_be_protected(after_unmount=False)
        return ProtectIfBare(dataset.name, path, (ProtectMountpoint(dataset.name, path),) if is_due else ())

    domains = {root.name: observed.tree.domain(root.name) for root in roots if not root.is_key_loaded}
    return {
        name: tuple(protection(each) for each in domain if each.value("mountpoint") in observed.places)
        for name, domain in domains.items()
    }


def places_to_protect(roots: t.Iterable[Dataset], tree: Tree) -> list[str]:
    """Return the mountpoints of all that is closed with these roots; what a container says is none of this host."""
    domains = (dataset for root in roots for dataset in tree.domain(root.name) if not dataset.is_zoned)
    paths = (dataset.value("mountpoint") for dataset in domains if dataset.value("canmount") != "off")
    return sorted({path for path in paths if path.startswith("/")})


def _mounted_below(root: Dataset, chosen: t.Container[str], tree: Tree) -> list[Dataset]:
    """Return what has to be unmounted, innermost first. A plain dataset with a legacy mount is nobody's business."""
    mounted = [dataset for dataset in tree.domain(root.name) if dataset.is_mounted]
    own = [dataset for dataset in mounted if dataset.is_encrypted or dataset.value("mountpoint").startswith("/")]
    along = _taken_along(own, chosen, tree)
    return sorted((*own, *along), key=lambda each: (each.value("mountpoint") + "/", each.name), reverse=True)


def _taken_along(mounted: t.Iterable[Dataset], chosen: t.Container[str], tree: Tree) -> list[Dataset]:
    """Return what ``zfs unmount`` would take along unsaid: clones below that follow roots elsewhere, which stay."""
    places = {dataset.name: dataset.value("mountpoint") for dataset in mounted}
    tops = (name for name in places if not any(above in places for above in names_above(name)))
    return [
        dataset
        for top in tops
        for dataset in tree.below(top)
        if dataset.is_mounted
        and dataset.is_encrypted
        and dataset.name not in places
        and dataset.encryption_root not in chosen
        and any(is_below(dataset.value("mountpoint"), places.get(above, "-")) for above in names_above(dataset.name))
    ]


def _closing(chosen: t.Sequence[Dataset], tree: Tree) -> frozenset[str]:
    """Return the mountpoints that go away when these roots are locked."""
    domains = (tree.domain(root.name) for root in chosen if tree.is_open(root))
    return frozenset(dataset.value("mountpoint") for domain in domains for dataset in domain if dataset.is_mounted)


def _protecting(root: Dataset, closing: t.Container[str], observed: Observed) -> t.Iterator[Step]:
    """Yield the protection of the bare mountpoints of a root's domain; what lies inside another one goes with that."""
    for dataset in observed.tree.domain(root.name):
        path = dataset.value("mountpoint")
        place = observed.places.get(path)
        is_seen = not any(above in closing for above in names_above(path))
        if place is not None and is_seen and place.can_be_protected(after_unmount=dataset.is_mounted):
            yield ProtectMountpoint(dataset.name, path)


def _held_elsewhere(root: Dataset, wanted: UnlockWanted, observed: Observed) -> Failure | None:
    """A clone shares its origin's key; one that is mounted in another place than those that were chosen holds it."""
    for member in observed.tree.members(root.name):
        is_chosen = member.name == root.name or is_below(member.name, root.name) or wanted.choice.covers(member.name)
        if member.is_mounted and not is_chosen:
            return Failure(
                "busy",
                f"{root.name} cannot be locked while {member.name}, which shares its key, is mounted. "
                "Unmount that first.",
            )
    return None


def _mounted_by_hand(root: Dataset, mounted: t.Iterable[Dataset]) -> Failure | None:
    """A legacy mount is somebody's own; ``zfs`` would neither unmount it nor mount it again."""
    for dataset in mounted:
        if not dataset.value("mountpoint").startswith("/"):
            return Failure(
                "busy",
                f"{root.name} cannot be locked while {dataset.name} is mounted by hand (mountpoint "
                f"{dataset.value('mountpoint')}). Unmount that first, or set force_unmount: true.",
            )
    return None


def _refuse_foundations(chosen: t.Sequence[Dataset], observed: Observed) -> None:
    """Refuse to lock what the running system stands on."""
    names = frozenset(root.name for root in chosen)
    for root in chosen:
        domain = {each.name: each for each in (*observed.tree.members(root.name), *observed.tree.domain(root.name))}
        mounted = [each for each in domain.values() if each.is_mounted]
        domain |= {each.name: each for each in _taken_along(mounted, names, observed.tree)}
        for name in domain if observed.tree.is_open(root) else ():
            if name in observed.foundations:
                raise Refused(
                    f"{root.name} is not locked: the running system stands on {name} "
                    f"({', '.join(observed.foundations[name])}). Leave it out; a rescue system can lock it."
                )


def _refuse_unlocked_below(chosen: t.Sequence[Dataset], observed: Observed) -> None:
    names = {root.name for root in chosen}
    for root in chosen:
        for below in observed.tree.roots_at_or_below(root.name):
            if below.name not in names and observed.tree.is_open(below):
                raise Refused(
                    f"{root.name} cannot be locked alone: {below.name} below it is unlocked. "
                    f"Lock {below.name} first, or set recursive: true."
                )
