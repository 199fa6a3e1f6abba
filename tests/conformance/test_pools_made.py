# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating and destroying pools."""

from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import Topology, Vdev
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    create,
    fails,
    key_of,
    read,
    root_properties,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import (
    create_pool,
    creation,
    differences,
    make_files,
    mirrored,
    striped,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding

Shape = dict[str, list[tuple[str, int]]]
DRAID_SIZE = 128 * 1024 * 1024  # bytes


def shaped(shape: Shape, files: list[str]) -> Topology:
    """Deal files to vdevs in the order in which they are named."""
    left = iter(files)
    return Topology(
        **{
            kind: tuple(Vdev(type_, tuple(itertools.islice(left, count))) for type_, count in vdevs)
            for kind, vdevs in shape.items()
        }
    )


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"data": [("stripe", 1), ("stripe", 1)]}, id="stripe"),
        pytest.param({"data": [("mirror", 2), ("mirror", 2)]}, id="mirrors"),
        pytest.param({"data": [("raidz1", 3)]}, id="raidz1"),
        pytest.param({"data": [("raidz2", 4)]}, id="raidz2"),
        pytest.param({"data": [("raidz3", 5)]}, id="raidz3"),
        pytest.param(
            {
                "data": [("mirror", 2)],
                "special": [("mirror", 2)],
                "dedup": [("mirror", 2)],
                "log": [("stripe", 1), ("mirror", 2)],
                "cache": [("stripe", 1), ("stripe", 1)],
                "spares": [("stripe", 1), ("stripe", 1)],
            },
            id="every class",
        ),
    ],
)
def test_a_pool_shows_the_vdevs_that_it_was_made_of(host: Host, pool: str, place: str, shape: Shape) -> None:
    topology = shaped(shape, make_files(host, place, sum(count for vdevs in shape.values() for _type, count in vdevs)))
    assert host.rehearse_pool(creation(pool, topology)) is None
    host.create_pool(creation(pool, topology))

    assert host.pool_states()[pool].topology == topology


def test_a_draid_shows_its_groups_and_its_distributed_spares_are_no_disks(host: Host, pool: str, place: str) -> None:
    draid = Vdev("draid1", tuple(make_files(host, place, 5, DRAID_SIZE)), data_disks=2, spare_disks=1)
    host.create_pool(creation(pool, Topology(data=(draid,))))

    assert host.pool_states()[pool].topology == Topology(data=(draid,))


def test_a_draid_takes_as_many_data_disks_as_there_are(host: Host, pool: str, place: str) -> None:
    files = tuple(make_files(host, place, 5, DRAID_SIZE))
    host.create_pool(creation(pool, Topology(data=(Vdev("draid2", files),))))

    assert host.pool_states()[pool].topology == Topology(data=(Vdev("draid2", files, data_disks=3),))


