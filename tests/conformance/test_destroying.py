# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying datasets."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create,
    create_root,
    create_volume,
    fails,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.mark.parametrize("state", ["loaded", "locked", "mounted"])
def test_a_root_can_be_destroyed(host: Host, name: str, state: str) -> None:
    create_root(host, name)
    if state == "locked":
        host.unload_key(name)
    if state == "mounted":
        host.mount(name)
    host.destroy(name)

    assert host.dataset(name) is None


def test_what_has_children_is_kept(host: Host, name: str) -> None:
    create(host, name)
    create(host, f"{name}/child")
    with fails():
        host.destroy(name)

    assert read(host, f"{name}/child")


def test_what_has_a_clone_is_kept(host: Host, world: World, name: str) -> None:
    create(host, name)
    world.clone(name, f"{name}-clone")
    with fails():
        host.destroy(name)

    host.destroy(f"{name}-clone")


@pytest.mark.parametrize("kind", ["a filesystem", "a volume"])
def test_what_has_a_snapshot_is_kept_and_shows_it(host: Host, world: World, name: str, kind: str) -> None:
    (create_volume if kind == "a volume" else create)(host, name)
    assert read(host, name).last_snapshot is None
    world.clone(name, f"{name}-clone")
    host.destroy(f"{name}-clone")
    with fails():
        host.destroy(name)

    assert read(host, name).last_snapshot == f"{name}@{name.rpartition('/')[2]}-clone"


def test_a_volume_is_destroyed_right_after_it_was_made(host: Host, name: str) -> None:
    """udev looks at a new volume, which keeps it busy for a moment, now and then."""
    for _time in range(5):
        create_volume(host, name)
        host.destroy(name)
        assert host.dataset(name) is None


@pytest.mark.parametrize("kind", ["a filesystem", "a volume"])
def test_what_is_in_use_is_kept(host: Host, world: World, name: str, kind: str) -> None:
    if kind == "a volume":
        create_volume(host, name)
    else:
        create(host, name)
        host.mount(name)
    with world.hold(name), fails("busy"):
        host.destroy(name)

    assert read(host, name)


def test_what_is_not_there_cannot_be_destroyed(host: Host, name: str) -> None:
    with fails():
        host.destroy(name)


def test_a_destroyed_roots_key_is_forgotten(host: Host, name: str) -> None:
    create_root(host, name)
    host.destroy(name)
    create_root(host, name, OTHER_KEY)

    assert opens(host, name, OTHER_KEY)
    assert not opens(host, name, KEY)
