# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a mountpoint, in words."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _places
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mounts import Mounted
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT


def test_what_is_mounted_inside_is_named_and_has_to_be_unmounted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "srv"
    (place / "x").mkdir(parents=True)
    assert _places.occupant(str(place)) == "is not empty (it holds 'x'). Move its content away."
    mounted = [Mounted("2", "1", "0:1", str(path), False, "zfs", "tank/x") for path in (tmp_path / "srv2", place / "x")]
    monkeypatch.setattr(_places, "mounts", lambda: mounted)
    assert _places.occupant(str(place)) == (
        f"is not empty: tank/x is mounted inside it, on {place / 'x'}. Unmount that, or choose another mountpoint."
    )


@pytest.mark.parametrize(
    ("occupant", "is_movable"),
    [
        ("is not empty (it holds 'x'). Move its content away.", True),
        ("is not empty: tank/x is mounted inside it, on /a/x. Unmount that, or choose another mountpoint.", False),
        ("is where tank/x is mounted. Unmount that, or choose another mountpoint.", False),
    ],
)
def test_to_move_it_aside_is_advised_for_what_may_be_moved(
    host: FakeOpenZFS, run: Run, occupant: str, is_movable: bool
) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    run("zfs_unlock", name="tank/a", state="locked", verify_key=False)
    host.occupied["/tank/a"] = occupant
    message = run("zfs_unlock", name="tank/a", secrets=[{"name": "tank/a", "key": KEY_TEXT}])["msg"]
    assert occupant in message
    assert ("move_aside" in message) is is_movable
