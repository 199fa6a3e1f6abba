# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting and unmounting by the system calls that ``zfs mount`` itself makes, without a process for each filesystem.

What is out of the ordinary is left to ``zfs``, and so is whatever fails: it does the rest or says why not. A part of
``_openzfs``. Private to the collection.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import typing as t

from . import _lineage
from ._command import READ_TIMEOUT, failure, run
from ._delegation import ONLY_ROOT_MOUNTS, only_root
from ._errors import CallFailed
from ._model import MOUNT_PROPERTIES, Dataset
from ._mounts import on_top_of
from ._property_lines import parsed
from ._sharing import is_to_be_shared

# Property, the flag and option of mount(2) where it is on, and where it is off: libzfs_mount.c, ``zfs_add_options``.
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_MANDLOCK = 1, 2, 4, 8, 64
_MS_NOATIME, _MS_RELATIME, _MS_STRICTATIME = 1 << 10, 1 << 21, 1 << 24
_OPTIONS = {
    "atime": ((0, "atime"), (_MS_NOATIME, "noatime")),
    "relatime": ((_MS_RELATIME, "relatime"), (_MS_STRICTATIME, "strictatime")),
    "devices": ((0, "dev"), (_MS_NODEV, "nodev")),
    "exec": ((0, "exec"), (_MS_NOEXEC, "noexec")),
    "readonly": ((_MS_RDONLY, "ro"), (0, "rw")),
    "setuid": ((0, "suid"), (_MS_NOSUID, "nosuid")),
    "nbmand": ((_MS_MANDLOCK, "mand"), (0, "nomand")),
}
_CONTEXTS = tuple(name for name in MOUNT_PROPERTIES if name.endswith("context"))
_PLAIN_PATH = re.compile(r"/[^,\"\\\n]*")


def observe(name: str) -> Dataset:
    """Read what has to be known to mount a filesystem.

    Raises:
        CallFailed: it cannot be read.
    """
    wanted = [*dict.fromkeys(("encryptionroot", "mounted", "mountpoint", "canmount", *MOUNT_PROPERTIES, "type"))]
    answer = run("zfs", "get", "-Hpo", "name,property,value,source", ",".join(wanted), name, timeout=READ_TIMEOUT)
    if answer.code != 0:
        raise CallFailed(f"{name} was not mounted: {answer.error}", reason="mount_failed")
    return parsed(answer.out, wanted)[name]


def mount(dataset: Dataset, *, by_zfs: bool) -> None:
    """Mount an unlocked filesystem that is not mounted.

    Args:
        dataset: as it was read with MOUNT_PROPERTIES; nothing stands in its place.
        by_zfs: leave it to ``zfs``: in a pool that was imported read-only a filesystem is mounted so, too, whatever its
            property says.

    Raises:
        CallFailed: it is not mounted.
    """
    if not by_zfs and _mount(dataset):
        return
    answer = run("zfs", "mount", dataset.name)
    if answer.was_killed:
        raise failure(f"{dataset.name} was not mounted", answer)
    if answer.code != 0 and "already mounted" not in answer.error:
        why = f"{answer.error}{_lineage.explanation(answer.error)}{only_root(ONLY_ROOT_MOUNTS)}"
        raise CallFailed(f"{dataset.name} was not mounted: {why}", reason="mount_failed")


def _mount(dataset: Dataset) -> bool:
    """Mount an ordinary filesystem by a system call, and tell whether that was done."""
    place = dataset.value("mountpoint")
    if not _is_ordinary(dataset) or os.path.ismount(place):
        return False
    chosen = {name: pair[dataset.value(name) != "on"] for name, pair in _OPTIONS.items()}
    if dataset.value("atime") != "on":
        del chosen["relatime"]  # strictatime would bring atime back
    flags = sum(flag for flag, _word in chosen.values())
    words = ("defaults", *(word for _flag, word in chosen.values()), "zfsutil", f"mntpoint={place}")
    try:
        os.makedirs(place, mode=0o755, exist_ok=True)
    except OSError:
        return False
    target, options = os.fsencode(place), os.fsencode(",".join(words))
    return bool(_libc().mount(dataset.name.encode(), target, b"zfs", ctypes.c_ulong(flags), options) == 0)


