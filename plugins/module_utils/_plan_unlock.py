# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlocking and locking trees of encryption roots: what is wanted, what to observe for it, what to do.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import _manifest
from ._choice import Choice, choice_from
from ._errors import Refused
from ._host import Host
from ._keys import Key
from ._model import Dataset, Pool, is_below
from ._observe import find_occupants, key_files_of, observe_tree, read_key_files, try_keys
from ._offers import Offers, offers_from
from ._plan import Failure, Group, Observed, Plan
from ._steps import LoadKey, Mount, ProveReadable, Step, UnloadKey, Unmount


@dataclass(frozen=True)
class UnlockWanted:
    """What a task of ``zfs_unlock`` asks for."""

    choice: Choice
    offers: Offers
    state: t.Literal["unlocked", "locked"] = "unlocked"
    mount: bool = True
    verify_key: bool = True

    @property
    def pools(self) -> tuple[str, ...]:
        return self.choice.pools

    @property
    def tries_keys_of_unlocked(self) -> bool:
        return self.state == "locked" and self.verify_key


def unlock_wanted(params: t.Mapping[str, t.Any]) -> UnlockWanted:
    """Read the parameters of ``zfs_unlock``."""
    return UnlockWanted(
        choice_from(params),
        offers_from(params.get("secrets") or (), _manifest.given(params)),
        params["state"],
        params["mount"],
        params["verify_key"],
    )


