# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in escrow, offered: unlocking, locking, exporting, importing, and the summary. Nothing is written there."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept

from .acting import Controller
from .trees import KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [*ONE, {"type": "memory", "name": "two"}]
BATCH: list[dict[str, t.Any]] = [
    {"name": "tank/a"},
    {"name": "tank/a/b"},
    {"name": "tank/w", "keyformat": "passphrase", "pbkdf2iters": 100_000},
]
ROOTS = ["tank/a", "tank/a/b", "tank/w"]
TREE: dict[str, t.Any] = {"name": "tank", "recursive": True, "escrow": TWO}


@pytest.fixture
def kept(controller: Controller) -> Controller:
    """A host whose keys are in two drawers, unlocked."""
    assert controller.act("zfs_dataset_key", datasets=BATCH, escrow=TWO)["changed"]
    settle(controller)
    return controller


@pytest.fixture
def locked(kept: Controller) -> Controller:
    assert kept.act("zfs_unlock", state="locked", **TREE)["locked"] == ["tank/a/b", "tank/w", "tank/a"]
    settle(kept)
    return kept


def settle(controller: Controller) -> None:
    controller.calls.clear()
    controller.host.calls.clear()
    for drawer in controller.drawers.values():
        drawer.calls.clear()


def writes(controller: Controller) -> list[str]:
    return [write for drawer in controller.drawers.values() for write in drawer.writes]


def test_what_is_locked_is_unlocked_with_what_is_in_escrow(locked: Controller) -> None:
    foretold = locked.act("zfs_unlock", check=True, **TREE)
    assert locked.host.changes == []
    result = locked.act("zfs_unlock", **TREE)
    assert foretold == result
    assert sorted(result["unlocked"]) == ROOTS
    assert writes(locked) == []
    assert locked.modules[2:] == ["zfs_encryption_info", "zfs_unlock"]
    assert not [text for text in secrets_of(locked) if text in json.dumps(result)]


def secrets_of(controller: Controller) -> list[str]:
    found = [kept.key for kept in controller.drawers["one"].keys.values()]
    return [key.secret.decode() if key.kind == "passphrase" else key.secret.hex() for key in found]


def test_only_what_is_chosen_and_locked_is_read_from_escrow(locked: Controller) -> None:
    result = locked.act("zfs_unlock", name="tank/a", escrow=ONE)
    assert result["unlocked"] == ["tank/a"]
    assert locked.drawers["one"].calls == ["entries", "fetch"]
    settle(locked)
    assert locked.act("zfs_unlock", name="tank/a", escrow=ONE)["already"] == ["tank/a"]
    assert locked.drawers["one"].calls == ["entries"]


def test_locking_wants_a_key_in_escrow_that_opens_again(kept: Controller) -> None:
    assert sorted(kept.act("zfs_unlock", state="locked", **{**TREE, "escrow": ONE})["locked"]) == ROOTS


def test_what_is_not_kept_is_not_locked(controller: Controller) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    result = controller.act("zfs_unlock", state="locked", **TREE)
    assert result["failures"]["tank/a"]["reason"] == "no_key"
    assert controller.act("zfs_unlock", state="locked", verify_key=False, **TREE)["locked"] == ["tank/a"]


def test_one_place_is_enough_to_read_from(locked: Controller) -> None:
    locked.drawers["one"].failing["entries"] = BackendDown("one does not answer.")
    result = locked.act("zfs_unlock", **TREE)
    assert sorted(result["unlocked"]) == ROOTS
    assert result["warnings"] == ["one does not answer."]
    locked.drawers["two"].failing["entries"] = BackendDown("two does not answer.")
    refused = locked.act("zfs_unlock", **TREE)
    assert "None of the places for keys could be read. one does not answer. two does not answer." in refused["msg"]


