# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of volumes, which udev makes a moment after one is created or its key loaded. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import glob
import os
import time
import typing as t

from ._command import READ_TIMEOUT, run
from ._delegation import ONLY_ROOT_READS, is_root
from ._errors import CallFailed, NotPermitted, Refused
from ._mounts import lines, node_of, open_volume, volumes

if t.TYPE_CHECKING:
    from ._model import Dataset

TIMEOUT = 20  # seconds
UDEV_IS_ASKED_AFTER = (2, 5, 10)  # seconds
_PAUSE = 0.05  # seconds
_UDEV = "/run/udev/control"
_PARAMETERS = "/sys/module/zfs/parameters"


def read(name: str) -> None:
    """Read a volume's first block, once its node is there.

    Raises:
        CallFailed: it cannot be read, or its node does not come.
    """
    _wait_for(name, lambda: _was_read(name))


def wait(volume: Dataset) -> None:
    """Wait for a volume's node, where this system makes any. Everybody may, and nothing is opened.

    Raises:
        CallFailed: it does not come.
    """
    node = node_of(volume.name)
    if os.path.exists(_UDEV) and _is_shown(volume):
        _wait_for(volume.name, lambda: os.path.exists(node))


def _is_shown(volume: Dataset) -> bool:
    """Tell whether OpenZFS shows a volume to udev (zfs(4): zvol_inhibit_dev, zvol_volmode)."""
    volmode = volume.value("volmode")
    if volmode == "default":
        volmode = {"3": "none"}.get(_parameter("zvol_volmode"), volmode)
    return volmode != "none" and _parameter("zvol_inhibit_dev") != "1"


def _parameter(name: str) -> str:
    return "".join(lines(f"{_PARAMETERS}/{name}"))


def _wait_for(name: str, is_there: t.Callable[[], bool]) -> None:
    started = time.monotonic()
    left = [started + seconds for seconds in (*UDEV_IS_ASKED_AFTER, TIMEOUT)]
    while not is_there():
        if time.monotonic() > left[0]:
            del left[0]
            if not left:
                node = node_of(name)
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
