# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreseeing what mounting a root's filesystems meets: occupied places, and places that two of them want.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._errors import Refused
from ._model import Dataset, Tree
from ._names import names_above
from ._plan import Failure, Observed
from ._replicas import is_broken
from ._unlock_wanted import UnlockWanted

if t.TYPE_CHECKING:
    from ._mount_steps import Mount

Due = tuple[Dataset, ...]


def foresee_obstacles(due: t.Mapping[str, Due], wanted: UnlockWanted, observed: Observed) -> dict[str, Failure]:
    """Return, by root, what keeps one of its filesystems from being mounted.

    Args:
        due: the filesystems of each root, in the order of the roots; all that have no obstacle will be mounted.
        wanted: whether what stands in the way is moved aside.
        observed: what stands where.
    """
    found: dict[str, Failure] = {}
    places = _places(due)
    taken: dict[str, str] = {}
    for root, datasets in due.items():
        own: dict[str, str] = {}
        for dataset in datasets:
            path = dataset.value("mountpoint")
            other = taken.get(path, own.get(path))
            obstacle = None if path in observed.asides else _obstacle(dataset, places, observed)
            sentence = None if obstacle is None else f"{obstacle}{_way_out(obstacle, wanted)}"
            sentence = sentence if other is None else _shared(dataset, other)
            sentence = sentence or _inside_locked(dataset, places, observed.tree, observed)
            if sentence is not None:
                found[root] = Failure("mountpoint_occupied", sentence)
                break
            own[path] = dataset.name
        else:
            taken.update(own)
    return found


def _way_out(obstacle: str, wanted: UnlockWanted) -> str:
    """What is mounted is never moved aside."""
    if wanted.move_aside or "Unmount that" in obstacle:
        return ""
    return " zfs_unlock puts it elsewhere with move_aside: true."


def foresee_mounts(due: t.Mapping[str, Due], wanted: UnlockWanted, observed: Observed) -> dict[str, tuple[Mount, ...]]:
    """Return the mounts of each root, with what they are seen to move aside, or to fail because of."""
    from ._mount_steps import Mount, MoveAside

    places = _places(due)

    def mount(dataset: Dataset) -> Mount:
        path = dataset.value("mountpoint")
        is_in_the_way = _obstacle(dataset, places, observed) is not None
        moves = (MoveAside(dataset.name, path, observed.asides[path]),) if is_in_the_way else ()
        doom = _wrapped_otherwise(dataset) if is_broken(dataset, observed) else None
        return replace(Mount.of(dataset), clears_way=wanted.move_aside, foreseen=moves, doom=doom)

    return {root: tuple(mount(dataset) for dataset in datasets) for root, datasets in due.items()}


def refuse_shared_places(before: Tree, after: Tree) -> None:
    """Refuse to give a dataset a place where another one is or will be mounted too.

    Raises:
        Refused: one would hide the other. What shares a place already is left alone.
    """
    taken: dict[str, Dataset] = {}
    for dataset in after.datasets.values():
        old = before.get(dataset.name)
        path = dataset.value("mountpoint").rstrip("/")
        if not (dataset.is_mounted_by_default if old is None else dataset.is_mounted) or not path.startswith("/"):
            continue
        other = taken.setdefault(path, dataset)
        if other is dataset:
            continue
        for each, neighbour in ((dataset, other), (other, dataset)):
            was = before.get(each.name)
            if was is None or was.value("mountpoint") != each.value("mountpoint"):
                raise Refused(_shared(each, neighbour.name))


def refuse_hidden_files(files: t.Mapping[str, str], observed: Observed, after: Tree) -> None:
    """Refuse to write key files into a bare mountpoint: the mount would fail because of them.

    A directory that is in use already, as the ``/etc`` of a replica's mountpoint, is none.

    Args:
        files: the datasets that they are written for, by path.
        observed: what is mounted, and where something stands.
        after: what will be mounted.

    Raises:
        Refused: it is to be done in another order.
    """
    places: dict[str, Dataset] = {}
    for dataset in after.datasets.values() if files else ():
        if dataset.is_mounted_by_default or (dataset.is_mounted and dataset.name in observed.tree.datasets):
            places.setdefault(dataset.value("mountpoint"), dataset)
    for path, name in files.items():
        innermost = (
            next((up for up in names_above(each) if up in places), "/") for each in observed.key_files.paths(path)
        )
        for place in dict.fromkeys(innermost):
            if place == "/" or place in observed.occupied:
                continue
            around = places[place]
            now = observed.tree.get(around.name)
            if now is None or not now.is_mounted or now.value("mountpoint") != place:
                raise Refused(
                    f"The key file {path} of {name} would be written into {place} before {around.name} is mounted "
                    "there. See to that in a task of its own before, or keep the key elsewhere."
                )


def _places(due: t.Mapping[str, Due]) -> set[str]:
    return {dataset.value("mountpoint") for datasets in due.values() for dataset in datasets}


def _obstacle(dataset: Dataset, places: t.Container[str], observed: Observed) -> str | None:
    """Say what stands in the way; inside what is mounted before, nothing that shows now does."""
    obstacle = observed.obstacle(dataset)
    if obstacle is None or any(above in places for above in names_above(dataset.value("mountpoint"))):
        return None
    return obstacle


def _wrapped_otherwise(dataset: Dataset) -> str:
    return (
        f"{dataset.name} was not mounted: another key wraps it than {dataset.encryption_root}, as after a raw "
        "replication. zfs_dataset_key heals it by repoint."
    )


def _shared(dataset: Dataset, other: str) -> str:
    return (
        f"{dataset.name} would be mounted on {dataset.value('mountpoint')} like {other}, and one would hide the other. "
        "Change the mountpoint of one of them, or set canmount=noauto."
    )


def refuse_inside_locked(observed: Observed, after: Tree) -> None:
    """Refuse to mount a dataset that is new, or gets another place, in the bare mountpoint of a locked one.

    Raises:
        Refused: that one could not be unlocked any more.
    """
    for dataset in after.datasets.values():
        before = observed.tree.get(dataset.name)
        is_due = dataset.is_mounted_by_default if before is None else dataset.is_mounted
        if is_due and (before is None or before.value("mountpoint") != dataset.value("mountpoint")):
            sentence = _inside_locked(dataset, (), after, observed)
            if sentence is not None:
                raise Refused(sentence)


def _inside_locked(dataset: Dataset, places: t.Container[str], tree: Tree, observed: Observed) -> str | None:
    """Say in which locked filesystem's bare mountpoint a dataset would be mounted; a directory in use is none."""
    path = dataset.value("mountpoint")
    around = tree.closed_around(path)
    if around is None or any(above in places for above in names_above(path)):
        return None
    place = around.value("mountpoint")
    if place in observed.occupied:
        return None
    return (
        f"{dataset.name} would be mounted on {path}, inside {place}, where {around.name} belongs, which is locked and "
        f"could not be unlocked any more. Unlock {around.encryption_root} in the same task or before, choose another "
        "mountpoint, or set canmount=noauto."
    )
