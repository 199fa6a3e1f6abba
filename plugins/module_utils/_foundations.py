# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which datasets the running system stands on. A part of the real host; nothing is changed here.

A path leads to the file system that holds it, that to its device, a device to what it was built on (partitions,
mappings, arrays, loop devices), down to datasets and volumes. Private to the collection.
"""

from __future__ import annotations

import os
import sys
import typing as t

from ._mounts import Mounted, device_number, lines, listed, mounts, shown, swaps, volumes
from ._names import is_below

_OF_THE_SYSTEM = ("/", "/boot", "/boot/efi", "/etc", "/usr", "/var")


def find() -> dict[str, tuple[str, ...]]:
    """Return the datasets that must not be locked, each with what stands on it, in words."""
    ground = _Ground(mounts(), volumes())
    found: dict[str, list[str]] = {}
    for what, datasets in _standing(ground):
        for dataset in datasets:
            found.setdefault(dataset, []).append(what)
    return {dataset: tuple(dict.fromkeys(standing)) for dataset, standing in found.items()}


def _standing(ground: _Ground) -> t.Iterator[tuple[str, set[str]]]:
    for path in filter(os.path.exists, _OF_THE_SYSTEM):
        yield path, ground.below_path(path)
    for path in sorted({os.path.dirname(os.path.realpath(each)) for each in (sys.executable, os.__file__)}):
        yield f"the Python of this run in {path}", ground.below_path(path)
    for what, path in (("home", os.path.expanduser("~")), ("working directory", os.getcwd())):
        yield f"the {what} of this run, {path}", ground.below_path(path)
    for path in swaps():
        number = device_number(path)
        yield f"swap on {shown(path)}", ground.below_device(number) if number is not None else ground.below_path(path)


class _Ground(t.NamedTuple):
    """What is mounted, and the volumes by device number."""

    mounts: list[Mounted]
    volumes: t.Mapping[str, str]

    def below_path(self, path: str) -> set[str]:
        real = os.path.realpath(path)
        holding = [each for each in self.mounts if each.path in ("/", real) or is_below(real, each.path)]
        if not holding:
            return set()
        mount = max(reversed(holding), key=lambda each: len(each.path))  # of several on one path, the last one shows
        if mount.dataset is not None:
            return {mount.dataset}
        # Btrfs shows a device of its own making, but its source is a real one.
        return self.below_device(device_number(mount.source) or mount.device)

    def below_device(self, number: str) -> set[str]:
        if number in self.volumes:
            return {self.volumes[number]}
        directory = os.path.realpath(f"/sys/dev/block/{number}")
        found: set[str] = set()
        for slave in listed(f"{directory}/slaves"):
            found |= self.below_device("".join(lines(f"/sys/class/block/{slave}/dev")))
        for file in lines(f"{directory}/loop/backing_file"):
            below = device_number(file)
            found |= self.below_device(below) if below is not None else self.below_path(file)
        if os.path.exists(f"{directory}/partition"):
            found |= self.below_device("".join(lines(f"{os.path.dirname(directory)}/dev")))
        return found
