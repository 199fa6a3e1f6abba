# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps a key from being unloaded, or a filesystem from being unmounted."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create,
    create_root,
    create_volume,
    fails,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_nobody_uses_what_is_only_mounted(host: Host, name: str) -> None:
    create_root(host, name)
    host.mount(name)

    assert host.users([name]) == ()


@pytest.mark.parametrize("member", ["", "/child"])
def test_an_open_file_is_a_use(host: Host, world: World, directory: str, name: str, member: str) -> None:
    create_root(host, name)
    host.mount(name)
    if member:
        create(host, name + member)
        host.mount(name + member)
    with world.hold(name + member):
        (user,) = host.users([name])
        assert user.startswith("process ")
        assert user.endswith(f" (sleep) has {directory}/{(name + member).partition('/')[2]}/held open")
    assert host.users([name]) == ()


def test_a_working_directory_is_a_use(host: Host, world: World, directory: str, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    with world.work_in(name), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith(f" (sleep) works in {directory}/{name.partition('/')[2]}")
        host.unmount(name)


def test_a_program_that_runs_is_a_use(host: Host, world: World, directory: str, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    with world.run_from(name), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith(f" has {directory}/{name.partition('/')[2]}/program mapped")
        host.unmount(name)


def test_an_open_file_of_a_snapshot_is_a_use(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    with world.look_into_snapshot(name), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith("/.zfs/snapshot/seen/held open")
        host.unmount(name)


def test_a_mount_namespace_of_its_own_keeps_the_key_though_all_is_unmounted(
    host: Host, world: World, name: str
) -> None:
    create_root(host, name)
    host.mount(name)
    with world.mount_apart(name):
        host.unmount(name)
        (user,) = host.users([name])
        assert user.endswith(f" (sleep) has {name} mounted in a mount namespace of its own")
        with fails("busy"):
            host.unload_key(name)


def test_a_mount_namespace_without_a_process_keeps_the_key_too(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    with world.keep_mounted_apart(name):
        host.unmount(name)
        (user,) = host.users([name])
        assert user.startswith(f"{name} is mounted in the mount namespace that ")
        with fails("busy"):
            host.unload_key(name)

    host.unload_key(name)


def test_a_use_of_a_clone_elsewhere_is_found_under_its_name_only(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    world.clone(name, f"{name}-clone")
    host.mount(f"{name}-clone")
    with world.hold(f"{name}-clone"):
        assert host.users([name]) == ()
        assert len(host.users([name, f"{name}-clone"])) == 1


def test_a_use_of_another_dataset_is_none(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create_root(host, f"{name}-other", OTHER_KEY)
    for each in (name, f"{name}-other"):
        host.mount(each)
    with world.hold(f"{name}-other"):
        assert host.users([name]) == ()


def test_an_open_volume_is_a_use(host: Host, world: World, name: str) -> None:
    create_volume(host, name, key=KEY)
    with world.hold(name), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith(f" (sleep) has volume {name} open")
        host.unload_key(name)


def test_a_volume_taken_exclusively_is_a_use(host: Host, world: World, name: str) -> None:
    create_volume(host, name, key=KEY)
    with world.take_volume(name), fails("busy"):
        assert any(user.endswith(f" has volume {name} open") for user in host.users([name]))
        host.unload_key(name)


def test_a_file_system_on_a_volume_is_a_use(host: Host, world: World, name: str) -> None:
    create_volume(host, name, "8M", key=KEY)
    with world.mount_volume(name), fails("busy"):
        (user,) = host.users([name])
        assert user.startswith(f"volume {name} is mounted on ")
        host.unload_key(name)


def test_a_loop_device_over_a_volume_is_a_use(host: Host, world: World, name: str) -> None:
    create_volume(host, name, key=KEY)
    with world.attach_volume(name), fails("busy"):
        assert any(user.startswith("/dev/loop") for user in host.users([name]))
        host.unload_key(name)


def test_swap_on_a_volume_is_a_use(host: Host, world: World, name: str) -> None:
    create_volume(host, name, "4M", key=KEY)
    with world.swap_to(name), fails("busy"):
        assert host.users([name]) == (f"the system swaps to volume {name}",)
        host.unload_key(name)


def test_a_send_keeps_the_key(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    with world.send(name), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith(f" (zfs) sends {name}@sent")
        host.unload_key(name)


def test_a_raw_send_does_not_keep_the_key(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    with world.send(name, raw=True):
        host.unload_key(name)


def test_a_receive_below_keeps_the_key(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    with world.receive(f"{name}/new"), fails("busy"):
        (user,) = host.users([name])
        assert user.endswith(f" (zfs) receives into {name}/new")
        host.unload_key(name)
