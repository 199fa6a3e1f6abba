# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observing for ``zfs_encrypted_pool``: what each state needs to know, and no more.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ._choice import Choice
from ._dataset_wanted import BatchWanted, DatasetWanted
from ._devices import Device
from ._host import Creation, Host, Importable, PoolCreation, PoolState
from ._model import Dataset, Pool, Tree
from ._new_dataset import predicted
from ._observe import find_occupants, refuse_suspended
from ._plan import Observed
from ._plan_dataset import observe_dataset
from ._plan_unlock import observe_unlock
from ._pool_wanted import PoolWanted
from ._side_by_side import side_by_side
from ._topology import Topology, whole_disk
from ._unlock_wanted import UnlockWanted


@dataclass(frozen=True)
class PoolObserved(Observed):
    """What was read for a pool, besides its datasets.

    Args:
        name: the pool's name, also where the task gave only a GUID; None where it is not imported.
        states: vdevs and properties of all imported pools.
        devices: the disks and files of the topology, by their path.
        real: where the paths of disks lead now.
        importable: pools that are not imported, where they matter.
        rehearsal: what ``zpool create`` complains of, None if nothing or if it was not asked.
        users: who keeps the pool busy.
        hostid: of this system.
        is_installed: whether there is an OpenZFS at all.
    """

    name: str | None = None
    states: t.Mapping[str, PoolState] = field(default_factory=dict)
    devices: t.Mapping[str, Device] = field(default_factory=dict)
    real: t.Mapping[str, str] = field(default_factory=dict)
    importable: tuple[Importable, ...] = ()
    rehearsal: str | None = None
    users: tuple[str, ...] = ()
    hostid: str = ""
    is_installed: bool = True

    def real_path(self, path: str) -> str:
        return self.real.get(path, path)


def imported_name(wanted: PoolWanted, pools: t.Mapping[str, Pool]) -> str | None:
    """Return the name of the imported pool that a task means by name or GUID, None if it is not imported."""
    if wanted.name is not None:
        return wanted.name if wanted.name in pools else None
    return next((pool.name for pool in pools.values() if pool.guid == wanted.guid), None)


