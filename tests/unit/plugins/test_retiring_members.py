# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying replaced keys while something inherits from the roots that they opened: what is below may need them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset

from .acting import Controller
from .retiring import TWO, destroy_by_hand, destroyed, ids, key_of, retire, rotate, succeeded, take_in, why_kept


def replicated(controller: Controller, root: t.Mapping[str, t.Any] | None = None, **child: t.Any) -> str:
    """Make a root with a child and a replica of both, rotate, and send the root alone; return the key before.

    The replica's root has the new key then, and its child is still wrapped with the old one.
    """
    below = {"name": "tank/a/child", "state": "inherited", **child}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a", **(root or {})}, below], escrow=TWO))
    (old,) = ids(controller)
    controller.host.add_pool("backup")
    controller.host.replicate_tree("tank/a", "backup/a")
    take_in(controller, "backup/a")
    succeeded(rotate(controller, name="tank/a", replicas_keep_old_key=True))
    controller.host.replicate("tank/a", "backup/a")
    take_in(controller, "backup/a")
    return old


def dataset(controller: Controller, name: str) -> Dataset:
    found = controller.host.dataset(name)
    assert found is not None
    return found


def unlock(controller: Controller) -> None:
    """Unlock the replica; what cannot be mounted there fails the task."""
    controller.act("zfs_unlock", name="backup/a", escrow=TWO)
    assert dataset(controller, "backup/a").value("keystatus") == "available"


@pytest.mark.parametrize("child", [{"volsize": "16M"}, {}], ids=["volume", "filesystem"])
def test_the_old_key_is_kept_for_what_inherits_on_a_replica(controller: Controller, child: dict[str, t.Any]) -> None:
    old = replicated(controller, **child)
    unlock(controller)
    result = retire(controller)
    assert old in ids(controller)
    assert "what inherits from backup/a may still be wrapped with it" in why_kept(result)[old]


@pytest.mark.parametrize("is_unlocked", [True, False], ids=["unlocked", "locked"])
def test_the_old_key_is_not_destroyed_by_hand_either(controller: Controller, is_unlocked: bool) -> None:
    old = replicated(controller, volsize="16M")
    if is_unlocked:
        unlock(controller)
    result = destroy_by_hand(controller, old)
    assert result["failed"]
    assert "what inherits from backup/a may still be wrapped with it" in result["msg"]
    assert old in ids(controller)


def test_a_note_that_came_with_a_stream_says_nothing_of_what_inherits(controller: Controller) -> None:
    old = replicated(controller, volsize="16M")
    unlock(controller)
    root, copy = (dataset(controller, name) for name in ("tank/a", "backup/a"))
    said = "zfsfleet.encryption:key_id"
    assert (copy.value(said), copy.properties[said].is_local) == (root.value(said), False)
    assert old not in destroyed(retire(controller))


def test_what_this_host_set_says_nothing_once_an_increment_brought_the_root_another_key(controller: Controller) -> None:
    below = {"name": "tank/a/child", "state": "inherited", "volsize": "16M"}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a"}, below], escrow=TWO))
    (old,) = ids(controller)
    controller.host.add_pool("backup")
    controller.host.replicate_tree("tank/a", "backup/a")
    unlock(controller)
    succeeded(rotate(controller, name="backup/a", replicas_keep_old_key=True))
    controller.host.replicate("tank/a/child", "backup/a/child")
    succeeded(rotate(controller, name="tank/a", replicas_keep_old_key=True))
    controller.host.replicate("tank/a", "backup/a")
    assert "what inherits from backup/a" in why_kept(retire(controller))[old]


def test_a_key_that_this_host_set_has_wrapped_all_that_inherits(controller: Controller) -> None:
    below = {"name": "tank/a/child", "state": "inherited", "volsize": "16M"}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a"}, below], escrow=TWO))
    (old,) = ids(controller)
    succeeded(rotate(controller))
    assert destroyed(retire(controller)) == [old]


def test_the_old_key_goes_once_the_replica_has_a_key_of_its_own(controller: Controller) -> None:
    old = replicated(controller)
    controller.host.replicate("tank/a/child", "backup/a/child")
    unlock(controller)
    assert old in why_kept(retire(controller))
    succeeded(rotate(controller, name="backup/a", replicas_keep_old_key=True))
    assert old in destroyed(retire(controller))


def test_a_key_that_a_person_set_vouches_for_nothing_until_the_next_rotation(controller: Controller) -> None:
    below = {"name": "tank/a/child", "state": "inherited", "volsize": "16M"}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a"}, below], escrow=TWO))
    (old,) = ids(controller)
    key = "cd" * 32
    current = {"key": key_of(controller, old).secret.hex()}
    entry: dict[str, t.Any] = {"name": "tank/a", "key": key, "update_key": "always", "current": current}
    succeeded(controller.act("zfs_dataset_key", **entry))
    offered = [{"name": "tank/a", "key": key}]
    succeeded(controller.act("zfs_key_escrow", name="tank/a", secrets=offered, escrow=TWO))
    assert "was not set on this host after it" in why_kept(retire(controller))[old]
    succeeded(rotate(controller))
    assert len(destroyed(retire(controller))) == 2


def test_what_was_begun_and_never_used_is_destroyed_by_hand_though_the_root_has_children(
    controller: Controller,
) -> None:
    below = {"name": "tank/a/child", "state": "inherited", "volsize": "16M"}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a"}, below], escrow=TWO))
    controller.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    assert rotate(controller)["failed"]
    begun = ids(controller)[-1]
    assert succeeded(destroy_by_hand(controller, begun))["key_state"] == "destroyed"


def test_a_key_that_came_to_what_inherits_after_this_host_set_its_own_is_kept(controller: Controller) -> None:
    below = {"name": "tank/a/child", "state": "inherited", "volsize": "16M"}
    succeeded(controller.act("zfs_dataset_key", datasets=[{"name": "tank/a"}, below], escrow=TWO))
    controller.host.add_pool("backup")
    controller.host.replicate_tree("tank/a", "backup/a")
    unlock(controller)
    succeeded(rotate(controller, name="backup/a", replicas_keep_old_key=True))
    (row,) = succeeded(rotate(controller, name="tank/a", replicas_keep_old_key=True))["rotated"]
    controller.host.replicate("tank/a/child", "backup/a/child")
    succeeded(rotate(controller, name="tank/a", replicas_keep_old_key=True))
    assert "what inherits from backup/a" in why_kept(retire(controller))[row["new_key_id"]]


def test_passphrases_show_by_their_salt_what_they_wrap(controller: Controller) -> None:
    old = replicated(controller, {"passphrase": "a long passphrase", "pbkdf2iters": 100_000}, volsize="16M")
    unlock(controller)
    assert "what inherits from backup/a" in why_kept(retire(controller))[old]
    controller.host.replicate("tank/a/child", "backup/a/child")
    assert destroyed(retire(controller)) == [old]
