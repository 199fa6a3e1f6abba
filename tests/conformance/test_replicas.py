# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw replicas."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_PASSPHRASE,
    PASSPHRASE,
    change,
    create,
    create_root,
    create_volume,
    fails,
    opens,
    read,
    source_of,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


@pytest.mark.any_binding
def test_a_replica_arrives_locked_as_a_root_of_its_own(host: Host, name: str, replica: str) -> None:
    source, arrived = read(host, f"{name}-source"), read(host, replica)

    assert arrived.is_encryption_root
    assert not arrived.is_key_loaded
    assert not arrived.is_mounted
    assert arrived.value("keylocation") == "prompt"
    for prop in ("keyguid", "keyformat", "pbkdf2iters", "pbkdf2salt"):
        assert arrived.value(prop) == source.value(prop)


@pytest.mark.any_binding
def test_a_replica_opens_with_the_senders_key(host: Host, replica: str) -> None:
    assert opens(host, replica, PASSPHRASE)
    assert not opens(host, replica, OTHER_PASSPHRASE)


@pytest.mark.any_binding
def test_a_replicas_properties_were_received(host: Host, replica: str) -> None:
    assert read(host, replica).value("zfsfleet.encryption:key_id") == "r1.1"
    assert source_of(host, replica, "zfsfleet.encryption:key_id") == "received"


@pytest.mark.any_binding
def test_an_increment_brings_the_senders_new_key(host: Host, world: World, name: str, replica: str) -> None:
    change(host, f"{name}-source", OTHER_PASSPHRASE, "passphrase")
    assert opens(host, replica, PASSPHRASE)
    world.replicate(f"{name}-source", replica)

    assert opens(host, replica, OTHER_PASSPHRASE)
    assert not opens(host, replica, PASSPHRASE)


@pytest.mark.any_binding
def test_reading_from_a_replica_leaves_it_ready_for_its_next_increment(
    host: Host, world: World, name: str, replica: str
) -> None:
    host.load_key(read(host, replica), PASSPHRASE)
    host.prove_readable(read(host, replica))
    world.replicate(f"{name}-source", replica)

    host.prove_readable(read(host, replica))


@pytest.mark.any_binding
def test_a_bare_increment_below_an_inherited_key_leaves_what_is_unlocked_and_cannot_be_read(
    host: Host, world: World, name: str, inheriting_replica: str
) -> None:
    host.prove_readable(read(host, inheriting_replica))
    world.replicate(f"{name}-source", inheriting_replica, properties=False)

    broken = read(host, inheriting_replica)
    assert broken.encryption_root == name
    assert broken.is_key_loaded
    assert broken.value("pbkdf2salt") != read(host, name).value("pbkdf2salt")
    with fails():
        host.prove_readable(broken)
    with fails("mount_failed"):
        host.mount(broken.name)


@pytest.mark.any_binding
def test_an_increment_with_properties_makes_a_replica_a_root_of_its_own_again(
    host: Host, world: World, name: str, inheriting_replica: str
) -> None:
    world.replicate(f"{name}-source", inheriting_replica)

    again = read(host, inheriting_replica)
    assert again.is_encryption_root
    assert not again.is_key_loaded
    assert opens(host, inheriting_replica, PASSPHRASE)


@pytest.mark.any_binding
def test_an_increment_with_properties_leaves_one_inheriting_whose_source_inherits(
    host: Host, world: World, name: str
) -> None:
    create_root(host, f"{name}-source")
    create(host, f"{name}-source/child")
    create_root(host, name)
    world.replicate(f"{name}-source/child", f"{name}/child")
    host.load_key(read(host, f"{name}/child"), KEY)
    host.inherit_key(f"{name}/child")
    world.replicate(f"{name}-source/child", f"{name}/child")

    assert read(host, f"{name}/child").encryption_root == name


def test_a_key_change_heals_what_is_broken_and_kept_mounted(
    host: Host, world: World, name: str, inheriting_replica: str
) -> None:
    """Its master key is loaded, and wrapped anew; were it not, the kernel would panic."""
    host.mount(inheriting_replica)
    world.replicate(f"{name}-source", inheriting_replica, properties=False)
    with host.keep_open([read(host, inheriting_replica)]):
        with fails("busy"):
            host.unmount(inheriting_replica)
        change(host, name, OTHER_PASSPHRASE, "passphrase")

    assert read(host, inheriting_replica).value("pbkdf2salt") == read(host, name).value("pbkdf2salt")
    host.unmount(inheriting_replica)
    host.unload_key(name)
    host.load_key(read(host, name), OTHER_PASSPHRASE)
    host.mount(inheriting_replica)


def test_a_key_change_heals_a_broken_volume_that_is_open(host: Host, world: World, name: str) -> None:
    create_volume(host, f"{name}-source", key=KEY)
    create_root(host, name, PASSPHRASE, "passphrase")
    volume = f"{name}/volume"
    world.replicate(f"{name}-source", volume)
    host.load_key(read(host, volume), KEY)
    host.inherit_key(volume)
    with world.hold(volume):
        world.replicate(f"{name}-source", volume, properties=False)
        host.prove_readable(read(host, volume))
        with host.keep_open([read(host, volume)]):
            change(host, name, OTHER_PASSPHRASE, "passphrase")

    assert read(host, volume).value("pbkdf2salt") == read(host, name).value("pbkdf2salt")
    host.unload_key(name)
    host.load_key(read(host, name), OTHER_PASSPHRASE)
    host.prove_readable(read(host, volume))


@pytest.mark.any_binding
def test_a_broken_volume_cannot_be_read_once_it_is_closed(host: Host, world: World, name: str) -> None:
    create_volume(host, f"{name}-source", key=KEY)
    create_root(host, name, PASSPHRASE, "passphrase")
    world.replicate(f"{name}-source", f"{name}/volume")
    host.load_key(read(host, f"{name}/volume"), KEY)
    host.inherit_key(f"{name}/volume")
    world.replicate(f"{name}-source", f"{name}/volume", properties=False)

    with fails():
        host.prove_readable(read(host, f"{name}/volume"))
    with fails(), host.keep_open([read(host, f"{name}/volume")]):
        pass


@pytest.mark.any_binding
def test_what_is_not_mounted_is_not_kept_open(host: Host, inheriting_replica: str) -> None:
    with fails(), host.keep_open([read(host, inheriting_replica)]):
        pass
