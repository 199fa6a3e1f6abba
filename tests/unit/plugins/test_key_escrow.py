# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zfs_key_escrow and zfs_key_escrow_info: keys are taken in, retired and destroyed, and the host is never changed."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _plan_export
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Binding, Kept

from .acting import Controller
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [*ONE, {"type": "memory", "name": "two"}]
WORDS = "correct horse"
PATH = "/etc/zfs/filed.key"
ROOTS = ["tank/filed", "tank/keyed", "tank/worded"]
SECRETS: list[dict[str, t.Any]] = [
    {"name": "tank/keyed", "key": KEY_TEXT},
    {"name": "tank/worded", "passphrase": WORDS},
]


@pytest.fixture
def stocked(controller: Controller) -> Controller:
    """A host whose keys nobody keeps."""
    datasets: list[dict[str, t.Any]] = [
        {"name": "tank/keyed", "key": KEY_TEXT, "keyformat": "raw"},
        {"name": "tank/worded", "passphrase": WORDS, "pbkdf2iters": 100_000},
        {"name": "tank/filed", "key_file": PATH, "generate_key": True},
    ]
    assert controller.act("zfs_dataset_key", datasets=datasets)["changed"]
    controller.host.calls.clear()
    controller.calls.clear()
    return controller


def adopt(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    return controller.act(
        "zfs_key_escrow", **{"name": "tank", "recursive": True, "secrets": SECRETS, "escrow": TWO, **options}
    )


def info(controller: Controller, **options: t.Any) -> list[dict[str, t.Any]]:
    found: list[dict[str, t.Any]] = controller.act("zfs_key_escrow_info", **{"escrow": TWO, **options})["versions"]
    return found


def id_of(controller: Controller, dataset: str, number: int = 0) -> str:
    return str([each["key_id"] for each in info(controller) if each["dataset"] == dataset][number])


# -- taking in


def test_keys_from_everywhere_are_taken_in_once(stocked: Controller) -> None:
    foretold = adopt(stocked, check=True)
    assert not [drawer.writes for drawer in stocked.drawers.values() if drawer.writes]
    result = adopt(stocked)
    assert result["adopted"] == foretold["adopted"] == ROOTS
    assert result["actions"] == foretold["actions"]
    assert (result["changed"], result["already"], result["failures"]) == (True, [], {})
    for drawer in stocked.drawers.values():
        assert drawer.states() == {name: ["active"] for name in ROOTS}
    kept = {each.version.dataset: each for each in stocked.drawers["one"].keys.values()}
    assert kept["tank/keyed"].key == KEY
    assert kept["tank/keyed"].version.keyformat == "raw"
    assert kept["tank/worded"].version.iterations == 100_000
    assert kept["tank/filed"].key.secret.hex().encode() == stocked.host.key_files[PATH]
    assert stocked.host.changes == []
    writes = [list(drawer.writes) for drawer in stocked.drawers.values()]
    again = adopt(stocked)
    assert (again["changed"], again["already"], again["key_ids"]) == (False, ROOTS, result["key_ids"])
    assert [drawer.writes for drawer in stocked.drawers.values()] == writes
    assert adopt(stocked, secrets=None)["already"] == ROOTS


def test_no_key_shows_on_its_way(stocked: Controller) -> None:
    seen: list[t.Any] = []
    stocked.seen = seen.append
    seen.append(adopt(stocked))
    shown = json.dumps(seen)
    for secret in (KEY_TEXT, WORDS, stocked.host.key_files[PATH].decode()):
        assert secret not in shown


def test_the_number_of_calls_does_not_grow_with_the_roots(stocked: Controller) -> None:
    adopt(stocked)
    first = stocked.modules
    assert len(first) <= 6
    stocked.calls.clear()
    adopt(stocked)
    assert stocked.modules == ["zfs_encryption_info", "zfs_encryption_info"]


def test_a_manifest_on_the_controller_is_taken_in(stocked: Controller, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"tank/keyed": KEY_TEXT, "tank/worded": WORDS}))
    assert adopt(stocked, secrets=None, manifest=str(path))["adopted"] == ROOTS


