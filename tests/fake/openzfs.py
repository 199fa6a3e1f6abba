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
from dataclasses import replace

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import (
    OPENS,
    WRONG,
    Binding,
    Creation,
    KeyChange,
    Verdict,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import PASSPHRASE_BYTES, Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import (
    OBSERVED_PROPERTIES,
    Dataset,
    Pool,
    Tree,
    parent_of,
    pool_of,
)

from . import properties as props
from .datasets import Datasets, Kind, Record, failed
from .protection import CIPHERS, DEFAULT_CIPHER, LIBZFS_ITERATIONS, Protection, Wrap, new_wrap, random_id

CHANGING_CALLS = frozenset(
    {
        *("load_key", "unload_key", "change_key", "inherit_key", "create", "destroy", "set_properties"),
        *("mount", "unmount", "write_key_file"),
    }
)


class FakeOpenZFS:
    """A ``Host`` without OpenZFS. Its errors are those of the pyzfs path.

    Besides the protocol: ``add_pool``, ``clone``, ``replicate`` and ``hold`` do what a person does beside it;
    ``occupied`` (path -> what stands there) and ``key_files`` (path -> content) are the host's other files;
    ``calls`` is what was asked, ``changes`` what was asked to change; ``fail_on`` makes a call fail.
    """

    def __init__(self, *pools: str) -> None:
        self.calls: list[tuple[str, str]] = []
        self.occupied: dict[str, str] = {}
        self.key_files: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], Exception] = {}
        self._pools: dict[str, Pool] = {}
        self._datasets = Datasets()
        for name in pools:
            self.add_pool(name)

    # What a person does beside the protocol

    def add_pool(self, name: str, properties: t.Mapping[str, str] | None = None, key: Key | None = None) -> None:
        """Make a pool; with a key its root dataset is an encryption root."""
        self._pools[name] = Pool(name, random_id())
        self._add(Creation(name, properties or {}, key=key), None)

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset."""
        source = self._datasets.records[origin]
        source.has_snapshots = True
        copied = {key: value for key, value in source.local.items() if key == "volsize"}
        self._datasets.records[name] = Record(name, source.kind, source.protection, copied, origin=f"{origin}@{name}")

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment.

        An increment without them leaves a replica that inherits a key with a master key that this key does not open.
        """
        sent, known = self._datasets.records[source], self._datasets.records.get(target)
        if sent.protection is None:
            raise AssertionError(f"{source} is plain; only raw replication is modelled")
        sent.has_snapshots = True
        if known is None:
            local = {key: value for key, value in sent.local.items() if key == "volsize"}
            known = self._datasets.records[target] = Record(
                target, sent.kind, replace(sent.protection, root=target), {"keylocation": "prompt", **local}
            )
        elif known.protection is not None:
            known.protection.wrap = sent.protection.wrap
            if properties and not known.is_root:
                known.protection.root, known.local["keylocation"] = target, "prompt"
        known.has_snapshots = True
        if properties:
            known.received = {key: value for key, value in sent.local.items() if key not in ("keylocation", "volsize")}

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

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in CHANGING_CALLS]

    # Reading

    def binding(self) -> Binding:
        return Binding("pyzfs", sys.executable, platform.python_version(), "zfs-2.3.9")

    def pools(self) -> t.Mapping[str, Pool]:
        self._enter("pools", "")
        return dict(self._pools)

    def datasets(self, pools: t.Iterable[str], properties: t.Iterable[str] = ()) -> Tree:
        wanted = set(pools)
        names = dict.fromkeys((*OBSERVED_PROPERTIES, *properties))
        for pool in sorted(wanted):
            self._enter("datasets", pool)
        if not wanted <= self._pools.keys():
            raise Refused(f"The datasets of {', '.join(sorted(wanted))} cannot be read: dataset does not exist")
        for name in names:
            if not props.is_user_property(name) and name not in props.KNOWN:
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
        if self._datasets.is_locked(record) or (self._datasets.is_mismatched(record) and record.mounted_at is None):
            raise CallFailed(f"{record.name} cannot be read: {os.strerror(errno.EACCES)}.")

    def occupant(self, path: str) -> str | None:
        self._enter("occupant", path)
        return self.occupied.get(path)

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
        self._add(creation, parent)

    def _add(self, creation: Creation, parent: Record | None) -> None:
        kind: Kind = "filesystem" if creation.volume_size is None else "volume"
        given = dict(creation.properties)
        own = {name: given.pop(name) for name in props.ENCRYPTION if name in given}
        local = props.stored(kind, given)
        if creation.volume_size is not None:
            local |= _volume_space(creation.volume_size, local, sparse=creation.sparse)
        protection = self._protection(creation, own, parent)
        if creation.key is not None:
            if not props.is_keylocation(creation.keylocation) or creation.keylocation == "none":
                raise CallFailed(f"{creation.name} was not created: invalid keylocation")
            self._datasets.loaded[creation.name] = protection.wrap.key if protection else b""
            local["keylocation"] = creation.keylocation
        self._datasets.records[creation.name] = Record(creation.name, kind, protection, local)

    def _protection(self, creation: Creation, own: dict[str, str], parent: Record | None) -> Protection | None:
        what = f"{creation.name} was not created: "
        above = parent.protection if parent else None
        cipher = own.get("encryption", above.cipher if above else "off")
        cipher = DEFAULT_CIPHER if cipher == "on" else cipher
        if cipher == "off":
            if own.keys() - {"encryption"} or creation.key is not None:
                raise CallFailed(f"{what}Encryption must be turned on to set encryption properties.")
            return None
        if cipher not in CIPHERS:
            raise CallFailed(f"{what}'encryption' does not take '{cipher}'")
        if "keyformat" not in own:
            if parent is None or above is None or creation.key is not None:
                raise CallFailed(f"{what}Keyformat required for new encryption root.")
            if self._datasets.is_locked(parent):
                raise CallFailed(f"{what}encryption root's key is not loaded or provided")
            return Protection(cipher, above.root, self._datasets.wrap_of(above.root))
        return Protection(cipher, creation.name, _first_wrap(what, creation.key, own))

    def destroy(self, name: str) -> None:
        self._enter("destroy", name)
        record = self._datasets.existing(name, f"{name} was not destroyed")
        if record.has_snapshots or any(parent_of(other) == name for other in self._datasets.records):
            raise CallFailed(f"{name} was not destroyed: filesystem has children")
        if name in self._datasets.held:
            raise CallFailed(f"{name} was not destroyed: dataset is busy", reason="busy")
        del self._datasets.records[name]
        self._datasets.loaded.pop(name, None)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        self._enter("set_properties", name)
        record = self._datasets.existing(name, f"{name} did not take {', '.join(properties)}")
        given = dict(properties)
        location = given.pop("keylocation", None)
        if props.UNCHANGEABLE & given.keys():
            raise CallFailed(f"{name} did not take {', '.join(given)}: a property is readonly")
        local = props.stored(record.kind, given)
        if location is not None:
            if not props.is_keylocation(location) or (location == "none") == record.is_root:
                raise CallFailed(f"{name} did not take keylocation: invalid keylocation")
            if not record.is_root and record.protection is not None:
                raise CallFailed(f"{name} did not take keylocation: it may only be set on encryption roots")
            if record.is_root:
                local["keylocation"] = location
        record.local |= local
        if local.get("canmount") == "off":
            record.mounted_at = None
        if "mountpoint" in local:
            self._remount(record)

    def _remount(self, record: Record) -> None:
        """Follow a new mountpoint: what is mounted moves, and what mounts by itself is mounted, here and below."""
        for found in [record, *self._datasets.inheriting_mountpoint(record.name)]:
            shown = self._datasets.shown(found, ("type", "mountpoint", "canmount"))
            due = shown.value("canmount") == "on" or found.mounted_at is not None
            possible = shown.value("mountpoint").startswith("/") and not self._datasets.is_locked(found)
            found.mounted_at = shown.value("mountpoint") if due and possible else None

    # Mounts and files

    def mount(self, name: str) -> None:
        self._enter("mount", name)
        record = self._datasets.records.get(name)
        if record is None or record.kind == "volume":
            raise CallFailed(f"{name} was not mounted: no such filesystem", reason="mount_failed")
        if record.mounted_at is not None:
            return
        path = self._datasets.property(record, "mountpoint").value
        if path in self.occupied:
            raise CallFailed(f"{name} was not mounted: {path} {self.occupied[path]}", reason="mountpoint_occupied")
        impossible = not path.startswith("/") or self._datasets.property(record, "canmount").value == "off"
        if impossible or self._datasets.is_locked(record) or self._datasets.is_mismatched(record):
            raise CallFailed(f"{name} was not mounted: see its mountpoint, canmount and key", reason="mount_failed")
        record.mounted_at = path

    def unmount(self, name: str) -> None:
        self._enter("unmount", name)
        record = self._datasets.existing(name, f"{name} was not unmounted")
        if record.mounted_at is None:
            return
        taken = [record, *self._datasets.mounted_below(name)]
        if any(found.name in self._datasets.held for found in taken):
            raise CallFailed(f"{name} was not unmounted: pool or dataset is busy", reason="busy")
        for found in taken:
            found.mounted_at = None

    def sync_key_file(self, path: str) -> None:
        self._enter("sync_key_file", path)
        if path not in self.key_files:
            raise CallFailed(f"The key file {path} is not there.")

    def write_key_file(self, path: str, content: bytes) -> None:
        self._enter("write_key_file", path)
        if path in self.key_files:
            raise CallFailed(f"The key file {path} appeared meanwhile and was left alone. Run the task again.")
        self.key_files[path] = content

    # Within

    def _enter(self, call: str, dataset: str) -> None:
        self.calls.append((call, dataset))
        if (call, dataset) in self.faults:
            raise self.faults[call, dataset]


def _first_wrap(what: str, key: Key | None, own: t.Mapping[str, str]) -> Wrap:
    """Wrap for a new root, by the rules that the ``zfs`` command enforces beyond the kernel's."""
    keyformat = own["keyformat"]
    if key is None or (keyformat != "passphrase" and "pbkdf2iters" in own):
        raise CallFailed(f"{what}its keyformat, key and pbkdf2iters do not fit together")
    if keyformat == "passphrase" and len(key.secret) not in PASSPHRASE_BYTES:
        raise CallFailed(f"{what}Passphrase too short (min 8) or too long (max 512).")
    return new_wrap(keyformat, key, int(own.get("pbkdf2iters", LIBZFS_ITERATIONS)))


def _volume_space(wanted: str, local: t.Mapping[str, str], *, sparse: bool) -> dict[str, str]:
    block = int(local.get("volblocksize", props.ONLY_AT_CREATION_OF_VOLUMES["volblocksize"]))
    size = -(-int(props.stored("volume", {"volsize": wanted})["volsize"]) // block) * block
    return {"volsize": str(size)} if sparse else {"volsize": str(size), "refreservation": str(size)}
