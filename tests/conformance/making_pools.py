# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools on files that the statements are made with."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import (
    Creation,
    Host,
    Importable,
    PoolCreation,
    PoolImport,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import Topology, Vdev, drift
from ansible_collections.zfsfleet.encryption.tests.conformance.making import KEY, root_properties

SIZE = 64 * 1024 * 1024  # bytes, the least that OpenZFS takes
MOST_FILES = 16


def make_files(host: Host, place: str, count: int, size: int = SIZE) -> list[str]:
    paths = [f"{place}/{number}" for number in range(count)]
    for path in paths:
        host.make_file(path, size)
    return paths


def striped(*disks: str) -> Topology:
    return Topology(data=tuple(Vdev("stripe", (disk,)) for disk in disks))


def mirrored(*disks: str) -> Topology:
    return Topology(data=(Vdev("mirror", disks),))


def creation(
    pool: str,
    topology: Topology,
    /,
    root: t.Mapping[str, str] | None = None,
    key: Key | None = None,
    keylocation: str = "prompt",
    **options: t.Any,
) -> PoolCreation:
    """A pool whose root dataset is mounted beside its files, or where ``root`` says."""
    beside = f"{os.path.dirname(topology.disks[0])}.mounted" if not topology.disks[0].startswith("/dev/") else None
    properties = {"mountpoint": beside or f"/{pool}", **(root or {})}
    return PoolCreation(topology, Creation(pool, properties, key=key, keylocation=keylocation), **options)


def create_pool(host: Host, pool: str, place: str, /, root: t.Mapping[str, str] | None = None) -> list[str]:
    """Create a plain pool on one file."""
    files = make_files(host, place, 1)
    host.create_pool(creation(pool, striped(*files), root))
    return files


def create_encrypted_pool(host: Host, pool: str, place: str, key: Key = KEY, keyformat: str = "hex") -> None:
    """Create a pool on one file, its root dataset an encryption root."""
    files = make_files(host, place, 1)
    host.create_pool(creation(pool, striped(*files), root_properties(keyformat), key))


def differences(host: Host, pool: str, topology: Topology) -> tuple[str, ...]:
    """Say in what an imported pool's vdevs differ."""
    return drift(topology, host.pool_states()[pool].topology, host.real_path)


def export(host: Host, pool: str, place: str) -> Importable:
    """Export a pool on files and return how it is listed."""
    host.export_pool(pool)
    (found,) = host.importable_pools((place,))
    return found


def bring_back(host: Host, found: Importable, place: str, /, **options: t.Any) -> None:
    host.import_pool(PoolImport(found.name, found.guid, search=(place,), **options))