def unmount(name: str, known: Dataset | None) -> None:
    """Unmount a filesystem that nothing is mounted below.

    Args:
        name: the filesystem.
        known: the same as it was read with MOUNT_PROPERTIES. One that is shared is left to ``zfs``, which unshares it.

    Raises:
        CallFailed: it is mounted yet.
    """
    if known is not None and not is_to_be_shared(known) and is_mounted(known):
        place = os.fsencode(known.value("mountpoint"))
        if _libc().umount2(place, 0) == 0:
            return
    answer = run("zfs", "unmount", name)
    if answer.code != 0 and "not currently mounted" not in answer.error:
        error = failure(f"{name} was not unmounted", answer)
        raise type(error)(f"{error}{only_root(ONLY_ROOT_MOUNTS)}", reason=error.reason)


# fsopen(2), fsconfig(2), fsmount(2), since Linux 5.2; the numbers are the same on every architecture but Alpha.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_CLOSE_ON_EXEC = 1
# Answers that leave open whether the key opens it: an old kernel, no permission, somebody else has it in use.
_UNDECIDED = (errno.ENOSYS, errno.EPERM, errno.ENODEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EBUSY)


def read_from(dataset: Dataset, *, by_snapshot: bool) -> bool:
    """Read from an unlocked, unmounted filesystem, by its last snapshot if that is wanted and there is one, and tell
    whether that could be done here.

    It is mounted read-only, attached to no place and let go at once: nothing is written. ``zfs userspace`` reads, too,
    but brings its accounting up to date; a replica refuses its next increment then (tried with OpenZFS 2.3.9). So it
    does on 2.1.11 once it was mounted itself, read-only too; a snapshot is never written to.

    Raises:
        OSError: it cannot be read: EACCES where another key than the loaded one wraps it.
    """
    if by_snapshot and dataset.last_snapshot is not None:
        try:
            return _read_from(dataset.last_snapshot)
        except FileNotFoundError:
            pass  # it was destroyed meanwhile
    return _read_from(dataset.name)


def _read_from(name: str) -> bool:
    try:
        context = _call(_FSOPEN, b"zfs", _CLOSE_ON_EXEC)
        try:
            _call(_FSCONFIG, context, _SET_STRING, b"source", name.encode(), 0)
            _call(_FSCONFIG, context, _SET_FLAG, b"ro", None, 0)
            _call(_FSCONFIG, context, _CREATE, None, None, 0)
            os.close(_call(_FSMOUNT, context, _CLOSE_ON_EXEC, _MS_RDONLY))
        finally:
            os.close(context)
    except OSError as error:
        if error.errno in _UNDECIDED:
            return False
        raise
    return True


def _call(number: int, *arguments: t.Any) -> int:
    """Make a system call that the C library may be too old to know.

    Raises:
        OSError: it failed.
    """
    answer = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def is_mounted(dataset: Dataset) -> bool:
    """Look whether a filesystem, and no other above it, is mounted at its mountpoint."""
    place = dataset.value("mountpoint")
    if not place.startswith("/") or not os.path.ismount(place):
        return False
    mount = on_top_of(place)
    return mount is not None and mount.source == dataset.name


def _is_ordinary(dataset: Dataset) -> bool:
    """Tell whether a filesystem is known, is no container's, and has no SELinux context of its own."""
    is_known = all(name in dataset.properties for name in MOUNT_PROPERTIES)
    has_context = any(dataset.value(name) != "none" for name in _CONTEXTS)
    has_place = dataset.value("canmount") != "off" and _PLAIN_PATH.fullmatch(dataset.value("mountpoint")) is not None
    return is_known and has_place and not has_context and not dataset.is_zoned


def _libc() -> t.Any:
    return ctypes.CDLL(None, use_errno=True)
