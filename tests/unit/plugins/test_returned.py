# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks return is what their modules document, no more and no less."""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

from .acting import Controller
from .trees import KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "two"}]
POOL: dict[str, t.Any] = {
    "name": "lake",
    "topology": {"data": [{"type": "stripe", "disks": ["/var/tmp/d0"]}]},
    "file_size": "64M",
}
# What core says of any task, and of a file under dest.
COMMON = {"changed", "failed", "msg", "warnings", "diff"}
OF_A_FILE = {"uid", "gid", "owner", "group", "mode", "state", "size"}


def documented(module: str) -> dict[str, dict[str, t.Any]]:
    source = importlib.import_module(f"ansible_collections.zfsfleet.encryption.plugins.modules.{module}")
    found: dict[str, dict[str, t.Any]] = yaml.safe_load(source.RETURN)
    return found


@pytest.fixture
def act(controller: Controller) -> t.Callable[..., set[str]]:
    """Runs a task and returns the names that its result has."""

    def act(module: str, **options: t.Any) -> set[str]:
        result = controller.act(module, **options)
        undocumented = result.keys() - COMMON - documented(module).keys()
        assert undocumented <= (OF_A_FILE if "dest" in result else set())
        always = {name for name, value in documented(module).items() if value["returned"] == "always"}
        assert always <= result.keys()
        return set(result)

    return act


@pytest.mark.parametrize("check", [True, False])
def test_results_have_what_is_documented(
    act: t.Callable[..., set[str]], tmp_path: pathlib.Path, *, check: bool
) -> None:
    dest, local = str(tmp_path / "host.json"), str(tmp_path / "controller.json")
    act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    assert "key_ids" in act("zfs_dataset_key", name="tank/a", escrow=ONE, key=KEY_TEXT)

    assert {"key_ids", "guid", "drift"} <= act("zfs_encrypted_pool", **POOL, escrow=ONE, check=check)
    act("zfs_encrypted_pool", **POOL, escrow=ONE)
    away = {"name": "lake", "state": "exported", "escrow": ONE}
    assert "key_ids" not in act("zfs_encrypted_pool", **away, check=check)
    act("zfs_encrypted_pool", **away)
    back = {"name": "lake", "state": "imported", "search": ["/var/tmp"], "escrow": ONE}
    assert ("still_locked" in act("zfs_encrypted_pool", **back, check=check)) is not check

    act("zfs_encryption_info", escrow=ONE, check=check)
    act("zfs_unlock", name="tank/a", state="locked", escrow=ONE, check=check)
    act("zfs_unlock", name="tank/a", check=check)
    assert "dest" in act("zfs_key_export", name="tank/a", escrow=ONE, dest=dest, check=check)
    assert "dest_controller" in act("zfs_key_export", name="tank/a", escrow=ONE, dest_controller=local, check=check)
    act("zfs_key_escrow", name="tank", recursive=True, escrow=ONE, check=check)
    act("zfs_key_escrow_info", escrow=ONE, check=check)
    act("zfs_key_drill", escrow=ONE, check=check)
    act("zfs_key_rotate", name="tank/a", max_age_days=1, escrow=ONE, check=check)
    act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE, check=check)
    act("zfs_key_move", source=ONE, escrow=TWO, check=check)
    act("zfs_key_retire", retain_days=0, retain_versions=0, escrow=ONE, check=check)
