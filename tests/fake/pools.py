# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's pools: imported ones by name, exported ones by what is on the disks."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, in_use
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import (
    Importable,
    PoolCreation,
    PoolImport,
    PoolState,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Pool
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import pool_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import Topology

from . import properties as props
from .datasets import Datasets, Record
from .disks import Disk, Disks
from .layout import complaint, laid_out
from .protection import random_id

OTHER_SYSTEM = "The pool was last accessed by another system."
MISSING_DEVICES = "One or more devices contains corrupted data."
_HOST_ID = "0badcafe"


@dataclass
class PoolRecord:
    """A pool.

    Args:
        topology: its vdevs, as ``zpool status`` shows them.
        properties: of the pool, as set or by default.
        health: as importing finds it.
        problem: what ``zpool import`` says about it.
        last_host: who used it last, if that is another system.
        crashed_with: hostid of the system that went down without exporting it.
        records: its datasets while it is exported.
    """

    name: str
    topology: Topology
    properties: dict[str, str]
    guid: str = field(default_factory=random_id)
    health: str = "ONLINE"
    problem: str = ""
    last_host: str = ""
    crashed_with: str | None = None
    is_readonly: bool = False
    has_checkpoint: bool = False
    records: dict[str, Record] = field(default_factory=dict)


class Pools:
    """All pools, imported and exported."""

    def __init__(self, datasets: Datasets, disks: Disks, occupied: t.Mapping[str, str]) -> None:
        self.imported: dict[str, PoolRecord] = {}
        self.exported: list[PoolRecord] = []
        self.hostid = _HOST_ID
        self._datasets = datasets
        self._disks = disks
        self._occupied = occupied

    def listed(self) -> dict[str, Pool]:
        altroots = self._datasets.altroots
        return {
            name: Pool(name, pool.guid, "ONLINE", pool.is_readonly, altroots.get(name, ""), pool.has_checkpoint)
            for name, pool in self.imported.items()
        }

    def states(self) -> dict[str, PoolState]:
        return {pool.name: PoolState(pool.topology, self._properties(pool)) for pool in self.imported.values()}

    def _properties(self, pool: PoolRecord) -> dict[str, str]:
        own = {"guid": pool.guid, "health": "ONLINE", "readonly": "on" if pool.is_readonly else "off"}
        altroot = self._datasets.altroots.get(pool.name)
        temporary = {"altroot": altroot or "-", **({"cachefile": "none"} if altroot else {})}
        is_encrypted = any(each.protection is not None for each in self._of(pool.name))
        active = {"feature@encryption": "active"} if is_encrypted else {}
        return {**pool.properties, **own, **temporary, **active}

    def _of(self, name: str) -> list[Record]:
        return [record for record in self._datasets.records.values() if pool_of(record.name) == name]

    def add(self, creation: PoolCreation) -> PoolRecord:
        """Have a pool whose root dataset is not mounted."""
        self._datasets.add(creation.root, None)
        pool = self.imported[creation.name] = PoolRecord(creation.name, Topology(), dict(props.OF_POOLS))
        pool.topology = laid_out(creation.topology, self._disks, (pool.guid, pool.name))
        return pool

    def rehearse(self, creation: PoolCreation, stand_ins: t.Mapping[str, int] | None = None) -> str | None:
        """Return what ``zpool create -n`` says: about properties by name, disks and vdevs."""
        if stand_ins is not None:
            files = Disks()
            for path, size in stand_ins.items():
                files.add(path, Disk(path, "file", size))
            return Pools(self._datasets, files, self._occupied).rehearse(creation)
        try:
            props.stored_of_pool(creation.properties)
        except CallFailed as error:
            return str(error)
        for path in creation.topology.disks:
            disk = self._disks.get(path)
            if disk is None:
                return f"cannot resolve path '{path}'"
            if disk.user is not None or disk.is_active:
                return f"{path} is in use and contains a unknown filesystem."
        return None if creation.force else complaint(creation.topology, self._disks)

    def create(self, creation: PoolCreation) -> None:
        name = creation.name
        what = f"Pool {name} was not created: "
        if name in self.imported:
            raise CallFailed(f"{what}cannot create '{name}': pool already exists")
        problem = self.rehearse(creation)
        if problem is not None:
            raise CallFailed(f"{what}{problem}")
        properties = {**props.OF_POOLS, **props.stored_of_pool(creation.properties)}
        place = self._place(creation)
        if place is not None and place in self._occupied:
            raise CallFailed(f"{what}mountpoint '{place}' {self._occupied[place]}")
        self.add(creation).properties = properties
        if creation.altroot is not None:
            self._datasets.altroots[name] = creation.altroot.rstrip("/")
        self._datasets.records[name].mounted_at = place

    @staticmethod
    def _place(creation: PoolCreation) -> str | None:
        """Return where the new root dataset is mounted, None if it is not."""
        mountpoint = creation.root.properties.get("mountpoint", f"/{creation.name}")
        if not mountpoint.startswith("/") or creation.root.properties.get("canmount") == "off":
            return None
        return os.path.normpath((creation.altroot or "") + mountpoint)

    def crash(self, name: str) -> None:
        pool = self.imported.pop(name)
        self._disks.set_active(pool.topology.disks, is_active=False)
        pool.crashed_with = self.hostid
        self._put_away(pool, self._taken(name))

    def destroy(self, name: str) -> None:
        self._close(name, "destroyed")
        pool = self.imported.pop(name)
        records = self._taken(name)
        self._disks.set_active(pool.topology.disks, is_active=False)
        if pool.is_readonly:  # nothing was written, so it is only exported
            self._put_away(pool, records)
        else:
            self._disks.destroy(pool.topology.disks)

    def export(self, name: str) -> None:
        self._close(name, "exported")
        pool = self.imported.pop(name)
        self._disks.set_active(pool.topology.disks, is_active=False)
        self._put_away(pool, self._taken(name))

    def _close(self, name: str, what: str) -> None:
        if name not in self.imported:
            raise CallFailed(f"Pool {name} was not {what}: cannot open '{name}': no such pool")
        users = self._datasets.users_of([name])
        if users:
            raise in_use(CallFailed(f"Pool {name} was not {what}: pool is busy", reason="busy"), users)

    def _taken(self, name: str) -> dict[str, Record]:
        """Take a pool's datasets out of the host; their keys are forgotten."""
        taken = {record.name: record for record in self._of(name)}
        for record in taken.values():
            del self._datasets.records[record.name]
            self._datasets.loaded.pop(record.name, None)
            record.mounted_at = None
        self._datasets.altroots.pop(name, None)
        return taken

    def _put_away(self, pool: PoolRecord, records: dict[str, Record]) -> None:
        pool.records, pool.is_readonly = records, False
        self.exported.append(pool)

    def importable(self, search: t.Sequence[str]) -> tuple[Importable, ...]:
        found = [pool for pool in self.exported if self._found(pool, search)]
        for pool in found:
            if pool.crashed_with not in (None, self.hostid):
                pool.problem, pool.last_host = OTHER_SYSTEM, f"fake (hostid {pool.crashed_with})"
        return tuple(Importable(each.name, each.guid, each.health, each.problem, each.last_host) for each in found)

    def _found(self, pool: PoolRecord, search: t.Sequence[str]) -> bool:
        """Tell whether a member lies where it is searched, and note in what state that leaves the pool."""
        disks = {member: self._disks.get(member) for member in pool.topology.disks}
        left = {
            member: disk for member, disk in disks.items() if disk is not None and disk.pool == (pool.guid, pool.name)
        }
        if len(left) < len(disks):
            redundant = any(vdev.type != "stripe" for vdev in pool.topology.data)
            pool.health, pool.problem = "DEGRADED" if redundant else "UNAVAIL", MISSING_DEVICES
        return any(_is_found((member, disk.path), search) for member, disk in left.items())

    def import_(self, request: PoolImport) -> None:
        what = f"Pool {request.name} was not imported: cannot import '{request.name}': "
        pool = next(
            (each for each in self.exported if each.guid == request.guid and self._found(each, request.search)), None
        )
        if pool is None:
            raise CallFailed(f"{what}no such pool available")
        if pool.name in self.imported:
            raise CallFailed(f"{what}a pool with that name already exists")
        if "another system" in pool.problem and not request.force:
            raise CallFailed(f"{what}pool was previously in use from another system.")
        if pool.health not in ("ONLINE", "DEGRADED"):
            raise CallFailed(f"{what}one or more devices is currently unavailable")
        self.exported.remove(pool)
        self.imported[pool.name] = pool
        pool.is_readonly, pool.problem, pool.last_host = request.readonly, "", ""
        pool.crashed_with = None
        self._disks.set_active(pool.topology.disks, is_active=True)
        self._datasets.records |= pool.records
        pool.records = {}
        if request.altroot is not None:
            self._datasets.altroots[pool.name] = request.altroot.rstrip("/")

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        if name not in self.imported:
            raise CallFailed(f"Pool {name} did not take {', '.join(properties)}: no such pool")
        pool = self.imported[name]
        for prop, value in properties.items():
            if pool.is_readonly:
                raise CallFailed(f"Pool {name} did not take {prop}: pool is read-only")
            pool.properties |= props.stored_of_pool({prop: value}, before=pool.properties)

    def refuse_readonly(self, dataset: str) -> None:
        """Refuse to change a dataset of a pool that is imported read-only."""
        pool = self.imported.get(pool_of(dataset))
        if pool is not None and pool.is_readonly:
            raise CallFailed(f"{dataset} was not changed: pool is read-only")


def _is_found(paths: t.Iterable[str], search: t.Sequence[str]) -> bool:
    """Tell whether ``zpool import`` finds a disk: without search on any device, else there or in that directory."""
    return any(
        path in search or os.path.dirname(path) in search or (not search and path.startswith("/dev/")) for path in paths
    )
