# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place that lacks something on this controller: what the others have is used, and nothing is made with too few."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _strict_kmip
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, Surroundings
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Entry

from .acting import Controller
from .test_escrow import COPY, kept, version

Place = dict[str, t.Any]
MEMORY: Place = {"type": "memory", "name": "one"}
MADE = ["tank/a"]

# What is missing -> the place, and what is said of it.
LACKING: dict[str, tuple[Place, str]] = {
    "certificate": (
        {"type": "kmip", "host": "kmip.example.org", "certificate": "/nowhere/c.pem", "key_file": "/k", "ca": "/ca"},
        "kmip kmip.example.org:5696 cannot be opened from this controller. Its certificate, /nowhere/c.pem, is not",
    ),
    "ca": (
        {"type": "openbao", "url": "https://bao.example.org:8200", "token": "t0k", "ca": "/nowhere/ca.pem"},
        "openbao https://bao.example.org:8200 secret/zfsfleet cannot be opened from this controller. Its ca, /nowhere",
    ),
    "token_file": (
        {"type": "openbao", "url": "https://bao.example.org:8200", "token_file": "/nowhere/token"},
        "Its token_file cannot be read: No such file or directory",
    ),
    "token": (
        {"type": "openbao", "url": "https://bao.example.org:8200", "token_file": "/dev/null"},
        "What its token_file holds is not one word",
    ),
    "vault secret": (
        {"type": "vault_file", "path": "/srv/keys", "vault_id": "other"},
        "vault_file /srv/keys cannot be opened from this controller. This play has no vault identity other",
    ),
}


@pytest.fixture
def made(controller: Controller) -> Controller:
    """A host whose one root has its key in the place that can be opened."""
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[MEMORY])["changed"]
    return controller


@pytest.mark.parametrize("missing", LACKING)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_another_place_has_opens_all_the_same(made: Controller, missing: str, is_first: bool) -> None:
    place, sentence = LACKING[missing]
    escrow = [place, MEMORY] if is_first else [MEMORY, place]
    assert made.act("zfs_unlock", name="tank/a", state="locked", escrow=[MEMORY])["locked"] == MADE
    drilled = made.act("zfs_key_drill", escrow=escrow)
    assert (drilled["opened"], [each["readable"] for each in drilled["places"]].count(False)) == (1, 1)
    unlocked = made.act("zfs_unlock", name="tank/a", escrow=escrow)
    assert unlocked["unlocked"] == MADE, unlocked.get("msg")
    told = made.act("zfs_key_escrow_info", escrow=escrow)
    assert [each["dataset"] for each in told["versions"]] == MADE
    for result in (drilled, unlocked, told):
        (warning,) = result["warnings"]
        assert sentence in warning


@pytest.mark.parametrize("missing", LACKING)
def test_nothing_is_made_with_too_few_places(made: Controller, missing: str) -> None:
    place, sentence = LACKING[missing]
    drawer = made.drawer("one")
    writes = list(drawer.writes)
    for check in (True, False):
        refused = made.act("zfs_dataset_key", name="tank/b", escrow=[MEMORY, place], check=check)
        assert "1 of 2 places for keys could be written to; 2 are required." in refused["msg"]
        assert sentence in refused["msg"]
        assert "No key was made" in refused["msg"]
    assert (drawer.writes, made.host.dataset("tank/b")) == (writes, None)
    enough = made.act("zfs_dataset_key", name="tank/b", escrow=[MEMORY, place], escrow_require=1)
    assert enough["changed"]
    assert any(sentence in warning for warning in enough["warnings"])


@pytest.mark.parametrize("missing", LACKING)
def test_nothing_is_destroyed_while_a_place_may_have_it_too(made: Controller, missing: str) -> None:
    place, sentence = LACKING[missing]
    (told,) = made.act("zfs_key_escrow_info", escrow=[MEMORY])["versions"]
    gone: dict[str, t.Any] = {"key_id": told["key_id"], "state": "absent", "force_destroy": True, "escrow_require": 1}
    refused = made.act("zfs_key_escrow", escrow=[MEMORY, place], **gone)
    assert "so it is not destroyed" in refused["msg"]
    assert sentence in refused["msg"]


