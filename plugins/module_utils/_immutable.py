# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping people from writing into the place of a locked dataset: the immutable flag of its bare mountpoint.

By ioctl(2), as ``chattr +i`` sets it (FS_IOC_SETFLAGS(2const)). Never through a mount: the flag would be the mounted
filesystem's own. A part of ``_openzfs``. Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import struct
import typing as t

from ._errors import CallFailed
from ._model import Place

_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL
_CAP_LINUX_IMMUTABLE = 1 << 9
# Where reading and writing are told by other bits than usual (asm/ioctl.h).
_IS_ODD = platform.machine().startswith(("ppc", "mips", "sparc", "alpha"))
_SIZE = struct.calcsize("l") << 16 | ord("f") << 8
_READ, _WRITE = (0x40000000, 0x80000000) if _IS_ODD else (0x80000000, 0x40000000)
_GETFLAGS, _SETFLAGS = _READ | _SIZE | 1, _WRITE | _SIZE | 2
# There is no such place, or no way to write to it: nothing has to be protected there.
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR)
_KNOWS_NONE = "its file system knows no immutable directories"
KEPT_BY_ROOT = "only root may change its flags"
_IN_USE = "it is not empty, so it may be in use"
_NO_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def look(path: str) -> Place:
    """Look at a mountpoint; what lies below a mount is judged by the directory around it.

    One that holds something without a mount is no empty place to keep: a replica's may be the ``/etc`` of this host.
    """
    try:
        with _directory(path) as place:
            if not _is_mount(place):
                obstacle = _obstacle(place)
                if obstacle != _KNOWS_NONE and _flags(place) & _IMMUTABLE:
                    return Place("protected", obstacle)
                return Place("bare", _IN_USE if _holds_anything(place) else obstacle)
        with _directory(os.path.dirname(path)) as around:
            return Place("mounted", _obstacle(around))
    except OSError as error:
        return Place("none", None if error.errno in _NO_PLACE else os.strerror(error.errno or 0))


def protect(path: str) -> None:
    """Make a bare mountpoint immutable; one that is not there needs no protection.

    Raises:
        CallFailed: it cannot be done, or something is mounted there.
    """
    try:
        with _directory(path) as place:
            if _is_mount(place):
                raise CallFailed(f"{path} was not protected: something is mounted there.", reason="busy")
            _set(place, _flags(place) | _IMMUTABLE)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            what = f"{path} was not protected: {os.strerror(error.errno or 0)}. Leave protect_mountpoint out."
            raise CallFailed(what, errno=error.errno) from None


def release(path: str) -> bool:
    """Take the flag off a bare mountpoint, and tell whether it was there.

    Raises:
        CallFailed: it is there and cannot be taken off.
    """
    with contextlib.ExitStack() as opened:
        try:
            place = opened.enter_context(_directory(path))
            flags = _flags(place)
        except OSError:
            return False
        if not flags & _IMMUTABLE or _is_mount(place):
            return False
        try:
            _set(place, flags & ~_IMMUTABLE)
        except OSError as error:
            if error.errno == errno.EROFS:
                return False  # nobody could write into it anyway, and it can be mounted over
            what = f"{path} is immutable, and stays so: {os.strerror(error.errno or 0)}. Run 'chattr -i' on it."
            raise CallFailed(what, errno=error.errno) from None
        return True


@contextlib.contextmanager
def _directory(path: str) -> t.Iterator[int]:
    """Open a directory, itself and no link: whoever may write around it could make one that leads to /etc."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_mount(directory: int) -> bool:
    """Tell whether a directory is the top of a mount: then the one above it belongs to another mount."""
    above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return _mount_id(above) != _mount_id(directory) or os.path.samestat(os.fstat(above), os.fstat(directory))
    finally:
        os.close(above)


def _mount_id(descriptor: int) -> str:
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
        return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))


def _obstacle(directory: int) -> str | None:
    """Say why the flag cannot be set on what lies on this directory's file system, None if it can."""
    try:
        _flags(directory)
    except OSError as error:
        if error.errno in _NO_FLAGS:
            return _KNOWS_NONE
        raise
    if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return None if _may_set() else KEPT_BY_ROOT


def _holds_anything(directory: int) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is not None


def _flags(directory: int) -> int:
    buffer = bytearray(8)  # the kernel writes an int, whatever the request says
    fcntl.ioctl(directory, _GETFLAGS, buffer)
    return int(struct.unpack_from("i", buffer)[0])


def _may_set() -> bool:
    """Tell whether this process has CAP_LINUX_IMMUTABLE, and not in a user namespace alone (capabilities(7))."""
    with open("/proc/self/status", encoding="ascii") as lines:
        effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    with open("/proc/self/uid_map", encoding="ascii") as users:
        is_initial = users.read().split() == ["0", "0", "4294967295"]
    return is_initial and bool(int(effective, 16) & _CAP_LINUX_IMMUTABLE)


def _set(directory: int, flags: int) -> None:
    fcntl.ioctl(directory, _SETFLAGS, struct.pack("i4x", flags))
