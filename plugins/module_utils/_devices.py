# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on the disks and files that a pool is to be made of, and who uses them.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import typing as t
from dataclasses import dataclass, field

from ._command import PATH, run
from ._errors import CallFailed, Refused

SMALLEST_FILE = 64 * 1024 * 1024  # bytes, SPA_MINDEVSIZE
LABEL_BYTES = 256 * 1024  # sizeof (vdev_label_t)
TIMEOUT = 60
_TABLES = ("gpt", "PMBR", "dos")
_ZFS = {False: "a member of a ZFS pool", True: "a member of a destroyed ZFS pool"}
_NAMES = {"crypto_LUKS": "a LUKS container", "swap": "swap space"}


@dataclass(frozen=True)
class Device:
    """A disk, partition or file of a topology, as it was found.

    Args:
        path: as the task names it.
        real: where that leads now.
        kind: what it is.
        holds: what lies on it, in words, its partitions included.
        in_use: who uses it, in words, None if nobody does.
        size: bytes.
    """

    path: str
    real: str
    kind: t.Literal["disk", "file", "missing", "unusable"]
    holds: tuple[str, ...] = ()
    in_use: str | None = None
    size: int = field(default=0, compare=False)


def observe(path: str) -> Device:
    """Look at a disk or file.

    Raises:
        Refused: it cannot be looked at.
    """
    real = os.path.realpath(path)
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return Device(path, real, "missing")
    except OSError as error:
        raise Refused(f"{path} cannot be looked at: {error.strerror}. Check the path.") from None
    if stat.S_ISREG(mode):
        return Device(path, real, "file", tuple(_signatures(real)), _loop_device(real), os.path.getsize(real))
    if not stat.S_ISBLK(mode):
        return Device(path, real, "unusable")
    tree = _block_tree(real)
    holds = [f"{found} ({each})" if each != real else found for each in tree.partitions for found in _signatures(each)]
    with open(real, "rb") as disk:
        size = disk.seek(0, os.SEEK_END)
    return Device(path, real, "disk", (*tree.remarks, *holds), tree.user or _exclusive_user(real), size)


@dataclass(frozen=True)
class _BlockTree:
    """A disk with its partitions, and what was built on them."""

    partitions: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    user: str | None = None


def _block_tree(real: str) -> _BlockTree:
    answer = _said("lsblk", "--json", "--paths", "--output", "PATH,TYPE,MOUNTPOINT", real)
    try:
        top = json.loads(answer)["blockdevices"]
    except (ValueError, KeyError):
        raise Refused(f"lsblk does not say what is on {real}. Look at it before a pool is made of it.") from None
    rows = list(_flat(top))
    others = [row for row in rows if os.path.realpath(row["path"]) != real]  # a mapping has several names
    parts = [row["path"] for row in others if row["type"] == "part"]
    built = next((row for row in others if row["type"] not in ("part", "disk", "loop")), None)
    mounted = next((row for row in rows if row.get("mountpoint")), None)
    user = None
    if mounted is not None:
        user = f"{mounted['path']} is mounted on {mounted['mountpoint']}"
    elif built is not None:
        user = f"{built['path']} ({built['type']}) is built on it"
    remarks = (f"a partition table with {len(parts)} partition(s)",) if parts else ()
    return _BlockTree((real, *parts), remarks, user)


