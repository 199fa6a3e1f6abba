# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys, _manifest
from ansible_collections.zfsfleet.encryption.plugins.module_utils._document import Document, Entry, document_from
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused

from .trees import KEY, KEY_TEXT, OTHER_KEY, PASSPHRASE

NAMES = st.from_regex(r"[a-z][A-Za-z0-9 _.:-]{0,20}(/[A-Za-z0-9_:-]{1,20})?", fullmatch=True)


@given(st.dictionaries(NAMES, st.text()))
def test_whatever_json_holds_comes_back(keys: dict[str, str]) -> None:
    assert _manifest.parse(json.dumps(keys), where="keys.json") == keys


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("", "keys.json is not JSON", id="empty"),
        pytest.param("{'tank': 'secret-secret'}", "keys.json is not JSON", id="python"),
        pytest.param('["secret-secret"]', "no JSON object", id="list"),
        pytest.param('"secret-secret"', "no JSON object", id="string"),
        pytest.param('{"tank": {"key": "secret-secret"}}', "entry for tank that is no text", id="nested"),
        pytest.param('{"tank": 12}', "entry for tank that is no text", id="number"),
        pytest.param('{"tank": null}', "entry for tank that is no text", id="null"),
        pytest.param('{"tank": "secret-secret", "tank": "x"}', "names a dataset twice", id="duplicate"),
        pytest.param(" " * (10 * 1024 * 1024 + 1), "larger than 10 MiB", id="large"),
        pytest.param('{"secret-secret!": "tank"}', "name is no dataset's", id="no name"),
        pytest.param(f'{{"{"ab" * 32}": "tank"}}', "name is no dataset's", id="turned round"),
        pytest.param('{"tank":' * 100_000, "is not JSON", id="deep"),
        pytest.param(b"\xff\xfe\xfd", "is not JSON", id="no UTF-8"),
    ],
)
def test_anything_but_an_object_of_strings_is_refused_without_being_quoted(content: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refusal:
        _manifest.parse(content, where="keys.json")
    assert "secret-secret" not in str(refusal.value)


def test_a_manifest_on_the_host_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"tank": "x"}')
    assert _manifest.given({"manifest": str(path)}) == {"tank": "x"}


def test_a_manifest_that_is_not_on_the_host_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="cannot be read on the host: No such file or directory"):
        _manifest.given({"manifest": str(tmp_path / "none.json")})


def test_the_content_that_came_along_is_preferred_to_a_path() -> None:
    assert _manifest.given({"manifest": "/none", "manifest_content": {"tank": "x"}}) == {"tank": "x"}


# -- our own format


def own(datasets: t.Any, **header: t.Any) -> str:
    return json.dumps({"format": "zfsfleet.encryption/manifest", "version": 1, "datasets": datasets, **header})


