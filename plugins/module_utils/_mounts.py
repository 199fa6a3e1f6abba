# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``/proc`` and ``/dev`` say about mounts and volumes. A part of the real host; nothing is changed here.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass

from ._command import READ_TIMEOUT, run
from ._errors import Refused

_ESCAPE = re.compile(r"\\([0-7]{3})")
OPENING_TIMEOUT = 60  # seconds
_TRY_AGAIN = 512  # ERESTARTSYS, which the module errno does not know
_PARTITION = re.compile(r"-part\d+$")


@dataclass(frozen=True)
class Mounted:
    """A line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5)).

    Args:
        id: of the mount.
        parent: the mount that it lies on.
        device: numbers of the file system's device.
        path: where it is mounted.
        propagated: whether it comes and goes with its peers in other namespaces.
        kind: type of the file system.
        source: a dataset, a snapshot, a device.
    """

    id: str
    parent: str
    device: str
    path: str
    propagated: bool
    kind: str
    source: str

    @property
    def dataset(self) -> str | None:
        """The dataset that is mounted here, itself or a snapshot of it; None for any other file system."""
        return self.source.partition("@")[0] if self.kind == "zfs" else None


def mounts(pid: str = "self") -> list[Mounted]:
    """Return the mounts that a process sees, in the order in which they lie on each other."""
    return [_parsed(line) for line in lines(f"/proc/{pid}/mountinfo")]


def on_top_of(path: str) -> Mounted | None:
    """Return what is mounted on a path, links followed; of several the one that shows."""
    real = os.path.realpath(path)
    latest_first = map(_parsed, reversed(lines("/proc/self/mountinfo")))
    return next((mount for mount in latest_first if mount.path == real), None)


def kept_namespaces() -> dict[str, list[Mounted]]:
    """Return the mounts in mount namespaces that a file keeps, with or without a process in them, by that file."""
    found = {}
    for kept in mounts():
        if kept.kind == "nsfs":
            with contextlib.suppress(Refused):  # there is no nsenter
                seen = run("nsenter", f"--mount={kept.path}", "cat", "/proc/self/mountinfo", timeout=READ_TIMEOUT)
                found[kept.path] = [_parsed(line) for line in seen.out.split("\n") if line]
    return found


def _parsed(line: str) -> Mounted:
    head, _dash, tail = line.partition(" - ")
    left, right = head.split(" "), tail.split(" ")
    propagated = any(field.startswith(("shared:", "master:")) for field in left[6:])
    return Mounted(left[0], left[1], left[2], _plain(left[4]), propagated, right[0], _plain(right[1]))


def _plain(text: str) -> str:
    """Return a path as it is, without the escapes of ``/proc``."""
    return _ESCAPE.sub(lambda octal: chr(int(octal.group(1), 8)), text)


def shown(text: str) -> str:
    """Return a text that may hold a path for people to read: what is not UTF-8 in it cannot be written anywhere."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def volumes(directory: str = "") -> dict[str, str]:
    """Return volumes by the numbers of their devices and partitions.

    Args:
        directory: a pool, to look at its volumes only.
    """
    found: dict[str, str] = {}
    for place, _directories, names in os.walk(node_of(directory)):
        for name in names:
            path = os.path.join(place, name)
            number = device_number(path)
            if number is not None:
                found[number] = _PARTITION.sub("", path[len(node_of("")) :].replace("+", " "))
    return found


def node_of(volume: str) -> str:
    """Return the node that udev makes for a volume, or the directory of a pool's; a space becomes a plus."""
    return "/dev/zvol/" + volume.replace(" ", "+")


def open_volume(name: str, flags: int = 0) -> int:
    """Open a volume's node for reading and return the descriptor.

    While many keys are loaded or filesystems mounted, the kernel gives up after a second with an error that is not
    meant for programs (ERESTARTSYS; zvol_os.c, ``zvol_open``): it could not lock the list of pools. That is tried
    again.

    Raises:
        OSError: it cannot be opened.
    """
    deadline = time.monotonic() + OPENING_TIMEOUT
    while True:
        try:
            return os.open(node_of(name), os.O_RDONLY | os.O_CLOEXEC | flags)
        except OSError as error:
            if error.errno != _TRY_AGAIN:
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, "the kernel was too busy with its pools to open it") from None
        time.sleep(0.05)


def device_number(path: str) -> str | None:
    """Return the number of a device node as ``mountinfo`` writes it, None where there is no node."""
    try:
        number = os.stat(path).st_rdev
    except OSError:
        return None
    return numbers(number) if number else None


def numbers(device: int) -> str:
    """Return the numbers of a device as ``mountinfo`` writes them."""
    return f"{os.major(device)}:{os.minor(device)}"


def swaps() -> list[str]:
    """Return the devices and files that the system swaps to."""
    return [_plain(line.split()[0]) for line in lines("/proc/swaps")[1:]]


def lines(path: str) -> list[str]:
    """Return the lines of a file in ``/proc`` or ``/sys``, none of one that is gone; paths in it can be opened."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return [line.rstrip("\n") for line in file]
    except OSError:
        return []


def link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
