# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing which encryption root a dataset refers to, without wrapping anything anew: only libzfs_core can."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    OTHER_PASSPHRASE,
    PASSPHRASE,
    THIRD_KEY,
    change,
    create,
    create_root,
    fails,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


@pytest.fixture
def broken(host: Host, world: World, name: str, inheriting_replica: str) -> str:
    """A replica that inherits a key which has not opened it since its last increment, and a child made here."""
    create(host, f"{inheriting_replica}/child")
    world.replicate(f"{name}-source", inheriting_replica, properties=False)
    return inheriting_replica


def test_a_broken_replica_becomes_a_root_that_its_senders_key_opens(host: Host, able: bool, broken: str) -> None:
    before = read(host, broken)
    if not able:
        with fails():
            host.repoint(broken)
        assert read(host, broken) == before
        return
    host.repoint(broken)

    after = read(host, broken)
    assert after.is_encryption_root
    assert not after.is_key_loaded
    assert after.value("keylocation") == "prompt"
    for prop in ("keyguid", "keyformat", "pbkdf2iters", "pbkdf2salt"):
        assert after.value(prop) == before.value(prop)
    assert opens(host, broken, PASSPHRASE)
    assert not opens(host, broken, KEY)
    host.load_key(after, PASSPHRASE)
    host.prove_readable(after)


@pytest.mark.any_binding
def test_what_inherits_through_it_follows_and_stays_wrapped_as_it_was(host: Host, able: bool, broken: str) -> None:
    if not able:
        return
    host.repoint(broken)
    host.load_key(read(host, broken), PASSPHRASE)

    assert read(host, f"{broken}/child").encryption_root == broken
    with fails():
        host.prove_readable(read(host, f"{broken}/child"))
    host.repoint(f"{broken}/child")
    assert opens(host, f"{broken}/child", KEY)


def test_it_is_taken_back_as_it_was(host: Host, able: bool, broken: str) -> None:
    before = read(host, broken), read(host, f"{broken}/child")
    if not able:
        with fails():
            host.reattach(broken)
        return
    host.repoint(broken)
    host.reattach(broken)

    assert (read(host, broken), read(host, f"{broken}/child")) == before
    host.prove_readable(before[1])
    with fails():
        host.prove_readable(before[0])


@pytest.mark.any_binding
def test_healed_it_takes_increments_and_its_old_root_another_key(
    host: Host, world: World, able: bool, name: str, broken: str
) -> None:
    if not able:
        return
    host.repoint(broken)
    host.repoint(f"{broken}/child")
    change(host, name, THIRD_KEY)
    world.replicate(f"{name}-source", broken, properties=False)

    assert opens(host, broken, PASSPHRASE)
    assert opens(host, name, THIRD_KEY)


@pytest.mark.parametrize("what", ["a root", "plain", "a clone", "missing"])
def test_only_what_inherits_can_be_re_pointed(host: Host, world: World, name: str, what: str) -> None:
    create_root(host, name)
    target = {"a root": name, "plain": f"{name}/plain", "a clone": f"{name}/clone", "missing": f"{name}/missing"}[what]
    if what == "plain":
        create(host, target, encryption="off")
    elif what == "a clone":
        world.clone(name, target)
    with fails():
        host.repoint(target)


@pytest.fixture
def apart(host: Host, world: World, name: str) -> str:
    """The child of a replicated tree, received by itself, and so a root with the key of its parent's root."""
    create_root(host, f"{name}-source", PASSPHRASE, "passphrase")
    create(host, f"{name}-source/child")
    world.replicate(f"{name}-source", name, properties=False)
    world.replicate(f"{name}-source/child", f"{name}/child", properties=False)
    return f"{name}/child"


@pytest.mark.any_binding
def test_a_root_with_its_parents_key_is_attached_without_any_key(
    host: Host, world: World, able: bool, name: str, apart: str
) -> None:
    """And stays a replica: what comes from the sender is wrapped with the key that the parent's root has too."""
    assert read(host, apart).is_encryption_root
    assert read(host, apart).value("pbkdf2salt") == read(host, name).value("pbkdf2salt")
    if not able:
        return
    host.reattach(apart)

    assert read(host, apart).encryption_root == name
    assert read(host, apart).value("keylocation") == "none"
    host.load_key(read(host, name), PASSPHRASE)
    host.prove_readable(read(host, apart))
    world.replicate(f"{name}-source/child", apart, properties=False)
    host.prove_readable(read(host, apart))


@pytest.mark.any_binding
def test_both_follow_a_key_that_the_sender_changes_once_both_were_sent(
    host: Host, world: World, able: bool, name: str, apart: str
) -> None:
    if not able:
        return
    host.reattach(apart)
    change(host, f"{name}-source", OTHER_PASSPHRASE, "passphrase")
    world.replicate(f"{name}-source/child", apart, properties=False)
    assert read(host, apart).value("pbkdf2salt") != read(host, name).value("pbkdf2salt")
    world.replicate(f"{name}-source", name, properties=False)

    assert read(host, apart).value("pbkdf2salt") == read(host, name).value("pbkdf2salt")
    host.load_key(read(host, name), OTHER_PASSPHRASE)
    host.prove_readable(read(host, apart))


def test_a_root_whose_key_is_loaded_is_not_attached(host: Host, apart: str) -> None:
    """The kernel would free a key in use (dsl_crypt.c, spa_keystore_change_key_sync)."""
    host.load_key(read(host, apart), PASSPHRASE)
    with fails():
        host.reattach(apart)

    assert read(host, apart).is_key_loaded


@pytest.mark.parametrize("what", ["below a plain parent", "inherits", "plain", "missing"])
def test_only_a_root_below_what_is_encrypted_can_be_attached(host: Host, name: str, what: str) -> None:
    create_root(host, name, OTHER_KEY)
    target = name if what == "below a plain parent" else f"{name}/target"
    if what in ("inherits", "plain"):
        create(host, target, **({"encryption": "off"} if what == "plain" else {}))
    host.unload_key(name)
    with fails():
        host.reattach(target)


def test_a_pools_root_dataset_has_nothing_to_refer_to(host: Host, pool: str, world: World) -> None:
    """OpenZFS's kernel module would look for a parent without checking that there is one, and crash."""
    with world.encrypted_pool(pool, KEY):
        host.unload_key(pool)
        with fails():
            host.reattach(pool)
