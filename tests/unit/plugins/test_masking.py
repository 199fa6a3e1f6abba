# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in results: thousands are looked for in one pass, and where one is found core masks as ever."""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._masking import mentions

from .conftest import Run

SECRETS = {f"{number:064x}" for number in range(100)} | {"correct horse"}
MANY = 60


@pytest.mark.parametrize(
    "told",
    [
        "a correct horse battery",
        {"failures": {"tank/a": {"msg": f"not {7:064x}"}}},
        [["deep", ("deeper", {"deepest": "correct horse"})]],
    ],
)
def test_a_secret_is_found_wherever_it_stands(told: t.Any) -> None:
    assert mentions(told, SECRETS)


def test_numbers_are_looked_through_as_core_does() -> None:
    assert mentions({"size": 123456789}, {"345678"})


def test_nothing_is_found_where_there_is_none() -> None:
    assert not mentions({"a": ["correct", "horse", 1, None, True], "correct horse": "a name of ours"}, SECRETS)


def test_secrets_of_many_lengths_are_left_to_core() -> None:
    assert mentions({}, {"x" * length for length in range(8, 20)})


def test_it_takes_a_moment_for_a_thousand_roots() -> None:
    told = [{"name": f"tank/r{number:04}", "msg": "as it should be " * 20} for number in range(1000)]
    began = time.process_time()
    assert not mentions(told, {f"{number:064x}" for number in range(2000)})
    assert time.process_time() - began < 5  # core takes a minute


def many(*more: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [*({"name": f"tank/r{number}", "key": f"{number + 1:064x}"} for number in range(MANY)), *more]


def made(result: dict[str, t.Any]) -> list[str]:
    return [action["dataset"] for action in result["actions"] if action["action"] == "create"]


def test_the_result_of_many_roots_holds_no_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text, **_options: printed.append(text))
    with pytest.raises(json.JSONDecodeError):
        run("zfs_dataset_key", datasets=many())
    (text,) = printed
    assert len(made(json.loads(text))) == MANY
    assert not [entry["key"] for entry in many() if entry["key"] in text]


def test_a_secret_in_a_result_of_many_roots_is_masked(run: Run) -> None:
    named = {"name": "tank/correct horse", "keyformat": "passphrase", "passphrase": "correct horse"}
    result = run("zfs_dataset_key", datasets=many(named))
    assert len(made(result)) == MANY + 1
    assert "correct horse" not in json.dumps(result["actions"])
