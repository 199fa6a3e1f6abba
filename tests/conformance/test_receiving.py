# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replica shows of the stream that it receives, and of those that it received."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    THIRD_KEY,
    change,
    create,
    create_root,
    fails,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.fixture
def source(host: Host, name: str) -> str:
    create_root(host, f"{name}-source")
    host.mount(f"{name}-source")
    return f"{name}-source"


def token_of(host: Host, name: str) -> str:
    return read(host, name).value("receive_resume_token")


def test_what_rests_does_not_receive(host: Host, world: World, source: str, name: str) -> None:
    world.replicate(source, name)

    assert host.receiving([source, name, f"{name}-missing"]) == frozenset()
    assert host.receiving([]) == frozenset()


def test_a_running_first_receive_shows(host: Host, world: World, source: str, name: str) -> None:
    with world.receiving(source, name):
        assert read(host, name).is_half_received
        assert not read(host, source).is_half_received
        assert host.receiving([source, name]) == frozenset()
        assert token_of(host, name) == "-"

    assert host.dataset(name) is None


def test_a_running_increment_shows(host: Host, world: World, source: str, name: str) -> None:
    world.replicate(source, name)
    with world.receiving(source, name):
        assert host.receiving([source, name]) == {name}
        assert not read(host, name).is_half_received

    assert host.receiving([source, name]) == frozenset()


@pytest.mark.parametrize("what", ["the first", "an increment"])
def test_a_stream_that_broke_off_shows_and_leaves_a_token(
    host: Host, world: World, source: str, name: str, what: str
) -> None:
    if what == "an increment":
        world.replicate(source, name)
    world.break_off(source, name)

    assert host.receiving([source, name]) == ({name} if what == "an increment" else frozenset())
    assert read(host, name).is_half_received == (what == "the first")
    assert token_of(host, name) != "-"
    world.resume(name)
    assert host.receiving([name]) == frozenset()
    assert not read(host, name).is_half_received
    assert token_of(host, name) == "-"


def test_what_is_half_received_takes_its_key_and_cannot_be_read(
    host: Host, world: World, source: str, name: str
) -> None:
    world.break_off(source, name)
    half = read(host, name)
    assert (half.is_mounted_by_default, half.can_be_read) == (False, False)
    host.load_key(half, KEY)

    with fails():
        host.prove_readable(read(host, name))
    with fails("mount_failed"):
        host.mount(name)
    world.resume(name)
    assert read(host, name).can_be_read
    host.prove_readable(read(host, name))


def test_what_is_half_received_takes_a_new_mountpoint_and_stays_unmounted(
    host: Host, world: World, directory: str, source: str, name: str
) -> None:
    create(host, name)
    world.break_off(source, f"{name}/half")
    host.load_key(read(host, f"{name}/half"), KEY)
    host.set_properties(name, {"mountpoint": f"{directory}/moved-{name.rpartition('/')[2]}"})

    assert read(host, name).is_mounted
    assert not read(host, f"{name}/half").is_mounted


def test_a_key_that_is_changed_meanwhile_is_the_senders_again_at_the_end(
    host: Host, world: World, source: str, name: str
) -> None:
    """Why nothing that receives is re-keyed: the call succeeds, the key verifies, and then it opens nothing."""
    world.replicate(source, name)
    world.break_off(source, name)
    host.load_key(read(host, name), KEY)
    change(host, name, OTHER_KEY)
    assert opens(host, name, OTHER_KEY)
    world.resume(name)

    assert opens(host, name, KEY)
    assert not opens(host, name, OTHER_KEY)


def test_an_increment_leaves_a_loaded_key_that_opens_nothing(host: Host, world: World, source: str, name: str) -> None:
    world.replicate(source, name)
    host.load_key(read(host, name), KEY)
    change(host, source, THIRD_KEY)
    world.replicate(source, name, properties=False)

    assert read(host, name).is_key_loaded
    assert opens(host, name, THIRD_KEY)
    with fails():
        host.prove_readable(read(host, name))
    host.unload_key(name)
    host.load_key(read(host, name), THIRD_KEY)
    host.prove_readable(read(host, name))


def test_reading_a_replica_leaves_it_as_it_was_received(host: Host, world: World, source: str, name: str) -> None:
    world.replicate(source, name)
    host.load_key(read(host, name), KEY)
    host.prove_readable(read(host, name))

    world.replicate(source, name)  # which is not forced, and refused where anything was written
    host.prove_readable(read(host, name))


def test_a_snapshot_that_was_received_is_known_for_one(host: Host, world: World, source: str, name: str) -> None:
    world.replicate(source, name)
    received = read(host, name).last_snapshot

    assert received is not None
    assert read(host, source).last_snapshot is not None
    assert host.received_snapshots([source, name, f"{name}-missing"]) == {name: received}


def test_what_has_no_snapshots_shows_none(host: Host, name: str) -> None:
    create(host, name)
    assert read(host, name).last_snapshot is None
    assert host.received_snapshots([name]) == {}


def test_a_clone_has_none_of_its_origins_snapshots(host: Host, world: World, source: str, name: str) -> None:
    world.clone(source, name)
    assert read(host, name).last_snapshot is None
    assert host.received_snapshots([name]) == {}
