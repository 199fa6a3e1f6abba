# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that talks to OpenZFS.

Properties are read and datasets created by ``zfs``; keys go through libzfs_core (pyzfs) where Python can
import it, else to ``zfs`` on stdin. Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import re
import sys
import time
import typing as t
from dataclasses import replace

from . import _devices, _keyfiles, _keys, _places, _pool_users, _zpool
from ._command import READ_TIMEOUT, Answer, failure, run
from ._devices import Device
from ._errors import CallFailed, Reason, Refused, StateUnknown
from ._host import (
    OPENS,
    WRONG,
    Binding,
    Creation,
    Importable,
    KeyChange,
    PoolCreation,
    PoolImport,
    PoolState,
    Verdict,
)
from ._keys import Key, new_salt
from ._model import OBSERVED_PROPERTIES, Dataset, Pool, Property, Tree, parent_of

UNLOAD_PAUSES = (0.1, 0.2, 0.4, 0.8)  # seconds
KEYFORMAT_NUMBERS = {"raw": 1, "hex": 2, "passphrase": 3}  # zfs_keyformat_t


class _CoreKeys:
    """Key operations through libzfs_core: no process, and the error number itself."""

    name = "pyzfs"

    def __init__(self, core: t.Any) -> None:
        self._core = core

    def verify(self, root: Dataset, key: Key) -> Verdict:
        try:
            self._load(root, key, noop=True)
        except self._core.exceptions.ZFSError as error:
            if error.errno == errno.EACCES:
                return WRONG
            return Verdict("unknown", error.errno, os.strerror(error.errno))
        return OPENS

    def load(self, root: Dataset, key: Key) -> None:
        with self._explained(f"The key of {root.name} was not loaded", {errno.EACCES: "wrong_key"}):
            try:
                self._load(root, key, noop=False)
            except self._core.exceptions.EncryptionKeyAlreadyLoaded:
                return  # EEXIST comes only after the key was tried and found right

    def _load(self, root: Dataset, key: Key, *, noop: bool) -> None:
        wrapping_key = key.wrapping_key(salt=root.number("pbkdf2salt"), iterations=root.number("pbkdf2iters"))
        self._core.lzc_load_key(root.name.encode(), noop, _checked(wrapping_key))

    def unload(self, name: str) -> None:
        with self._explained(f"The key of {name} was not unloaded", {errno.EBUSY: "busy"}):
            self._core.lzc_unload_key(name.encode())

    def change(self, change: KeyChange) -> None:
        salt = new_salt() if change.keyformat == "passphrase" else 0
        wrapping_key = change.key.wrapping_key(salt=salt, iterations=change.iterations)
        properties: dict[bytes, int | bytes] = {
            b"keyformat": KEYFORMAT_NUMBERS[change.keyformat],
            b"keylocation": change.keylocation.encode(),
        }
        if salt:
            properties.update({b"pbkdf2salt": salt, b"pbkdf2iters": change.iterations})
        with self._explained(f"The key of {change.name} was not changed"):
            self._core.lzc_change_key(change.name.encode(), "new_key", properties, _checked(wrapping_key))

    def inherit(self, name: str) -> None:
        with self._explained(f"{name} does not inherit its parent's key"):
            self._core.lzc_change_key(name.encode(), "inherit")

    @contextlib.contextmanager
    def _explained(self, what: str, reasons: t.Mapping[int, Reason] | None = None) -> t.Iterator[None]:
        """Turn an error number into a failure; what a number means differs from call to call."""
        try:
            yield
        except self._core.exceptions.ZFSError as error:
            number = int(error.errno)
            raise CallFailed(
                f"{what}: {os.strerror(number)} (errno {number}).",
                reason=(reasons or {}).get(number, "unknown"),
                errno=number,
            ) from None


def _checked(wrapping_key: bytes) -> bytes:
    """Insist on 32 bytes: pyzfs turns an int into that many zeros, and installs them as a key."""
    if not isinstance(wrapping_key, bytes) or len(wrapping_key) != 32:
        raise Refused("A wrapping key must be exactly 32 bytes; nothing was changed.")
    return wrapping_key


