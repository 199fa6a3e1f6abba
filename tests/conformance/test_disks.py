# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and files: what lies on them, who uses them, and how they become blank."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._devices import Device
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import fails
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import (
    SIZE,
    create_pool,
    creation,
    make_files,
    mirrored,
    striped,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding

FOUND = {"ext4": "ext4 'old'", "swap": "swap space 'old'"}


def test_a_made_file_is_blank(host: Host, world: World, place: str) -> None:
    (file,) = make_files(host, place, 1)

    assert host.device(file) == Device(file, file, "file")
    assert world.mode_of(file) == 0o600


def test_an_existing_file_is_never_made_anew(host: Host, world: World, place: str) -> None:
    (file,) = make_files(host, place, 1)
    world.put_on(file, "ext4")
    with fails():
        host.make_file(file, SIZE)

    assert host.device(file).holds == (FOUND["ext4"],)


def test_a_removed_file_is_missing_and_may_be_removed_twice(host: Host, place: str) -> None:
    (file,) = make_files(host, place, 1)
    host.remove_file(file)
    host.remove_file(file)

    assert host.device(file) == Device(file, file, "missing")


def test_a_blank_disk_leads_to_its_node(host: Host, disks: tuple[str, ...]) -> None:
    found = host.device(disks[0])

    assert (found.path, found.kind, found.holds, found.in_use) == (disks[0], "disk", (), None)
    assert found.real.startswith("/dev/vd")
    assert host.real_path(disks[0]) == found.real


@pytest.mark.parametrize("kind", FOUND)
def test_what_lies_on_a_disk_is_named_and_cleared(host: Host, world: World, disks: tuple[str, ...], kind: str) -> None:
    world.put_on(disks[0], kind)
    assert host.device(disks[0]).holds == (FOUND[kind],)
    assert host.rehearse_pool(creation("p0", striped(disks[0]))) is not None

    host.clear_device(disks[0])
    assert host.device(disks[0]).holds == ()
    assert host.rehearse_pool(creation("p0", striped(disks[0]))) is None


def test_what_lies_on_a_file_is_named_and_cleared(host: Host, world: World, place: str) -> None:
    (file,) = make_files(host, place, 1)
    world.put_on(file, "ext4")
    assert host.device(file).holds == (FOUND["ext4"],)

    host.clear_device(file)
    assert host.device(file).holds == ()


def test_a_mounted_disk_is_in_use_and_not_cleared(host: Host, world: World, disks: tuple[str, ...]) -> None:
    world.put_on(disks[0], "ext4")
    with world.mounted_disk(disks[0]):
        user = host.device(disks[0]).in_use
        assert user is not None
        assert f"{host.real_path(disks[0])} is mounted on /" in user
        with fails():
            host.clear_device(disks[0])

    assert host.device(disks[0]) == Device(disks[0], host.real_path(disks[0]), "disk", (FOUND["ext4"],))


def test_a_file_that_is_attached_as_a_disk_is_in_use(host: Host, world: World, place: str) -> None:
    (file,) = make_files(host, place, 1)
    with world.attached_file(file):
        assert str(host.device(file).in_use).startswith("it is attached as /dev/loop")

    assert host.device(file).in_use is None


def test_members_of_a_pool_are_in_use_until_it_is_exported(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    host.create_pool(creation(pool, mirrored(*disks[:2]), {"canmount": "off"}))
    label = f"a member of a ZFS pool {pool!r}"
    partition = host.real_path(f"{disks[0]}-part1")
    assert host.device(disks[0]).holds == ("a partition table with 2 partition(s)", f"{label} ({partition})")
    assert host.device(disks[0]).in_use is not None
    assert host.device(f"{disks[0]}-part1").holds == (label,)
    assert host.device(f"{disks[0]}-part1").in_use is not None
    with fails():
        host.clear_device(disks[0])

    host.export_pool(pool)
    assert host.device(disks[0]).holds == ("a partition table with 2 partition(s)", f"{label} ({partition})")
    assert host.device(disks[0]).in_use is None


@pytest.mark.parametrize("state", ["exported", "destroyed"])
def test_a_cleared_member_takes_a_pool_without_force(host: Host, pool: str, disks: tuple[str, ...], state: str) -> None:
    host.create_pool(creation(pool, striped(disks[0]), {"canmount": "off"}))
    if state == "exported":
        host.export_pool(pool)
    else:
        host.destroy_pool(pool)
    host.clear_device(disks[0])
    assert host.device(disks[0]).holds == ()
    assert pool not in [found.name for found in host.importable_pools(())]

    host.create_pool(creation(pool, striped(disks[0]), {"canmount": "off"}))


def test_a_partition_takes_a_pool_as_it_is(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    host.create_pool(creation(pool, striped(disks[0]), {"canmount": "off"}))
    host.destroy_pool(pool)
    partition = f"{disks[0]}-part1"
    host.clear_device(partition)
    assert host.device(disks[0]).holds == ("a partition table with 2 partition(s)",)
    host.create_pool(creation(pool, striped(partition), {"canmount": "off"}))

    assert host.pool_states()[pool].topology == striped(partition)


@pytest.mark.parametrize("state", ["exported", "destroyed"])
def test_a_file_tells_of_the_pool_that_it_belonged_to(host: Host, pool: str, place: str, state: str) -> None:
    (file,) = create_pool(host, pool, place)
    if state == "exported":
        host.export_pool(pool)
    else:
        host.destroy_pool(pool)
    what = "a member of a destroyed ZFS pool" if state == "destroyed" else "a member of a ZFS pool"
    assert host.device(file) == Device(file, file, "file", (f"{what} {pool!r}",))
    host.clear_device(file)

    assert host.device(file).holds == ()
    assert host.importable_pools((place,)) == ()
    host.create_pool(creation(pool, striped(file)))


def test_what_is_missing_is_not_cleared(host: Host, place: str) -> None:
    with fails():
        host.clear_device(f"{place}/missing")
