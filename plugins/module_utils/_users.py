# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps datasets busy: processes, sends and receives, swap, what was built on volumes, other mount namespaces.

Everything is read from ``/proc`` and ``/sys``; no file of a dataset is touched. Private to the collection.
"""

from __future__ import annotations

import errno
import os
import re
import typing as t
from dataclasses import dataclass, field

from ._mounts import (
    Mounted,
    device_number,
    kept_namespaces,
    lines,
    link,
    listed,
    mounts,
    node_of,
    open_volume,
    shown,
    swaps,
    volumes,
)
from ._names import is_below, parent_of, pool_of


@dataclass(frozen=True)
class _Chosen:
    """Datasets with all that lies below them, and where they show.

    Args:
        names: the datasets.
        mounts: their mounts in this mount namespace, those of their snapshots too.
        volumes: their volumes, by device number.
    """

    names: frozenset[str]
    mounts: tuple[Mounted, ...] = ()
    volumes: t.Mapping[str, str] = field(default_factory=dict)

    def covers(self, dataset: str | None) -> bool:
        """Tell whether a dataset is one of them or lies below one."""
        while dataset is not None:
            if dataset in self.names:
                return True
            dataset = parent_of(dataset)
        return False

    def holds(self, path: str) -> bool:
        """Tell whether a path lies on one of their mounts; everything lies below ``/``, which tells nothing."""
        return any(each.path != "/" and (path == each.path or is_below(path, each.path)) for each in self.mounts)

    def of(self, found: t.Iterable[Mounted]) -> list[Mounted]:
        return [mount for mount in found if self.covers(mount.dataset)]


def find(names: t.Iterable[str]) -> tuple[str, ...]:
    """Return everybody who uses datasets, each in words. That they are mounted is no use.

    Args:
        names: datasets, each of which stands for all below it too.
    """
    everywhere = mounts()
    chosen = _Chosen(frozenset(names))
    pools = {pool_of(name) for name in chosen.names}
    own = {number: name for pool in pools for number, name in volumes(pool).items() if chosen.covers(name)}
    chosen = _Chosen(chosen.names, tuple(chosen.of(everywhere)), own)
    found = list(_of_mounts(everywhere, chosen))
    found += [f"the system swaps to volume {own[number]}" for number in map(device_number, swaps()) if number in own]
    found += _loops(chosen)
    for device, name in own.items():
        found += [f"{user} is built on volume {name}" for user in listed(f"/sys/dev/block/{device}/holders")]
        found += (
            [f"the kernel has volume {name} in use"]
            if _is_held(name) and not any(name in each for each in found)
            else []
        )
    found += _kept_namespaces(chosen)
    namespaces = {link("/proc/self/ns/mnt")}
    for pid in sorted(filter(str.isdigit, listed("/proc")), key=int):
        if int(pid) != os.getpid():
            found += _of_process(pid, chosen, namespaces)
    return tuple(dict.fromkeys(map(shown, found)))


def _of_mounts(everywhere: t.Iterable[Mounted], chosen: _Chosen) -> t.Iterator[str]:
    for mount in everywhere:
        if mount.device in chosen.volumes:
            yield f"volume {chosen.volumes[mount.device]} is mounted on {mount.path}"
        elif not chosen.covers(mount.dataset) and mount.path != "/" and chosen.holds(mount.path):
            yield f"{mount.source} is mounted on {mount.path}, inside it"


def _is_held(volume: str) -> bool:
    """Ask the kernel: a pool or target on a volume shows nowhere else, and an export would hang for ever."""
    try:
        os.close(open_volume(volume, os.O_EXCL | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _loops(chosen: _Chosen) -> t.Iterator[str]:
    """Yield loop devices over files and volumes."""
    nodes = {os.path.realpath(node_of(name)) for name in chosen.volumes.values()}
    for name in filter(re.compile(r"loop\d+").fullmatch, listed("/sys/block")):
        for file in lines(f"/sys/block/{name}/loop/backing_file"):
            if file in nodes or chosen.holds(file):
                yield f"/dev/{name} is attached to {file}"


def _kept_namespaces(chosen: _Chosen) -> t.Iterator[str]:
    """Yield what is mounted in mount namespaces that a file keeps, though no process is in them."""
    for file, seen in kept_namespaces().items():
        for mount in chosen.of(seen):
            if not mount.propagated:
                yield f"{mount.source} is mounted in the mount namespace that {file} keeps"


def _of_process(pid: str, chosen: _Chosen, namespaces: set[str]) -> t.Iterator[str]:
    """Yield how one process uses the datasets; a process that ends meanwhile uses nothing.

    Args:
        pid: the process.
        chosen: the datasets.
        namespaces: those whose mounts were told already; that of this process is added.
    """
    who = f"process {pid} ({''.join(lines(f'/proc/{pid}/comm')) or '?'})"
    seen = chosen.of(mounts(pid))
    namespace = link(f"/proc/{pid}/ns/mnt")
    if namespace not in namespaces:
        namespaces.add(namespace)
        for mount in seen:
            if not mount.propagated:
                yield f"{who} has {mount.source} mounted in a mount namespace of its own"
    yield from (f"{who} {what}" for what in _replication(pid, chosen))
    for place in ("cwd", "root"):
        path = link(f"/proc/{pid}/{place}")
        if chosen.holds(path):
            yield f"{who} works in {path}"
    yield from (f"{who} has {what} open" for what in _open_files(pid, seen, chosen))
    devices = {mount.device for mount in seen}
    for line in lines(f"/proc/{pid}/maps") if devices else ():
        words = line.split(None, 5)
        if len(words) == 6 and _decimal(words[3]) in devices:
            yield f"{who} has {words[5]} mapped"


def _open_files(pid: str, seen: t.Iterable[Mounted], chosen: _Chosen) -> t.Iterator[str]:
    ids = {mount.id for mount in seen}
    for number in listed(f"/proc/{pid}/fd"):
        path = link(f"/proc/{pid}/fd/{number}")
        if _mount_id(pid, number) in ids:
            yield path
        elif path.startswith("/dev/"):
            name = chosen.volumes.get(device_number(path) or "")
            yield from [f"volume {name}"] if name is not None else []


def _replication(pid: str, chosen: _Chosen) -> t.Iterator[str]:
    """Yield what a ``zfs send`` or ``zfs receive`` is about; both hold datasets, and only their command lines tell.

    A raw send keeps a pool busy, but needs no key.
    """
    words = "".join(lines(f"/proc/{pid}/cmdline")).split("\0")
    if os.path.basename(words[0]) != "zfs" or words[1:2] not in (["send"], ["receive"], ["recv"]):
        return
    options = [word for word in words[2:] if word.startswith("-")]
    is_recursive = any(re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*|--replicate", word) for word in options)
    is_raw = any(re.fullmatch(r"-[a-zA-Z]*w[a-zA-Z]*|--raw", word) for word in options)
    for word in words[2:]:
        dataset = re.split(r"[@#]", word)[0]
        above = any(is_below(name, dataset) for name in chosen.names)
        if words[1] == "send" and "@" in word and (chosen.covers(dataset) or (above and is_recursive)):
            yield f"sends {word}{' raw' if is_raw else ''}"
        elif words[1] != "send" and word and not word.startswith("-") and (chosen.covers(dataset) or above):
            yield f"receives into {word}"


def _mount_id(pid: str, number: str) -> str | None:
    for line in lines(f"/proc/{pid}/fdinfo/{number}"):
        if line.startswith("mnt_id:"):
            return line.split()[1]
    return None


def _decimal(device: str) -> str:
    """Return a device number of ``maps``, which is in hexadecimal, as ``mountinfo`` writes it."""
    major, _colon, minor = device.partition(":")
    return f"{int(major, 16)}:{int(minor, 16)}"
