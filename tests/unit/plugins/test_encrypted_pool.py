# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``zfs_encrypted_pool`` on a host without OpenZFS: what a task sees."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Pool
from ansible_collections.zfsfleet.encryption.tests.fake.datasets import User
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

DISKS = [f"/dev/disk/by-id/d{number}" for number in range(4)]
MIRROR: dict[str, t.Any] = {"data": [{"type": "mirror", "disks": DISKS[:2]}]}
SECRETS = [{"name": "pond", "key": KEY_TEXT}]


@pytest.fixture
def disks(host: FakeOpenZFS) -> FakeOpenZFS:
    for disk in DISKS:
        host.add_disk(disk)
    return host


@pytest.fixture
def pond(disks: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """An encrypted mirror."""
    assert present(run)["changed"]
    disks.calls.clear()
    return disks


@pytest.fixture
def exported(pond: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    run("zfs_dataset_key", name="pond/inner", key=OTHER_KEY_TEXT)
    secrets = [*SECRETS, {"name": "pond/inner", "key": OTHER_KEY_TEXT}]
    assert pool(run, state="exported", secrets=secrets)["changed"]
    pond.calls.clear()
    return pond


def pool(run: Run, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    return run("zfs_encrypted_pool", check=check, **{"name": "pond", **params})


def present(run: Run, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    return pool(run, check=check, **{"topology": MIRROR, "key": KEY_TEXT, **params})


def actions(result: dict[str, t.Any]) -> list[str]:
    return [action["action"] for action in result["actions"]]


def is_there(host: FakeOpenZFS, name: str = "pond") -> bool:
    return name in host.pools()


# -- present


def test_a_pool_is_created_once(disks: FakeOpenZFS, run: Run) -> None:
    first, second = present(run), present(run)
    assert actions(first) == ["create_pool"]
    assert first["guid"] == second["guid"] == disks.pools()["pond"].guid
    assert (second["changed"], second["actions"], second["drift"]) == (False, [], [])
    assert second["already"] == ["pond"]


def test_check_mode_foretells_a_creation_and_changes_nothing(disks: FakeOpenZFS, run: Run) -> None:
    foretold = present(run, check=True)
    assert disks.changes == []
    real = present(run)
    assert (foretold["changed"], foretold["actions"]) == (real["changed"], real["actions"])
    assert not is_there(disks, "another")


def test_its_root_is_encrypted_and_mounted_with_the_properties_given(disks: FakeOpenZFS, run: Run) -> None:
    present(run, properties={"recordsize": "1M", "mountpoint": "/srv/pond"}, pool_properties={"autotrim": True})
    root = disks.dataset("pond")
    assert root is not None
    assert (root.keyformat, root.is_mounted, root.value("mountpoint")) == ("hex", True, "/srv/pond")
    assert disks.pool_states()["pond"].properties["autotrim"] == "on"


def test_a_pool_without_a_key_has_to_be_asked_for(disks: FakeOpenZFS, run: Run) -> None:
    refused = pool(run, topology=MIRROR)
    assert refused["failed"]
    assert "encryption: off" in refused["msg"]
    assert pool(run, topology=MIRROR, encryption="off")["changed"]
    root = disks.dataset("pond")
    assert root is not None
    assert not root.is_encrypted


def test_a_pool_is_not_told_to_inherit(disks: FakeOpenZFS, run: Run) -> None:
    assert "Give key, passphrase, key_file or escrow, or set encryption: off." in pool(run, topology=MIRROR)["msg"]


def test_a_generated_key_is_durable_before_the_pool_is_made(disks: FakeOpenZFS, run: Run) -> None:
    result = pool(run, topology=MIRROR, key_file="/etc/pond.key", generate_key=True)
    assert actions(result) == ["generate_key_file", "create_pool"]
    assert not pool(run, topology=MIRROR, key_file="/etc/pond.key", generate_key=True)["changed"]
    root = disks.dataset("pond")
    assert root is not None
    assert root.key_file == "/etc/pond.key"


def test_files_are_made_where_a_size_is_given(host: FakeOpenZFS, run: Run) -> None:
    topology = {"data": [{"type": "stripe", "disks": ["/var/tmp/f0"]}]}
    refused = present(run, topology=topology)
    assert "file_size" in refused["msg"]
    assert actions(present(run, topology=topology, file_size="64M")) == ["make_file", "create_pool"]


def test_files_that_were_made_go_again_if_the_creation_fails(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("create_pool", "pond", CallFailed("Pool pond was not created: no luck"))
    result = present(run, topology={"data": [{"type": "stripe", "disks": ["/var/tmp/f0"]}]}, file_size="64M")
    assert result["failures"]["pond"]["msg"] == "Pool pond was not created: no luck"
    assert not result["changed"]
    assert host.device("/var/tmp/f0").kind == "missing"


@pytest.mark.parametrize("size", ["63M", "small"])
def test_a_file_size_that_no_pool_can_have_is_refused(host: FakeOpenZFS, run: Run, size: str) -> None:
    assert "64M" in present(run, file_size=size)["msg"]


def test_a_disk_that_holds_something_is_named_and_refused(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISKS[0], holds=["ext4 'data'"])
    host.add_disk(DISKS[1])
    result = present(run)
    assert result["failed"]
    assert f"{DISKS[0]} holds ext4 'data'" in result["msg"]
    assert "overwrite" in result["msg"]
    assert host.changes == []


def test_a_disk_that_is_named_for_it_is_cleared(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISKS[0], holds=["ext4 'data'"])
    host.add_disk(DISKS[1])
    result = present(run, overwrite=[DISKS[0]])
    assert actions(result) == ["clear_device", "create_pool"]
    assert result["diff"]["before"]["pond"][f"device {DISKS[0]}"] == "ext4 'data'"


def test_naming_one_disk_does_not_give_up_another(host: FakeOpenZFS, run: Run) -> None:
    for disk in DISKS[:2]:
        host.add_disk(disk, holds=["ext4 'data'"])
    result = present(run, overwrite=[DISKS[0]])
    assert DISKS[1] in result["msg"]
    assert host.changes == []


def test_only_disks_of_the_topology_can_be_overwritten(disks: FakeOpenZFS, run: Run) -> None:
    assert DISKS[3] in present(run, overwrite=[DISKS[3]])["msg"]


@pytest.mark.parametrize("overwrite", [[], [DISKS[0]]])
def test_a_disk_in_use_is_never_taken(host: FakeOpenZFS, run: Run, overwrite: list[str]) -> None:
    host.add_disk(DISKS[0], holds=["ext4 'root'"], in_use="/dev/vda1 is mounted on /")
    host.add_disk(DISKS[1])
    result = present(run, overwrite=overwrite)
    assert "/dev/vda1 is mounted on /" in result["msg"]
    assert host.changes == []


def test_a_disk_of_another_pool_is_refused_by_that_pools_name(pond: FakeOpenZFS, run: Run) -> None:
    result = present(run, name="lake")
    assert f"{DISKS[0]} belongs to pool pond" in result["msg"]


def test_two_names_of_one_disk_are_recognised(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISKS[0], real="/dev/vdx")
    host.add_disk(DISKS[1], real="/dev/vdx")
    assert "the same disk" in present(run)["msg"]


def test_a_missing_disk_is_refused(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISKS[0])
    assert f"{DISKS[1]} is not there" in present(run, file_size="1G")["msg"]


def test_mixed_redundancy_has_to_be_asked_for(disks: FakeOpenZFS, run: Run) -> None:
    topology = {"data": [{"type": "mirror", "disks": DISKS[:2]}, {"type": "stripe", "disks": [DISKS[2]]}]}
    assert "force: true" in present(run, topology=topology)["msg"]
    assert disks.changes == []
    assert present(run, topology=topology, force=True)["changed"]


def test_an_occupied_mountpoint_is_refused_below_an_altroot_too(disks: FakeOpenZFS, run: Run) -> None:
    disks.occupied["/mnt/pond"] = "is not empty."
    assert "is not empty" in present(run, altroot="/mnt")["msg"]
    assert present(run)["changed"]


@pytest.mark.parametrize(
    "topology",
    [
        pytest.param({"data": []}, id="no data"),
        pytest.param({"data": [{"type": "mirror", "disks": [DISKS[0]]}]}, id="a mirror of one"),
        pytest.param({"data": [{"type": "raidz2", "disks": DISKS[:2]}]}, id="a raidz2 of two"),
        pytest.param({"data": [{"type": "mirror", "disks": [DISKS[0], DISKS[0]]}]}, id="a disk twice"),
        pytest.param({**MIRROR, "cache": [DISKS[0]]}, id="a disk in two places"),
        pytest.param({"data": [{"type": "stripe", "disks": ["vdb"]}]}, id="no path"),
        pytest.param({"data": [{"type": "mirror", "disks": DISKS[:2], "draid_spare_disks": 1}]}, id="no draid"),
    ],
)
def test_a_topology_that_no_pool_can_have_is_refused(disks: FakeOpenZFS, run: Run, topology: t.Any) -> None:
    result = present(run, topology=topology)
    assert result["failed"]
    assert "pond" in result["msg"]
    assert disks.calls == []


@pytest.mark.parametrize("name", ["mirror", "log", "9lives", "c0t0", "a/b", "with\nnewline", "raidz1x"])
def test_a_name_that_no_pool_can_have_is_refused(host: FakeOpenZFS, run: Run, name: str) -> None:
    assert "no name of a pool" in present(run, name=name)["msg"]


def test_topology_drift_is_told_and_left_alone(pond: FakeOpenZFS, run: Run) -> None:
    result = present(run, topology={**MIRROR, "log": [{"type": "stripe", "disks": [DISKS[2]]}]})
    assert not result["changed"]
    assert result["drift"] == [f"log: stripe of {DISKS[2]} is wanted and not there"]
    assert any(DISKS[2] in warning for warning in result["warnings"])
    assert pond.changes == []


def test_another_altroot_is_told_and_left_alone(disks: FakeOpenZFS, run: Run) -> None:
    present(run, altroot="/mnt")
    assert present(run, altroot="/mnt")["drift"] == []
    assert "altroot=/mnt" in present(run, altroot="/elsewhere")["drift"][0]


def test_a_disk_is_recognised_by_any_of_its_names(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISKS[0], real="/dev/vdb")
    host.add_disk(DISKS[1], real="/dev/vdc")
    present(run)
    result = present(run, topology={"data": [{"type": "mirror", "disks": ["/dev/vdc", "/dev/vdb"]}]})
    assert result["drift"] == []


def test_pool_properties_are_kept_in_step(pond: FakeOpenZFS, run: Run) -> None:
    wanted = {"autotrim": True, "comment": "pond", "feature@encryption": "enabled"}
    result = present(run, pool_properties=wanted)
    assert [action["after"] for action in result["actions"]] == [{"autotrim": "on"}, {"comment": "pond"}]
    assert not present(run, pool_properties=wanted)["changed"]


def test_properties_of_the_root_are_kept_in_step(pond: FakeOpenZFS, run: Run) -> None:
    assert actions(present(run, properties={"recordsize": "1M"})) == ["set_properties"]
    assert not present(run, properties={"recordsize": 1048576}, encryption="on")["changed"]


def test_a_key_that_does_not_open_the_root_is_refused(pond: FakeOpenZFS, run: Run) -> None:
    result = present(run, key=OTHER_KEY_TEXT)
    assert result["failed"]
    assert "update_key" in result["msg"]
    assert pond.changes == []


def test_the_key_of_the_root_can_be_changed(pond: FakeOpenZFS, run: Run) -> None:
    changed = present(run, key=OTHER_KEY_TEXT, current={"key": KEY_TEXT}, update_key="always")
    assert actions(changed) == ["change_key"]
    assert not present(run, key=OTHER_KEY_TEXT)["changed"]


def test_another_pool_of_that_name_is_refused(pond: FakeOpenZFS, run: Run) -> None:
    assert "another pool of that name" in present(run, guid="1")["msg"]


def test_an_exported_pool_is_not_created_anew(exported: FakeOpenZFS, run: Run) -> None:
    for overwrite in ([], DISKS[:2]):
        assert "belongs to a pool pond that is not imported" in present(run, overwrite=overwrite)["msg"]
    assert "imported" in pool(run, key=KEY_TEXT)["msg"]
    assert exported.changes == []


def test_what_was_destroyed_can_be_made_anew_if_its_disks_are_named(pond: FakeOpenZFS, run: Run) -> None:
    pool(run, state="absent", force_destroy=True, topology=MIRROR)
    assert "destroyed ZFS pool 'pond'" in present(run)["msg"]
    assert present(run, overwrite=DISKS[:2])["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_cleared_for_a_pool_that_cannot_be(host: FakeOpenZFS, run: Run, check: bool) -> None:
    for disk in DISKS:
        host.add_disk(disk, holds=["ext4 'data'"])
    mixed = {"data": [{"type": "mirror", "disks": DISKS[:2]}, {"type": "stripe", "disks": [DISKS[2]]}]}
    assert "force: true" in present(run, check=check, topology=mixed, overwrite=DISKS[:3])["msg"]
    assert present(run, check=check, overwrite=DISKS[:2], pool_properties={"ashfit": 12})["failed"]
    assert host.changes == []


def test_a_mountpoint_below_an_altroot_is_as_it_should_be(disks: FakeOpenZFS, run: Run) -> None:
    wanted: dict[str, t.Any] = {"altroot": "/mnt", "properties": {"mountpoint": "/srv/pond"}}
    assert present(run, **wanted)["changed"]
    assert not present(run, **wanted)["changed"]


def test_a_suspended_pool_is_left_alone(pond: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    suspended = {name: replace(each, health="SUSPENDED") for name, each in pond.pools().items()}
    monkeypatch.setattr(pond, "pools", lambda: suspended)
    for state in ("present", "imported", "exported", "absent"):
        options: dict[str, t.Any] = {"topology": MIRROR, "key": KEY_TEXT} if state == "present" else {}
        assert "zpool clear pond" in pool(run, state=state, **options)["msg"]


# -- exported


def test_an_export_wants_a_proven_key_for_every_unlocked_root(pond: FakeOpenZFS, run: Run) -> None:
    for secrets in ([], [{"name": "pond", "key": OTHER_KEY_TEXT}]):
        result = pool(run, state="exported", secrets=secrets)
        assert result["failures"]["pond"]["reason"] in ("no_key", "wrong_key")
    assert pond.changes == []
    assert pool(run, state="exported", secrets=SECRETS)["changed"]
    assert not is_there(pond)


def test_an_export_can_do_without_proof_if_that_is_said(pond: FakeOpenZFS, run: Run) -> None:
    assert pool(run, state="exported", verify_key=False)["changed"]
    assert not pool(run, state="exported")["changed"]


def test_a_mounted_clone_does_not_hide_that_a_key_is_missing(pond: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="pond/inner", key=OTHER_KEY_TEXT)
    pond.clone("pond/inner", "pond/clone")
    pond.mount("pond/clone")
    result = pool(run, state="exported", secrets=SECRETS)
    assert result["failures"]["pond/inner"]["reason"] == "no_key"
    assert is_there(pond)


def test_an_export_names_who_keeps_the_pool_busy(pond: FakeOpenZFS, run: Run) -> None:
    pond.use("pond", User("process 7 (rsync) works in /pond"))
    result = pool(run, state="exported", secrets=SECRETS)
    assert result["failures"]["pond"]["reason"] == "busy"
    assert "process 7 (rsync)" in result["msg"]
    both = pool(run, state="exported")
    assert both["failures"]["pond"]["reason"] == "no_key"
    assert "process 7 (rsync)" in both["msg"]
    assert pond.changes == []


def test_an_export_leaves_another_pool_of_that_name_alone(pond: FakeOpenZFS, run: Run) -> None:
    assert pool(run, state="exported", guid="1", verify_key=False)["failed"]
    assert is_there(pond)


# -- imported


def test_an_import_without_keys_leaves_everything_locked(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported")
    assert not result.get("failed")
    assert actions(result) == ["import_pool"]
    assert result["still_locked"] == ["pond", "pond/inner"]
    assert not pool(run, state="imported")["changed"]


def test_an_import_unlocks_what_it_has_keys_for(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=SECRETS)
    assert (result["unlocked"], result["still_locked"], result["mounted"]) == (["pond"], ["pond/inner"], ["pond"])
    later = pool(run, state="imported", secrets=[{"name": "pond/inner", "key": OTHER_KEY_TEXT}])
    assert (later["unlocked"], later["still_locked"], later["already"]) == (["pond/inner"], [], ["pond"])


def test_nothing_below_a_root_without_a_key_is_opened(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=[{"name": "pond/inner", "key": OTHER_KEY_TEXT}])
    assert (result["unlocked"], result["still_locked"]) == ([], ["pond", "pond/inner"])
    assert not result.get("failed")


def test_a_wrong_key_fails_and_the_import_stands(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=[{"name": "pond", "key": OTHER_KEY_TEXT}])
    assert result["failures"]["pond"]["reason"] == "wrong_key"
    assert result["changed"]
    assert is_there(exported)


def test_a_key_that_cannot_be_the_roots_is_a_failure_too(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=[{"name": "pond", "passphrase": "correct horse"}])
    assert "pond" in result["failures"]
    result = pool(run, state="imported", secrets=[{"name": "pond", "key_file": "/etc/none.key"}])
    assert "/etc/none.key is not there" in result["msg"]


def test_a_misspelt_name_does_not_hide_that_the_pool_was_imported(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=[{"name": "pond/inmer", "key": OTHER_KEY_TEXT}])
    assert result["failed"]
    assert "pond/inmer" in result["msg"]
    assert result["changed"]
    assert actions(result) == ["import_pool"]


def test_an_import_need_not_mount(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, state="imported", secrets=SECRETS, mount=False)
    assert (result["unlocked"], result["mounted"]) == (["pond"], [])


def test_a_plain_pool_is_mounted_when_it_is_imported(disks: FakeOpenZFS, run: Run) -> None:
    pool(run, topology=MIRROR, encryption="off")
    pool(run, state="exported")
    assert pool(run, state="imported")["mounted"] == ["pond"]


def test_check_mode_foretells_an_import(exported: FakeOpenZFS, run: Run) -> None:
    result = pool(run, check=True, state="imported", secrets=SECRETS)
    assert actions(result) == ["import_pool"]
    assert exported.changes == []


def test_a_pool_is_imported_by_its_guid(exported: FakeOpenZFS, run: Run) -> None:
    guid = exported.importable_pools(())[0].guid
    assert pool(run, name=None, guid=guid, state="imported")["actions"][0]["dataset"] == "pond"
    assert not pool(run, name=None, guid=guid, state="imported")["changed"]


def test_of_two_pools_with_one_name_the_guid_has_to_be_said(exported: FakeOpenZFS, run: Run) -> None:
    pool(run, topology={"data": [{"type": "mirror", "disks": DISKS[2:]}]}, key=KEY_TEXT)
    pool(run, state="exported", verify_key=False)
    exported.calls.clear()
    result = pool(run, state="imported")
    assert all(found.guid in result["msg"] for found in exported.importable_pools(()))
    assert exported.changes == []


def test_a_pool_of_another_system_is_explained_and_refused(exported: FakeOpenZFS, run: Run) -> None:
    exported.alter_exported("pond", last_host="oldhost (hostid 00bab10c)")
    result = pool(run, state="imported")
    assert "oldhost (hostid 00bab10c)" in result["msg"]
    assert "force_import: true" in result["msg"]
    assert exported.hostid() in result["msg"]
    assert exported.changes == []
    assert pool(run, state="imported", force_import=True)["changed"]


def test_a_damaged_pool_is_refused_with_its_state(exported: FakeOpenZFS, run: Run) -> None:
    exported.alter_exported("pond", state="UNAVAIL", problem="One or more devices are missing.")
    assert "UNAVAIL: One or more devices are missing." in pool(run, state="imported")["msg"]


def test_a_degraded_pool_is_imported_with_a_warning(exported: FakeOpenZFS, run: Run) -> None:
    exported.alter_exported("pond", state="DEGRADED", problem="One disk is missing.")
    result = pool(run, state="imported")
    assert result["changed"]
    assert any("DEGRADED" in warning for warning in result["warnings"])


def test_a_pool_that_is_nowhere_is_refused_and_foretold_in_check_mode(host: FakeOpenZFS, run: Run) -> None:
    assert "search" in pool(run, state="imported")["msg"]
    foretold = pool(run, check=True, state="imported")
    assert foretold["changed"]
    assert not foretold.get("failed")


def test_altroot_and_readonly_of_an_import_are_kept_and_their_drift_is_told(exported: FakeOpenZFS, run: Run) -> None:
    pool(run, state="imported", altroot="/mnt", readonly=True)
    assert pool(run, state="imported", altroot="/mnt", readonly=True)["drift"] == []
    assert "altroot" in pool(run, state="imported", altroot="/elsewhere")["drift"][0]


# -- absent


def test_a_pool_is_destroyed_only_if_that_is_said_and_it_is_certainly_the_one(pond: FakeOpenZFS, run: Run) -> None:
    guid = pond.pools()["pond"].guid
    other = {"data": [{"type": "mirror", "disks": DISKS[2:]}]}
    for params in (
        {"guid": guid},
        {"force_destroy": True},
        {"force_destroy": True, "guid": "1"},
        {"force_destroy": True, "topology": other},
        {"force_destroy": True, "topology": other, "guid": guid},
    ):
        assert pool(run, state="absent", **params)["failed"], params
    assert pond.changes == []
    assert pool(run, state="absent", force_destroy=True, guid=guid)["changed"]
    assert not pool(run, state="absent", force_destroy=True, guid=guid)["changed"]


def test_the_exact_topology_says_which_pool_to_destroy(pond: FakeOpenZFS, run: Run) -> None:
    assert pool(run, state="absent", force_destroy=True, topology=MIRROR)["changed"]
    assert not is_there(pond)


def test_a_busy_pool_is_not_destroyed(pond: FakeOpenZFS, run: Run) -> None:
    pond.use("pond", User("process 7 (rsync) works in /pond"))
    result = pool(run, state="absent", force_destroy=True, topology=MIRROR)
    assert result["failures"]["pond"]["reason"] == "busy"
    assert "process 7 (rsync)" in result["msg"]
    assert is_there(pond)


def test_a_pool_that_was_replaced_meanwhile_is_not_destroyed(
    pond: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [{"pond": Pool("pond", "1")}]
    now = pond.pools
    monkeypatch.setattr(pond, "pools", lambda: seen.pop() if seen else now())
    result = pool(run, state="absent", force_destroy=True, guid=now()["pond"].guid)
    assert "was replaced" in result["msg"]
    assert is_there(pond)


def test_a_readonly_pool_is_not_destroyed(exported: FakeOpenZFS, run: Run) -> None:
    pool(run, state="imported", readonly=True)
    assert "read-only" in pool(run, state="absent", force_destroy=True, topology=MIRROR)["msg"]


def test_an_exported_pool_is_not_destroyed_unseen(exported: FakeOpenZFS, run: Run) -> None:
    assert "Import it first" in pool(run, state="absent", force_destroy=True, topology=MIRROR)["msg"]


# -- any state


@pytest.mark.parametrize(
    ("state", "option"),
    [
        ("present", {"secrets": SECRETS}),
        ("present", {"force_import": True}),
        ("imported", {"key": KEY_TEXT}),
        ("imported", {"topology": MIRROR}),
        ("exported", {"force_destroy": True}),
        ("absent", {"properties": {"atime": "off"}}),
    ],
)
def test_an_option_of_another_state_is_refused(host: FakeOpenZFS, run: Run, state: str, option: t.Any) -> None:
    result = pool(run, state=state, **option)
    assert f"means nothing with state {state}" in result["msg"]
    assert next(iter(option)) in result["msg"]


def test_a_switch_that_is_off_means_nothing_and_is_allowed(pond: FakeOpenZFS, run: Run) -> None:
    assert not present(run, force_destroy=False, readonly=False, force_import=False)["changed"]


@pytest.mark.parametrize("state", ["present", "imported", "exported", "absent"])
def test_a_bare_host_can_be_checked(host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setattr(host, "pools", dict)
    monkeypatch.setattr(host, "binding", lambda: type(FakeOpenZFS.binding(host))("cli", "", "", ""))
    for disk in DISKS:
        host.add_disk(disk)
    options: dict[str, t.Any] = {"topology": MIRROR, "key": KEY_TEXT} if state == "present" else {}
    foretold = pool(run, check=True, state=state, **options)
    assert not foretold.get("failed"), foretold
    assert foretold["changed"] == (state in ("present", "imported"))
    if foretold["changed"]:
        assert "Install it first" in pool(run, state=state, **options)["msg"]
