# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of volumes, which udev makes a moment after a key is loaded. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import glob
import os
import time

from ._command import READ_TIMEOUT, run
from ._delegation import ONLY_ROOT_READS, is_root
from ._errors import CallFailed, NotPermitted, Refused
from ._mounts import lines, node_of, open_volume, volumes

TIMEOUT = 20  # seconds
UDEV_IS_ASKED_AFTER = (2, 5, 10)  # seconds
_PAUSE = 0.05  # seconds


def read(name: str) -> None:
    """Read a volume's first block, once its node is there.

    Raises:
        CallFailed: it cannot be read, or its node does not come.
    """
    node = node_of(name)
    started = time.monotonic()
    left = [started + seconds for seconds in (*UDEV_IS_ASKED_AFTER, TIMEOUT)]
    while not _was_read(name):
        if time.monotonic() > left[0]:
            del left[0]
            if not left:
                raise CallFailed(f"{node} did not appear within {TIMEOUT} s. Look at the log of systemd-udevd.")
            _ask_udev()
        time.sleep(_PAUSE)


def _was_read(name: str) -> bool:
    try:
        volume = open_volume(name)
        try:
            os.read(volume, 512)
        finally:
            os.close(volume)
    except FileNotFoundError:
        return False
    except OSError as error:
        what = f"{name} cannot be read: {error.strerror}."
        if isinstance(error, PermissionError) and not is_root():
            raise NotPermitted(f"{what}{ONLY_ROOT_READS}") from None
        raise CallFailed(what, errno=error.errno) from None
    return True


def _ask_udev() -> None:
    """Have udev look again at the devices of volumes that it gave no name.

    While OpenZFS is busy, a volume cannot be opened (ERESTARTSYS, zvol_os.c); udev then ignores the device for good.
    """
    named = volumes()
    devices = [path for path in glob.glob("/sys/block/zd*") if "".join(lines(f"{path}/dev")) not in named]
    if devices:
        with contextlib.suppress(Refused):  # there is no udevadm
            run("udevadm", "trigger", "--action=change", *map(os.path.realpath, devices), timeout=READ_TIMEOUT)
