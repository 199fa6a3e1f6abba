# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zfs_key_move: all versions get elsewhere, proven; and nothing is destroyed that is not held and read back there."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Binding, Kept
from ansible_collections.zfsfleet.encryption.tests.fake.backend import MemoryBackend

from .acting import Controller, Died, dying_at
from .trees import KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

OLD: list[dict[str, t.Any]] = [{"type": "memory", "name": "old"}]
NEW: list[dict[str, t.Any]] = [{"type": "memory", "name": "new"}, {"type": "memory", "name": "newer"}]
WORDS = "correct horse"


@pytest.fixture
def stocked(controller: Controller) -> Controller:
    """A host with two roots, one of which had another key before, and a key whose root is gone."""
    datasets: list[dict[str, t.Any]] = [
        {"name": "tank/keyed", "key": KEY_TEXT},
        {"name": "tank/worded", "passphrase": WORDS, "pbkdf2iters": 100_000},
        {"name": "tank/gone"},
    ]
    for task in (
        {"datasets": datasets},
        {"name": "tank/keyed", "key": OTHER_KEY_TEXT, "update_key": "always"},
        {"name": "tank/gone", "state": "absent", "force_destroy": True},
    ):
        assert controller.act("zfs_dataset_key", escrow=OLD, **task)["changed"]
    assert controller.drawers["old"].states() == {
        "tank/keyed": ["deactivated", "active"],
        "tank/worded": ["active"],
        "tank/gone": ["active"],
    }
    controller.host.calls.clear()
    controller.calls.clear()
    return controller


def move(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_key_move", **{"source": OLD, "escrow": NEW, **options})


def contents(drawer: MemoryBackend) -> dict[str, t.Any]:
    """Return keys, states and bindings of a drawer."""
    return {
        str(key_id): (drawer.keys[key_id], entry.state, entry.bindings)
        for key_id, entry in drawer.entries_by_id.items()
        if key_id in drawer.keys
    }


# -- moving


def test_all_versions_get_there_with_states_and_bindings_and_the_host_tries_them(stocked: Controller) -> None:
    before = contents(stocked.drawers["old"])
    foretold = move(stocked, check=True)
    assert not [drawer.writes for name, drawer in stocked.drawers.items() if name != "old" and drawer.writes]
    result = move(stocked)
    assert (result["changed"], result["failures"]) == (True, {})
    assert sorted(result["moved"]) == sorted(before)
    assert result["actions"] == foretold["actions"]
    assert contents(stocked.drawers["new"]) == contents(stocked.drawers["newer"]) == before
    assert contents(stocked.drawers["old"]) == before
    active = {
        version.version.dataset: key_id for key_id, (version, state, _bound) in before.items() if state == "active"
    }
    assert result["opened"] == foretold["opened"] == {name: active[name] for name in ("tank/keyed", "tank/worded")}
    assert stocked.host.changes == []
    again = move(stocked)
    assert (again["changed"], again["moved"], sorted(again["already"])) == (False, [], sorted(before))


def test_no_key_shows(stocked: Controller) -> None:
    seen: list[t.Any] = []
    stocked.seen = seen.append
    seen.append(move(stocked, clear_source=True))
    shown = json.dumps(seen)
    assert not [secret for secret in (KEY_TEXT, OTHER_KEY_TEXT, WORDS) if secret in shown]


def test_what_is_there_in_part_is_brought_up_to_date(stocked: Controller) -> None:
    move(stocked, escrow=NEW[:1])
    old = stocked.drawers["old"]
    entry = next(each for each in old.entries_by_id.values() if each.state == "active")
    old.advance(entry, "compromised")
    old.bind(entry, Binding("4711", "bk/keyed", "77", "0", "2026-11-26T00:00:00.000000Z"))
    result = move(stocked, escrow=NEW[:1])
    assert result["moved"] == [str(entry.key_id)]
    assert contents(stocked.drawers["new"]) == contents(old)
    assert len(move(stocked)["moved"]) == 4
    assert contents(stocked.drawers["newer"]) == contents(old)


def test_a_root_that_nothing_opens_is_told(stocked: Controller) -> None:
    stocked.act("zfs_dataset_key", name="tank/alone", key=KEY_TEXT)
    (warning,) = move(stocked)["warnings"]
    assert warning.startswith("No key that was moved opens tank/alone.")


def test_keys_of_other_hosts_stay(stocked: Controller) -> None:
    result = move(stocked, as_host="nas2", clear_source=True)
    assert (result["moved"], result["changed"]) == ([], False)
    assert len(stocked.drawers["old"].keys) == 4


# -- what fails


def test_a_source_that_does_not_answer_moves_nothing(stocked: Controller) -> None:
    stocked.drawer("mute").failing["entries"] = BackendDown("mute does not answer.")
    result = move(stocked, source=[*OLD, {"type": "memory", "name": "mute"}])
    assert "mute could not be read, and may hold what is nowhere else; so nothing was moved" in result["msg"]
    assert stocked.drawers["new"].keys == {}


def test_too_few_places_to_go_to_move_nothing(stocked: Controller) -> None:
    stocked.drawer("newer").failing["find_out"] = BackendFailed("newer is read-only.")
    assert "newer is read-only." in move(stocked)["msg"]
    assert stocked.drawers["new"].keys == {}


def test_a_version_that_is_not_given_back_fails_alone_and_stays(stocked: Controller) -> None:
    old = stocked.drawers["old"]
    first = next(iter(old.keys.values()))
    stocked.drawer("newer").damaged[first.version.key_id] = Kept(first.version, Key("key", b"?" * 32))
    result = move(stocked, clear_source=True)
    assert list(result["failures"]) == [str(first.version.key_id)]
    assert "gave back something else" in result["msg"]
    assert len(result["moved"]) == len(result["cleared"]) == 3
    assert list(old.keys.values()) == [first]


def test_another_key_of_the_same_id_is_never_chosen_between(stocked: Controller) -> None:
    first = next(iter(stocked.drawers["old"].keys.values()))
    stocked.drawer("new").put(Kept(first.version, Key("key", b"?" * 32)))
    result = move(stocked, clear_source=True)
    assert (
        f"{first.version.key_id} of tank/keyed is another key" in result["failures"][str(first.version.key_id)]["msg"]
    )
    assert list(stocked.drawers["old"].keys.values()) == [first]
    assert stocked.drawers["new"].keys[first.version.key_id] != first


def test_copies_that_differ_in_the_source_are_told(stocked: Controller) -> None:
    older = [*OLD, {"type": "memory", "name": "older"}]
    first = next(iter(stocked.drawers["old"].keys.values()))
    stocked.drawer("older").put(Kept(first.version, Key("key", b"?" * 32)))
    result = move(stocked, source=older)
    assert "differ: one key is in old, another in older" in result["failures"][str(first.version.key_id)]["msg"]
    assert len(stocked.drawers["new"].keys) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"escrow": OLD}, "source and escrow both name old."),
        ({"source": [*OLD, *OLD]}, "source names old twice"),
        ({"source": []}, "source names no place"),
        ({"source": [{"type": "memory"}]}, "source, entry 1 (memory), lacks name"),
        ({"source": "old"}, "Every entry is a mapping, like {type: vault_file, path: ...}."),
        ({"source": None}, "An option is missing, or none of this module's"),
        ({"sauce": OLD}, "An option is missing, or none of this module's"),
        ({"escrow": None}, "This module works on the controller"),
    ],
)
def test_what_makes_no_sense_is_refused(stocked: Controller, options: dict[str, t.Any], sentence: str) -> None:
    result = move(stocked, **options)
    assert sentence in result["msg"]
    assert len(stocked.drawers["old"].keys) == 4