class _CommandKeys:
    """Key operations by ``zfs``, the key on stdin, for a Python without pyzfs."""

    name = "cli"

    def verify(self, root: Dataset, key: Key) -> Verdict:
        answer = self._load(root, key, "-n")
        if answer.code == 0:
            return OPENS
        if "Incorrect key provided" in answer.error:
            return WRONG
        return Verdict("unknown", None, answer.error)

    def load(self, root: Dataset, key: Key) -> None:
        answer = self._load(root, key)
        if "already loaded" in answer.error:
            answer = self._load(root, key, "-n")  # as the kernel does: fine if the key is right
        if answer.code != 0:
            raise failure(f"The key of {root.name} was not loaded", answer)

    def _load(self, root: Dataset, key: Key, *options: str) -> Answer:
        text = key.text(root.keyformat)
        if key.kind == "passphrase" and (b"\n" in text or b"\0" in text):
            return Answer(1, "", "Incorrect key provided: a passphrase is one line without NUL")
        return run("zfs", "load-key", *options, "-L", "prompt", root.name, stdin=_line(text, root.keyformat))

    def unload(self, name: str) -> None:
        answer = run("zfs", "unload-key", name)
        if answer.code != 0:
            raise failure(f"The key of {name} was not unloaded", answer)

    def change(self, change: KeyChange) -> None:
        options = [f"keyformat={change.keyformat}", f"keylocation={change.keylocation}"]
        if change.keyformat == "passphrase":
            options.append(f"pbkdf2iters={change.iterations}")
        data = None
        if change.keylocation == "prompt":
            data = _line(change.key.text(change.keyformat), change.keyformat)
        else:
            # zfs reads the key where keylocation says, which switches key and location in one transaction.
            _insist_on_content(change)
        answer = run("zfs", "change-key", *_options(options), change.name, stdin=data)
        if answer.code != 0:
            raise failure(f"The key of {change.name} was not changed", answer)

    def inherit(self, name: str) -> None:
        answer = run("zfs", "change-key", "-i", name)
        if answer.code != 0:
            raise failure(f"{name} does not inherit its parent's key", answer)


def _insist_on_content(change: KeyChange) -> None:
    """Refuse a location that holds anything but the new key: ``zfs`` would install what it finds there."""
    if not change.keylocation.startswith("file://"):
        raise CallFailed(
            f"The key of {change.name} was not changed: without pyzfs, zfs would set what {change.keylocation} serves. "
            "Install python3-pyzfs, or change the key with keylocation prompt first."
        )
    path = change.keylocation[len("file://") :]
    try:
        content = _keyfiles.read(path)
        found = None if content is None else _keys.from_file(content, change.keyformat, path=path)
    except Refused as error:
        raise CallFailed(f"The key of {change.name} was not changed: {error}") from None
    if found != change.key:
        raise CallFailed(
            f"The key of {change.name} was not changed: the key file {path} does not hold the new key, and without "
            "pyzfs that is where zfs reads it. Write the key there first, or install python3-pyzfs."
        )


def _line(text: bytes, keyformat: str) -> bytes:
    return text if keyformat == "raw" else text + b"\n"


def _options(assignments: t.Iterable[str]) -> list[str]:
    return [word for assignment in assignments for word in ("-o", assignment)]


