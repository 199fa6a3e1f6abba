# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on the disks and files that a pool is to be made of, and who uses them.

Private to the collection.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import typing as t
from dataclasses import dataclass

from ._command import run
from ._errors import CallFailed, Refused

SMALLEST_FILE = 64 * 1024 * 1024  # bytes, SPA_MINDEVSIZE
TIMEOUT = 60
_TABLES = ("gpt", "PMBR", "dos")
_NAMES = {"zfs_member": "a member of a ZFS pool", "crypto_LUKS": "a LUKS container", "swap": "swap space"}


@dataclass(frozen=True)
class Device:
    """A disk, partition or file of a topology, as it was found.

    Args:
        path: as the task names it.
        real: where that leads now.
        kind: what it is.
        holds: what lies on it, in words, its partitions included.
        in_use: who uses it, in words, None if nobody does.
    """

    path: str
    real: str
    kind: t.Literal["disk", "file", "missing", "unusable"]
    holds: tuple[str, ...] = ()
    in_use: str | None = None


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
        return Device(path, real, "file", tuple(_signatures(real)))
    if not stat.S_ISBLK(mode):
        return Device(path, real, "unusable")
    tree = _block_tree(real)
    holds = [f"{found} ({each})" if each != real else found for each in tree.partitions for found in _signatures(each)]
    return Device(path, real, "disk", (*tree.remarks, *holds), tree.user or _exclusive_user(real))


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
    parts = [row["path"] for row in rows if row["type"] == "part" and row["path"] != real]
    built = next((row for row in rows if row["type"] not in ("part", "disk", "loop") and row["path"] != real), None)
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
        name = _NAMES.get(kind, kind)
        yield f"{name} {label!r}" if label else name


def is_left_by_zpool(device: Device, pool: str) -> bool:
    """Tell whether a disk or file holds nothing but what a creation of this pool wrote to it."""
    if device.kind != "disk":
        return device.holds == (f"{_NAMES['zfs_member']} {pool!r}",)
    names = _said("lsblk", "--noheadings", "--output", "PARTLABEL", device.real).split()
    signatures = {found for part in _block_tree(device.real).partitions for found in _signatures(part)}
    return all(name.startswith("zfs-") for name in names) and signatures <= {f"{_NAMES['zfs_member']} {pool!r}"}


def clear(path: str) -> None:
    """Take everything that libblkid recognises off a disk or file, its partitions first.

    Raises:
        CallFailed: something is still there, or is in use.
    """
    real = os.path.realpath(path)
    try:
        parts = _block_tree(real).partitions if stat.S_ISBLK(os.stat(real).st_mode) else (real,)
        for each in (*(part for part in parts if part != real), real):
            _said("wipefs", "--all", "--quiet", each)
        if stat.S_ISBLK(os.stat(real).st_mode):
            _said("udevadm", "settle", "--timeout=10")
    except (OSError, Refused) as error:
        raise CallFailed(f"{path} was not cleared: {error}") from None


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
