# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can do to whom something was delegated, and what those are told who were denied something."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, NotPermitted, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host, KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._immutable import KEPT_BY_ROOT
from ansible_collections.zfsfleet.encryption.plugins.module_utils._info import report
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place
from ansible_collections.zfsfleet.encryption.tests.conformance.delegation import delegated
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create_root,
    create_volume,
    make,
    make_locked_root,
    make_root,
    opens,
    read,
    root_properties,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.whole_runs import provision, try_to_provision, unlock
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

KEY_TEXT, OTHER_KEY_TEXT = "1a" * 32, "2b" * 32
by_any_binding = pytest.mark.any_binding


@pytest.fixture
def place(name: str) -> str:
    """Where a filesystem may be mounted and others than root may look."""
    return f"/delegated/{name}"


def test_who_may_load_keys_tries_loads_and_unloads_them(host: Host, name: str) -> None:
    root = make_locked_root(host, name)
    with delegated(host, name, "load-key") as user:
        assert user.does(lambda own: own.verify(root, KEY)).outcome == "opens"
        assert user.does(lambda own: own.verify(root, OTHER_KEY)).outcome == "wrong"
        user.does(lambda own: own.load_key(root, KEY))
        assert read(host, name).is_key_loaded
        user.does(lambda own: own.unload_key(name))
        assert not read(host, name).is_key_loaded


def test_who_may_change_keys_changes_them(host: Host, name: str) -> None:
    create_root(host, name)
    with delegated(host, name, "change-key", "load-key") as user:
        user.does(lambda own: own.change_key(KeyChange(name, "hex", OTHER_KEY, "prompt")))

    assert opens(host, name, OTHER_KEY)
    assert not opens(host, name, KEY)


@by_any_binding
def test_nothing_is_needed_to_look(host: Host, name: str) -> None:
    root = make_locked_root(host, name)
    with delegated(host, name) as user:
        assert user.does(lambda own: read(own, name)) == root
        assert user.does(lambda own: own.pools()) == host.pools()


def test_who_may_not_try_a_key_does_not_learn_that_it_is_wrong(host: Host, name: str) -> None:
    root = make_locked_root(host, name)
    with delegated(host, name) as user:
        right = user.does(lambda own: own.verify(root, KEY))
        assert right == user.does(lambda own: own.verify(root, OTHER_KEY))

    assert right.outcome == "unknown"
    assert "Root can allow it: 'zfs allow nobody load-key" in right.detail


CALLS: t.Mapping[str, t.Callable[[Host, str], None]] = {
    "load-key": lambda host, name: host.unload_key(name),
    "change-key": lambda host, name: host.change_key(KeyChange(name, "hex", OTHER_KEY, "prompt")),
    "create,mount,canmount": lambda host, name: host.create(Creation(f"{name}/new", {"canmount": "noauto"})),
    "destroy,mount": lambda host, name: host.destroy(f"{name}/child"),
    "compression": lambda host, name: host.set_properties(name, {"compression": "lz4"}),
    "userprop": lambda host, name: host.set_properties(name, {"zfsfleet.encryption:key_id": "1.1"}),
}


@pytest.mark.parametrize("permission", CALLS)
def test_who_may_not_is_told_what_to_ask_for_and_nothing_has_happened(host: Host, name: str, permission: str) -> None:
    create_root(host, name)
    before = make(host, f"{name}/child"), read(host, name)
    with delegated(host, name) as user, pytest.raises(CallFailed) as denied:
        user.does(lambda own: CALLS[permission](own, name))

    assert f"Root can allow it: 'zfs allow nobody {permission}" in str(denied.value)
    assert (read(host, f"{name}/child"), read(host, name)) == before
    assert opens(host, name, KEY)
    assert host.dataset(f"{name}/new") is None


@by_any_binding
@pytest.mark.parametrize("volume_size", [None, "1M"], ids=["filesystem", "volume"])
@pytest.mark.parametrize("keyed", [True, False], ids=["root", "child"])
def test_who_may_create_creates_without_mounting(host: Host, name: str, volume_size: str | None, keyed: bool) -> None:
    create_root(host, name)
    wanted = Creation(f"{name}/new", root_properties("hex") if keyed else {}, volume_size, key=KEY if keyed else None)
    needed = ("create", "mount", *(["refreservation"] if volume_size else []), *(["keylocation"] if keyed else []))
    with delegated(host, name, *needed) as user:
        user.does(lambda own: own.create(wanted))

    made = read(host, f"{name}/new")
    assert made.is_encryption_root is keyed
    assert not made.is_mounted


@by_any_binding
def test_nobody_but_root_mounts_or_unmounts(host: Host, name: str, place: str) -> None:
    create_root(host, name, mountpoint=place)
    host.mount(name)
    with delegated(host, name, "mount") as user:
        with pytest.raises(CallFailed, match="Linux lets only root mount and unmount"):
            user.does(lambda own: own.unmount(name))
        assert read(host, name).is_mounted
        host.unmount(name)
        with pytest.raises(CallFailed, match="Linux lets only root mount and unmount"):
            user.does(lambda own: own.mount(name))
    assert not read(host, name).is_mounted


