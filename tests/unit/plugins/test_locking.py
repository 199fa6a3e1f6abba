# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locking as a task sees it: who is in the way, what was really locked, mountpoints that nobody writes into."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place
from ansible_collections.zfsfleet.encryption.tests.fake.datasets import User
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, OTHER_KEY_TEXT

SECRETS: list[dict[str, t.Any]] = [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]


@pytest.fixture
def tree(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """A root with a child, and a volume that is a root below it."""
    entries: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/child", "state": "inherited"},
        {"name": "tank/a/disk", "key": KEY_TEXT, "volsize": "16M"},
    ]
    assert run("zfs_dataset_key", datasets=entries)["changed"]
    host.calls.clear()
    return host


def lock(run: Run, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_unlock", **{"name": "tank/a", "recursive": True, "state": "locked", "secrets": SECRETS, **params})


def unlock(run: Run, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_unlock", **{"name": "tank/a", "recursive": True, "secrets": SECRETS, **params})


def is_loaded(host: FakeOpenZFS, name: str) -> bool:
    return bool(host.loaded([name]))


# -- who is in the way


def test_who_keeps_a_filesystem_mounted_is_named(tree: FakeOpenZFS, run: Run) -> None:
    tree.use("tank/a/child", User("process 7 (rsync) works in /tank/a/child"))
    failure = lock(run)["failures"]["tank/a"]
    assert failure["reason"] == "busy"
    assert failure["msg"].endswith("In use by: process 7 (rsync) works in /tank/a/child.")


def test_who_keeps_a_volume_open_is_named_and_what_lies_above_is_skipped(tree: FakeOpenZFS, run: Run) -> None:
    with tree.hold("tank/a/disk"):
        result = lock(run)
    failure = result["failures"]["tank/a/disk"]
    assert failure["msg"].endswith("In use by: process 1 (sleep) has volume tank/a/disk open.")
    assert failure["skipped"] == ["tank/a"]
    assert (result["locked"], is_loaded(tree, "tank/a")) == ([], True)
    child = tree.dataset("tank/a/child")
    assert child is not None
    assert child.is_mounted


def test_a_user_of_a_clone_elsewhere_is_named(tree: FakeOpenZFS, run: Run) -> None:
    tree.clone("tank/a/disk", "tank/copy")
    with tree.hold("tank/copy"):
        failure = lock(run)["failures"]["tank/a/disk"]
    assert failure["msg"].endswith("In use by: process 1 (sleep) has volume tank/copy open.")


def test_a_mounted_clone_elsewhere_goes_along_where_it_is_named_beside_its_root(tree: FakeOpenZFS, run: Run) -> None:
    tree.clone("tank/a/child", "tank/copy")
    tree.mount("tank/copy")
    assert "tank/copy, which shares its key, is mounted" in lock(run)["failures"]["tank/a"]["msg"]
    assert "tank/copy is no encryption root" in lock(run, name="tank/copy")["msg"]

    result = run("zfs_unlock", state="locked", secrets=SECRETS, names=["tank/a", "tank/copy"])
    assert (result["failures"], result["locked"]) == ({}, ["tank/a"])
    assert tree.mounts(["tank/a", "tank/copy"]) == ()


def test_a_bind_mount_is_named_and_the_filesystem_is_mounted_again(tree: FakeOpenZFS, run: Run) -> None:
    tree.bind("tank/a", "/srv/export")
    failure = lock(run)["failures"]["tank/a"]
    assert failure["msg"].endswith("In use by: tank/a is mounted on /srv/export.")
    assert set(tree.mounts(["tank/a"])) == {("tank/a", "/tank/a"), ("tank/a", "/srv/export")}


def test_force_takes_a_bind_mount_away(tree: FakeOpenZFS, run: Run) -> None:
    tree.bind("tank/a", "/srv/export")
    assert lock(run, force_unmount=True)["locked"] == ["tank/a/disk", "tank/a"]
    assert tree.mounts(["tank/a"]) == ()


def test_nobody_loses_a_file_by_force(tree: FakeOpenZFS, run: Run) -> None:
    with tree.hold("tank/a"):
        failure = lock(run, force_unmount=True)["failures"]["tank/a"]
    assert failure["msg"].endswith("In use by: process 1 (sleep) has /tank/a/held open.")
    assert is_loaded(tree, "tank/a")


def test_that_nobody_was_found_is_said_and_many_users_are_cut_short(tree: FakeOpenZFS, run: Run) -> None:
    tree.fail_on("unload_key", "tank/a/disk", CallFailed("The key of tank/a/disk was not unloaded", reason="busy"))
    assert "Nobody was found who uses it" in lock(run)["failures"]["tank/a/disk"]["msg"]
    tree.use("tank/a/disk", *(User(f"process {number} (x) has volume tank/a/disk open") for number in range(20)))
    assert lock(run)["failures"]["tank/a/disk"]["msg"].endswith("; and 8 more.")


# -- what is mounted inside of another root's filesystem


def test_a_root_is_not_locked_around_one_that_stays_unlocked(host: FakeOpenZFS, run: Run) -> None:
    entries = [
        {"name": "tank/r", "key": KEY_TEXT, "properties": {"mountpoint": "/srv"}},
        {"name": "tank/x", "key": KEY_TEXT, "properties": {"mountpoint": "/srv/x"}},
    ]
    run("zfs_dataset_key", datasets=entries)
    secrets = [{"name": "tank", "key": KEY_TEXT, "share_with_children": True}]
    host.fail_on("unload_key", "tank/x", CallFailed("The key of tank/x was not unloaded", reason="busy"))
    result = lock(run, name="tank", secrets=secrets)
    assert (result["locked"], result["failures"]["tank/x"]["skipped"]) == ([], ["tank/r"])
    assert host.mounts(["tank/r", "tank/x"]) == (("tank/r", "/srv"), ("tank/x", "/srv/x"))
    host.faults.clear()
    assert lock(run, name="tank", secrets=secrets)["locked"] == ["tank/x", "tank/r"]
    assert unlock(run, name="tank", secrets=secrets)["mounted"] == ["tank/r", "tank/x"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_clone_below_that_follows_a_root_elsewhere_is_told_and_comes_back(
    tree: FakeOpenZFS, run: Run, fails: bool
) -> None:
    run("zfs_dataset_key", name="tank/b", key=KEY_TEXT)
    tree.clone("tank/b", "tank/a/clone")
    assert run("zfs_unlock", name="tank/b")["mounted"] == ["tank/a/clone"]
    if fails:
        tree.fail_on("unload_key", "tank/a", CallFailed("The key of tank/a was not unloaded", reason="busy"))
    unmounted = [each["dataset"] for each in lock(run)["actions"] if each["action"] == "unmount"]
    assert ("tank/a/clone" in unmounted) == (not fails)
    clone = tree.dataset("tank/a/clone")
    assert clone is not None
    assert clone.is_mounted == fails


@pytest.mark.parametrize("inner", ["open", "locked", "unmounted", "elsewhere"])
def test_a_clone_below_an_inner_root_is_told_once_and_comes_back_too(tree: FakeOpenZFS, run: Run, inner: str) -> None:
    run("zfs_dataset_key", datasets=[{"name": "tank/b", "key": KEY_TEXT}, {"name": "tank/a/own", "key": KEY_TEXT}])
    tree.clone("tank/b", "tank/a/own/clone")
    if inner == "locked":
        run("zfs_unlock", name="tank/a/own", state="locked", verify_key=False)
    elif inner == "unmounted":
        tree.unmount("tank/a/own")
    elif inner == "elsewhere":
        tree.set_properties("tank/a/own/clone", {"mountpoint": "/tank/a/elsewhere"})
    tree.mount("tank/a/own/clone")
    foretold = lock(run, check=True, recursive=True, verify_key=False)
    assert [each["dataset"] for each in foretold["actions"]].count("tank/a/own/clone") == 1
    tree.fail_on("unload_key", "tank/a", CallFailed("The key of tank/a was not unloaded", reason="busy"))
    lock(run, recursive=True, verify_key=False)
    clone = tree.dataset("tank/a/own/clone")
    assert clone is not None
    assert clone.is_mounted == (inner != "open")


# -- what is claimed in the end


@pytest.mark.parametrize("call", ["unload_key", "datasets"])
def test_a_key_that_is_in_memory_in_the_end_is_never_called_locked(
    tree: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    if call == "datasets":
        assert lock(run)["changed"]
    original = getattr(tree, call)

    def load_again(*args: t.Any) -> t.Any:
        result = original(*args)
        tree._datasets.loaded["tank/a"] = KEY.secret  # as another program does at that moment
        return result

    monkeypatch.setattr(tree, call, load_again)
    result = lock(run)
    assert result["failures"]["tank/a"]["msg"] == (
        "tank/a is not locked: its key was loaded again meanwhile by somebody else."
    )
    assert "tank/a" not in [*result["locked"], *result["already"]]


def test_the_state_of_all_roots_is_read_in_the_end(tree: FakeOpenZFS, run: Run) -> None:
    lock(run)
    assert {name for call, name in tree.calls if call == "loaded"} == {"tank/a", "tank/a/disk"}


# -- what the system stands on


def test_what_the_system_stands_on_is_refused_in_check_mode_too(tree: FakeOpenZFS, run: Run) -> None:
    tree.standing["tank/a/disk"] = ("swap on /dev/zd0",)
    for check in (True, False):
        result = lock(run, check=check)
        assert result["msg"].startswith("tank/a/disk is not locked: the running system stands on tank/a/disk (swap")
    assert tree.changes == []


# -- protected mountpoints


def test_a_mountpoint_is_protected_by_locking_and_released_by_unlocking(tree: FakeOpenZFS, run: Run) -> None:
    foretold = lock(run, check=True, protect_mountpoint=True)
    real = lock(run, protect_mountpoint=True)
    assert foretold == real
    assert [each["dataset"] for each in real["actions"] if each["action"] == "protect_mountpoint"] == ["tank/a"]
    assert tree.place("/tank/a") == Place("protected")
    assert lock(run, protect_mountpoint=True)["changed"] is False

    assert unlock(run)["mounted"] == ["tank/a", "tank/a/child"]
    assert unlock(run)["changed"] is False
    assert lock(run)["changed"]
    assert tree.place("/tank/a") == Place("bare")


def test_a_root_that_was_locked_before_gets_its_protection_later(tree: FakeOpenZFS, run: Run) -> None:
    lock(run)
    assert lock(run, protect_mountpoint=True)["changed"]
    assert lock(run, protect_mountpoint=True)["changed"] is False


@pytest.mark.parametrize("locked", [False, True])
def test_a_directory_of_the_host_that_a_replica_names_is_never_protected(
    host: FakeOpenZFS, run: Run, locked: bool
) -> None:
    place = {"mountpoint": "/etc", "canmount": "noauto"}
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties=place)
    host.occupied["/etc"] = "is not empty."
    if locked:
        lock(run)
    result = lock(run, protect_mountpoint=True)
    assert not result.get("failed")
    assert host.mountpoints.look("/etc", is_empty=False).state == "bare"
    assert "/etc, the mountpoint of tank/a, is not protected: it is not empty" in result["warnings"][0]


def test_a_protection_stays_where_mounting_fails(tree: FakeOpenZFS, run: Run) -> None:
    lock(run, protect_mountpoint=True)
    for name in ("tank/a", "tank/a/child"):
        tree.fail_on("mount", name, CallFailed(f"{name} was not mounted", reason="mount_failed"))
    unlock(run)
    assert tree.place("/tank/a") == Place("protected")


def test_what_does_not_open_inside_of_what_does_is_protected_as_it_shows(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", datasets=[{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/a/b", "key": KEY_TEXT}])
    lock(run, protect_mountpoint=True)
    secrets = [{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/a/b", "key": OTHER_KEY_TEXT}]
    result = unlock(run, secrets=secrets, protect_mountpoint=True)
    assert (result["unlocked"], result["failures"]["tank/a/b"]["reason"]) == (["tank/a"], "wrong_key")
    assert [each["dataset"] for each in result["actions"] if each["action"] == "protect_mountpoint"] == ["tank/a/b"]
    assert (host.place("/tank/a"), host.place("/tank/a/b")) == (Place("mounted"), Place("protected"))

    again = unlock(run, secrets=secrets, protect_mountpoint=True)
    assert (again["changed"], again["failures"]) == (False, result["failures"])
    assert unlock(run)["mounted"] == ["tank/a/b"]
    assert lock(run, name="tank/a/b")["changed"]
    assert host.place("/tank/a/b") == Place("bare")


def test_what_fails_and_what_is_skipped_for_it_is_protected_and_check_mode_foretells_it(
    tree: FakeOpenZFS, run: Run
) -> None:
    entry: dict[str, t.Any] = {"key": KEY_TEXT, "properties": {"mountpoint": "/srv/b"}}
    run("zfs_dataset_key", name="tank/a/b", **entry)
    lock(run)
    wrong = [{"name": "tank/a", "key": OTHER_KEY_TEXT}]
    assert unlock(run, secrets=wrong)["actions"] == []
    foretold = unlock(run, check=True, secrets=wrong, protect_mountpoint=True)
    assert (tree.place("/tank/a"), tree.place("/srv/b")) == (Place("bare"), Place("bare"))
    assert foretold == unlock(run, secrets=wrong, protect_mountpoint=True)
    assert [each["dataset"] for each in foretold["actions"]] == ["tank/a", "tank/a/b"]
    assert (tree.place("/tank/a"), tree.place("/srv/b")) == (Place("protected"), Place("protected"))


def test_what_cannot_be_mounted_is_protected_and_a_protection_that_fails_is_told(tree: FakeOpenZFS, run: Run) -> None:
    lock(run)
    for name in ("tank/a", "tank/a/child"):
        tree.fail_on("mount", name, CallFailed(f"{name} was not mounted.", reason="mount_failed"))
    tree.fail_on("protect_place", "/tank/a", CallFailed("/tank/a was not protected: no."))
    assert unlock(run, protect_mountpoint=True)["failures"]["tank/a"]["msg"].endswith("/tank/a was not protected: no.")
    tree.faults.pop(("protect_place", "/tank/a"))
    assert unlock(run, protect_mountpoint=True)["changed"]
    assert (is_loaded(tree, "tank/a"), tree.place("/tank/a")) == (False, Place("protected"))


def test_a_root_that_stays_unlocked_is_not_protected(tree: FakeOpenZFS, run: Run) -> None:
    tree.use("tank/a", User("process 7 (zfs) sends tank/a@s", keeps_mounted=False))
    lock(run, protect_mountpoint=True)
    assert tree.place("/tank/a") == Place("mounted")
    tree.use("tank/a")
    lock(run)
    assert tree.place("/tank/a") == Place("bare")


def test_the_bare_mountpoint_of_a_root_that_stays_unlocked_is_released_again(tree: FakeOpenZFS, run: Run) -> None:
    tree.unmount("tank/a")
    assert tree.place("/tank/a") == Place("bare")
    tree.use("tank/a", User("process 7 (zfs) sends tank/a@s", keeps_mounted=False))
    assert lock(run, protect_mountpoint=True)["failures"]["tank/a"]["reason"] == "busy"
    assert tree.place("/tank/a") == Place("bare")


def test_a_protection_that_was_mounted_over_by_hand_goes_when_it_shows(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    lock(run, protect_mountpoint=True)
    root = host.dataset("tank/a")
    assert root is not None
    host.load_key(root, KEY)
    host.mount("tank/a")
    assert host.place("/tank/a") == Place("mounted")
    assert run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"mountpoint": "/srv/a"})["changed"]
    assert host.place("/tank/a") == Place("bare")


def test_destroying_takes_the_protected_mountpoint_along(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    lock(run, protect_mountpoint=True)
    assert run("zfs_dataset_key", name="tank/a", state="absent", force_destroy=True)["changed"]
    assert host.place("/tank/a") == Place("none")


def test_another_mountpoint_releases_the_one_that_is_left(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    lock(run, protect_mountpoint=True)
    assert run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"mountpoint": "/srv/a"})["changed"]
    assert host.place("/tank/a") == Place("none")


def test_destroying_a_pool_releases_its_mountpoints(host: FakeOpenZFS, run: Run) -> None:
    entry: dict[str, t.Any] = {"key": KEY_TEXT, "properties": {"mountpoint": "/srv/a"}}
    run("zfs_dataset_key", name="tank/a", **entry)
    lock(run, protect_mountpoint=True)
    assert host.place("/srv/a") == Place("protected")
    run("zfs_encrypted_pool", name="tank", guid=host.pools()["tank"].guid, state="absent", force_destroy=True)
    assert host.place("/srv/a") == Place("bare")


@pytest.mark.parametrize("mount", [True, False])
def test_what_only_a_person_mounts_is_released_by_unlocking_and_check_mode_foretells_it(
    host: FakeOpenZFS, run: Run, mount: bool
) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"canmount": "noauto"})
    host.mount("tank/a")
    lock(run, protect_mountpoint=True)
    assert host.place("/tank/a") == Place("protected")
    foretold = unlock(run, check=True, mount=mount)
    assert foretold == unlock(run, mount=mount)
    assert [each["action"] for each in foretold["actions"]] == ["load_key", "release_mountpoint"]
    assert host.place("/tank/a") == Place("bare")
    assert unlock(run)["changed"] is False


