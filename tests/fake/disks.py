# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's disks and files: what lies on each, and which pool wrote to it."""

from __future__ import annotations

import errno
import typing as t
from dataclasses import dataclass

from ansible_collections.zfsfleet.encryption.plugins.module_utils._devices import Device
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import whole_disk

Kind = t.Literal["disk", "file"]


@dataclass
class Disk:
    """A disk, a partition or a file.

    Args:
        path: its own, with all links followed.
        size: bytes, 0 where it does not matter.
        holds: what a person put there.
        in_use: who has it open, but for a pool.
        pool: guid and name of the pool that wrote to it last.
        is_active: that pool is imported.
    """

    path: str
    kind: Kind
    size: int = 0
    holds: tuple[str, ...] = ()
    in_use: str | None = None
    pool: tuple[str, str] | None = None
    is_active: bool = False

    @property
    def contents(self) -> tuple[str, ...]:
        if self.pool is None:
            return self.holds
        label = f"a member of a ZFS pool {self.pool[1]!r}"
        if self.kind == "file" or _is_partition(self.path):
            return (*self.holds, label)
        return (*self.holds, "a partition table with 2 partition(s)", f"{label} ({first_partition(self.path)})")

    @property
    def user(self) -> str | None:
        if self.is_active and self.kind == "disk":
            return "the kernel has it in use"
        return self.in_use


class Disks:
    """All disks and files by their own path, and the links that lead to them."""

    def __init__(self) -> None:
        self.disks: dict[str, Disk] = {}
        self._links: dict[str, str] = {}

    def add(self, path: str, disk: Disk) -> None:
        """Put a disk or file there; a path that is not its own becomes a link to it."""
        self.disks.setdefault(disk.path, disk)
        self._links[path] = disk.path

    def get(self, path: str) -> Disk | None:
        return self.disks.get(self._links.get(path, path))

    def real_path(self, path: str) -> str:
        if path not in self._links and whole_disk(path) in self._links:
            return first_partition(self._links[whole_disk(path)])
        return self._links.get(path, path)

    def device(self, path: str) -> Device:
        disk = self.get(path)
        if disk is None:
            return Device(path, path, "missing")
        return Device(path, disk.path, disk.kind, disk.contents, disk.user)

    def clear(self, path: str) -> None:
        disk = self.get(path)
        if disk is None:
            raise CallFailed(f"{path} was not cleared: No such file or directory")
        if disk.user is not None:
            raise CallFailed(f"{path} was not cleared: Device or resource busy")
        disk.holds, disk.pool = (), None

    def make_file(self, path: str, size: int) -> None:
        if path in self._links:
            raise CallFailed(f"The file {path} was not made: File exists.", errno=errno.EEXIST)
        self.add(path, Disk(path, "file", size))

    def remove_file(self, path: str) -> None:
        self.disks.pop(self._links.pop(path, path), None)

    def member(self, path: str) -> str:
        """Return what ``zpool status -P`` shows: OpenZFS partitions whole disks."""
        disk = self.get(path)
        if disk is None or disk.kind == "file" or _is_partition(path):
            return path
        return first_partition(path)

    def of_member(self, member: str) -> Disk | None:
        return self.get(member) or self.get(whole_disk(member))


def first_partition(path: str) -> str:
    if path.startswith("/dev/disk/"):
        return f"{path}-part1"
    return f"{path}p1" if path[-1].isdigit() else f"{path}1"


def _is_partition(path: str) -> bool:
    return whole_disk(path) != path
