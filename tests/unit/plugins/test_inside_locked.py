# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is mounted in the bare mountpoint of a locked filesystem, which could not be unlocked any more."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

INSIDE: dict[str, t.Any] = {"name": "tank/x", "key": OTHER_KEY_TEXT, "properties": {"mountpoint": "/tank/e/sub"}}
OF_E: dict[str, t.Any] = {"name": "tank/e", "key": KEY_TEXT}
OF_X: dict[str, t.Any] = {"name": "tank/x", "key": OTHER_KEY_TEXT}
SENTENCE = (
    "tank/x would be mounted on /tank/e/sub, inside /tank/e, where tank/e belongs, which is locked and could not be "
    "unlocked any more. Unlock tank/e in the same task or before, choose another mountpoint, or set canmount=noauto."
)


@pytest.fixture
def locked(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    run("zfs_dataset_key", **OF_E)
    assert run("zfs_unlock", name="tank/e", state="locked", secrets=[OF_E])["locked"] == ["tank/e"]
    return host


@pytest.fixture
def both_locked(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    run("zfs_dataset_key", **OF_E)
    run("zfs_dataset_key", **INSIDE)
    run("zfs_unlock", names=["tank/x", "tank/e"], state="locked", secrets=[OF_E, OF_X])
    return host


def is_mounted(host: FakeOpenZFS, name: str) -> bool:
    return host.datasets(["tank"]).datasets[name].is_mounted


def test_a_new_dataset_is_not_made_there(locked: FakeOpenZFS, run: Run) -> None:
    assert run("zfs_dataset_key", check=True, **INSIDE)["msg"] == SENTENCE
    assert run("zfs_dataset_key", **INSIDE)["msg"] == SENTENCE
    assert locked.dataset("tank/x") is None
    unmounted = {**INSIDE, "properties": {**INSIDE["properties"], "canmount": "noauto"}}
    assert run("zfs_dataset_key", **unmounted)["failures"] == {}


def test_nor_is_one_moved_there(locked: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", **OF_X)
    assert run("zfs_dataset_key", **INSIDE)["msg"] == SENTENCE
    assert run("zfs_dataset_key", **OF_X)["failures"] == {}


def test_nor_unlocked(both_locked: FakeOpenZFS, run: Run) -> None:
    result = run("zfs_unlock", name="tank/x", secrets=[OF_X])
    assert result["failures"]["tank/x"]["msg"] == SENTENCE
    assert not both_locked.datasets(["tank"]).datasets["tank/x"].is_key_loaded
    assert run("zfs_unlock", name="tank/x", secrets=[OF_X], mount=False)["unlocked"] == ["tank/x"]


def test_with_what_belongs_there_it_is(both_locked: FakeOpenZFS, run: Run) -> None:
    result = run("zfs_unlock", names=["tank/x", "tank/e"], secrets=[OF_E, OF_X])
    assert result["failures"] == {}
    assert is_mounted(both_locked, "tank/e")
    assert is_mounted(both_locked, "tank/x")


def test_it_fails_with_what_belongs_there(both_locked: FakeOpenZFS, run: Run) -> None:
    result = run("zfs_unlock", name="tank", recursive=True, secrets=[OF_X])
    assert {name: each["reason"] for name, each in result["failures"].items()} == {
        "tank/e": "no_key",
        "tank/x": "mountpoint_occupied",
    }


def test_a_directory_that_is_in_use_anyway_is_no_bare_mountpoint(both_locked: FakeOpenZFS, run: Run) -> None:
    both_locked.places.put_file("/tank/e/kept")
    assert run("zfs_unlock", name="tank/x", secrets=[OF_X])["failures"] == {}
    assert is_mounted(both_locked, "tank/x")


def test_the_summary_knows_a_directory_in_use_too(both_locked: FakeOpenZFS, run: Run) -> None:
    (foretold,) = run("zfs_encryption_info", name="tank/x", secrets=[OF_X])["summary"]
    assert (foretold["unlock_successful"], foretold["unlock_error"]) == (False, SENTENCE)
    both_locked.places.put_file("/tank/e/kept")
    (foretold,) = run("zfs_encryption_info", name="tank/x", secrets=[OF_X])["summary"]
    assert (foretold["unlock_successful"], foretold["unlock_error"]) == (True, None)


def test_one_may_be_made_in_a_directory_in_use(locked: FakeOpenZFS, run: Run) -> None:
    locked.places.put_file("/tank/e/kept")
    assert run("zfs_dataset_key", check=True, **INSIDE)["changed"]
    assert run("zfs_dataset_key", **INSIDE)["failures"] == {}
    assert is_mounted(locked, "tank/x")
