# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlocking where something stands in the way of a mountpoint."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, StateUnknown
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

SECRETS = [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]
TREE = [
    {"name": "tank/a", "key": KEY_TEXT},
    {"name": "tank/a/child", "state": "inherited"},
    {"name": "tank/a/b", "key": KEY_TEXT},
]


@pytest.fixture
def locked(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """A tree that is locked, the directory of its upper root not empty."""
    assert run("zfs_dataset_key", datasets=TREE)["changed"]
    assert unlock(run, state="locked")["locked"] == ["tank/a/b", "tank/a"]
    host.places.put("/tank/a", "is not empty.")
    host.places.put("/tank/a/b", "is not empty.")
    host.calls.clear()
    return host


def unlock(run: Run, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_unlock", **{"name": "tank/a", "recursive": True, "secrets": SECRETS, **params})


def key_is_loaded(host: FakeOpenZFS, name: str) -> bool:
    root = host.dataset(name)
    assert root is not None
    return root.is_key_loaded


def test_without_it_the_root_fails_and_what_lies_below_is_skipped(locked: FakeOpenZFS, run: Run) -> None:
    result = unlock(run)
    failure = result["failures"]["tank/a"]
    assert (failure["reason"], failure["skipped"]) == ("mountpoint_occupied", ["tank/a/b"])
    assert locked.changes == []


def test_what_stands_in_the_way_is_moved_aside_with_all_that_it_holds(locked: FakeOpenZFS, run: Run) -> None:
    result = unlock(run, move_aside=True)
    assert result["moved_aside"] == {"/tank/a": "/tank/a.aside-1"}
    assert set(result["mounted"]) == {"tank/a", "tank/a/child", "tank/a/b"}
    assert locked.places.occupant("/tank/a.aside-1/b") == "is not empty."
    assert result["diff"]["before"]["tank/a"]["in_the_way"] == "/tank/a"
    assert result["diff"]["after"]["tank/a"]["in_the_way"] == "/tank/a.aside-1"


def test_check_mode_foretells_the_new_name_and_moves_nothing(locked: FakeOpenZFS, run: Run) -> None:
    foretold = unlock(run, move_aside=True, check=True)
    assert locked.changes == []
    real = unlock(run, move_aside=True)
    assert foretold["moved_aside"] == real["moved_aside"]
    assert foretold["actions"] == real["actions"]
    assert not unlock(run, move_aside=True)["changed"]


def test_the_summary_honours_it(locked: FakeOpenZFS, run: Run) -> None:
    def successes(**params: t.Any) -> list[bool]:
        report = run("zfs_encryption_info", name="tank/a", recursive=True, secrets=SECRETS, **params)
        return [entry["unlock_successful"] for entry in report["summary"]]

    assert successes() == [False, False]
    assert successes(move_aside=True) == [True, True]
    assert locked.changes == []


def test_a_name_that_is_taken_is_left_alone(locked: FakeOpenZFS, run: Run) -> None:
    locked.places.put("/tank/a.aside-1", "is not empty.")
    assert unlock(run, move_aside=True)["moved_aside"] == {"/tank/a": "/tank/a.aside-2"}


def test_what_lies_inside_a_filesystem_that_was_locked_is_moved_too(locked: FakeOpenZFS, run: Run) -> None:
    unlock(run, move_aside=True)
    locked.unmount("tank/a/b")
    locked.places.put("/tank/a/b", "is not empty.")
    unlock(run, state="locked")
    result = unlock(run, move_aside=True)
    assert result["moved_aside"] == {"/tank/a/b": "/tank/a/b.aside-1"}
    assert set(result["mounted"]) == {"tank/a", "tank/a/child", "tank/a/b"}


def test_what_is_in_use_stays_and_is_a_failure_before_the_key_is_loaded(locked: FakeOpenZFS, run: Run) -> None:
    with locked.places.use("/tank/a/b"):
        result = unlock(run, move_aside=True)
    assert result["failures"]["tank/a"]["reason"] == "mountpoint_occupied"
    assert "process 1 (sleep) uses it" in result["msg"]
    assert locked.changes == []


def test_a_mount_that_fails_has_it_moved_back(locked: FakeOpenZFS, run: Run) -> None:
    for name in ("tank/a", "tank/a/child"):
        locked.fail_on("mount", name, CallFailed(f"{name} was not mounted.", reason="mount_failed"))
    result = unlock(run, move_aside=True)
    assert result["failures"]["tank/a"]["reason"] == "mount_failed"
    assert "moved_aside" not in result
    assert locked.places.occupant("/tank/a/b") == "is not empty."
    assert not key_is_loaded(locked, "tank/a")


def test_what_cannot_be_moved_back_is_told_with_its_place(locked: FakeOpenZFS, run: Run) -> None:
    locked.fail_on("mount", "tank/a", CallFailed("tank/a was not mounted.", reason="mount_failed"))
    locked.fail_on("move_back", "/tank/a", CallFailed("/tank/a.aside-1 was not moved to /tank/a: Read-only."))
    assert "tank/a was not mounted. /tank/a.aside-1 was not moved to /tank/a" in unlock(run, move_aside=True)["msg"]


def test_a_mount_without_an_answer_leaves_it_aside_and_says_where(locked: FakeOpenZFS, run: Run) -> None:
    locked.fail_on("mount", "tank/a", StateUnknown("'zfs mount' gave no answer for 300 s."))
    assert "What stood on /tank/a is now /tank/a.aside-1." in unlock(run, move_aside=True)["msg"]


def test_nothing_is_moved_for_a_root_that_no_key_opens(locked: FakeOpenZFS, run: Run) -> None:
    result = unlock(run, move_aside=True, secrets=[{"name": "tank/a", "key": OTHER_KEY_TEXT}])
    assert result["failures"]["tank/a"]["reason"] == "wrong_key"
    assert locked.changes == []
