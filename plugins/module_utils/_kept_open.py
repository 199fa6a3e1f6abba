# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping datasets in use while their key is changed. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from ._errors import CallFailed
from ._model import Dataset

_ESCAPED = re.compile(r"\\([0-7]{3})")


@contextlib.contextmanager
def keep_open(datasets: t.Sequence[Dataset]) -> t.Iterator[None]:
    """Hold mounted filesystems and volumes open: nobody can unmount or close them then, so master keys stay loaded.

    Raises:
        CallFailed: one is no longer in use.
    """
    places = {} if all(each.is_volume for each in datasets) else _mountpoints()
    with contextlib.ExitStack() as held:
        for dataset in datasets:
            try:
                path, device = _node(dataset.name) if dataset.is_volume else places[dataset.name]
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, descriptor)
                is_meant = device in (None, os.fstat(descriptor).st_dev)
            except (OSError, KeyError):
                is_meant = False
            if not is_meant:
                raise CallFailed(f"{dataset.name} is no longer in use, so the key was not touched. Run again.")
        yield


def _node(volume: str) -> tuple[str, int | None]:
    return "/dev/zvol/" + volume.replace(" ", "+"), None


def _mountpoints() -> dict[str, tuple[str, int | None]]:
    """Return where ZFS filesystems are mounted, and their device numbers (proc_pid_mountinfo(5))."""
    found: dict[str, tuple[str, int | None]] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            before, _dash, after = line.rstrip("\n").partition(" - ")
            kind, source = after.split(" ")[:2]
            _id, _parent, device, _root, path = before.split(" ")[:5]
            if kind == "zfs":
                major, _colon, minor = device.partition(":")
                found[_plain(source)] = (_plain(path), os.makedev(int(major), int(minor)))
    return found


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), text)
