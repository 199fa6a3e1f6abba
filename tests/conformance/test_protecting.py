# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mountpoints of what is locked, made immutable, and what the running system stands on."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    create,
    create_volume,
    fails,
    make,
    make_root,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def left_bare(host: Host, name: str) -> str:
    """Make a root, mount and unmount it, and return its bare mountpoint."""
    place = make_root(host, name).value("mountpoint")
    host.mount(name)
    host.unmount(name)
    return place


def test_a_mountpoint_is_there_from_the_first_mount_on(host: Host, name: str) -> None:
    place = make_root(host, name).value("mountpoint")
    assert host.place(place) == Place("none")
    host.mount(name)
    assert host.place(place) == Place("mounted")
    host.unmount(name)
    assert host.place(place) == Place("bare")


def test_a_bare_mountpoint_is_protected_and_released(host: Host, world: World, name: str) -> None:
    place = left_bare(host, name)
    host.protect_place(place)
    host.protect_place(place)
    assert host.place(place) == Place("protected")
    assert not world.can_write_into(place)

    assert host.release_place(place)
    assert not host.release_place(place)
    assert host.place(place) == Place("bare")
    assert world.can_write_into(place)


def test_what_is_mounted_is_never_protected(host: Host, world: World, name: str) -> None:
    place = left_bare(host, name)
    host.mount(name)
    with fails("busy"):
        host.protect_place(place)
    assert not host.release_place(place)
    assert world.can_write_into(place)


def test_what_is_mounted_over_a_protected_mountpoint_can_be_written_to(host: Host, world: World, name: str) -> None:
    place = left_bare(host, name)
    host.protect_place(place)
    host.mount(name)
    assert host.place(place) == Place("mounted")
    assert world.can_write_into(place)
    assert not host.release_place(place)

    host.unmount(name)
    assert host.place(place) == Place("protected")
    assert host.release_place(place)


def test_a_missing_mountpoint_needs_no_protection(host: Host, name: str) -> None:
    place = make_root(host, name).value("mountpoint")
    host.protect_place(place)
    assert not host.release_place(place)
    assert host.place(place) == Place("none")


def test_a_directory_that_holds_something_is_told_from_a_bare_mountpoint(host: Host, world: World, name: str) -> None:
    place = left_bare(host, name)
    world.put_file(f"{place}/left")
    assert host.place(place) == Place("bare", "it is not empty, so it may be in use")
    world.take_away(f"{place}/left")
    assert host.place(place) == Place("bare")


def test_a_mountpoint_on_a_filesystem_of_openzfs_is_protected_too(host: Host, world: World, name: str) -> None:
    create(host, name)
    host.mount(name)
    place = left_bare(host, f"{name}/inner")
    host.protect_place(place)
    assert host.place(place) == Place("protected")
    assert not world.can_write_into(place)
    host.unmount(name)
    assert host.place(place) == Place("none")

    host.mount(name)
    assert host.release_place(place)


def test_destroying_takes_the_mountpoint_along_unless_it_is_protected(host: Host, name: str) -> None:
    place = left_bare(host, name)
    host.protect_place(place)
    host.destroy(name)
    assert host.place(place) == Place("protected")
    assert host.release_place(place)

    place = left_bare(host, name)
    host.destroy(name)
    assert host.place(place) == Place("none")


@pytest.mark.parametrize("kind", ["filesystem", "ext4 on a volume", "swap"])
def test_what_the_system_stands_on_is_told(host: Host, world: World, name: str, kind: str) -> None:
    stands: t.Callable[[str], t.ContextManager[str]] = {
        "filesystem": world.boot_from,
        "ext4 on a volume": world.boot_from_volume,
        "swap": world.swap_in_words,
    }[kind]
    if kind == "filesystem":
        make(host, name, mountpoint="legacy")
    else:
        create_volume(host, name, "8M", key=KEY)
    assert name not in host.foundations()
    with stands(name) as words:
        assert host.foundations()[name] == (words,)

    assert name not in host.foundations()
    assert not read(host, name).is_mounted