@pytest.mark.parametrize("missing", LACKING)
def test_the_only_place_has_to_be_opened(made: Controller, missing: str) -> None:
    place, sentence = LACKING[missing]
    for module in ("zfs_unlock", "zfs_dataset_key"):
        refused = made.act(module, name="tank/a", escrow=[place])
        assert refused["refused"]
        assert sentence in refused["msg"]


def test_none_of_several_that_can_be_opened_fails_the_task(made: Controller) -> None:
    places = [place for place, _sentence in LACKING.values() if place["type"] != "openbao"]
    refused = made.act("zfs_unlock", name="tank/a", escrow=places)
    assert "None of the places for keys could be read." in refused["msg"]
    assert "kmip.example.org" in refused["msg"]
    assert "/srv/keys" in refused["msg"]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"type": "openbao", "url": "http://bao.example.org", "token_file": "/nowhere"}, "is to be https://"),
        ({"type": "openbao", "url": "https://bao.example.org", "token": "two words"}, "is not one word"),
        ({"type": "openbao", "url": "https://bao.example.org"}, "wants one of token and token_file"),
        ({"type": "vault_file", "path": "/srv/keys", "pth": "/srv"}, "says more than a backend of this type takes"),
        ({"type": "kmip", "host": "kmip.example.org"}, "lacks certificate, key_file, ca"),
    ],
)
def test_what_makes_no_sense_is_refused_whatever_else_is_there(made: Controller, entry: Place, sentence: str) -> None:
    refused = made.act("zfs_unlock", name="tank/a", escrow=[MEMORY, entry])
    assert refused["refused"]
    assert sentence in refused["msg"]


def test_one_place_twice_is_one_also_where_it_cannot_be_opened(made: Controller) -> None:
    place, _sentence = LACKING["certificate"]
    refused = made.act("zfs_unlock", name="tank/a", escrow=[place, place])
    assert "names kmip kmip.example.org:5696 twice" in refused["msg"]


def test_a_missing_library_is_missing_for_its_place_only(
    made: Controller, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    files = dict.fromkeys(("certificate", "key_file", "ca"), str(file))
    bao = {"type": "openbao", "url": "https://bao.example.org", "token": "t0k"}
    _strict_kmip.library()  # so that what is missing below is one module, and not half a package
    monkeypatch.setitem(sys.modules, "hvac", None)
    monkeypatch.setitem(sys.modules, "kmip.pie.client", None)
    _strict_kmip.library.cache_clear()
    escrow = [bao, {"type": "kmip", "host": "kmip.example.org", **files}, MEMORY]
    drilled = made.act("zfs_key_drill", escrow=escrow)
    assert drilled["opened"] == 1
    for warning, package in zip(drilled["warnings"], ("hvac", "pykmip"), strict=True):
        assert f"needs the Python package {package}" in warning


def test_every_call_says_why() -> None:
    place, sentence = LACKING["certificate"]
    around = Surroundings(DataLoader(), "nas1", "ssh")
    (backend, _other) = backends_from([place, {**place, "port": 5697}], around)
    entry = Entry(version(), "active", "")
    calls: list[t.Callable[[], object]] = [
        backend.find_out,
        lambda: backend.entries("nas1"),
        lambda: backend.elsewhere(["77"], ["1"]),
        lambda: backend.fetch(entry),
        lambda: backend.put(kept()),
        lambda: backend.advance(entry, "active"),
        lambda: backend.bind(entry, COPY),
        lambda: backend.destroy(entry),
    ]
    for call in calls:
        with pytest.raises(BackendDown, match=sentence):
            call()
    backend.close()