@pytest.mark.parametrize(
    ("call", "failure"),
    [("entries", BackendDown("one is ill.")), ("fetch", BackendFailed("one is ill."))],
    ids=["entries", "fetch"],
)
def test_a_root_that_nothing_opens_while_escrow_cannot_be_read_says_so(
    controller: Controller, call: str, failure: BackendFailed
) -> None:
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["changed"]
    assert controller.act("zfs_unlock", name="tank/a", state="locked", escrow=ONE)["locked"]
    controller.drawers["one"].failing[call] = failure
    result = controller.act("zfs_unlock", name="tank/a", escrow=TWO)
    remark = "Not all of escrow could be read, and it may have the key; a warning says what is the matter."
    assert result["failures"]["tank/a"]["msg"].endswith(remark)
    assert result["msg"] == result["failures"]["tank/a"]["msg"]
    assert result["warnings"] == ["one is ill."]


def test_who_may_read_what_is_of_one_host_only_unlocks_that(controller: Controller) -> None:
    """As with the policy for one host that the guide on escrow names."""
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["changed"]
    assert controller.act("zfs_dataset_key", name="tank/b", key=KEY_TEXT)["changed"]
    assert controller.act("zfs_unlock", names=["tank/a", "tank/b"], state="locked", verify_key=False)["locked"]
    controller.drawers["one"].failing["elsewhere"] = BackendFailed("one does not let us search.")
    result = controller.act("zfs_unlock", name="tank", recursive=True, escrow=ONE)
    assert (result["unlocked"], list(result["failures"])) == (["tank/a"], ["tank/b"])
    assert result["warnings"] == ["one does not let us search."]


def test_a_root_that_escrow_does_not_know_says_so(controller: Controller) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    result = controller.act("zfs_unlock", state="locked", **TREE)
    assert "Escrow has none for it." in result["msg"]


def test_of_copies_that_differ_the_one_that_opens_is_used_and_it_is_told(locked: Controller) -> None:
    drawer = locked.drawers["one"]
    ((key_id, kept),) = ((k, v) for k, v in drawer.keys.items() if v.version.dataset == "tank/a")
    drawer.damaged[key_id] = Kept(kept.version, OTHER_KEY)
    result = locked.act("zfs_unlock", **TREE)
    assert sorted(result["unlocked"]) == ROOTS
    assert f"The copies of {key_id} for tank/a differ" in result["warnings"][0]


def test_a_secret_of_the_task_comes_first_and_escrow_helps_out(locked: Controller) -> None:
    wrong = [{"name": "tank/a", "key": OTHER_KEY_TEXT}]
    result = locked.act("zfs_unlock", secrets=wrong, **TREE)
    assert sorted(result["unlocked"]) == ROOTS
    offered = [each for each in locked.calls[-1].arguments["secrets"] if each["name"] == "tank/a"]
    assert offered[0] == wrong[0]
    assert len(offered) == 2


def test_a_replica_is_opened_with_the_key_that_its_source_got_meanwhile(kept: Controller) -> None:
    """The host's own records have the key that it had; what the stream brought is in the records of the source."""
    first = kept.host
    drawer = kept.drawers["one"]
    ((key_id, old),) = ((k, v) for k, v in drawer.keys.items() if v.version.dataset == "tank/a")
    wish: dict[str, t.Any] = {"name": "tank/a", "key": OTHER_KEY_TEXT, "update_key": "always"}
    assert kept.act("zfs_dataset_key", escrow=TWO, as_host="source", **wish)["changed"]
    assert kept.act("zfs_unlock", name="tank/a", state="locked", recursive=True, escrow=TWO)["locked"]
    settle(kept)
    assert kept.host is first
    for each in kept.drawers.values():  # the source's version is kept under the source's name only
        assert {entry.version.host for entry in each.entries_by_id.values()} == {"nas1", "source"}
    result = kept.act("zfs_unlock", name="tank/a", escrow=TWO)
    assert result["unlocked"] == ["tank/a"]
    assert result["failures"] == {}
    assert kept.modules == ["zfs_encryption_info", "zfs_unlock", "zfs_unlock"]
    assert drawer.keys[key_id] == old


