# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's mountpoints: directories of the filesystem around them, which show while nothing is mounted there."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below

from .datasets import Datasets


class Mountpoints:
    """Bare mountpoints, each known by the filesystem that it lies on.

    Args:
        datasets: who is mounted where.
    """

    def __init__(self, datasets: Datasets) -> None:
        self.obstacles: dict[str, str] = {}
        self._datasets = datasets
        self._bare: set[tuple[str, str]] = set()
        self._protected: set[tuple[str, str]] = set()

    def look(self, path: str, *, is_empty: bool = True) -> Place:
        obstacle = self.obstacles.get(path)
        if self._is_mounted(path):
            return Place("mounted", obstacle)
        if self._key(path) not in self._bare and is_empty:
            return Place("none")
        if self._key(path) in self._protected:
            return Place("protected", obstacle)
        return Place("bare", obstacle if is_empty else "it is not empty, so it may be in use")

    def made(self, path: str) -> None:
        """Have the directory that mounting makes."""
        self._bare.add(self._key(path))

    def gone(self, path: str) -> None:
        """Take a directory away as OpenZFS does when it needs it no more; one that is protected stays."""
        if not self._is_mounted(path) and self._key(path) not in self._protected:
            self._bare.discard(self._key(path))

    def protect(self, path: str) -> None:
        if self._is_mounted(path):
            raise CallFailed(f"{path} was not protected: something is mounted there.", reason="busy")
        if self._key(path) in self._bare:
            self._protected.add(self._key(path))

    def release(self, path: str) -> bool:
        was_protected = self.look(path).state == "protected"
        if was_protected:
            self._protected.discard(self._key(path))
        return was_protected

    def _is_mounted(self, path: str) -> bool:
        return any(record.mounted_at == path for record in self._datasets.records.values())

    def _key(self, path: str) -> tuple[str, str]:
        above = [record for record in self._datasets.records.values() if is_below(path, record.mounted_at or path)]
        innermost = max(above, key=lambda record: len(record.mounted_at or ""), default=None)
        return ("" if innermost is None else innermost.name, path)
