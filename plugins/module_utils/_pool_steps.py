# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make, destroy, import and export whole pools; they are reported under the pool's root dataset.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ._errors import CallFailed
from ._host import Host, PoolCreation, PoolImport
from ._mount_steps import released
from ._step import NOTHING, Step, Values
from ._steps import key_from_file


@dataclass(frozen=True)
class MakeFile:
    """A sparse file for a vdev."""

    dataset: str
    path: str
    size: int
    action: t.ClassVar[str] = "make_file"
    before: t.ClassVar[Values] = NOTHING

    @property
    def after(self) -> Values:
        return {f"file {self.path}": str(self.size)}

    @property
    def undone_by(self) -> Step | None:
        return RemoveFile(self.dataset, self.path)

    def perform(self, host: Host) -> None:
        host.make_file(self.path, self.size)


@dataclass(frozen=True)
class RemoveFile:
    dataset: str
    path: str
    action: t.ClassVar[str] = "remove_file"
    before: t.ClassVar[Values] = {"file": "present"}
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        host.remove_file(self.path)


@dataclass(frozen=True)
class ClearDevice:
    """What lies on a disk goes, since the task named the disk for that. Nothing brings it back."""

    dataset: str
    path: str
    holds: tuple[str, ...]
    action: t.ClassVar[str] = "clear_device"
    undone_by: t.ClassVar[None] = None

    @property
    def before(self) -> Values:
        return {f"device {self.path}": ", ".join(self.holds)}

    @property
    def after(self) -> Values:
        return {f"device {self.path}": "blank"}

    def perform(self, host: Host) -> None:
        host.clear_device(self.path)


@dataclass(frozen=True)
class CreatePool:
    """A new pool. With ``key_file`` its key is read from there now: a generated key is used as it was read back."""

    creation: PoolCreation
    key_file: str | None = None
    action: t.ClassVar[str] = "create_pool"
    before: t.ClassVar[Values] = {"state": "absent"}
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.creation.name

    @property
    def after(self) -> Values:
        root = self.creation.root
        location = {"keylocation": root.keylocation} if "keyformat" in root.properties else {}
        pool = {"state": "present", "topology": str(self.creation.topology), **self.creation.properties}
        return {**pool, **root.properties, **location}

    def perform(self, host: Host) -> None:
        creation = self.creation
        if self.key_file is not None:
            key = key_from_file(host, self.key_file, creation.root.properties["keyformat"], self.dataset)
            creation = replace(creation, root=replace(creation.root, key=key))
        host.create_pool(creation)


@dataclass(frozen=True)
class DestroyPool:
    """A pool that goes with everything in it, if it is still the one; so does the protection of its mountpoints."""

    dataset: str
    guid: str
    mountpoints: tuple[str, ...] = ()
    action: t.ClassVar[str] = "destroy_pool"
    before: t.ClassVar[Values] = {"state": "present"}
    after: t.ClassVar[Values] = {"state": "absent"}
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        present = host.pools().get(self.dataset)
        if present is None or present.guid != self.guid:
            raise CallFailed(f"Pool {self.dataset} was replaced by another one meanwhile, and nothing was destroyed.")
        with released(host, *self.mountpoints):
            host.destroy_pool(self.dataset)


@dataclass(frozen=True)
class ImportPool:
    request: PoolImport
    action: t.ClassVar[str] = "import_pool"
    before: t.ClassVar[Values] = {"state": "exported"}
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.request.name

    @property
    def after(self) -> Values:
        altroot = {} if self.request.altroot is None else {"altroot": self.request.altroot}
        readonly = {"readonly": "on"} if self.request.readonly else {}
        return {"state": "imported", "guid": self.request.guid, **altroot, **readonly}

    def perform(self, host: Host) -> None:
        host.import_pool(self.request)


@dataclass(frozen=True)
class ExportPool:
    dataset: str
    action: t.ClassVar[str] = "export_pool"
    before: t.ClassVar[Values] = {"state": "imported"}
    after: t.ClassVar[Values] = {"state": "exported"}
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        host.export_pool(self.dataset)


@dataclass(frozen=True)
class SetPoolProperties:
    dataset: str
    after: Values
    before: Values
    action: t.ClassVar[str] = "set_pool_properties"
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        host.set_pool_properties(self.dataset, self.after)
