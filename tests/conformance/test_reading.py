# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading pools and datasets."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    PASSPHRASE,
    create,
    create_volume,
    make_root,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, SMALL_POOL, World


@pytest.mark.any_binding
def test_the_pool_is_listed(host: Host) -> None:
    pool = host.pools()[POOL]

    assert pool.guid.isdigit()
    assert (pool.name, pool.health, pool.readonly) == (POOL, "ONLINE", False)


@pytest.mark.any_binding
def test_a_pool_that_can_be_rewound_shows_it(host: Host, world: World) -> None:
    assert not host.pools()[SMALL_POOL].has_checkpoint
    with world.checkpointed(SMALL_POOL):
        assert host.pools()[SMALL_POOL].has_checkpoint
    assert not host.pools()[SMALL_POOL].has_checkpoint


@pytest.mark.any_binding
def test_one_read_shows_filesystems_and_volumes_but_no_snapshots(host: Host, world: World, small_name: str) -> None:
    create(host, small_name)
    create_volume(host, f"{small_name}/volume")
    world.clone(small_name, f"{small_name}/clone")
    found = [dataset.name for dataset in host.datasets([SMALL_POOL]).at_or_below(small_name)]

    assert found == [small_name, f"{small_name}/clone", f"{small_name}/volume"]


@pytest.mark.any_binding
def test_a_batch_read_and_a_single_read_agree(host: Host, small_name: str) -> None:
    made = make_root(host, small_name, PASSPHRASE, "passphrase")

    assert host.datasets([SMALL_POOL]).datasets[small_name] == made


@pytest.mark.any_binding
def test_a_clone_has_its_origins_root_and_master_key(host: Host, world: World, name: str) -> None:
    origin = make_root(host, name)
    world.clone(name, f"{name}-clone")
    clone = read(host, f"{name}-clone")

    assert clone.is_clone
    assert clone.value("origin").startswith(f"{name}@")
    assert clone.encryption_root == name
    assert clone.value("keyguid") == origin.value("keyguid")
    assert clone.properties["keylocation"] == Property("none", "default")


@pytest.mark.any_binding
def test_no_pools_no_datasets(host: Host) -> None:
    assert host.datasets([]).datasets == {}


@pytest.mark.any_binding
def test_a_missing_pool_is_refused(host: Host) -> None:
    with pytest.raises(Refused):
        host.datasets(["absent"])


@pytest.mark.any_binding
def test_a_property_that_does_not_exist_is_refused(host: Host) -> None:
    with pytest.raises(Refused, match="OpenZFS has no property nonsense"):
        host.datasets([SMALL_POOL], ["nonsense"])


@pytest.mark.any_binding
def test_a_missing_dataset_is_none(host: Host, name: str) -> None:
    assert host.dataset(name) is None


def test_the_binding_is_named(host: Host, binding: str) -> None:
    named = host.binding()

    assert named.name == ("pyzfs" if binding == "fake" else binding)
    assert named.openzfs.startswith("zfs-")
