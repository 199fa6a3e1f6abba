# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets and pools whose keys are in escrow before they are used: whole tasks, from the action plugin to the host."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept

from .acting import Controller
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [*ONE, {"type": "memory", "name": "two"}]
BATCH: list[dict[str, t.Any]] = [
    {"name": "tank/a"},
    {"name": "tank/a/child", "state": "inherited"},
    {"name": "tank/w", "keyformat": "passphrase", "pbkdf2iters": 100_000},
    {"name": "tank/disk", "keyformat": "raw", "volsize": "100M"},
    {"name": "tank/plain", "encryption": "off"},
]
ROOTS = ["tank/a", "tank/disk", "tank/w"]


def keys_of(controller: Controller, dataset: str, drawer: str = "one") -> list[Key]:
    return [kept.key for kept in controller.drawers[drawer].keys.values() if kept.version.dataset == dataset]


def opens(controller: Controller, dataset: str, key: Key) -> bool:
    root = controller.host.dataset(dataset)
    assert root is not None
    return controller.host.verify(root, key).outcome == "opens"


def actions(result: dict[str, t.Any]) -> list[str]:
    return [f"{action['action']} {action['dataset']}" for action in result["actions"]]


def fill(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_dataset_key", **{"datasets": BATCH, "escrow": TWO, **options})


# -- creation


def test_a_batch_gets_its_keys_from_escrow_and_is_unchanged_in_the_next_run(controller: Controller) -> None:
    result = fill(controller)
    assert (result["changed"], result.get("failed"), result.get("warnings")) == (True, None, None)
    assert sorted(result["key_ids"]) == ROOTS
    for dataset in ROOTS:
        (key,) = keys_of(controller, dataset)
        assert keys_of(controller, dataset, "two") == [key]
        assert opens(controller, dataset, key)
    for drawer in controller.drawers.values():
        assert drawer.states() == {dataset: ["active"] for dataset in ROOTS}
        assert drawer.is_closed
    controller.host.calls.clear()
    writes = {name: list(drawer.writes) for name, drawer in controller.drawers.items()}
    again = fill(controller)
    assert (again["changed"], again["actions"], again["already"]) == (False, [], sorted(ROOTS))
    assert again["key_ids"] == result["key_ids"]
    assert controller.host.changes == []
    assert {name: drawer.writes for name, drawer in controller.drawers.items()} == writes


def test_keys_are_kept_before_the_host_changes_and_noted_only_after_it_proved_them(controller: Controller) -> None:
    moments: list[str] = []
    controller.moment = moments.append
    fill(controller, datasets=[{"name": "tank/a"}], escrow=ONE)
    happened = [moment for moment in moments if moment.startswith("after")]
    assert happened == [
        "after entries in one",
        "after zfs_encryption_info",
        "after find_out in one",
        "after zfs_dataset_key",
        "after put in one",
        "after fetch in one",
        "after zfs_dataset_key",
        "after zfs_encryption_info",
        "after bind in one",
        "after advance in one",
    ]
    rehearsal, real = (call for call in controller.calls if call.module == "zfs_dataset_key")
    assert (rehearsal.check, real.check) == (True, False)


@pytest.mark.parametrize("number", [1, 40])
def test_the_number_of_calls_does_not_grow_with_the_datasets(controller: Controller, number: int) -> None:
    datasets = [{"name": f"tank/{each}"} for each in range(number)]
    assert fill(controller, datasets=datasets)["changed"]
    assert len(controller.calls) == 4
    controller.calls.clear()
    for drawer in controller.drawers.values():
        drawer.calls.clear()
    assert fill(controller, datasets=datasets)["changed"] is False
    assert controller.modules == ["zfs_encryption_info", "zfs_dataset_key"]
    for drawer in controller.drawers.values():
        assert drawer.calls == ["entries", *["fetch"] * number]


def test_the_host_learns_nothing_of_escrow_and_nobody_sees_a_key(controller: Controller) -> None:
    results = [fill(controller, check=True), fill(controller), fill(controller)]
    for call in controller.calls:
        assert "escrow" not in call.arguments
        assert "escrow_require" not in call.arguments
    shown = json.dumps(results)
    for dataset in ROOTS:
        (key,) = keys_of(controller, dataset)
        assert key.secret.hex() not in shown
        assert key.secret.decode("latin-1") not in shown


def test_a_new_root_says_which_key_it_has(controller: Controller) -> None:
    result = fill(controller)
    (info,) = (each for each in controller.act("zfs_encryption_info")["roots"] if each["name"] == "tank/a")
    (kept,) = (each for each in controller.drawers["one"].keys.values() if each.version.dataset == "tank/a")
    assert info["key_id"] == result["key_ids"]["tank/a"] == str(kept.version.key_id)
    assert info["rotated_at"] == kept.version.created


def test_a_generated_passphrase_is_one(controller: Controller) -> None:
    fill(controller)
    (key,) = keys_of(controller, "tank/w")
    assert key.kind == "passphrase"
    (kept,) = (each for each in controller.drawers["one"].keys.values() if each.version.dataset == "tank/w")
    assert (kept.version.keyformat, kept.version.iterations) == ("passphrase", 100_000)
    (entry,) = (each for each in controller.drawers["one"].entries_by_id.values() if each.version.dataset == "tank/w")
    (binding,) = entry.bindings
    root = controller.host.dataset("tank/w")
    assert root is not None
    assert (binding.salt, binding.keyguid) == (root.value("pbkdf2salt"), root.value("keyguid"))


def test_one_dataset_without_a_list_is_the_same(controller: Controller) -> None:
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["changed"]
    assert opens(controller, "tank/a", keys_of(controller, "tank/a")[0])
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["changed"] is False


def test_what_inherits_becomes_a_root_with_a_key_of_its_own(controller: Controller) -> None:
    fill(controller)
    result = fill(controller, datasets=[{"name": "tank/a/child"}])
    assert "change_key tank/a/child" in actions(result)
    assert opens(controller, "tank/a/child", keys_of(controller, "tank/a/child")[0])


def test_a_given_key_is_kept_before_it_is_used(controller: Controller) -> None:
    result = fill(controller, datasets=[{"name": "tank/a", "key": KEY_TEXT}])
    assert actions(result)[:2] == ["escrow_key tank/a", "create tank/a"]
    assert keys_of(controller, "tank/a") == keys_of(controller, "tank/a", "two") == [KEY]
    assert fill(controller, datasets=[{"name": "tank/a", "key": KEY_TEXT}])["changed"] is False
    assert fill(controller, datasets=[{"name": "tank/a"}])["changed"] is False


def test_defaults_of_the_task_hold_for_its_entries(controller: Controller) -> None:
    datasets = [{"name": "tank/a"}, {"name": "tank/b", "key": KEY_TEXT}, {"name": "tank/c", "encryption": "off"}]
    result = fill(controller, datasets=datasets, generate_key=True, keyformat="raw", properties={"compression": "zstd"})
    assert result["changed"]
    for name in ("tank/a", "tank/b"):
        root = controller.host.datasets(["tank"], ["compression"]).datasets[name]
        assert (root.keyformat, root.value("compression")) == ("raw", "zstd")
    assert keys_of(controller, "tank/b") == [KEY]
    assert keys_of(controller, "tank/c") == []


def test_without_escrow_said_aloud_nothing_is_kept(controller: Controller) -> None:
    result = controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT, escrow=[])
    assert result["changed"]
    assert "key_ids" not in result
    assert controller.modules == ["zfs_dataset_key"]
    assert "escrow" not in controller.calls[0].arguments


