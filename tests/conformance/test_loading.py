# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading keys."""

from __future__ import annotations

import errno

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    PASSPHRASE,
    create,
    create_locked_root,
    create_root,
    create_volume,
    fails,
    key_of,
    make,
    make_locked_root,
    make_root,
    make_volume,
    other_key_of,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_the_right_key_loads_and_mounts_nothing(host: Host, name: str, keyformat: str) -> None:
    locked = make_locked_root(host, name, key_of(keyformat), keyformat)
    host.load_key(locked, key_of(keyformat))

    loaded = read(host, name)
    assert loaded.is_key_loaded
    assert not loaded.is_mounted


def test_loading_what_is_loaded_is_no_error(host: Host, name: str) -> None:
    root = make_root(host, name)
    host.load_key(root, KEY)

    assert read(host, name) == root


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_a_wrong_key_does_not_load(host: Host, name: str, keyformat: str) -> None:
    locked = make_locked_root(host, name, key_of(keyformat), keyformat)
    with fails("wrong_key"):
        host.load_key(locked, other_key_of(keyformat))

    assert not read(host, name).is_key_loaded


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_a_wrong_key_on_a_loaded_root_is_wrong_not_already_loaded(host: Host, name: str, keyformat: str) -> None:
    root = make_root(host, name, key_of(keyformat), keyformat)
    with fails("wrong_key"):
        host.load_key(root, other_key_of(keyformat))

    assert read(host, name) == root


@pytest.mark.parametrize(
    ("keyformat", "unfit"), [("hex", PASSPHRASE), ("raw", PASSPHRASE), ("passphrase", KEY)], ids=KEYFORMATS
)
def test_a_secret_of_the_other_kind_does_not_load(host: Host, name: str, keyformat: str, unfit: Key) -> None:
    locked = make_locked_root(host, name, key_of(keyformat), keyformat)
    with fails("wrong_key"):
        host.load_key(locked, unfit)


@pytest.mark.parametrize("what", ["a child", "a plain dataset", "gone"])
def test_only_a_root_has_a_key_to_load(host: Host, name: str, what: str) -> None:
    create_locked_root(host, name) if what != "a child" else make_root(host, name)
    if what == "gone":
        target = read(host, name)
        host.destroy(name)
    elif what == "a child":
        target = make(host, f"{name}/child")
    else:
        target = make(host, f"{name}/plain", encryption="off")
    with fails():
        host.load_key(target, KEY)


def test_children_share_their_roots_fate(host: Host, name: str) -> None:
    root = make_root(host, name)
    create(host, f"{name}/child")
    host.unload_key(name)
    assert not read(host, f"{name}/child").is_key_loaded

    host.load_key(root, KEY)
    assert read(host, f"{name}/child").is_key_loaded


@pytest.mark.any_binding
def test_a_root_below_keeps_its_own_state(host: Host, name: str) -> None:
    root = make_root(host, name)
    below = make_root(host, f"{name}/below", OTHER_KEY)
    host.unload_key(name)
    assert read(host, below.name).is_key_loaded

    host.unload_key(below.name)
    host.load_key(root, KEY)
    assert not read(host, below.name).is_key_loaded


def test_a_key_loads_from_the_caller_though_keylocation_names_a_file(host: Host, name: str) -> None:
    create_root(host, name, keylocation="file:///absent/a.key")
    host.unload_key(name)
    host.load_key(read(host, name), KEY)

    assert read(host, name).is_key_loaded
    assert read(host, name).key_file == "/absent/a.key"


def test_a_volume_can_be_read_once_its_key_is_loaded(host: Host, name: str) -> None:
    volume = make_volume(host, name, key=KEY)
    host.unload_key(name)
    host.load_key(volume, KEY)

    host.prove_readable(read(host, name))


@pytest.mark.any_binding
def test_a_volume_that_udev_gave_no_name_gets_one(host: Host, world: World, name: str) -> None:
    """As happens where OpenZFS is busy: udev cannot open the device then, and ignores it from there on."""
    create_volume(host, name, key=KEY)
    world.lose_node(name)

    host.prove_readable(read(host, name))
    assert world.has_node(name)


@pytest.mark.any_binding
def test_a_volume_that_was_just_made_is_waited_for(host: Host, world: World, name: str) -> None:
    made = make_volume(host, name, key=KEY)
    world.lose_node(name)

    host.await_node(made)
    assert world.has_node(name)


@pytest.mark.any_binding
def test_a_volume_that_is_to_have_no_node_is_not_waited_for(host: Host, world: World, name: str) -> None:
    """Where it inherits that: OpenZFS 2.1 makes a node of a new volume before it looks at its own ``volmode``."""
    make(host, name, volmode="none")

    host.await_node(make_volume(host, f"{name}/volume"))
    assert not world.has_node(f"{name}/volume")


@pytest.mark.any_binding
@pytest.mark.parametrize("encryption", ["a root", "a child", "plain"])
def test_an_unmounted_filesystem_can_be_read(host: Host, name: str, encryption: str) -> None:
    top = make_root(host, name)
    options = {"encryption": "off"} if encryption == "plain" else {}
    host.prove_readable(top if encryption == "a root" else make(host, f"{name}/child", **options))


@pytest.mark.any_binding
def test_a_locked_filesystem_cannot_be_read(host: Host, name: str) -> None:
    locked = make_locked_root(host, name)
    with fails():
        host.prove_readable(locked)


def test_the_kernels_error_number_is_told_where_it_is_known(host: Host, binding: str, name: str) -> None:
    locked = make_locked_root(host, name)
    with pytest.raises(CallFailed) as caught:
        host.load_key(locked, OTHER_KEY)

    # The zfs command says in words what happened.
    assert caught.value.errno == (None if binding == "cli" else errno.EACCES)
