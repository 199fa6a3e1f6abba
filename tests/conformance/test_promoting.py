# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones and origins that change places, which a person does beside the modules."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import KEY, create, create_root, opens, read
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_a_promoted_clone_of_a_root_becomes_the_root_of_all_that_inherit(host: Host, world: World, name: str) -> None:
    create_root(host, name, keylocation="file:///etc/zfs/keys/promoted.key")
    create(host, f"{name}/child")
    world.clone(name, f"{name}-clone")
    world.clone(f"{name}/child", f"{name}-grandchild")
    world.promote(f"{name}-clone")

    for member in (name, f"{name}/child", f"{name}-clone", f"{name}-grandchild"):
        assert read(host, member).encryption_root == f"{name}-clone"
    assert read(host, f"{name}-clone").value("keylocation") == "file:///etc/zfs/keys/promoted.key"
    assert read(host, name).value("keylocation") == "none"
    assert read(host, name).value("origin").startswith(f"{name}-clone@")
    assert not read(host, f"{name}-clone").is_clone


def test_a_loaded_key_does_not_follow_a_promoted_root(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child")
    world.clone(name, f"{name}-clone")
    world.promote(f"{name}-clone")

    assert not read(host, f"{name}/child").is_key_loaded
    assert opens(host, f"{name}-clone", KEY)
    host.load_key(read(host, f"{name}-clone"), KEY)
    assert read(host, f"{name}/child").is_key_loaded
    host.mount(f"{name}/child")


def test_what_was_mounted_before_a_promotion_stays_so_without_a_loaded_key(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    world.clone(name, f"{name}-clone")
    world.promote(f"{name}-clone")

    assert read(host, name).is_mounted
    assert not read(host, name).is_key_loaded


def test_a_promoted_clone_within_its_root_changes_nothing_about_keys(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child")
    world.clone(f"{name}/child", f"{name}/clone")
    world.promote(f"{name}/clone")

    assert read(host, f"{name}/child").value("origin").startswith(f"{name}/clone@")
    for member in (f"{name}/child", f"{name}/clone"):
        assert read(host, member).encryption_root == name
        assert read(host, member).is_key_loaded


def test_later_clones_stay_with_the_origin_and_earlier_ones_follow(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    for clone in ("early", "middle", "late"):
        world.clone(name, f"{name}-{clone}")
    world.promote(f"{name}-middle")

    assert read(host, f"{name}-early").value("origin").startswith(f"{name}-middle@")
    assert read(host, name).value("origin").startswith(f"{name}-middle@")
    assert read(host, f"{name}-late").value("origin").startswith(f"{name}@")
