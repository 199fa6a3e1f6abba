# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places for keys can be said once for a play: all modules of the action group take them."""

from __future__ import annotations

import importlib
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_every_module_of_the_group_takes_escrow_and_every_module_that_does_is_in_it() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    modules = [path.stem for path in sorted((ROOT / "plugins/modules").glob("*.py"))]
    package = "ansible_collections.zfsfleet.encryption.plugins.modules"
    specs = {name: importlib.import_module(f"{package}.{name}").SPEC.arguments for name in modules}

    takes_escrow = [name for name, spec in specs.items() if {"escrow", "escrow_require"} <= spec.keys()]

    assert sorted(runtime["action_groups"]["encryption"]) == takes_escrow
