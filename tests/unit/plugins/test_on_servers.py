# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole tasks whose keys are in files and on real servers: made, used, moved, cleared, and no secret in any result."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.tests.escrow import kmip_place, openbao

from .acting import Controller

Place = dict[str, t.Any]
ROOTS = ["tank/filed", "tank/keyed", "tank/keyed/worded"]
DATASETS: list[dict[str, t.Any]] = [
    {"name": "tank/keyed", "keyformat": "raw"},
    {"name": "tank/keyed/worded", "keyformat": "passphrase", "pbkdf2iters": 100_000},
    {"name": "tank/filed", "key_file": "/etc/zfs/filed.key", "generate_key": True},
]


@pytest.fixture(scope="module")
def kmip(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Place]:
    with kmip_place.place(tmp_path_factory.mktemp("kmip")) as place:
        yield place.in_a_task()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Place]:
    with openbao.place(tmp_path_factory.mktemp("openbao")) as place:
        yield place.in_a_task()


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Place:
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return {"type": "vault_file", "path": str(path), "allow_local": True}


def lock_and_unlock(controller: Controller, escrow: list[Place], as_host: str) -> None:
    for state in ("locked", "unlocked"):
        options: dict[str, t.Any] = {"name": "tank", "recursive": True, "state": state}
        result = controller.act("zfs_unlock", escrow=escrow, as_host=as_host, **options)
        assert sorted(result[state]) == ROOTS, result.get("msg")


@pytest.mark.parametrize("name", ["kmip", "bao"])
def test_a_whole_life_on_a_server(
    controller: Controller, files: Place, name: str, request: pytest.FixtureRequest
) -> None:
    server: Place = request.getfixturevalue(name)
    seen: list[t.Any] = []
    controller.seen = seen.append

    def act(module: str, **options: t.Any) -> dict[str, t.Any]:
        result = controller.act(module, as_host=name, **options)
        seen.append(result)
        assert not result.get("failed"), result["msg"]
        return result

    # Made, found to be there, given another key.
    assert sorted(act("zfs_dataset_key", datasets=DATASETS, escrow=[server])["key_ids"]) == ROOTS
    controller.host.key_files.clear()  # the host's own copy does not count from here on
    lock_and_unlock(controller, [server], name)
    again = act("zfs_dataset_key", datasets=DATASETS[:2], escrow=[server])
    assert (again["changed"], again.get("warnings")) == (False, None)
    key = "0b" * 32
    assert act("zfs_dataset_key", name="tank/keyed", key=key, update_key="always", escrow=[server])["changed"]

    # Moved into files, and from there nothing but the files is needed.
    moved = act("zfs_key_move", source=[server], escrow=[files])
    assert (len(moved["moved"]), sorted(moved["opened"])) == (4, ROOTS)
    cleared = act("zfs_key_move", source=[server], escrow=[files], clear_source=True)
    assert (cleared["moved"], sorted(cleared["cleared"])) == ([], sorted(moved["moved"]))
    assert act("zfs_key_escrow_info", escrow=[server])["versions"] == []
    lock_and_unlock(controller, [files], name)

    states = {each["key_id"]: each["state"] for each in act("zfs_key_escrow_info", escrow=[files])["versions"]}
    assert sorted(states.values()) == ["active", "active", "active", "deactivated"]
    secrets = [key, *([server["token"]] if "token" in server else [])]
    secrets += [
        each["key"] for call in controller.calls for each in call.arguments.get("secrets") or () if "key" in each
    ]
    assert len(secrets) > 2
    shown = json.dumps(seen)
    assert not [secret for secret in secrets if secret in shown]


def test_three_kinds_hold_the_same_and_one_may_be_lost(
    controller: Controller, kmip: Place, bao: Place, files: Place
) -> None:
    everywhere = [kmip, bao, files]
    made = controller.act("zfs_dataset_key", datasets=DATASETS, escrow=everywhere, as_host="three")
    assert not made.get("failed"), made["msg"]
    told = controller.act("zfs_key_escrow_info", escrow=everywhere, as_host="three")["versions"]
    assert [(len(each["places"]), each["level"], each["state"]) for each in told] == [(3, True, "active")] * 3
    gone = {**kmip, "host": "127.0.0.1", "port": 1, "timeout": 1}
    controller.host.key_files.clear()
    lock_and_unlock(controller, [gone, bao, files], "three")
    result = controller.act("zfs_dataset_key", name="tank/more", escrow=[gone, bao, files], as_host="three")
    assert "3 are required" in result["msg"]
    assert controller.host.dataset("tank/more") is None
    enough: dict[str, t.Any] = {"escrow": [gone, bao, files], "escrow_require": 2}
    assert controller.act("zfs_dataset_key", name="tank/more", as_host="three", **enough)["changed"]


@pytest.mark.parametrize("name", ["kmip", "bao"])
def test_a_server_under_two_names_is_not_cleared(
    controller: Controller, name: str, request: pytest.FixtureRequest
) -> None:
    server: Place = request.getfixturevalue(name)
    alias = {option: str(value).replace("127.0.0.1", "localhost") for option, value in server.items()}
    host = f"{name}-twice"
    assert controller.act("zfs_dataset_key", name="tank/twice", escrow=[server], as_host=host)["changed"]
    result = controller.act("zfs_key_move", source=[alias], escrow=[server], clear_source=True, as_host=host)
    assert "it is the same place under another name" in result["msg"]
    (kept,) = controller.act("zfs_key_escrow_info", escrow=[server], as_host=host)["versions"]
    assert kept["state"] == "active"


