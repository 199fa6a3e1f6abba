# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake answers about places, files, disks and pools; the parts that it asks do the work."""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._devices import Device
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import (
    Importable,
    PoolCreation,
    PoolImport,
    PoolState,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place

from .state import State


class Around(State):
    def occupant(self, path: str) -> str | None:
        self._enter("occupant", path)
        return self.places.occupant(path)

    def place_aside(self, path: str) -> str:
        self._enter("place_aside", path)
        return self.places.aside(path)

    def move_aside(self, path: str, aside: str) -> None:
        self._enter("move_aside", path)
        self.places.move(path, aside)

    def move_back(self, aside: str, path: str) -> None:
        self._enter("move_back", path)
        self.places.move(aside, path)

    def place(self, path: str) -> Place:
        self._enter("place", path)
        return self.mountpoints.look(path, is_empty=self.places.occupant(path) != "is not empty.")

    def protect_place(self, path: str) -> None:
        self._enter("protect_place", path)
        self.mountpoints.protect(path)

    def release_place(self, path: str) -> bool:
        self._enter("release_place", path)
        return self.mountpoints.release(path)

    def foundations(self) -> t.Mapping[str, tuple[str, ...]]:
        self._enter("foundations", "")
        return self.standing

    def mounts(self, names: t.Collection[str]) -> tuple[tuple[str, str], ...]:
        found = (self._datasets.records[name] for name in names)
        return tuple((record.name, path) for record in found for path in self._datasets.mounts_of(record))

    def users(self, names: t.Iterable[str]) -> tuple[str, ...]:
        chosen = list(names)
        for name in chosen:
            self._enter("users", name)
        return self._datasets.users_of(chosen)

    def read_key_file(self, path: str) -> bytes | None:
        self._enter("read_key_file", path)
        return self.key_files.get(path)

    def sync_key_file(self, path: str) -> None:
        self._enter("sync_key_file", path)
        if path not in self.key_files:
            raise CallFailed(f"The key file {path} is not there.")

    def write_key_file(self, path: str, content: bytes) -> None:
        self._enter("write_key_file", path)
        if path in self.key_files:
            raise CallFailed(f"The key file {path} appeared meanwhile and was left alone. Run the task again.")
        self.key_files[path] = content

    def pool_states(self) -> t.Mapping[str, PoolState]:
        self._enter("pool_states", "")
        return self._pools.states()

    def importable_pools(self, search: t.Sequence[str]) -> tuple[Importable, ...]:
        self._enter("importable_pools", "")
        return self._pools.importable(search)

    def hostid(self) -> str:
        self._enter("hostid", "")
        return self._pools.hostid

    def rehearse_pool(self, creation: PoolCreation, stand_ins: t.Mapping[str, int] | None = None) -> str | None:
        self._enter("rehearse_pool", creation.name)
        return self._pools.rehearse(creation, stand_ins)

    def create_pool(self, creation: PoolCreation) -> None:
        self._enter("create_pool", creation.name)
        self._pools.create(creation)

    def destroy_pool(self, name: str) -> None:
        self._enter("destroy_pool", name)
        self._pools.destroy(name)

    def export_pool(self, name: str) -> None:
        self._enter("export_pool", name)
        self._pools.export(name)

    def import_pool(self, request: PoolImport) -> None:
        self._enter("import_pool", request.name)
        self._pools.import_(request)

    def set_pool_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        self._enter("set_pool_properties", name)
        self._pools.set_properties(name, properties)

    def real_path(self, path: str) -> str:
        self._enter("real_path", path)
        found, to_do = "", path.split("/")
        followed: set[str] = set()
        while to_do:
            word = to_do.pop(0)
            here = f"{found}/{word}"
            if word == "..":
                found = found.rpartition("/")[0]
            elif here in self.links and here not in followed:
                followed.add(here)
                found, to_do = "", [*self.links[here].split("/"), *to_do]
            elif word not in ("", "."):
                found = here
        return self._disks.real_path(found or "/")

    def device(self, path: str) -> Device:
        self._enter("device", path)
        return self._disks.device(path)

    def clear_device(self, path: str) -> None:
        self._enter("clear_device", path)
        self._disks.clear(path)

    def make_file(self, path: str, size: int) -> None:
        self._enter("make_file", path)
        self._disks.make_file(path, size)

    def remove_file(self, path: str) -> None:
        self._enter("remove_file", path)
        self._disks.remove_file(path)