def observe_unlock(wanted: UnlockWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read the pools; try the offered keys where one is needed; look at the mountpoints that will be used."""
    tree = observe_tree(host, pools, wanted.pools)
    wanted.offers.refuse_unknown_names(tree, pools)
    roots = wanted.choice.roots(tree, pools)
    asked = [root for root in roots if root.is_key_loaded == wanted.tries_keys_of_unlocked]
    if wanted.state == "locked" and not wanted.verify_key:
        asked = []
    key_files = read_key_files(host, wanted.offers.key_file_paths() | key_files_of(asked))
    candidates = {root.name: (root, wanted.offers.for_root(root, key_files).keys) for root in asked}
    mounts = []
    if wanted.state == "unlocked" and wanted.mount:
        mounts = [dataset for root in roots for dataset in _due_mounts(tree.members(root.name))]
    return Observed(pools, tree, key_files, try_keys(host, candidates), find_occupants(host, mounts))


def plan_unlock(wanted: UnlockWanted, observed: Observed) -> Plan:
    """Plan either state.

    Raises:
        Refused: the request as a whole makes no sense or would do harm.
    """
    planner = _plan_unlocked if wanted.state == "unlocked" else _plan_locked
    return planner(wanted, observed)


def _plan_unlocked(wanted: UnlockWanted, observed: Observed) -> Plan:
    roots = wanted.choice.roots(observed.tree, observed.pools)
    _refuse_locked_ancestors(roots, observed)
    failures: dict[str, Failure] = {}
    groups: list[Group] = []
    for root in roots:
        mounts = _due_mounts(observed.tree.members(root.name)) if wanted.mount else ()
        failure = _occupied(mounts, observed) or (None if root.is_key_loaded else _unopened(root, wanted, observed))
        if failure is not None:
            failures[root.name] = failure
        steps: tuple[Step, ...] = ()
        if failure is None and not root.is_key_loaded:
            key = _opening_key(root, wanted, observed)
            proof = () if mounts or not wanted.mount else (ProveReadable(root),)
            steps = (LoadKey(root, t.cast(Key, key)), *proof)
        above = tuple(other.name for other in roots if is_below(root.name, other.name))
        groups.append(Group(root.name, steps, tuple(Mount(dataset.name) for dataset in mounts), above))
    return Plan(
        tuple(_without_failed(groups, failures)),
        failures,
        tuple(root.name for root in roots if root.is_key_loaded),
        wanted.choice.missing(observed.pools),
        _ignored(wanted, observed),
    )


def _plan_locked(wanted: UnlockWanted, observed: Observed) -> Plan:
    tree = observed.tree
    chosen = wanted.choice.roots(tree, observed.pools)
    _refuse_unlocked_below(chosen, observed)
    deepest_first = tuple(reversed(chosen))
    failures: dict[str, Failure] = {}
    groups: list[Group] = []
    for root in deepest_first:
        if not root.is_key_loaded:
            continue
        failure = _held_elsewhere(root, observed) or (_unopened(root, wanted, observed) if wanted.verify_key else None)
        if failure is not None:
            failures[root.name] = failure
        mounted = [dataset for dataset in tree.at_or_below(root.name) if dataset.is_mounted]
        # What lies below a deeper root is unmounted in that root's own group.
        deeper = [other.name for other in chosen if is_below(other.name, root.name) and other.is_key_loaded]
        own = [d for d in reversed(mounted) if not any(d.name == name or is_below(d.name, name) for name in deeper)]
        unmounts: list[Step] = [Unmount(dataset.name) for dataset in own]
        groups.append(Group(root.name, (*unmounts, UnloadKey(root.name)), after=tuple(deeper)))
    return Plan(
        tuple(_without_failed(groups, failures)),
        failures,
        tuple(root.name for root in chosen if not root.is_key_loaded),
        wanted.choice.missing(observed.pools),
        _ignored(wanted, observed),
    )


def _without_failed(groups: t.Iterable[Group], failures: t.Mapping[str, Failure]) -> t.Iterator[Group]:
    """Yield the groups that are worth starting, and those that do something or depend on a failure."""
    for group in groups:
        if group.name not in failures and (group.steps or group.mounts):
            yield group


def _due_mounts(members: t.Iterable[Dataset]) -> tuple[Dataset, ...]:
    return tuple(member for member in members if member.is_mounted_by_default and not member.is_mounted)


def _opening_key(root: Dataset, wanted: UnlockWanted, observed: Observed) -> Key | None:
    for key in wanted.offers.for_root(root, observed.key_files).keys:
        if observed.verdict(root.name, key).outcome == "opens":
            return key
    return None


def _unopened(root: Dataset, wanted: UnlockWanted, observed: Observed) -> Failure | None:
    """Say why no offered key opens a root; None if one does."""
    if _opening_key(root, wanted, observed) is not None:
        return None
    candidates = wanted.offers.for_root(root, observed.key_files)
    remarks = "".join(f" {remark}" for remark in candidates.remarks)
    kept = "" if wanted.state == "unlocked" else " It stays unlocked: what is locked must be proven to open again."
    if not candidates.keys:
        return Failure(
            "no_key",
            f"No key was given for {root.name} (keyformat {root.keyformat}).{remarks} "
            f"Give it in secrets or in a manifest.{kept}",
        )
    verdicts = [observed.verdict(root.name, key) for key in candidates.keys]
    unknown = next((verdict for verdict in verdicts if verdict.outcome == "unknown"), None)
    if unknown is not None:
        return Failure(
            "unknown",
            f"The keys given for {root.name} could not be tried: {unknown.detail}.{remarks}{kept}",
            unknown.errno,
        )
    return Failure("wrong_key", f"None of the keys given for {root.name} opens it.{remarks}{kept}")


def _occupied(mounts: t.Iterable[Dataset], observed: Observed) -> Failure | None:
    for dataset in mounts:
        path = dataset.value("mountpoint")
        if path in observed.occupied:
            return Failure(
                "mountpoint_occupied",
                f"{dataset.name} would be mounted on {path}, which {observed.occupied[path]}",
            )
    return None


def _held_elsewhere(root: Dataset, observed: Observed) -> Failure | None:
    """A clone shares its origin's key; one that is mounted in another place holds it (EBUSY)."""
    for member in observed.tree.members(root.name):
        if member.is_mounted and not (member.name == root.name or is_below(member.name, root.name)):
            return Failure(
                "busy",
                f"{root.name} cannot be locked while {member.name}, which shares its key, is mounted. "
                "Unmount that first.",
            )
    return None


def _refuse_locked_ancestors(roots: t.Sequence[Dataset], observed: Observed) -> None:
    chosen = {root.name for root in roots}
    for root in roots:
        for ancestor in observed.tree.ancestors(root.name):
            locked = ancestor.is_encryption_root and not ancestor.is_key_loaded
            if locked and not root.is_key_loaded and ancestor.name not in chosen:
                raise Refused(
                    f"{root.name} lies below {ancestor.name}, which is locked. "
                    f"Unlock {ancestor.name} in the same task or before."
                )


def _refuse_unlocked_below(chosen: t.Sequence[Dataset], observed: Observed) -> None:
    names = {root.name for root in chosen}
    for root in chosen:
        for below in observed.tree.roots_at_or_below(root.name):
            if below.name not in names and below.is_key_loaded:
                raise Refused(
                    f"{root.name} cannot be locked alone: {below.name} below it is unlocked. "
                    f"Lock {below.name} first, or set recursive: true."
                )


def _ignored(wanted: UnlockWanted, observed: Observed) -> tuple[str, ...]:
    names = wanted.offers.foreign_names(observed.pools)
    return (f"The manifest also names datasets of pools that are not imported: {', '.join(names)}.",) if names else ()
