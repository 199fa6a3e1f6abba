# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping datasets in use while their key is changed. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ._errors import CallFailed
from ._model import Dataset
from ._mounts import Mounted, mounts, node_of, numbers


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
                mount = None if dataset.is_volume else places[dataset.name]
                path = node_of(dataset.name) if mount is None else mount.path
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, descriptor)
                is_meant = mount is None or mount.device == numbers(os.fstat(descriptor).st_dev)
            except (OSError, KeyError):
                is_meant = False
            if not is_meant:
                raise CallFailed(f"{dataset.name} is no longer in use, so the key was not touched. Run again.")
        yield


def _mountpoints() -> dict[str, Mounted]:
    return {mount.source: mount for mount in mounts() if mount.kind == "zfs"}