# -- check mode


def test_check_mode_foretells_asks_every_place_and_writes_nothing(controller: Controller) -> None:
    foretold = fill(controller, check=True)
    assert controller.host.changes == []
    for drawer in controller.drawers.values():
        assert drawer.calls == ["entries", "find_out"]
    assert foretold["key_ids"] == {}
    real = fill(controller)
    assert actions(foretold) == actions(real)
    assert foretold["changed"]
    again = fill(controller, check=True)
    assert (again["changed"], again["key_ids"]) == (False, real["key_ids"])


def test_check_mode_foretells_that_a_place_refuses(controller: Controller) -> None:
    controller.drawer("two").failing["find_out"] = BackendFailed("two is read-only.")
    foretold = fill(controller, check=True)
    assert foretold["refused"]
    assert "1 of 2 places for keys could be written to; 2 are required. two is read-only." in foretold["msg"]
    assert fill(controller, check=True, escrow_require=1)["changed"]


def test_check_mode_knows_a_host_without_pools(controller: Controller) -> None:
    result = fill(controller, check=True, datasets=[{"name": "lake/a"}])
    assert result["changed"]
    assert "There is no pool lake on this host" in str(result["warnings"])
    assert fill(controller, datasets=[{"name": "lake/a"}])["refused"]


# -- refusals come before any key is made


