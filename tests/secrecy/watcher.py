# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the machine and hands over what anyone there writes or starts; it knows no secret and judges nothing.

Files: fanotify gives an open file with each event, so a file that was deleted in the meantime is read too. All mounted
filesystems that can hold files are watched as a whole.

Processes: nobody can poll fast enough for a process that lives a millisecond. Each one opens the loader's cache first
thing after execve, and fanotify asks for permission: until it is given, the process stands still, and its arguments and
its environment are read. The kernel's own count of executions (proc connector) tells whether any got past this, as a
statically linked one would; those are read as they run, and one that could not be read counts as blindness.

stdout gets `ready`, then packets: a line of JSON that says place, where and size, and so many bytes. When stdin ends,
the last packet says what could not be seen.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import select
import socket
import struct
import sys
import threading
from collections import Counter

FAN_CLOEXEC, FAN_CLASS_CONTENT, FAN_UNLIMITED_QUEUE = 0x1, 0x4, 0x10
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_MODIFY, FAN_CLOSE_WRITE, FAN_Q_OVERFLOW, FAN_OPEN_PERM = 0x2, 0x8, 0x4000, 0x10000
FAN_ALLOW = 0x1
EVENT = struct.Struct("=IBBHQii")
RESPONSE = struct.Struct("=iI")
WATCHED = ("ext4", "tmpfs", "devtmpfs", "ramfs", "overlay", "zfs", "hugetlbfs")
LOADER_CACHE = b"/etc/ld.so.cache"
# Read by whoever asks for the journal; it is large and written all the time.
JOURNALS = ("/var/log/journal/", "/run/log/journal/")

NETLINK_CONNECTOR, SO_RCVBUFFORCE, NLMSG_DONE = 11, 33, 3
CN_IDX_PROC, CN_VAL_PROC, PROC_CN_MCAST_LISTEN, PROC_EVENT_EXEC = 1, 1, 1, 2
NETLINK_HEADER = struct.Struct("=IHHII")
LISTEN = struct.Struct("=IIIIHHI")
# Headers of netlink and connector; then what, cpu, time, pid, tgid.
WHAT_OFFSET = NETLINK_HEADER.size + 20
TGID_OFFSET = WHAT_OFFSET + 20

# After the last words on stdin there may still be events on their way.
GRACE_SECONDS = 0.5
LARGEST = 16 * 2**20

libc = ctypes.CDLL(None, use_errno=True)
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


