# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a mountpoint, and moving it aside."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import create, fails, make, read
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.fixture
def way(directory: str, name: str) -> str:
    """Where the filesystem ``name`` would be mounted."""
    return f"{directory}/{name.rpartition('/')[2]}"


@pytest.fixture(params=["a file", "a directory"])
def occupied(request: pytest.FixtureRequest, world: World, way: str) -> str:
    """That place, where something stands."""
    world.put_file(way if request.param == "a file" else f"{way}/kept/inside")
    return way


def test_what_is_in_the_way_moves_aside_with_all_that_it_holds(host: Host, world: World, name: str, way: str) -> None:
    create(host, name)
    world.put_file(f"{way}/kept/inside")
    aside = host.place_aside(way)
    assert aside == f"{way}.aside-1"
    host.move_aside(way, aside)
    host.mount(name)

    assert read(host, name).is_mounted
    assert host.occupant(f"{aside}/kept") is not None


def test_the_place_is_free_afterwards_and_the_next_name_is_another(host: Host, world: World, occupied: str) -> None:
    host.move_aside(occupied, f"{occupied}.aside-1")
    assert host.occupant(occupied) is None
    assert host.occupant(f"{occupied}.aside-1") is not None

    world.put_file(f"{occupied}/more")
    assert host.place_aside(occupied) == f"{occupied}.aside-2"


def test_what_is_moved_takes_nobodys_place(host: Host, world: World, occupied: str) -> None:
    world.put_file(f"{occupied}.aside-1")
    with fails("mountpoint_occupied"):
        host.move_aside(occupied, f"{occupied}.aside-1")

    assert host.occupant(occupied) is not None


def test_a_move_can_be_undone(host: Host, occupied: str) -> None:
    before = host.occupant(occupied)
    host.move_aside(occupied, f"{occupied}.aside-1")
    host.move_back(f"{occupied}.aside-1", occupied)

    assert host.occupant(occupied) == before
    assert host.occupant(f"{occupied}.aside-1") is None


def test_a_move_can_be_undone_after_a_mount_came_and_went(host: Host, world: World, name: str, way: str) -> None:
    create(host, name)
    world.put_file(f"{way}/kept/inside")
    host.move_aside(way, f"{way}.aside-1")
    host.mount(name)
    host.unmount(name)
    host.move_back(f"{way}.aside-1", way)

    assert host.occupant(f"{way}/kept") is not None


def test_what_somebody_uses_stays(host: Host, world: World, way: str) -> None:
    world.put_file(f"{way}/kept/inside")
    with world.use(f"{way}/kept"), fails("mountpoint_occupied"):
        host.place_aside(way)
    assert host.place_aside(way) == f"{way}.aside-1"


@pytest.mark.parametrize("mounted", ["there", "inside"])
def test_where_something_is_mounted_is_occupied_and_nothing_moves(
    host: Host, world: World, name: str, way: str, mounted: str
) -> None:
    place = way if mounted == "there" else f"{way}/kept"
    if mounted == "inside":
        world.put_file(f"{way}/beside")
    create(host, f"{name}", mountpoint=place)
    host.mount(name)
    assert host.occupant(way) is not None
    with fails("mountpoint_occupied"):
        host.place_aside(way)


def test_an_empty_filesystem_is_not_covered_by_another(host: Host, directory: str, name: str) -> None:
    place = f"{directory}/shared-{name.rpartition('/')[2]}"
    create(host, name, mountpoint=place)
    create(host, f"{name}/other", mountpoint=place)
    host.mount(name)
    with fails("mountpoint_occupied"):
        host.mount(f"{name}/other")

    assert not read(host, f"{name}/other").is_mounted


def test_what_stands_inside_a_filesystem_shows_when_that_is_mounted(host: Host, world: World, name: str) -> None:
    create(host, name)
    inner = make(host, f"{name}/inner").value("mountpoint")
    host.mount(name)
    world.put_file(f"{inner}/kept")
    host.unmount(name)
    assert host.occupant(inner) is None

    host.mount(name)
    assert host.occupant(inner) is not None
    host.move_aside(inner, host.place_aside(inner))
    host.mount(f"{name}/inner")
    assert read(host, f"{name}/inner").is_mounted
