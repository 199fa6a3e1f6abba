# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole modules on a host without OpenZFS: what a task sees."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, StateUnknown
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Binding, KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import WRONG
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE

WORDS = "correct horse"
TREE: list[dict[str, t.Any]] = [
    {"name": "tank/keyed", "key": KEY_TEXT, "properties": {"recordsize": "1M"}},
    {"name": "tank/keyed/child", "state": "inherited"},
    {"name": "tank/worded", "passphrase": WORDS, "pbkdf2iters": 100_000},
    {"name": "tank/disk", "key": KEY_TEXT, "keyformat": "raw", "volsize": "100M"},
    {"name": "tank/filed", "key_file": "/etc/filed.key", "generate_key": True},
    {"name": "tank/open", "encryption": "off"},
]
SECRETS: list[dict[str, t.Any]] = [
    {"name": "tank/keyed", "key": KEY_TEXT},
    {"name": "tank/worded", "passphrase": WORDS},
    {"name": "tank/disk", "key": KEY_TEXT},
]
PASSPHRASE_OPTIONS: dict[str, t.Any] = {"passphrase": WORDS, "pbkdf2iters": 100_000}
ROOTS = ["tank/disk", "tank/filed", "tank/keyed", "tank/worded"]


@pytest.fixture
def provisioned(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    assert run("zfs_dataset_key", datasets=TREE)["changed"]
    host.calls.clear()
    return host


@pytest.fixture
def locked(provisioned: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    assert run("zfs_unlock", name="tank", recursive=True, state="locked", secrets=SECRETS)["changed"]
    provisioned.calls.clear()
    return provisioned


def actions(result: dict[str, t.Any]) -> list[str]:
    return [f"{action['action']} {action['dataset']}" for action in result["actions"]]


def unlock(run: Run, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_unlock", **{"name": "tank", "recursive": True, "secrets": SECRETS, **params})


# -- zfs_dataset_key


def test_a_batch_is_created_in_one_run_and_unchanged_in_the_next(provisioned: FakeOpenZFS, run: Run) -> None:
    again = run("zfs_dataset_key", datasets=TREE)
    assert (again["changed"], again["actions"], again["failures"]) == (False, [], {})
    assert again["already"] == ROOTS
    assert provisioned.changes == []


def test_check_mode_foretells_the_real_run_and_changes_nothing(host: FakeOpenZFS, run: Run) -> None:
    foretold = run("zfs_dataset_key", check=True, datasets=TREE)
    assert host.changes == []
    real = run("zfs_dataset_key", datasets=TREE)
    assert foretold == real
    assert foretold["changed"]


def test_what_was_created_is_as_it_was_asked_for(provisioned: FakeOpenZFS, run: Run) -> None:
    roots = {root["name"]: root for root in run("zfs_encryption_info")["roots"]}
    assert sorted(roots) == ROOTS
    assert roots["tank/keyed"]["inheriting"] == ["tank/keyed/child"]
    assert roots["tank/worded"]["pbkdf2iters"] == 100_000
    assert (roots["tank/disk"]["type"], roots["tank/disk"]["keyformat"]) == ("volume", "raw")
    assert roots["tank/filed"]["keylocation"] == "file:///etc/filed.key"
    assert len(bytes.fromhex(provisioned.key_files["/etc/filed.key"].decode())) == 32


def test_a_refused_entry_keeps_the_whole_batch_from_happening(host: FakeOpenZFS, run: Run) -> None:
    result = run("zfs_dataset_key", datasets=[*TREE, {"name": "tank/zeros", "key": "0" * 64}])
    assert result["failed"]
    assert "tank/zeros is all zeros" in result["msg"]
    assert host.changes == []


@pytest.mark.parametrize(
    ("module", "params"),
    [
        ("zfs_dataset_key", {"name": "tank/a"}),
        ("zfs_unlock", {"name": "tank/gone"}),
        ("zfs_encrypted_pool", {"name": "pond"}),
        ("zfs_key_export", {"name": "tank/gone", "dest": "/none/keys.json"}),
    ],
)
def test_a_refusal_returns_what_is_always_returned(
    host: FakeOpenZFS, run: Run, module: str, params: dict[str, t.Any]
) -> None:
    result = run(module, **params)
    assert result["failed"]
    lists = ("unlocked", "locked", "already", "mounted", "actions")
    assert [result[name] for name in lists] == [[]] * len(lists)
    assert (result["changed"], result["failures"], result["diff"]) == (False, {}, {"before": {}, "after": {}})


def test_a_creation_that_fails_skips_what_lies_below_it_and_leaves_the_rest(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("create", "tank/keyed", CallFailed("tank/keyed was not created: out of space", errno=28))
    result = run("zfs_dataset_key", datasets=TREE)
    assert result["failed"]
    assert result["failures"] == {
        "tank/keyed": {
            "reason": "unknown",
            "msg": "tank/keyed was not created: out of space",
            "errno": 28,
            "skipped": ["tank/keyed/child"],
        }
    }
    assert "create tank/disk" in actions(result)


def test_a_new_dataset_that_cannot_be_mounted_is_taken_back(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("mount", "tank/keyed", CallFailed("no", reason="mount_failed"))
    result = run("zfs_dataset_key", name="tank/keyed", key=KEY_TEXT)
    assert result["failures"]["tank/keyed"]["reason"] == "mount_failed"
    assert result["changed"] is False
    assert host.dataset("tank/keyed") is None


def test_a_new_dataset_that_cannot_be_mounted_is_taken_back_with_what_is_new_below_it(
    host: FakeOpenZFS, run: Run
) -> None:
    host.fail_on("mount", "tank/keyed", CallFailed("no", reason="mount_failed"))
    below: list[dict[str, t.Any]] = [
        {"name": "tank/keyed/disk", "state": "inherited", "volsize": "1M"},
        {"name": "tank/keyed/own", "key_file": "/etc/k", "generate_key": True, "properties": {"canmount": "noauto"}},
    ]
    result = run("zfs_dataset_key", datasets=[{"name": "tank/keyed", "key": KEY_TEXT}, *below])
    assert result["failures"]["tank/keyed"]["msg"] == "no"
    assert result["failures"]["tank/keyed"]["skipped"] == ["tank/keyed/disk", "tank/keyed/own"]
    assert host.dataset("tank/keyed") is None
    assert actions(result) == ["generate_key_file tank/keyed/own"]


def test_a_generated_key_outlives_a_creation_that_failed(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("create", "tank/filed", CallFailed("no"))
    run("zfs_dataset_key", name="tank/filed", key_file="/etc/k", generate_key=True)
    kept = host.key_files["/etc/k"]
    host.faults.clear()
    assert run("zfs_dataset_key", name="tank/filed", key_file="/etc/k", generate_key=True)["changed"]
    assert host.key_files["/etc/k"] == kept


def test_a_key_is_changed_and_the_old_one_opens_no_more(provisioned: FakeOpenZFS, run: Run) -> None:
    wish: dict[str, t.Any] = {
        "name": "tank/keyed",
        "key": OTHER_KEY_TEXT,
        "update_key": "always",
        "current": {"key": KEY_TEXT},
    }
    assert actions(run("zfs_dataset_key", **wish)) == ["change_key tank/keyed"]
    root = provisioned.dataset("tank/keyed")
    assert root is not None
    assert provisioned.verify(root, KEY).outcome == "wrong"
    assert run("zfs_dataset_key", **wish)["changed"] is False


def test_a_locked_root_is_locked_again_after_its_key_was_changed(locked: FakeOpenZFS, run: Run) -> None:
    wish: dict[str, t.Any] = {
        "name": "tank/keyed",
        "key": OTHER_KEY_TEXT,
        "update_key": "always",
        "current": {"key": KEY_TEXT},
    }
    result = run("zfs_dataset_key", **wish)
    assert actions(result) == ["load_key tank/keyed", "change_key tank/keyed", "unload_key tank/keyed"]
    assert (result["unlocked"], result["locked"]) == ([], [])


@pytest.mark.parametrize("new", [{"key": OTHER_KEY_TEXT}, PASSPHRASE_OPTIONS], ids=["key", "passphrase"])
def test_a_key_that_cannot_be_proven_after_its_change_is_in_doubt_and_stays_loaded(
    locked: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch, new: dict[str, t.Any]
) -> None:
    verify = locked.verify
    monkeypatch.setattr(locked, "dataset", lambda name: None)
    monkeypatch.setattr(locked, "verify", lambda root, key: verify(root, key) if key == KEY else WRONG)
    wish = {"name": "tank/keyed", **new, "update_key": "always", "current": {"key": KEY_TEXT}}
    result = run("zfs_dataset_key", **wish)
    assert "Keep both keys" in result["msg"]
    assert ("unload_key", "tank/keyed") not in locked.calls


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("change_key", StateUnknown("zfs gave no answer for 300 s.")),
        ("change_key", CallFailed("zfs gave no answer that means anything.")),
        ("dataset", CallFailed("zfs gave no answer that means anything.")),
        ("dataset", KeyError("zfs gave no answer that a program understands")),
    ],
)
def test_a_change_that_may_have_happened_unloads_nothing_and_counts_as_a_change(
    locked: FakeOpenZFS, run: Run, call: str, error: Exception
) -> None:
    wish: dict[str, t.Any] = {**PASSPHRASE_OPTIONS, "update_key": "always", "current": {"key": KEY_TEXT}}
    change_key = locked.change_key

    def late(change: KeyChange) -> None:
        change_key(change)
        raise error

    if call == "change_key":
        locked.change_key = late  # type: ignore[method-assign]
    else:
        locked.fail_on("dataset", "tank/keyed", error)
    result = run("zfs_dataset_key", name="tank/keyed", **wish)
    assert result["failed"]
    assert "gave no answer" in result["msg"] or "KeyError" in result["msg"]
    assert result["changed"]
    assert ("unload_key", "tank/keyed") not in locked.calls


def test_a_change_that_did_not_happen_is_taken_back(locked: FakeOpenZFS, run: Run) -> None:
    locked.fail_on("change_key", "tank/keyed", CallFailed("The key of tank/keyed was not changed: out of space"))
    wish: dict[str, t.Any] = {"key": OTHER_KEY_TEXT, "update_key": "always", "current": {"key": KEY_TEXT}}
    result = run("zfs_dataset_key", name="tank/keyed", **wish)
    assert (result["changed"], result["actions"]) == (False, [])
    assert locked.calls[-1] == ("unload_key", "tank/keyed")


def test_a_locked_root_above_an_unreadable_replica_keeps_its_key(host: FakeOpenZFS, run: Run) -> None:
    pair = [{"name": "tank/src", "key": OTHER_KEY_TEXT}, {"name": "tank/r", "key": KEY_TEXT}]
    run("zfs_dataset_key", datasets=pair)
    host.replicate("tank/src", "tank/r/c", properties=False)
    replica = host.dataset("tank/r/c")
    assert replica is not None
    host.load_key(replica, OTHER_KEY)
    run("zfs_dataset_key", name="tank/r/c", state="inherited", replication_ended=True)
    host.replicate("tank/src", "tank/r/c", properties=False)
    run("zfs_unlock", name="tank/r", state="locked", verify_key=False)
    wish: dict[str, t.Any] = {"key": "0c" * 32, "update_key": "always", "current": {"key": KEY_TEXT}}
    result = run("zfs_dataset_key", name="tank/r", **wish)
    assert result["failed"]
    assert ("change_key", "tank/r") not in host.calls
    assert host.calls[-1] == ("unload_key", "tank/r")


def test_an_occupied_place_is_found_below_a_parent_of_the_same_batch(host: FakeOpenZFS, run: Run) -> None:
    host.occupied["/srv/b"] = "is not empty."
    batch = [
        {"name": "tank/a", "key": KEY_TEXT, "properties": {"mountpoint": "/srv", "canmount": "off"}},
        {"name": "tank/a/b", "state": "inherited"},
    ]
    assert "would be mounted on /srv/b" in run("zfs_dataset_key", check=True, datasets=batch)["msg"]
    assert run("zfs_dataset_key", datasets=batch)["failed"]
    assert host.changes == []


@pytest.mark.parametrize("there", [(), ("tank/a",), ("tank/a", "tank/b")])
def test_two_datasets_of_a_batch_do_not_get_one_place(host: FakeOpenZFS, run: Run, there: tuple[str, ...]) -> None:
    for name in there:
        run("zfs_dataset_key", name=name, key=KEY_TEXT)
    host.calls.clear()
    batch = [{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/b", "key": KEY_TEXT}]
    sentence = "tank/b would be mounted on /srv like tank/a, and one would hide the other."
    for check in (True, False):
        result = run("zfs_dataset_key", check=check, datasets=batch, properties={"mountpoint": "/srv"})
        assert result["msg"].startswith(sentence)
    assert host.changes == []


def test_what_is_not_mounted_shares_a_place(host: FakeOpenZFS, run: Run) -> None:
    batch: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/b", "key": KEY_TEXT, "properties": {"canmount": "noauto"}},
        {"name": "tank/c", "key": KEY_TEXT, "properties": {"mountpoint": "/srv/c"}},
    ]
    assert run("zfs_dataset_key", datasets=batch, properties={"mountpoint": "/srv"})["mounted"] == ["tank/a", "tank/c"]


def test_a_new_place_of_a_parent_is_one_of_what_inherits_it(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", datasets=[{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/a/b", "state": "inherited"}])
    batch: list[dict[str, t.Any]] = [
        {"name": "tank/a", "properties": {"mountpoint": "/srv"}},
        {"name": "tank/c", "key": KEY_TEXT, "properties": {"mountpoint": "/srv/b"}},
    ]
    assert "mounted on /srv/b like" in run("zfs_dataset_key", check=True, datasets=batch)["msg"]


def test_a_link_inside_of_what_is_mounted_does_not_hide_where_a_key_file_lies(host: FakeOpenZFS, run: Run) -> None:
    host.mount("tank")
    host.links["/tank/keys"] = "/srv/keys"
    keys = {"name": "tank/b", "key": KEY_TEXT, "properties": {"mountpoint": "/srv/keys"}}
    filed = {"name": "tank/a", "key_file": "/tank/keys/a.key", "generate_key": True}
    told = run("zfs_dataset_key", check=True, datasets=[filed, keys])["msg"]
    assert "/tank/keys/a.key of tank/a would be written into /srv/keys before tank/b is mounted there." in told


@pytest.mark.parametrize("given", [{"generate_key": True}, {"key": OTHER_KEY_TEXT}])
def test_a_key_file_is_not_written_where_a_mount_would_hide_it(
    host: FakeOpenZFS, run: Run, given: dict[str, t.Any]
) -> None:
    keys: dict[str, t.Any] = {"name": "tank/keys", "key": KEY_TEXT}
    filed: dict[str, t.Any] = {"name": "tank/a", "key_file": "/tank/keys/a.key", **given}
    told = run("zfs_dataset_key", check=True, datasets=[filed, keys])["msg"]
    assert "/tank/keys/a.key of tank/a would be written into /tank/keys before tank/keys is mounted there." in told
    run("zfs_dataset_key", **keys)
    run("zfs_unlock", name="tank/keys", state="locked", secrets=[keys])
    assert "before tank/keys is mounted there" in run("zfs_dataset_key", **filed)["msg"]
    assert host.key_files == {}
    run("zfs_unlock", name="tank/keys", secrets=[keys])
    assert run("zfs_dataset_key", **filed)["changed"]


def test_a_replica_with_the_mountpoint_of_a_directory_in_use_hides_no_key_file(host: FakeOpenZFS, run: Run) -> None:
    replica: dict[str, t.Any] = {"name": "tank/etc", "key": KEY_TEXT}
    run("zfs_dataset_key", properties={"mountpoint": "/etc"}, **replica)
    run("zfs_unlock", name="tank/etc", state="locked", secrets=[replica])
    host.occupied["/etc"] = "is not empty."
    assert run("zfs_dataset_key", name="tank/a", key_file="/etc/a.key", generate_key=True)["changed"]


def test_a_key_file_that_was_there_is_made_durable_before_it_is_used(host: FakeOpenZFS, run: Run) -> None:
    host.key_files["/etc/k"] = KEY_TEXT.encode()
    run("zfs_dataset_key", name="tank/a", key_file="/etc/k")
    assert host.calls.index(("sync_key_file", "/etc/k")) < host.calls.index(("create", "tank/a"))


@pytest.mark.parametrize("content", [OTHER_KEY_TEXT, "no key at all"])
@pytest.mark.parametrize("given", [{}, {"key": KEY_TEXT}])
def test_a_location_that_does_not_hold_the_key_is_refused(
    provisioned: FakeOpenZFS, run: Run, content: str, given: dict[str, t.Any]
) -> None:
    provisioned.key_files["/etc/k"] = content.encode()
    result = run("zfs_dataset_key", name="tank/keyed", keylocation="file:///etc/k", **given)
    assert result["msg"].startswith("keylocation of tank/keyed would be /etc/k, which holds something else than")
    assert provisioned.changes == []


def test_a_location_needs_no_key_but_that_in_its_file(provisioned: FakeOpenZFS, run: Run) -> None:
    assert run("zfs_dataset_key", name="tank/keyed", keylocation="file:///etc/later")["changed"]
    provisioned.key_files["/etc/k"] = f"{KEY_TEXT}\n".encode()
    assert run("zfs_dataset_key", name="tank/keyed", keylocation="file:///etc/k")["changed"]
    provisioned.calls.clear()
    assert run("zfs_dataset_key", name="tank/keyed", keylocation="file:///etc/k")["changed"] is False
    assert ("verify", "tank/keyed") not in provisioned.calls


@pytest.mark.parametrize(
    ("path", "options", "sentence"),
    [
        ("/etc/words", {}, "tank/a cannot get its key from there. The key of the file /etc/words is not 64 hex"),
        ("/etc/words", {}, "If it holds a key in another form, name that with keyformat."),
        ("/etc/words", {"keyformat": "raw"}, "tank/a cannot get its key from there. The key file /etc/words holds 14"),
    ],
)
def test_a_key_file_of_another_form_is_told_with_its_dataset(
    host: FakeOpenZFS, run: Run, path: str, options: dict[str, t.Any], sentence: str
) -> None:
    host.key_files["/etc/words"] = b"correct horse\n"
    assert sentence in run("zfs_dataset_key", name="tank/a", key_file=path, **options)["msg"]


def test_a_present_key_in_a_file_that_is_gone_is_told_from_a_wrong_one(provisioned: FakeOpenZFS, run: Run) -> None:
    change: dict[str, t.Any] = {"name": "tank/keyed", "key": OTHER_KEY_TEXT, "update_key": "always"}
    told = run("zfs_dataset_key", current={"key_file": "/gone"}, **change)["msg"]
    assert "the present key is not in /gone, which is not there, so nothing proves" in told
    told = run("zfs_dataset_key", current={"key": OTHER_KEY_TEXT[::-1]}, **change)["msg"]
    assert "the present key does not open it, so nothing proves" in told


def test_an_empty_list_of_datasets_is_nothing_to_do(host: FakeOpenZFS, run: Run) -> None:
    assert run("zfs_dataset_key", datasets=[])["changed"] is False


def test_converting_both_ways_and_back_is_idempotent(provisioned: FakeOpenZFS, run: Run) -> None:
    own: dict[str, t.Any] = {"name": "tank/keyed/child", "key": OTHER_KEY_TEXT}
    assert actions(run("zfs_dataset_key", **own)) == ["change_key tank/keyed/child"]
    assert run("zfs_dataset_key", **own)["changed"] is False
    back: dict[str, t.Any] = {"name": "tank/keyed/child", "state": "inherited"}
    assert actions(run("zfs_dataset_key", **back)) == ["inherit_key tank/keyed/child"]
    assert run("zfs_dataset_key", **back)["changed"] is False


def test_a_batch_is_destroyed_children_first(provisioned: FakeOpenZFS, run: Run) -> None:
    gone = [{"name": entry["name"], "state": "absent"} for entry in TREE]
    result = run("zfs_dataset_key", datasets=gone, force_destroy=True)
    assert actions(result)[0] == "destroy tank/keyed/child"
    assert len(result["actions"]) == len(TREE)
    assert run("zfs_dataset_key", datasets=gone, force_destroy=True)["changed"] is False


def test_what_has_snapshots_is_not_destroyed_and_check_mode_says_so(provisioned: FakeOpenZFS, run: Run) -> None:
    provisioned.clone("tank/keyed/child", "tank/copy")
    provisioned.calls.clear()
    gone: dict[str, t.Any] = {"name": "tank/keyed/child", "state": "absent", "force_destroy": True}
    for check in (True, False):
        refused = run("zfs_dataset_key", check=check, **gone)
        assert "it has snapshots, the last of which is tank/keyed/child@copy" in refused["msg"]
    assert provisioned.changes == []


def test_a_whole_play_can_be_checked_on_a_bare_host(run: Run) -> None:
    lake = [{"name": "lake/a", "key": KEY_TEXT}, {"name": "lake/a/b", "state": "inherited"}]
    created = run("zfs_dataset_key", check=True, datasets=lake)
    opened = run("zfs_unlock", check=True, name="lake/a", secrets=[{"name": "lake/a", "key": KEY_TEXT}])
    for result in (created, opened):
        assert result["changed"]
        assert "There is no pool lake on this host" in json.dumps(result["warnings"])
    refused = run("zfs_dataset_key", datasets=lake)
    assert refused["msg"] == "There is no pool lake on this host. Import or create it first."


def test_where_openzfs_is_missing_no_pool_alone_is_to_blame(
    host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "binding", lambda: Binding("cli", "/usr/bin/python3", "3.11.2", ""))
    refused = run("zfs_unlock", name="lake")
    assert refused["msg"] == (
        "There is no pool lake on this host. Import or create it first. "
        "OpenZFS is not installed on it, or its commands are not found."
    )


# -- zfs_unlock


def test_locking_and_unlocking_a_pool_is_reversible_and_idempotent(provisioned: FakeOpenZFS, run: Run) -> None:
    lock = unlock(run, state="locked")
    assert sorted(lock["locked"]) == ROOTS
    assert unlock(run, state="locked")["changed"] is False
    opened = unlock(run)
    assert sorted(opened["unlocked"]) == ROOTS
    assert sorted(opened["mounted"]) == ["tank/filed", "tank/keyed", "tank/keyed/child", "tank/worded"]
    again = unlock(run)
    assert (again["changed"], sorted(again["already"])) == (False, ROOTS)


def test_check_mode_tries_keys_and_loads_none(locked: FakeOpenZFS, run: Run) -> None:
    foretold = unlock(run, check=True)
    assert locked.changes == []
    assert foretold == unlock(run)


def test_a_manifest_opens_what_it_names_and_other_pools_are_ignored(locked: FakeOpenZFS, run: Run) -> None:
    manifest = {"tank/keyed": KEY_TEXT, "tank/worded": WORDS, "tank/disk": KEY_TEXT, "lake/x": "secret-of-lake"}
    result = unlock(run, secrets=[], manifest_content=manifest)
    assert sorted(result["unlocked"]) == ROOTS
    assert "lake/x" in json.dumps(result["warnings"])
    assert "secret-of-lake" not in json.dumps(result)


def test_keys_for_other_imported_pools_are_fine(locked: FakeOpenZFS, run: Run) -> None:
    locked.add_pool("dozer", {})
    run("zfs_dataset_key", name="dozer/a", key=KEY_TEXT)
    manifest = {"tank/keyed": KEY_TEXT, "dozer/a": KEY_TEXT}
    assert unlock(run, name="tank/keyed", secrets=[], manifest_content=manifest)["unlocked"] == ["tank/keyed"]


@pytest.mark.parametrize(
    "path",
    ["/tank/keyed/child/k", "/keys/k", "/var/tank/keyed/child/k", "//tank/keyed/child/k"],
    ids=["itself", "by-a-link", "where-the-mountpoint-leads", "two-slashes"],
)
def test_what_lies_behind_its_own_lock_is_no_key(provisioned: FakeOpenZFS, run: Run, path: str) -> None:
    provisioned.links.update({"/keys": "/tank/keyed/child", "/tank": "/var/tank"})
    provisioned.key_files[path] = KEY_TEXT.encode()
    provisioned.set_properties("tank/keyed", {"keylocation": f"file://{path}"})
    result = run("zfs_unlock", name="tank/keyed", state="locked")
    assert result["failures"]["tank/keyed"]["reason"] == "no_key"
    assert "lies inside what is to be locked" in result["msg"]


def test_a_wrong_key_fails_its_root_and_the_rest_proceeds(locked: FakeOpenZFS, run: Run) -> None:
    result = unlock(run, secrets=[{"name": "tank/keyed", "key": OTHER_KEY_TEXT}, *SECRETS[1:]])
    assert result["failed"]
    assert result["failures"] == {
        "tank/keyed": {"reason": "wrong_key", "msg": "None of the keys given for tank/keyed opens it.", "skipped": []}
    }
    assert sorted(result["unlocked"]) == ["tank/disk", "tank/filed", "tank/worded"]


def test_a_shared_key_opens_the_roots_below_that_it_fits(host: FakeOpenZFS, run: Run) -> None:
    tree = [{"name": name, "key": KEY_TEXT} for name in ("tank/a", "tank/a/b", "tank/a/b/c")]
    run("zfs_dataset_key", datasets=tree)
    shared = [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]
    assert unlock(run, state="locked", secrets=shared)["locked"] == ["tank/a/b/c", "tank/a/b", "tank/a"]
    assert unlock(run, secrets=shared)["unlocked"] == ["tank/a", "tank/a/b", "tank/a/b/c"]


def test_roots_below_one_that_failed_are_skipped_and_named(host: FakeOpenZFS, run: Run) -> None:
    tree = [{"name": name, "key": KEY_TEXT} for name in ("tank/a", "tank/a/b")]
    run("zfs_dataset_key", datasets=tree)
    shared = [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]
    unlock(run, state="locked", secrets=shared)
    result = unlock(run, secrets=[{"name": "tank/a", "key": OTHER_KEY_TEXT}, {"name": "tank/a/b", "key": KEY_TEXT}])
    assert result["failures"]["tank/a"]["skipped"] == ["tank/a/b"]
    assert result["unlocked"] == []


def test_a_key_goes_out_again_when_nothing_could_be_mounted(locked: FakeOpenZFS, run: Run) -> None:
    for name in ("tank/keyed", "tank/keyed/child"):
        locked.fail_on("mount", name, CallFailed(f"{name} was not mounted", reason="mount_failed"))
    result = unlock(run)
    assert result["failures"]["tank/keyed"]["reason"] == "mount_failed"
    assert "tank/keyed" not in result["unlocked"]
    root = locked.dataset("tank/keyed")
    assert root is not None
    assert not root.is_key_loaded


def test_what_mounts_nothing_is_skipped_too_below_a_root_whose_mount_failed(host: FakeOpenZFS, run: Run) -> None:
    tree: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/disk", "key": KEY_TEXT, "volsize": "1M"},
        {"name": "tank/a/disks", "key": KEY_TEXT, "properties": {"canmount": "off"}},
    ]
    run("zfs_dataset_key", datasets=tree)
    shared = [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]
    unlock(run, state="locked", secrets=shared)
    host.fail_on("mount", "tank/a", CallFailed("tank/a was not mounted", reason="mount_failed"))
    result = unlock(run, secrets=shared)
    assert result["failures"]["tank/a"]["skipped"] == ["tank/a/disk", "tank/a/disks"]
    assert (result["unlocked"], result["actions"], result["changed"]) == ([], [], False)
    assert host.loaded([each["name"] for each in tree]) == frozenset()


def test_a_volume_whose_node_does_not_come_is_a_failure_with_its_name(host: FakeOpenZFS, run: Run) -> None:
    tree = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/disk 1", "state": "inherited", "volsize": "1M"},
        {"name": "tank/a/disk 2", "state": "inherited", "volsize": "1M"},
    ]
    run("zfs_dataset_key", datasets=tree)
    secrets = [{"name": "tank/a", "key": KEY_TEXT}]
    unlock(run, name="tank/a", state="locked", secrets=secrets)
    host.fail_on("prove_readable", "tank/a/disk 1", CallFailed("/dev/zvol/tank/a/disk+1 did not appear."))
    result = unlock(run, name="tank/a", secrets=secrets)
    assert "/dev/zvol/tank/a/disk+1 did not appear." in result["failures"]["tank/a"]["msg"]
    assert (result["unlocked"], result["mounted"]) == (["tank/a"], ["tank/a"])
    assert ("prove_readable", "tank/a/disk 2") in host.calls


def test_one_passphrase_opens_a_tree_and_a_nearer_entry_goes_before_it(host: FakeOpenZFS, run: Run) -> None:
    words = {"passphrase": WORDS, "pbkdf2iters": 100_000}
    tree = [{"name": name, **words} for name in ("tank/a", "tank/a/b", "tank/a/b/c")]
    run("zfs_dataset_key", datasets=[*tree, {"name": "tank/a/d", "passphrase": "other words", "pbkdf2iters": 100_000}])
    shared = {"name": "tank/a", "passphrase": WORDS, "share_with_children": True}
    own = {"name": "tank/a/d", "passphrase": "other words"}
    assert unlock(run, name="tank/a", state="locked", secrets=[shared, own])["changed"]
    host.calls.clear()
    result = unlock(run, name="tank/a", secrets=[shared, own])
    assert sorted(result["unlocked"]) == ["tank/a", "tank/a/b", "tank/a/b/c", "tank/a/d"]
    assert host.calls.count(("verify", "tank/a/d")) == 1


def test_an_occupied_mountpoint_is_found_before_the_key_is_loaded(locked: FakeOpenZFS, run: Run) -> None:
    locked.occupied["/tank/keyed"] = "is not empty."
    result = unlock(run)
    assert result["failures"]["tank/keyed"]["reason"] == "mountpoint_occupied"
    assert ("load_key", "tank/keyed") not in locked.calls


def test_a_busy_root_stays_as_it_was(provisioned: FakeOpenZFS, run: Run) -> None:
    with provisioned.hold("tank/keyed"):
        result = unlock(run, state="locked")
    assert result["failures"]["tank/keyed"]["reason"] == "busy"
    child = provisioned.dataset("tank/keyed/child")
    assert child is not None
    assert child.is_mounted
    assert "tank/keyed/child" not in result["mounted"]


# -- zfs_encryption_info


def test_the_summary_says_what_unlocking_would_do(locked: FakeOpenZFS, run: Run) -> None:
    keys = [{"name": "tank/keyed", "key": OTHER_KEY_TEXT}, {"name": "tank/worded", "passphrase": WORDS}]
    locked.occupied["/tank/worded"] = "is not empty."
    summary = {entry["name"]: entry for entry in run("zfs_encryption_info", secrets=keys)["summary"]}
    assert summary["tank/keyed"] == {
        "name": "tank/keyed",
        "keyformat": "hex",
        "key_given": True,
        "valid_key": False,
        "locked": True,
        "unlock_error": "None of the keys given for tank/keyed opens it.",
        "reason": "wrong_key",
        "unlock_successful": False,
    }
    assert summary["tank/worded"]["valid_key"]
    assert summary["tank/worded"]["unlock_error"] == (
        "tank/worded would be mounted on /tank/worded, which is not empty. "
        "zfs_unlock puts it elsewhere with move_aside: true."
    )
    assert summary["tank/disk"]["reason"] == "no_key"
    assert summary["tank/filed"]["unlock_successful"]
    assert locked.changes == []


def test_the_summary_tells_a_secret_of_another_kind_from_none(locked: FakeOpenZFS, run: Run) -> None:
    given = run("zfs_encryption_info", name="tank/worded", secrets=[{"name": "tank/worded", "key": KEY_TEXT}])
    (forecast,) = given["summary"]
    assert (forecast["key_given"], forecast["valid_key"], forecast["reason"]) == (True, False, "wrong_key")


def test_pools_and_the_binding_are_facts(provisioned: FakeOpenZFS, run: Run) -> None:
    facts = run("zfs_encryption_info")
    pool = facts["pools"]["tank"]
    assert (pool["health"], pool["roots"], pool["encrypted"]) == ("ONLINE", 4, 5)
    assert pool["plain"] == ["tank", "tank/open"]
    assert facts["openzfs"]["binding"] == "pyzfs"


def test_a_replicas_marks_are_not_believed(provisioned: FakeOpenZFS, run: Run) -> None:
    marks = {"key_id": "r.1", "rotated_at": "2026-01-01T00:00:00Z"}
    guid = provisioned.pools()["tank"].guid
    own = {f"zfsfleet.encryption:{name}": value for name, value in {**marks, "pool_guid": guid}.items()}
    provisioned.set_properties("tank/keyed", own)
    provisioned.set_properties("tank/worded", {**own, "zfsfleet.encryption:pool_guid": "77"})
    roots = {root["name"]: root for root in run("zfs_encryption_info")["roots"]}
    assert roots["tank/keyed"]["key_id"] == "r.1"
    assert "key_id" not in roots["tank/worded"]


# -- what a person sees


@pytest.mark.parametrize(
    ("module", "params", "sentence"),
    [
        ("zfs_unlock", {}, "one of the following is required: name, names"),
        ("zfs_unlock", {"name": "tank", "names": ["tank"]}, "mutually exclusive: name|names"),
        ("zfs_unlock", {"name": "tank", "secrets": [{"name": "tank"}]}, "one of the following is required: key"),
        ("zfs_unlock", {"name": ""}, "'' is no name of a filesystem"),
        ("zfs_unlock", {"name": "tank", "colour": "red"}, "Unsupported parameters"),
        ("zfs_dataset_key", {"name": "tank/a", "key": KEY_TEXT, "passphrase": WORDS}, "mutually exclusive: key"),
        ("zfs_dataset_key", {"datasets": [{"key": KEY_TEXT}]}, "missing required arguments: name"),
        ("zfs_unlock", {"name": "tank", "manifest_content": {"tank": 5}}, "entry for tank that is no text"),
        ("zfs_unlock", {"name": "tank", "manifest_content": {"tank/gone": "x"}}, "no dataset tank/gone"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    run: Run, module: str, params: dict[str, t.Any], sentence: str
) -> None:
    result = run(module, **params)
    assert result["failed"]
    assert sentence in result["msg"]


def test_what_nobody_foresaw_shows_neither_traceback_nor_text(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("create", "tank/a", ValueError(f"unexpected {KEY_TEXT}"))
    result = run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    assert result["msg"].startswith("The module broke (ValueError in ")
    assert KEY_TEXT not in json.dumps(result)


def test_no_result_of_any_module_holds_a_key(host: FakeOpenZFS, run: Run) -> None:
    results = [
        run("zfs_dataset_key", datasets=TREE),
        unlock(run, state="locked"),
        run("zfs_encryption_info", secrets=SECRETS),
        unlock(run, secrets=[{"name": "tank/keyed", "key": OTHER_KEY_TEXT}]),
        run("zfs_dataset_key", name="tank/keyed", key=OTHER_KEY_TEXT),
    ]
    shown = json.dumps(results)
    generated = host.key_files["/etc/filed.key"].decode()
    for secret in (KEY_TEXT, OTHER_KEY_TEXT, WORDS, generated, PASSPHRASE.secret.decode()):
        assert secret not in shown


def test_what_was_mounted_and_cannot_be_shared_is_a_warning(run: Run) -> None:
    result = run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, properties={"sharesmb": "on"})
    assert not result.get("failed")
    assert "tank/a is mounted, but not shared" in result["warnings"][0]


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (KEY_TEXT + "\r\n", "it ends with a carriage return"),
        ("", "it is empty"),
        ("x" * 64, "it has 64 characters, some of which are no digits"),
    ],
)
def test_a_key_file_that_holds_none_is_named_and_no_new_key_is_advised(
    host: FakeOpenZFS, run: Run, content: str, shape: str
) -> None:
    host.key_files["/etc/k"] = f"{KEY_TEXT}\n".encode()
    run("zfs_dataset_key", name="tank/a", key_file="/etc/k")
    run("zfs_unlock", name="tank/a", state="locked")
    host.key_files["/etc/k"] = content.encode()
    sentence = f"The key of the file /etc/k is not 64 hexadecimal digits ({shape})."

    failure = run("zfs_unlock", name="tank/a")["failures"]["tank/a"]
    assert failure["reason"] == "no_key"
    assert failure["msg"].startswith(f"No key was given for tank/a (keyformat hex). {sentence} Give it as it was set.")
    named = run("zfs_unlock", name="tank/a", secrets=[{"name": "tank/a", "key_file": "/etc/k"}])["failures"]["tank/a"]
    assert named["reason"] == "wrong_key"
    assert named["msg"] == f"None of the keys given for tank/a opens it. {sentence} Give it as it was set."
    refusal = run("zfs_dataset_key", name="tank/a", key_file="/etc/k")["msg"]
    assert f"the key given does not open it. {sentence} Give the right key" in refusal
    assert "openssl" not in refusal
    assert "openssl rand -hex 32" in run("zfs_dataset_key", name="tank/new", key_file="/etc/k")["msg"]


def test_a_mistyped_key_of_what_is_there_is_not_to_be_made_anew(host: FakeOpenZFS, run: Run) -> None:
    secrets = [{"name": "tank/a", "key": KEY_TEXT[:-2]}]
    offered: dict[str, t.Any] = {"name": "tank", "recursive": True, "secrets": secrets}
    assert run("zfs_unlock", **offered)["msg"].endswith("(it has 62 characters). Give it as it was set.")
    assert "Make a new one with" in run("zfs_dataset_key", name="tank/a", key=KEY_TEXT[:-2])["msg"]


@pytest.mark.parametrize(
    ("inherits", "advice"), [(True, "set state: inherited."), (False, "inherited, or encryption: off.")]
)
def test_what_is_there_and_encrypted_is_not_advised_to_be_plain(
    host: FakeOpenZFS, run: Run, inherits: bool, advice: str
) -> None:
    run("zfs_dataset_key", name="tank/z", key=KEY_TEXT)
    if inherits:
        run("zfs_dataset_key", name="tank/z/c", state="inherited")
    assert run("zfs_dataset_key", name="tank/z/c")["msg"].endswith(advice)


def test_a_thousand_failures_are_told_by_the_first_few(host: FakeOpenZFS, run: Run) -> None:
    names = [f"tank/d{number}" for number in range(20)]
    run("zfs_dataset_key", key=KEY_TEXT, datasets=[{"name": name} for name in names])
    run("zfs_unlock", name="tank", recursive=True, state="locked", verify_key=False)
    result = run("zfs_unlock", name="tank", recursive=True)
    assert set(result["failures"]) == set(names)
    told = [each["msg"] for each in result["failures"].values()][:5]
    assert result["msg"] == " ".join([*told, "And 15 more failed: failures has all of them."])
    few = run("zfs_unlock", names=names[:5])
    assert few["msg"] == " ".join(each["msg"] for each in few["failures"].values())


def test_what_becomes_a_root_keeps_its_key_file_outside(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    run("zfs_dataset_key", name="tank/a/b", state="inherited")
    for check in (True, False):
        result = run("zfs_dataset_key", check=check, name="tank/a/b", key_file="/tank/a/b/k", generate_key=True)
        assert "The key file /tank/a/b/k of tank/a/b lies inside tank/a/b" in result["msg"]
    assert host.key_files == {}