def test_a_wrong_or_missing_key_is_a_failure_of_its_root_and_the_others_proceed(stocked: Controller) -> None:
    result = adopt(stocked, secrets=[{"name": "tank/keyed", "key": OTHER_KEY_TEXT}])
    assert result["failed"]
    assert result["adopted"] == ["tank/filed"]
    assert {name: each["reason"] for name, each in result["failures"].items()} == {
        "tank/keyed": "wrong_key",
        "tank/worded": "no_key",
    }
    assert "The key of tank/keyed is not in escrow: none of the keys given for it opens it" in result["msg"]
    assert stocked.drawers["two"].states() == {"tank/filed": ["active"]}
    assert adopt(stocked)["already"] == ["tank/filed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_passphrase_that_is_no_text_is_a_failure_of_its_root(stocked: Controller, check: bool) -> None:
    for name in ("tank/bytes", "tank/more"):
        stocked.host.key_files[f"/etc/zfs/{name[5:]}"] = b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"
        made: dict[str, t.Any] = {
            "name": name,
            "key_file": f"/etc/zfs/{name[5:]}",
            "keyformat": "passphrase",
            "pbkdf2iters": 100_000,
        }
        assert stocked.act("zfs_dataset_key", **made)["changed"]
    result = adopt(stocked, check=check)
    assert (result["failed"], result["adopted"]) == (True, ROOTS)
    assert sorted(result["failures"]) == ["tank/bytes", "tank/more"]
    assert "The key of tank/bytes is not in escrow, since the host could not give it. The passphrase" in result["msg"]
    assert "tank/bytes is no UTF-8" in result["msg"]
    if not check:
        assert stocked.drawers["two"].states() == {name: ["active"] for name in ROOTS}
        assert adopt(stocked)["already"] == ROOTS
    only = stocked.act("zfs_key_escrow", name="tank/bytes", escrow=TWO)
    assert (only["changed"], list(only["failures"])) == (False, ["tank/bytes"])


def test_a_host_that_gives_no_key_at_all_fails_the_task(stocked: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: t.Any) -> t.NoReturn:
        raise Refused("There is no memory left on the host.")

    monkeypatch.setattr(_plan_export, "seal", refuse)
    assert "There is no memory left on the host." in adopt(stocked)["msg"]
    assert stocked.drawers["one"].keys == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "tank/none"}, "There is no dataset tank/none"),
        ({"name": "lake"}, "There is no pool lake on this host"),
        ({"name": "tank", "recursive": False}, "tank is not encrypted and has no key"),
        ({"secrets": [{"name": "tank/none", "key": KEY_TEXT}]}, "There is no dataset tank/none, which secrets names"),
        ({"escrow": None}, "This module works on the controller"),
        ({"escrow": []}, "This module works on the controller"),
        ({"name": None}, "Give name or names, for the roots whose keys are taken in, or key_id"),
        ({"key_id": "x", "key_state": "active"}, "or key_id, for one version"),
        ({"name": None, "state": "absent"}, "state: absent destroys one version. Name it with key_id"),
        ({"name": None, "key_id": "c2a0f3d7b1e94a58.0f3a9c2b7d11"}, "Give both, or neither"),
        ({"key_state": "compromised"}, "Give both, or neither"),
        ({"name": None, "key_id": KEY_TEXT, "key_state": "active"}, "key_id holds 64 hexadecimal digits"),
        ({"name": None, "key_id": "x", "key_state": "active"}, "'x' is no key id"),
        (
            {"name": None, "key_id": "c2a0f3d7b1e94a58.0f3a9c2b7d11", "key_state": "active"},
            "There is no version c2a0f3d7b1e94a58.0f3a9c2b7d11 among the keys of this host",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_whole(stocked: Controller, options: dict[str, t.Any], sentence: str) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    missing = [name for name, value in options.items() if value is None]
    base = {"name": "tank", "recursive": True, "secrets": SECRETS, "escrow": TWO}
    result = stocked.act("zfs_key_escrow", **{**{k: v for k, v in base.items() if k not in missing}, **given})
    assert result["failed"]
    assert sentence in result["msg"]
    assert KEY_TEXT not in result["msg"]
    assert not [drawer.writes for drawer in stocked.drawers.values() if drawer.writes]


def test_too_few_places_take_nothing_in(stocked: Controller) -> None:
    stocked.drawer("two").failing["find_out"] = BackendFailed("two is read-only.")
    assert "two is read-only." in adopt(stocked)["msg"]
    assert stocked.drawers["one"].keys == {}
    assert adopt(stocked, escrow_require=1)["adopted"] == ROOTS


def test_who_may_not_search_what_is_of_other_hosts_takes_keys_in(stocked: Controller) -> None:
    for name in ("one", "two"):
        stocked.drawer(name).failing["elsewhere"] = BackendFailed(f"{name} does not let us search.")
    result = adopt(stocked)
    assert result["adopted"] == ROOTS
    assert result["warnings"] == ["one does not let us search.", "two does not let us search."]
    assert adopt(stocked)["changed"] is False


# -- telling


def test_what_is_in_escrow_is_told_without_keys_and_without_the_host(stocked: Controller) -> None:
    adopt(stocked)
    stocked.calls.clear()
    keys = {each["dataset"]: each for each in info(stocked)}
    assert sorted(keys) == ROOTS
    root = stocked.host.dataset("tank/worded")
    assert root is not None
    worded = keys["tank/worded"]
    assert (worded["state"], worded["keyformat"], worded["pbkdf2iters"]) == ("active", "passphrase", 100_000)
    assert (worded["places"], worded["missing_in"], worded["level"]) == (["one", "two"], [], True)
    (binding,) = worded["bindings"]
    assert (binding["dataset"], binding["keyguid"]) == ("tank/worded", root.value("keyguid"))
    assert binding["pbkdf2salt"] == root.value("pbkdf2salt")
    assert stocked.calls == []
    shown = json.dumps(keys)
    assert not [secret for secret in (KEY_TEXT, WORDS) if secret in shown]
    assert info(stocked, as_host="nas2") == []


def test_places_that_lack_a_version_or_cannot_be_read_are_told(stocked: Controller) -> None:
    adopt(stocked, escrow=ONE)
    assert {tuple(each["missing_in"]) for each in info(stocked)} == {("two",)}
    stocked.drawers["two"].failing["entries"] = BackendDown("two does not answer.")
    result = stocked.act("zfs_key_escrow_info", escrow=TWO)
    assert result["places"] == [{"name": "one", "readable": True}, {"name": "two", "readable": False}]
    assert result["warnings"] == ["two does not answer."]
    assert {tuple(each["missing_in"]) for each in result["versions"]} == {()}


# -- states


@pytest.fixture
def changed(stocked: Controller) -> Controller:
    """A root with a replaced key."""
    adopt(stocked, name="tank/keyed", recursive=False)
    change: dict[str, t.Any] = {"name": "tank/keyed", "key": OTHER_KEY_TEXT, "update_key": "always", "escrow": TWO}
    assert stocked.act("zfs_dataset_key", **change)["changed"]
    assert stocked.drawers["two"].states() == {"tank/keyed": ["deactivated", "active"]}
    stocked.host.calls.clear()
    return stocked


def note(controller: Controller, key_id: str, state: str, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_key_escrow", key_id=key_id, key_state=state, escrow=TWO, **options)


def test_a_compromised_key_is_noted_everywhere_and_told_while_it_opens_something(changed: Controller) -> None:
    old, new = (id_of(changed, "tank/keyed", number) for number in (0, 1))
    assert note(changed, old, "compromised", check=True)["changed"]
    assert changed.drawers["one"].states() == {"tank/keyed": ["deactivated", "active"]}
    result = note(changed, old, "compromised")
    assert (result["changed"], result["key_state"], result.get("warnings")) == (True, "compromised", None)
    assert note(changed, old, "compromised")["changed"] is False
    assert "compromised and opens tank/keyed. Rotate its key." in note(changed, new, "compromised")["warnings"][0]
    assert changed.drawers["two"].states() == {"tank/keyed": ["compromised", "compromised"]}
    assert changed.host.changes == []


def test_a_state_never_goes_back(changed: Controller) -> None:
    result = note(changed, id_of(changed, "tank/keyed"), "active")
    assert "is deactivated and does not become active again" in result["msg"]


def test_what_opens_a_root_is_not_retired(changed: Controller) -> None:
    result = note(changed, id_of(changed, "tank/keyed", 1), "deactivated")
    assert "is what opens tank/keyed, so it is not deactivated" in result["msg"]


@pytest.mark.parametrize(("key", "opens"), [(KEY, False), (OTHER_KEY, True)], ids=["stray", "present"])
def test_only_what_was_seen_to_open_becomes_active(changed: Controller, key: Key, opens: bool) -> None:
    template = next(iter(changed.drawers["one"].keys.values())).version
    key_id = dataclasses.replace(template.key_id, version="0f" * 6)
    for drawer in changed.drawers.values():
        drawer.put(Kept(dataclasses.replace(template, key_id=key_id), key))
    result = note(changed, str(key_id), "active")
    assert result.get("changed", False) == opens
    assert opens or "opens nothing on this host" in result["msg"]


# -- destroying


def destroy(controller: Controller, key_id: str, **options: t.Any) -> dict[str, t.Any]:
    return controller.act(
        "zfs_key_escrow", **{"key_id": key_id, "state": "absent", "force_destroy": True, "escrow": TWO, **options}
    )


def test_a_key_that_opens_nothing_is_destroyed_everywhere(changed: Controller) -> None:
    old = id_of(changed, "tank/keyed")
    assert "Set force_destroy: true" in destroy(changed, old, force_destroy=False)["msg"]
    assert destroy(changed, old, check=True)["changed"]
    assert len(changed.drawers["one"].keys) == 2
    assert destroy(changed, old)["key_state"] == "destroyed"
    assert [len(drawer.keys) for drawer in changed.drawers.values()] == [1, 1]
    again = destroy(changed, old)
    assert (again["changed"], again["key_state"]) == (False, "destroyed")


def test_the_last_key_that_opens_is_never_destroyed(changed: Controller) -> None:
    result = destroy(changed, id_of(changed, "tank/keyed", 1))
    assert "is what opens tank/keyed, so it is not destroyed" in result["msg"]
    assert len(changed.drawers["one"].keys) == 2


def test_of_two_versions_with_one_key_either_may_go(changed: Controller) -> None:
    back: dict[str, t.Any] = {"name": "tank/keyed", "key": OTHER_KEY_TEXT, "keyformat": "hex", "update_key": "always"}
    assert changed.act("zfs_dataset_key", escrow=TWO, **back)["changed"]
    assert destroy(changed, id_of(changed, "tank/keyed", 1))["changed"]
    assert "is not destroyed" in destroy(changed, id_of(changed, "tank/keyed", 1))["msg"]


def test_a_key_that_other_copies_may_need_is_not_destroyed_unless_they_are_gone(changed: Controller) -> None:
    old = id_of(changed, "tank/keyed")
    replica = Binding("4711", "bk/keyed", "77", "0", "2026-11-26T00:00:00.000000Z")
    for drawer in changed.drawers.values():
        entry = next(each for each in drawer.entries_by_id.values() if str(each.key_id) == old)
        drawer.bind(entry, replica)
    result = destroy(changed, old)
    assert "was seen to open bk/keyed of the pool with GUID 4711, which this host does not show" in result["msg"]
    assert destroy(changed, old, unseen_copies=True)["changed"]


def test_a_key_whose_pool_is_not_there_is_not_destroyed_though_nobody_noted_what_it_opens(stocked: Controller) -> None:
    stocked.host.add_pool("lake")
    stocked.drawer("one").failing["bind"] = BackendFailed("one is full.")
    assert stocked.act("zfs_dataset_key", name="lake/a", escrow=ONE)["failed"]
    stocked.drawers["one"].failing.clear()
    stocked.host.export_pool("lake")
    (key_id,) = stocked.drawers["one"].keys
    assert "was made for lake/a of the pool with GUID" in destroy(stocked, str(key_id), escrow=ONE)["msg"]
    assert destroy(stocked, str(key_id), escrow=ONE, unseen_copies=True)["changed"]


def test_a_key_that_opens_what_nothing_in_escrow_is_meant_for_is_not_destroyed(changed: Controller) -> None:
    assert not changed.act("zfs_dataset_key", name="tank/apart", key=KEY_TEXT).get("failed")
    assert "is what opens tank/apart, so it is not destroyed" in destroy(changed, id_of(changed, "tank/keyed"))["msg"]
    assert len(changed.drawers["one"].keys) == 2


def test_a_key_is_not_destroyed_by_what_one_place_says_while_another_does_not_give_it_back(changed: Controller) -> None:
    *_old, (key_id, one) = changed.drawers["one"].keys.items()
    changed.drawers["one"].damaged[key_id] = Kept(one.version, KEY)
    changed.drawers["two"].failing["fetch"] = BackendFailed("two cannot decrypt it.")
    result = destroy(changed, str(key_id))
    assert f"two did not give {key_id} back" in result["msg"]
    assert "two cannot decrypt it." in result["msg"]
    assert [len(drawer.keys) for drawer in changed.drawers.values()] == [2, 2]


def test_a_key_does_not_count_as_destroyed_while_a_place_does_not_answer(changed: Controller) -> None:
    old = id_of(changed, "tank/keyed")
    changed.drawers["two"].failing["entries"] = BackendDown("two does not answer.")
    assert f"two could not be read, and may hold {old} as well" in destroy(changed, old, escrow_require=1)["msg"]
    assert [len(drawer.keys) for drawer in changed.drawers.values()] == [2, 2]
    assert destroy(changed, old, escrow=ONE)["changed"]
    assert "two could not be read" in destroy(changed, old, escrow_require=1)["msg"]


def test_a_double_in_fewer_places_is_none(changed: Controller) -> None:
    back: dict[str, t.Any] = {"name": "tank/keyed", "key": OTHER_KEY_TEXT, "keyformat": "hex", "update_key": "always"}
    assert changed.act("zfs_dataset_key", escrow=ONE, **back)["changed"]
    assert "is not destroyed" in destroy(changed, id_of(changed, "tank/keyed", 1))["msg"]
    assert destroy(changed, id_of(changed, "tank/keyed", 2))["changed"]


def test_an_active_key_of_a_dataset_that_is_gone_is_retired_and_destroyed(changed: Controller) -> None:
    changed.act("zfs_dataset_key", name="tank/keyed", state="absent", force_destroy=True)
    assert destroy(changed, id_of(changed, "tank/keyed", 1))["changed"]
    assert len(changed.drawers["two"].keys) == 1


def test_what_a_place_refuses_to_destroy_is_told(changed: Controller) -> None:
    changed.drawers["two"].failing["destroy"] = BackendFailed("two says no.")
    old = id_of(changed, "tank/keyed")
    assert f"The key {old} is not destroyed in two. two says no." in destroy(changed, old)["msg"]
    changed.drawers["two"].failing.clear()
    assert destroy(changed, old)["changed"]
