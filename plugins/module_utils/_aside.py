# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving aside what stands in the way of a mountpoint: within its directory, never over anything, never what is in use.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import typing as t

from ._errors import CallFailed
from ._mounts import mounts, shown
from ._names import is_below

# The system stands on these; file-hierarchy(7).
_OF_THE_SYSTEM = (
    *("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64"),
    *("/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var"),
)
_TOLD = 3


def place_for(path: str) -> str:
    """Return the free name beside a path that what stands there would get.

    Raises:
        CallFailed: it must not be moved.
    """
    why = _kept_by(path)
    if why is not None:
        raise CallFailed(f"It is not moved aside: {why}", reason="mountpoint_occupied")
    return next(place for place in map(f"{path}.aside-{{}}".format, itertools.count(1)) if not os.path.lexists(place))


def move(source: str, target: str) -> None:
    """Rename within a directory; a target that appeared meanwhile is left alone.

    A directory takes the place of an empty one that was made for it, a file that of no other by its second link:
    renameat2(2) with RENAME_NOREPLACE would say EINVAL on the filesystems of OpenZFS before 2.2.

    Raises:
        CallFailed: it was not moved.
    """
    try:
        if stat.S_ISDIR(os.lstat(source).st_mode):
            _move_directory(source, target)
        else:
            os.link(source, target, follow_symlinks=False)
            os.unlink(source)
    except OSError as error:
        raise CallFailed(
            f"{source} was not moved to {target}: {error.strerror}.", reason="mountpoint_occupied", errno=error.errno
        ) from None


def move_back(aside: str, path: str) -> None:
    """Undo a move; the empty directory that a failed mount may have left goes away.

    Raises:
        CallFailed: it is still where it was moved to.
    """
    with contextlib.suppress(OSError):
        os.rmdir(path)
    move(aside, path)


def _move_directory(source: str, target: str) -> None:
    os.mkdir(target, 0o700)
    try:
        os.rename(source, target)
    except OSError:
        os.rmdir(target)
        raise


def _kept_by(path: str) -> str | None:
    """Say why what stands at a path has to stay there, None if it may go."""
    try:
        kind = os.lstat(path).st_mode
    except OSError as error:  # ENOTDIR where a file stands further up
        return f"it cannot be looked at ({error.strerror})."
    if os.path.normpath(path) in _OF_THE_SYSTEM:
        return "the system needs it. Choose another mountpoint."
    if stat.S_ISLNK(kind):
        return "it is a symbolic link. Remove it, or choose another mountpoint."
    real = os.path.realpath(path)
    for mount in reversed(mounts()):
        if mount.path == real:
            return f"{shown(mount.source)} is mounted there. Unmount that first."
        if is_below(mount.path, real):
            return f"{shown(mount.source)} is mounted inside it, on {shown(mount.path)}. Unmount that first."
    users = list(itertools.islice(_users(real), _TOLD))
    return f"{', '.join(users)}. End that first." if users else None


def _users(path: str) -> t.Iterator[str]:
    """Yield who works there or has something open there: it would go on writing into what was moved away."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            links = [f"/proc/{pid}/{name}" for name in ("cwd", "root", "exe")]
            links += [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
            if any(_leads_to(link, path) for link in links):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                    yield f"process {pid} ({comm.read().strip()}) uses it"


def _leads_to(link: str, path: str) -> bool:
    try:
        target = os.readlink(link)
    except OSError:
        return False
    return target == path or is_below(target, path)
