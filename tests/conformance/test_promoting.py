# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones and origins that change places, which a person does beside the modules."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    change,
    create,
    create_root,
    create_volume,
    fails,
    opens,
    read,
)
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


@pytest.fixture
def promoted(host: Host, world: World, name: str) -> str:
    """A clone that became the root of its origin and of a child, which stay mounted."""
    create_root(host, name)
    create(host, f"{name}/child")
    for mounted in (name, f"{name}/child"):
        host.mount(mounted)
    world.clone(name, f"{name}-clone")
    world.promote(f"{name}-clone")
    return f"{name}-clone"


def test_what_was_unmounted_after_a_promotion_is_not_mounted_again(host: Host, name: str, promoted: str) -> None:
    host.unmount(f"{name}/child")
    with fails("mount_failed"):
        host.mount(f"{name}/child")


def test_the_key_that_a_promotion_leaves_is_dropped_once_it_is_not_in_use(
    host: Host, able: bool, name: str, promoted: str
) -> None:
    if not able:
        host.drop_left_key(name)
        assert read(host, name).is_mounted
        return
    with fails("busy"):
        host.drop_left_key(name)
    host.unmount(f"{name}/child")
    with fails("busy"):
        host.drop_left_key(name)
    host.unmount(name)
    host.drop_left_key(name)
    host.drop_left_key(name)
    host.drop_left_key(promoted)

    assert not read(host, promoted).is_key_loaded


def test_a_volume_that_was_open_before_a_promotion_keeps_the_key(
    host: Host, world: World, able: bool, name: str
) -> None:
    create_root(host, name)
    create_volume(host, f"{name}/volume")
    world.clone(name, f"{name}-clone")
    with world.hold(f"{name}/volume"):
        world.promote(f"{name}-clone")
        host.prove_readable(read(host, f"{name}/volume"))
        if able:
            with fails("busy"):
                host.drop_left_key(name)
    with fails():
        host.prove_readable(read(host, f"{name}/volume"))
    host.drop_left_key(name)


def test_the_new_roots_key_goes_out_under_what_was_opened_before_the_promotion(
    host: Host, name: str, promoted: str
) -> None:
    """Why the datasets that a promotion leaves mounted are looked for before anything is called locked."""
    host.load_key(read(host, promoted), KEY)
    host.unload_key(promoted)

    assert read(host, name).is_mounted
    assert not read(host, name).is_key_loaded


@pytest.mark.parametrize("dropped", [False, True], ids=["left", "dropped"])
def test_a_key_that_was_left_comes_back_with_its_root_and_may_open_nothing(
    host: Host, world: World, able: bool, name: str, dropped: bool
) -> None:
    create_root(host, name)
    world.clone(name, f"{name}-clone")
    world.promote(f"{name}-clone")
    host.load_key(read(host, f"{name}-clone"), KEY)
    change(host, f"{name}-clone", OTHER_KEY)
    if dropped:
        host.drop_left_key(name)
    world.promote(name)

    if dropped and able:
        assert not read(host, name).is_key_loaded
        return
    assert read(host, name).is_key_loaded
    assert opens(host, name, OTHER_KEY)
    host.load_key(read(host, name), OTHER_KEY)  # which says that one is loaded, and so it stays
    with fails():
        host.prove_readable(read(host, name))
    host.unload_key(name)
    host.load_key(read(host, name), OTHER_KEY)
    host.prove_readable(read(host, name))
