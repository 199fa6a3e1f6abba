# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake lays out the vdevs of a pool, and what ``zpool create`` complains of (zpool_vdev.c)."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import CLASSES, LISTS, Topology, Vdev

from .disks import Disk, Disks

_SIZES_DIFFER = 16 * 1024 * 1024  # bytes, ZPOOL_FUZZ
_DRAID_DATA_DISKS = 8  # of each group, if there are as many
_OVERRIDE = "use '-f' to override the following errors: "


def laid_out(topology: Topology, disks: Disks, pool: tuple[str, str]) -> Topology:
    """Write a pool to its disks and return its topology as ``zpool status`` shows it."""
    shown = {kind: [_laid_out(vdev, disks, pool) for vdev in topology.of(kind)] for kind in (*CLASSES, *LISTS)}
    # Single disks come first on the command line, or they would belong to the vdev before.
    return Topology(
        **{kind: tuple(sorted(vdevs, key=lambda vdev: vdev.type != "stripe")) for kind, vdevs in shown.items()}
    )


def _laid_out(vdev: Vdev, disks: Disks, pool: tuple[str, str]) -> Vdev:
    data_disks = vdev.data_disks
    if vdev.type.startswith("draid") and data_disks is None:
        data_disks = min(len(vdev.disks) - vdev.spare_disks - _parity(vdev), _DRAID_DATA_DISKS)
    return replace(vdev, disks=tuple(disks.label(path, pool) for path in vdev.disks), data_disks=data_disks)


def _parity(vdev: Vdev) -> int:
    return int(vdev.type[-1]) if vdev.type[-1].isdigit() else len(vdev.disks) - 1


def complaint(topology: Topology, disks: Disks) -> str | None:
    """Return what only ``force`` would allow, None if nothing."""
    for path in topology.disks:
        disk = disks.get(path)
        if disk is not None and disk.contents:
            return f"{_OVERRIDE}{path} contains {disk.contents[0]}"
    redundant = [vdev for kind in ("data", "special", "dedup") for vdev in topology.of(kind)]
    found = next((each for vdev in redundant for each in _unlike_disks(vdev, disks)), None)
    found = found or next(_unlike_vdevs(redundant, disks), None)
    return None if found is None else f"{_OVERRIDE}mismatched replication level: {found}"


def _unlike_disks(vdev: Vdev, disks: Disks) -> t.Iterator[str]:
    found: list[Disk] = [disk for disk in map(disks.get, vdev.disks) if disk is not None]
    if len({disk.kind for disk in found}) > 1:
        yield f"{vdev.type} contains both files and devices"
    sizes = [disk.size for disk in found if disk.size]
    if sizes and max(sizes) - min(sizes) > _SIZES_DIFFER:
        yield f"{vdev.type} contains devices of different sizes"


def _unlike_vdevs(vdevs: t.Sequence[Vdev], disks: Disks) -> t.Iterator[str]:
    for vdev in vdevs[1:]:
        first, second = _kind(vdevs[0], disks), _kind(vdev, disks)
        if {first, second} in ({"mirror", "raidz"}, {"raidz", "draid"}) and _parity(vdevs[0]) == _parity(vdev):
            continue
        if first != second:
            yield f"both {first} and {second} vdevs are present"
        if _parity(vdevs[0]) != _parity(vdev) and first != "mirror":
            yield f"both {_parity(vdevs[0])} and {_parity(vdev)} device parity {first} vdevs are present"
        if len(vdevs[0].disks) != len(vdev.disks):
            yield f"both {len(vdevs[0].disks)}-way and {len(vdev.disks)}-way {first} vdevs are present"


def _kind(vdev: Vdev, disks: Disks) -> str:
    if vdev.type == "stripe":
        disk = disks.get(vdev.disks[0])
        return "disk" if disk is None else disk.kind
    return vdev.type.rstrip("123")
