# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the machine: reads every file that anyone there writes, at once, and looks for needles in it.

fanotify hands over an open file with each event, so a file that was deleted in the meantime is read too. All mounted
filesystems that can hold files are watched as a whole. Needles come on the first line of stdin as a JSON object of
names and base64; stdout gets `ready`, and when stdin ends, one JSON object with what was seen.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import select
import struct
import sys

FAN_CLOEXEC, FAN_UNLIMITED_QUEUE = 0x1, 0x10
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_MODIFY, FAN_CLOSE_WRITE, FAN_Q_OVERFLOW = 0x2, 0x8, 0x4000
EVENT = struct.Struct("=IBBHQii")
WATCHED = ("ext4", "tmpfs", "devtmpfs", "ramfs", "overlay", "zfs", "hugetlbfs")
# After the last words on stdin there may still be events on their way.
GRACE_SECONDS = 0.5
LARGEST = 16 * 2**20

libc = ctypes.CDLL(None, use_errno=True)
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


def watch_all() -> int:
    group: int = libc.fanotify_init(FAN_CLOEXEC | FAN_UNLIMITED_QUEUE, os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC)
    if group < 0:
        raise OSError(ctypes.get_errno(), "fanotify_init")
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        places = [line.split()[1] for line in mounts if line.split()[2] in WATCHED]
    for place in places:
        flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM
        if libc.fanotify_mark(group, flags, FAN_MODIFY | FAN_CLOSE_WRITE, -1, place.encode()) != 0:
            raise OSError(ctypes.get_errno(), f"fanotify_mark {place}")
    return group


class Watch:
    """What was seen so far."""

    def __init__(self, needles: dict[str, bytes]) -> None:
        self._needles = needles
        self.hits: dict[str, set[str]] = {}
        self.paths: set[str] = set()
        self.blind: set[str] = set()

    def take(self, events: bytes) -> None:
        offset = 0
        while offset < len(events):
            length, _version, _reserved, _header, mask, descriptor, _pid = EVENT.unpack_from(events, offset)
            offset += length
            if mask & FAN_Q_OVERFLOW:
                self.blind.add("queue overflow")
            if descriptor >= 0:
                try:
                    self._search(descriptor)
                finally:
                    os.close(descriptor)

    def _search(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.paths.add(path)
        size = os.fstat(descriptor).st_size
        content = os.pread(descriptor, LARGEST, 0)
        if size > LARGEST:
            self.blind.add(path)
        for name, needle in self._needles.items():
            if needle in content:
                self.hits.setdefault(name, set()).add(path)

    def report(self) -> dict[str, object]:
        return {
            "hits": {name: sorted(paths) for name, paths in self.hits.items()},
            "paths": sorted(self.paths),
            "blind": sorted(self.blind),
        }


def main() -> None:
    needles = {name: base64.b64decode(text) for name, text in json.loads(sys.stdin.readline()).items()}
    group = watch_all()
    watch = Watch(needles)
    print("ready", flush=True)
    waiting: list[int] = [group, sys.stdin.fileno()]
    while True:
        timeout = None if len(waiting) == 2 else GRACE_SECONDS
        readable, _write, _except = select.select(waiting, [], [], timeout)
        if not readable:
            break
        if group in readable:
            watch.take(os.read(group, 65536))
        elif not os.read(sys.stdin.fileno(), 4096):
            waiting = [group]
    print(json.dumps(watch.report()), flush=True)


if __name__ == "__main__":
    main()
