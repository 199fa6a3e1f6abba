# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenZFS in memory, as far as the protocol ``Host`` shows it; tests/conformance holds it to the real one."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._devices import Device
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import (
    OPENS,
    WRONG,
    Binding,
    Creation,
    Importable,
    KeyChange,
    Lineage,
    PoolCreation,
    PoolImport,
    PoolState,
    Verdict,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import (
    OBSERVED_PROPERTIES,
    Dataset,
    Place,
    Pool,
    Tree,
    parent_of,
    pool_of,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import Topology, Vdev

from . import moves, space
from . import properties as props
from .datasets import Datasets, Record, User, failed
from .disks import Disk, Disks
from .mountpoints import Mountpoints
from .places import Places
from .pools import OTHER_SYSTEM, Pools
from .protection import new_wrap
from .replication import Replication
from .threads import one_call_at_a_time

CHANGING_CALLS = frozenset(
    {
        *("load_key", "unload_key", "change_key", "inherit_key", "repoint", "reattach"),
        *("create", "destroy", "set_properties", "inherit_properties"),
        *("mount", "unmount", "force_unmount", "protect_place", "write_key_file", "move_aside", "move_back"),
        *("create_pool", "destroy_pool", "export_pool", "import_pool", "set_pool_properties"),
        *("clear_device", "make_file", "remove_file"),
    }
)

# What a pool that is imported read-only does not let happen.
WRITING_CALLS = frozenset(
    {
        *("change_key", "inherit_key", "repoint", "reattach", "create", "destroy"),
        *("set_properties", "inherit_properties"),
    }
)


@one_call_at_a_time
class FakeOpenZFS:
    """A ``Host`` without OpenZFS. Its errors are those of the pyzfs path.

    Besides the protocol: ``add_pool``, ``add_disk``, ``clone``, ``replicate``, ``hold`` and others do what a person
    does beside it;
    ``replication`` receives streams in part;
    ``occupied`` (path -> what stands there) and ``key_files`` (path -> content) are the host's other files, ``places``
    what stands inside of filesystems; ``standing`` (dataset -> what stands on it) is what the system needs;
    ``calls`` is what was asked, ``changes`` what was asked to change; ``fail_on`` makes a call fail.
    """

    def __init__(self, *pools: str) -> None:
        self.calls: list[tuple[str, str]] = []
        self.occupied: dict[str, str] = {}
        self.key_files: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], Exception] = {}
        self._datasets = Datasets()
        self._disks = Disks()
        self.places = Places(self._datasets, self.occupied)
        self.replication = Replication(self._datasets)
        self.mountpoints = Mountpoints(self._datasets)
        self.standing: dict[str, tuple[str, ...]] = {}
        self._pools = Pools(self._datasets, self._disks, self.occupied)
        for name in pools:
            self.add_pool(name)

    # What a person does beside the protocol

    def add_pool(self, name: str, properties: t.Mapping[str, str] | None = None, key: Key | None = None) -> None:
        """Make a pool of one disk; with a key its root dataset is an encryption root."""
        path = f"/dev/disk/by-id/{name}"
        self.add_disk(path)
        topology = Topology(data=(Vdev("stripe", (path,)),))
        self._pools.add(PoolCreation(topology, Creation(name, properties or {}, key=key)))

    def add_disk(
        self, path: str, *, holds: t.Iterable[str] = (), in_use: str | None = None, real: str | None = None
    ) -> None:
        """Plug in a disk, blank if nothing else is said; ``real`` is where a link like by-id leads."""
        self._disks.add(path, Disk(real or path, "disk", holds=tuple(holds), in_use=in_use))

    def add_file(self, path: str, size: int = 0, *, holds: t.Iterable[str] = ()) -> None:
        """Leave a file that a pool could be made of."""
        self._disks.add(path, Disk(path, "file", size, tuple(holds)))

    def fill(self, path: str, *holds: str) -> None:
        """Put something on a disk or file, in words."""
        self._disks.put(path, holds)

    @contextlib.contextmanager
    def use_disk(self, path: str, user: str) -> t.Iterator[None]:
        """Have a disk in use, in words."""
        self._disks.use(path, user)
        yield
        self._disks.use(path, None)

    def set_hostid(self, hostid: str) -> None:
        self._pools.hostid = hostid

    def crash(self, name: str) -> None:
        """Leave a pool as a system does that goes down without exporting it."""
        self._pools.crash(name)

    def use(self, name: str, *users: User) -> None:
        """Have users of a dataset, none of whom lets go of it; without any it is let go of."""
        self._datasets.users[name] = list(users)

    def bind(self, name: str, path: str) -> None:
        """Mount a filesystem a second time, by a bind mount."""
        self._datasets.binds.setdefault(name, []).append(path)

    def alter_exported(self, name: str, *, state: str = "ONLINE", problem: str = "", last_host: str = "") -> None:
        """Have the pool of this name that was exported last show a problem, or another system that uses it."""
        pool = next(each for each in reversed(self._pools.exported) if each.name == name)
        problem = problem or (OTHER_SYSTEM if last_host else "")
        pool.health, pool.problem, pool.last_host = state, problem, last_host

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset."""
        self._datasets.clone(origin, name)

    def promote(self, name: str) -> None:
        """Let a clone and its origin change places."""
        self._datasets.promote(name)

    def sweep(self, name: str) -> None:
        """Destroy a dataset and all below it."""
        self._datasets.sweep(name)

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment.

        An increment without them leaves a replica that inherits a key with a master key that this key does not open.
        """
        self._datasets.replicate(source, target, properties=properties)

    def replicate_tree(self, source: str, target: str) -> None:
        """Send a dataset raw with all below it, once."""
        moves.replicate_tree(self._datasets, source, target)

    def send_decrypted(self, source: str, target: str) -> None:
        """Send a dataset that is plain, or whose key is loaded, not raw."""
        moves.send_decrypted(self._datasets, source, target)

    def rename(self, old: str, new: str) -> None:
        moves.rename(self._datasets, old, new)

    @contextlib.contextmanager
    def hold(self, name: str) -> t.Iterator[None]:
        """Have a file of a mounted filesystem open, or a volume."""
        self._datasets.held.add(name)
        try:
            yield
        finally:
            self._datasets.held.discard(name)

    def fail_on(self, call: str, dataset: str, error: Exception) -> None:
        """Make a call about a dataset (a path, for files) fail before it changes anything.

        A verification that fails gives the verdict ``unknown``, as the protocol has it.
        """
        self.faults[call, dataset] = error

    def mount_options(self, name: str) -> frozenset[str]:
        """Return the properties that decide how a filesystem is mounted."""
        record = self._datasets.records[name]
        switches = ("atime", "devices", "exec", "nbmand", "readonly", "relatime", "setuid")
        return frozenset(f"{switch}={self._datasets.property(record, switch).value}" for switch in switches)

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in CHANGING_CALLS]

    # Reading

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
                raise Refused(f"The datasets cannot be read: bad property list: invalid property '{name}'")
        found = [record for record in self._datasets.records.values() if pool_of(record.name) in wanted]
        return Tree({record.name: self._datasets.shown(record, names) for record in found})

    def dataset(self, name: str) -> Dataset | None:
        self._enter("dataset", name)
        record = self._datasets.records.get(name)
        return None if record is None else self._datasets.shown(record, OBSERVED_PROPERTIES)

    def verify(self, root: Dataset, key: Key) -> Verdict:
        try:
            self._enter("verify", root.name)
        except CallFailed as fault:
            return Verdict("unknown", fault.errno, str(fault))
        if not root.is_encryption_root:
            return Verdict("unknown", errno.EINVAL, os.strerror(errno.EINVAL))
        if not key.fits(root.keyformat):
            return WRONG
        number = self._try(root, key)
        if number == errno.EACCES:
            return WRONG
        return OPENS if number == 0 else Verdict("unknown", number, os.strerror(number))

    def prove_readable(self, dataset: Dataset) -> None:
        self._enter("prove_readable", dataset.name)
        record = self._datasets.existing(dataset.name, "It cannot be read")
        if self._datasets.is_locked(record) or (
            self._datasets.is_mismatched(record) and not self._datasets.is_in_use(record)
        ):
            raise CallFailed(f"{record.name} cannot be read: {os.strerror(errno.EACCES)}.")

    def receiving(self, names: t.Collection[str]) -> frozenset[str]:
        return self.replication.receiving(names)

    def lineage(self, names: t.Collection[str]) -> t.Mapping[str, Lineage]:
        return self.replication.lineage(names)

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
        return self.mountpoints.look(path)

    def protect_place(self, path: str) -> None:
        self._enter("protect_place", path)
        self.mountpoints.protect(path)

    def release_place(self, path: str) -> bool:
        return self.mountpoints.release(path)

    def foundations(self) -> t.Mapping[str, tuple[str, ...]]:
        self._enter("foundations", "")
        return self.standing

    def read_key_file(self, path: str) -> bytes | None:
        self._enter("read_key_file", path)
        return self.key_files.get(path)

    # Keys

    def load_key(self, root: Dataset, key: Key) -> None:
        self._enter("load_key", root.name)
        number = self._try(root, key) if key.fits(root.keyformat) else errno.EACCES
        if number != 0:
            reason: Reason = "wrong_key" if number == errno.EACCES else "unknown"
            raise failed(f"The key of {root.name} was not loaded", number, reason)
        self._datasets.loaded.setdefault(root.name, self._datasets.wrap_of(root.name).key)

    def unload_key(self, name: str) -> None:
        self._enter("unload_key", name)
        what = f"The key of {name} was not unloaded"
        self._datasets.existing(name, what)
        if name not in self._datasets.loaded:
            raise failed(what, errno.EACCES)
        if any(self._datasets.is_in_use(record) for record in self._datasets.members(name)):
            raise failed(what, errno.EBUSY, "busy")
        del self._datasets.loaded[name]

    def change_key(self, change: KeyChange) -> None:
        self._enter("change_key", change.name)
        what = f"The key of {change.name} was not changed"
        record = self._datasets.existing(change.name, what)
        is_location = props.is_keylocation(change.keylocation) and change.keylocation != "none"
        if record.protection is None or record.origin is not None or not is_location:
            raise failed(what, errno.EINVAL)
        wrap = new_wrap(change.keyformat, change.key, change.iterations)
        if self._datasets.is_locked(record):
            raise failed(what, errno.EACCES)
        self._datasets.rewrap(record, record.protection.root, change.name, wrap)
        self._datasets.loaded[change.name] = wrap.key
        record.local["keylocation"] = change.keylocation

    def inherit_key(self, name: str) -> None:
        self._enter("inherit_key", name)
        what = f"{name} does not inherit its parent's key"
        record = self._datasets.existing(name, what)
        parent = self._datasets.records.get(parent_of(name) or "")
        if not record.is_root or record.origin is not None or parent is None or parent.protection is None:
            raise failed(what, errno.EINVAL)
        if self._datasets.is_locked(record) or self._datasets.is_locked(parent):
            raise failed(what, errno.EACCES)
        above = parent.protection.root
        self._datasets.rewrap(record, name, above, self._datasets.wrap_of(above))
        del self._datasets.loaded[name], record.local["keylocation"]

    @contextlib.contextmanager
    def keep_open(self, datasets: t.Sequence[Dataset]) -> t.Iterator[None]:
        for dataset in datasets:
            record = self._datasets.records.get(dataset.name)
            is_open = record is not None and (
                record.mounted_at is not None
                or (record.kind == "volume" and not self._datasets.is_mismatched(record))
                or record.name in self._datasets.held
            )
            if not is_open:
                raise CallFailed(f"{dataset.name} is no longer in use, so the key was not touched. Run again.")
        with contextlib.ExitStack() as held:
            for dataset in datasets:
                if dataset.name not in self._datasets.held:
                    held.enter_context(self.hold(dataset.name))
            yield

    def repoint(self, name: str) -> None:
        self._enter("repoint", name)
        what = f"{name} did not become a root of its own"
        record = self._datasets.existing(name, what)
        if record.protection is None or record.is_root or record.origin is not None:
            raise failed(what, errno.EINVAL)
        self._datasets.repoint(record, record.protection.root, name)
        record.local["keylocation"] = "prompt"

    def reattach(self, name: str) -> None:
        self._enter("reattach", name)
        what = f"{name} does not refer to its parent's root"
        record = self._datasets.existing(name, what)
        parent = self._datasets.records.get(parent_of(name) or "")
        if parent is None:
            raise CallFailed(f"{name} is a pool's root dataset and has no parent to refer to.")
        if not record.is_root or record.origin is not None or parent.protection is None:
            raise failed(what, errno.EINVAL)
        if name in self._datasets.loaded:
            raise CallFailed(f"{what}: its key is loaded. Lock it first.")
        self._datasets.repoint(record, name, parent.protection.root)
        del record.local["keylocation"]

    def _try(self, root: Dataset, key: Key) -> int:
        """Answer as the kernel does to a key, by error number."""
        record = self._datasets.records.get(root.name)
        if record is None:
            return errno.ENOENT
        if not record.is_root:
            return errno.EINVAL
        wrapping_key = key.wrapping_key(salt=root.number("pbkdf2salt"), iterations=root.number("pbkdf2iters"))
        return 0 if wrapping_key == self._datasets.wrap_of(root.name).key else errno.EACCES

    # Datasets

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
        self.mountpoints.gone(place)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        self._enter("set_properties", name)
        record = self._datasets.existing(name, f"{name} did not take {', '.join(properties)}")
        given = dict(properties)
        location = given.pop("keylocation", None)
        if props.UNCHANGEABLE & given.keys():
            raise CallFailed(f"{name} did not take {', '.join(given)}: a property is readonly")
        local = props.stored(record.kind, given)
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
        if local.get("canmount") == "off":
            record.mounted_at = None
        if "mountpoint" in local:
            self._remount(record, before)

    def inherit_properties(self, name: str, properties: t.Iterable[str]) -> None:
        self._enter("inherit_properties", name)
        record = self._datasets.existing(name, f"{name} does not inherit {', '.join(properties)}")
        before = self._datasets.property(record, "mountpoint").value
        for prop in properties:
            if not props.is_inherited(prop):
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
            due = shown.value("canmount") == "on" or found.mounted_at is not None
            possible = shown.value("mountpoint").startswith("/") and not self._datasets.is_locked(found)
            if due and possible:
                found.mounted_at = None
                self.mountpoints.made(shown.value("mountpoint"))
            found.mounted_at = shown.value("mountpoint") if due and possible else None

    # Mounts and files

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
        impossible = not path.startswith("/") or self._datasets.property(record, "canmount").value == "off"
        if impossible or self._datasets.is_locked(record) or self._datasets.is_mismatched(record):
            raise CallFailed(f"{name} was not mounted: see its mountpoint, canmount and key", reason="mount_failed")
        self.mountpoints.made(path)
        record.mounted_at = path

    def unmount(self, name: str, known: Dataset | None = None) -> None:
        self._enter("unmount", name)
        record = self._datasets.existing(name, f"{name} was not unmounted")
        if record.mounted_at is None:
            return
        taken = [record, *self._datasets.mounted_below(name)]
        if any(self._datasets.keeps_its_mount(found) for found in taken):
            raise CallFailed(f"{name} was not unmounted: pool or dataset is busy", reason="busy")
        for found in taken:
            found.mounted_at = None

    def force_unmount(self, name: str) -> None:
        self._enter("force_unmount", name)
        record = self._datasets.existing(name, f"{name} was not unmounted")
        left = [user for user in self._datasets.users.get(name, ()) if not user.yields]
        self._datasets.users[name] = left
        if self._datasets.keeps_its_mount(record):
            raise CallFailed(f"{name} was not unmounted: target is busy", reason="busy")
        for found in [record, *self._datasets.mounted_below(name)]:
            found.mounted_at = None
        self._datasets.binds.pop(name, None)

    def sync_key_file(self, path: str) -> None:
        self._enter("sync_key_file", path)
        if path not in self.key_files:
            raise CallFailed(f"The key file {path} is not there.")

    def write_key_file(self, path: str, content: bytes) -> None:
        self._enter("write_key_file", path)
        if path in self.key_files:
            raise CallFailed(f"The key file {path} appeared meanwhile and was left alone. Run the task again.")
        self.key_files[path] = content

    # Pools and disks

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

    def loaded(self, roots: t.Collection[str]) -> frozenset[str]:
        for name in roots:
            self._enter("loaded", name)
        return frozenset(name for name in roots if name in self._datasets.loaded)

    def mounts(self, names: t.Collection[str]) -> tuple[tuple[str, str], ...]:
        found = (self._datasets.records[name] for name in names)
        return tuple((record.name, path) for record in found for path in self._datasets.mounts_of(record))

    def users(self, names: t.Iterable[str]) -> tuple[str, ...]:
        chosen = list(names)
        for name in chosen:
            self._enter("users", name)
        return self._datasets.users_of(chosen)

    def real_path(self, path: str) -> str:
        self._enter("real_path", path)
        return self._disks.real_path(path)

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

    # Within

    def _enter(self, call: str, dataset: str) -> None:
        self.calls.append((call, dataset))
        if (call, dataset) in self.faults:
            raise self.faults[call, dataset]
        if call in WRITING_CALLS:
            self._pools.refuse_readonly(dataset)
