# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the fake's filesystems are mounted, and what else stands there: in the host's directories or in theirs."""

from __future__ import annotations

import contextlib
import itertools
import os
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below

from .datasets import Datasets, Record


class Places:
    """Paths and what stands there, in words. What is mounted above a path hides what was there.

    Args:
        datasets: who is mounted where.
        bare: the content of the host's own directories, which a test may change.
    """

    def __init__(self, datasets: Datasets, bare: dict[str, str]) -> None:
        self._datasets = datasets
        self._bare = bare
        self._inside: dict[str, dict[str, str]] = {}
        self._used: set[str] = set()

    def put(self, path: str, what: str) -> None:
        """Leave something where it is visible now."""
        self._around(path)[path] = what

    def put_file(self, path: str) -> None:
        """Leave a file, and the directories above it on the same filesystem."""
        around = self._around(path)
        around[path] = "is a file, not a directory."
        above = os.path.dirname(path)
        while above != "/" and self._mounted_at(above) is None:
            around[above] = "is not empty."
            above = os.path.dirname(above)

    def take_away(self, path: str) -> None:
        """Take a file away that its directory held alone; the directory stays, and so does what holds that."""
        around = self._around(path)
        del around[path], around[os.path.dirname(path)]

    @contextlib.contextmanager
    def use(self, path: str) -> t.Iterator[None]:
        """Have a process that works in a directory."""
        self._used.add(path)
        yield
        self._used.discard(path)

    def occupant(self, path: str) -> str | None:
        mounted = self._mounted_at(path)
        if mounted is not None:
            return f"is where {mounted.name} is mounted."
        if self._is_mount_in_it(path):
            return "is not empty."
        return self._around(path).get(path)

    def aside(self, path: str) -> str:
        if self._is_mount_in_it(path):
            raise CallFailed("It is not moved aside: something is mounted there.", reason="mountpoint_occupied")
        if any(each == path or is_below(each, path) for each in self._used):
            raise CallFailed("It is not moved aside: process 1 (sleep) uses it.", reason="mountpoint_occupied")
        around = self._around(path)
        names = map(f"{path}.aside-{{}}".format, itertools.count(1))
        return next(name for name in names if name not in around)

    def move(self, source: str, target: str) -> None:
        around = self._around(source)
        if source not in around or target in around:
            raise CallFailed(f"{source} was not moved to {target}.", reason="mountpoint_occupied")
        for path in [path for path in around if path == source or is_below(path, source)]:
            around[target + path[len(source) :]] = around.pop(path)

    def _is_mount_in_it(self, path: str) -> bool:
        places = (record.mounted_at or "" for record in self._datasets.records.values())
        return any(place == path or is_below(place, path) for place in places)

    def _mounted_at(self, path: str) -> Record | None:
        return next((record for record in self._datasets.records.values() if record.mounted_at == path), None)

    def _around(self, path: str) -> dict[str, str]:
        """Return the content of the filesystem that a path lies on."""
        above = [record for record in self._datasets.records.values() if is_below(path, record.mounted_at or path)]
        innermost = max(above, key=lambda record: len(record.mounted_at or ""), default=None)
        return self._bare if innermost is None else self._inside.setdefault(innermost.name, {})
