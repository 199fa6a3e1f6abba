# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees that a person renames and promotes in, beside the product."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    change,
    create,
    create_root,
    fails,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


def test_a_renamed_root_keeps_its_key_and_what_inherits_it(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child")
    create_root(host, f"{name}-above", OTHER_KEY)
    keyguid = read(host, name).value("keyguid")
    world.rename(name, f"{name}-above/moved")

    moved = read(host, f"{name}-above/moved")
    assert moved.is_encryption_root
    assert moved.is_key_loaded
    assert moved.value("keyguid") == keyguid
    assert moved.properties["keylocation"] == Property("prompt", "local")
    assert read(host, f"{moved.name}/child").encryption_root == moved.name
    assert opens(host, moved.name, KEY)
    assert host.dataset(name) is None


def test_a_locked_root_is_renamed_too_and_opens_by_its_new_name(host: Host, world: World, name: str) -> None:
    create_root(host, name, mountpoint="none")
    host.unload_key(name)
    world.rename(name, f"{name}-moved")

    assert not read(host, f"{name}-moved").is_key_loaded
    host.load_key(read(host, f"{name}-moved"), KEY)
    assert read(host, f"{name}-moved").is_key_loaded


def test_what_inherits_a_key_cannot_leave_its_root_but_moves_within(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child")
    create(host, f"{name}/box")
    create_root(host, f"{name}-other", OTHER_KEY)
    for outside in (f"{name}-child", f"{name}-other/child"):
        with fails():
            world.rename(f"{name}/child", outside)
    world.rename(f"{name}/child", f"{name}/box/child")

    assert read(host, f"{name}/box/child").encryption_root == name


def test_what_is_plain_stays_plain_below_a_root(host: Host, world: World, name: str) -> None:
    create(host, f"{name}-plain")
    create_root(host, name)
    world.rename(f"{name}-plain", f"{name}/plain")

    assert not read(host, f"{name}/plain").is_encrypted
    world.rename(f"{name}/plain", f"{name}-plain")


def test_a_promoted_root_gets_another_key_and_its_former_self_follows(host: Host, world: World, name: str) -> None:
    create_root(host, name, mountpoint="none")
    world.clone(name, f"{name}-clone")
    world.promote(f"{name}-clone")
    host.load_key(read(host, f"{name}-clone"), KEY)
    with fails():
        change(host, name, OTHER_KEY)
    change(host, f"{name}-clone", OTHER_KEY)

    assert opens(host, f"{name}-clone", OTHER_KEY)
    assert not opens(host, f"{name}-clone", KEY)
    host.prove_readable(read(host, name))


def test_a_promoted_clone_of_what_inherits_changes_nothing_about_keys(host: Host, world: World, name: str) -> None:
    create_root(host, name, mountpoint="none")
    create(host, f"{name}/child")
    world.clone(f"{name}/child", f"{name}/clone")
    world.promote(f"{name}/clone")

    assert read(host, f"{name}/child").is_clone
    for each in (f"{name}/child", f"{name}/clone"):
        assert read(host, each).encryption_root == name
        assert read(host, each).is_key_loaded


def test_a_clone_outside_of_its_root_is_not_promoted(host: Host, world: World, name: str) -> None:
    create_root(host, name, mountpoint="none")
    create(host, f"{name}/child")
    world.clone(f"{name}/child", f"{name}-clone")
    with fails():
        world.promote(f"{name}-clone")

    assert read(host, f"{name}-clone").is_clone
