# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back gives a key a second version, and copies of one root's data share a record: neither is mixed up."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _record

from .acting import Controller

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
DUE: dict[str, t.Any] = {"max_age_days": 0}


@pytest.fixture
def fleet(controller: Controller) -> Controller:
    """A host with one root, its key in one place."""
    assert not controller.act("zfs_dataset_key", name="tank/a", escrow=ONE).get("failed")
    return controller


@pytest.fixture
def copied(fleet: Controller) -> Controller:
    """The same, with a raw replica whose key is that of its source until either is rotated."""
    fleet.host.add_pool("backup")
    fleet.host.replicate("tank/a", "backup/a")
    assert not fleet.act("zfs_key_escrow", name="backup/a", escrow=ONE).get("failed")
    return fleet


def rotate(fleet: Controller, name: str = "tank/a", **due: t.Any) -> dict[str, t.Any]:
    result = fleet.act("zfs_key_rotate", name=name, escrow=ONE, replicas_keep_old_key=True, **(due or DUE))
    assert not result.get("failed"), result["msg"]
    return result


def new_key(fleet: Controller, result: dict[str, t.Any]) -> Key:
    (row,) = result["rotated"]
    return key_of(fleet, row["new_key_id"])


def key_of(fleet: Controller, key_id: str) -> Key:
    return next(kept.key for known_as, kept in fleet.drawer("one").keys.items() if str(known_as) == key_id)


def latest(fleet: Controller) -> str:
    *_before, last = fleet.drawer("one").keys
    return str(last)


def compromise(fleet: Controller, key_id: str) -> None:
    assert not fleet.act("zfs_key_escrow", key_id=key_id, key_state="compromised", escrow=ONE).get("failed")


def dies_after_the_change(fleet: Controller, name: str) -> None:
    """Have a rotation whose controller died when the host had the new key and escrow did not know."""
    fleet.dies_before_noting(lambda: rotate(fleet, name))


def test_nothing_goes_back_to_a_key_that_was_compromised_when_it_was_back(fleet: Controller) -> None:
    first, morning = latest(fleet), _record.now()
    rotate(fleet)
    rotate(fleet, back_to=morning)
    assert key_of(fleet, latest(fleet)) == key_of(fleet, first)
    compromise(fleet, latest(fleet))
    rotate(fleet)
    result = fleet.act("zfs_key_rotate", name="tank/a", escrow=ONE, back_to=morning)
    assert f"tank/a does not go back to {first}: it is compromised" in result["msg"]


def test_a_key_that_came_back_is_due_when_its_first_version_is_compromised(fleet: Controller) -> None:
    first, morning = latest(fleet), _record.now()
    rotate(fleet)
    rotate(fleet, back_to=morning)
    compromise(fleet, first)
    drilled = fleet.act("zfs_key_drill", name="tank/a", escrow=ONE)
    assert "compromised" in {each["finding"] for each in drilled["findings"]}
    assert new_key(fleet, rotate(fleet, max_age_days=365)) != key_of(fleet, first)


def test_a_roll_back_that_was_begun_is_given_up_when_its_key_is_compromised(fleet: Controller) -> None:
    first, morning = latest(fleet), _record.now()
    rotate(fleet)
    fleet.host.fail_on("change_key", "tank/a", CallFailed("full", errno=28))
    assert fleet.act("zfs_key_rotate", name="tank/a", escrow=ONE, back_to=morning).get("failed")
    fleet.host.faults.clear()
    compromise(fleet, first)
    assert new_key(fleet, rotate(fleet)) != key_of(fleet, first)
    assert rotate(fleet, max_age_days=365)["changed"] is False


def test_a_copy_goes_back_to_its_own_key_and_not_to_that_of_another(copied: Controller) -> None:
    own = new_key(copied, rotate(copied, "tank/a"))
    rotate(copied, "backup/a")
    noon = _record.now()
    rotate(copied, "backup/a")
    rotate(copied, "tank/a")
    assert new_key(copied, rotate(copied, "tank/a", back_to=noon)) == own


def test_a_row_of_what_was_finished_names_the_key_that_this_copy_had(copied: Controller) -> None:
    first = latest(copied)
    rotate(copied, "backup/a")
    dies_after_the_change(copied, "tank/a")
    (row,) = rotate(copied, "tank/a", max_age_days=365)["rotated"]
    assert (row["old_key_id"], row["resumed"]) == (first, True)
