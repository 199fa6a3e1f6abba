# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying replaced keys of data that there are several copies of, and of rotations that did not get to their end."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _record

from .acting import Controller
from .clocks import Clock
from .retiring import (
    TWO,
    destroy_by_hand,
    destroyed,
    entry_of,
    ids,
    key_of,
    retire,
    rotate,
    set_by_a_person,
    succeeded,
    take_in,
    why_kept,
)


@pytest.fixture
def replica(controller: Controller) -> str:
    """Make a root with a replica on the same host, both taken in; return their key."""
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    controller.host.add_pool("backup")
    controller.host.replicate("tank/a", "backup/a")
    take_in(controller, "backup/a")
    return ids(controller)[0]


def rotate_one(controller: Controller, name: str) -> str:
    (row,) = succeeded(rotate(controller, name=name, replicas_keep_old_key=True))["rotated"]
    return str(row["new_key_id"])


def dies_before_noting(controller: Controller) -> str:
    """Give tank/a another key, and die before that is noted; return the key."""
    controller.dies_before_noting(lambda: rotate(controller, name="tank/a", replicas_keep_old_key=True))
    return ids(controller)[-1]


def test_the_last_replaced_key_of_each_root_is_kept(controller: Controller, replica: str) -> None:
    of_the_source, of_the_replica, *_later = [rotate_one(controller, name) for name in ("tank/a", "backup/a") * 2]
    assert destroyed(retire(controller, retain_versions=1)) == []
    later = [rotate_one(controller, name) for name in ("tank/a", "backup/a")]
    assert destroyed(retire(controller, retain_versions=1)) == [of_the_source, of_the_replica]
    assert not {*later} & {*destroyed(retire(controller))}


def test_the_last_replaced_key_of_a_copy_that_is_gone_is_not_kept_for_its_number(
    controller: Controller, replica: str
) -> None:
    controller.host.export_pool("backup")
    rotate_one(controller, "tank/a")
    rotate_one(controller, "tank/a")
    assert destroyed(retire(controller, retain_versions=1)) == []
    assert destroyed(retire(controller, retain_versions=1, unseen_copies=True)) == [replica]


def test_a_root_that_was_renamed_is_one_root(controller: Controller) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    rotate_one(controller, "tank/a")
    controller.host.rename("tank/a", "tank/b")
    rotate_one(controller, "tank/b")
    first, _second, _third = ids(controller)
    assert destroyed(retire(controller, retain_versions=1)) == [first]


def test_a_copy_elsewhere_keeps_its_old_key_until_somebody_says_that_nothing_below_needs_it(
    controller: Controller, replica: str
) -> None:
    controller.host.export_pool("backup")
    new = rotate_one(controller, "tank/a")
    assert "which this host does not show" in why_kept(retire(controller))[replica]
    elsewhere = next(each for each in entry_of(controller, replica).bindings if each.dataset == "backup/a")
    for drawer in controller.drawers.values():
        drawer.bind(entry_of(controller, new), dataclasses.replace(elsewhere, at=_record.now()))
    assert "a newer key was seen to open it since, but what inherits" in why_kept(retire(controller))[replica]
    assert destroyed(retire(controller, unseen_copies=True)) == [replica]


def test_a_key_that_was_set_and_never_noted_may_have_come_to_a_copy_elsewhere(
    controller: Controller, replica: str, clock: type[Clock]
) -> None:
    never_noted = dies_before_noting(controller)
    controller.host.replicate("tank/a", "backup/a")
    controller.host.export_pool("backup")
    set_by_a_person(controller, never_noted, replica)
    given = [{"name": "tank/a", "key": "ab" * 32}]
    succeeded(controller.act("zfs_key_rotate", name="tank/a", new_keys=given, replicas_keep_old_key=True, escrow=TWO))
    clock.shift(2)
    assert "may have come to backup/a of the pool" in why_kept(retire(controller))[never_noted]
    by_hand = destroy_by_hand(controller, never_noted)
    assert "may have come to backup/a of the pool" in by_hand["msg"]
    assert never_noted in ids(controller)


def test_a_key_that_another_controller_is_about_to_set_is_kept(controller: Controller, clock: type[Clock]) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    moment = _record.now()
    retired: list[dict[str, t.Any]] = []

    def beside(where: str) -> None:
        if where == "before zfs_dataset_key" and controller.calls[-1].check:
            controller.moment = lambda _where: None
            rotate(controller, name="tank/a", back_to=moment)
            retired.append(retire(controller))

    controller.moment = beside
    rotate(controller)
    assert len(retired) == 1
    root = controller.host.dataset("tank/a")
    assert root is not None
    kept = [key_of(controller, each) for each in ids(controller)]
    assert "opens" in [controller.host.verify(root, key).outcome for key in kept]


def test_what_was_given_up_is_kept_until_a_newer_key_opens_the_root(controller: Controller, clock: type[Clock]) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    controller.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    assert rotate(controller)["failed"]
    controller.host.faults.clear()
    first, given_up = ids(controller)
    succeeded(controller.act("zfs_key_escrow", key_id=given_up, key_state="deactivated", escrow=TWO))
    clock.shift(2)
    assert "no newer key of its record" in why_kept(retire(controller))[given_up]
    succeeded(rotate(controller))
    assert destroyed(retire(controller)) == [first, given_up]