# -- clearing


def test_the_source_is_cleared_when_told(stocked: Controller) -> None:
    before = contents(stocked.drawers["old"])
    foretold = move(stocked, clear_source=True, check=True)
    assert contents(stocked.drawers["old"]) == before
    result = move(stocked, clear_source=True)
    assert result["actions"] == foretold["actions"]
    assert sorted(result["cleared"]) == sorted(before)
    assert stocked.drawers["old"].keys == {}
    assert {key_id: each[0] for key_id, each in contents(stocked.drawers["newer"]).items()} == {
        key_id: each[0] for key_id, each in before.items()
    }
    assert move(stocked, clear_source=True)["changed"] is False
    locked: dict[str, t.Any] = {"name": "tank", "recursive": True, "state": "locked"}
    assert stocked.act("zfs_unlock", escrow=NEW, **locked)["locked"] == ["tank/worded", "tank/keyed"]
    assert stocked.act("zfs_unlock", escrow=NEW, **{**locked, "state": "unlocked"})["changed"]


def test_it_may_be_cleared_later(stocked: Controller) -> None:
    move(stocked)
    result = move(stocked, clear_source=True)
    assert (result["moved"], len(result["cleared"])) == ([], 4)


def test_a_place_under_two_names_is_not_cleared(stocked: Controller) -> None:
    stocked.drawers["alias"] = MemoryBackend("alias")
    for shared in ("keys", "entries_by_id"):
        setattr(stocked.drawers["alias"], shared, getattr(stocked.drawers["old"], shared))
    result = move(stocked, escrow=[{"type": "memory", "name": "alias"}], clear_source=True)
    assert "it is the same place under another name" in result["msg"]
    assert (result["cleared"], len(stocked.drawers["old"].keys)) == ([], 4)


