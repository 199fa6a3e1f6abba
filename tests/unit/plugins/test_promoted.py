# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots that a clone took over by promotion: what stays open without a loaded key is not called locked."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

ALL: dict[str, t.Any] = {"name": "tank", "recursive": True}
SECRETS: list[dict[str, t.Any]] = [{"name": "tank", "key": KEY_TEXT, "share_with_children": True}]


@pytest.fixture
def promoted(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """``tank/clone`` is the root of ``tank/a`` and all below it, which are still mounted; its key is not loaded."""
    entries: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/child", "state": "inherited"},
        {"name": "tank/a/disk", "state": "inherited", "volsize": "16M"},
    ]
    assert run("zfs_dataset_key", datasets=entries)["changed"]
    host.clone("tank/a", "tank/clone")
    host.promote("tank/clone")
    host.calls.clear()
    return host


def lock(run: Run, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_unlock", **{**ALL, "state": "locked", "secrets": SECRETS, **params})


def mounted(host: FakeOpenZFS) -> list[str]:
    return [each.name for each in host.datasets(["tank"]).below("tank") if each.is_mounted]


def test_what_stayed_open_is_locked_for_real(promoted: FakeOpenZFS, run: Run) -> None:
    foretold = lock(run, check=True)
    result = lock(run)
    assert foretold["actions"] == result["actions"]
    assert (result["locked"], result["already"], result["failures"]) == (["tank/clone"], [], {})
    assert mounted(promoted) == []
    again = lock(run)
    assert (again["changed"], again["locked"], again["already"]) == (False, [], ["tank/clone"])


def test_the_key_that_was_left_goes_out_of_memory(promoted: FakeOpenZFS, run: Run) -> None:
    lock(run)
    promoted.promote("tank/a")
    assert promoted.loaded(["tank/a", "tank/clone"]) == frozenset()


def test_it_is_locked_only_with_a_key_that_opens_it(promoted: FakeOpenZFS, run: Run) -> None:
    assert lock(run, secrets=[])["failures"]["tank/clone"]["reason"] == "no_key"
    wrong = [{"name": "tank/clone", "key": OTHER_KEY_TEXT}]
    assert lock(run, secrets=wrong)["failures"]["tank/clone"]["reason"] == "wrong_key"
    assert mounted(promoted) == ["tank/a", "tank/a/child"]
    assert lock(run, secrets=[], verify_key=False)["locked"] == ["tank/clone"]


def test_what_was_not_chosen_stays_mounted_and_is_named(promoted: FakeOpenZFS, run: Run) -> None:
    result = lock(run, name="tank/clone", recursive=False)
    assert result["failures"]["tank/clone"]["msg"].startswith("tank/clone cannot be locked while tank/a,")
    assert (result["locked"], result["already"]) == ([], [])
    assert mounted(promoted) == ["tank/a", "tank/a/child"]


def test_a_volume_that_was_open_before_keeps_it_from_being_called_locked(host: FakeOpenZFS, run: Run) -> None:
    disk: dict[str, t.Any] = {"name": "tank/a/disk", "state": "inherited", "volsize": "16M"}
    run("zfs_dataset_key", datasets=[{"name": "tank/a", "key": KEY_TEXT}, disk])
    host.unmount("tank/a")
    host.clone("tank/a", "tank/clone")
    with host.hold("tank/a/disk"):
        host.promote("tank/clone")
        result = lock(run)
    assert result["failures"]["tank/clone"]["reason"] == "busy"
    assert "process 1 (sleep) has volume tank/a/disk open" in result["failures"]["tank/clone"]["msg"]
    assert (result["locked"], result["already"]) == ([], [])
    assert lock(run)["already"] == ["tank/clone"]


def test_the_new_roots_key_stays_while_something_is_open_with_the_one_that_was_left(
    host: FakeOpenZFS, run: Run
) -> None:
    """The kernel would let it go, and the volume would still be readable."""
    disk: dict[str, t.Any] = {"name": "tank/a/disk", "state": "inherited", "volsize": "16M"}
    run("zfs_dataset_key", datasets=[{"name": "tank/a", "key": KEY_TEXT}, disk])
    host.unmount("tank/a")
    host.clone("tank/a", "tank/clone")
    with host.hold("tank/a/disk"):
        host.promote("tank/clone")
        run("zfs_unlock", **ALL, secrets=SECRETS, mount=False)
        result = lock(run)
        assert result["failures"]["tank/clone"]["reason"] == "busy"
        assert result["changed"] is False
        assert host.loaded(["tank/clone"]) == {"tank/clone"}
    assert lock(run)["locked"] == ["tank/clone"]


def test_what_the_system_stands_on_stays_open(promoted: FakeOpenZFS, run: Run) -> None:
    promoted.standing["tank/a/child"] = ("/usr",)
    assert "the running system stands on tank/a/child" in lock(run)["msg"]
    assert mounted(promoted) == ["tank/a", "tank/a/child"]


def test_a_root_above_is_not_locked_over_it(promoted: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/b", key=KEY_TEXT)
    promoted.rename("tank/clone", "tank/b/clone")
    result = lock(run, name="tank/b", recursive=False)
    assert result["msg"].startswith("tank/b cannot be locked alone: tank/b/clone below it is unlocked.")


def test_a_pool_is_not_exported_without_a_key_for_it(promoted: FakeOpenZFS, run: Run) -> None:
    result = run("zfs_encrypted_pool", name="tank", state="exported")
    assert result["failures"]["tank/clone"]["reason"] == "no_key"
    assert "tank" in promoted.pools()


def test_the_info_module_tells_that_it_is_open(promoted: FakeOpenZFS, run: Run) -> None:
    def locked() -> bool:
        (root,) = run("zfs_encryption_info", **ALL)["roots"]
        return bool(root["locked"])

    assert not locked()
    lock(run)
    assert locked()


def test_unlocking_opens_what_is_closed_and_leaves_what_is_open(promoted: FakeOpenZFS, run: Run) -> None:
    promoted.unmount("tank/a/child")
    result = run("zfs_unlock", **ALL, secrets=SECRETS)
    assert (result["unlocked"], result["failures"]) == (["tank/clone"], {})
    assert sorted(result["mounted"]) == ["tank/a/child", "tank/clone"]
    assert run("zfs_unlock", **ALL, secrets=SECRETS)["changed"] is False


def test_a_key_that_is_changed_does_not_come_back_with_its_former_root(promoted: FakeOpenZFS, run: Run) -> None:
    for name in ("tank/a/child", "tank/a"):
        promoted.unmount(name)
    run("zfs_unlock", **ALL, secrets=SECRETS, mount=False)
    change: dict[str, t.Any] = {"key": OTHER_KEY_TEXT, "update_key": "always", "current": {"key": KEY_TEXT}}
    assert run("zfs_dataset_key", name="tank/clone", **change)["changed"]
    promoted.promote("tank/a")
    root = promoted.dataset("tank/a")
    assert root is not None
    assert not root.is_key_loaded


def test_clones_that_were_chosen_too_are_unmounted_with_their_root(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    host.clone("tank/a", "tank/clone")
    host.mount("tank/clone")
    assert lock(run, name="tank/a")["failures"]["tank/a"]["reason"] == "busy"
    assert lock(run)["locked"] == ["tank/a"]
    assert mounted(host) == []
    assert sorted(run("zfs_unlock", **ALL, secrets=SECRETS)["mounted"]) == ["tank/a", "tank/clone"]
