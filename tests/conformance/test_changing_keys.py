# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing wrapping keys."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host, KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    ITERATIONS,
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    OTHER_PASSPHRASE,
    PASSPHRASE,
    THIRD_KEY,
    change,
    create,
    create_locked_root,
    create_root,
    create_volume,
    fails,
    key_of,
    make,
    make_root,
    opens,
    other_key_of,
    read,
    source_of,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

WAYS = [pytest.param(old, new, id=f"{old}-to-{new}") for old in KEYFORMATS for new in KEYFORMATS]


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_the_new_key_opens_and_the_old_one_does_not(
    host: Host, other_binding: Host, name: str, old: str, new: str
) -> None:
    before = make_root(host, name, key_of(old), old)
    after = change(host, name, other_key_of(new), new)

    assert after.keyformat == new
    assert after.is_key_loaded
    assert after.number("pbkdf2iters") == (ITERATIONS if new == "passphrase" else 0)
    assert (after.number("pbkdf2salt") != 0) == (new == "passphrase")
    assert after.value("keyguid") == before.value("keyguid")
    for path in (host, other_binding):
        assert path.verify(after, other_key_of(new)).outcome == "opens"
        assert path.verify(after, key_of(old)).outcome == "wrong"


@pytest.mark.parametrize(("old", "new"), [("hex", "raw"), ("raw", "passphrase"), ("passphrase", "hex")])
def test_the_new_key_loads_again(host: Host, name: str, old: str, new: str) -> None:
    create_root(host, name, key_of(old), old)
    change(host, name, other_key_of(new), new)
    host.unload_key(name)
    host.load_key(read(host, name), other_key_of(new))

    assert read(host, name).is_key_loaded


def test_the_salt_is_new_at_every_change_even_to_the_same_passphrase(host: Host, name: str) -> None:
    salts = {make_root(host, name, PASSPHRASE, "passphrase").value("pbkdf2salt")}
    salts |= {change(host, name, PASSPHRASE, "passphrase").value("pbkdf2salt") for _again in range(2)}

    assert len(salts) == 3
    assert opens(host, name, PASSPHRASE)


def test_iterations_can_change(host: Host, name: str) -> None:
    create_root(host, name, PASSPHRASE, "passphrase")
    host.change_key(KeyChange(name, "passphrase", PASSPHRASE, "prompt", 111_111))

    assert read(host, name).number("pbkdf2iters") == 111_111
    assert opens(host, name, PASSPHRASE)


def test_too_few_iterations_are_refused(host: Host, name: str) -> None:
    create_root(host, name, PASSPHRASE, "passphrase")
    with fails():
        host.change_key(KeyChange(name, "passphrase", OTHER_PASSPHRASE, "prompt", 99_999))

    assert opens(host, name, PASSPHRASE)


@pytest.mark.any_binding
def test_children_follow_and_roots_below_do_not(host: Host, name: str) -> None:
    create_root(host, name, PASSPHRASE, "passphrase")
    create(host, f"{name}/child")
    create(host, f"{name}/child/deeper")
    below = make_root(host, f"{name}/below", THIRD_KEY)
    after = change(host, name, OTHER_PASSPHRASE, "passphrase")

    for member in (f"{name}/child", f"{name}/child/deeper"):
        assert read(host, member).encryption_root == name
        assert read(host, member).value("pbkdf2salt") == after.value("pbkdf2salt")
    assert read(host, below.name) == below
    host.unload_key(name)
    host.load_key(after, OTHER_PASSPHRASE)
    host.mount(f"{name}/child/deeper")


@pytest.mark.any_binding
def test_a_clone_follows_its_origin(host: Host, world: World, name: str) -> None:
    create_root(host, name, PASSPHRASE, "passphrase")
    world.clone(name, f"{name}-clone")
    after = change(host, name, OTHER_PASSPHRASE, "passphrase")

    clone = read(host, f"{name}-clone")
    assert clone.encryption_root == name
    assert clone.value("pbkdf2salt") == after.value("pbkdf2salt")