def test_a_wrong_key_is_a_failure_of_its_root(locked: Controller) -> None:
    for drawer in locked.drawers.values():
        for key_id, kept in drawer.keys.items():
            if kept.version.dataset == "tank/a/b":
                drawer.damaged[key_id] = Kept(kept.version, OTHER_KEY)
    result = locked.act("zfs_unlock", **TREE)
    assert sorted(result["unlocked"]) == ["tank/a", "tank/w"]
    assert result["failures"]["tank/a/b"]["reason"] == "wrong_key"
    assert OTHER_KEY_TEXT not in json.dumps(result)


def test_unknown_names_are_refused_as_without_escrow(kept: Controller) -> None:
    assert "There is no dataset tank/none" in kept.act("zfs_unlock", name="tank/none", escrow=TWO)["msg"]


def test_the_summary_says_what_escrow_opens(locked: Controller) -> None:
    result = locked.act("zfs_encryption_info", escrow=TWO)
    assert [each["valid_key"] for each in result["summary"]] == [True, True, True]
    assert writes(locked) == []
    assert locked.host.changes == []


def test_a_manifest_is_made_of_what_is_in_escrow(locked: Controller, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "keys.json"
    result = locked.act("zfs_key_export", dest_controller=str(path), **TREE)
    assert result["exported"] == ROOTS
    manifest = json.loads(path.read_text())
    assert sorted(manifest.values()) == sorted(secrets_of(locked))
    assert not [text for text in secrets_of(locked) if text in json.dumps(result)]


def test_a_manifest_of_copies_gets_the_keys_of_the_roots_that_they_inherit_from(
    kept: Controller, tmp_path: pathlib.Path
) -> None:
    kept.act("zfs_dataset_key", name="tank/a/child", state="inherited")
    path = tmp_path / "keys.json"
    result = kept.act(
        "zfs_key_export", name="tank/a/child", target_dataset="bk/c", dest_controller=str(path), escrow=ONE
    )
    assert result["exported"] == ["bk/c"]


@pytest.mark.parametrize("by", ["name", "guid"])
def test_a_pool_that_is_imported_is_unlocked_with_what_is_in_escrow(kept: Controller, by: str) -> None:
    guid = kept.host.pools()["tank"].guid
    which: dict[str, t.Any] = {"name": "tank"} if by == "name" else {"guid": guid}
    exported = kept.act("zfs_encrypted_pool", state="exported", escrow=TWO, **which)
    assert exported["changed"], exported
    foretold = kept.act("zfs_encrypted_pool", check=True, state="imported", escrow=TWO, **which)
    assert foretold["changed"]
    assert kept.host.pools() == {}
    result = kept.act("zfs_encrypted_pool", state="imported", escrow=TWO, **which)
    assert sorted(result["unlocked"]) == ROOTS
    assert result["changed"]
    assert [action["action"] for action in result["actions"]].count("import_pool") == 1
    assert result["still_locked"] == []
    again = kept.act("zfs_encrypted_pool", state="imported", escrow=TWO, **which)
    assert again["changed"] is False
    assert writes(kept) == []


def test_a_pool_is_not_exported_while_a_key_is_not_kept(controller: Controller) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    result = controller.act("zfs_encrypted_pool", name="tank", state="exported", escrow=TWO)
    assert result["failed"]
    assert "tank" in controller.host.pools()


def test_destroying_a_pool_reads_nothing_from_escrow(kept: Controller) -> None:
    guid = kept.host.pools()["tank"].guid
    result = kept.act("zfs_encrypted_pool", name="tank", guid=guid, state="absent", force_destroy=True, escrow=TWO)
    assert result["changed"]
    assert [drawer.calls for drawer in kept.drawers.values()] == [[], []]