@pytest.mark.parametrize(
    ("datasets", "sentence"),
    [
        ([{"name": "lake/a"}], "There is no pool lake on this host"),
        ([{"name": "tank/b/c"}], "tank/b/c has no parent"),
        ([{"name": "tank/there"}], "tank/there is an encryption root and escrow has no key for it"),
        ([{"name": "tank/there", "key": OTHER_KEY_TEXT}], "The key given does not open it either"),
        ([{"name": "tank/plain"}], "is there and not encrypted"),
        ([{"name": "tank/a", "generate_key": False}], "generate_key: false keeps one from being made"),
        ([{"name": "tank/a", "key_file": "/etc/other"}], "holds something else than the key given"),
        ([{"name": "tank/there", "key_file": "/etc/other"}], "has no key that opens tank/there, and the host has none"),
        ([{"name": "tank/there", "key_file": "/etc/none"}], "Its key file /etc/none is not there"),
        ([{"name": "tank/a", "properties": {"used": "1G"}}], "used of tank/a is what OpenZFS tells about a dataset"),
        ([{"name": "tank/a"}, {"name": "tank/zeros", "key": "0" * 64}], "tank/zeros is all zeros"),
        ([{"name": "tank/a", "key": "0a"}], "is not 64 hexadecimal digits"),
    ],
)
def test_what_is_refused_leaves_nothing_behind_anywhere(
    controller: Controller, datasets: list[dict[str, t.Any]], sentence: str
) -> None:
    controller.act("zfs_dataset_key", datasets=[{"name": "tank/there", "key": KEY_TEXT}])
    controller.act("zfs_dataset_key", name="tank/plain", encryption=False)
    controller.host.key_files["/etc/other"] = OTHER_KEY_TEXT.encode()
    controller.host.calls.clear()
    result = fill(controller, datasets=datasets)
    assert result["failed"]
    assert sentence in result["msg"]
    assert not [drawer.writes for drawer in controller.drawers.values() if drawer.writes]
    assert controller.host.changes == []


def test_places_that_make_no_sense_are_refused_before_the_host_is_asked(controller: Controller) -> None:
    for options, sentence in (
        ({"escrow": [{"type": "memry"}]}, "is of no type that is known"),
        ({"escrow": ONE, "escrow_require": 2}, "escrow_require is no number from 1 to 1"),
        ({"escrow": None, "escrow_require": 1}, "and escrow names none"),
    ):
        result = fill(controller, **options)
        assert result["refused"]
        assert sentence in result["msg"]
    assert controller.calls == []


def test_options_that_contradict_each_other_are_the_modules_to_refuse(controller: Controller) -> None:
    for options in ({"datasets": [{"key": KEY_TEXT}]}, {"name": "tank/a"}):
        result = fill(controller, **options)
        assert result["failed"]
        assert KEY_TEXT not in result["msg"]
    assert controller.host.changes == []
    assert not [drawer.writes for drawer in controller.drawers.values() if drawer.writes]


def test_escrow_that_reaches_the_host_is_refused_there(controller: Controller) -> None:
    result = controller._run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, escrow=ONE)
    assert "escrow came to the host, where nothing knows of escrow" in result["msg"]
    assert controller.host.changes == []


# -- quorum, copies


def test_too_few_places_keep_the_host_as_it_was_and_the_key_for_the_next_run(controller: Controller) -> None:
    controller.drawer("two").failing["put"] = BackendFailed("two is full.")
    result = fill(controller, datasets=[{"name": "tank/a"}])
    assert result["refused"]
    assert "1 of 2 places for keys hold the key" in result["msg"]
    assert controller.host.changes == []
    (key,) = keys_of(controller, "tank/a")
    controller.drawers["two"].failing.clear()
    assert fill(controller, datasets=[{"name": "tank/a"}])["changed"]
    assert keys_of(controller, "tank/a") == keys_of(controller, "tank/a", "two") == [key]
    assert opens(controller, "tank/a", key)