@pytest.mark.any_binding
def test_a_child_of_a_clone_follows_the_origin(host: Host, world: World, name: str) -> None:
    create_root(host, name, PASSPHRASE, "passphrase")
    world.clone(name, f"{name}-clone")
    create(host, f"{name}-clone/child")
    after = change(host, name, OTHER_PASSPHRASE, "passphrase")

    assert read(host, f"{name}-clone/child").value("pbkdf2salt") == after.value("pbkdf2salt")


def test_a_child_becomes_a_root_with_its_own_children(host: Host, name: str) -> None:
    create_root(host, name)
    child = make(host, f"{name}/child")
    create(host, f"{name}/child/deeper")
    create(host, f"{name}/sibling")
    after = change(host, f"{name}/child", OTHER_KEY)

    assert after.is_encryption_root
    assert after.value("keyguid") == child.value("keyguid")
    assert after.value("keylocation") == "prompt"
    assert source_of(host, after.name, "keylocation") == "local"
    assert read(host, f"{name}/child/deeper").encryption_root == after.name
    assert read(host, f"{name}/sibling").encryption_root == name
    assert opens(host, after.name, OTHER_KEY)
    assert opens(host, name, KEY)
    host.unload_key(name)
    assert read(host, after.name).is_key_loaded


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_keylocation_changes_with_the_key(host: Host, directory: str, name: str, keyformat: str) -> None:
    create_root(host, name)
    path = f"{directory}-{name.rpartition('/')[2]}.key"
    host.write_key_file(path, other_key_of(keyformat).text(keyformat))
    after = change(host, name, other_key_of(keyformat), keyformat, f"file://{path}")

    assert after.key_file == path
    assert opens(host, name, other_key_of(keyformat))
    back = change(host, name, KEY, "hex", "prompt")
    assert back.value("keylocation") == "prompt"


@pytest.mark.parametrize("content", [None, THIRD_KEY], ids=["absent", "of-another-key"])
def test_never_is_another_key_set_than_the_one_that_was_given(
    host: Host, directory: str, name: str, content: Key | None
) -> None:
    """One path needs no file and sets the key, the other reads the file and refuses; neither trusts it."""
    create_root(host, name)
    path = f"{directory}-{name.rpartition('/')[2]}.key"
    if content is not None:
        host.write_key_file(path, content.text("hex"))
    try:
        change(host, name, OTHER_KEY, "hex", f"file://{path}")
    except CallFailed:
        assert opens(host, name, KEY)
        assert read(host, name).value("keylocation") == "prompt"
    else:
        assert opens(host, name, OTHER_KEY)
    assert not opens(host, name, THIRD_KEY)


@pytest.mark.parametrize("keylocation", ["none", "file://not/absolute", "nonsense"])
def test_a_bad_keylocation_is_refused_and_the_key_stays(host: Host, name: str, keylocation: str) -> None:
    before = make_root(host, name)
    with fails():
        change(host, name, OTHER_KEY, "hex", keylocation)

    assert read(host, name) == before
    assert opens(host, name, KEY)


def test_a_locked_root_keeps_its_key(host: Host, name: str) -> None:
    create_locked_root(host, name)
    with fails():
        change(host, name, OTHER_KEY)

    assert opens(host, name, KEY)


@pytest.mark.parametrize("what", ["a clone", "a plain dataset", "missing"])
def test_a_key_change_needs_an_encrypted_dataset_that_is_no_clone(
    host: Host, world: World, name: str, what: str
) -> None:
    target = f"{name}-target"
    if what == "a clone":
        create_root(host, name)
        world.clone(name, target)
    elif what == "a plain dataset":
        create(host, target)
    with fails():
        change(host, target, OTHER_KEY)


def test_a_mounted_root_can_change_its_key(host: Host, name: str) -> None:
    create_root(host, name)
    host.mount(name)
    after = change(host, name, OTHER_KEY)

    assert after.is_mounted
    assert opens(host, name, OTHER_KEY)


def test_a_volume_can_change_its_key(host: Host, name: str) -> None:
    create_volume(host, name, key=KEY)
    change(host, name, OTHER_KEY)

    assert opens(host, name, OTHER_KEY)
