# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying replaced keys: whole tasks of zfs_key_retire."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.tests.fake import backend as memory

from .acting import Controller
from .clocks import Clock
from .retiring import TWO, compromise, ids, retire, rotate


@pytest.fixture
def fleet(controller: Controller) -> Controller:
    """A host with a root whose key was replaced twice."""
    controller.act("zfs_dataset_key", name="tank/a", escrow=TWO)
    for _time in range(2):
        assert not rotate(controller).get("failed")
    return controller


def test_what_was_replaced_goes_from_every_place_and_what_opens_stays(fleet: Controller) -> None:
    *old, present = ids(fleet)
    result = retire(fleet)
    assert [each["key_id"] for each in result["destroyed"]] == old
    assert result["changed"]
    assert [str(key_id) for key_id in fleet.drawer("two").keys] == [present]
    assert ids(fleet) == [present]
    again = retire(fleet)
    assert (again["changed"], again["destroyed"], again["kept"]) == (False, [], [])


def test_the_last_replaced_ones_and_the_young_are_kept(fleet: Controller) -> None:
    first = ids(fleet)[0]
    assert retire(fleet, retain_days=1)["destroyed"] == []
    assert [each["key_id"] for each in retire(fleet, retain_versions=1)["destroyed"]] == [first]


def test_what_was_begun_and_never_used_is_not_among_those_that_are_kept(fleet: Controller, clock: type[Clock]) -> None:
    *_old, before, present = ids(fleet)
    fleet.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    assert rotate(fleet).get("failed")
    begun = ids(fleet)[-1]
    fleet.host.faults.clear()
    assert not rotate(fleet, new_keys=[{"name": "tank/a", "key": "ab" * 32}]).get("failed")
    assert begun not in [each["key_id"] for each in retire(fleet, check=True)["destroyed"]]
    clock.shift(2)
    destroyed = [each["key_id"] for each in retire(fleet, retain_versions=1)["destroyed"]]
    assert (begun in destroyed, before in destroyed, present in destroyed) == (True, True, False)


def test_the_last_replaced_ones_are_told_by_their_age_whatever_was_noted_since(fleet: Controller) -> None:
    first, second, _present = ids(fleet)
    compromise(fleet, first)
    assert [each["key_id"] for each in retire(fleet, retain_versions=1)["destroyed"]] == [first]
    assert second in ids(fleet)


