# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zfs_key_drill: what is in escrow is tried on every root, and nothing is changed anywhere."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import KeyChange
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed

from .acting import Controller
from .trees import KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [*ONE, {"type": "memory", "name": "two"}]
WORDS = "correct horse"
ROOTS = ["tank/a", "tank/b", "tank/w"]
WELL = {name: ["ok"] for name in ROOTS}


@pytest.fixture
def kept(controller: Controller) -> Controller:
    """A host with three roots, whose keys are in two places."""
    datasets: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/b"},
        {"name": "tank/w", "passphrase": WORDS, "pbkdf2iters": 100_000},
    ]
    assert controller.act("zfs_dataset_key", datasets=datasets, escrow=TWO)["changed"]
    forget_calls(controller)
    return controller


def forget_calls(controller: Controller) -> None:
    controller.host.calls.clear()
    controller.calls.clear()
    for drawer in controller.drawers.values():
        drawer.calls.clear()


def drill(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    """Drill, and see that nothing was changed."""
    result = controller.act("zfs_key_drill", **{"escrow": TWO, "min_iterations": 100_000, **options})
    assert not result.get("changed")
    assert controller.host.changes == []
    assert [drawer.writes for drawer in controller.drawers.values() if drawer.writes] == []
    return result


def found(result: dict[str, t.Any]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for each in result["findings"]:
        kinds.setdefault(each["dataset"], []).append(each["finding"])
    return kinds


def counted(result: dict[str, t.Any]) -> tuple[int, int, int, int]:
    return result["drilled"], result["opened"], result["ok"], result["failing"]


def by_hand(controller: Controller, **options: t.Any) -> None:
    """Do something on the host beside escrow."""
    assert controller.act("zfs_dataset_key", **options)["changed"]
    forget_calls(controller)


@pytest.mark.parametrize("locked", [False, True], ids=["unlocked", "locked"])
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_all_is_well(kept: Controller, locked: bool, check: bool) -> None:
    if locked:
        assert kept.act("zfs_unlock", name="tank", recursive=True, state="locked", escrow=TWO)["changed"]
        forget_calls(kept)
    result = drill(kept, check=check)
    assert not result.get("failed")
    assert found(result) == WELL
    assert counted(result) == (3, 3, 3, 0)
    assert result["places"] == [{"name": "one", "readable": True}, {"name": "two", "readable": True}]
    assert kept.modules == [f"zfs_encryption_info{' (check)' if check else ''}"] * 2
    said = kept.act("zfs_key_escrow_info", escrow=TWO)["versions"]
    assert {each["dataset"]: each["key_id"] for each in result["findings"]} == {
        each["dataset"]: each["key_id"] for each in said
    }


def test_no_key_shows(kept: Controller) -> None:
    seen: list[t.Any] = []
    kept.seen = seen.append
    by_hand(kept, name="tank/b", key=KEY_TEXT, update_key="always", escrow=TWO)
    kept.drawers["two"].keys.clear()
    seen.append(drill(kept, min_iterations=350_000))
    for secret in (KEY_TEXT, WORDS):
        assert secret not in json.dumps(seen)


def test_a_root_without_a_key_in_escrow_is_missing(kept: Controller) -> None:
    by_hand(kept, name="tank/c", key=OTHER_KEY_TEXT)
    result = drill(kept)
    assert found(result)["tank/c"] == ["missing"]
    assert counted(result) == (4, 3, 3, 1)
    assert result["failed"]
    assert "Escrow has no key for tank/c. It is unlocked, and may never be again" in result["msg"]


def test_a_key_that_was_set_beside_escrow_is_told(kept: Controller) -> None:
    by_hand(kept, name="tank/a", key=OTHER_KEY_TEXT, update_key="always", current={"key": KEY_TEXT})
    result = drill(kept)
    assert found(result)["tank/a"] == ["missing", "changed_behind"]
    assert "No key in escrow opens tank/a, and 1 was tried" in result["msg"]
    assert result["failing"] == 2


def test_the_same_passphrase_set_again_is_told(kept: Controller) -> None:
    same = kept.drawers["one"].keys[_id(kept, "tank/w")].key
    kept.host.change_key(KeyChange("tank/w", "passphrase", same, "prompt", 100_000))
    forget_calls(kept)
    result = drill(kept)
    assert found(result)["tank/w"] == ["changed_behind"]
    assert "its salt is another one" in result["msg"]
    assert counted(result) == (3, 3, 2, 1)


def test_an_old_key_that_was_set_again_is_told(kept: Controller) -> None:
    old = kept.drawers["one"].keys[_id(kept, "tank/a")].key
    by_hand(kept, name="tank/a", key=OTHER_KEY_TEXT, update_key="always", escrow=TWO)
    assert found(drill(kept))["tank/a"] == ["ok"]
    kept.host.change_key(KeyChange("tank/a", "hex", old, "prompt"))
    forget_calls(kept)
    result = drill(kept)
    assert found(result)["tank/a"] == ["changed_behind"]
    assert counted(result) == (3, 3, 2, 1)
    kept.host.set_properties("tank/a", {"zfsfleet.encryption:key_id": ""})
    forget_calls(kept)
    result = drill(kept)
    assert found(result)["tank/a"] == ["stale"]
    assert "which is active, does not open it" in result["msg"]


def test_copies_that_differ_are_told_and_which_of_them_opens(kept: Controller) -> None:
    key_id = _id(kept, "tank/a")
    drawer = kept.drawers["one"]
    drawer.damaged[key_id] = dataclasses.replace(drawer.keys[key_id], key=OTHER_KEY)
    result = drill(kept)
    assert found(result)["tank/a"] == ["disagreeing"]
    assert "one key is in one, another in two" in result["msg"]
    assert "The key that is named second opens tank/a." in result["msg"]
    assert result["opened"] == 3


def test_a_place_that_lacks_a_key_is_told(kept: Controller) -> None:
    key_id = _id(kept, "tank/b")
    del kept.drawers["two"].keys[key_id], kept.drawers["two"].entries_by_id[key_id]
    result = drill(kept)
    assert found(result)["tank/b"] == ["uneven"]
    assert f"The key {key_id} of tank/b is in one and not in two." in result["msg"]


def test_a_place_that_lists_a_key_and_does_not_give_it_back_is_told(kept: Controller) -> None:
    del kept.drawers["two"].keys[_id(kept, "tank/b")]
    result = drill(kept)
    assert found(result)["tank/b"] == ["unread"]
    assert "which two should hold as well and did not give back" in result["msg"]
    del kept.drawers["one"].keys[_id(kept, "tank/b")]
    result = drill(kept)
    assert found(result)["tank/b"] == ["unproven"]
    assert counted(result) == (3, 2, 2, 1)


def test_a_place_that_is_down_is_told_and_the_other_is_drilled(kept: Controller) -> None:
    kept.drawers["two"].failing["entries"] = BackendDown("two does not answer.")
    result = drill(kept)
    assert found(result) == {"": ["unread"], **WELL}
    assert result["warnings"] == ["two does not answer."]
    assert result["failed"]
    assert not drill(kept, fail_on=["missing"]).get("failed")
    by_hand(kept, name="tank/c", key=OTHER_KEY_TEXT)
    assert found(drill(kept))["tank/c"] == ["unproven"]


def test_no_place_that_answers_fails(kept: Controller) -> None:
    for drawer in kept.drawers.values():
        drawer.failing["entries"] = BackendFailed(f"{drawer.name} is torn.")
    result = drill(kept)
    assert result["failed"]
    assert "None of the places for keys could be read. one is torn. two is torn." in result["msg"]


def test_what_has_no_dataset_is_told_and_fails_nothing(kept: Controller) -> None:
    by_hand(kept, name="tank/b", state="absent", force_destroy=True)
    result = drill(kept)
    assert found(result)["tank/b"] == ["orphaned"]
    assert not result.get("failed")
    assert drill(kept, fail_on=["orphaned"])["failed"]


def test_a_key_that_was_given_up_for_that_of_a_parent_is_told_as_such(kept: Controller) -> None:
    by_hand(kept, name="tank/a/c", escrow=TWO)
    by_hand(kept, name="tank/a/c", state="inherited", escrow=TWO)
    (finding,) = (each for each in drill(kept)["findings"] if each["finding"] == "orphaned")
    assert finding["msg"].startswith(f"tank/a/c, which {finding['key_id']} opened, has no key of its own any more.")


def test_a_key_that_was_made_for_nothing_yet_is_told(kept: Controller) -> None:
    kept.drawers["two"].failing["put"] = BackendFailed("two is full.")
    assert kept.act("zfs_dataset_key", name="tank/never", escrow=TWO)["failed"]
    kept.drawers["two"].failing.clear()
    forget_calls(kept)
    result = drill(kept)
    assert found(result)["tank/never"] == ["orphaned"]
    assert "was made for tank/never and opens nothing" in next(
        each["msg"] for each in result["findings"] if each["dataset"] == "tank/never"
    )


def test_a_key_that_was_made_for_what_has_another_one_is_told_as_such(kept: Controller) -> None:
    kept.drawers["two"].failing["put"] = BackendFailed("two is full.")
    assert kept.act("zfs_dataset_key", name="tank/c", escrow=TWO)["failed"]
    kept.drawers["two"].failing.clear()
    assert kept.act("zfs_dataset_key", name="tank/c", escrow=TWO[1:])["changed"]
    by_hand(kept, name="tank/c", escrow=TWO)
    forget_calls(kept)
    (finding,) = (each for each in drill(kept)["findings"] if each["finding"] == "orphaned")
    assert f"{finding['key_id']} was made for tank/c, which has another key" in finding["msg"]
    assert "run it again" not in finding["msg"]


def test_a_run_that_ended_before_it_noted_its_key_is_told(kept: Controller) -> None:
    for drawer in kept.drawers.values():
        drawer.failing["bind"] = BackendFailed(f"{drawer.name} is full.")
    assert kept.act("zfs_dataset_key", name="tank/c", escrow=TWO)["failed"]
    for drawer in kept.drawers.values():
        drawer.failing.clear()
    forget_calls(kept)
    assert found(drill(kept))["tank/c"] == ["stale"]
    by_hand(kept, name="tank/c", escrow=TWO)
    assert found(drill(kept))["tank/c"] == ["ok"]


def test_what_was_renamed_before_its_key_was_noted_is_no_orphan(kept: Controller) -> None:
    for drawer in kept.drawers.values():
        drawer.failing["bind"] = BackendFailed(f"{drawer.name} is full.")
    assert kept.act("zfs_dataset_key", name="tank/c", escrow=TWO)["failed"]
    for drawer in kept.drawers.values():
        drawer.failing.clear()
    kept.host.rename("tank/c", "tank/z")
    forget_calls(kept)
    assert found(drill(kept)) == {**WELL, "tank/z": ["stale"]}


def test_roots_with_one_key_are_told(kept: Controller) -> None:
    by_hand(kept, name="tank/c", key=KEY_TEXT, escrow=TWO)
    result = drill(kept)
    assert (found(result)["tank/a"], found(result)["tank/c"]) == (["duplicated_key"], ["duplicated_key"])
    assert not result.get("failed")
    (first,) = [each for each in result["findings"] if each["dataset"] == "tank/a"]
    assert f"tank/a ({_id(kept, 'tank/a')}) has the same key as tank/c ({_id(kept, 'tank/c')})" in first["msg"]


def test_few_rounds_are_told(kept: Controller) -> None:
    by_hand(kept, name="tank/weak", passphrase=f"{WORDS} too", pbkdf2iters=100_001, escrow=TWO)
    result = drill(kept, min_iterations=100_002)
    assert found(result)["tank/weak"] == ["weak_iterations"]
    assert not result.get("failed")
    assert found(drill(kept, min_iterations=100_001))["tank/weak"] == ["ok"]
    assert drill(kept, min_iterations=100_002, fail_on=["weak_iterations"])["failed"]


def test_a_compromised_key_is_told(kept: Controller) -> None:
    kept.act("zfs_key_escrow", key_id=str(_id(kept, "tank/a")), key_state="compromised", escrow=TWO)
    forget_calls(kept)
    assert found(drill(kept))["tank/a"] == ["compromised"]


def test_a_part_of_the_host_is_drilled(kept: Controller) -> None:
    by_hand(kept, name="tank/b", state="absent", force_destroy=True)
    assert found(drill(kept, name="tank/a")) == {"tank/a": ["ok"]}
    assert found(drill(kept, name="tank", recursive=True)) == {
        "tank/a": ["ok"],
        "tank/w": ["ok"],
        "tank/b": ["orphaned"],
    }


def test_a_renamed_root_is_found(kept: Controller) -> None:
    kept.host.rename("tank/a", "tank/z")
    forget_calls(kept)
    assert found(drill(kept)) == {"tank/b": ["ok"], "tank/w": ["ok"], "tank/z": ["ok"]}
    assert found(drill(kept, name="tank/b")) == {"tank/b": ["ok"]}


def test_what_moved_to_another_pool_is_no_orphan(kept: Controller) -> None:
    kept.host.add_pool("bk")
    kept.host.replicate("tank/b", "bk/b")
    kept.host.sweep("tank/b")
    assert found(drill(kept, name="tank", recursive=True)) == {"tank/a": ["ok"], "tank/w": ["ok"]}
    assert found(drill(kept)) == {"tank/a": ["ok"], "tank/w": ["ok"], "bk/b": ["ok"]}


def test_a_host_that_has_another_name_now_is_drilled(kept: Controller) -> None:
    assert found(drill(kept, as_host="nas7")) == WELL


def test_a_pool_that_is_not_imported_is_told(kept: Controller) -> None:
    assert kept.act("zfs_encrypted_pool", name="tank", state="exported", escrow=TWO)["changed"]
    forget_calls(kept)
    result = drill(kept)
    assert found(result) == {"tank": ["unseen"]}
    assert "so 3 keys in escrow for it were not tried" in result["findings"][0]["msg"]
    assert drill(kept, name="tank", recursive=True)["failed"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "tank/none"}, "There is no dataset tank/none"),
        ({"name": "lake"}, "There is no pool lake on this host"),
        ({"name": "tank"}, "tank is not encrypted and has no key"),
        ({"escrow": []}, "This module works on the controller"),
        ({"fail_on": ["bad luck"]}, "fail_on is none of missing"),
        ({"name": "tank/a", "names": ["tank/b"]}, "Give name or names, not both"),
    ],
)
def test_what_makes_no_sense_is_refused(kept: Controller, options: dict[str, t.Any], sentence: str) -> None:
    result = drill(kept, **options)
    assert result["failed"]
    assert sentence in result["msg"]


def _id(controller: Controller, dataset: str) -> t.Any:
    ids = [each.key_id for each in controller.drawers["one"].entries_by_id.values() if each.version.dataset == dataset]
    return ids[0]