def _flat(rows: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[t.Mapping[str, t.Any]]:
    for row in rows:
        yield row
        yield from _flat(row.get("children") or ())


def _loop_device(real: str) -> str | None:
    """Say which loop device a file is attached to; whoever has mounted that has the file in use."""
    for name in filter(re.compile(r"loop\d+").fullmatch, os.listdir("/sys/block")):
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as file:
            if file.read().rstrip("\n") == real:
                return f"it is attached as /dev/{name}"
    return None


def _exclusive_user(real: str) -> str | None:
    """Ask the kernel: what is mounted, or part of a pool, an array or a volume group cannot be opened exclusively."""
    try:
        os.close(os.open(real, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return "the kernel has it in use" if error.errno == errno.EBUSY else None
    return None


def _signatures(path: str) -> t.Iterator[str]:
    """Yield what libblkid recognises, once each; a partition table is told by its partitions."""
    answer = _said("wipefs", "--json", "--no-act", path)
    rows = json.loads(answer)["signatures"] if answer.strip() else []
    found = {(row["type"], row.get("label")) for row in rows if row["type"] not in _TABLES}
    for kind, label in sorted(found, key=str):
        name = _ZFS[_is_destroyed(path)] if kind == "zfs_member" else _NAMES.get(kind, kind)
        yield f"{name} {label!r}" if label else name


def _is_destroyed(path: str) -> bool:
    """Tell whether the pool that wrote to a disk was destroyed; it can still be imported with ``-D``."""
    label = run("zdb", "-l", path, timeout=TIMEOUT).out if shutil.which("zdb", path=PATH) else ""
    return re.search(r"^\s*state: 2$", label, re.MULTILINE) is not None


def member_of(pool: str) -> str:
    """Return what a disk of a pool holds, in words; not of a pool that was destroyed."""
    return f"{_ZFS[False]} {pool!r}"


def is_left_by_zpool(device: Device, pool: str) -> bool:
    """Tell whether a disk or file holds nothing but what a creation of this pool wrote to it."""
    own = {f"{name} {pool!r}" for name in _ZFS.values()}
    if device.kind != "disk":
        return len(device.holds) == 1 and own.issuperset(device.holds)
    names = _said("lsblk", "--noheadings", "--output", "PARTLABEL", device.real).split()
    signatures = {found for part in _block_tree(device.real).partitions for found in _signatures(part)}
    return all(name.startswith("zfs-") for name in names) and signatures <= own


def clear(path: str) -> None:
    """Take everything that libblkid recognises off a disk or file, its partitions first.

    Raises:
        CallFailed: something is still there, or is in use.
    """
    real = os.path.realpath(path)
    try:
        parts = _block_tree(real).partitions if stat.S_ISBLK(os.stat(real).st_mode) else (real,)
        for each in (*(part for part in parts if part != real), real):
            _forget_pool(each)
            _said("wipefs", "--all", "--quiet", each)
        if stat.S_ISBLK(os.stat(real).st_mode):
            _said("udevadm", "settle", "--timeout=10")
    except (OSError, Refused) as error:
        raise CallFailed(f"{path} was not cleared: {error}") from None


def _forget_pool(path: str) -> None:
    """Blank the four labels of a pool (vdev_label.c); wipefs leaves enough of them for ``zpool`` to see a pool."""
    if any(signature.startswith(tuple(_ZFS.values())) for signature in _signatures(path)):
        with open(path, "r+b") as device:
            size = device.seek(0, os.SEEK_END) // LABEL_BYTES * LABEL_BYTES
            for place in (0, LABEL_BYTES, size - 2 * LABEL_BYTES, size - LABEL_BYTES):
                device.seek(place)
                device.write(bytes(LABEL_BYTES))
            device.flush()
            os.fsync(device.fileno())


def make_file(path: str, size: int) -> None:
    """Make a sparse file of this many bytes, readable by its owner only; never over an existing one.

    Raises:
        CallFailed: it exists, or its directory is missing or full.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CallFailed(f"The file {path} was not made: {error.strerror}.", errno=error.errno) from None


def remove_file(path: str) -> None:
    """Remove a file that this run made.

    Raises:
        CallFailed: it cannot be removed.
    """
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CallFailed(f"The file {path} was not removed: {error.strerror}.", errno=error.errno) from None


def _said(*argv: str) -> str:
    """Return what a tool said.

    Raises:
        Refused: it is not there, or failed.
    """
    answer = run(*argv, timeout=TIMEOUT)
    if answer.code != 0:
        raise Refused(f"'{' '.join(argv)}' failed: {answer.error}")
    return answer.out
