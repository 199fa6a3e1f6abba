# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenZFS in memory, as far as the protocol ``Host`` shows it; tests/conformance holds it to the real one."""

from __future__ import annotations

import platform
import sys
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Binding, Creation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import OBSERVED_PROPERTIES, Dataset, Pool, Tree
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import parent_of, pool_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._property_lines import why_unread

from . import properties as props
from . import space
from .around import Around
from .datasets import Record
from .keys import Keys
from .threads import one_call_at_a_time


@one_call_at_a_time
class FakeOpenZFS(Keys, Around):
    """A ``Host`` without OpenZFS. Its errors are those of the pyzfs path.

    Besides the protocol: ``add_pool``, ``add_disk``, ``clone``, ``replicate``, ``hold`` and others do what a person
    does beside it;
    ``replication`` receives streams in part;
    ``occupied`` (path -> what stands there) and ``key_files`` (path -> content) are the host's other files, ``places``
    what stands inside of filesystems; ``standing`` (dataset -> what stands on it) is what the system needs;
    ``links`` (path -> where it leads) are symbolic links;
    ``with_node`` are the volumes that were waited for: nodes come as late as they may;
    ``calls`` is what was asked, ``changes`` what was asked to change; ``fail_on`` makes a call fail.
    """

    def __init__(self, *pools: str) -> None:
        super().__init__()
        for name in pools:
            self.add_pool(name)

    def binding(self) -> Binding:
        return Binding("pyzfs", sys.executable, platform.python_version(), "zfs-2.3.9")

    def pools(self) -> t.Mapping[str, Pool]:
        self._enter("pools", "")
        return self._pools.listed()

    def datasets(self, pools: t.Iterable[str], properties: t.Iterable[str] = ()) -> Tree:
        wanted = set(pools)
        names = dict.fromkeys((*OBSERVED_PROPERTIES, *properties))
        for pool in sorted(wanted):
            self._enter("datasets", pool)
        if not wanted <= self._pools.imported.keys():
            raise Refused(f"The datasets of {', '.join(sorted(wanted))} cannot be read: dataset does not exist")
        for name in names:
            if not props.is_known(name):
                raise Refused(why_unread(sorted(wanted), f"bad property list: invalid property '{name}'"))
        found = [record for record in self._datasets.records.values() if pool_of(record.name) in wanted]
        return Tree({record.name: self._datasets.shown(record, names) for record in found})

    def dataset(self, name: str) -> Dataset | None:
        self._enter("dataset", name)
        record = self._datasets.records.get(name)
        return None if record is None else self._datasets.shown(record, OBSERVED_PROPERTIES)

    def receiving(self, names: t.Collection[str]) -> frozenset[str]:
        return self.replication.receiving(names)

    def received_snapshots(self, names: t.Collection[str]) -> t.Mapping[str, str]:
        for name in sorted(names):
            self._enter("received_snapshots", name)
        return self.replication.received_snapshots(names)

    def create(self, creation: Creation) -> None:
        self._enter("create", creation.name)
        name = creation.name
        props.check_name(name)
        parent = self._datasets.records.get(parent_of(name) or "")
        if name in self._datasets.records or parent is None or parent.kind == "volume":
            raise CallFailed(f"{name} was not created: it exists, or its parent does not")
        self._datasets.add(creation, parent)

    def destroy(self, name: str) -> None:
        self._enter("destroy", name)
        record = self._datasets.existing(name, f"{name} was not destroyed")
        if record.snapshots or any(parent_of(other) == name for other in self._datasets.records):
            raise CallFailed(f"{name} was not destroyed: filesystem has children")
        if name in self._datasets.held:
            raise CallFailed(f"{name} was not destroyed: dataset is busy", reason="busy")
        place = self._datasets.property(record, "mountpoint").value
        del self._datasets.records[name]
        self._datasets.loaded.pop(name, None)
        self.with_node.discard(name)
        self.mountpoints.gone(place)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        self._enter("set_properties", name)
        record = self._datasets.existing(name, f"{name} did not take {', '.join(properties)}")
        given = dict(properties)
        location = given.pop("keylocation", None)
        if props.UNCHANGEABLE & given.keys() or ("mountpoint" in given and self._is_zoned(record)):
            raise CallFailed(f"{name} did not take {', '.join(given)}: a property is readonly")
        local = props.stored(record.kind, given)
        if record.kind == "volume" and "volsize" in local:
            self._refuse_another_size(record)
        if record.kind == "volume":
            local = space.of_changed_volume(record.local, local)
        if location is not None:
            if not props.is_keylocation(location) or (location == "none") == record.is_root:
                raise CallFailed(f"{name} did not take keylocation: invalid keylocation")
            if not record.is_root and record.protection is not None:
                raise CallFailed(f"{name} did not take keylocation: it may only be set on encryption roots")
            if record.is_root:
                local["keylocation"] = location
        before = self._datasets.property(record, "mountpoint").value
        record.local |= local
        self._unmount_what_may_not_be(record)
        if "mountpoint" in local:
            self._remount(record, before)

    def _refuse_another_size(self, record: Record) -> None:
        if self._datasets.is_locked(record):
            raise CallFailed(f"{record.name} did not take volsize: permission denied")
        if self._datasets.property(record, "readonly").value == "on":
            raise CallFailed(f"{record.name} did not take volsize: read only file system")

    def inherit_properties(self, name: str, properties: t.Collection[str]) -> None:
        self._enter("inherit_properties", name)
        record = self._datasets.existing(name, f"{name} does not inherit {', '.join(properties)}")
        before = self._datasets.property(record, "mountpoint").value
        for prop in properties:
            if not props.is_inherited(prop) or (prop == "mountpoint" and self._is_zoned(record)):
                raise CallFailed(f"{name} does not inherit {prop}: '{prop}' property cannot be inherited")
            record.local.pop(prop, None)
            record.received.pop(prop, None)
            if prop == "mountpoint":
                self._remount(record, before)

    def _remount(self, record: Record, before: str) -> None:
        """Follow a new mountpoint: what is mounted moves, and what mounts by itself is mounted, here and below."""
        record.mounted_at = None if record.mounted_at is None else "left"
        self.mountpoints.gone(before)
        for found in [record, *self._datasets.inheriting_mountpoint(record.name)]:
            shown = self._datasets.shown(found, ("type", "mountpoint", "canmount"))
            due = (shown.value("canmount") == "on" or found.mounted_at is not None) and not self._is_zoned(found)
            is_closed = found.is_half_received or self._datasets.is_locked(found)
            possible = shown.value("mountpoint").startswith("/") and not is_closed
            if due and possible:
                found.mounted_at = None
                self._datasets.begin_to_use(found)
                self.mountpoints.made(shown.value("mountpoint"))
            found.mounted_at = shown.value("mountpoint") if due and possible else None

    def _unmount_what_may_not_be(self, record: Record) -> None:
        if record.local.get("canmount") == "off":
            record.mounted_at = None
        for found in (record, *self._datasets.mounted_below(record.name)):
            found.mounted_at = None if self._is_zoned(found) else found.mounted_at

    def _is_zoned(self, record: Record) -> bool:
        return self._datasets.property(record, "zoned").value == "on"

    def mount(self, name: str, known: Dataset | None = None) -> None:
        self._enter("mount", name)
        record = self._datasets.records.get(name)
        if record is None or record.kind == "volume":
            raise CallFailed(f"{name} was not mounted: no such filesystem", reason="mount_failed")
        if record.mounted_at is not None:
            return
        path = self._datasets.property(record, "mountpoint").value
        occupant = self.places.occupant(path)
        if occupant is not None:
            raise CallFailed(f"{name} was not mounted: {path} {occupant}", reason="mountpoint_occupied")
        has_no_place = not path.startswith("/") or self._datasets.property(record, "canmount").value == "off"
        is_closed = self._datasets.is_locked(record) or self._datasets.is_mismatched(record)
        if has_no_place or is_closed or record.is_half_received or self._is_zoned(record):
            raise CallFailed(f"{name} was not mounted: see its mountpoint, canmount and key", reason="mount_failed")
        self.mountpoints.made(path)
        self._datasets.begin_to_use(record)
        record.mounted_at = path
        self._share(record, path)

    def _share(self, record: Record, path: str) -> None:
        """There is a server for NFS and none for SMB."""
        if self._datasets.property(record, "sharesmb").value != "off":
            self.remarks.append(f"{record.name} is mounted, but not shared: SMB share creation failed")
        elif self._datasets.property(record, "sharenfs").value != "off":
            self.exported.add(path)

    def unmount(self, name: str, known: Dataset | None = None) -> None:
        self._enter("unmount", name)
        record = self._datasets.existing(name, f"{name} was not unmounted")
        if record.mounted_at is None:
            return
        taken = [record, *self._datasets.mounted_below(name)]
        if any(self._datasets.keeps_its_mount(found) for found in taken) or self._datasets.mounted_inside(taken):
            raise CallFailed(f"{name} was not unmounted: pool or dataset is busy", reason="busy")
        for found in taken:
            self.exported.discard(found.mounted_at or "")
            found.mounted_at = None

    def force_unmount(self, name: str) -> None:
        self._enter("force_unmount", name)
        record = self._datasets.existing(name, f"{name} was not unmounted")
        left = [user for user in self._datasets.users.get(name, ()) if not user.yields]
        self._datasets.users[name] = left
        inside = [] if record.mounted_at is None else self._datasets.mounted_inside([record])
        taken = [record, *inside]
        is_deeper = any(self._datasets.mounted_inside([found]) for found in inside)
        if is_deeper or any(self._datasets.keeps_its_mount(found) for found in taken):
            raise CallFailed(f"{name} was not unmounted: target is busy", reason="busy")
        for found in taken:
            found.mounted_at = None
        self._datasets.binds.pop(name, None)