@pytest.mark.parametrize("module", ["zfs_dataset_key", "zfs_key_escrow"])
def test_a_file_that_was_lost_comes_back_from_another_place(
    controller: Controller, tmp_path: pathlib.Path, module: str
) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.mkdir(mode=0o700)
    escrow: list[Place] = [{"type": "vault_file", "path": str(path), "allow_local": True} for path in paths]
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=escrow)["changed"]
    (segment,) = (paths[1] / "nas1").glob("*.vault")
    segment.unlink()
    assert controller.act(module, name="tank/a", escrow=escrow, check=True)["changed"]
    result = controller.act(module, name="tank/a", escrow=escrow)
    assert [action["action"] for action in result["actions"]] == ["note_key"]
    assert segment.exists()
    assert controller.act("zfs_key_drill", escrow=escrow)["ok"] == 1
    again = controller.act(module, name="tank/a", escrow=escrow)
    assert (again["changed"], again.get("warnings")) == (False, None)
    # What is torn is told and stays: somebody has to look at it.
    segment.write_bytes(b"$ANSI")
    torn = controller.act(module, name="tank/a", escrow=escrow)
    assert (torn["changed"], torn.get("failed")) == (False, None)
    assert f"{segment} cannot be read" in str(torn["warnings"])
    segment.unlink()
    assert controller.act(module, name="tank/a", escrow=escrow)["changed"]


def test_what_was_cleared_does_not_come_back_and_the_way_out_is_told(
    controller: Controller, files: Place, bao: Place
) -> None:
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[files], as_host="back")["changed"]
    for source, target in ((files, bao), (bao, files)):
        moved = controller.act("zfs_key_move", source=[source], escrow=[target], clear_source=True, as_host="back")
        assert (len(moved["cleared"]) == 1) == (target is bao)
    assert "It was destroyed there, and does not come back" in moved["msg"]
    for places in ([bao], [files, bao]):
        rotated = controller.act("zfs_key_rotate", max_age_days=0, escrow=places, as_host="back")
        assert not rotated.get("failed"), rotated["msg"]
    assert controller.act("zfs_key_move", source=[bao], escrow=[files], as_host="back")["opened"] == {
        "tank/a": rotated["rotated"][0]["new_key_id"]
    }


# -- one place under two names is one copy

ONE_PLACE = "are one place under two names, and what is there is one copy and not two"


@pytest.fixture(params=["kmip", "bao", "files"])
def names(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[Place, Place]:
    """The same place, named in two ways."""
    place: Place = request.getfixturevalue(request.param)
    if request.param == "files":
        (tmp_path / "alias").symlink_to(tmp_path)
        return place, {**place, "path": str(tmp_path / "alias" / "keys")}
    return place, {option: str(value).replace("127.0.0.1", "localhost") for option, value in place.items()}


@pytest.mark.parametrize("check", [True, False])
def test_two_names_are_refused_before_a_key_is_made(
    controller: Controller, names: tuple[Place, Place], check: bool
) -> None:
    for _attempt in range(2):
        refused = controller.act("zfs_dataset_key", name="tank/a", escrow=list(names), check=check, as_host="refused")
        assert "1 of 2 places for keys could be written to; 2 are required." in refused["msg"]
        assert ONE_PLACE in refused["msg"]
    assert controller.host.dataset("tank/a") is None
    assert controller.act("zfs_key_escrow_info", escrow=[names[0]], as_host="refused")["versions"] == []


def test_two_names_count_once_where_fewer_copies_will_do(controller: Controller, names: tuple[Place, Place]) -> None:
    memory = {"type": "memory", "name": "one"}
    escrow = [names[0], memory, names[1]]
    options: dict[str, t.Any] = {"name": "tank/a", "escrow": escrow, "escrow_require": 2, "as_host": "counted"}
    made = controller.act("zfs_dataset_key", **options)
    assert made["changed"]
    assert any(ONE_PLACE in warning for warning in made["warnings"])
    (action,) = (each for each in made["actions"] if each["action"] == "escrow_key")
    assert len(action["after"]["places"]) == 2
    again = controller.act("zfs_dataset_key", **options)
    assert (again["changed"], again.get("failed")) == (False, None)
    controller.drawer("one").failing["find_out"] = BackendFailed("one is read-only.")
    refused = controller.act("zfs_dataset_key", **{**options, "name": "tank/b"})
    assert "1 of 3 places for keys could be written to; 2 are required." in refused["msg"]
    assert controller.host.dataset("tank/b") is None


def test_reading_goes_on_by_either_name(controller: Controller, names: tuple[Place, Place]) -> None:
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[names[0]], as_host="read")["changed"]
    for state in ("locked", "unlocked"):
        result = controller.act("zfs_unlock", name="tank/a", state=state, escrow=list(names), as_host="read")
        assert result[state] == ["tank/a"]


def test_places_of_every_kind_are_as_many_as_they_are(
    controller: Controller,
    tmp_path: pathlib.Path,
    bao: Place,
    kmip: Place,
) -> None:
    places = [bao, kmip]
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        places.append({"type": "vault_file", "path": str(tmp_path / name), "allow_local": True})
    made = controller.act("zfs_dataset_key", name="tank/a", escrow=places, as_host="apart")
    assert (made.get("failed"), made.get("warnings")) == (None, None)
    assert made["changed"]