def test_whole_disks_are_partitioned_and_still_the_same(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    topology = mirrored(*disks[:2])
    host.create_pool(creation(pool, topology, {"canmount": "off"}))

    assert host.pool_states()[pool].topology == mirrored(*(f"{disk}-part1" for disk in disks[:2]))
    assert differences(host, pool, topology) == ()
    assert differences(host, pool, mirrored(*map(host.real_path, disks[:2]))) == ()
    assert len(differences(host, pool, mirrored(disks[0], disks[2]))) == 2


def test_properties_of_pool_and_root_are_set(host: Host, pool: str, place: str) -> None:
    options = {"ashift": "12", "autotrim": "on", "comment": "of a test", "feature@edonr": "disabled"}
    files = make_files(host, place, 1)
    host.create_pool(
        creation(pool, striped(*files), {"atime": "off", "zfsfleet.encryption:x": "y"}, properties=options)
    )

    properties = host.pool_states()[pool].properties
    assert {name: properties[name] for name in options} == options
    assert properties["guid"] == host.pools()[pool].guid
    assert (properties["altroot"], properties["readonly"], properties["failmode"]) == ("-", "off", "wait")
    root = host.datasets([pool], ["atime", "zfsfleet.encryption:x"]).datasets[pool]
    assert (root.value("atime"), root.value("zfsfleet.encryption:x"), root.value("encryption")) == ("off", "y", "off")


def test_a_plain_root_is_mounted_and_takes_datasets(host: Host, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    assert read(host, pool).is_mounted

    create(host, f"{pool}/a")
    assert read(host, f"{pool}/a").value("mountpoint") == f"{place}.mounted/a"


@pytest.mark.parametrize(
    ("properties", "is_mounted"),
    [({"canmount": "off"}, False), ({"mountpoint": "none"}, False), ({"canmount": "noauto"}, True)],
    ids=["canmount=off", "mountpoint=none", "canmount=noauto"],
)
def test_a_root_is_mounted_once_if_it_can_be(
    host: Host, pool: str, place: str, properties: dict[str, str], is_mounted: bool
) -> None:
    create_pool(host, pool, place, properties)

    assert read(host, pool).is_mounted == is_mounted


def test_an_altroot_comes_before_all_mountpoints(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 1)
    host.create_pool(creation(pool, striped(*files), {"mountpoint": "/a"}, altroot=f"{place}.alt"))
    create(host, f"{pool}/b")
    create(host, f"{pool}/c", mountpoint="/c")

    assert host.pool_states()[pool].properties["altroot"] == f"{place}.alt"
    shown = [read(host, name).value("mountpoint") for name in (pool, f"{pool}/b", f"{pool}/c")]
    assert shown == [f"{place}.alt/a", f"{place}.alt/a/b", f"{place}.alt/c"]
    assert read(host, pool).is_mounted


FAILURES = [
    pytest.param({"properties": {"nonsense": "on"}}, id="unknown pool property"),
    pytest.param({"properties": {"ashift": "99"}}, id="bad pool property"),
    pytest.param({"root": {"nonsense": "on"}}, id="unknown property"),
    pytest.param({"root": {"canmount": "perhaps"}}, id="bad property"),
    pytest.param({"root": root_properties("raw"), "key": key_of("passphrase")}, id="no key for this keyformat"),
    pytest.param(
        {"root": root_properties("hex"), "key": KEY, "keylocation": "nowhere"}, id="bad keylocation, told last of all"
    ),
]


@pytest.mark.parametrize("wrong", FAILURES)
def test_a_failure_leaves_no_pool_and_blank_files(host: Host, pool: str, place: str, wrong: dict[str, t.Any]) -> None:
    files = make_files(host, place, 1)
    with fails():
        host.create_pool(creation(pool, striped(*files), **wrong))

    assert pool not in host.pools()
    assert host.device(files[0]).holds == ()
    host.create_pool(creation(pool, striped(*files)))


@pytest.mark.parametrize("occupied_by", ["a file", "a directory with a file"])
def test_an_occupied_mountpoint_leaves_no_pool_and_blank_files(
    host: Host, world: World, pool: str, place: str, occupied_by: str
) -> None:
    files = make_files(host, place, 1)
    world.put_file(f"{place}.mounted" if occupied_by == "a file" else f"{place}.mounted/kept")
    with fails():
        host.create_pool(creation(pool, striped(*files)))

    assert pool not in host.pools()
    assert host.device(files[0]).holds == ()


def test_a_failure_leaves_blank_disks(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    with fails():
        host.create_pool(creation(pool, mirrored(*disks[:2]), {"canmount": "perhaps"}))

    assert [host.device(disk).holds for disk in disks[:2]] == [(), ()]


def test_an_occupied_mountpoint_leaves_blank_disks(
    host: Host, world: World, pool: str, place: str, disks: tuple[str, ...]
) -> None:
    world.put_file(f"{place}.mounted")
    with fails():
        host.create_pool(creation(pool, mirrored(*disks[:2]), {"mountpoint": f"{place}.mounted"}))

    assert pool not in host.pools()
    assert [host.device(disk).holds for disk in disks[:2]] == [(), ()]


def test_a_missing_disk_leaves_the_others_blank(host: Host, pool: str, place: str, disks: tuple[str, ...]) -> None:
    for missing in (f"{place}/missing", "/dev/disk/by-id/virtio-missing"):
        assert host.rehearse_pool(creation(pool, striped(disks[0], missing))) is not None
        with fails():
            host.create_pool(creation(pool, striped(disks[0], missing)))

    assert host.device(disks[0]).holds == ()


def test_a_pool_that_is_there_already_is_not_touched(host: Host, pool: str, place: str) -> None:
    create_pool(host, pool, place)
    guid = host.pools()[pool].guid
    free = f"{place}/1"
    host.make_file(free, 64 * 1024 * 1024)
    for topology in (striped(free), striped(f"{place}/0")):
        with fails():
            host.create_pool(creation(pool, topology, {"mountpoint": "none"}))

    assert host.pools()[pool].guid == guid
    assert host.device(f"{place}/0").holds != ()
    assert host.device(free).holds == ()


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"data": [("mirror", 2), ("stripe", 1)]}, id="mirror and disk"),
        pytest.param({"data": [("mirror", 2), ("mirror", 3)]}, id="mirrors of two and of three"),
        pytest.param({"data": [("raidz1", 3), ("raidz2", 4)]}, id="raidz of two parities"),
        pytest.param({"data": [("mirror", 2)], "special": [("stripe", 1)]}, id="special without redundancy"),
    ],
)
def test_mixed_redundancy_is_complained_of(host: Host, pool: str, place: str, shape: Shape) -> None:
    files = make_files(host, place, sum(count for vdevs in shape.values() for _type, count in vdevs))
    complaint = host.rehearse_pool(creation(pool, shaped(shape, files)))

    assert complaint is not None
    assert "use '-f'" in complaint
    assert "mismatched replication level" in complaint
    assert host.rehearse_pool(creation(pool, shaped(shape, files), force=True)) is None