def test_who_may_not_release_a_mountpoint_unlocks_all_the_same_and_is_told(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"canmount": "noauto"})
    host.mount("tank/a")
    lock(run, protect_mountpoint=True)
    host.fail_on("release_place", "/tank/a", CallFailed("/tank/a is immutable, and stays so."))
    result = unlock(run, mount=False)
    assert (result["failures"], result["unlocked"]) == ({}, ["tank/a"])
    assert result["warnings"] == ["/tank/a is immutable, and stays so."]


def test_a_clone_elsewhere_below_nested_roots_is_unmounted_once(tree: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", datasets=[{"name": "tank/b", "key": KEY_TEXT}, {"name": "tank/a/own", "key": KEY_TEXT}])
    tree.clone("tank/b", "tank/a/own/clone")
    tree.mount("tank/a/own/clone")
    actions = [(each["action"], each["dataset"]) for each in lock(run)["actions"]]
    assert actions.count(("unmount", "tank/a/own/clone")) == 1


def test_a_protection_that_outlived_an_unlocking_goes_with_the_next(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"canmount": "noauto"})
    host.mount("tank/a")
    host.unmount("tank/a")
    host.protect_place("/tank/a")
    foretold = unlock(run, check=True)
    assert foretold == unlock(run)
    assert ([each["action"] for each in foretold["actions"]], foretold["already"]) == (
        ["release_mountpoint"],
        ["tank/a"],
    )


def test_a_protection_stays_where_no_key_opens(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"canmount": "noauto"})
    host.mount("tank/a")
    lock(run, protect_mountpoint=True)
    assert unlock(run, secrets=[{"name": "tank/a", "key": OTHER_KEY_TEXT}])["actions"] == []
    assert host.place("/tank/a") == Place("protected")


def test_an_immutable_directory_of_the_host_is_left_alone(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"mountpoint": "/etc", "canmount": "noauto"})
    host.mountpoints.made("/etc")
    host.protect_place("/etc")
    host.occupied["/etc"] = "is not empty (it holds 'passwd'). Move its content away."
    for check in (True, False):
        assert unlock(run, check=check)["changed"] is False
    assert host.place("/etc").state == "protected"
