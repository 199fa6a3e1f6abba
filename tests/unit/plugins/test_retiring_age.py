# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a replaced key is kept: its days are counted from when it was last in use, whatever clocks said."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed

from .acting import Controller
from .clocks import Clock
from .retiring import (
    TWO,
    compromise,
    destroy_by_hand,
    destroyed,
    entry_of,
    ids,
    retire,
    rotate,
    set_by_a_person,
    succeeded,
    why_kept,
)


def test_days_are_counted_from_the_last_time_that_a_key_was_replaced(
    controller: Controller, clock: type[Clock]
) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    succeeded(rotate(controller))
    first, second = ids(controller)
    clock.shift(100)
    set_by_a_person(controller, second, first)
    clock.shift(100)
    (row,) = succeeded(rotate(controller))["rotated"]
    assert row["old_key_id"] == first
    assert destroyed(retire(controller, retain_days=90)) == []
    clock.shift(91)
    assert destroyed(retire(controller, retain_days=90)) == [first, second]


def test_a_key_that_came_back_is_noted_before_it_is_replaced_again(controller: Controller, clock: type[Clock]) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    succeeded(rotate(controller))
    first, second = ids(controller)
    assert len(entry_of(controller, first).bindings) == 1
    set_by_a_person(controller, second, first)
    succeeded(rotate(controller))
    assert len(entry_of(controller, first).bindings) == 2
    assert len(entry_of(controller, second).bindings) == 1


def test_days_of_a_compromised_key_are_counted_after_its_root_was_renamed_as_well(
    controller: Controller, clock: type[Clock]
) -> None:
    clock.shift(-200)
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    (old,) = ids(controller)
    compromise(controller, old)
    clock.shift(200)
    controller.host.rename("tank/a", "tank/b")
    succeeded(rotate(controller))
    assert destroyed(retire(controller, retain_days=90)) == []
    clock.shift(91)
    assert destroyed(retire(controller, retain_days=90)) == [old]


def test_a_key_that_was_replaced_with_a_clock_behind_is_kept_until_another_rotation_tells(
    controller: Controller, clock: type[Clock]
) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    (old,) = ids(controller)
    clock.shift(-4000)
    succeeded(rotate(controller))
    clock.shift(4000)
    assert "with a clock that was behind" in why_kept(retire(controller, retain_days=90))[old]
    clock.shift(1)
    succeeded(rotate(controller))
    assert old not in destroyed(retire(controller, retain_days=90))
    clock.shift(91)
    assert old in destroyed(retire(controller, retain_days=90))


def test_a_note_from_before_its_version_was_made_does_not_say_when_another_was_replaced(
    controller: Controller, clock: type[Clock]
) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    (old,) = ids(controller)
    clock.shift(400)
    controller.dies_before_noting(lambda: rotate(controller))
    clock.shift(-300)
    succeeded(rotate(controller, max_age_days=9999))
    clock.shift(301)
    assert "with a clock that was behind" in why_kept(retire(controller, retain_days=90))[old]


def test_what_was_given_up_with_a_clock_behind_is_due_once_a_newer_key_was_noted(
    controller: Controller, clock: type[Clock]
) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    controller.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    assert rotate(controller)["failed"]
    controller.host.faults.clear()
    given_up = ids(controller)[-1]
    clock.shift(-4000)
    succeeded(controller.act("zfs_key_escrow", key_id=given_up, key_state="deactivated", escrow=TWO))
    clock.shift(4000)
    assert given_up not in destroyed(retire(controller))
    succeeded(rotate(controller))
    assert given_up not in destroyed(retire(controller))
    clock.shift(2)
    assert given_up in destroyed(retire(controller))


def test_a_key_of_which_no_clock_tells_is_destroyed_by_hand(controller: Controller, clock: type[Clock]) -> None:
    succeeded(controller.act("zfs_dataset_key", name="tank/a", escrow=TWO))
    (old,) = ids(controller)
    clock.shift(-4000)
    succeeded(rotate(controller))
    clock.shift(4000)
    assert succeeded(destroy_by_hand(controller, old))["key_state"] == "destroyed"
