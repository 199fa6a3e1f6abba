# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A creation that fails when something of it was made already leaves nothing behind, and can be repeated."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.tests.conformance.accidents import creation_killed, nowhere_to_mount
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    create_root,
    create_volume,
    fails,
    make,
    opens,
    read,
    root_properties,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import creation, make_files, striped
from ansible_collections.zfsfleet.encryption.tests.conformance.whole_runs import provision, try_to_provision

pytestmark = pytest.mark.any_binding

ROOT = root_properties("hex")
LARGER_THAN_ANY_POOL = "8P"


@pytest.mark.parametrize(
    ("wanted", "size", "made"),
    [
        pytest.param(ROOT, None, True, id="root"),
        pytest.param(ROOT, None, False, id="root that was not begun"),
        pytest.param({}, None, True, id="child"),
        pytest.param({}, "1M", True, id="volume"),
    ],
)
def test_a_creation_that_is_killed_leaves_nothing_behind(
    host: Host, name: str, wanted: t.Mapping[str, str], size: str | None, made: bool
) -> None:
    create_root(host, name)
    wish = Creation(f"{name}/new", wanted, size, sparse=True, key=KEY if wanted == ROOT else None)
    with creation_killed(host, wish.name, made=made), fails():
        host.create(wish)

    assert host.dataset(wish.name) is None
    host.create(wish)
    assert host.dataset(wish.name) is not None


def test_what_somebody_else_had_made_stays_when_a_creation_is_killed(host: Host, binding: str, name: str) -> None:
    guid = make(host, name).value("guid")
    if binding != "fake":
        time.sleep(3)  # until it is certain that this creation did not make it
    with creation_killed(host, name, made=True), fails():
        host.create(Creation(name, {}))

    assert read(host, name).value("guid") == guid


def test_a_creation_that_is_killed_leaves_no_pool_and_blank_files(host: Host, pool: str, place: str) -> None:
    files = make_files(host, place, 1)
    with creation_killed(host, pool, made=True), fails():
        host.create_pool(creation(pool, striped(*files)))

    assert pool not in host.pools()
    assert host.device(files[0]).holds == ()
    host.create_pool(creation(pool, striped(*files)))


@pytest.mark.parametrize(
    ("keyed", "properties", "size"),
    [
        pytest.param(True, {"reservation": "8M"}, None, id="root with a reservation"),
        pytest.param(False, {"refreservation": "8M"}, None, id="child with a reservation"),
        pytest.param(True, {}, "8M", id="volume with a key"),
        pytest.param(False, {}, "8M", id="volume that inherits"),
    ],
)
def test_what_a_quota_has_no_room_for_leaves_nothing_behind(
    host: Host, name: str, keyed: bool, properties: t.Mapping[str, str], size: str | None
) -> None:
    create_root(host, name, quota="5M")
    wanted = {**(ROOT if keyed else {}), **properties}
    with fails():
        host.create(Creation(f"{name}/new", wanted, size, key=KEY if keyed else None))

    assert host.dataset(f"{name}/new") is None


def test_a_volume_that_the_pool_has_no_room_for_leaves_nothing_behind(host: Host, name: str) -> None:
    with fails():
        create_volume(host, name, LARGER_THAN_ANY_POOL, sparse=False, key=KEY)

    assert host.dataset(name) is None


def test_what_cannot_be_mounted_is_not_left_behind_and_its_generated_key_serves_the_next_run(
    host: Host, directory: str, name: str
) -> None:
    path = f"{directory}-{name.rpartition('/')[2]}.key"
    task = {"name": name, "key_file": path, "generate_key": True}
    with nowhere_to_mount(host, name) as mountpoint:
        outcome = try_to_provision(host, {**task, "properties": {"mountpoint": mountpoint}})

    assert outcome.failures[name].reason == "mount_failed"
    assert host.dataset(name) is None
    generated = host.read_key_file(path)
    assert provision(host, task) == [(name, "create"), (name, "mount")]
    assert host.read_key_file(path) == generated


def test_one_of_many_that_fails_leaves_nothing_and_the_others_whole(host: Host, name: str) -> None:
    """What lies above and beside it was made, is unlocked and mounted, and the next run makes only what is missing."""
    task: list[dict[str, t.Any]] = [
        {"name": name, "key": "1a" * 32, "properties": {"quota": "20M"}},
        {"name": f"{name}/v", "state": "inherited", "volsize": "64M", "sparse": False},
        {"name": f"{name}/v2", "key": "2b" * 32, "volsize": "64M", "sparse": False},
        {"name": f"{name}/child", "state": "inherited"},
    ]
    outcome = try_to_provision(host, *task)

    assert outcome.failures.keys() == {f"{name}/v", f"{name}/v2"}
    assert host.dataset(f"{name}/v") is None
    assert host.dataset(f"{name}/v2") is None
    assert read(host, name).is_mounted
    assert read(host, f"{name}/child").is_mounted
    assert opens(host, name, KEY)

    task[1:3] = [{**entry, "volsize": "1M"} for entry in task[1:3]]
    assert provision(host, *task) == [(f"{name}/v", "create"), (f"{name}/v2", "create")]