class Packets:
    """What is handed over; the same content of the same thing goes once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: set[bytes] = set()
        self.blind: set[str] = set()

    def send(self, place: str, where: str, content: bytes) -> None:
        digest = hashlib.sha256(f"{place}\0{where}\0".encode(errors="surrogateescape") + content).digest()
        with self._lock:
            if digest in self._sent:
                return
            self._sent.add(digest)
            head = json.dumps({"place": place, "where": where, "size": len(content)}).encode() + b"\n"
            sys.stdout.buffer.write(head + content)
            sys.stdout.buffer.flush()


def fanotify_group(flags: int) -> int:
    group: int = libc.fanotify_init(
        FAN_CLOEXEC | FAN_UNLIMITED_QUEUE | flags, os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC
    )
    if group < 0:
        raise OSError(ctypes.get_errno(), "fanotify_init")
    return group


def mark(group: int, flags: int, events: int, path: bytes) -> None:
    if libc.fanotify_mark(group, FAN_MARK_ADD | flags, events, -1, path) != 0:
        raise OSError(ctypes.get_errno(), f"fanotify_mark {path.decode()}")


def events_in(data: bytes) -> list[tuple[int, int, int]]:
    """Return mask, descriptor and process of each event."""
    found, offset = [], 0
    while offset < len(data):
        length, _version, _reserved, _header, events, descriptor, pid = EVENT.unpack_from(data, offset)
        offset += length
        found.append((events, descriptor, pid))
    return found


class Files:
    """Watches what is written."""

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self.group = fanotify_group(0)
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            places = [line.split()[1] for line in mounts if line.split()[2] in WATCHED]
        for place in places:
            mark(self.group, FAN_MARK_FILESYSTEM, FAN_MODIFY | FAN_CLOSE_WRITE, place.encode())

    def take(self) -> None:
        for events, descriptor, _pid in events_in(os.read(self.group, 65536)):
            if events & FAN_Q_OVERFLOW:
                self._packets.blind.add("queue overflow")
            if descriptor >= 0:
                try:
                    self._hand_over(descriptor)
                finally:
                    os.close(descriptor)

    def _hand_over(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
        if path.startswith(JOURNALS):
            return
        if os.fstat(descriptor).st_size > LARGEST:
            self._packets.blind.add(path)
        self._packets.send("file", path, os.pread(descriptor, LARGEST, 0))


class Processes(threading.Thread):
    """Watches what is started."""

    def __init__(self, packets: Packets) -> None:
        super().__init__(daemon=True)
        self._packets = packets
        self._stood_still: Counter[int] = Counter()
        self._executions: Counter[int] = Counter()
        self._missed: dict[int, str] = {}
        self._group = fanotify_group(FAN_CLASS_CONTENT)
        mark(self._group, 0, FAN_OPEN_PERM, LOADER_CACHE)
        self._kernel = listen_to_executions()
        self._stop_reading, self._stop = os.pipe()

    def run(self) -> None:
        self._look_around()
        waiting = [self._group, self._kernel.fileno(), self._stop_reading]
        while True:
            readable, _write, _except = select.select(waiting, [], [])
            if self._group in readable:
                self._take_permissions()
            elif self._kernel.fileno() in readable:
                self._take_executions()
            else:
                return

    def finish(self) -> None:
        os.close(self._stop)
        self.join()
        self._look_around()
        self._packets.blind |= {
            f"process {pid}: {why}"
            for pid, why in self._missed.items()
            if self._stood_still[pid] < self._executions[pid]
        }

    def _look_around(self) -> None:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            self._look_at(int(pid))

    def _take_permissions(self) -> None:
        for _events, descriptor, pid in events_in(os.read(self._group, 65536)):
            try:
                self._look_at(pid)
                self._stood_still[pid] += 1
            finally:
                os.write(self._group, RESPONSE.pack(descriptor, FAN_ALLOW))
                os.close(descriptor)

    def _take_executions(self) -> None:
        try:
            message = self._kernel.recv(65536)
        except OSError as error:
            self._packets.blind.add(f"executions: {error}")
            return
        (what,) = struct.unpack_from("=I", message, WHAT_OFFSET)
        if what == PROC_EVENT_EXEC:
            (pid,) = struct.unpack_from("=i", message, TGID_OFFSET)
            self._executions[pid] += 1
            if self._stood_still[pid] < self._executions[pid] and not self._look_at(pid):
                self._missed[pid] = "was executed and gone"

    def _look_at(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as arguments, open(f"/proc/{pid}/environ", "rb") as environment:
                found = arguments.read(), environment.read()
        except OSError:
            return False
        where = found[0].split(b"\0")[0].decode(errors="replace")
        self._packets.send("argument", where, found[0])
        self._packets.send("environment", where, found[1])
        return True


def listen_to_executions() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
    kernel.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 * 2**20)
    kernel.bind((0, CN_IDX_PROC))
    request = LISTEN.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, 4, 0, PROC_CN_MCAST_LISTEN)
    kernel.send(NETLINK_HEADER.pack(NETLINK_HEADER.size + len(request), NLMSG_DONE, 0, 0, os.getpid()) + request)
    return kernel


def main() -> None:
    packets = Packets()
    files, processes = Files(packets), Processes(packets)
    print("ready", flush=True)
    processes.start()
    waiting: list[int] = [files.group, sys.stdin.fileno()]
    while True:
        timeout = None if len(waiting) == 2 else GRACE_SECONDS
        readable, _write, _except = select.select(waiting, [], [], timeout)
        if not readable:
            break
        if files.group in readable:
            files.take()
        elif not os.read(sys.stdin.fileno(), 4096):
            waiting = [files.group]
    processes.finish()
    packets.send("end", "blind", json.dumps(sorted(packets.blind)).encode())


if __name__ == "__main__":
    main()
