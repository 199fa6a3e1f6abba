# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmounting by force, as far as Linux lets that be done."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    create,
    create_root,
    fails,
    make_root,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.mark.parametrize("how", ["hold", "work_in", "run_from", "look_into_snapshot"])
def test_no_process_loses_a_file_by_force(host: Host, world: World, name: str, how: str) -> None:
    create_root(host, name)
    host.mount(name)
    use: t.ContextManager[None] = getattr(world, how)(name)
    with use, fails("busy"):
        host.force_unmount(name)
    assert read(host, name).is_mounted

    host.force_unmount(name)
    host.unload_key(name)


def test_a_bind_mount_keeps_the_key_and_is_told_but_goes_by_force(host: Host, world: World, name: str) -> None:
    mountpoint = make_root(host, name).value("mountpoint")
    host.mount(name)
    with world.bind(name) as place:
        assert sorted(host.mounts([name])) == sorted([(name, mountpoint), (name, place)])
        host.unmount(name)
        assert host.mounts([name]) == ((name, place),)
        assert read(host, name).is_mounted
        with fails("busy"):
            host.unload_key(name)
        host.force_unmount(name)

    assert host.mounts([name]) == ()
    host.unload_key(name)


def test_what_is_mounted_inside_goes_by_force(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    with world.mount_inside(name):
        assert [user.endswith("/inside, inside it") for user in host.users([name])] == [True]
        with fails("busy"):
            host.unmount(name)
        host.force_unmount(name)

    assert host.users([name]) == ()
    host.unload_key(name)


def test_another_filesystem_inside_goes_by_force_and_what_lies_deeper_keeps_all(host: Host, name: str) -> None:
    places = [make_root(host, name).value("mountpoint")]
    names = [name, f"{name}-inner", f"{name}-deep"]
    for each in names[1:]:
        places.append(f"{places[-1]}/inside")
        create(host, each, mountpoint=places[-1])
    for each in names:
        host.mount(each)
    with fails("busy"):
        host.force_unmount(name)
    assert [read(host, each).is_mounted for each in names] == [True, True, True]

    host.unmount(names[-1])
    host.force_unmount(name)
    assert [read(host, each).is_mounted for each in names] == [False, False, False]


@pytest.mark.parametrize("how", ["mount_apart", "keep_mounted_apart"])
def test_what_is_mounted_in_another_namespace_goes_by_force(host: Host, world: World, name: str, how: str) -> None:
    create_root(host, name)
    host.mount(name)
    apart: t.ContextManager[None] = getattr(world, how)(name)
    with apart:
        host.force_unmount(name)
        assert host.users([name]) == ()
        host.unload_key(name)


def test_nothing_to_unmount_is_no_error_by_force_either(host: Host, name: str) -> None:
    create_root(host, name)
    host.force_unmount(name)
    host.unload_key(name)


def test_loaded_keys_are_read_for_many_at_once(host: Host, name: str) -> None:
    for each in ("a", "b", "c"):
        create_root(host, f"{name}{each}")
    host.unload_key(f"{name}b")

    assert host.loaded([f"{name}a", f"{name}b", f"{name}c"]) == {f"{name}a", f"{name}c"}
    assert host.loaded([]) == frozenset()
