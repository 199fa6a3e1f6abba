# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenZFS makes of values as people write them, what volumes reserve, and what is given back to a parent."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _properties
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    create,
    create_root,
    create_volume,
    fails,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import SMALL_POOL, World

pytestmark = pytest.mark.any_binding

USER_PROPERTY = "zfsfleet.encryption:key_id"

FILESYSTEM_VALUES = {
    "quota": ("20M", "20MB", "20MiB", "20m", "0.02G", ".02G", "20.M", "20971520B", "020M", "20971520.0", "none"),
    "refquota": ("1.3M", "none"),
    "reservation": ("1M", "0", "none"),
    "refreservation": ("1M", "none"),
    "filesystem_limit": ("0", "5", "none"),
    "snapshot_limit": ("5", "none"),
    "recordsize": ("512", "4K", "128k", "131072", "1M"),
    "special_small_blocks": ("0", "32K"),
    "compression": ("on", "off", "lz4", "gzip", "gzip-6", "gzip-9", "zstd", "zstd-3", "zstd-fast", "zstd-fast-1"),
    "checksum": ("on", "sha256", "sha512", "skein", "edonr", "fletcher4"),
    "dedup": ("verify", "sha256,verify", "off"),
    "copies": ("1", "2"),
    "acltype": ("posix", "posixacl", "noacl", "off"),
    "aclinherit": ("secure", "restricted", "passthrough-x"),
    "aclmode": ("groupmask", "discard"),
    "dnodesize": ("legacy", "auto", "1k", "16k"),
    "redundant_metadata": ("most", "all"),
    "snapdir": ("visible", "hidden"),
    "sync": ("always", "disabled", "standard"),
    "primarycache": ("none", "metadata", "all"),
    "logbias": ("throughput", "latency"),
    "atime": ("off", "on"),
    "overlay": ("off", "on"),
    "readonly": ("on", "off"),
    "sharenfs": ("off",),
    USER_PROPERTY: ("two  words", "a=b,c=d", "1K", "none", "inherit me", "-", ""),
}
VOLUME_VALUES = {
    "volmode": ("geom", "full", "dev", "none", "default"),
    "snapdev": ("visible", "hidden"),
    "checksum": ("sha256",),
    "refreservation": ("1M", "0", "none"),
}


def shown(host: Host, name: str, prop: str) -> Property:
    return host.datasets([SMALL_POOL], [prop]).datasets[name].properties[prop]


@pytest.fixture
def filesystem(host: Host, small_name: str) -> t.Iterator[str]:
    """A filesystem that is never mounted and goes away, so that reading the small pool stays quick."""
    create(host, small_name, canmount="off")
    yield small_name
    host.destroy(small_name)


@pytest.fixture
def volume(host: Host, small_name: str) -> t.Iterator[str]:
    create_volume(host, small_name)
    yield small_name
    host.destroy(small_name)


@pytest.mark.parametrize("prop", FILESYSTEM_VALUES)
def test_values_of_a_filesystem_are_shown_as_they_are_compared(host: Host, filesystem: str, prop: str) -> None:
    for value in FILESYSTEM_VALUES[prop]:
        host.set_properties(filesystem, {prop: value})

        assert _properties.is_same(prop, value, shown(host, filesystem, prop).value), value


@pytest.mark.parametrize("prop", VOLUME_VALUES)
def test_values_of_a_volume_are_shown_as_they_are_compared(host: Host, volume: str, prop: str) -> None:
    for value in VOLUME_VALUES[prop]:
        host.set_properties(volume, {prop: value})

        assert _properties.is_same(prop, value, shown(host, volume, prop).value), value


SENSELESS = {
    "quota": ("0", "10iB", "10BB", "0x10", "1e9", "10 M", "-1"),
    "refquota": ("0",),
    "reservation": ("auto",),
    "recordsize": ("none",),
    "dnodesize": ("1K",),
    "compression": ("ZSTD",),
    "mountpoint": ("not/absolute",),
    "volblocksize": ("16K",),
    "volsize": ("16K",),
}


@pytest.mark.parametrize("prop", SENSELESS)
def test_values_that_make_no_sense_are_refused(host: Host, filesystem: str, prop: str) -> None:
    for value in SENSELESS[prop]:
        with fails():
            host.set_properties(filesystem, {prop: value})


def test_a_volume_has_no_property_of_filesystems(host: Host, volume: str) -> None:
    values = {"recordsize": "4K", "quota": "1M", "mountpoint": "/x", "atime": "on", "xattr": "on", "snapdir": "hidden"}
    found = host.datasets([SMALL_POOL], values).datasets[volume]
    for prop, value in values.items():
        assert found.properties[prop] == Property("-")
        assert not _properties.applies(prop, to_volume=True)
        with fails():
            host.set_properties(volume, {prop: value})


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "ends with one\n", f"x\n{SMALL_POOL}\tguid\t1\t-", "\t", "\n"])
def test_tabs_and_newlines_in_a_value_move_nothing_else(host: Host, small_name: str, value: str) -> None:
    create_root(host, small_name, canmount="off")
    create(host, f"{small_name}/child", canmount="off")
    before = host.datasets([SMALL_POOL]).datasets
    host.set_properties(small_name, {USER_PROPERTY: value})
    after = host.datasets([SMALL_POOL]).datasets

    assert after[small_name].properties[USER_PROPERTY] == Property(value, "local")
    assert read(host, small_name).properties[USER_PROPERTY] == Property(value, "local")
    assert after[f"{small_name}/child"].properties[USER_PROPERTY].value == value
    assert before.keys() == after.keys()
    for name, dataset in before.items():
        assert {**after[name].properties, USER_PROPERTY: None} == {**dataset.properties, USER_PROPERTY: None}


