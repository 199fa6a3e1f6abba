# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting what has a new mountpoint, as OpenZFS does since 2.2; before, it mounts anew only what was mounted.

A part of ``_openzfs``. Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._command import READ_TIMEOUT, run
from ._errors import CallFailed
from ._model import Dataset
from ._property_lines import parsed

_READ = ("mounted", "canmount", "keystatus", "mountpoint", "zoned", "inconsistent", "type")


def mount_heirs(name: str) -> None:
    """Mount a filesystem that got a new mountpoint, and what inherits it, where that is mounted by itself.

    What is locked stays unmounted.

    Raises:
        CallFailed: one of them was not mounted. They have the new mountpoint.
    """
    for dataset in _heirs(name):
        if not dataset.is_mounted_by_default or dataset.is_mounted or dataset.value("keystatus") == "unavailable":
            continue
        answer = run("zfs", "mount", dataset.name)
        if answer.code != 0 and "already mounted" not in answer.error:
            place = dataset.value("mountpoint")
            raise CallFailed(f"{dataset.name} was not mounted on {place}: {answer.error}", reason="mount_failed")


def _heirs(name: str) -> t.Iterator[Dataset]:
    """Yield a filesystem and what has its mountpoint from there, or from where the filesystem itself has it."""
    words = ("-Hpr", "-t", "filesystem", "-o", "name,property,value,source", ",".join(_READ), name)
    found = parsed(run("zfs", "get", *words, timeout=READ_TIMEOUT).out, _READ)
    above = found[name].properties["mountpoint"].source if name in found else ""
    sources = {f"inherited from {name}", above} - {"local", "received"}
    return (each for each in found.values() if each.name == name or each.properties["mountpoint"].source in sources)
