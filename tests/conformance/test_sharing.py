# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing what is mounted: to unmount takes a share away, and to mount has to bring it back."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import create_root, read
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_what_is_shared_is_shared_again_when_it_is_mounted_again(host: Host, world: World, name: str) -> None:
    create_root(host, name, sharenfs="on")
    place = read(host, name).value("mountpoint")
    host.remarks.clear()
    with world.nfs_server():
        for _turn in range(2):
            host.mount(name)
            assert place in world.exports()
            host.unmount(name)
            assert place not in world.exports()
    assert host.remarks == []


def test_what_cannot_be_shared_is_mounted_and_told(host: Host, name: str) -> None:
    create_root(host, name, sharesmb="on")
    host.remarks.clear()
    host.mount(name)
    assert read(host, name).is_mounted
    (remark,) = host.remarks
    assert remark.startswith(f"{name} is mounted, but not shared: ")
