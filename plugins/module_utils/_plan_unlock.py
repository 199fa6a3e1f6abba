# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlocking and locking trees of encryption roots: what to observe for it, and how to unlock.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._errors import Refused
from ._host import Host
from ._model import Dataset, Pool, Tree, is_below
from ._observe import find_occupants, key_files_of, observe_tree, read_key_files, try_keys
from ._plan import Failure, Group, Observed, Plan
from ._plan_lock import plan_locked
from ._steps import LoadKey, Mount, ProveReadable, Step
from ._unlock_wanted import UnlockWanted
from ._verdicts import opening_key, unopened


def observe_unlock(wanted: UnlockWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read the pools; try the offered keys where one is needed; look at the mountpoints that will be used."""
    tree = observe_tree(host, pools, {*wanted.pools, *wanted.offers.pools}, wanted.properties)
    wanted.offers.refuse_unknown_names(tree, pools)
    roots = wanted.choice.roots(tree, pools)
    asked = [root for root in roots if _needs_key(root, wanted)]
    key_files = read_key_files(host, wanted.offers.key_file_paths() | key_files_of(asked))
    if wanted.state == "locked":
        key_files = key_files.without_those_below(_places_to_close(roots, tree))
    candidates = {root.name: (root, wanted.offers.for_root(root, key_files).keys) for root in asked}
    mounts = [dataset for root in roots for dataset in _due_mounts(root, tree)] if wanted.mounts else []
    return Observed(pools, tree, key_files, try_keys(host, candidates), find_occupants(host, mounts))


def _needs_key(root: Dataset, wanted: UnlockWanted) -> bool:
    """Tell whether a key has to be tried: to open a locked root, or before an unlocked one is locked."""
    if wanted.state == "unlocked":
        return not root.is_key_loaded
    return root.is_key_loaded and wanted.verify_key


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
    plan_state = _plan_unlocked if wanted.state == "unlocked" else plan_locked
    groups, failures = plan_state(roots, wanted, observed)
    is_unlocked = wanted.state == "unlocked"
    return Plan(
        tuple(group for group in groups if group.name not in failures and (group.steps or group.mounts)),
        failures,
        tuple(root.name for root in roots if root.is_key_loaded == is_unlocked),
        wanted.choice.missing(observed.pools),
        wanted.offers.warnings(observed.pools),
    )


def _plan_unlocked(
    roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed
) -> tuple[list[Group], dict[str, Failure]]:
    for root in roots:
        sentence = locked_ancestor(root, roots, wanted, observed)
        if sentence is not None:
            raise Refused(sentence)
    failures = unlock_failures(roots, wanted, observed)
    groups: list[Group] = []
    for root in roots:
        mounts = _due_mounts(root, observed.tree) if wanted.mounts else ()
        key = opening_key(root, wanted.offers, observed)
        steps: tuple[Step, ...] = ()
        if not root.is_key_loaded and key is not None:
            is_proven_by_reading = wanted.mounts and not mounts and root.can_be_read
            steps = (LoadKey(root, key), ProveReadable(root)) if is_proven_by_reading else (LoadKey(root, key),)
        above = tuple(other.name for other in roots if is_below(root.name, other.name))
        due = tuple(Mount.of(dataset) for dataset in mounts)
        groups.append(Group(root.name, steps, due, above))
    return groups, failures


def unlock_failures(roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed) -> dict[str, Failure]:
    """Return what can be foreseen to fail, by root: keys that do not open it, places that are occupied."""
    failures: dict[str, Failure] = {}
    for root in roots:
        mounts = _due_mounts(root, observed.tree) if wanted.mounts else ()
        failure = None if root.is_key_loaded else unopened(root, wanted.offers, observed)
        failure = failure or _occupied(mounts, observed)
        if failure is not None:
            failures[root.name] = failure
    return failures


def locked_ancestor(root: Dataset, roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed) -> str | None:
    """Say which locked root above, not among the chosen, keeps this one from being unlocked or mounted."""
    if root.is_key_loaded and not (wanted.mounts and _due_mounts(root, observed.tree)):
        return None
    chosen = {each.name for each in roots}
    for ancestor in observed.tree.ancestors(root.name):
        if ancestor.is_encryption_root and not ancestor.is_key_loaded and ancestor.name not in chosen:
            return (
                f"{root.name} lies below {ancestor.name}, which is locked. "
                f"Unlock {ancestor.name} in the same task or before."
            )
    return None


def _due_mounts(root: Dataset, tree: Tree) -> tuple[Dataset, ...]:
    """Return what is to be mounted once the root is unlocked, outermost first."""
    return tuple(each for each in tree.domain(root.name) if each.is_mounted_by_default and not each.is_mounted)


def _occupied(mounts: t.Iterable[Dataset], observed: Observed) -> Failure | None:
    for dataset in mounts:
        obstacle = observed.obstacle(dataset)
        if obstacle is not None:
            return Failure("mountpoint_occupied", obstacle)
    return None
