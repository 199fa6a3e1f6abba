# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where datasets appear on the host: mountpoints and the nodes of volumes.

Private to the collection.
"""

from __future__ import annotations

import os

from ._delegation import ONLY_ROOT_MOUNTS, only_root
from ._mounts import mounts, on_top_of, shown
from ._names import is_below


def occupant(path: str) -> str | None:
    """Say what stands in the way of mounting at a path, None if nothing does.

    Another file system does, even an empty one: with the property ``overlay``, on by default, it would be covered.
    """
    try:
        with os.scandir(path) as entries:
            first = next(entries, None)
        if os.path.ismount(path):
            mount = on_top_of(path)
            source = "a file system" if mount is None else shown(mount.source)
            return f"is where {source} is mounted. Unmount that, or choose another mountpoint."
    except FileNotFoundError:
        return "is a symbolic link that leads nowhere. Remove it." if os.path.islink(path) else None
    except NotADirectoryError:
        return "is a file, not a directory. Move it away." if os.path.lexists(path) else "lies below a file. Move that."
    except OSError as error:
        hint = only_root(ONLY_ROOT_MOUNTS) if isinstance(error, PermissionError) else ""
        return f"cannot be looked into: {error.strerror}.{hint}"
    if first is None:
        return None
    real = os.path.realpath(path)
    inside = next((mount for mount in mounts() if is_below(mount.path, real)), None)
    if inside is None:
        return f"is not empty (it holds {first.name!r}). Move its content away."
    return (
        f"is not empty: {shown(inside.source)} is mounted inside it, on {shown(inside.path)}. Unmount that, or choose "
        "another mountpoint."
    )
