# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module can do, a user of its role gets at: every option is passed on, but for those that are named here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
MODULES = {
    "adopt": "zfs_key_escrow",
    "drill": "zfs_key_drill",
    "export": "zfs_key_export",
    "move": "zfs_key_move",
    "retire": "zfs_key_retire",
    "rotate": "zfs_key_rotate",
    "unlock": "zfs_unlock",
}
# One name is a list of one; how many places have to hold a key matters only to what writes some.
LEFT_OUT = {"name", "escrow_require"}
LEFT_OUT_OF = {
    "adopt": {"state", "key_id", "key_state", "force_destroy", "unseen_copies"},  # works on single versions
    "export": {"_seal"},
}
WRITES = {"adopt", "move", "rotate"}


@pytest.mark.parametrize("role", MODULES)
def test_every_option_is_passed_on(role: str) -> None:
    module = importlib.import_module(f"ansible_collections.zfsfleet.encryption.plugins.modules.{MODULES[role]}")
    tasks = yaml.safe_load((ROLES / role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    passed = next(set(task[name]) for task in tasks for name in task if name.endswith(f".{MODULES[role]}"))

    left_out = LEFT_OUT - ({"escrow_require"} if role in WRITES else set()) | LEFT_OUT_OF.get(role, set())

    assert set(module.SPEC.arguments) - passed - left_out == set()


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
def test_every_variable_is_documented_twice_with_one_default(role: str) -> None:
    spec = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = spec["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")

    assert [name for name in options if f"`{name}`" not in readme] == []
    assert set(defaults) <= set(options)
    assert {name: option["default"] for name, option in options.items() if "default" in option} == {
        name: value for name, value in defaults.items() if not str(value).startswith("{{")
    }