@by_any_binding
def test_nobody_but_root_protects_a_mountpoint_or_releases_it(host: Host, name: str, place: str) -> None:
    create_root(host, name, mountpoint=place)
    host.mount(name)
    host.unmount(name)
    with delegated(host, name) as user:
        bare = user.does(lambda own: own.place(place))
        with pytest.raises(CallFailed, match="was not protected"):
            user.does(lambda own: own.protect_place(place))
        host.protect_place(place)
        protected = user.does(lambda own: own.place(place))
        with pytest.raises(CallFailed, match="is immutable, and stays so"):
            user.does(lambda own: own.release_place(place))

    assert host.release_place(place)
    assert [bare, protected] == [Place("bare", KEPT_BY_ROOT), Place("protected", KEPT_BY_ROOT)]


@by_any_binding
@pytest.mark.parametrize("volume", [True, False], ids=["volume", "filesystem"])
def test_who_may_not_read_is_not_told_that_the_key_is_wrong(host: Host, name: str, volume: bool) -> None:
    if volume:
        create_volume(host, name, key=KEY)
    else:
        create_root(host, name)
    root = read(host, name)
    with delegated(host, name, "load-key") as user, pytest.raises(NotPermitted, match="This user may not read it"):
        user.does(lambda own: own.prove_readable(root))


@by_any_binding
def test_an_operator_unlocks_and_locks_a_tree_without_mounting(host: Host, name: str) -> None:
    create_root(host, name)
    create_root(host, f"{name}/inner", OTHER_KEY)
    keys = [{"name": name, "key": KEY_TEXT}, {"name": f"{name}/inner", "key": OTHER_KEY_TEXT}]
    tree = {"name": name, "recursive": True, "secrets": keys}
    with delegated(host, name, "load-key") as user:
        assert user.does(lambda own: unlock(own, **tree, state="locked")).failures == {}
        assert not read(host, name).is_key_loaded
        assert not read(host, f"{name}/inner").is_key_loaded
        assert user.does(lambda own: unlock(own, **tree, mount=False)).failures == {}
        assert read(host, name).is_key_loaded
        assert read(host, f"{name}/inner").is_key_loaded


@by_any_binding
def test_an_operator_who_lets_mount_is_told_why_not_and_the_key_goes_out_again(
    host: Host, name: str, place: str
) -> None:
    create_root(host, name, mountpoint=place)
    host.unload_key(name)
    with delegated(host, name, "load-key") as user:
        outcome = user.does(lambda own: unlock(own, name=name, secrets=[{"name": name, "key": KEY_TEXT}]))

    assert outcome.failures[name].reason == "mount_failed"
    assert "Linux lets only root mount" in outcome.failures[name].msg
    assert not read(host, name).is_key_loaded


@by_any_binding
def test_who_may_create_provisions_what_is_not_mounted(host: Host, name: str) -> None:
    create_root(host, name)
    task = {"name": f"{name}/new", "key": OTHER_KEY_TEXT, "properties": {"canmount": "noauto"}}
    needed = ("create", "mount", "keylocation", "canmount", "load-key")
    with delegated(host, name, *needed) as user:
        assert user.does(lambda own: provision(own, task)) == [(f"{name}/new", "create")]
        assert user.does(lambda own: provision(own, task)) == []


@by_any_binding
def test_what_a_user_makes_and_cannot_mount_is_not_left_behind(host: Host, name: str, place: str) -> None:
    create_root(host, name, mountpoint=place)
    task = {"name": f"{name}/new", "key": OTHER_KEY_TEXT}
    needed = ("create", "mount", "destroy", "keylocation")
    with delegated(host, name, *needed) as user:
        outcome = user.does(lambda own: try_to_provision(own, task))

    assert "canmount=noauto" in outcome.failures[f"{name}/new"].msg
    assert host.dataset(f"{name}/new") is None


@by_any_binding
def test_no_key_is_changed_by_whom_nothing_proves_that_it_is_safe(host: Host, name: str) -> None:
    """Reading what is not mounted takes root; a member that another key wraps would take the kernel down."""
    make_root(host, name)
    task = {"name": name, "key": OTHER_KEY_TEXT, "current": {"key": KEY_TEXT}, "update_key": "always"}
    with delegated(host, name, "load-key", "change-key") as user:
        with pytest.raises(Refused, match="This user may not read it"):
            user.does(lambda own: provision(own, task))
        assert opens(host, name, KEY)
        host.mount(name)
        assert user.does(lambda own: provision(own, task)) == [(name, "change_key")]
    assert opens(host, name, OTHER_KEY)


@by_any_binding
def test_what_may_not_be_read_is_not_said_to_be_broken(host: Host, world: World, name: str) -> None:
    create_root(host, name)
    world.clone(name, f"{name}-clone")  # only what has a snapshot is read for the info module
    with delegated(host, name) as user:
        (root,) = user.does(lambda own: report({"name": name}, own)["roots"])

    assert root["broken"] == []
