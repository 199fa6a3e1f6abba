# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the running system stands on, as far as mounts and volumes tell."""

from __future__ import annotations

import os

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _foundations
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mounts import Mounted


def mounted(path: str, source: str, *, kind: str = "zfs", device: str = "0:42") -> Mounted:
    return Mounted("2", "1", device, path, propagated=False, kind=kind, source=source)


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[Mounted]:
    """What is mounted on the machine, which swaps to a volume."""
    found = [mounted("/", "/dev/none", kind="ext4", device="999:1")]
    monkeypatch.setattr(_foundations, "mounts", lambda: found)
    monkeypatch.setattr(_foundations, "volumes", lambda: {"230:0": "tank/swap", "230:16": "tank/disk"})
    monkeypatch.setattr(_foundations, "swaps", lambda: ["/dev/zd0"])
    monkeypatch.setattr(
        _foundations, "device_number", {"/dev/zd0": "230:0", "/dev/zd16": "230:16", "/dev/none": None}.get
    )
    return found


def test_a_root_file_system_holds_all_that_the_system_needs(mounts: list[Mounted]) -> None:
    mounts.append(mounted("/", "rpool/ROOT/debian"))
    standing = _foundations.find()["rpool/ROOT/debian"]
    assert {"/", "/etc", "/usr", "/var"} <= set(standing)
    assert any(each.startswith("the Python of this run") for each in standing)


def test_swap_stands_on_its_volume(mounts: list[Mounted]) -> None:
    assert _foundations.find() == {"tank/swap": ("swap on /dev/zd0",)}


def test_a_file_system_stands_on_the_volume_that_holds_it(mounts: list[Mounted]) -> None:
    mounts.append(mounted("/usr", "/dev/zd16", kind="ext4"))
    assert "/usr" in _foundations.find()["tank/disk"]


def test_of_two_mounts_on_one_path_the_later_one_counts(mounts: list[Mounted]) -> None:
    mounts += [mounted("/etc", "tank/below"), mounted("/etc", "tank/above")]
    assert _foundations.find()["tank/above"] == ("/etc",)
    assert "tank/below" not in _foundations.find()


def test_the_working_directory_of_a_run_counts(mounts: list[Mounted]) -> None:
    mounts.append(mounted(os.path.realpath(os.getcwd()), "tank/here"))
    assert any(each.startswith("the working directory") for each in _foundations.find()["tank/here"])