@pytest.mark.parametrize("path", ["with\ttab", "with\nnewline", "with space ", "a//b", "trailing/"])
def test_a_mountpoint_is_any_path(host: Host, directory: str, small_name: str, path: str) -> None:
    place = f"{directory}/{small_name.rpartition('/')[2]}/{path}"
    create(host, small_name, canmount="noauto")
    host.set_properties(small_name, {"mountpoint": place})

    assert read(host, small_name).properties["mountpoint"] == Property(place, "local")
    assert host.datasets([SMALL_POOL]).datasets[small_name].value("mountpoint") == place


def test_what_is_inherited_is_the_parents_again(host: Host, small_name: str) -> None:
    create(host, small_name, canmount="off", compression="gzip", **{USER_PROPERTY: "above"})
    child = f"{small_name}/child"
    create(host, child, canmount="off", compression="lz4", atime="off", **{USER_PROPERTY: "own"})
    host.inherit_properties(child, ["compression", USER_PROPERTY, "atime"])

    assert shown(host, child, "compression") == Property("gzip", f"inherited from {small_name}")
    assert shown(host, child, USER_PROPERTY) == Property("above", f"inherited from {small_name}")
    assert shown(host, child, "atime") == Property("on", "default")


def test_a_user_property_that_nobody_above_has_is_gone(host: Host, small_name: str) -> None:
    create(host, small_name, canmount="off", **{USER_PROPERTY: "own"})
    for _again in range(2):
        host.inherit_properties(small_name, [USER_PROPERTY])

        assert shown(host, small_name, USER_PROPERTY) == Property("-", "-")


def test_what_is_not_inherited_cannot_be_given_back(host: Host, filesystem: str) -> None:
    for prop in _properties.NOT_INHERITED.keys() - {"volthreading", "version"}:
        with fails():
            host.inherit_properties(filesystem, [prop])


def test_a_received_value_is_given_up_too(host: Host, world: World, small_name: str) -> None:
    create_root(host, small_name, compression="gzip", canmount="off")
    world.replicate(small_name, f"{small_name}copy")
    assert shown(host, f"{small_name}copy", "compression") == Property("gzip", "received")
    host.inherit_properties(f"{small_name}copy", ["compression"])

    default = "on" if world.version >= (2, 2) else "off"
    assert shown(host, f"{small_name}copy", "compression") == Property(default, "default")


@pytest.mark.parametrize("canmount", ["on", "noauto"])
def test_a_mountpoint_that_is_given_back_mounts_what_mounts_by_itself(
    host: Host, directory: str, name: str, canmount: str
) -> None:
    last = name.rpartition("/")[2]
    create(host, name, canmount=canmount, mountpoint=f"{directory}/moved-{last}")
    host.inherit_properties(name, ["mountpoint"])

    after = read(host, name)
    assert after.value("mountpoint") == f"{directory}/{last}"
    assert after.is_mounted is (canmount == "on")


def test_a_reservation_follows_the_size_of_a_volume(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="1M", sparse=False)
    host.set_properties(small_name, {"volsize": "2M"})

    assert int(shown(host, small_name, "refreservation").value) >= 2 * 2**20


def test_a_sparse_volume_stays_sparse_as_it_grows(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="1M", sparse=True)
    host.set_properties(small_name, {"volsize": "2M"})

    assert shown(host, small_name, "refreservation").value == "0"


def test_a_reservation_of_ones_own_stays_as_a_volume_grows(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="1M", sparse=False)
    host.set_properties(small_name, {"refreservation": "512K"})
    host.set_properties(small_name, {"volsize": "2M"})

    assert shown(host, small_name, "refreservation").value == "524288"


@pytest.mark.parametrize("together", [False, True])
def test_an_automatic_reservation_covers_the_volume(host: Host, small_name: str, together: bool) -> None:
    create_volume(host, small_name, size="1M", sparse=True)
    host.set_properties(small_name, {**({"volsize": "2M"} if together else {}), "refreservation": "auto"})

    size = (2 if together else 1) * 2**20
    assert shown(host, small_name, "volsize").value == str(size)
    assert int(shown(host, small_name, "refreservation").value) >= size


def test_a_volume_is_cut_off_without_a_word(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="2M")
    host.set_properties(small_name, {"volsize": "1M"})

    assert shown(host, small_name, "volsize").value == str(2**20)


def test_a_new_size_is_a_multiple_of_the_blocks(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="1000001", volblocksize="16K")
    assert int(shown(host, small_name, "volsize").value) % 16384 == 0
    with fails():
        host.set_properties(small_name, {"volsize": "2000001"})


def test_a_locked_volume_does_not_grow(host: Host, small_name: str) -> None:
    create_volume(host, small_name, size="1M", key=KEY)
    host.unload_key(small_name)
    with fails():
        host.set_properties(small_name, {"volsize": "2M"})

    assert shown(host, small_name, "volsize").value == str(2**20)


@pytest.mark.parametrize("together", [{}, {"readonly": "off"}])
def test_nor_does_one_that_is_readonly_before_the_call(host: Host, small_name: str, together: dict[str, str]) -> None:
    create_volume(host, small_name, size="1M", readonly="on")
    with fails():
        host.set_properties(small_name, {**together, "volsize": "2M"})

    assert shown(host, small_name, "volsize").value == str(2**20)