class OpenZFS:
    """The real host.

    Args:
        binding: ``pyzfs`` or ``cli`` to insist on one path; None takes pyzfs where it can be imported.
    """

    def __init__(self, binding: str | None = None) -> None:
        self._wanted_binding = binding

    @functools.cached_property
    def _keys(self) -> _CoreKeys | _CommandKeys:
        """The path for keys, chosen at the first key operation: importing pyzfs takes a while."""
        if self._wanted_binding != "cli":
            try:
                import libzfs_core  # pylint: disable=import-error

                return _CoreKeys(libzfs_core)
            except (ImportError, OSError):
                if self._wanted_binding == "pyzfs":
                    raise
        return _CommandKeys()

    def binding(self) -> Binding:
        try:
            version = run("zfs", "version", timeout=READ_TIMEOUT).out.split()
        except Refused:
            version = []
        return Binding(self._keys.name, sys.executable, platform.python_version(), version[0] if version else "")

    def pools(self) -> t.Mapping[str, Pool]:
        try:
            answer = run("zpool", "list", "-Hpo", "name,guid,health,readonly", timeout=READ_TIMEOUT)
        except Refused:
            return {}
        if answer.code != 0:
            raise Refused(f"The pools cannot be listed: {answer.error}")
        rows = (line.split("\t") for line in answer.out.splitlines())
        return {name: Pool(name, guid, health, readonly == "on") for name, guid, health, readonly in rows}

    def datasets(self, pools: t.Iterable[str], properties: t.Iterable[str] = ()) -> Tree:
        names = sorted(pools)
        if not names:
            return Tree({})
        wanted = ",".join(dict.fromkeys((*OBSERVED_PROPERTIES, *properties)))
        answer = run(
            "zfs",
            "get",
            *("-Hpr", "-t", "filesystem,volume", "-o", "name,property,value,source", wanted),
            *names,
            timeout=READ_TIMEOUT,
        )
        if answer.code != 0:
            raise Refused(f"The datasets of {', '.join(names)} cannot be read: {answer.error}")
        return Tree(self._spelled_out(_parse_properties(answer.out)))

    def _spelled_out(self, datasets: dict[str, Dataset]) -> dict[str, Dataset]:
        """Say what ``xattr=on`` means: since OpenZFS 2.3 system attributes (``sa``), before it files (``dir``)."""
        means = {name: each for name, each in datasets.items() if each.value("xattr") == "on"}
        value = "sa" if means and self._version >= (2, 3) else "dir"
        for name, each in means.items():
            spelled = replace(each.properties["xattr"], value=value)
            datasets[name] = replace(each, properties={**each.properties, "xattr": spelled})
        return datasets

    @functools.cached_property
    def _version(self) -> tuple[int, int]:
        found = re.match(r"zfs-(\d+)\.(\d+)", run("zfs", "version", timeout=READ_TIMEOUT).out)
        return (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    def dataset(self, name: str) -> Dataset | None:
        wanted = ",".join(OBSERVED_PROPERTIES)
        answer = run("zfs", "get", "-Hpo", "name,property,value,source", wanted, name, timeout=READ_TIMEOUT)
        return _parse_properties(answer.out)[name] if answer.code == 0 else None

    def verify(self, root: Dataset, key: Key) -> Verdict:
        if not root.is_encryption_root:
            return Verdict("unknown", errno.EINVAL, "it is not an encryption root")
        return self._keys.verify(root, key) if key.fits(root.keyformat) else WRONG

    def load_key(self, root: Dataset, key: Key) -> None:
        what = f"The key of {root.name} was not loaded"
        if not root.is_encryption_root:
            raise CallFailed(f"{what}: it is not an encryption root.", errno=errno.EINVAL)
        if not key.fits(root.keyformat):
            raise CallFailed(f"{what}: this is no key for keyformat {root.keyformat}.", reason="wrong_key")
        self._keys.load(root, key)

    def unload_key(self, name: str) -> None:
        """Unload, with patience: udev and blkid hold a volume for a moment after it was closed."""
        for pause in (*UNLOAD_PAUSES, None):
            try:
                self._keys.unload(name)
                return
            except CallFailed as error:
                if error.reason != "busy" or pause is None:
                    raise
            time.sleep(pause)

    def change_key(self, change: KeyChange) -> None:
        self._keys.change(change)

    def inherit_key(self, name: str) -> None:
        if parent_of(name) is None:
            # OpenZFS's kernel module looks for a parent without checking that there is one, and crashes.
            raise CallFailed(f"{name} is a pool's root dataset and has no parent to inherit a key from.")
        self._keys.inherit(name)

    def create(self, creation: Creation) -> None:
        properties = dict(creation.properties)
        if creation.key is not None:
            properties["keylocation"] = "prompt"
        kind = []
        if creation.volume_size is not None:
            kind = [*(["-s"] if creation.sparse else []), "-V", creation.volume_size]
        options = _options(f"{name}={value}" for name, value in properties.items())
        unmounted = ["-u"] if creation.volume_size is None else []
        data = None
        if creation.key is not None:
            data = _line(creation.key.text(properties["keyformat"]), properties["keyformat"])
        answer = run("zfs", "create", *unmounted, *kind, *options, creation.name, stdin=data)
        if answer.code != 0:
            raise failure(f"{creation.name} was not created", answer)
        if creation.key is not None and creation.keylocation != "prompt":
            try:
                self.set_properties(creation.name, {"keylocation": creation.keylocation})
            except StateUnknown:
                raise
            except CallFailed:
                self.destroy(creation.name)
                raise

    def destroy(self, name: str) -> None:
        answer = run("zfs", "destroy", name)
        if answer.code != 0:
            raise failure(f"{name} was not destroyed", answer)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        answer = run("zfs", "set", *(f"{key}={value}" for key, value in properties.items()), name)
        if answer.code != 0:
            raise failure(f"{name} did not take {', '.join(properties)}", answer)

    def mount(self, name: str) -> None:
        values = run("zfs", "get", "-Hpo", "value", "mounted,mountpoint", name, timeout=READ_TIMEOUT).out
        mounted, _newline, path = values.rstrip("\n").partition("\n")
        if mounted == "yes":
            return  # its own content is in the way of nothing
        occupant = self.occupant(path)
        if occupant is not None:
            raise CallFailed(f"{name} was not mounted: {path} {occupant}", reason="mountpoint_occupied")
        answer = run("zfs", "mount", name)
        if answer.code != 0 and "already mounted" not in answer.error:
            raise CallFailed(f"{name} was not mounted: {answer.error}", reason="mount_failed")

    def unmount(self, name: str) -> None:
        answer = run("zfs", "unmount", name)
        if answer.code != 0 and "not currently mounted" not in answer.error:
            raise failure(f"{name} was not unmounted", answer)

    def prove_readable(self, dataset: Dataset) -> None:
        if dataset.is_volume:
            _places.read_volume(dataset.name)
            return
        answer = run("zfs", "userspace", "-Hpo", "name", dataset.name, timeout=READ_TIMEOUT)
        if answer.code != 0:
            raise failure(f"{dataset.name} cannot be read though its key is loaded", answer)

    def occupant(self, path: str) -> str | None:
        return _places.occupant(path)

    def read_key_file(self, path: str) -> bytes | None:
        return _keyfiles.read(path)

    def sync_key_file(self, path: str) -> None:
        _keyfiles.sync(path)

    def write_key_file(self, path: str, content: bytes) -> None:
        _keyfiles.write(path, content)

    def pool_states(self) -> t.Mapping[str, PoolState]:
        return _zpool.states()

    def importable_pools(self, search: t.Sequence[str]) -> tuple[Importable, ...]:
        return _zpool.importable(search)

    def hostid(self) -> str:
        return _zpool.hostid()

    def rehearse_pool(self, creation: PoolCreation) -> str | None:
        return _zpool.rehearse(creation)

    def create_pool(self, creation: PoolCreation) -> None:
        _zpool.create(creation)

    def destroy_pool(self, name: str) -> None:
        _zpool.destroy(name)

    def export_pool(self, name: str) -> None:
        _zpool.export(name)

    def import_pool(self, request: PoolImport) -> None:
        _zpool.import_(request)

    def set_pool_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        _zpool.set_properties(name, properties)

    def pool_users(self, name: str) -> tuple[str, ...]:
        return _pool_users.find(name)

    def real_path(self, path: str) -> str:
        return os.path.realpath(path)

    def device(self, path: str) -> Device:
        return _devices.observe(path)

    def clear_device(self, path: str) -> None:
        _devices.clear(path)

    def make_file(self, path: str, size: int) -> None:
        _devices.make_file(path, size)

    def remove_file(self, path: str) -> None:
        _devices.remove_file(path)


def _parse_properties(output: str) -> dict[str, Dataset]:
    """Read ``zfs get -Hp -o name,property,value,source``; a value may hold tabs, names and sources never do."""
    found: dict[str, dict[str, Property]] = {}
    for line in output.rstrip("\n").split("\n"):
        name, prop, rest = line.split("\t", 2)
        value, _tab, source = rest.rpartition("\t")
        found.setdefault(name, {})[prop] = Property(value, source)
    return {name: Dataset(name, properties) for name, properties in found.items()}
