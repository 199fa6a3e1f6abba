# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change to a pool's keys at a time: an advisory lock for the length of one module execution.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from ._errors import Refused
from ._model import Pool

DIRECTORY = "/run/lock"
PATIENCE = 60.0  # seconds


@contextlib.contextmanager
def hold(pools: t.Iterable[Pool], *, directory: str | None = None, patience: float = PATIENCE) -> t.Iterator[None]:
    """Hold the locks of these pools, always taken in the order of their GUIDs.

    Raises:
        Refused: another run held one of them all the time.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as held:
        for pool in sorted(pools, key=lambda pool: pool.guid):
            path = os.path.join(directory or DIRECTORY, f"zfsfleet-{pool.guid}.lock")
            descriptor = _open(path, pool)
            held.callback(os.close, descriptor)
            _wait(descriptor, pool, path, deadline)
        yield


def _open(path: str, pool: Pool) -> int:
    """Open a lock file, made for its owner alone: whoever can open it could hold up every change.

    One that is there is opened without O_CREAT, which the kernel denies even root where the file in a sticky directory
    is another user's (fs.protected_regular, proc_sys_fs(5)).
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        return os.open(path, flags | os.O_CREAT, 0o600)
    except PermissionError:
        raise Refused(
            f"The lock of pool {pool.name}, {path}, belongs to another user, who worked on this pool before. "
            "Nothing was changed. Work as that user or as root, or have the file removed while nobody does."
        ) from None
    except OSError as error:
        raise Refused(
            f"The lock of pool {pool.name}, {path}, cannot be taken: {error.strerror}. Nothing was changed."
        ) from None


def _wait(descriptor: int, pool: Pool, path: str, deadline: float) -> None:
    if not is_taken(descriptor, deadline):
        raise Refused(
            f"Another run is changing keys of pool {pool.name} and did not end in time. "
            f"Wait for it; 'fuser {path}' shows who it is."
        )


def is_taken(descriptor: int, deadline: float) -> bool:
    """Take the lock of an open file, and tell whether that was possible before the clock showed the deadline.

    Args:
        descriptor: of the file; closing it gives the lock back.
        deadline: seconds on the monotonic clock.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.1)
