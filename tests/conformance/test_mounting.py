# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting and unmounting."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import MOUNT_PROPERTIES, Dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import pool_of
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    create,
    create_root,
    fails,
    make,
    make_volume,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_a_filesystem_is_mounted_where_its_mountpoint_says(host: Host, directory: str, name: str) -> None:
    made = make(host, name)
    assert made.value("mountpoint") == f"{directory}/{name.rpartition('/')[2]}"
    host.mount(name)
    assert read(host, name).is_mounted

    host.unmount(name)
    assert not read(host, name).is_mounted


@pytest.mark.parametrize("canmount", ["on", "noauto"])
def test_an_unlocked_root_can_be_mounted(host: Host, name: str, canmount: str) -> None:
    create_root(host, name, canmount=canmount)
    host.mount(name)

    assert read(host, name).is_mounted


@pytest.mark.parametrize(
    "properties",
    [{"canmount": "off"}, {"mountpoint": "none"}, {"mountpoint": "legacy"}],
    ids=["canmount-off", "none", "legacy"],
)
def test_what_has_no_place_is_not_mounted(host: Host, name: str, properties: dict[str, str]) -> None:
    create(host, name, **properties)
    with fails("mount_failed"):
        host.mount(name)


@pytest.mark.parametrize("member", ["", "/child"])
def test_what_is_locked_is_not_mounted(host: Host, name: str, member: str) -> None:
    create_root(host, name)
    if member:
        create(host, name + member)
    host.unload_key(name)
    with fails("mount_failed"):
        host.mount(name + member)

    assert not read(host, name + member).is_mounted


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "named"])
def test_what_is_a_containers_is_not_mounted_here(host: Host, name: str, is_known: bool) -> None:
    """What is mounted when it becomes one is unmounted, and what is made below it is one, too."""
    create_root(host, name)
    host.mount(name)
    host.set_properties(name, {"zoned": "on"})
    create(host, f"{name}/child")

    for each in (name, f"{name}/child"):
        assert not read(host, each).is_mounted_by_default
        with fails("mount_failed"):
            host.mount(each, _known(host, each) if is_known else None)
        assert not read(host, each).is_mounted


def test_where_a_container_mounts_is_not_said_here(host: Host, directory: str, name: str) -> None:
    create(host, name, zoned="on")
    with fails():
        host.set_properties(name, {"mountpoint": f"{directory}/elsewhere"})


def test_a_volume_is_no_containers(host: Host, name: str) -> None:
    assert make_volume(host, name).value("zoned") == "-"


SWITCHES = ("atime", "devices", "exec", "readonly", "relatime", "setuid", "nbmand")


@pytest.mark.parametrize("changed", [(), *((name,) for name in SWITCHES), ("atime", "relatime"), SWITCHES])
def test_what_is_known_is_mounted_with_the_options_that_zfs_gives_it(
    host: Host, world: World, name: str, changed: tuple[str, ...]
) -> None:
    create(host, name, **{switch: "on" if switch in ("readonly", "nbmand") else "off" for switch in changed})
    world.mount(name)
    by_a_person = world.mount_options(name)
    host.unmount(name)
    host.mount(name, _known(host, name))

    assert world.mount_options(name) == by_a_person


def test_what_is_known_is_mounted_in_a_new_directory_and_unmounted(host: Host, directory: str, name: str) -> None:
    place = f"{directory}/new of {name.rpartition('/')[2]}/below, too"
    create(host, name, mountpoint=place)
    known = _known(host, name)
    host.mount(name, known)
    host.mount(name, known)
    assert read(host, name).is_mounted

    host.unmount(name, known)
    host.unmount(name, known)
    assert not read(host, name).is_mounted


def test_what_is_known_takes_along_what_is_mounted_below_too(host: Host, name: str) -> None:
    create(host, name)
    create(host, f"{name}/child")
    known = _known(host, name)
    for member in ("", "/child"):
        host.mount(name + member)
    host.unmount(name, known)

    assert [read(host, name + member).is_mounted for member in ("", "/child")] == [False, False]


def _known(host: Host, name: str) -> Dataset:
    """Read a filesystem as a run does that is about to mount it."""
    return host.datasets([pool_of(name)], MOUNT_PROPERTIES).datasets[name]


def test_a_missing_filesystem_is_not_mounted(host: Host, name: str) -> None:
    with fails("mount_failed"):
        host.mount(name)


@pytest.mark.parametrize("occupied_by", ["a file", "a directory with a file"])
def test_an_occupied_place_is_refused(host: Host, world: World, directory: str, name: str, occupied_by: str) -> None:
    place = make(host, name).value("mountpoint")
    assert host.occupant(place) is None
    world.put_file(place if occupied_by == "a file" else f"{place}/kept")
    assert host.occupant(place) is not None
    with fails("mountpoint_occupied"):
        host.mount(name)

    assert not read(host, name).is_mounted


def test_mounting_and_unmounting_twice_is_no_error(host: Host, world: World, name: str) -> None:
    place = make(host, name).value("mountpoint")
    host.mount(name)
    with world.hold(name):
        host.mount(name)
    assert read(host, name).is_mounted

    host.unmount(name)
    host.unmount(name)
    assert host.occupant(place) is None


def test_what_is_in_use_is_not_unmounted(host: Host, world: World, name: str) -> None:
    create(host, name)
    host.mount(name)
    with world.hold(name), fails("busy"):
        host.unmount(name)
    assert read(host, name).is_mounted

    host.unmount(name)


def test_unmounting_takes_along_all_that_is_mounted_below(host: Host, directory: str, name: str) -> None:
    create(host, name)
    create(host, f"{name}/child")
    elsewhere = f"{directory}/away-{name.rpartition('/')[2]}"
    create(host, f"{name}/elsewhere", mountpoint=elsewhere)
    for member in ("", "/child", "/elsewhere"):
        host.mount(name + member)
    host.unmount(name)

    assert [read(host, name + member).is_mounted for member in ("", "/child", "/elsewhere")] == [False, False, False]


def test_a_busy_filesystem_below_keeps_the_upper_one_mounted(host: Host, world: World, name: str) -> None:
    create(host, name)
    create(host, f"{name}/child")
    host.mount(name)
    host.mount(f"{name}/child")
    with world.hold(f"{name}/child"), fails("busy"):
        host.unmount(name)

    assert read(host, name).is_mounted
    assert read(host, f"{name}/child").is_mounted


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "named"])
def test_another_filesystem_mounted_inside_keeps_the_outer_one_mounted(host: Host, name: str, is_known: bool) -> None:
    place = make(host, name).value("mountpoint")
    inner = f"{name}-inner"
    create(host, inner, mountpoint=f"{place}/inside")
    host.mount(name)
    host.mount(inner)
    known = _known(host, name) if is_known else None
    with fails("busy"):
        host.unmount(name, known)
    assert [read(host, each).is_mounted for each in (name, inner)] == [True, True]
    assert host.users([name]) == (f"{inner} is mounted on {place}/inside, inside it",)

    host.unmount(inner)
    host.unmount(name, known)
    assert not read(host, name).is_mounted
