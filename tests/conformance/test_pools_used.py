# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools in use: who keeps them busy, and their properties."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import create, create_volume, fails
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import (
    create_pool,
    creation,
    make_files,
    striped,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_nobody_uses_a_pool_that_is_only_mounted(host: Host, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    create(host, f"{pool}/a")
    host.mount(f"{pool}/a")

    assert host.users([pool]) == ()
    host.export_pool(pool)


@pytest.mark.parametrize("member", ["", "/a"])
def test_an_open_file_keeps_a_pool_busy(host: Host, world: World, pool: str, place: str, member: str) -> None:
    create_pool(host, pool, place)
    create(host, f"{pool}/a")
    host.mount(f"{pool}/a")
    with world.hold(pool + member):
        (user,) = host.users([pool])
        assert user.startswith("process ")
        assert user.endswith(f" (sleep) has {place}.mounted{member}/held open")
        with fails("busy"):
            host.export_pool(pool)
        with fails("busy"):
            host.destroy_pool(pool)
        assert pool in host.pools()

    assert host.users([pool]) == ()


def test_a_working_directory_keeps_a_pool_busy(host: Host, world: World, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    with world.work_in(pool):
        (user,) = host.users([pool])
        assert user.endswith(f" (sleep) works in {place}.mounted")
        with fails("busy"):
            host.export_pool(pool)

    host.export_pool(pool)


def test_a_mount_namespace_of_its_own_keeps_a_pool_busy(host: Host, world: World, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    with world.mount_apart(pool):
        (user,) = host.users([pool])
        assert user.endswith(f" (sleep) has {pool} mounted in a mount namespace of its own")
        with fails("busy"):
            host.export_pool(pool)

    host.export_pool(pool)


def test_what_fails_about_a_pool_in_use_names_who_is_in_the_way(
    host: Host, world: World, pool: str, place: str
) -> None:
    create_pool(host, pool, place)
    for give_up in (host.export_pool, host.destroy_pool):
        with world.work_in(pool), pytest.raises(Exception, match=r"process \d+ \(sleep\) works in "):
            give_up(pool)


# Exporting a pool with an opened volume hangs OpenZFS 2.3.9 for ever, so only the users are stated here.


def test_an_open_volume_has_a_user(host: Host, world: World, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    create_volume(host, f"{pool}/v")
    with world.hold(f"{pool}/v"):
        (user,) = host.users([pool])
        assert user.endswith(f" (sleep) has volume {pool}/v open")

    assert host.users([pool]) == ()


def test_swap_on_a_volume_is_a_user(host: Host, world: World, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    create_volume(host, f"{pool}/v", "4M")
    with world.swap_to(f"{pool}/v"):
        assert host.users([pool]) == (f"the system swaps to volume {pool}/v",)

    assert host.users([pool]) == ()


def test_users_of_other_pools_are_none_of_this_one(host: Host, world: World, pool: str, place: str, name: str) -> None:
    create_pool(host, pool, place)
    create(host, name)
    host.mount(name)
    with world.hold(name):
        assert host.users([pool]) == ()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"autotrim": "on", "failmode": "continue"}, {}),
        ({"comment": "a comment", "ashift": "13"}, {}),
        ({"comment": ""}, {"comment": "-"}),
        ({"feature@lz4_compress": "enabled"}, {"feature@lz4_compress": "active"}),
    ],
    ids=["two", "others", "an empty one", "a feature in use"],
)
def test_properties_of_a_pool_are_set(
    host: Host, pool: str, place: str, given: dict[str, str], shown: dict[str, str]
) -> None:
    create_pool(host, pool, place)
    host.set_pool_properties(pool, given)

    properties = host.pool_states()[pool].properties
    assert {name: properties[name] for name in given} == (shown or given)


def test_a_feature_that_was_left_out_can_be_enabled_later(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 1)
    host.create_pool(creation(pool, striped(*files), properties={"feature@edonr": "disabled"}))
    assert host.pool_states()[pool].properties["feature@edonr"] == "disabled"
    host.set_pool_properties(pool, {"feature@edonr": "enabled"})

    assert host.pool_states()[pool].properties["feature@edonr"] == "enabled"


@pytest.mark.parametrize(
    "wrong",
    [{"nonsense": "on"}, {"autotrim": "perhaps"}, {"feature@edonr": "disabled"}, {"feature@nonsense": "enabled"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_nonsense_is_no_property_of_a_pool(host: Host, pool: str, place: str, wrong: dict[str, str]) -> None:
    create_pool(host, pool, place)
    with fails():
        host.set_pool_properties(pool, wrong)