def test_nothing_is_cleared_where_nothing_is_proven(stocked: Controller) -> None:
    for name in ("tank/keyed", "tank/worded"):
        stocked.act("zfs_dataset_key", name=name, state="absent", force_destroy=True)
    result = move(stocked, clear_source=True)
    assert "no root of this host is opened by a key that was moved" in result["msg"]
    assert (len(result["moved"]), result["cleared"], len(stocked.drawers["old"].keys)) == (4, [], 4)


def test_what_one_place_of_the_source_does_not_give_back_is_moved_and_stays(stocked: Controller) -> None:
    both = [*OLD, {"type": "memory", "name": "older"}]
    move(stocked, escrow=[both[1]])
    older = stocked.drawers["older"]
    first, second, *_rest = older.keys
    older.damaged[first] = Kept(older.keys[first].version, Key("key", b"?" * 32))

    def fail(name: str, call: str) -> None:
        older.failing.clear()
        if call == "fetch" and len([each for each in older.calls if each == "fetch"]) == fetched:
            older.failing["fetch"] = BackendFailed("older cannot decrypt it.")

    older.before = fail
    fetched = older.calls.count("fetch")
    foretold = move(stocked, source=both, clear_source=True, check=True)
    fetched = older.calls.count("fetch")
    result = move(stocked, source=both, clear_source=True)
    assert list(result["failures"]) == [str(first)]
    assert "older did not give it back, so nobody knows what is there" in result["msg"]
    assert result["cleared"] == foretold["cleared"]
    assert str(second) in result["cleared"]
    assert list(older.keys) == list(stocked.drawers["old"].keys) == [first]


@pytest.mark.parametrize("call", ["fetch", "entries"])
def test_what_cannot_be_read_again_stays(stocked: Controller, call: str) -> None:
    move(stocked)
    for name in ("new", "newer"):
        stocked.drawers[name].failing[call] = BackendFailed(f"{name} does not {call}.")
    result = move(stocked, clear_source=True)
    assert result["failed"]
    assert len(stocked.drawers["old"].keys) == 4


def test_a_place_that_fails_after_it_was_tried_keeps_what_is_in_the_source(stocked: Controller) -> None:
    move(stocked)
    newer = stocked.drawers["newer"]

    def fail_from_then_on(_name: str, call: str) -> None:
        if call == "bind":
            newer.failing["fetch"] = BackendFailed("newer is ill.")

    newer.after = fail_from_then_on
    result = move(stocked, clear_source=True)
    assert "1 of the other places hold all that is known of it, and 2 are required" in result["msg"]
    assert (result["cleared"], len(stocked.drawers["old"].keys)) == ([], 4)
    newer.after = lambda _name, _call: None
    assert len(move(stocked, clear_source=True, escrow_require=1)["cleared"]) == 4


def test_a_host_that_fails_keeps_what_is_in_the_source(stocked: Controller) -> None:
    def fail(where: str) -> None:
        if where == "before zfs_encryption_info":
            raise OSError("the host is gone")

    stocked.moment = fail
    assert move(stocked, clear_source=True)["failed"]
    assert len(stocked.drawers["old"].keys) == 4


def test_the_next_run_finishes_what_died_anywhere(stocked: Controller) -> None:
    moments: list[str] = []
    stocked.moment = moments.append
    old = stocked.drawers["old"]
    keys, entries = dict(old.keys), dict(old.entries_by_id)
    assert not move(stocked, clear_source=True).get("failed")
    passed = len(moments)
    assert passed > 40
    for number in range(passed):
        stocked.moment = lambda _where: None
        old.keys.update(keys)
        old.entries_by_id.update(entries)
        for name in ("new", "newer"):
            stocked.drawers[name].keys.clear()
            stocked.drawers[name].entries_by_id.clear()
        stocked.moment = dying_at(number)
        with pytest.raises(Died):
            move(stocked, clear_source=True)
        stocked.moment = lambda _where: None
        everywhere = {**stocked.drawers["new"].keys, **old.keys}
        assert everywhere == keys, moments[number]
        result = move(stocked, clear_source=True)
        assert not result.get("failed"), (moments[number], result["msg"])
        assert (old.keys, stocked.drawers["new"].keys, stocked.drawers["newer"].keys) == ({}, keys, keys)
        states = {key_id: entry.state for key_id, entry in stocked.drawers["newer"].entries_by_id.items()}
        assert states == {key_id: entry.state for key_id, entry in entries.items()}


def test_what_was_not_used_yet_is_moved_as_that(stocked: Controller) -> None:
    template = next(iter(stocked.drawers["old"].keys.values())).version
    key_id = dataclasses.replace(template.key_id, version="0f" * 6)
    stocked.drawers["old"].put(Kept(dataclasses.replace(template, key_id=key_id), OTHER_KEY))
    move(stocked)
    assert stocked.drawers["new"].entries_by_id[key_id].state == "pre-active"
