# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of datasets: which can be one, and what lies above or below.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t

_FOREIGN = re.compile(r"[^A-Za-z0-9 _.:/-]")
_NAME_BYTES = 255  # ZFS_MAX_DATASET_NAME_LEN, less the NUL


def is_dataset_name(name: str) -> bool:
    """Tell whether a text can name a filesystem or volume (zfs_namecheck.c, ``dataset_namecheck``)."""
    return not why_no_name(name)


def why_no_name(name: str) -> str:
    """Say which rule on the names of filesystems and volumes a text breaks, empty if none."""
    components = name.split("/")
    foreign = _FOREIGN.search(name)
    if foreign is not None:
        return f"{foreign.group()!r} is none of letters, digits, spaces and '_.:-'"
    if not all(components):
        return "a part of it is empty"
    if any(part in (".", "..") for part in components):
        return "a part of it is . or .."
    return "" if len(name) <= _NAME_BYTES else f"it has {len(name)} bytes, where OpenZFS takes {_NAME_BYTES}"


def parent_of(name: str) -> str | None:
    """Return the name of the dataset above, None for a pool's root dataset."""
    head, slash, _last = name.rpartition("/")
    return head if slash else None


def pool_of(name: str) -> str:
    return name.partition("/")[0]


def depth_of(name: str) -> int:
    return name.count("/")


def is_below(name: str, ancestor: str) -> bool:
    """Tell whether ``name`` lies strictly below ``ancestor``."""
    return name.startswith(ancestor + "/")


def names_above(name: str) -> t.Iterator[str]:
    """Yield the datasets above a dataset, or the directories above a path but for the root directory, nearest first."""
    above = name.rpartition("/")[0]
    while above:
        yield above
        above = above.rpartition("/")[0]
