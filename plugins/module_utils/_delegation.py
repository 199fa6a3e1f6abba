# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user other than root is told who was denied something (zfs-allow(8)). Root is told nothing.

Private to the collection.
"""

from __future__ import annotations

import os
import pwd

# Given at creation without a permission of their own (tried with OpenZFS 2.3.9).
_NEEDED_BY_NOBODY = ("encryption", "keyformat", "pbkdf2iters")

ONLY_ROOT_MOUNTS = (
    " Linux lets only root mount and unmount, whatever 'zfs allow' says. Work as root, or without mounting: "
    "canmount=noauto for a new filesystem, mount: false for an unlock."
)
ONLY_ROOT_READS = (
    " This user may not read it, so nothing says whether the loaded key opens it. Work as root; an unlock with "
    "mount: false reads nothing."
)


def is_root() -> bool:
    return os.geteuid() == 0


def only_root(sentence: str) -> str:
    """Return a sentence for whoever is not root."""
    return "" if is_root() else sentence


def to_be_allowed(name: str, *permissions: str) -> str:
    """Say what has to be delegated to this user, if it is not root.

    Args:
        name: the dataset.
        permissions: names of permissions, and of properties that are to be set.
    """
    needed = (each for each in permissions if each not in _NEEDED_BY_NOBODY)
    names = dict.fromkeys("userprop" if ":" in each else each for each in needed)
    return only_root(f" Root can allow it: 'zfs allow {_user()} {','.join(names)} {name}'.")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