def test_a_place_that_gives_back_something_else_keeps_the_key_from_being_used(controller: Controller) -> None:
    drawer = controller.drawer("two")

    def damage(where: str) -> None:
        if where == "after put in two":
            drawer.damaged.update({key_id: Kept(kept.version, OTHER_KEY) for key_id, kept in drawer.keys.items()})

    controller.moment = damage
    result = fill(controller, datasets=[{"name": "tank/a"}])
    assert "two gave back something else than the key" in result["msg"]
    assert controller.host.changes == []


def test_a_place_that_comes_later_gets_what_is_there(controller: Controller) -> None:
    fill(controller, escrow=ONE)
    assert fill(controller, check=True)["changed"]
    result = fill(controller)
    assert sorted(actions(result)) == [f"note_key {dataset}" for dataset in ROOTS]
    assert controller.drawers["two"].states() == {dataset: ["active"] for dataset in ROOTS}
    assert controller.drawers["two"].keys == controller.drawers["one"].keys
    assert fill(controller)["changed"] is False


def test_places_that_a_key_did_not_get_to_are_not_said_to_have_it_and_change_nothing(controller: Controller) -> None:
    controller.drawer("two").failing["put"] = BackendFailed("two is full.")
    wish: dict[str, t.Any] = {"datasets": [{"name": "tank/a"}], "escrow_require": 1}
    assert fill(controller, **wish)["actions"][0]["after"] == {"places": ["one"]}
    again = fill(controller, **wish)
    assert (again["changed"], again["actions"], again["warnings"]) == (False, [], ["two is full."])
    controller.drawers["two"].failing.clear()
    assert fill(controller, **wish)["actions"][0]["after"] == {"places": ["one", "two"]}
    assert fill(controller, **wish)["changed"] is False


def test_a_place_that_is_down_is_told_and_nothing_is_lost(controller: Controller) -> None:
    fill(controller)
    controller.drawers["two"].failing["entries"] = BackendDown("two does not answer.")
    result = fill(controller)
    assert (result["changed"], result["warnings"]) == (False, ["two does not answer."])
    more = [*BATCH, {"name": "tank/more"}]
    refused = fill(controller, datasets=more)
    assert refused["refused"]
    assert "1 of 2 places for keys could be written to" in refused["msg"]
    assert fill(controller, datasets=more, escrow_require=1)["changed"]
    controller.drawers["two"].failing.clear()
    assert actions(fill(controller, datasets=more)) == ["note_key tank/more"]


def test_a_copy_that_disagrees_is_told_and_the_host_decides(controller: Controller) -> None:
    fill(controller)
    for name in ("one", "two"):
        drawer = controller.drawers[name]
        ((key_id, kept),) = ((k, v) for k, v in drawer.keys.items() if v.version.dataset == "tank/a")
        drawer.damaged[key_id] = Kept(kept.version, OTHER_KEY)
        result = fill(controller)
        assert result["changed"] is False
        (warning,) = result["warnings"]
        assert f"The copies of {key_id} for tank/a differ" in warning
        drawer.damaged.clear()


def test_copies_that_differ_do_not_make_a_root(controller: Controller) -> None:
    controller.host.fail_on("create", "tank/a", CallFailed("out of space"))
    fill(controller, datasets=[{"name": "tank/a"}])
    controller.host.faults.clear()
    drawer = controller.drawers["two"]
    drawer.damaged.update({key_id: Kept(kept.version, OTHER_KEY) for key_id, kept in drawer.keys.items()})
    fill(controller, datasets=[{"name": "tank/a"}])
    assert not opens(controller, "tank/a", OTHER_KEY)
    assert drawer.states()["tank/a"] == ["pre-active", "active"]


# -- what is there already


def test_a_root_whose_given_key_is_not_in_escrow_is_taken_in_and_the_host_is_left_alone(
    controller: Controller,
) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    controller.host.calls.clear()
    assert fill(controller, check=True, datasets=[{"name": "tank/a", "key": KEY_TEXT}])["changed"]
    result = fill(controller, datasets=[{"name": "tank/a", "key": KEY_TEXT}])
    assert actions(result) == ["escrow_key tank/a"]
    assert controller.host.changes == []
    assert keys_of(controller, "tank/a") == [KEY]
    assert controller.drawers["two"].states() == {"tank/a": ["active"]}
    assert fill(controller, datasets=[{"name": "tank/a"}])["changed"] is False


