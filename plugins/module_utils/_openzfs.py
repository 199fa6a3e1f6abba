# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real host. With its parts ``_creating``, ``_key_calls``, ``_lineage``, ``_mounting`` and ``_zpool`` it is all
that talks to OpenZFS.

Properties are read and datasets created by ``zfs``; keys go through libzfs_core (pyzfs) where Python can
import it, else to ``zfs`` on stdin. Private to the collection.
"""

from __future__ import annotations

import errno
import functools
import os
import platform
import re
import sys
import threading
import typing as t

from . import _keyfiles
from ._command import READ_TIMEOUT, failure, patiently, run, run_about
from ._errors import CallFailed, Refused
from ._key_calls import CommandKeys, CoreKeys
from ._key_units import KeyUnits
from ._keys import Key
from ._model import WRONG, Dataset, Place, Pool, Tree, Verdict
from ._names import parent_of, pool_of
from ._property_lines import in_order, parsed, spelled_out, why_unread
from ._side_by_side import PROCESSORS

if t.TYPE_CHECKING:
    from ._devices import Device
    from ._host import Binding, Creation, Importable, KeyChange, PoolCreation, PoolImport, PoolState

BY_ITSELF_SINCE = (2, 2)  # OpenZFS mounts at a new mountpoint; libzfs_changelist.c
READING_IS_ALL_SINCE = (2, 2)  # a filesystem that is mounted read-only is not written to


class OpenZFS:
    """The real host. What only some runs need is imported when it is called.

    Args:
        binding: ``pyzfs`` or ``cli`` to insist on one path; None takes pyzfs where it can be imported.
    """

    def __init__(self, binding: str | None = None) -> None:
        self._keys = _path_for_keys(binding)
        self._key_units = KeyUnits()
        self._turns = threading.BoundedSemaphore(2 * PROCESSORS)  # for what takes nothing but processor time
        self._pools: dict[str, Pool] = {}
        self.remarks: list[str] = []

    def binding(self) -> Binding:
        try:
            version = run("zfs", "version", timeout=READ_TIMEOUT).out.split()
        except Refused:
            version = []
        from ._host import Binding

        return Binding(self._keys.name, sys.executable, platform.python_version(), version[0] if version else "")

    def pools(self) -> t.Mapping[str, Pool]:
        try:
            answer = run("zpool", "list", "-Hpo", "name,guid,health,readonly,altroot,checkpoint", timeout=READ_TIMEOUT)
        except Refused:
            return {}
        if answer.code != 0:
            raise Refused(f"The pools cannot be listed: {answer.error}")
        rows = (line.split("\t") for line in answer.out.splitlines())
        self._pools = {
            name: Pool(name, guid, health, readonly == "on", root.rstrip("/") if root != "-" else "", saved != "-")
            for name, guid, health, readonly, root, saved in rows
        }
        return dict(self._pools)

    def datasets(self, pools: t.Iterable[str], properties: t.Iterable[str] = ()) -> Tree:
        names = sorted(pools)
        if not names:
            return Tree({})
        wanted = in_order(properties)
        answer = run(
            "zfs",
            "get",
            *("-Hpr", "-t", "filesystem,volume", "-o", "name,property,value,source", ",".join(wanted)),
            *names,
            timeout=READ_TIMEOUT,
        )
        if answer.code != 0:
            raise Refused(why_unread(names, answer.error))
        found = parsed(answer.out, wanted)
        return Tree({name: spelled_out(each, lambda: self._version) for name, each in found.items()})

    @functools.cached_property
    def _version(self) -> tuple[int, int]:
        found = re.match(r"zfs-(\d+)\.(\d+)", run("zfs", "version", timeout=READ_TIMEOUT).out)
        return (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    def dataset(self, name: str) -> Dataset | None:
        wanted = in_order()
        answer = run("zfs", "get", "-Hpo", "name,property,value,source", ",".join(wanted), name, timeout=READ_TIMEOUT)
        return parsed(answer.out, wanted)[name] if answer.code == 0 else None

    def verify(self, root: Dataset, key: Key) -> Verdict:
        if not root.is_encryption_root:
            return Verdict("unknown", errno.EINVAL, "it is not an encryption root")
        if not key.fits(root.keyformat):
            return WRONG
        with self._turns:
            return self._keys.verify(root, key)

    def load_key(self, root: Dataset, key: Key) -> None:
        what = f"The key of {root.name} was not loaded"
        if not root.is_encryption_root:
            raise CallFailed(f"{what}: it is not an encryption root.", errno=errno.EINVAL)
        if not key.fits(root.keyformat):
            raise CallFailed(f"{what}: this is no key for keyformat {root.keyformat}.", reason="wrong_key")
        self._keys.load(root, key)
        self._key_units.key_was_loaded(root.name)

    def unload_key(self, name: str) -> None:
        patiently(lambda: self._keys.unload(name))

    def drop_left_key(self, name: str) -> None:
        patiently(lambda: self._keys.drop_left(name))

    def loaded(self, roots: t.Collection[str]) -> frozenset[str]:
        answers = run_about(roots, "zfs", "get", "-Hpo", "name,value", "keystatus")
        rows = (line.rpartition("\t") for answer in answers for line in answer.out.splitlines())
        return frozenset(name for name, _tab, status in rows if status == "available")

    def change_key(self, change: KeyChange) -> None:
        self._keys.change(change)

    def inherit_key(self, name: str) -> None:
        if parent_of(name) is None:
            # OpenZFS's kernel module looks for a parent without checking that there is one, and crashes.
            raise CallFailed(f"{name} is a pool's root dataset and has no parent to inherit a key from.")
        self._keys.inherit(name)

    def keep_open(self, datasets: t.Sequence[Dataset]) -> t.ContextManager[None]:
        from . import _kept_open

        return _kept_open.keep_open(datasets)

    def repoint(self, name: str) -> None:
        self._keys.repoint(name)

    def reattach(self, name: str) -> None:
        if parent_of(name) is None:
            raise CallFailed(f"{name} is a pool's root dataset and has no parent to refer to.")  # it would crash too
        root = self.dataset(name)
        if root is not None and root.is_encryption_root and root.is_key_loaded:
            # The kernel would free the key though it is in use (dsl_crypt.c, spa_keystore_change_key_sync).
            raise CallFailed(f"{name} does not refer to its parent's root: its key is loaded. Lock it first.")
        self._keys.reattach(name)

    def create(self, creation: Creation) -> None:
        from . import _creating

        _creating.create(creation)

    def destroy(self, name: str) -> None:
        from . import _creating

        _creating.destroy(name)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        answer = run("zfs", "set", *(f"{key}={value}" for key, value in properties.items()), name)
        if answer.code != 0:
            what = f"{name} did not take {', '.join(properties)}"
            raise failure(what, answer, needs=(name, *properties))
        self._mount_anew(name, properties)

    def inherit_properties(self, name: str, properties: t.Collection[str]) -> None:
        for prop in properties:
            answer = run("zfs", "inherit", prop, name)
            if answer.code != 0:
                what = f"{name} does not inherit {prop}"
                raise failure(what, answer, needs=(name, prop))
        self._mount_anew(name, properties)

    def _mount_anew(self, name: str, changed: t.Container[str]) -> None:
        if "mountpoint" in changed and self._version < BY_ITSELF_SINCE:
            from . import _new_mountpoints

            _new_mountpoints.mount_heirs(name)

    def mount(self, name: str, known: Dataset | None = None) -> None:
        from . import _mounting, _sharing

        dataset = known or _mounting.observe(name)
        if dataset.is_mounted or _mounting.is_mounted(dataset):
            return  # its own content is in the way of nothing
        path = dataset.value("mountpoint")
        occupant = self.occupant(path)
        if occupant is not None:
            raise CallFailed(f"{name} was not mounted: {path} {occupant}", reason="mountpoint_occupied")
        self._key_units.let_mount(dataset)
        _mounting.mount(dataset, by_zfs=self._is_readonly(pool_of(name)))
        why = _sharing.share(name) if _sharing.is_to_be_shared(dataset) else None
        self.remarks += [] if why is None else [why]

    def unmount(self, name: str, known: Dataset | None = None) -> None:
        from . import _mounting

        patiently(lambda: _mounting.unmount(name, known))

    def force_unmount(self, name: str) -> None:
        from . import _force

        patiently(lambda: _force.unmount(name))

    def prove_readable(self, dataset: Dataset) -> None:
        from . import _lineage, _mounting, _volume_nodes

        if dataset.is_volume:
            _volume_nodes.read(dataset.name)
            return
        if self._is_readonly(pool_of(dataset.name)):
            return  # zfs userspace would wait for ever for a transaction group (2.3.9): its key is taken at its word
        try:
            if _mounting.read_from(dataset, by_snapshot=self._version < READING_IS_ALL_SINCE):
                return
        except OSError as error:
            what = f"{dataset.name} cannot be read though its key is loaded"
            raise CallFailed(f"{what}: {error.strerror}.", errno=error.errno) from None
        _lineage.read_filesystem(dataset)

    def await_node(self, volume: Dataset) -> None:
        from . import _volume_nodes

        _volume_nodes.wait(volume)

    def receiving(self, names: t.Collection[str]) -> frozenset[str]:
        hidden = {f"{name}/%recv": name for name in names}  # what an increment fills, until it takes its place
        return frozenset(hidden[name] for name in self._keys.existing(tuple(hidden)))

    def received_snapshots(self, names: t.Collection[str]) -> t.Mapping[str, str]:
        from . import _lineage

        return _lineage.received_snapshots(names)

    def _is_readonly(self, pool: str) -> bool:
        if pool not in self._pools:
            self.pools()
        return pool in self._pools and self._pools[pool].readonly

    def occupant(self, path: str) -> str | None:
        from . import _places

        return _places.occupant(path)

    def place_aside(self, path: str) -> str:
        from . import _aside

        return _aside.place_for(path)

    def move_aside(self, path: str, aside: str) -> None:
        from . import _aside

        _aside.move(path, aside)

    def move_back(self, aside: str, path: str) -> None:
        from . import _aside

        _aside.move_back(aside, path)

    def place(self, path: str) -> Place:
        from . import _immutable

        return _immutable.look(path)

    def protect_place(self, path: str) -> None:
        from . import _immutable

        _immutable.protect(path)

    def release_place(self, path: str) -> bool:
        from . import _immutable

        return _immutable.release(path)

    def foundations(self) -> t.Mapping[str, tuple[str, ...]]:
        from . import _foundations

        return _foundations.find()

    def read_key_file(self, path: str) -> bytes | None:
        return _keyfiles.read(path)

    def sync_key_file(self, path: str) -> None:
        _keyfiles.sync(path)

    def write_key_file(self, path: str, content: bytes) -> None:
        _keyfiles.write(path, content)

    def pool_states(self) -> t.Mapping[str, PoolState]:
        from . import _zpool

        return _zpool.states()

    def importable_pools(self, search: t.Sequence[str]) -> tuple[Importable, ...]:
        from . import _zpool

        return _zpool.importable(search)

    def hostid(self) -> str:
        from . import _zpool

        return _zpool.hostid()

    def rehearse_pool(self, creation: PoolCreation, stand_ins: t.Mapping[str, int] | None = None) -> str | None:
        from . import _zpool

        return _zpool.rehearse(creation) if stand_ins is None else _zpool.rehearse_on_files(creation, stand_ins)

    def create_pool(self, creation: PoolCreation) -> None:
        from . import _zpool

        _zpool.create(creation)

    def destroy_pool(self, name: str) -> None:
        from . import _zpool

        _zpool.destroy(name)

    def export_pool(self, name: str) -> None:
        from . import _zpool

        _zpool.export(name)

    def import_pool(self, request: PoolImport) -> None:
        from . import _zpool

        self._pools.pop(request.name, None)
        _zpool.import_(request)

    def set_pool_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        from . import _zpool

        _zpool.set_properties(name, properties)

    def mounts(self, names: t.Collection[str]) -> tuple[tuple[str, str], ...]:
        from . import _mounts

        return tuple((each.source, _mounts.shown(each.path)) for each in _mounts.mounts() if each.dataset in names)

    def users(self, names: t.Iterable[str]) -> tuple[str, ...]:
        from . import _users

        return _users.find(names)

    def real_path(self, path: str) -> str:
        try:
            return os.path.realpath(path)
        except (ValueError, RecursionError):  # a name that this locale cannot spell; a very long chain of links
            return path

    def device(self, path: str) -> Device:
        from . import _devices

        return _devices.observe(path)

    def clear_device(self, path: str) -> None:
        from . import _devices

        _devices.clear(path)

    def make_file(self, path: str, size: int) -> None:
        from . import _devices

        _devices.make_file(path, size)

    def remove_file(self, path: str) -> None:
        from . import _devices

        _devices.remove_file(path)


def _path_for_keys(binding: str | None) -> CoreKeys | CommandKeys:
    """Choose before anything is read: the import takes longer than most calls, and nothing should age meanwhile."""
    if binding != "cli":
        try:
            import libzfs_core  # pylint: disable=import-error

            return CoreKeys(libzfs_core)
        except (ImportError, OSError):
            if binding == "pyzfs":
                raise
    return CommandKeys()