def test_mixed_redundancy_takes_force(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 3)
    topology = Topology(data=(Vdev("mirror", (files[0], files[1])), Vdev("stripe", (files[2],))))
    with fails():
        host.create_pool(creation(pool, topology))
    assert [host.device(file).holds for file in files] == [(), (), ()]

    host.create_pool(creation(pool, topology, force=True))
    assert differences(host, pool, topology) == ()


@pytest.mark.parametrize("size", ["of different sizes", "files and devices"])
def test_unlike_disks_want_force(host: Host, pool: str, place: str, disks: tuple[str, ...], size: str) -> None:
    files = make_files(host, place, 1)
    if size == "of different sizes":
        host.make_file(f"{place}/1", 128 * 1024 * 1024)
    topology = mirrored(*files, f"{place}/1" if size == "of different sizes" else disks[0])
    complaint = host.rehearse_pool(creation(pool, topology))

    assert complaint is not None
    assert size in complaint
    assert host.rehearse_pool(creation(pool, topology, force=True)) is None


def test_a_rehearsal_changes_nothing(host: Host, pool: str, disks: tuple[str, ...]) -> None:
    assert host.rehearse_pool(creation(pool, mirrored(*disks[:2]))) is None

    assert pool not in host.pools()
    assert host.device(disks[0]).holds == ()


@pytest.mark.parametrize("force", [False, True])
def test_disks_of_another_pool_are_complained_of_even_by_force(
    host: Host, pool: str, place: str, disks: tuple[str, ...], force: bool
) -> None:
    host.create_pool(creation(pool, striped(disks[0]), {"canmount": "off"}))
    other = creation(f"{pool}b", striped(disks[0], disks[1]), force=force)

    assert host.rehearse_pool(other) is not None
    with fails():
        host.create_pool(other)
    assert host.device(disks[0]).in_use is not None
    assert host.device(disks[1]).holds == ()


def test_a_destroyed_pool_is_not_listed_and_its_disks_tell_of_it(host: Host, pool: str, place: str) -> None:
    files = create_pool(host, pool, place)
    host.destroy_pool(pool)

    assert pool not in host.pools()
    assert host.dataset(pool) is None
    assert host.importable_pools((place,)) == ()
    assert host.device(files[0]).holds == (f"a member of a destroyed ZFS pool {pool!r}",)


def test_a_pool_that_is_not_there_cannot_be_destroyed(host: Host, pool: str) -> None:
    with fails():
        host.destroy_pool(pool)
