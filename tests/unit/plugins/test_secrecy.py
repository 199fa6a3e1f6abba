# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys go in and never come out: options that Ansible masks, results that hold none."""

from __future__ import annotations

import json
import types
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import MODULES, Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

SECRET = {"key", "passphrase", "manifest_content", "_seal"}
WORDS = "correct horse"


def options_of(arguments: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, t.Mapping[str, t.Any]]]:
    for name, option in arguments.items():
        yield name, option
        yield from options_of(option.get("options") or {})


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_option_that_holds_a_key_is_masked_and_no_other(module: types.ModuleType) -> None:
    found = {(name, bool(option.get("no_log"))) for name, option in options_of(module.SPEC.arguments)}
    assert {name for name, masked in found if masked} == {name for name, _masked in found} & SECRET
    assert not {name for name, masked in found if not masked} & SECRET


@pytest.mark.parametrize("check", [True, False], ids=["check mode", "real"])
def test_no_diff_of_a_key_that_changes_holds_a_key(host: FakeOpenZFS, run: Run, check: bool) -> None:
    worded = {"name": "tank/worded", "pbkdf2iters": 100_000}
    run("zfs_dataset_key", datasets=[{"name": "tank/a", "key": KEY_TEXT}, {**worded, "passphrase": WORDS}])
    changed = run(
        "zfs_dataset_key",
        check=check,
        update_key="always",
        datasets=[
            {"name": "tank/a", "key": OTHER_KEY_TEXT, "keyformat": "raw", "current": {"key": KEY_TEXT}},
            {**worded, "passphrase": "staple battery", "current": {"passphrase": WORDS}},
        ],
    )
    assert [action["action"] for action in changed["actions"]] == ["change_key", "change_key"]
    shown = json.dumps(changed)
    raw = [json.dumps(bytes.fromhex(text).decode("latin-1"))[1:-1] for text in (KEY_TEXT, OTHER_KEY_TEXT)]
    for secret in (KEY_TEXT, OTHER_KEY_TEXT, WORDS, "staple battery", *raw):
        assert secret not in shown
