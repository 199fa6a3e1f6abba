# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filesystems that were delegated to a container (``zoned=on``): it says where they are mounted, never this host."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _mounting
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import MOUNT_PROPERTIES
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, dataset

SECRETS = [{"name": "tank/e", "key": KEY_TEXT}]
ROOT = {"encryption": "on", "keyformat": "hex"}


@pytest.fixture
def delegated(host: FakeOpenZFS) -> FakeOpenZFS:
    """A root with a container below it, locked; the container mounts its own below ``/etc`` of its own."""
    host.create(Creation("tank/e", ROOT, key=KEY))
    host.create(Creation("tank/e/c", {"zoned": "on", "mountpoint": "/etc"}))
    host.create(Creation("tank/e/c/below", {}))
    host.unload_key("tank/e")
    return host


def mounted(host: FakeOpenZFS) -> list[str]:
    return [each.name for each in host.datasets(["tank"]).datasets.values() if each.is_mounted]


def test_they_are_unlocked_and_not_mounted(delegated: FakeOpenZFS, run: Run) -> None:
    task: dict[str, t.Any] = {"name": "tank", "recursive": True, "secrets": SECRETS}
    assert run("zfs_encryption_info", **task)["summary"][0]["unlock_successful"]
    result = run("zfs_unlock", **task)

    assert (result["failures"], result["warnings"]) == ({}, [])
    assert mounted(delegated) == ["tank/e"]
    assert delegated.datasets(["tank"]).datasets["tank/e/c/below"].is_key_loaded
    assert not run("zfs_unlock", **task)["changed"]


def test_an_imported_pool_mounts_none_of_them(delegated: FakeOpenZFS, run: Run) -> None:
    delegated.create(Creation("tank/plain", {"zoned": "on"}))
    delegated.export_pool("tank")
    result = run("zfs_encrypted_pool", name="tank", state="imported", secrets=SECRETS)

    assert result["failures"] == {}
    assert set(mounted(delegated)) == {"tank", "tank/e"}


def test_what_is_made_below_one_is_not_mounted(delegated: FakeOpenZFS, run: Run) -> None:
    delegated.load_key(delegated.datasets(["tank"]).datasets["tank/e"], KEY)
    result = run("zfs_dataset_key", datasets=[{"name": "tank/e/c/new", "key": KEY_TEXT}, {"name": "tank/e/c/also"}])
    assert "needs a key" in result["msg"]
    entries = [{"name": "tank/e/c/new", "key": KEY_TEXT}, {"name": "tank/e/c/also", "state": "inherited"}]
    result = run("zfs_dataset_key", datasets=entries)

    assert result["failures"] == {}
    assert [action["action"] for action in result["actions"]] == ["create", "create"]
    assert mounted(delegated) == []


def test_what_becomes_one_is_left_unmounted(host: FakeOpenZFS, run: Run) -> None:
    task: dict[str, t.Any] = {"name": "tank/e", "key": KEY_TEXT}
    run("zfs_dataset_key", **task)
    assert mounted(host) == ["tank/e"]
    task["properties"] = {"zoned": True}

    assert run("zfs_dataset_key", **task)["changed"]
    assert mounted(host) == []
    assert not run("zfs_dataset_key", **task)["changed"]


def test_the_place_that_a_container_names_is_not_protected_here(delegated: FakeOpenZFS, run: Run) -> None:
    run("zfs_unlock", name="tank/e", secrets=SECRETS)
    delegated.mountpoints.made("/etc")
    result = run("zfs_unlock", name="tank/e", state="locked", secrets=SECRETS, protect_mountpoint=True)

    assert result["failures"] == {}
    assert delegated.place("/etc").state == "bare"


def test_the_quick_way_to_mount_is_none_for_them() -> None:
    properties = {"canmount": "on", **dict.fromkeys(MOUNT_PROPERTIES, "none"), "zoned": "on"}
    assert not _mounting._is_ordinary(dataset("tank/e", **properties))
    assert _mounting._is_ordinary(dataset("tank/e", **{**properties, "zoned": "off"}))


@pytest.mark.parametrize(("wish", "place"), [({}, "/srv"), ({}, "inherit"), ({"zoned": "off"}, "/srv")])
def test_their_places_are_not_changed_from_outside(
    delegated: FakeOpenZFS, run: Run, wish: dict[str, str], place: str
) -> None:
    for check in (True, False):
        task: dict[str, t.Any] = {"name": "tank/e/c", "state": "inherited"}
        message = run("zfs_dataset_key", check=check, **task, properties={"mountpoint": place, **wish})["msg"]
        assert message.startswith("mountpoint of tank/e/c cannot be changed here: its zoned is on")
        assert message.endswith("or set zoned: off in a task before.")
    assert not run("zfs_dataset_key", **task, properties={"mountpoint": "/etc"})["changed"]


def test_what_is_no_container_s_any_more_inherits_its_place(delegated: FakeOpenZFS, run: Run) -> None:
    wish = {"mountpoint": "inherit", "zoned": "off"}
    assert run("zfs_dataset_key", name="tank/e/c", state="inherited", properties=wish)["failures"] == {}
    assert delegated.datasets(["tank"]).datasets["tank/e/c"].value("mountpoint") == "/tank/e/c"


def test_what_is_a_container_s_only_after_the_task_gets_its_place_by_it(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/p", encryption="off")
    result = run("zfs_dataset_key", name="tank/p", encryption="off", properties={"mountpoint": "/srv", "zoned": "on"})
    assert (result["failures"], result["changed"]) == ({}, True)
