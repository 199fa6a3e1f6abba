# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: one machine for all tests, a controller and canaries of its own for each."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.wire.machine import (
    DISK,
    HERE,
    POOL,
    VM,
    Canaries,
    Controller,
    Machine,
)


@pytest.fixture(scope="session")
def machine() -> t.Iterator[Machine]:
    """The machine with an empty pool and the watcher in place."""
    found = Machine(os.environ["WIRE_MACHINE"])
    found.ask(f"zpool destroy {POOL} 2>/dev/null; zpool create -f {POOL} {DISK}")
    subprocess.run([VM, "copy", found.name, HERE / "watcher.py", "/root/watcher.py"], check=True)
    yield found
    found.ask(f"zpool destroy {POOL}; rm /root/watcher.py")


@pytest.fixture
def controller(machine: Machine, tmp_path: Path) -> Controller:
    return Controller(machine, tmp_path)


@pytest.fixture
def canaries() -> Canaries:
    return Canaries.fresh()
