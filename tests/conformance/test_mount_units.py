# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting where systemd has units of zfs-mount-generator(8), bound to units that load keys."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.tests.conformance.making import KEY, create, create_root, fails, read
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_what_is_mounted_stays_and_can_be_locked_and_unlocked_again(world: World, binding: str, name: str) -> None:
    root, child = f"{name}/my root", f"{name}/my root/child-1"
    host = world.host(binding)
    create(host, name)
    create_root(host, root)
    create(host, child)
    host.unload_key(root)
    with world.mount_units(name):
        for _time in ("first", "second"):
            host = world.host(binding)  # as another run
            host.load_key(read(host, root), KEY)
            host.mount(root)
            host.mount(child)
            world.let_systemd_act()
            assert [read(host, each).is_mounted for each in (root, child)] == [True, True]

            host.unmount(child)
            host.unmount(root)
            host.unload_key(root)
            world.let_systemd_act()
            assert not read(host, root).is_key_loaded


def test_what_would_not_stay_mounted_is_not_mounted(world: World, binding: str, name: str) -> None:
    host = world.host(binding)
    create_root(host, name)
    with world.mount_units(name, masked=True):
        with fails("mount_failed"):
            world.host(binding).mount(name)
        assert not read(host, name).is_mounted
