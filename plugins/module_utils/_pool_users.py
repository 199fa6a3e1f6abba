# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps a pool busy: processes, swap, file systems and mappings on its volumes, other mount namespaces.

Everything is read from ``/proc`` and ``/sys``; no file of the pool is touched. Private to the collection.
"""

from __future__ import annotations

import errno
import os
import re
import typing as t
from dataclasses import dataclass

from ._model import is_below

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class _Mount:
    """A line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5))."""

    id: str
    device: str
    path: str
    propagated: bool
    kind: str
    source: str


def find(pool: str) -> tuple[str, ...]:
    """Return everybody who uses a pool, each in words.

    Args:
        pool: an imported pool.
    """
    everywhere = _mounts("self")
    own = [mount for mount in everywhere if _belongs(mount.source, pool) and mount.kind == "zfs"]
    volumes = _volumes(pool)
    found = [f"{mount.source} is mounted on {mount.path}" for mount in everywhere if mount.device in volumes]
    found += [
        f"{mount.source} is mounted on {mount.path}, inside it"
        for mount in everywhere
        if not _belongs(mount.source, pool) and any(is_below(mount.path, each.path) for each in own if each.path != "/")
    ]
    found += _swap(volumes)
    found += _loops(own, volumes)
    for device, name in volumes.items():
        found += [f"{user} is built on volume {name}" for user in _listed(f"/sys/dev/block/{device}/holders")]
        found += (
            [f"the kernel has volume {name} in use"]
            if _is_held(name) and not any(name in each for each in found)
            else []
        )
    namespace = _link("/proc/self/ns/mnt")
    for pid in sorted(filter(str.isdigit, _listed("/proc")), key=int):
        if int(pid) != os.getpid():
            found += _of_process(pid, pool, own, volumes, elsewhere=_link(f"/proc/{pid}/ns/mnt") != namespace)
    return tuple(dict.fromkeys(found))


def _belongs(dataset: str, pool: str) -> bool:
    return dataset == pool or is_below(dataset, pool)


def _mounts(pid: str) -> list[_Mount]:
    found = []
    for line in _lines(f"/proc/{pid}/mountinfo"):
        head, _dash, tail = line.partition(" - ")
        left, right = head.split(" "), tail.split(" ")
        propagated = any(field.startswith(("shared:", "master:")) for field in left[6:])
        found.append(_Mount(left[0], left[2], _plain(left[4]), propagated, right[0], _plain(right[1])))
    return found


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda octal: chr(int(octal.group(1), 8)), text)


def _volumes(pool: str) -> dict[str, str]:
    """Return the device numbers of the pool's volumes and their partitions, with the volumes' names."""
    found: dict[str, str] = {}
    for directory, _directories, names in os.walk(_node(pool)):
        for name in names:
            path = os.path.join(directory, name)
            number = _device_number(path)
            if number is not None:
                found[number] = path[len("/dev/zvol/") :].replace("+", " ")
    return found


def _device_number(path: str) -> str | None:
    """Return the number of a device node as ``mountinfo`` writes it, None where there is no node."""
    try:
        number = os.stat(path).st_rdev
    except OSError:
        return None
    return f"{os.major(number)}:{os.minor(number)}"


def _is_held(volume: str) -> bool:
    """Ask the kernel: a pool or target on a volume shows nowhere else, and an export would hang for ever."""
    try:
        os.close(os.open(_node(volume), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _node(name: str) -> str:
    """Return the node that udev makes for a volume, or the directory of a pool's; a space becomes a plus."""
    return "/dev/zvol/" + name.replace(" ", "+")


def _loops(own: t.Sequence[_Mount], volumes: t.Mapping[str, str]) -> t.Iterator[str]:
    """Yield loop devices over files and volumes of the pool."""
    nodes = {os.path.realpath(_node(name)) for name in volumes.values()}
    for name in filter(re.compile(r"loop\d+").fullmatch, _listed("/sys/block")):
        for file in _lines(f"/sys/block/{name}/loop/backing_file"):
            if file in nodes or any(is_below(file, mount.path) for mount in own if mount.path != "/"):
                yield f"/dev/{name} is attached to {file}"


def _swap(volumes: t.Mapping[str, str]) -> list[str]:
    found = []
    for line in _lines("/proc/swaps")[1:]:
        name = volumes.get(_device_number(_plain(line.split()[0])) or "")
        found += [f"the system swaps to volume {name}"] if name is not None else []
    return found


def _of_process(
    pid: str, pool: str, own: t.Sequence[_Mount], volumes: t.Mapping[str, str], *, elsewhere: bool
) -> t.Iterator[str]:
    """Yield how one process uses the pool; a process that ends meanwhile uses nothing."""
    who = f"process {pid} ({''.join(_lines(f'/proc/{pid}/comm')) or '?'})"
    mounts = [mount for mount in _mounts(pid) if mount.kind == "zfs" and _belongs(mount.source, pool)]
    for mount in mounts if elsewhere else ():
        if not mount.propagated:
            yield f"{who} has {mount.source} mounted in a mount namespace of its own"
    for place in ("cwd", "root"):
        path = _link(f"/proc/{pid}/{place}")
        inside = next((mount for mount in reversed(own) if path == mount.path or is_below(path, mount.path)), None)
        if inside is not None and inside.path != "/":
            yield f"{who} works in {path}"
    ids = {mount.id for mount in mounts}
    for number in _listed(f"/proc/{pid}/fd"):
        path = _link(f"/proc/{pid}/fd/{number}")
        if _mount_id(pid, number) in ids:
            yield f"{who} has {path} open"
        elif path.startswith("/dev/"):
            name = volumes.get(_device_number(path) or "")
            yield from [f"{who} has volume {name} open"] if name is not None else []
    devices = {mount.device for mount in mounts}
    for line in _lines(f"/proc/{pid}/maps") if devices else ():
        words = line.split(None, 5)
        if len(words) == 6 and _decimal(words[3]) in devices:
            yield f"{who} has {words[5]} mapped"


def _mount_id(pid: str, number: str) -> str | None:
    for line in _lines(f"/proc/{pid}/fdinfo/{number}"):
        if line.startswith("mnt_id:"):
            return line.split()[1]
    return None


def _decimal(device: str) -> str:
    """Return a device number of ``maps``, which is in hexadecimal, as ``mountinfo`` writes it."""
    major, _colon, minor = device.partition(":")
    return f"{int(major, 16)}:{int(minor, 16)}"


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