def test_a_renamed_root_is_known_by_its_master_key(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    controller.host.rename("tank/a", "tank/z")
    result = fill(controller, datasets=[{"name": "tank/z"}])
    assert actions(result) == ["note_key tank/z"]
    assert len(controller.drawers["one"].keys) == 1
    assert fill(controller, datasets=[{"name": "tank/z"}])["changed"] is False


def test_a_root_that_was_renamed_before_its_key_was_noted_is_known_by_what_it_says(controller: Controller) -> None:
    controller.drawer("one").failing["bind"] = BackendFailed("one is full.")
    assert fill(controller, datasets=[{"name": "tank/a"}], escrow=ONE)["failed"]
    controller.drawers["one"].failing.clear()
    controller.host.rename("tank/a", "tank/z")
    lock: dict[str, t.Any] = {"name": "tank/z", "escrow": ONE}
    assert controller.act("zfs_unlock", state="locked", **lock)["locked"] == ["tank/z"]
    assert controller.act("zfs_unlock", state="unlocked", **lock)["unlocked"] == ["tank/z"]
    assert actions(fill(controller, datasets=[{"name": "tank/z"}], escrow=ONE)) == ["note_key tank/z"]
    assert len(controller.drawers["one"].keys) == 1
    assert fill(controller, datasets=[{"name": "tank/z"}], escrow=ONE)["changed"] is False


def test_a_host_that_got_another_name_finds_its_keys(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    result = fill(controller, datasets=[{"name": "tank/a"}], as_host="nas2")
    assert (result["changed"], len(controller.drawers["one"].keys)) == (False, 1)


def test_a_dataset_that_was_destroyed_gets_a_new_key(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    fill(controller, datasets=[{"name": "tank/a", "state": "absent", "force_destroy": True}])
    assert fill(controller, datasets=[{"name": "tank/a"}])["changed"]
    first, second = keys_of(controller, "tank/a")
    assert first != second
    assert opens(controller, "tank/a", second)
    assert fill(controller, datasets=[{"name": "tank/a"}])["changed"] is False


def test_a_key_that_a_dataset_of_another_pool_of_the_name_may_have_is_not_given_to_a_second_one(
    controller: Controller,
) -> None:
    controller.drawer("one").failing["bind"] = BackendFailed("one is full.")
    assert fill(controller, datasets=[{"name": "tank/a"}], escrow=ONE)["failed"]
    controller.drawers["one"].failing.clear()
    (old,) = keys_of(controller, "tank/a")
    controller.host.export_pool("tank")
    controller.host.add_pool("tank")
    assert fill(controller, datasets=[{"name": "tank/a"}], escrow=ONE)["changed"]
    assert not opens(controller, "tank/a", old)
    assert controller.drawers["one"].states() == {"tank/a": ["pre-active", "active"]}


def test_a_given_key_replaces_the_one_in_escrow_which_is_kept(controller: Controller) -> None:
    wish = [{"name": "tank/a", "key": KEY_TEXT, "update_key": "always"}]
    fill(controller, datasets=[{"name": "tank/a"}])
    (old,) = keys_of(controller, "tank/a")
    refused = fill(controller, datasets=[{"name": "tank/a", "key": KEY_TEXT}])
    assert "the key given does not open it; the one in escrow does" in refused["msg"]
    assert "change_key tank/a" in actions(fill(controller, datasets=wish))
    assert keys_of(controller, "tank/a") == [old, KEY]
    assert opens(controller, "tank/a", KEY)
    assert controller.drawers["two"].states() == {"tank/a": ["deactivated", "active"]}
    records = {kept.version.key_id.record for kept in controller.drawers["one"].keys.values()}
    assert len(records) == 1
    assert fill(controller, datasets=wish)["changed"] is False


def test_another_format_is_a_version_of_its_own_with_the_same_key(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    wish = [{"name": "tank/a", "keyformat": "raw", "update_key": "always"}]
    assert "change_key tank/a" in actions(fill(controller, datasets=wish))
    first, second = keys_of(controller, "tank/a")
    assert first == second
    formats = [kept.version.keyformat for kept in controller.drawers["one"].keys.values()]
    assert (formats, controller.drawers["one"].states()) == (["hex", "raw"], {"tank/a": ["deactivated", "active"]})
    assert fill(controller, datasets=wish)["changed"] is False


def test_a_root_that_somebody_gave_another_key_is_refused(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    (old,) = keys_of(controller, "tank/a")
    change: dict[str, t.Any] = {"key": KEY_TEXT, "update_key": "always", "current": {"key": old.secret.hex()}}
    assert controller.act("zfs_dataset_key", name="tank/a", **change)["changed"]
    result = fill(controller, datasets=[{"name": "tank/a"}])
    assert "none of the 1 keys in escrow opens it" in result["msg"]


def test_a_key_that_is_compromised_is_used_and_told(controller: Controller) -> None:
    fill(controller, datasets=[{"name": "tank/a"}])
    drawer = controller.drawers["one"]
    ((key_id, entry),) = drawer.entries_by_id.items()
    drawer.entries_by_id[key_id] = dataclasses.replace(entry, state="compromised")
    result = fill(controller, datasets=[{"name": "tank/a"}])
    assert "which is compromised. Rotate its key." in result["warnings"][0]
    assert drawer.states() == controller.drawers["two"].states() == {"tank/a": ["compromised"]}


# -- keys that lie in files on the host as well


FILE = "/etc/zfs/a.key"


def test_a_key_file_gets_the_key_that_is_kept(controller: Controller) -> None:
    wish = [{"name": "tank/a", "key_file": FILE, "generate_key": True}]
    foretold = fill(controller, check=True, datasets=wish)
    assert controller.host.key_files == {}
    result = fill(controller, datasets=wish)
    assert actions(foretold) == actions(result)
    assert [each["action"] for each in result["actions"]] == ["escrow_key", "write_key_file", "create", "mount"]
    (key,) = keys_of(controller, "tank/a")
    assert controller.host.key_files == {FILE: key.secret.hex().encode()}
    assert opens(controller, "tank/a", key)
    assert fill(controller, datasets=wish)["changed"] is False


def test_a_key_file_that_was_lost_comes_back_from_escrow(controller: Controller) -> None:
    wish = [{"name": "tank/a", "key_file": FILE}]
    fill(controller, datasets=wish)
    kept = dict(controller.host.key_files)
    controller.host.key_files.clear()
    assert actions(fill(controller, datasets=wish)) == ["write_key_file tank/a"]
    assert controller.host.key_files == kept


def test_a_key_that_only_the_host_has_is_taken_in_sealed_on_its_way(controller: Controller) -> None:
    wish: list[dict[str, t.Any]] = [{"name": "tank/a", "key_file": FILE, "generate_key": True}]
    controller.act("zfs_dataset_key", datasets=wish)
    (content,) = controller.host.key_files.values()
    settled = len(controller.calls)
    assert actions(fill(controller, check=True, datasets=wish)) == ["escrow_key tank/a"]
    results: list[t.Any] = []
    controller.seen = results.append
    assert actions(fill(controller, datasets=wish)) == ["escrow_key tank/a"]
    assert [key.secret.hex().encode() for key in keys_of(controller, "tank/a", "two")] == [content]
    assert content.decode() not in json.dumps(results)
    assert "zfs_key_export" in controller.modules[settled:]
    assert fill(controller, datasets=wish)["changed"] is False


def test_files_in_the_defaults_of_a_task_hold_for_its_entries(controller: Controller) -> None:
    result = fill(controller, datasets=[{"name": "tank/a"}], key_file=FILE, generate_key=True)
    assert result["changed"]
    assert list(controller.host.key_files) == [FILE]


# -- what fails on the host


def test_what_was_not_made_waits_and_the_rest_is_noted(controller: Controller) -> None:
    controller.host.fail_on("create", "tank/a", CallFailed("tank/a was not created: out of space", errno=28))
    result = fill(controller)
    assert result["failed"]
    assert list(result["failures"]) == ["tank/a"]
    assert controller.drawers["one"].states() == {
        "tank/a": ["pre-active"],
        "tank/disk": ["active"],
        "tank/w": ["active"],
    }
    controller.host.faults.clear()
    (key,) = keys_of(controller, "tank/a")
    assert fill(controller)["changed"]
    assert opens(controller, "tank/a", key)
    assert controller.drawers["one"].states()["tank/a"] == ["active"]


@pytest.mark.parametrize("update_key", ["on_create", "always"])
@pytest.mark.parametrize("where", ["before put in one", "after put in one", "after put in two", "after fetch in two"])
def test_of_two_controllers_at_once_one_makes_the_dataset_and_the_other_says_so(
    controller: Controller, where: str, update_key: str
) -> None:
    wish: dict[str, t.Any] = {"datasets": [{"name": "tank/a"}], "update_key": update_key}
    others: list[dict[str, t.Any]] = []

    def let_the_other_run(at: str) -> None:
        if at == where:
            controller.moment = lambda _where: None
            others.append(fill(controller, **wish))

    controller.moment = let_the_other_run
    result = fill(controller, **wish)
    (other,) = others
    assert other["changed"]
    assert not other.get("failed")
    keys = keys_of(controller, "tank/a")
    # What the first put before the other looked, the other went on with.
    assert len(keys) == (2 if where == "before put in one" else 1)
    assert result.get("failed") == (True if len(keys) == 2 else None), result
    again = fill(controller, **wish)
    assert (again["changed"], again["key_ids"]) == (False, other["key_ids"])
    states = controller.drawers["one"].states()["tank/a"]
    assert sorted(states) == ["active", "pre-active"][: len(keys)]
    assert controller.drawers["two"].keys == controller.drawers["one"].keys


def test_a_key_that_was_not_seen_to_open_its_root_does_not_become_active(controller: Controller) -> None:
    def change_it_behind_our_back(where: str) -> None:
        if where == "after zfs_dataset_key" and not controller.calls[-1].check:
            key = controller.calls[-1].arguments["key"]
            controller.moment = lambda _where: None
            run = controller.act(
                "zfs_dataset_key", name="tank/a", key=OTHER_KEY_TEXT, update_key="always", current={"key": key}
            )
            assert run["changed"]

    controller.moment = change_it_behind_our_back
    result = controller.act("zfs_dataset_key", name="tank/a", escrow=TWO)
    assert "tank/a is not opened by" in result["msg"]
    assert "Find out who changes keys beside this run." in result["msg"]
    for drawer in controller.drawers.values():
        assert drawer.states() == {"tank/a": ["pre-active"]}
        assert [entry.bindings for entry in drawer.entries_by_id.values()] == [()]


def test_what_could_not_be_noted_is_a_failure_and_noted_by_the_next_run(controller: Controller) -> None:
    controller.drawer("two").failing["advance"] = BackendFailed("two is read-only.")
    result = fill(controller, datasets=[{"name": "tank/a"}])
    assert (result["failed"], result["changed"]) == (True, True)
    assert "two is read-only. Places that have the key go on keeping it; the next run notes it." in result["msg"]
    controller.drawers["two"].failing.clear()
    assert actions(fill(controller, datasets=[{"name": "tank/a"}])) == ["note_key tank/a"]
    assert controller.drawers["two"].states() == {"tank/a": ["active"]}


# -- pools


DISK = "/dev/disk/by-id/new"


def make_pool(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    topology = {"data": [{"type": "stripe", "disks": [DISK]}]}
    return controller.act("zfs_encrypted_pool", **{"name": "lake", "topology": topology, "escrow": TWO, **options})


def test_a_pool_gets_the_key_of_its_root_dataset_from_escrow(controller: Controller) -> None:
    controller.host.add_disk(DISK)
    assert make_pool(controller, check=True)["changed"]
    result = make_pool(controller)
    assert result["changed"]
    (key,) = keys_of(controller, "lake")
    assert opens(controller, "lake", key)
    assert controller.drawers["two"].states() == {"lake": ["active"]}
    again = make_pool(controller)
    assert (again["changed"], again["key_ids"]) == (False, result["key_ids"])


def test_a_pool_that_cannot_be_made_leaves_no_key_behind(controller: Controller) -> None:
    result = make_pool(controller)
    assert "is not there. Correct the path" in result["msg"]
    assert not [drawer.writes for drawer in controller.drawers.values() if drawer.writes]


def test_a_plain_pool_has_no_key(controller: Controller) -> None:
    controller.host.add_disk(DISK)
    assert make_pool(controller, encryption=False)["key_ids"] == {}
    assert controller.drawers["one"].keys == {}
