# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module imports when it starts: Ansible compiles all of it anew in every run."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

PACKAGE = "ansible_collections.zfsfleet.encryption"
ABOUT_WHOLE_POOLS = {"_zpool", "_topology", "_devices", "_users", "_force", "_foundations", "_manifest_file"}
WHAT_CHANGES_A_HOST = {"_carry_out", "_steps", "_mount_steps", "_replica_steps", "_pool_steps", "_plan_lock", "_proof"}
ABOUT_ONE_FILESYSTEM = {"_mounting", "_places", "_aside", "_immutable", "_kept_open"}
UNCHANGED = {
    "zfs_dataset_key": {"name": "tank/root", "key": "0a" * 32},
    "zfs_unlock": {"name": "tank/root"},
    "zfs_encryption_info": {"name": "tank/root"},
}
# A host with an unlocked, mounted root, and a module that finds it as it should be.
PROGRAM = f"""
import importlib, sys
from ansible.module_utils import basic
from {PACKAGE}.tests.fake.openzfs import FakeOpenZFS
from {PACKAGE}.plugins.module_utils import _edge, _lock
from {PACKAGE}.plugins.module_utils._host import Creation
from {PACKAGE}.plugins.module_utils._keys import hex_key
module = importlib.import_module("{PACKAGE}.plugins.modules." + sys.argv[3])
host = FakeOpenZFS("tank")
properties = dict(encryption="on", keyformat="hex")
host.create(Creation("tank/root", properties, key=hex_key("0a" * 32, whose="a test")))
host.mount("tank/root")
_edge.OpenZFS, _lock.DIRECTORY = lambda: host, sys.argv[1]
basic._ANSIBLE_PROFILE, basic._ANSIBLE_ARGS = "legacy", sys.argv[2].encode()
try:
    module.main()
finally:
    print("", *sys.modules, sep="\\n")
"""


@pytest.mark.parametrize("module", UNCHANGED)
def test_modules_about_keys_start_without_what_deals_with_whole_pools(module: str) -> None:
    imported = _imported(f"import sys, {PACKAGE}.plugins.modules.{module}; print(*sys.modules, sep='\\n')")
    assert "_openzfs" in imported
    assert not imported & (ABOUT_WHOLE_POOLS | WHAT_CHANGES_A_HOST | ABOUT_ONE_FILESYSTEM)


@pytest.mark.parametrize("module", UNCHANGED)
def test_a_run_that_finds_all_as_it_should_be_never_imports_what_changes_a_host(
    module: str, tmp_path: pathlib.Path
) -> None:
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": UNCHANGED[module]})
    imported = _imported(PROGRAM, str(tmp_path), arguments, module)
    assert "_openzfs" in imported
    assert not imported & WHAT_CHANGES_A_HOST


def _imported(program: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    prefix = f"{PACKAGE}.plugins.module_utils."
    return {name[len(prefix) :] for name in done.stdout.splitlines() if name.startswith(prefix)}
