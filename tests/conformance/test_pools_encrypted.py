# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools whose root dataset is an encryption root: made, exported and imported."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    create,
    create_root,
    key_of,
    opens,
    read,
    root_properties,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import (
    bring_back,
    create_encrypted_pool,
    creation,
    export,
    make_files,
    striped,
)

pytestmark = pytest.mark.any_binding


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_an_encrypted_root_is_unlocked_mounted_and_opens_with_its_key_only(
    host: Host, pool: str, place: str, keyformat: str
) -> None:
    files = make_files(host, place, 1)
    location = f"file://{place}.key"
    host.create_pool(creation(pool, striped(*files), root_properties(keyformat), key_of(keyformat), location))

    root = read(host, pool)
    assert root.is_encryption_root
    assert (root.keyformat, root.value("keylocation")) == (keyformat, location)
    assert root.is_key_loaded
    assert root.is_mounted
    assert opens(host, pool, key_of(keyformat))
    if keyformat == "hex":
        assert not opens(host, pool, OTHER_KEY)
        assert host.pool_states()[pool].properties["feature@encryption"] == "active"


def test_an_imported_pool_is_not_mounted_locked_and_has_what_it_had(host: Host, pool: str, place: str) -> None:
    create_encrypted_pool(host, pool, place)
    create(host, f"{pool}/child")
    create_root(host, f"{pool}/own", OTHER_KEY)
    before = host.pool_states()[pool]
    assert read(host, pool).is_mounted
    bring_back(host, export(host, pool, place), place)

    assert host.pool_states()[pool].topology == before.topology
    tree = host.datasets([pool])
    assert [each.is_mounted for each in tree.at_or_below(pool)] == [False, False, False]
    assert [each.is_key_loaded for each in tree.at_or_below(pool)] == [False, False, False]
    assert opens(host, pool, KEY)
    assert opens(host, f"{pool}/own", OTHER_KEY)
    assert not opens(host, pool, OTHER_KEY)
    assert host.users([pool]) == ()


def test_what_was_imported_can_be_unlocked_and_mounted(host: Host, pool: str, place: str) -> None:
    create_encrypted_pool(host, pool, place)
    bring_back(host, export(host, pool, place), place)
    host.load_key(read(host, pool), KEY)
    host.mount(pool)

    assert read(host, pool).is_mounted


def test_what_was_imported_readonly_can_be_unlocked_read_mounted_and_locked(host: Host, pool: str, place: str) -> None:
    create_encrypted_pool(host, pool, place)
    create_root(host, f"{pool}/own", OTHER_KEY, canmount="noauto")
    bring_back(host, export(host, pool, place), place, readonly=True)
    host.load_key(read(host, pool), KEY)
    host.load_key(read(host, f"{pool}/own"), OTHER_KEY)
    host.prove_readable(read(host, f"{pool}/own"))
    host.mount(pool)
    assert read(host, pool).is_mounted

    host.unmount(pool)
    for root in (f"{pool}/own", pool):
        host.unload_key(root)
    assert not read(host, pool).is_key_loaded


def test_a_key_file_does_not_unlock_what_is_imported(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 1)
    host.write_key_file(f"{place}.key", KEY.text("hex"))
    host.create_pool(creation(pool, striped(*files), root_properties("hex"), KEY, f"file://{place}.key"))
    bring_back(host, export(host, pool, place), place)

    assert not read(host, pool).is_key_loaded
