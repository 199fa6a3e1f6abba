# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several keys opens a root, as zfs_encryption_info tells it."""

from __future__ import annotations

import json
import re
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Verdict
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._seen import Root, Tried, seen_from
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

WORDS = "correct horse"


@pytest.fixture(autouse=True)
def provisioned(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    datasets: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/child", "state": "inherited"},
        {"name": "tank/w", "passphrase": WORDS, "pbkdf2iters": 100_000},
        {"name": "tank/plain", "encryption": "off"},
    ]
    assert run("zfs_dataset_key", datasets=datasets)["changed"]
    return host


def candidate(name: str, known_as: str, key: str = KEY_TEXT, **more: str) -> dict[str, t.Any]:
    return {"name": name, "id": known_as, **(more or {"key": key})}


def test_the_key_that_opens_is_told_by_its_id(run: Run) -> None:
    result = run(
        "zfs_encryption_info",
        candidates=[
            candidate("tank/a", "old", OTHER_KEY_TEXT),
            candidate("tank/a", "new"),
            candidate("tank/a", "the same again"),
            candidate("tank/a", "never tried", "0c" * 32),
            candidate("tank/w", "words", passphrase=WORDS),
            candidate("tank/w", "digits"),
        ],
    )
    assert result["candidates"] == [
        {
            "name": "tank/a",
            "opened_by": ["new", "the same again"],
            "wrong": ["old"],
            "unknown": {},
            "untried": ["never tried"],
        },
        {"name": "tank/w", "opened_by": ["words"], "wrong": ["digits"], "unknown": {}, "untried": []},
    ]
    assert result["changed"] is False
    shown = json.dumps(result)
    assert not [text for text in (KEY_TEXT, OTHER_KEY_TEXT, WORDS) if text in shown]


def test_locked_roots_answer_too(host: FakeOpenZFS, run: Run) -> None:
    host.unmount("tank/a/child")
    host.unmount("tank/a")
    host.unload_key("tank/a")
    result = run("zfs_encryption_info", candidates=[candidate("tank/a", "it")])
    assert result["candidates"][0]["opened_by"] == ["it"]
    root = host.dataset("tank/a")
    assert root is not None
    assert not root.is_key_loaded


def test_names_that_are_no_chosen_roots_are_passed_over(run: Run) -> None:
    names = ("tank/a/child", "tank/plain", "tank/none", "lake/a", "tank/w")
    result = run("zfs_encryption_info", name="tank/a", candidates=[candidate(name, "x") for name in names])
    assert result["candidates"] == []


def test_a_key_that_cannot_be_tried_is_unknown_and_not_wrong(
    host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "verify", lambda _root, _key: Verdict("unknown", 5, "Input/output error"))
    result = run("zfs_encryption_info", candidates=[candidate("tank/a", "x")])
    assert result["candidates"][0]["unknown"] == {"x": {"errno": 5, "msg": "Input/output error"}}
    assert seen_from(result).tried["tank/a"] == Tried((), (), {"x": "Input/output error"})


def test_candidates_do_not_count_as_offered(run: Run) -> None:
    result = run("zfs_encryption_info", candidates=[candidate("tank/a", "it")])
    (summary,) = [each for each in result["summary"] if each["name"] == "tank/a"]
    assert (summary["key_given"], summary["valid_key"]) == (False, False)


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        ([candidate("tank/a", "x"), candidate("tank/a", "x")], "The candidate x for tank/a stands twice"),
        ([candidate("tank/a", "x", "0a")], r"The key of tank/a \(candidate x\) is not 64 hexadecimal digits"),
        ([candidate("tank/a", KEY_TEXT)], "The id of a candidate for tank/a may be a key, so it is not shown"),
    ],
)
def test_candidates_that_make_no_sense_are_refused(run: Run, candidates: list[dict[str, t.Any]], sentence: str) -> None:
    result = run("zfs_encryption_info", candidates=candidates)
    assert result["failed"]
    assert re.search(sentence, result["msg"])


def test_the_controller_reads_what_the_host_showed(host: FakeOpenZFS, run: Run) -> None:
    seen = seen_from(run("zfs_encryption_info", candidates=[candidate("tank/a", "it")]))
    guid = host.pools()["tank"].guid
    keyed, worded = host.dataset("tank/a"), host.dataset("tank/w")
    assert keyed is not None
    assert worded is not None
    salt = worded.value("pbkdf2salt")
    assert seen.pools == {"tank": guid}
    assert seen.roots == {
        "tank/a": Root("tank/a", guid, keyed.value("keyguid"), "hex", inheriting=1),
        "tank/w": Root("tank/w", guid, worded.value("keyguid"), "passphrase", 100_000, salt),
    }
    assert seen.others == {"tank", "tank/a/child", "tank/plain"}
    assert seen.opened_by("tank/a") == ("it",)
    assert seen.opened_by("tank/w") == ()
    assert seen.has("tank/plain")
    assert not seen.has("tank/none")
