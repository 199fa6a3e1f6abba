# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotating keys: whole tasks of zfs_key_rotate, from the action plugin to the host."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _record
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import KeyId

from .acting import Controller
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [*ONE, {"type": "memory", "name": "two"}]
TREE: list[dict[str, t.Any]] = [
    {"name": "tank/a"},
    {"name": "tank/a/child", "state": "inherited"},
    {"name": "tank/a/b", "keyformat": "raw"},
    {"name": "tank/w", "keyformat": "passphrase", "pbkdf2iters": 100_000},
]
ROOTS = ["tank/a", "tank/w", "tank/a/b"]
EVERYTHING: dict[str, t.Any] = {"name": "tank", "recursive": True, "max_age_days": 0}


@pytest.fixture
def fleet(controller: Controller) -> Controller:
    """A host with roots of all kinds, their keys in two places."""
    assert not controller.act("zfs_dataset_key", datasets=TREE, escrow=TWO).get("failed")
    controller.calls.clear()
    return controller


def rotate(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_key_rotate", **{**EVERYTHING, "escrow": TWO, **options})


def after_now() -> str:
    """A moment that everything so far is older than, and nothing that comes."""
    return _record.now()


def active_key(controller: Controller, dataset: str) -> Key:
    drawer = controller.drawer("one")
    (key_id,) = (entry.key_id for entry in drawer.entries_by_id.values() if is_active(entry, dataset))
    return drawer.keys[key_id].key


def is_active(entry: t.Any, dataset: str) -> bool:
    return bool(entry.version.dataset == dataset and entry.state == "active")


def opens(controller: Controller, dataset: str, key: Key) -> bool:
    root = controller.host.dataset(dataset)
    assert root is not None
    return controller.host.verify(root, key).outcome == "opens"


def opens_words(controller: Controller, key: Key) -> bool:
    return key.kind == "passphrase" and opens(controller, "tank/w", key)


def states(controller: Controller) -> dict[str, list[str]]:
    (found,) = {json.dumps(drawer.states()) for drawer in controller.drawers.values()}
    return t.cast("dict[str, list[str]]", json.loads(found))


def by_dataset(result: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    return {row["dataset"]: row for row in result["rotated"]}


# -- what is rotated


def test_every_root_gets_a_new_key_and_the_old_ones_stay_in_escrow(fleet: Controller) -> None:
    before = {name: active_key(fleet, name) for name in ROOTS}
    result = rotate(fleet)
    assert (result["changed"], result["failures"], result.get("warnings")) == (True, {}, None)
    assert sorted(by_dataset(result)) == sorted(ROOTS)
    assert states(fleet) == {name: ["deactivated", "active"] for name in ROOTS}
    for name in ROOTS:
        new = active_key(fleet, name)
        assert new != before[name]
        assert opens(fleet, name, new)
        assert not opens(fleet, name, before[name])
        assert before[name] in [kept.key for kept in fleet.drawer("two").keys.values()]


def test_all_roots_together_take_a_constant_number_of_modules(fleet: Controller) -> None:
    rotate(fleet)
    info = "zfs_encryption_info"
    assert fleet.modules == [info, info, "zfs_dataset_key (check)", "zfs_dataset_key", info]


def test_a_report_names_versions_and_receipts_and_no_key(fleet: Controller) -> None:
    result = rotate(fleet)
    for row in result["rotated"]:
        assert row["old_key_id"].partition(".")[0] == row["new_key_id"].partition(".")[0]
        assert sorted(row["receipts"]) == ["one", "two"]
        assert row["resumed"] is False
        assert row["verified_at"] >= row["rotated_at"]
        assert result["key_ids"][row["dataset"]] == row["new_key_id"]
    words = active_key(fleet, "tank/w")
    assert by_dataset(result)["tank/w"]["keyformat"] == "passphrase"
    assert words.secret.decode() not in json.dumps(result)
    assert active_key(fleet, "tank/a").secret.hex() not in json.dumps(result)


def test_the_dataset_says_which_key_it_has_and_since_when(fleet: Controller) -> None:
    row = by_dataset(rotate(fleet))["tank/a"]
    (root,) = (each for each in fleet.act("zfs_encryption_info")["roots"] if each["name"] == "tank/a")
    assert (root["key_id"], root["rotated_at"]) == (row["new_key_id"], row["rotated_at"])


def test_only_what_is_old_enough_is_due(fleet: Controller) -> None:
    since = after_now()
    fleet.act("zfs_dataset_key", name="tank/young", escrow=TWO)
    result = rotate(fleet, max_age_days=None, made_before=since)
    assert sorted(by_dataset(result)) == sorted(ROOTS)
    assert result["already"] == ["tank/young"]
    again = rotate(fleet, max_age_days=None, made_before=since)
    assert (again["changed"], again["rotated"], again["actions"]) == (False, [], [])
    assert rotate(fleet, max_age_days=1)["changed"] is False


def test_what_somebody_may_know_is_due_at_any_age(fleet: Controller) -> None:
    (entry,) = (each for each in fleet.drawer("one").entries_by_id.values() if is_active(each, "tank/a"))
    noted = fleet.act("zfs_key_escrow", key_id=str(entry.key_id), key_state="compromised", escrow=TWO)
    assert not noted.get("failed")
    result = rotate(fleet, max_age_days=100)
    assert list(by_dataset(result)) == ["tank/a"]
    assert states(fleet)["tank/a"] == ["compromised", "active"]


def test_a_passphrase_that_is_made_is_long_and_keeps_its_rounds(fleet: Controller) -> None:
    rotate(fleet)
    key = active_key(fleet, "tank/w")
    root = fleet.host.dataset("tank/w")
    assert root is not None
    assert (key.kind, len(key.secret) >= 35) == ("passphrase", True)
    assert root.number("pbkdf2iters") == 100_000


def test_more_rounds_and_other_formats_are_rotations(fleet: Controller) -> None:
    result = rotate(fleet, name="tank/w", max_age_days=None, keyformat="passphrase", pbkdf2iters=200_000)
    assert by_dataset(result)["tank/w"]["pbkdf2iters"] == 200_000
    again = rotate(fleet, name="tank/w", max_age_days=None, keyformat="passphrase", pbkdf2iters=150_000)
    assert again["changed"] is False
    rotate(fleet, name="tank/w", max_age_days=None, keyformat="hex")
    root = fleet.host.dataset("tank/w")
    assert root is not None
    assert (root.keyformat, active_key(fleet, "tank/w").kind) == ("hex", "key")


def test_a_key_that_is_given_is_the_one_that_is_set(fleet: Controller) -> None:
    given = [{"name": "tank/a", "key": OTHER_KEY_TEXT}, {"name": "tank/w", "passphrase": "correct horse"}]
    result = rotate(fleet, max_age_days=None, new_keys=given)
    assert sorted(by_dataset(result)) == ["tank/a", "tank/w"]
    assert opens(fleet, "tank/a", OTHER_KEY)
    assert opens(fleet, "tank/w", PASSPHRASE)
    assert rotate(fleet, max_age_days=None, new_keys=given)["changed"] is False


def test_a_passphrase_that_is_there_already_gets_more_rounds_and_never_fewer(fleet: Controller) -> None:
    given: dict[str, t.Any] = {"max_age_days": None, "new_keys": [{"name": "tank/w", "passphrase": "correct horse"}]}
    assert by_dataset(rotate(fleet, **given, pbkdf2iters=150_000))["tank/w"]["pbkdf2iters"] == 150_000
    assert rotate(fleet, **given, pbkdf2iters=100_000)["changed"] is False
    assert rotate(fleet, **given)["changed"] is False
    assert by_dataset(rotate(fleet, **given, pbkdf2iters=200_000))["tank/w"]["pbkdf2iters"] == 200_000


def test_a_root_that_is_given_two_keys_is_refused(fleet: Controller) -> None:
    given = [{"name": "tank/a", "key": text} for text in (KEY_TEXT, OTHER_KEY_TEXT)]
    assert "new_keys names tank/a twice" in refused(fleet, max_age_days=None, new_keys=given)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_key_that_somebody_may_know_is_not_given_again(fleet: Controller, replaced: bool) -> None:
    given = [{"name": "tank/a", "key": OTHER_KEY_TEXT}]
    rotate(fleet, max_age_days=None, new_keys=given)
    (entry,) = (each for each in fleet.drawer("one").entries_by_id.values() if is_active(each, "tank/a"))
    if replaced:
        rotate(fleet)
    fleet.act("zfs_key_escrow", key_id=str(entry.key_id), key_state="compromised", escrow=TWO)
    message = refused(fleet, max_age_days=None, new_keys=given)
    assert f"new_keys for tank/a is {entry.key_id}, which is compromised" in message


def test_a_locked_root_is_rotated_and_stays_locked(fleet: Controller) -> None:
    fleet.act("zfs_unlock", name="tank/a", recursive=True, state="locked", escrow=TWO)
    result = rotate(fleet, name="tank/a")
    assert result["failures"] == {}
    root = fleet.host.dataset("tank/a")
    assert root is not None
    assert not root.is_key_loaded
    assert opens(fleet, "tank/a", active_key(fleet, "tank/a"))


# -- back


def test_a_roll_back_is_a_new_version_with_the_old_key(fleet: Controller) -> None:
    old = {name: active_key(fleet, name) for name in ROOTS}
    morning = after_now()
    rotate(fleet)
    result = rotate(fleet, max_age_days=None, back_to=morning)
    assert sorted(by_dataset(result)) == sorted(ROOTS)
    for name in ROOTS:
        assert opens(fleet, name, old[name])
    assert states(fleet) == {name: ["deactivated", "deactivated", "active"] for name in ROOTS}
    assert rotate(fleet, max_age_days=None, back_to=morning)["changed"] is False


def test_nothing_goes_back_to_a_key_that_somebody_may_know(fleet: Controller) -> None:
    morning = after_now()
    (entry,) = (each for each in fleet.drawer("one").entries_by_id.values() if is_active(each, "tank/a"))
    rotate(fleet)
    fleet.act("zfs_key_escrow", key_id=str(entry.key_id), key_state="compromised", escrow=TWO)
    result = rotate(fleet, max_age_days=None, back_to=morning)
    assert result["refused"]
    assert f"tank/a does not go back to {entry.key_id}: it is compromised" in result["msg"]


@pytest.mark.parametrize("other", [{"keyformat": "passphrase"}, {"pbkdf2iters": 150_000}, {"max_age_days": 1}])
def test_what_goes_back_becomes_nothing_else(fleet: Controller, other: dict[str, t.Any]) -> None:
    assert "contradict each other" in refused(fleet, **{"max_age_days": None, "back_to": after_now(), **other})


def test_an_empty_list_does_not_stand_for_everything(fleet: Controller) -> None:
    assert "names is empty and chooses no root" in refused(fleet, name=None, names=[])


def test_nothing_goes_back_to_before_its_first_key(fleet: Controller) -> None:
    result = rotate(fleet, max_age_days=None, back_to="2001-01-01")
    assert "escrow has no key that was seen to open it at 2001-01-01" in result["msg"]


# -- what was begun


def begun(fleet: Controller, dataset: str, **options: t.Any) -> KeyId:
    """Have a rotation whose controller died after the key was kept and before the host was told."""
    fleet.dies_before_the_change(lambda: rotate(fleet, name=dataset, recursive=False, **options))
    entries = fleet.drawer("one").entries_by_id.values()
    *_before, waiting = (each.key_id for each in entries if each.state == "pre-active")
    return waiting


def test_of_two_that_were_begun_the_first_is_finished_and_the_other_given_up(fleet: Controller) -> None:
    first = begun(fleet, "tank/a")
    begun(fleet, "tank/a", max_age_days=None, new_keys=[{"name": "tank/a", "key": KEY_TEXT}])
    assert by_dataset(rotate(fleet, max_age_days=100))["tank/a"]["new_key_id"] == str(first)
    assert states(fleet)["tank/a"] == ["deactivated", "active", "deactivated"]
    assert rotate(fleet, max_age_days=100)["changed"] is False


def test_what_was_begun_is_finished_with_the_key_that_was_kept_though_nothing_is_due(fleet: Controller) -> None:
    waiting = begun(fleet, "tank/a")
    foreseen = rotate(fleet, max_age_days=100, check=True)
    assert by_dataset(foreseen)["tank/a"]["new_key_id"] == str(waiting)
    result = rotate(fleet, max_age_days=100)
    row = by_dataset(result)["tank/a"]
    assert (row["new_key_id"], row["resumed"]) == (str(waiting), True)
    assert opens(fleet, "tank/a", fleet.drawer("one").keys[waiting].key)
    assert states(fleet)["tank/a"] == ["deactivated", "active"]


def test_a_row_of_what_was_finished_names_the_key_before_though_somebody_may_know_it(fleet: Controller) -> None:
    (entry,) = (each for each in fleet.drawer("one").entries_by_id.values() if is_active(each, "tank/a"))
    fleet.act("zfs_key_escrow", key_id=str(entry.key_id), key_state="compromised", escrow=TWO)
    fleet.dies_before_noting(lambda: rotate(fleet, name="tank/a", recursive=False))
    row = by_dataset(rotate(fleet, max_age_days=100))["tank/a"]
    assert (row["old_key_id"], row["resumed"]) == (str(entry.key_id), True)


def test_what_was_begun_gives_way_to_another_key_that_is_given(fleet: Controller) -> None:
    begun(fleet, "tank/a")
    rotate(fleet, max_age_days=None, new_keys=[{"name": "tank/a", "key": KEY_TEXT}])
    assert opens(fleet, "tank/a", KEY)
    assert states(fleet)["tank/a"] == ["deactivated", "deactivated", "active"]


def test_what_was_given_up_does_not_come_back(fleet: Controller) -> None:
    begun(fleet, "tank/a")

    def dies(where: str) -> None:
        if where == "after advance in two":
            raise KeyboardInterrupt

    fleet.moment = dies
    with pytest.raises(KeyboardInterrupt):
        rotate(fleet, max_age_days=None, new_keys=[{"name": "tank/a", "key": KEY_TEXT}])
    fleet.moment = lambda _where: None
    rotate(fleet, max_age_days=100)
    assert opens(fleet, "tank/a", KEY)
    assert "pre-active" not in states(fleet)["tank/a"]


def test_what_was_begun_and_cannot_be_read_gets_no_second_key(fleet: Controller) -> None:
    waiting = begun(fleet, "tank/a")
    lost = [drawer.keys.pop(waiting) for drawer in fleet.drawers.values()]
    assert f"A rotation of tank/a was begun with {waiting}, which cannot be read now" in refused(fleet)
    for drawer, kept in zip(fleet.drawers.values(), lost):
        drawer.keys[waiting] = kept
    assert by_dataset(rotate(fleet))["tank/a"]["new_key_id"] == str(waiting)


def test_what_was_begun_and_has_copies_that_differ_is_told_once(fleet: Controller) -> None:
    waiting = begun(fleet, "tank/a")
    two = fleet.drawer("two")
    two.damaged[waiting] = dataclasses.replace(two.keys[waiting], key=KEY)
    assert refused(fleet).count("or whose copies differ") == 1


def test_what_was_begun_before_the_moment_that_counts_is_not_enough(fleet: Controller) -> None:
    waiting = begun(fleet, "tank/a")
    result = rotate(fleet, max_age_days=None, made_before=after_now())
    assert by_dataset(result)["tank/a"]["new_key_id"] != str(waiting)
    assert states(fleet)["tank/a"] == ["deactivated", "deactivated", "active"]


def test_what_goes_back_to_what_it_has_gives_up_what_was_begun(fleet: Controller) -> None:
    morning = after_now()
    old = active_key(fleet, "tank/a")
    begun(fleet, "tank/a")
    assert rotate(fleet, max_age_days=None, back_to=morning, check=True)["changed"]
    result = rotate(fleet, max_age_days=None, back_to=morning)
    assert (result["changed"], result["rotated"]) == (True, [])
    assert states(fleet)["tank/a"] == ["active", "deactivated"]
    assert rotate(fleet, max_age_days=None, back_to=morning)["changed"] is False
    assert rotate(fleet, max_age_days=100)["changed"] is False
    assert opens(fleet, "tank/a", old)


def test_a_key_that_is_given_and_there_already_gives_up_what_was_begun(fleet: Controller) -> None:
    given = [{"name": "tank/a", "key": OTHER_KEY_TEXT}]
    rotate(fleet, max_age_days=None, new_keys=given)
    begun(fleet, "tank/a")
    assert rotate(fleet, max_age_days=None, new_keys=given)["rotated"] == []
    assert rotate(fleet, max_age_days=100)["changed"] is False
    assert opens(fleet, "tank/a", OTHER_KEY)


def test_what_was_begun_with_another_kind_of_key_is_given_up(fleet: Controller) -> None:
    old = active_key(fleet, "tank/a")
    begun(fleet, "tank/a", max_age_days=None, keyformat="raw")
    assert rotate(fleet, name="tank/a", recursive=False, max_age_days=None, keyformat="hex")["rotated"] == []
    assert rotate(fleet, max_age_days=100)["changed"] is False
    assert opens(fleet, "tank/a", old)


def test_what_was_begun_with_too_few_rounds_is_given_up(fleet: Controller) -> None:
    begun(fleet, "tank/w")
    result = rotate(fleet, name="tank/w", max_age_days=None, pbkdf2iters=150_000)
    assert [(row["pbkdf2iters"], row["resumed"]) for row in result["rotated"]] == [(150_000, False)]
    assert rotate(fleet, name="tank/w", max_age_days=None, pbkdf2iters=150_000)["changed"] is False
    assert "pre-active" not in states(fleet)["tank/w"]


def test_everything_is_everything_whatever_clocks_said(fleet: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as ahead:
        ahead.setattr(_record, "now", lambda: "2099-01-01T00:00:00.000000Z")
        rotate(fleet)
    assert sorted(by_dataset(rotate(fleet))) == sorted(ROOTS)


def test_a_clock_that_was_put_back_does_not_mix_up_versions(fleet: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_record, "now", lambda: "2001-01-01T00:00:00.000000Z")
    rotate(fleet, name="tank/a", recursive=False)
    assert states(fleet)["tank/a"] == ["deactivated", "active"]
    assert opens(fleet, "tank/a", active_key(fleet, "tank/a"))


def test_a_clock_that_was_put_back_makes_no_second_key_where_a_host_has_another_name(
    fleet: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as behind:
        behind.setattr(_record, "now", lambda: "2001-01-01T00:00:00.000000Z")
        waiting = begun(fleet, "tank/a", as_host="nas2")
    row = by_dataset(rotate(fleet, name="tank/a", recursive=False, as_host="nas2"))["tank/a"]
    assert (row["new_key_id"], row["resumed"]) == (str(waiting), True)


def test_versions_follow_each_other_by_a_microsecond_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_record, "now", lambda: "2001-01-01T00:00:00.000000Z")
    assert _record.later_than(["2026-12-31T23:59:59.999999Z"]) == "2027-01-01T00:00:00.000000Z"
    assert _record.later_than([]) == "2001-01-01T00:00:00.000000Z"


# -- what is refused, before anything is changed


def refused(fleet: Controller, **options: t.Any) -> str:
    writes = [list(drawer.writes) for drawer in fleet.drawers.values()]
    fleet.host.calls.clear()
    result = rotate(fleet, **options)
    assert result["failed"]
    assert fleet.host.changes == []
    assert [list(drawer.writes) for drawer in fleet.drawers.values()] == writes
    return str(result["msg"])


def test_a_root_that_no_key_in_escrow_opens_refuses_the_whole_host(fleet: Controller) -> None:
    root = fleet.host.dataset("tank/a")
    assert root is not None
    old = active_key(fleet, "tank/a")
    changed: dict[str, t.Any] = {
        "name": "tank/a",
        "key": KEY_TEXT,
        "update_key": "always",
        "current": {"key": old.secret.hex()},
    }
    assert not fleet.act("zfs_dataset_key", **changed).get("failed")
    assert "tank/a is an encryption root and none of the" in refused(fleet)


def test_a_checkpoint_is_in_the_way_unless_told(fleet: Controller) -> None:
    with fleet.host.checkpointed("tank"):
        assert "The pool tank has a checkpoint" in refused(fleet)
        assert rotate(fleet, max_age_days=100)["changed"] is False
        assert not rotate(fleet, despite_checkpoint=True).get("failed")


def test_a_replica_that_needs_the_old_key_is_in_the_way_unless_told(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/a", "backup/a")
    seen = fleet.act("zfs_key_escrow", name="backup/a", escrow=TWO)
    assert not seen.get("failed"), seen["msg"]
    assert "was seen to open backup/a of the pool with GUID" in refused(fleet)
    result = rotate(fleet, replicas_keep_old_key=True)
    assert "tank/a" in by_dataset(result)


def test_a_copy_on_the_same_host_counts_though_nobody_noted_it(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/w", "backup/w")
    assert "was seen to open backup/w of the pool with GUID" in refused(fleet, name="tank/w")


def test_a_copy_that_nobody_noted_is_not_said_to_have_been_set_back(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/w", "backup/w")
    rotate(fleet, name="tank/w", replicas_keep_old_key=True)
    (warning,) = rotate(fleet, name="backup/w", max_age_days=100)["warnings"]
    assert "or it is a replica that did not get the new one yet" in warning


def test_a_rotation_of_one_copy_leaves_the_key_of_the_other_active(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/w", "backup/w")
    assert not fleet.act("zfs_key_escrow", name="backup/w", escrow=TWO).get("failed")
    rotate(fleet, name="tank/w", replicas_keep_old_key=True)
    (key,) = (kept.key for kept in fleet.drawer("one").keys.values() if opens_words(fleet, kept.key))
    fleet.act("zfs_unlock", name="backup/w", escrow=TWO)
    ended: dict[str, t.Any] = {"name": "backup/w", "replicas_keep_old_key": True, "recursive": False}
    rotate(fleet, **ended)
    entries = fleet.drawer("one").entries_by_id.values()
    assert [each.state for each in entries if fleet.drawer("one").keys[each.key_id].key == key] == ["active"]


def test_copies_whose_keys_were_the_same_go_on_with_their_own(fleet: Controller) -> None:
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/w", "backup/w")
    assert not fleet.act("zfs_key_escrow", name="backup/w", escrow=TWO).get("failed")
    both: dict[str, t.Any] = {"name": None, "names": ["tank/w", "backup/w"], "replicas_keep_old_key": True}
    fleet.dies_before_the_change(lambda: rotate(fleet, **both))
    entries = fleet.drawer("one").entries_by_id
    begun_for = {each.version.dataset: str(each.key_id) for each in entries.values() if each.state == "pre-active"}
    finished = by_dataset(rotate(fleet, **both, max_age_days=100))
    assert {name: row["new_key_id"] for name, row in finished.items()} == begun_for
    assert {name: entry.state for entry in entries.values() for name in begun_for if is_active(entry, name)} == {
        "tank/w": "active",
        "backup/w": "active",
    }
    assert rotate(fleet, **both, max_age_days=100)["changed"] is False


def test_a_dataset_that_was_renamed_is_no_replica_of_itself(fleet: Controller) -> None:
    fleet.host.rename("tank/w", "tank/words")
    assert not rotate(fleet).get("failed")


def test_a_key_that_openzfs_fetches_elsewhere_is_not_rotated(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", name="tank/a", keylocation="https://keys.example.org/a", escrow=TWO)
    assert "OpenZFS fetches it from https://keys.example.org/a" in refused(fleet)


def test_a_key_for_a_root_that_was_not_chosen_is_refused(fleet: Controller) -> None:
    message = refused(fleet, max_age_days=None, new_keys=[{"name": "tank/none", "key": KEY_TEXT}])
    assert "new_keys names tank/none, which was not chosen" in message


def test_a_place_that_takes_no_keys_changes_nothing_on_the_host(fleet: Controller) -> None:
    fleet.drawer("two").failing["put"] = BackendFailed("two is full.")
    fleet.host.calls.clear()
    result = rotate(fleet)
    assert "two is full" in result["msg"]
    assert fleet.host.changes == []
    fleet.drawer("two").failing.clear()
    finished = rotate(fleet, max_age_days=100)
    assert all(row["resumed"] for row in finished["rotated"])
    assert "pre-active" not in json.dumps(states(fleet))


def test_a_root_that_disappears_between_two_looks_is_named(fleet: Controller) -> None:
    looks = 0

    def disappears(where: str) -> None:
        nonlocal looks
        looks += where == "before zfs_encryption_info"
        if looks == 2 and fleet.host.dataset("tank/w") is not None:
            fleet.host.sweep("tank/w")

    fleet.moment = disappears
    assert "tank/w disappeared while the host was looked at" in rotate(fleet)["msg"]


def test_one_root_that_fails_leaves_the_others_alone_and_keeps_its_id(fleet: Controller) -> None:
    before = fleet.act("zfs_key_drill", escrow=TWO)
    assert not before.get("failed")
    fleet.host.fail_on("change_key", "tank/w", CallFailed("the pool is full", errno=28))
    result = rotate(fleet)
    assert list(result["failures"]) == ["tank/w"]
    assert sorted(by_dataset(result)) == sorted(set(ROOTS) - {"tank/w"})
    assert "tank/w" not in result["key_ids"]
    assert "changes keys beside this run" not in result["msg"]
    assert "the pool is full" in result["msg"]


def test_a_root_that_was_left_alone_says_which_one_failed(fleet: Controller) -> None:
    fleet.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    result = rotate(fleet)
    assert list(by_dataset(result)) == ["tank/w"]
    assert "tank/a/b was left alone, since tank/a failed" in result["failures"]["tank/a/b"]["msg"]
    fleet.host.faults.clear()
    assert [row["resumed"] for row in rotate(fleet, max_age_days=100)["rotated"]] == [True, True]


def test_roots_that_somebody_put_against_the_rules_are_rotated_where_they_are(fleet: Controller) -> None:
    odd: dict[str, t.Any] = {"name": "tank/w/keyed", "hierarchy": "openzfs"}
    assert not fleet.act("zfs_dataset_key", escrow=TWO, **odd).get("failed")
    assert "tank/w/keyed" in by_dataset(rotate(fleet))
    assert "tank/a/b" in refused(fleet, name="tank/a", recursive=False, max_age_days=None, keyformat="passphrase")


# -- check mode


def test_check_mode_foretells_and_writes_nothing(fleet: Controller) -> None:
    writes = [list(drawer.writes) for drawer in fleet.drawers.values()]
    fleet.host.calls.clear()
    foreseen = rotate(fleet, check=True)
    assert fleet.host.changes == []
    assert [list(drawer.writes) for drawer in fleet.drawers.values()] == writes
    assert (foreseen["changed"], {row["new_key_id"] for row in foreseen["rotated"]}) == (True, {"new"})
    assert list(by_dataset(foreseen)) == list(by_dataset(rotate(fleet)))


# -- keys in files on the host


FILED: dict[str, t.Any] = {
    "name": "tank/boot",
    "key_file": "/etc/zfs/boot.key",
    "generate_key": True,
    "keyformat": "raw",
}


def test_a_key_in_a_file_gets_a_file_of_its_own_and_the_old_one_goes_last(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    old = fleet.host.key_files["/etc/zfs/boot.key"]
    result = rotate(fleet, name="tank/boot", remove_named_files=True)
    version = by_dataset(result)["tank/boot"]["new_key_id"].partition(".")[2]
    root = fleet.host.dataset("tank/boot")
    assert root is not None
    assert root.value("keylocation") == f"file:///etc/zfs/boot.{version}.key"
    assert fleet.host.key_files == {f"/etc/zfs/boot.{version}.key": active_key(fleet, "tank/boot").secret}
    assert result["removed_files"] == ["/etc/zfs/boot.key"]
    assert old in [kept.key.secret for kept in fleet.drawer("one").keys.values()]
    again = fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    assert (again["changed"], again.get("failed")) == (False, None)
    second = by_dataset(rotate(fleet, name="tank/boot"))["tank/boot"]["new_key_id"].partition(".")[2]
    assert list(fleet.host.key_files) == [f"/etc/zfs/boot.{second}.key"]


def test_a_file_that_opens_something_else_as_well_stays(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    key = active_key(fleet, "tank/boot").secret.hex()
    shared: dict[str, t.Any] = {"name": "tank/other", "key": key, "key_file": "/etc/zfs/boot.key", "keyformat": "raw"}
    assert not fleet.act("zfs_dataset_key", **shared, escrow=TWO).get("failed")
    assert rotate(fleet, name="tank/boot", remove_named_files=True)["removed_files"] == []
    assert "/etc/zfs/boot.key" in fleet.host.key_files


def test_roots_that_share_a_file_get_one_each(fleet: Controller) -> None:
    for name in ("tank/p", "tank/q", "tank/r"):
        shared = {**FILED, "name": name, "key": KEY_TEXT, "generate_key": False}
        assert not fleet.act("zfs_dataset_key", **shared, escrow=TWO).get("failed")
    foreseen = rotate(fleet, check=True)
    assert not foreseen.get("failed"), foreseen["msg"]
    result = rotate(fleet, remove_named_files=True)
    assert list(by_dataset(result)) == list(by_dataset(foreseen))
    assert result["removed_files"] == ["/etc/zfs/boot.key"]
    for name in ("tank/p", "tank/q", "tank/r"):
        version = by_dataset(result)[name]["new_key_id"].partition(".")[2]
        assert fleet.host.key_files[f"/etc/zfs/boot.{version}.key"] == active_key(fleet, name).secret


def test_the_file_that_was_there_first_stays_and_those_of_rotations_go(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    first = rotate(fleet, name="tank/boot")
    assert "removed_files" not in first
    second = rotate(fleet, name="tank/boot")
    version = by_dataset(first)["tank/boot"]["new_key_id"].partition(".")[2]
    assert second["removed_files"] == [f"/etc/zfs/boot.{version}.key"]
    assert "/etc/zfs/boot.key" in fleet.host.key_files


def test_files_go_by_one_command_and_what_cannot_go_is_told(fleet: Controller) -> None:
    paths = [f"/etc/zfs/{name}.key" for name in "abc"]
    roots = [{**FILED, "name": f"tank/{path[9]}-filed", "key_file": path} for path in paths]
    fleet.act("zfs_dataset_key", datasets=roots, escrow=TWO)
    fleet.calls.clear()
    fleet.immutable_files.add("/etc/zfs/b.key")
    result = rotate(fleet, remove_named_files=True)
    assert result["removed_files"] == ["/etc/zfs/a.key", "/etc/zfs/c.key"]
    assert [text for text in result["warnings"] if "could not be removed: rm: cannot remove '/etc/zfs/b.key'" in text]
    commands = [call.arguments["argv"] for call in fleet.calls if call.module == "command"]
    assert [argv[3:] for argv in commands if argv[0] == "rm"] == [paths, *([path] for path in paths)]


@pytest.mark.parametrize("boundary", ["before advance in one", "before zfs_encryption_info", "before command"])
def test_a_file_that_a_run_left_when_it_died_goes_with_a_later_one(fleet: Controller, boundary: str) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    first = by_dataset(rotate(fleet, name="tank/boot"))["tank/boot"]["new_key_id"]
    dies_after_the_change(fleet, boundary)
    finished = rotate(fleet, name="tank/boot", made_before="2001-01-01", max_age_days=None)
    assert not finished.get("failed"), finished["msg"]
    if boundary != "before command":  # all was noted, so that there was nothing to finish
        assert finished["removed_files"] == [f"/etc/zfs/boot.{first.partition('.')[2]}.key"]
    last = by_dataset(rotate(fleet, name="tank/boot"))["tank/boot"]["new_key_id"].partition(".")[2]
    assert sorted(fleet.host.key_files) == sorted(["/etc/zfs/boot.key", f"/etc/zfs/boot.{last}.key"])


def dies_after_the_change(fleet: Controller, boundary: str) -> None:
    fleet.calls.clear()

    def is_there(where: str) -> bool:
        return where == boundary and any(each.module == "zfs_dataset_key" and not each.check for each in fleet.calls)

    fleet.dies_where(is_there, lambda: rotate(fleet, name="tank/boot"))


def test_a_file_of_an_earlier_key_that_opens_something_else_stays(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    version = by_dataset(rotate(fleet, name="tank/boot"))["tank/boot"]["new_key_id"].partition(".")[2]
    key, path = active_key(fleet, "tank/boot").secret.hex(), f"/etc/zfs/boot.{version}.key"
    shared: dict[str, t.Any] = {"name": "tank/other", "key": key, "key_file": path, "keyformat": "raw"}
    assert not fleet.act("zfs_dataset_key", **shared, escrow=TWO).get("failed")
    for _time in range(2):
        assert not rotate(fleet, name="tank/boot").get("failed")
        assert path in fleet.host.key_files


def test_only_files_that_rotations_made_are_looked_for(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    rotate(fleet, name="tank/boot")
    foreign = ("/etc/zfs/boot.0123456789ab.key", "/etc/zfs/boot.old.key", "/etc/zfs/other.key")
    fleet.host.key_files.update(dict.fromkeys(foreign, b"somebody's"))
    assert len(rotate(fleet, name="tank/boot")["removed_files"]) == 1
    assert set(foreign) < set(fleet.host.key_files)


def test_where_nothing_is_done_no_file_is_looked_for(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    rotate(fleet, name="tank/boot")
    fleet.calls.clear()
    assert rotate(fleet, max_age_days=9)["changed"] is False
    assert fleet.modules == ["zfs_encryption_info", "zfs_encryption_info"]


def test_no_file_goes_that_a_checkpoint_may_need(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    with fleet.host.checkpointed("tank"):
        result = rotate(fleet, name="tank/boot", remove_named_files=True, despite_checkpoint=True)
    assert "removed_files" not in result
    assert "/etc/zfs/boot.key" in fleet.host.key_files


def test_a_look_that_fails_afterwards_leaves_files_and_says_so(fleet: Controller) -> None:
    fleet.act("zfs_dataset_key", **FILED, escrow=TWO)
    looks = 0

    def fails_late(where: str) -> None:
        nonlocal looks
        looks += where == "before zfs_encryption_info"
        if looks == 4:
            fleet.host.fail_on("pools", "", CallFailed("the host is gone"))

    fleet.moment = fails_late
    result = rotate(fleet, name="tank/boot", remove_named_files=True)
    assert "may be left on the host" in str(result["warnings"])
    assert list(by_dataset(result)) == ["tank/boot"]


@pytest.mark.parametrize("place", ["/run/keys/a.key", "/var/run/keys/a.key", "/dev/disk/by-id/usb"])
def test_a_key_file_that_does_not_last_gets_no_version_beside_it(fleet: Controller, place: str) -> None:
    fleet.act("zfs_dataset_key", **{**FILED, "key_file": place}, escrow=TWO)
    assert "lies where a restart leaves nothing" in refused(fleet, name="tank/boot")


# -- moments


@pytest.mark.parametrize("text", ["2026-11-30T18:00:00Z", "2026-11-30T19:00:00+01:00", "2026-11-30T18:00:00"])
def test_a_moment_is_read_as_people_write_it(text: str) -> None:
    assert _record.moment_from(text, option="made_before") == "2026-11-30T18:00:00.000000Z"


def test_a_moment_that_is_none_is_refused_by_its_option(fleet: Controller) -> None:
    assert "made_before is no time" in refused(fleet, max_age_days=None, made_before="yesterday")


def test_a_moment_to_come_is_refused(fleet: Controller) -> None:
    assert "every run would replace them all" in refused(fleet, max_age_days=None, made_before="2100-01-01")
    assert "every run would replace them all" in refused(fleet, max_age_days=-1)


def test_nothing_goes_back_to_a_moment_to_come(fleet: Controller) -> None:
    assert "back_to is a moment to come" in refused(fleet, max_age_days=None, back_to="2099-01-01")


def test_a_key_that_was_made_while_a_clock_was_ahead_is_named(
    fleet: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        ahead.setattr(_record, "now", lambda: "2099-01-01T00:00:00.000000Z")
        made = by_dataset(rotate(fleet, name="tank/w"))["tank/w"]["new_key_id"]
    result = rotate(fleet, max_age_days=None, made_before=after_now())
    (warning,) = result["warnings"]
    assert f"The key of tank/w, {made}, counts as made at 2099-01-01" in warning
    assert result["already"] == ["tank/w"]
    assert "warnings" not in rotate(fleet)


def test_days_are_counted_from_now() -> None:
    day = dt.timedelta(days=1)
    expected = dt.datetime.now(dt.timezone.utc) - day
    assert _record.days_ago(1, option="max_age_days")[:16] == expected.strftime("%Y-%m-%dT%H:%M")


def test_moments_long_ago_come_before_those_of_today(fleet: Controller) -> None:
    assert _record.moment_from("0931-01-01", option="made_before") == "0931-01-01T00:00:00.000000Z"
    assert rotate(fleet, max_age_days=400_000)["already"] == ["tank/a", "tank/w", "tank/a/b"]
    assert "escrow has no key that was seen to open it" in refused(fleet, max_age_days=None, back_to="0931-01-01")


def test_moments_that_no_calendar_has_are_refused(fleet: Controller) -> None:
    for days in (1e7, float("inf"), float("nan")):
        assert "max_age_days is" in refused(fleet, max_age_days=days)
    assert "made_before is no time" in refused(fleet, max_age_days=None, made_before="0001-01-01T00:00:00+02:00")


# -- keys that somebody set beside us


def test_a_key_that_is_taken_in_later_follows_those_that_the_root_had(fleet: Controller) -> None:
    old = active_key(fleet, "tank/a").secret.hex()
    entry: dict[str, t.Any] = {"name": "tank/a", "key": KEY_TEXT, "update_key": "always", "current": {"key": old}}
    assert not fleet.act("zfs_dataset_key", **entry).get("failed")
    taken = fleet.act("zfs_key_escrow", name="tank/a", secrets=[{"name": "tank/a", "key": KEY_TEXT}], escrow=TWO)
    assert taken["adopted"] == ["tank/a"]
    assert states(fleet)["tank/a"] == ["deactivated", "active"]
    (record,) = {key_id.record for key_id, kept in fleet.drawer("one").keys.items() if kept.version.dataset == "tank/a"}
    assert taken["key_ids"]["tank/a"].startswith(record)