def test_in_our_own_format_a_key_is_a_key_and_a_passphrase_is_one_whatever_it_looks_like() -> None:
    content = own(
        {
            "tank/a": {"key": KEY_TEXT, "keyformat": "raw", "later": ["unheard of"]},
            "tank/b": {"passphrase": KEY_TEXT, "pbkdf2iters": 100_000},
        },
        created="2026-11-23T00:00:00Z",
        later=1,
    )
    values = _manifest.parse(content, where="keys.json")
    assert values == {"tank/a": KEY, "tank/b": _keys.passphrase(KEY_TEXT, whose="")}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(own({}, version=2), "of version 2; this release of zfsfleet.encryption reads", id="newer"),
        pytest.param(own({}, version="secret-secret"), "of version unknown", id="no number"),
        pytest.param(own({}, version=True), "of version 1;", id="true"),
        pytest.param(own(["secret-secret"]), "no object 'datasets'", id="list"),
        pytest.param(own({"tank": {"keyformat": "hex"}}), "without one key or one passphrase", id="neither"),
        pytest.param(own({"tank": {"key": KEY_TEXT, "passphrase": "secret-secret"}}), "without one key", id="both"),
        pytest.param(own({"tank": "secret-secret"}), "entry for tank without one key", id="text"),
        pytest.param(own({"tank": {"key": "secret-secret"}}), "not 64 hexadecimal digits", id="no key"),
        pytest.param(own({"secret-secret!": {"key": KEY_TEXT}}), "name is no dataset's", id="no name"),
    ],
)
def test_a_damaged_document_is_refused_without_being_quoted(content: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refusal:
        _manifest.parse(content, where="keys.json")
    assert "secret-secret" not in str(refusal.value)


def test_pools_may_have_the_names_of_our_header() -> None:
    plain: dict[str, str] = {"format": "x", "version": "1", "datasets": "y"}
    assert _manifest.parse(json.dumps(plain), where="keys.json") == plain


def test_only_names_and_secrets_travel_and_keep_their_kind() -> None:
    values: dict[str, _manifest.Value] = {"tank/a": KEY, "tank/b": PASSPHRASE, "tank/c": "either"}
    wire = _manifest.for_the_wire(values)
    assert wire == {"tank/a": {"key": KEY_TEXT}, "tank/b": {"passphrase": "correct horse"}, "tank/c": "either"}
    assert _manifest.given({"manifest_content": wire}) == values


# -- making a document


FACTS: dict[str, str | int] = {"guid": "17446744073709551615", "pbkdf2iters": 100_000}
DOCUMENT = Document("2026-11-23T00:00:00Z", {"tank/b": Entry(PASSPHRASE, FACTS), "tank/a": Entry(KEY)})


def test_truenas_reads_what_it_is_given_and_so_do_we() -> None:
    content = DOCUMENT.rendered("truenas")
    assert content == f'{{\n  "tank/a": "{KEY_TEXT}",\n  "tank/b": "correct horse"\n}}\n'.encode()
    assert _manifest.parse(content, where="") == {"tank/a": KEY_TEXT, "tank/b": "correct horse"}


def test_our_own_format_comes_back_whole() -> None:
    content = DOCUMENT.rendered("zfsfleet")
    assert document_from(content, where="") == DOCUMENT
    assert _manifest.parse(content, where="") == {"tank/a": KEY, "tank/b": PASSPHRASE}
    assert content.endswith(b"}\n")


@given(
    st.dictionaries(
        NAMES, st.text().map(lambda text: _keys.passphrase(text.encode("utf-8", "replace").decode(), whose=""))
    )
)
def test_any_passphrase_survives_either_format(keys: dict[str, _keys.Key]) -> None:
    document = Document("", {name: Entry(key) for name, key in keys.items()})
    assert _manifest.parse(document.rendered("zfsfleet"), where="") == keys
    plain = _manifest.parse(document.rendered("truenas"), where="")
    assert {name: _keys.passphrase(str(text), whose="") for name, text in plain.items()} == keys


@pytest.mark.parametrize(
    ("values", "lacking"),
    [
        ({"tank/a": KEY_TEXT}, []),
        ({"tank/a": KEY_TEXT.upper()}, []),
        ({"tank/a": KEY}, []),
        ({"tank/a": OTHER_KEY}, ["tank/a"]),
        ({"tank/a": OTHER_KEY.secret.hex()}, ["tank/a"]),
        ({"tank/b": "correct horse"}, []),
        ({"tank/b": "Correct horse"}, ["tank/b"]),
        ({"tank/b": KEY}, ["tank/b"]),
        ({"tank/c": KEY_TEXT, "tank": "x"}, ["tank", "tank/c"]),
        ({"tank/b": "\ud800"}, ["tank/b"]),
    ],
)
def test_a_key_is_lacking_unless_it_is_there_under_its_name(
    values: dict[str, _manifest.Value], lacking: list[str]
) -> None:
    assert DOCUMENT.lacks(values) == lacking


def test_a_passphrase_that_looks_like_a_key_is_compared_as_text() -> None:
    document = Document("", {"tank": Entry(_keys.passphrase("ab" * 32, whose=""))})
    assert document.lacks({"tank": "AB" * 32}) == ["tank"]
