# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: one machine for all tests, a controller and canaries of its own for each."""

from __future__ import annotations

import os
import secrets
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Canary, Flock
from ansible_collections.zfsfleet.encryption.tests.secrecy.controller import Controller
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Machine

POOL = "wire"
DISK = "/dev/disk/by-id/virtio-d3"


@dataclass(frozen=True)
class Canaries:
    """A key and a passphrase."""

    flock: Flock
    key: Canary
    passphrase: Canary

    @classmethod
    def fresh(cls) -> Canaries:
        flock = Flock(secrets.randbits(64))
        return cls(flock, flock.key("key"), flock.passphrase("passphrase", "digits"))


@pytest.fixture(scope="session")
def machine() -> t.Iterator[Machine]:
    """The machine with an empty pool."""
    found = Machine(os.environ["WIRE_MACHINE"])
    found.ask(f"zpool destroy {POOL} 2>/dev/null; zpool create -f {POOL} {DISK}")
    yield found
    found.ask(f"zpool destroy {POOL}")


@pytest.fixture
def controller(machine: Machine, tmp_path: Path) -> Controller:
    return Controller(machine, tmp_path, pipelining=False, modules=Path(__file__).parent / "modules")


@pytest.fixture
def canaries() -> Canaries:
    return Canaries.fresh()