def test_days_count_from_when_a_key_was_replaced_and_not_from_when_others_knew_it(
    fleet: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = ids(fleet)[-1]
    with monkeypatch.context() as long_ago:
        long_ago.setattr(memory, "now", lambda: "2001-01-01T00:00:00.000000Z")
        compromise(fleet, present)
    assert not rotate(fleet).get("failed")
    assert present not in [each["key_id"] for each in retire(fleet, retain_days=1)["destroyed"]]


def test_check_mode_destroys_nothing(fleet: Controller) -> None:
    before = ids(fleet)
    assert len(retire(fleet, check=True)["destroyed"]) == 2
    assert ids(fleet) == before


def test_a_key_that_came_back_is_kept_in_all_its_versions(fleet: Controller) -> None:
    first = fleet.drawer("one").entries_by_id[next(iter(fleet.drawer("one").keys))]
    assert not rotate(fleet, back_to=first.bindings[0].at).get("failed")
    result = retire(fleet)
    assert [(each["key_id"], each["why"]) for each in result["kept"]] == [(str(first.key_id), "it opens tank/a")]
    assert len(result["destroyed"]) == 2


def test_a_key_that_came_back_is_destroyed_by_hand_only_while_every_place_gives_it_back_otherwise(
    fleet: Controller,
) -> None:
    first = fleet.drawer("one").entries_by_id[next(iter(fleet.drawer("one").keys))]
    assert not rotate(fleet, back_to=first.bindings[0].at).get("failed")
    again = list(fleet.drawer("two").keys)[-1]
    lost = fleet.drawer("two").keys.pop(again)
    said: dict[str, t.Any] = {"state": "absent", "key_id": str(first.key_id), "force_destroy": True, "escrow": TWO}
    assert "is what opens tank/a" in fleet.act("zfs_key_escrow", **said)["msg"]
    fleet.drawer("two").keys[again] = lost
    assert fleet.act("zfs_key_escrow", **said)["key_state"] == "destroyed"


def test_what_one_place_destroyed_and_another_did_not_is_a_change_and_told_of_each(fleet: Controller) -> None:
    fleet.drawer("two").failing["destroy"] = BackendFailed("two is read-only.")
    result = retire(fleet)
    assert (result["failed"], result["changed"], result["destroyed"]) == (True, True, [])
    assert len(result["failures"]) == 2
    assert result["msg"].count("is not destroyed in two. two is read-only. Run again.") == 2
    del fleet.drawer("two").failing["destroy"]
    assert len(retire(fleet)["destroyed"]) == 2


def test_a_key_that_opened_what_cannot_be_seen_is_kept_unless_told(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/a", "backup/a")
    assert not fleet.act("zfs_key_escrow", name="backup/a", escrow=TWO).get("failed")
    present = ids(fleet)[-1]
    assert not rotate(fleet, name="tank/a", replicas_keep_old_key=True).get("failed")
    assert present not in [each["key_id"] for each in retire(fleet)["destroyed"]]
    fleet.host.export_pool("backup")
    assert not rotate(fleet, name="tank/a", replicas_keep_old_key=True).get("failed")
    (kept,) = retire(fleet)["kept"]
    assert (kept["key_id"], "which this host does not show" in kept["why"]) == (present, True)
    assert [each["key_id"] for each in retire(fleet, unseen_copies=True)["destroyed"]] == [present]


def test_a_key_that_a_checkpoint_would_bring_back_is_kept(fleet: Controller) -> None:
    first = ids(fleet)[0]
    with fleet.host.checkpointed("tank"):
        result = retire(fleet)
        said: dict[str, t.Any] = {"state": "absent", "key_id": first, "force_destroy": True, "escrow": TWO}
        by_hand = fleet.act("zfs_key_escrow", **said)
    assert result["destroyed"] == []
    assert all("tank has a checkpoint" in each["why"] for each in result["kept"])
    assert "tank has a checkpoint" in by_hand["msg"]
    assert len(retire(fleet)["destroyed"]) == 2


def test_a_key_that_opens_what_nothing_in_escrow_is_meant_for_is_kept(fleet: Controller) -> None:
    first = fleet.drawer("one").keys[next(iter(fleet.drawer("one").keys))]
    assert not fleet.act("zfs_dataset_key", name="tank/apart", key=first.key.secret.hex()).get("failed")
    result = retire(fleet)
    assert [(each["key_id"], each["why"]) for each in result["kept"]] == [
        (str(first.version.key_id), "it opens tank/apart")
    ]


def test_a_key_that_children_may_be_wrapped_with_is_kept_until_somebody_looked(fleet: Controller) -> None:
    assert not fleet.act("zfs_dataset_key", name="tank/a/below", state="inherited").get("failed")
    fleet.act("zfs_unlock", name="tank/a", state="locked", escrow=TWO)
    assert all("may still be wrapped with it" in each["why"] for each in retire(fleet)["kept"])
    fleet.act("zfs_unlock", name="tank/a", escrow=TWO)
    assert len(retire(fleet)["destroyed"]) == 2


def test_nothing_is_destroyed_while_a_place_does_not_answer(fleet: Controller) -> None:
    fleet.drawer("two").failing["entries"] = BackendFailed("two is down.")
    result = retire(fleet)
    assert result["destroyed"] == []
    assert all("two could not be read" in each["why"] for each in result["kept"])


def test_nothing_is_destroyed_that_one_of_its_places_does_not_give_back(fleet: Controller) -> None:
    fleet.drawer("two").failing["fetch"] = BackendFailed("two cannot decrypt it.")
    result = retire(fleet)
    assert result["destroyed"] == []
    assert {each["why"] for each in result["kept"]} == {"its copies differ or cannot be read"}


def test_less_than_nothing_is_not_kept(fleet: Controller) -> None:
    assert "less than nothing" in retire(fleet, retain_days=-1)["msg"]
    assert "less than nothing" in retire(fleet, retain_versions=-1)["msg"]


def test_a_thousand_years_are_long_and_more_than_a_calendar_has_is_refused(fleet: Controller) -> None:
    assert retire(fleet, retain_days=400_000)["destroyed"] == []
    assert "retain_days is 1e+07 days" in retire(fleet, retain_days=1e7)["msg"]


def test_nothing_is_destroyed_of_a_record_whose_root_is_gone(fleet: Controller) -> None:
    fleet.host.sweep("tank/a")
    result = retire(fleet)
    assert result["destroyed"] == []
    assert {each["why"] for each in result["kept"]} == {"no newer key of its record that is active opens a root here"}


def test_nothing_is_destroyed_while_the_newest_key_opens_nothing(fleet: Controller) -> None:
    old = fleet.drawer("one").keys[next(iter(fleet.drawer("one").keys))].key
    present = list(fleet.drawer("one").keys.values())[-1].key
    entry: dict[str, t.Any] = {
        "name": "tank/a",
        "key": "ab" * 32,
        "update_key": "always",
        "current": {"key": present.secret.hex()},
    }
    assert not fleet.act("zfs_dataset_key", **entry).get("failed")
    assert old != present
    assert retire(fleet)["destroyed"] == []


def test_what_cannot_be_tried_is_kept(fleet: Controller) -> None:
    fleet.host.fail_on("verify", "tank/a", CallFailed("the disk is gone", errno=5))
    result = retire(fleet)
    assert result["destroyed"] == []
    assert all("could not be tried on tank/a" in each["why"] for each in result["kept"])


def test_a_place_that_does_not_destroy_fails_the_task(fleet: Controller) -> None:
    fleet.drawer("two").failing["destroy"] = BackendFailed("two is read-only.")
    result = retire(fleet)
    assert (result["failed"], result["destroyed"]) == (True, [])
    assert "two is read-only." in result["msg"]
    fleet.drawer("two").failing.clear()
    assert not retire(fleet).get("failed")
    assert len(fleet.drawer("two").keys) == 1
