# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlocking and locking trees of encryption roots: what to observe for it, and how to unlock.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._errors import Refused
from ._model import Dataset, Place, Pool, Tree
from ._names import names_above
from ._observe import find_asides, find_in_the_way, key_files_of, mountpoints_of, observe_tree, read_key_files, try_keys
from ._plan import Failure, Group, Observed, Plan
from ._plan_mounts import Due, foresee_mounts, foresee_obstacles
from ._replicas import broken_warnings, half_received_warnings, read_open_volumes
from ._side_by_side import side_by_side
from ._unlock_wanted import UnlockWanted
from ._verdicts import opening_key, unopened

if t.TYPE_CHECKING:
    from ._host import Host
    from ._mount_steps import Mount, ProtectIfBare, ReleaseIfProtected
    from ._step import Step
    from ._steps import ProveReadable


def observe_unlock(wanted: UnlockWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read the pools; try the offered keys where one is needed; look at the mountpoints that will be used."""
    tree = observe_tree(host, pools, {*wanted.pools, *wanted.offers.pools}, wanted.properties)
    wanted.offers.refuse_unknown_names(tree, pools)
    roots = wanted.choice.roots(tree, pools)
    asked = [root for root in roots if _needs_key(root, wanted, tree)]
    paths = wanted.offers.key_file_paths() | key_files_of(asked)
    if wanted.state == "locked":
        key_files = read_key_files(host, paths, mountpoints=mountpoints_of(tree))
        key_files = key_files.without_those_below(_places_to_close(roots, tree))
    else:
        key_files = read_key_files(host, paths)
    candidates = {root.name: (root, wanted.offers.for_root(root, key_files).keys) for root in asked}
    mounts = [dataset for root in roots for dataset in _due_mounts(root, wanted, tree)]
    verdicts = try_keys(host, candidates)
    occupied = find_in_the_way(host, mounts, tree)
    asides: dict[str, str] = {}
    if wanted.move_aside:
        occupied, asides = find_asides(host, occupied)
    places = _look_at_places(host, roots, wanted, tree)
    foundations = host.foundations() if roots and wanted.state == "locked" else {}
    unreadable: t.Mapping[str, str] = {}
    if wanted.state == "locked" and wanted.verify_key:
        unreadable = read_open_volumes(roots, tree, host)
    return Observed(
        *(pools, tree, key_files, verdicts, occupied, asides),
        unreadable=unreadable,
        places=places,
        foundations=foundations,
    )


def _look_at_places(host: Host, roots: t.Iterable[Dataset], wanted: UnlockWanted, tree: Tree) -> dict[str, Place]:
    """Look at the mountpoints that are to be protected: of all that is to be locked, or of what may stay so.

    And at those that unlocking has to release.
    """
    found: set[str] = set()
    to_release: set[str] = set()
    if wanted.protect_mountpoint:
        from ._plan_lock import places_to_protect

        closed = (root for root in roots if wanted.state == "locked" or not root.is_key_loaded)
        found.update(places_to_protect(closed, tree))
    if wanted.state == "unlocked":
        to_release.update(each.value("mountpoint") for root in roots for each in _left_unmounted(root, tree))
    paths = sorted(found | to_release)
    places = dict(zip(paths, side_by_side(host.place, paths)))
    foreign = {path for path in to_release if places[path].state == "protected" and host.occupant(path) is not None}
    return {path: place for path, place in places.items() if path not in foreign}


def _needs_key(root: Dataset, wanted: UnlockWanted, tree: Tree) -> bool:
    """Tell whether a key has to be tried: to open a locked root, or before an unlocked one is locked."""
    if wanted.state == "unlocked":
        return not root.is_key_loaded
    return tree.is_open(root) and wanted.verify_key


def _places_to_close(roots: t.Iterable[Dataset], tree: Tree) -> tuple[str, ...]:
    """Return the mountpoints behind which nothing can be read once these roots are locked."""
    datasets = (dataset for root in roots for dataset in tree.domain(root.name))
    return tuple(dataset.value("mountpoint") for dataset in datasets if dataset.is_mounted)


def plan_unlock(wanted: UnlockWanted, observed: Observed) -> Plan:
    """Plan either state.

    Raises:
        Refused: the request as a whole makes no sense or would do harm.
    """
    roots = wanted.choice.roots(observed.tree, observed.pools)
    is_unlocked = wanted.state == "unlocked"
    protected: t.Mapping[str, tuple[ProtectIfBare, ...]] = {}
    if is_unlocked:
        groups, failures = _plan_unlocked(roots, wanted, observed)
        warnings = (*broken_warnings(roots, observed.tree), *half_received_warnings(roots, observed.tree))
        if wanted.protect_mountpoint:
            from ._plan_lock import protections

            protected = protections(roots, groups, observed)
    else:
        from ._plan_lock import plan_locked, unprotected

        groups, failures = plan_locked(roots, wanted, observed)
        warnings = unprotected(roots, observed)
    return Plan(
        tuple(
            group for group in groups if group.name not in failures and (group.steps or group.mounts or group.proofs)
        ),
        failures,
        tuple(root.name for root in roots if (root.is_key_loaded if is_unlocked else not observed.tree.is_open(root))),
        wanted.choice.missing(observed.pools),
        (*wanted.offers.warnings(observed.pools), *warnings),
        to_stay_locked=() if is_unlocked else tuple(root.name for root in roots if not root.is_key_loaded),
        protections=protected,
    )


def _plan_unlocked(
    roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed
) -> tuple[list[Group], dict[str, Failure]]:
    _refuse_locked_above(roots, wanted, observed)
    due = {root.name: _due_mounts(root, wanted, observed.tree) for root in roots}
    work = [root for root in roots if due[root.name] or not root.is_key_loaded or _is_to_be_released(root, observed)]
    if not work:
        return [], {}
    failures = _failures(work, due, wanted, observed)
    left = [root for root in work if _failed_root(root, failures, observed) is None]
    mounts = foresee_mounts({root.name: due[root.name] for root in left}, wanted, observed)
    names = {root.name for root in left}
    places = {mount.mountpoint for each in mounts.values() for mount in each}
    groups = [
        replace(group, proofs=(*group.proofs, *_releases(root, places, observed)))
        for root in left
        for group in (_group(root, mounts[root.name], names, wanted, observed),)
    ]
    return groups, failures


def _failures(
    work: t.Sequence[Dataset], due: t.Mapping[str, Due], wanted: UnlockWanted, observed: Observed
) -> dict[str, Failure]:
    """Return what can be foreseen to fail: keys that do not open their root, places that are occupied.

    Whatever needs something of a root below a failed one is skipped, and named there; its own keys do not matter then.
    """
    failures: dict[str, Failure] = {}
    for root in work:
        failure = None if root.is_key_loaded else unopened(root, wanted.offers, observed)
        if failure is not None:
            failures[root.name] = failure
    while True:  # what turns out not to be mounted no longer hides what stands further down
        left = [root.name for root in work if _failed_root(root, failures, observed) is None]
        found = foresee_obstacles({name: due[name] for name in left}, wanted, observed)
        if not found:
            break
        failures.update(found)
    skipped: dict[str, tuple[str, ...]] = {}
    for root in work:
        failed = _failed_root(root, failures, observed)
        if failed is not None and failed != root.name:
            skipped[failed] = (*skipped.get(failed, ()), root.name)
            failures.pop(root.name, None)
    return {name: replace(failure, skipped=skipped.get(name, ())) for name, failure in failures.items()}


def _failed_root(root: Dataset, failures: t.Container[str], observed: Observed) -> str | None:
    """Return the uppermost failed root at or above this one."""
    line = (root.name, *(each.name for each in observed.tree.ancestors(root.name)))
    return next((name for name in reversed(line) if name in failures), None)


def _group(
    root: Dataset, mounts: tuple[Mount, ...], names: t.Container[str], wanted: UnlockWanted, observed: Observed
) -> Group:
    from ._steps import LoadKey, ProveReadable

    above = tuple(each.name for each in observed.tree.ancestors(root.name) if each.name in names)
    key = opening_key(root, wanted.offers, observed)
    if root.is_key_loaded or key is None:
        return Group(root.name, (), mounts, above)
    if not wanted.mounts:
        return Group(root.name, (LoadKey(root, key),), mounts, above)
    is_proven_by_reading = not mounts and root.can_be_read
    steps: tuple[Step, ...] = (LoadKey(root, key), *((ProveReadable(root),) if is_proven_by_reading else ()))
    return Group(root.name, steps, mounts, above, proofs=_volumes(root, observed.tree))


def _refuse_locked_above(chosen: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed) -> None:
    """Refuse what lies below a locked root that is not among the chosen: it could not be mounted."""
    names = {root.name for root in chosen}
    for root in chosen:
        if root.is_key_loaded and not _due_mounts(root, wanted, observed.tree):
            continue
        for ancestor in observed.tree.ancestors(root.name):
            if ancestor.is_encryption_root and not ancestor.is_key_loaded and ancestor.name not in names:
                raise Refused(
                    f"{root.name} lies below {ancestor.name}, which is locked. "
                    f"Unlock {ancestor.name} in the same task or before."
                )


def _due_mounts(root: Dataset, wanted: UnlockWanted, tree: Tree) -> Due:
    """Return what is to be mounted once the root is unlocked, outermost first."""
    if not wanted.mounts:
        return ()
    return tuple(each for each in tree.domain(root.name) if each.is_mounted_by_default and not each.is_mounted)


def _left_unmounted(root: Dataset, tree: Tree) -> t.Iterator[Dataset]:
    """Yield what only a person mounts, which does not release its mountpoint."""
    for each in tree.domain(root.name):
        has_place = each.value("mountpoint").startswith("/") and not each.is_zoned
        if has_place and not each.is_mounted and each.value("canmount") == "noauto":
            yield each


def _is_to_be_released(root: Dataset, observed: Observed) -> bool:
    return any(_is_protected(each, observed) for each in _left_unmounted(root, observed.tree))


def _is_protected(dataset: Dataset, observed: Observed) -> bool:
    place = observed.places.get(dataset.value("mountpoint"))
    return place is not None and place.state == "protected" and place.obstacle is None


def _releases(root: Dataset, mounted: t.Container[str], observed: Observed) -> tuple[ReleaseIfProtected, ...]:
    """Return what is done in the end about the mountpoints of what is not mounted.

    What shows inside of a mountpoint that is used first is none of the places that will show then.
    """
    from ._mount_steps import ReleaseIfProtected, ReleaseMountpoint

    def release(dataset: Dataset) -> ReleaseIfProtected:
        path = dataset.value("mountpoint")
        is_seen = not any(each in mounted for each in (path, *names_above(path)))
        is_due = is_seen and _is_protected(dataset, observed)
        foreseen = (ReleaseMountpoint(dataset.name, path),) if is_due else ()
        return ReleaseIfProtected(dataset.name, path, foreseen)

    return tuple(release(each) for each in _left_unmounted(root, observed.tree))


def _volumes(root: Dataset, tree: Tree) -> tuple[ProveReadable, ...]:
    """Return the proofs of volumes that inherit the root's key: udev makes their nodes a moment after it is loaded."""
    from ._steps import ProveReadable

    members = (each for each in tree.members(root.name) if each.is_volume and each.can_be_read)
    return tuple(ProveReadable(each) for each in members if each.name != root.name)
