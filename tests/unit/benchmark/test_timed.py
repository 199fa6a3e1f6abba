# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is timed is the product: a watch before the host changes nothing of what a module does there."""

from __future__ import annotations

import io
import json
import pathlib

import pytest
from ansible.module_utils import basic

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _edge, _lock
from ansible_collections.zfsfleet.encryption.tests.benchmark import timed
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS


def test_a_watched_module_works_and_its_calls_are_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    host = FakeOpenZFS("tank")
    wanted = {"name": "tank/secret", "key": "ab" * 32}
    monkeypatch.setattr(timed, "OpenZFS", lambda: host)
    monkeypatch.setattr(_lock, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["timed", "zfs_dataset_key"])
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
    for place, name in ((_edge, "OpenZFS"), (basic, "_ANSIBLE_PROFILE"), (basic, "_ANSIBLE_ARGS")):
        monkeypatch.setattr(place, name, None, raising=False)  # these are given back after the test

    timed.main()

    answer = json.loads(capsys.readouterr().out)
    assert answer["result"].get("failed", False) is False, answer["result"]
    assert answer["result"]["changed"]
    assert {"pools", "create"} <= {call["kind"] for call in answer["profile"]["calls"]}, answer["profile"]