def observe_pool(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> PoolObserved:
    """Read what the wanted state depends on."""
    name = imported_name(wanted, pools)
    refuse_suspended(pools[each] for each in (name,) if each is not None)
    observe_state = {
        "present": _observe_present,
        "absent": _observe_absent,
        "imported": _observe_imported,
        "exported": _observe_exported,
    }[wanted.state]
    return observe_state(wanted, host, pools)


def _extended(observed: Observed, wanted: PoolWanted, host: Host) -> PoolObserved:
    is_installed = bool(observed.pools) or bool(host.binding().openzfs)
    return PoolObserved(**vars(observed), name=imported_name(wanted, observed.pools), is_installed=is_installed)


def _observe_present(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> PoolObserved:
    root = t.cast(DatasetWanted, wanted.root)
    states = host.pool_states() if pools else {}
    observed = _extended(observe_dataset(BatchWanted((root,)), host, pools), wanted, host)
    observed = replace(observed, states=states)
    if wanted.topology is None:
        return observed
    observed = replace(observed, real=_real_paths(wanted.topology, observed, host))
    if observed.name is not None:
        return observed
    devices = {device.path: device for device in side_by_side(host.device, wanted.topology.disks)}
    return replace(
        observed,
        devices=devices,
        occupied=_occupied(wanted, predicted(root, Tree({})), host),
        rehearsal=_rehearse(wanted, wanted.topology, devices, host) if observed.is_installed else None,
    )


def _occupied(wanted: PoolWanted, root: Dataset, host: Host) -> dict[str, str]:
    """Look where the root dataset would be mounted; below an altroot it still has its mountpoint's name."""
    path = root.value("mountpoint")
    altroot = (wanted.altroot or "").rstrip("/")
    found = find_occupants(host, [root.with_values({"mountpoint": altroot + path})])
    return dict.fromkeys((path,) if found else (), "".join(found.values()))


def _rehearse(wanted: PoolWanted, topology: Topology, devices: t.Mapping[str, Device], host: Host) -> str | None:
    """Rehearse the creation before anything is cleared or made for it; disks that cannot be taken need no rehearsal.

    Where one disk is not blank yet, files of like sizes stand in for all of them.
    """
    if any(device.in_use or device.kind == "unusable" for device in devices.values()):
        return None
    root = t.cast(DatasetWanted, wanted.root)
    creation = PoolCreation(
        topology, Creation(root.name, root.own_properties), wanted.pool_properties, wanted.altroot, wanted.force
    )
    if not any(device.holds or device.kind == "missing" for device in devices.values()):
        return host.rehearse_pool(creation)
    return host.rehearse_pool(creation, {path: each.size or wanted.file_size or 0 for path, each in devices.items()})


def _real_paths(topology: Topology, observed: PoolObserved, host: Host) -> dict[str, str]:
    members = {disk for state in observed.states.values() for disk in state.topology.disks}
    return {path: host.real_path(path) for path in {*topology.disks, *members, *map(whole_disk, members)}}


def _observe_absent(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> PoolObserved:
    observed = _extended(Observed(pools, Tree({})), wanted, host)
    if observed.name is None:
        return replace(observed, importable=host.importable_pools(wanted.search) if observed.is_installed else ())
    tree = host.datasets([observed.name])
    observed = replace(observed, tree=tree, states=host.pool_states(), users=host.users([observed.name]))
    return replace(observed, real=_real_paths(wanted.topology or Topology(), observed, host))


def _observe_imported(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> PoolObserved:
    observed = _extended(Observed(pools, Tree({})), wanted, host)
    if observed.name is not None:
        return replace(observed, states=host.pool_states())
    if not observed.is_installed:
        return observed
    return replace(observed, importable=host.importable_pools(wanted.search), hostid=host.hostid())


def _observe_exported(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> PoolObserved:
    name = imported_name(wanted, pools)
    if name is None:
        return _extended(Observed(pools, Tree({})), wanted, host)
    observed = _extended(observe_unlock(locking_all(wanted, name), host, pools), wanted, host)
    return replace(observed, users=host.users([name]))


def locking_all(wanted: PoolWanted, pool: str) -> UnlockWanted:
    """Return what an export asks for: everything locked, if it can be opened again."""
    return UnlockWanted(Choice((pool,), recursive=True), wanted.offers, "locked", verify_key=wanted.verify_key)


def opening_all(wanted: PoolWanted, pool: str) -> UnlockWanted:
    """Return what an import asks for after it: everything unlocked for which there is a key."""
    return UnlockWanted(Choice((pool,), recursive=True), wanted.offers, mount=wanted.mount)


def observe_opened(wanted: PoolWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read an imported pool's datasets, try the keys, and look at all places where something will be mounted."""
    name = imported_name(wanted, pools)
    if wanted.state != "imported" or name is None:
        return Observed(pools, Tree({}))
    observed = observe_unlock(opening_all(wanted, name), host, pools)
    due = due_plain_mounts(observed.tree, name) if wanted.mount else ()
    return replace(observed, occupied={**observed.occupied, **find_occupants(host, due)})


def due_plain_mounts(tree: Tree, pool: str) -> tuple[Dataset, ...]:
    """Return the plain datasets that no encryption root above closes and that are due to be mounted."""
    due = [
        dataset
        for dataset in tree.at_or_below(pool)
        if not dataset.is_encrypted
        and dataset.is_mounted_by_default
        and not dataset.is_mounted
        and not any(above.is_encrypted for above in tree.ancestors(dataset.name))
    ]
    return tuple(sorted(due, key=lambda dataset: dataset.value("mountpoint") + "/"))
