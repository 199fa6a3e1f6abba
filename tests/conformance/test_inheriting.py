# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving up a key for the parent's."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    create,
    create_root,
    fails,
    make,
    make_root,
    opens,
    other_key_of,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_a_root_inherits_its_parents_key(host: Host, name: str, keyformat: str) -> None:
    parent = make_root(host, name)
    before = make_root(host, f"{name}/child", other_key_of(keyformat), keyformat)
    host.inherit_key(before.name)

    after = read(host, before.name)
    assert after.encryption_root == name
    assert after.properties["keylocation"] == Property("none", "default")
    assert after.keyformat == "hex"
    assert (after.value("pbkdf2salt"), after.value("pbkdf2iters")) == ("0", "0")
    assert after.value("keyguid") == before.value("keyguid")
    host.unload_key(name)
    assert not read(host, before.name).is_key_loaded
    host.load_key(parent, KEY)
    host.mount(before.name)


@pytest.mark.any_binding
def test_what_inherited_from_it_follows(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    create_root(host, f"{name}/child", OTHER_KEY)
    create(host, f"{name}/child/deeper")
    world.clone(f"{name}/child", f"{name}-clone")
    create(host, f"{name}-clone/child")
    host.inherit_key(f"{name}/child")

    for member in (f"{name}/child/deeper", f"{name}-clone", f"{name}-clone/child"):
        assert read(host, member).encryption_root == name


@pytest.mark.any_binding
def test_the_key_comes_from_the_parents_root(host: Host, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/between")
    create_root(host, f"{name}/between/child", OTHER_KEY)
    host.inherit_key(f"{name}/between/child")

    assert read(host, f"{name}/between/child").encryption_root == name


@pytest.mark.parametrize("parent", ["plain", "unencrypted below a root"])
def test_there_is_nothing_to_inherit_below_a_plain_parent(host: Host, name: str, parent: str) -> None:
    create(host, name) if parent == "plain" else create_root(host, name)
    above = make(host, f"{name}/above", encryption="off").name
    create_root(host, f"{above}/root", OTHER_KEY)
    with fails():
        host.inherit_key(f"{above}/root")

    assert opens(host, f"{above}/root", OTHER_KEY)


def test_only_a_root_can_inherit(host: Host, name: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child")
    create(host, f"{name}/plain", encryption="off")
    for other in ("child", "plain", "missing"):
        with fails():
            host.inherit_key(f"{name}/{other}")


@pytest.mark.parametrize("locked", ["the parent", "the root itself"])
def test_both_keys_must_be_loaded(host: Host, name: str, locked: str) -> None:
    create_root(host, name)
    create_root(host, f"{name}/child", OTHER_KEY)
    host.unload_key(name if locked == "the parent" else f"{name}/child")
    with fails():
        host.inherit_key(f"{name}/child")

    assert opens(host, f"{name}/child", OTHER_KEY)


def test_a_clone_cannot_inherit(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    world.clone(name, f"{name}/clone")
    with fails():
        host.inherit_key(f"{name}/clone")
