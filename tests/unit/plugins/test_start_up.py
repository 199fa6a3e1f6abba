# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module imports when it starts: Ansible compiles all of it anew in every run."""

from __future__ import annotations

import subprocess
import sys

import pytest

PACKAGE = "ansible_collections.zfsfleet.encryption.plugins"
ABOUT_WHOLE_POOLS = {"_zpool", "_topology", "_devices", "_users", "_force", "_foundations", "_manifest_file"}


@pytest.mark.parametrize("module", ["zfs_dataset_key", "zfs_unlock", "zfs_encryption_info"])
def test_modules_about_keys_start_without_what_deals_with_whole_pools(module: str) -> None:
    program = f"import sys, {PACKAGE}.modules.{module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {name.rpartition(".")[2] for name in done.stdout.split() if name.startswith(f"{PACKAGE}.module_utils.")}
    assert "_openzfs" in ours
    assert not ours & ABOUT_WHOLE_POOLS
