# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicas whose first stream has not come to its end: unlocked with the rest, neither mounted nor read from."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

TASK: dict[str, t.Any] = {
    "name": "tank/r",
    "recursive": True,
    "secrets": [{"name": "tank/r", "key": KEY_TEXT}, {"name": "tank/r/half", "key": OTHER_KEY_TEXT}],
}
BROKEN_OFF = (
    "tank/r/half is half received, so it is neither mounted nor read from. "
    "Resume it, or abort it with 'zfs receive -A tank/r/half'."
)


@pytest.fixture
def sent(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    entries = [{"name": "tank/src", "key": OTHER_KEY_TEXT}, {"name": "tank/r", "key": KEY_TEXT}]
    assert run("zfs_dataset_key", datasets=[*entries, {"name": "tank/v", "key": OTHER_KEY_TEXT, "volsize": "1M"}])[
        "changed"
    ]
    return host


def is_open(host: FakeOpenZFS, name: str) -> tuple[bool, bool]:
    dataset = host.datasets(["tank"]).datasets[name]
    return dataset.is_key_loaded, dataset.is_mounted


@pytest.mark.parametrize("source", ["tank/src", "tank/v"])
def test_one_that_broke_off_is_unlocked_and_told_of(sent: FakeOpenZFS, run: Run, source: str) -> None:
    sent.replication.break_off(source, "tank/r/half")
    (_root, told) = run("zfs_encryption_info", **TASK)["summary"]
    result = run("zfs_unlock", **TASK)

    assert (told["name"], told["unlock_successful"]) == ("tank/r/half", True)
    assert (result["failures"], result["warnings"]) == ({}, [BROKEN_OFF])
    assert is_open(sent, "tank/r/half") == (True, False)
    assert ("prove_readable", "tank/r/half") not in sent.calls
    again = run("zfs_unlock", **TASK)
    assert (again["changed"], again["failures"]) == (False, {})


def test_one_that_is_being_received_is_to_be_waited_for(sent: FakeOpenZFS, run: Run) -> None:
    with sent.replication.running("tank/src", "tank/r/half"):
        (warning,) = run("zfs_unlock", **TASK)["warnings"]
    assert warning.endswith("Let that end.")


def test_it_is_mounted_once_it_has_come_to_its_end(sent: FakeOpenZFS, run: Run) -> None:
    sent.replication.break_off("tank/src", "tank/r/half")
    run("zfs_unlock", **TASK)
    sent.replication.resume("tank/r/half")
    result = run("zfs_unlock", **TASK)

    assert (result["failures"], result["warnings"]) == ({}, [])
    assert is_open(sent, "tank/r/half") == (True, True)


def test_a_new_mountpoint_above_does_not_mount_it(sent: FakeOpenZFS, run: Run) -> None:
    sent.replication.break_off("tank/src", "tank/r/half")
    run("zfs_unlock", **TASK)
    moved: dict[str, t.Any] = {"name": "tank/r", "key": KEY_TEXT, "properties": {"mountpoint": "/srv/r"}}

    assert run("zfs_dataset_key", **moved)["failures"] == {}
    assert is_open(sent, "tank/r/half") == (True, False)
