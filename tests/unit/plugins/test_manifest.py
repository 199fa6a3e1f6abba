# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest."""

from __future__ import annotations

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _manifest
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused

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
