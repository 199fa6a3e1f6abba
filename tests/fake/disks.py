# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's disks and files: what lies on each, and which pool wrote to it."""

from __future__ import annotations

import errno
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.zfsfleet.encryption.plugins.module_utils._devices import Device
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import whole_disk

Kind = t.Literal["disk", "file"]
# Names of partitions, and of devices that OpenZFS writes to without making partitions.
_AS_IT_IS = re.compile(r"(-part\d+|\dp\d+|/[sv]d[a-z]+\d+)$|^/dev/(loop|zd|dm-)")


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
        is_destroyed: that pool was destroyed.
        partition: the first one, if OpenZFS made partitions on it.
    """

    path: str
    kind: Kind
    size: int = 0
    holds: tuple[str, ...] = ()
    in_use: str | None = None
    pool: tuple[str, str] | None = None
    is_active: bool = False
    is_destroyed: bool = False
    partition: Disk | None = None

    @property
    def contents(self) -> tuple[str, ...]:
        if self.partition is not None:
            below = (f"{each} ({self.partition.path})" for each in self.partition.contents)
            return ("a partition table with 2 partition(s)", *self.holds, *below)
        what = "a member of a destroyed ZFS pool" if self.is_destroyed else "a member of a ZFS pool"
        return self.holds if self.pool is None else (*self.holds, f"{what} {self.pool[1]!r}")

    @property
    def user(self) -> str | None:
        if self.is_active and self.kind == "disk":
            return "the kernel has it in use"
        return self.in_use if self.partition is None else self.partition.user


class Disks:
    """All disks and files by their own path, and the links that lead to them."""

    def __init__(self) -> None:
        self._disks: dict[str, Disk] = {}
        self._links: dict[str, str] = {}

    def add(self, path: str, disk: Disk) -> None:
        """Put a disk or file there, if it is not there yet; a path that is not its own becomes a link to it."""
        self._disks.setdefault(disk.path, disk)
        self._links[path] = disk.path

    def get(self, path: str) -> Disk | None:
        real = self.real_path(path)
        whole = self._disks.get(whole_disk(real))
        partition = None if whole is None or whole.path == real else whole.partition
        return self._disks.get(real, partition)

    def real_path(self, path: str) -> str:
        whole = whole_disk(path)
        if path not in self._links and whole in self._links:
            return first_partition(self._links[whole])
        return self._links.get(path, path)

    def device(self, path: str) -> Device:
        disk = self.get(path)
        if disk is None:
            return Device(path, path, "missing")
        return Device(path, disk.path, disk.kind, disk.contents, disk.user, disk.size)

    def put(self, path: str, holds: tuple[str, ...]) -> None:
        disk = self.get(path)
        if disk is None:
            raise AssertionError(f"there is no disk {path}")
        disk.holds = holds

    def use(self, path: str, user: str | None) -> None:
        disk = self.get(path)
        if disk is None:
            raise AssertionError(f"there is no disk {path}")
        disk.in_use = user

    def clear(self, path: str) -> None:
        disk = self.get(path)
        if disk is None:
            raise CallFailed(f"{path} was not cleared: No such file or directory")
        if disk.user is not None:
            raise CallFailed(f"{path} was not cleared: Device or resource busy")
        disk.holds, disk.pool, disk.partition = (), None, None

    def label(self, path: str, pool: tuple[str, str]) -> str:
        """Write a pool to a disk; return the path that ``zpool status -P`` shows, for whole disks a partition's."""
        disk = self.get(path)
        if disk is None or disk.kind == "file" or _AS_IT_IS.search(path):
            written, member = disk, path
        else:
            disk.partition = written = Disk(first_partition(disk.path), "disk")
            member = first_partition(path)
        if written is not None:
            written.pool, written.is_active, written.is_destroyed = pool, True, False
        return member

    def set_active(self, members: t.Iterable[str], *, is_active: bool) -> None:
        """Have the disks of a pool in use, or not."""
        for disk in filter(None, map(self.get, members)):
            disk.is_active = is_active

    def destroy(self, members: t.Iterable[str]) -> None:
        """Note on the disks of a pool that it was destroyed."""
        for disk in filter(None, map(self.get, members)):
            disk.is_destroyed = True

    def make_file(self, path: str, size: int) -> None:
        if path in self._links:
            raise CallFailed(f"The file {path} was not made: File exists.", errno=errno.EEXIST)
        self.add(path, Disk(path, "file", size))

    def remove_file(self, path: str) -> None:
        self._disks.pop(self._links.pop(path, path), None)


def first_partition(path: str) -> str:
    if path.startswith("/dev/disk/"):
        return f"{path}-part1"
    return f"{path}p1" if path[-1].isdigit() else f"{path}1"
