# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing by NFS and SMB what was mounted. A part of ``_openzfs``. Private to the collection.

Unmounting takes a share away, and mounting does not bring it back: ``zfs create`` and ``zfs share -a`` at boot do.
"""

from __future__ import annotations

from ._command import run
from ._model import MOUNT_PROPERTIES, Dataset

_SHARES = tuple(name for name in MOUNT_PROPERTIES if name.startswith("share"))


def is_to_be_shared(dataset: Dataset) -> bool:
    """Tell whether a filesystem that was read with MOUNT_PROPERTIES is shared while it is mounted."""
    return any(dataset.value(name) not in ("off", "-") for name in _SHARES)


def share(name: str) -> str | None:
    """Share a mounted filesystem; say so where that failed."""
    answer = run("zfs", "share", name)
    if answer.code == 0 or "already shared" in answer.error:
        return None
    return (
        f"{name} is mounted, but not shared: {answer.why} Have its server installed and running and run "
        f"'zfs share {name}', or set its sharenfs and sharesmb to off."
    )
