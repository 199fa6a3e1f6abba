# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unloading keys."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create,
    create_locked_root,
    create_root,
    create_volume,
    fails,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


def test_an_unused_root_is_locked(host: Host, name: str) -> None:
    create_root(host, name)
    host.unload_key(name)

    assert read(host, name).value("keystatus") == "unavailable"


def test_what_is_locked_cannot_be_unloaded(host: Host, name: str) -> None:
    create_locked_root(host, name)
    with fails():
        host.unload_key(name)


@pytest.mark.parametrize("what", ["child", "plain", "missing"])
def test_only_a_root_can_be_unloaded(host: Host, name: str, what: str) -> None:
    create_root(host, name)
    if what != "missing":
        create(host, f"{name}/{what}", **({"encryption": "off"} if what == "plain" else {}))
    with fails():
        host.unload_key(f"{name}/{what}")

    assert read(host, name).is_key_loaded


@pytest.mark.parametrize("mounted", ["", "/child", "/child/deeper"])
def test_a_mounted_member_keeps_the_key(host: Host, name: str, mounted: str) -> None:
    create_root(host, name)
    if mounted:
        create(host, f"{name}/child")
    if mounted == "/child/deeper":
        create(host, f"{name}/child/deeper")
    host.mount(name + mounted)
    with fails("busy"):
        host.unload_key(name)
    assert read(host, name).is_key_loaded

    host.unmount(name + mounted)
    host.unload_key(name)


@pytest.mark.any_binding
def test_a_mounted_clone_elsewhere_keeps_the_key(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    world.clone(name, f"{name}-clone")
    host.mount(f"{name}-clone")
    with fails("busy"):
        host.unload_key(name)

    host.unmount(f"{name}-clone")
    host.unload_key(name)
    assert not read(host, f"{name}-clone").is_key_loaded


def test_an_open_volume_keeps_the_key(host: Host, world: World, name: str) -> None:
    create_volume(host, name, key=KEY)
    with world.hold(name), fails("busy"):
        host.unload_key(name)

    host.unload_key(name)


@pytest.mark.any_binding
def test_a_mounted_root_below_does_not_keep_the_key(host: Host, name: str) -> None:
    create_root(host, name)
    create_root(host, f"{name}/below", OTHER_KEY)
    host.mount(f"{name}/below")
    host.unload_key(name)

    assert read(host, f"{name}/below").is_mounted
    assert read(host, f"{name}/below").is_key_loaded


@pytest.mark.any_binding
def test_a_mounted_plain_dataset_below_does_not_keep_the_key(host: Host, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/plain", encryption="off")
    host.mount(f"{name}/plain")
    host.unload_key(name)

    assert read(host, f"{name}/plain").is_mounted
