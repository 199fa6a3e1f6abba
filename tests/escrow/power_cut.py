# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a power cut may leave of files that were being written, if the file system keeps no more than it has to.

A recording notes what a run does to the disk. From any beginning of it images are made: what was synchronised is there,
of the rest each change is there or not, and what was written without being synchronised is whole, torn or empty.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import typing as t
from dataclasses import dataclass

Inode = int


@dataclass(frozen=True)
class Linked:
    """A name was given, or with no inode taken away, in a directory."""

    directory: Inode
    name: str
    inode: Inode | None
    is_directory: bool = False


@dataclass(frozen=True)
class Written:
    """Bytes were added to a file."""

    inode: Inode
    data: bytes


@dataclass(frozen=True)
class Synchronised:
    """What was written to a file, or the names in a directory, are on the disk."""

    inode: Inode


Event = Linked | Written | Synchronised


class Recording:
    """What happens to the disk as long as functions of ``os`` are replaced by these.

    Args:
        replace: replaces a function of ``os`` for as long as the recording lasts.
    """

    def __init__(self, replace: t.Callable[[str, t.Callable[..., t.Any]], None]) -> None:
        self.events: list[Event] = []
        self._real = {name: getattr(os, name) for name in ("open", "mkdir", "write", "fsync", "link", "unlink")}
        for name in self._real:
            replace(name, getattr(self, f"_{name}"))

    def _open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        is_new = bool(flags & os.O_CREAT) and not _exists(path, dir_fd)
        descriptor: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if is_new:
            assert dir_fd is not None
            self.events.append(Linked(_inode(dir_fd), path, _inode(descriptor)))
        return descriptor

    def _mkdir(self, path: str, mode: int, *, dir_fd: int) -> None:
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        made = os.stat(path, dir_fd=dir_fd).st_ino
        self.events.append(Linked(_inode(dir_fd), path, made, is_directory=True))

    def _write(self, descriptor: int, data: bytes) -> int:
        count: int = self._real["write"](descriptor, data)
        self.events.append(Written(_inode(descriptor), bytes(data[:count])))
        return count

    def _fsync(self, descriptor: int) -> None:
        self._real["fsync"](descriptor)
        self.events.append(Synchronised(_inode(descriptor)))

    def _link(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
        self._real["link"](
            source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
        )
        self.events.append(Linked(_inode(dst_dir_fd), target, os.stat(target, dir_fd=dst_dir_fd).st_ino))

    def _unlink(self, path: str, *, dir_fd: int) -> None:
        self._real["unlink"](path, dir_fd=dir_fd)
        self.events.append(Linked(_inode(dir_fd), path, None))


def images(events: t.Sequence[Event], top: Inode, directory: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """Make what a power cut after these events may leave, each in a directory of its own.

    Args:
        events: what happened, to an empty directory.
        top: its inode.
        directory: where images are made.
    """
    pending = [number for number, event in enumerate(events) if _is_pending(event, events[number + 1 :])]
    links = [number for number in pending if isinstance(events[number], Linked)]
    # Few are pending at a time, since each is synchronised before the next step relies on it.
    kept_links = [set(chosen) for size in range(len(links) + 1) for chosen in itertools.combinations(links, size)]
    for number, (kept, share) in enumerate(itertools.product(kept_links, (0.0, 0.5, 1.0))):
        image = directory / f"{len(events):03}-{number:03}"
        image.mkdir(mode=0o700)
        there = [event for at, event in enumerate(events) if at in kept or at not in links]
        lost = {event.inode for at, event in enumerate(events) if at in pending and isinstance(event, Written)}
        _Image(there, lost, share).fill(top, image)
        yield image


class _Image:
    def __init__(self, events: t.Sequence[Event], lost: t.Container[Inode], share: float) -> None:
        self._names: dict[Inode, dict[str, Inode]] = {}
        self._directories: set[Inode] = set()
        self._content: dict[Inode, bytes] = {}
        self._lost, self._share = lost, share
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Written):
            self._content[event.inode] = self._content.get(event.inode, b"") + event.data
        elif isinstance(event, Linked):
            names = self._names.setdefault(event.directory, {})
            if event.inode is None:
                names.pop(event.name, None)
            else:
                names[event.name] = event.inode
                self._directories |= {event.inode} if event.is_directory else set()

    def fill(self, inode: Inode, path: pathlib.Path) -> None:
        for name, below in self._names.get(inode, {}).items():
            if below in self._directories:
                (path / name).mkdir(mode=0o700)
                self.fill(below, path / name)
                continue
            content = self._content.get(below, b"")
            (path / name).write_bytes(content[: int(len(content) * self._share)] if below in self._lost else content)


def _is_pending(event: Event, later: t.Iterable[Event]) -> bool:
    """Tell whether nothing that happened later put this on the disk."""
    if isinstance(event, Synchronised):
        return False
    place = event.directory if isinstance(event, Linked) else event.inode
    return Synchronised(place) not in later


def _inode(descriptor: int) -> Inode:
    return os.fstat(descriptor).st_ino


def _exists(path: str, dir_fd: int | None) -> bool:
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
