# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting and importing pools."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host, PoolImport
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    fails,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import (
    bring_back,
    create_encrypted_pool,
    create_pool,
    creation,
    export,
    make_files,
    mirrored,
    striped,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding

HERE, ELSEWHERE = 0x00BAB10C, 0x0A11CE00


def test_an_exported_pool_is_gone_with_its_datasets_and_can_be_found(host: Host, pool: str, place: str) -> None:
    files = create_pool(host, pool, place)
    guid = host.pools()[pool].guid
    found = export(host, pool, place)

    assert pool not in host.pools()
    assert pool not in host.pool_states()
    assert host.dataset(pool) is None
    assert (found.name, found.guid, found.state, found.problem, found.last_host) == (pool, guid, "ONLINE", "", "")
    assert host.importable_pools(files) == (found,)
    assert found not in host.importable_pools(())


def test_an_altroot_is_for_one_import(host: Host, pool: str, place: str) -> None:
    create_pool(host, pool, place, {"mountpoint": "/a"})
    bring_back(host, export(host, pool, place), place, altroot=f"{place}.alt")
    assert host.pool_states()[pool].properties["altroot"] == f"{place}.alt"
    assert read(host, pool).value("mountpoint") == f"{place}.alt/a"
    host.mount(pool)

    bring_back(host, export(host, pool, place), place)
    assert host.pool_states()[pool].properties["altroot"] == "-"
    assert read(host, pool).value("mountpoint") == "/a"


def test_a_pool_imported_readonly_changes_in_nothing(host: Host, pool: str, place: str) -> None:
    create_encrypted_pool(host, pool, place)
    bring_back(host, export(host, pool, place), place, readonly=True)
    assert host.pools()[pool].readonly
    assert host.pool_states()[pool].properties["readonly"] == "on"
    with fails():
        host.set_properties(pool, {"atime": "off"})
    with fails():
        host.create(creation(f"{pool}/a", striped("/dev/none")).root)
    with fails():
        host.set_pool_properties(pool, {"comment": "none"})

    host.load_key(read(host, pool), KEY)
    host.mount(pool)
    assert read(host, pool).is_mounted
    host.destroy_pool(pool)
    assert [found.name for found in host.importable_pools((place,))] == [pool], "nothing was written, so it is there"


def test_a_readonly_pool_is_given_up_right_after_it_was_used(host: Host, pool: str, place: str) -> None:
    """What was just unmounted keeps such a pool busy for a moment, now and then."""
    create_encrypted_pool(host, pool, place)
    found = export(host, pool, place)
    for give_up in (host.export_pool, host.destroy_pool) * 2:
        bring_back(host, found, place, readonly=True)
        host.load_key(read(host, pool), KEY)
        host.mount(pool)
        give_up(pool)
        assert pool not in host.pools()


def test_what_is_not_found_is_not_imported(host: Host, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    found = export(host, pool, place)
    with fails():
        bring_back(host, replace(found, guid="1"), place)
    with fails():
        bring_back(host, found, f"{place}.elsewhere")

    assert host.importable_pools((f"{place}.elsewhere",)) == ()
    assert pool not in host.pools()


def test_two_pools_of_one_name_are_told_by_their_guids(host: Host, pool: str, place: str) -> None:
    first, second = make_files(host, place, 2)
    host.create_pool(creation(pool, striped(first), {"canmount": "off"}))
    found = export(host, pool, place)
    host.create_pool(creation(pool, striped(second), {"canmount": "off"}))
    other = host.pools()[pool].guid
    with fails():
        bring_back(host, found, place)
    host.export_pool(pool)

    assert {(each.name, each.guid) for each in host.importable_pools((place,))} == {(pool, found.guid), (pool, other)}
    bring_back(host, found, place)
    assert host.pools()[pool].guid == found.guid


def test_a_pool_on_disks_is_found_without_a_search(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    host.create_pool(creation(pool, mirrored(*disks[:2]), {"canmount": "off"}))
    topology = host.pool_states()[pool].topology
    host.export_pool(pool)
    (found,) = [each for each in host.importable_pools(()) if each.name == pool]
    host.import_pool(PoolImport(pool, found.guid))

    assert [host.real_path(disk) for disk in host.pool_states()[pool].topology.disks] == [
        host.real_path(disk) for disk in topology.disks
    ]


def test_a_mirror_of_which_one_disk_was_wiped_is_degraded(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 2)
    host.create_pool(creation(pool, mirrored(*files), {"canmount": "off"}))
    host.export_pool(pool)
    host.clear_device(files[0])
    (found,) = host.importable_pools((place,))
    assert found.state == "DEGRADED"
    assert found.problem

    host.clear_device(files[1])
    assert host.importable_pools((place,)) == ()


def test_a_pool_that_another_system_did_not_export_wants_force(host: Host, world: World, pool: str, place: str) -> None:
    with world.hostid(ELSEWHERE):
        assert host.hostid() == f"{ELSEWHERE:08x}"
        create_pool(host, pool, place, {"canmount": "off"})
        world.crash(pool)
    with world.hostid(HERE):
        (found,) = host.importable_pools((place,))
        assert "another system" in found.problem
        assert found.last_host.endswith(f" (hostid {ELSEWHERE:08x})")
        with fails():
            bring_back(host, found, place)
        assert pool not in host.pools()

        bring_back(host, found, place, force=True)
        assert host.pools()[pool].guid == found.guid
        assert export(host, pool, place).problem == ""


def test_a_pool_that_another_system_exported_does_not(host: Host, world: World, pool: str, place: str) -> None:
    with world.hostid(ELSEWHERE):
        create_pool(host, pool, place, {"canmount": "off"})
        found = export(host, pool, place)
    with world.hostid(HERE):
        assert host.importable_pools((place,)) == (found,)
        bring_back(host, found, place)

    assert pool in host.pools()


def test_a_pool_that_this_system_did_not_export_does_not_either(
    host: Host, world: World, pool: str, place: str
) -> None:
    with world.hostid(HERE):
        create_pool(host, pool, place, {"canmount": "off"})
        world.crash(pool)
        (found,) = host.importable_pools((place,))
        bring_back(host, found, place)

    assert pool in host.pools()


@pytest.mark.parametrize("call", ["export", "import"])
def test_what_is_not_there_is_neither_exported_nor_imported(host: Host, pool: str, call: str) -> None:
    with fails():
        if call == "export":
            host.export_pool(pool)
        else:
            host.import_pool(PoolImport(pool, "1"))
