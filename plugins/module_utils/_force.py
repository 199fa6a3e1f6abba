# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmounting by force, as far as Linux lets that be done. A part of ``_openzfs``. Private to the collection.

``zfs unmount -f`` and MNT_FORCE take no open file away from a process: Linux heeds the flag for file systems of the
network and FUSE (umount(2)), so OpenZFS stays busy. A lazy unmount (MNT_DETACH) would only hide the filesystem: files
that are open go on being written, and the key stays in use. What can be taken away is what no process would miss.
"""

from __future__ import annotations

import contextlib
import typing as t

from ._command import failure, run
from ._errors import Refused
from ._mounts import Mounted, kept_namespaces, link, listed, mounts


def unmount(name: str) -> None:
    """Take away every mount of a filesystem: its own, bind mounts, snapshots, what lies inside, copies elsewhere.

    What is busy in another mount namespace stays; the key cannot be unloaded then, and who it is will be told.

    Raises:
        CallFailed: ``busy``, since a process uses it.
    """
    for mount in _in_the_way(name):
        answer = run("umount", "--force", mount.path)
        if answer.code != 0 and "not mounted" not in answer.error:
            raise failure(f"{name} was not unmounted", answer)
    for namespace, seen in _other_namespaces():
        for mount in reversed(_of(name, seen)):
            with contextlib.suppress(Refused):  # there is no nsenter
                run("nsenter", f"--mount={namespace}", "umount", "--force", mount.path)


def _in_the_way(name: str) -> list[Mounted]:
    """Return what has to go, innermost first.

    Of what is mounted inside only that which lies on the filesystem itself: deeper, a bind mount of /dev for example
    would spread its unmounting to where it came from (mount_namespaces(7), shared subtrees).
    """
    seen = mounts()
    own = {mount.id for mount in _of(name, seen)}
    return [mount for mount in reversed(seen) if mount.id in own or mount.parent in own]


def _of(name: str, seen: t.Iterable[Mounted]) -> list[Mounted]:
    return [mount for mount in seen if mount.dataset == name]


def _other_namespaces() -> t.Iterator[tuple[str, list[Mounted]]]:
    """Yield the files of all other mount namespaces, and what is mounted there."""
    known = {link("/proc/self/ns/mnt"), ""}
    for pid in filter(str.isdigit, listed("/proc")):
        file = f"/proc/{pid}/ns/mnt"
        if link(file) not in known:
            known.add(link(file))
            yield file, mounts(pid)
    yield from kept_namespaces().items()
