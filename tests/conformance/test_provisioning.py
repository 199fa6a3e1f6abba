# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole plans of ``zfs_dataset_key``: what was brought about once is found as it should be the second time."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.test_property_values import (
    FILESYSTEM_VALUES,
    VOLUME_VALUES,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.whole_runs import provision
from ansible_collections.zfsfleet.encryption.tests.conformance.world import SMALL_POOL, World

pytestmark = pytest.mark.any_binding

PLACES = ("none", "legacy", "/nowhere/plain", "/nowhere/with space", "/nowhere/with\ttab", "/nowhere/with\nnewline")


def rounds(values: t.Mapping[str, tuple[t.Any, ...]]) -> list[dict[str, t.Any]]:
    """Return sets of properties in which every value of each property occurs."""
    longest = max(map(len, values.values()))
    return [{prop: each[n] for prop, each in values.items() if n < len(each)} for n in range(longest)]


@pytest.fixture
def tree(host: Host, small_name: str) -> t.Iterator[str]:
    """A plain filesystem that goes away with what lies below it, so that reading the small pool stays quick."""
    provision(host, {"name": small_name, "encryption": "off", "properties": {"canmount": "off"}})
    yield small_name
    for dataset in reversed(list(host.datasets([SMALL_POOL]).at_or_below(small_name))):
        host.destroy(dataset.name)


def test_every_value_of_a_new_filesystem_is_found_again(host: Host, tree: str) -> None:
    values = {**FILESYSTEM_VALUES, "quota": (20971520, 0, "20M", "1.5G"), "atime": (True, False), "canmount": ("off",)}
    task = [
        {"name": f"{tree}/{n}", "properties": {"canmount": "noauto", **properties}}
        for n, properties in enumerate(rounds(values))
    ]

    assert {action for _dataset, action in provision(host, *task, encryption="off")} == {"create"}
    assert provision(host, *task, encryption="off") == []


def test_every_value_that_a_filesystem_gets_later_is_found_again(host: Host, tree: str) -> None:
    for properties in rounds({**FILESYSTEM_VALUES, "mountpoint": PLACES}):
        task = {"name": tree, "encryption": "off", "properties": properties}
        provision(host, task)

        assert provision(host, task) == []


def test_every_value_of_a_volume_is_found_again(host: Host, tree: str) -> None:
    values = {**VOLUME_VALUES, "volblocksize": ("4K", "16384")}
    sizes = ("1M", "1MiB", "1.5M", "1000001", 1048576, "2097152")
    task: list[dict[str, t.Any]] = [
        *({"name": f"{tree}/p{n}", "volsize": "1M", "properties": each} for n, each in enumerate(rounds(values))),
        *({"name": f"{tree}/s{n}", "volsize": str(size), "sparse": True} for n, size in enumerate(sizes)),
        {"name": f"{tree}/thick", "volsize": "1M", "sparse": False},
    ]
    provision(host, *task, encryption="off")

    assert provision(host, *task, encryption="off") == []


def test_volumes_can_be_used_as_soon_as_the_task_that_makes_them_is_done(host: Host, world: World, tree: str) -> None:
    names = [f"{tree}/v{n}" for n in range(8)]
    provision(host, *({"name": name, "volsize": "1M", "sparse": True} for name in names), encryption="off")

    assert [name for name in names if not world.has_node(name)] == []


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (False, False)])
def test_a_volume_grows_sparse_or_reserved(host: Host, tree: str, before: bool, after: bool) -> None:
    volume = {"name": f"{tree}/v", "encryption": "off"}
    provision(host, {**volume, "volsize": "1M", "sparse": before})
    larger = {**volume, "volsize": "2000001", "sparse": after}

    assert provision(host, larger) == [(f"{tree}/v", "set_properties")]
    assert provision(host, larger) == []
    reserved = host.datasets([SMALL_POOL], ["refreservation"]).datasets[f"{tree}/v"].number("refreservation")
    assert (reserved == 0) is after


def test_what_is_given_back_is_found_again(host: Host, tree: str) -> None:
    own = {"compression": "lz4", "org:note": "own", "mountpoint": "/nowhere/own", "atime": False}
    provision(host, {"name": f"{tree}/a", "properties": {**own, "canmount": "off"}}, encryption="off")
    task = {"name": f"{tree}/a", "properties": dict.fromkeys(own, "inherit")}

    assert provision(host, task, encryption="off") == [(f"{tree}/a", "inherit_properties")]
    assert provision(host, task, encryption="off") == []


def test_what_a_task_changes_above_is_handed_down_before_it_is_compared(host: Host, tree: str) -> None:
    names = (f"{tree}/a", f"{tree}/a/b", f"{tree}/a/b/c")
    provision(host, *({"name": name, "properties": {"canmount": "off"}} for name in names), encryption="off")
    task = [
        {"name": names[0], "properties": {"compression": "gzip", "mountpoint": "/nowhere/x", "org:note": "1"}},
        {"name": names[1], "properties": {"mountpoint": "/nowhere/x/b", "org:note": "2"}},
        {"name": names[2], "properties": {"compression": "on", "mountpoint": "/nowhere/x/b/c", "org:note": "2"}},
    ]

    assert provision(host, *task, encryption="off") == [
        (names[0], "set_properties"),
        (names[1], "set_properties"),
        (names[2], "set_properties"),
    ]
    assert provision(host, *task, encryption="off") == []
