# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that TrueNAS put on a KMIP server are taken in, on a real server, and what it put there stays as it is."""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip import Foreign, Kmip, kmip_from
from ansible_collections.zfsfleet.encryption.tests.escrow import kmip_place, server
from ansible_collections.zfsfleet.encryption.tests.escrow.kmip_place import KmipPlace, options, truenas
from ansible_collections.zfsfleet.encryption.tests.escrow.place import surroundings

from .acting import Controller
from .trees import KEY, KEY_TEXT, OTHER_KEY_TEXT

Place = dict[str, t.Any]
ONE: list[Place] = [{"type": "memory", "name": "one"}]
WORDS = "correct horse"
DATASETS: list[dict[str, t.Any]] = [
    {"name": "tank/keyed", "key": KEY_TEXT, "keyformat": "raw"},
    {"name": "tank/worded", "passphrase": WORDS, "pbkdf2iters": 100_000},
]
ROOTS = ["tank/keyed", "tank/worded"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[KmipPlace]:
    with kmip_place.place(tmp_path_factory.mktemp("kmip")) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(place: KmipPlace) -> t.Iterator[Kmip]:
    """The server as TrueNAS sees it."""
    made = options(place.server, place.stranger, timeout=60)
    with contextlib.closing(kmip_from(made, surroundings())) as backend:
        yield backend


@pytest.fixture
def source(place: KmipPlace) -> Place:
    return entry(place, place.stranger)


@pytest.fixture
def stocked(controller: Controller) -> Controller:
    """A host whose keys only TrueNAS keeps."""
    assert controller.act("zfs_dataset_key", datasets=DATASETS)["changed"]
    controller.host.calls.clear()
    return controller


def entry(place: KmipPlace, client: t.Any) -> Place:
    return {**kmip_place.in_a_task(place.server, client), "timeout": 60}


def put(theirs: Kmip, dataset: str, text: str) -> str:
    return truenas(theirs._objects, f"{dataset}-1a2b3c4", text.encode())


def adopt(controller: Controller, **given: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_key_escrow", **{"name": "tank", "recursive": True, "escrow": ONE, **given})


@pytest.mark.parametrize("upper", [False, True])
def test_what_truenas_put_there_is_taken_in_and_stays(
    stocked: Controller, theirs: Kmip, source: Place, upper: bool
) -> None:
    text = KEY_TEXT.upper() if upper else KEY_TEXT
    uids = {"tank/keyed": put(theirs, "tank/keyed", text), "tank/worded": int(put(theirs, "tank/worded", WORDS))}
    before = [theirs._objects.found(str(uid), "look") for uid in uids.values()]
    seen: list[t.Any] = []
    stocked.seen = seen.append

    foretold = adopt(stocked, kmip_source=source, kmip_secrets=uids, check=True)
    assert (foretold["adopted"], stocked.drawer("one").writes) == (ROOTS, [])
    result = adopt(stocked, kmip_source=source, kmip_secrets=uids)
    assert (result["adopted"], result["failures"]) == (ROOTS, {})
    assert stocked.drawer("one").states() == {name: ["active"] for name in ROOTS}
    kept = {each.version.dataset: each.key for each in stocked.drawer("one").keys.values()}
    assert (kept["tank/keyed"], kept["tank/worded"].secret) == (KEY, WORDS.encode())
    assert stocked.host.changes == []

    # As it was, and not needed any more.
    assert [theirs._objects.found(str(uid), "look") for uid in uids.values()] == before
    assert theirs.foreign(str(uids["tank/keyed"]), "tank/keyed").text == text
    theirs._objects.destroy(str(uids["tank/keyed"]), "destroy")
    again = adopt(stocked, kmip_source=source, kmip_secrets=uids)
    assert (again["changed"], again["already"], again.get("warnings")) == (False, ROOTS, None)

    shown = json.dumps([seen, foretold, result, again])
    assert not [secret for secret in (text, WORDS) if secret in shown]
    assert not [call for call in stocked.calls if {"kmip_source", "kmip_secrets"} & call.arguments.keys()]


def test_it_becomes_an_object_of_our_own_on_the_same_server(
    stocked: Controller, theirs: Kmip, place: KmipPlace, source: Place
) -> None:
    uids = {"tank/keyed": put(theirs, "tank/keyed", KEY_TEXT)}
    ours = entry(place, place.client)
    given: dict[str, t.Any] = {"name": "tank/keyed", "recursive": False, "escrow": [ours]}
    assert adopt(stocked, kmip_source=source, kmip_secrets=uids, **given)["adopted"] == ["tank/keyed"]
    (version,) = stocked.act("zfs_key_escrow_info", escrow=[ours])["versions"]
    assert (version["dataset"], version["state"]) == ("tank/keyed", "active")
    for state in ("locked", "unlocked"):
        assert stocked.act("zfs_unlock", name="tank/keyed", state=state, escrow=[ours])[state] == ["tank/keyed"]


def test_what_is_wrong_or_missing_is_a_failure_of_its_root(stocked: Controller, theirs: Kmip, source: Place) -> None:
    good = put(theirs, "tank/worded", WORDS)
    key = "0123456789abcdef" * 4
    cases = {
        put(theirs, "tank/keyed", OTHER_KEY_TEXT): ("none of the keys given for it opens it", "wrong_key"),
        put(theirs, "tank/other", OTHER_KEY_TEXT): (
            "under the id that is given for it is named for tank/oth",
            "wrong_key",
        ),
        put(theirs, "tank/keyed", "short"): ("neither 64 hexadecimal digits nor long as a passphrase", "no_key"),
        truenas(theirs._objects, "x", b"\xff" * 32): ("id that is given for tank/keyed holds no text", "no_key"),
        "4711": ("no object of the id that is given for tank/keyed, or shows it to others only", "no_key"),
        key: ("no object of the id that is given for tank/keyed, or shows it to others only", "no_key"),
    }
    for uid, (sentence, reason) in cases.items():
        uids = {"tank/keyed": uid, "tank/worded": good}
        result = adopt(stocked, kmip_source=source, kmip_secrets=uids, check=True)
        assert result["adopted"] == ["tank/worded"]
        (failure,) = result["failures"].values()
        assert failure["reason"] == reason
        assert sentence in failure["msg"]
        assert key not in json.dumps(result)


def test_a_client_that_is_not_theirs_sees_nothing(stocked: Controller, theirs: Kmip, place: KmipPlace) -> None:
    uids = {"tank/keyed": put(theirs, "tank/keyed", KEY_TEXT)}
    result = adopt(stocked, kmip_source=entry(place, place.client), kmip_secrets=uids)
    assert "an object belongs to the client's certificate that made it" in result["failures"]["tank/keyed"]["msg"]


def test_a_server_that_is_down_is_asked_once(
    stocked: Controller, source: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    foreign = Kmip.foreign

    def counted(backend: Kmip, uid: str, dataset: str) -> Foreign:
        asked.append(uid)
        return foreign(backend, uid, dataset)

    monkeypatch.setattr(Kmip, "foreign", counted)
    gone = {**source, "host": "127.0.0.1", "port": server.free_port(), "timeout": 1}
    uids = {"tank/keyed": "1", "tank/worded": "2"}
    result = adopt(stocked, kmip_source=gone, kmip_secrets=uids, secrets=[{"name": "tank/worded", "passphrase": WORDS}])
    assert (asked, result["adopted"]) == (["1"], ["tank/worded"])
    assert "could not read what it has for tank/keyed" in result["failures"]["tank/keyed"]["msg"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"kmip_secrets": None}, "Give both, or none"),
        ({"kmip_source": None}, "Give both, or none"),
        ({"kmip_secrets": f"tank/keyed={KEY_TEXT} x"}, "kmip_secrets is no mapping"),
        ({"kmip_secrets": {"tank/keyed": ""}}, "kmip_secrets has no id for tank/keyed"),
        ({"kmip_secrets": {"tank/keyed": [KEY_TEXT]}}, "kmip_secrets has no id for tank/keyed"),
        ({"kmip_source": KEY_TEXT + " "}, "kmip_source, has no type"),
        ({"kmip_source": {"type": "memory", "name": "one"}}, "kmip_source is no KMIP server"),
        ({"kmip_source": {"type": "kmip", "host": "kmip.example.org"}}, "kmip_source (kmip), lacks certificate"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything(
    stocked: Controller, source: Place, changed: dict[str, t.Any], sentence: str
) -> None:
    given = {"kmip_source": source, "kmip_secrets": {"tank/keyed": "1"}, **changed}
    result = adopt(stocked, **{name: value for name, value in given.items() if value is not None})
    assert result["refused"]
    assert sentence in result["msg"]
    assert KEY_TEXT not in result["msg"]
    assert stocked.drawer("one").writes == []
