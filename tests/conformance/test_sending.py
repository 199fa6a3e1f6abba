# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees that were sent raw, and what was sent decrypted."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create,
    create_root,
    fails,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.fixture
def mixed(host: Host, name: str) -> str:
    """A root with a child, a plain dataset with a root below it, and a root with a child."""
    create_root(host, name, mountpoint="none")
    create(host, f"{name}/child")
    create(host, f"{name}/plain", encryption="off")
    create_root(host, f"{name}/plain/root", OTHER_KEY)
    create_root(host, f"{name}/own", OTHER_KEY)
    create(host, f"{name}/own/child")
    return name


def test_a_tree_arrives_with_its_roots_and_what_inherits_from_them(host: Host, world: World, mixed: str) -> None:
    copy = f"{mixed}-copy"
    world.replicate_tree(mixed, copy)

    roots = {"": copy, "/child": copy, "/plain/root": f"{copy}/plain/root"}
    roots.update(dict.fromkeys(("/own", "/own/child"), f"{copy}/own"))
    for below, root in roots.items():
        arrived = read(host, copy + below)
        assert (arrived.encryption_root, arrived.is_key_loaded, arrived.is_mounted) == (root, False, False)
        assert arrived.value("keyguid") == read(host, mixed + below).value("keyguid")
    assert not read(host, f"{copy}/plain").is_encrypted
    assert opens(host, copy, KEY)
    assert opens(host, f"{copy}/own", OTHER_KEY)
    host.load_key(read(host, copy), KEY)
    assert read(host, f"{copy}/child").is_key_loaded


def test_a_child_that_is_sent_alone_arrives_as_a_root_with_the_key_of_its_root(
    host: Host, world: World, mixed: str
) -> None:
    world.replicate(f"{mixed}/child", f"{mixed}-alone")

    arrived = read(host, f"{mixed}-alone")
    assert arrived.is_encryption_root
    assert arrived.value("keylocation") == "prompt"
    host.load_key(arrived, KEY)
    host.prove_readable(read(host, arrived.name))


def test_what_was_plain_inherits_where_it_is_received_below_a_root(host: Host, world: World, mixed: str) -> None:
    create(host, f"{mixed}-plain", mountpoint="none")
    world.send_decrypted(f"{mixed}-plain", f"{mixed}/received")

    assert read(host, f"{mixed}/received").encryption_root == mixed


def test_nothing_is_received_decrypted_below_a_locked_root(host: Host, world: World, name: str) -> None:
    create(host, f"{name}-plain", mountpoint="none")
    create_root(host, name, mountpoint="none")
    host.unload_key(name)
    with fails():
        world.send_decrypted(f"{name}-plain", f"{name}/received")

    assert host.dataset(f"{name}/received") is None


def test_a_decrypted_copy_is_as_encrypted_as_its_new_parent(host: Host, world: World, mixed: str) -> None:
    world.send_decrypted(mixed, f"{mixed}-plain")
    world.send_decrypted(mixed, f"{mixed}/own/copy")

    assert not read(host, f"{mixed}-plain").is_encrypted
    copy = read(host, f"{mixed}/own/copy")
    assert copy.encryption_root == f"{mixed}/own"
    assert copy.value("keyguid") != read(host, mixed).value("keyguid")


def test_what_is_locked_is_not_sent_decrypted(host: Host, world: World, name: str) -> None:
    create_root(host, name, mountpoint="none")
    host.unload_key(name)
    with fails():
        world.send_decrypted(name, f"{name}-plain")
