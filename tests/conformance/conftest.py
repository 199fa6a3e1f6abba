# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One world for a session, one fresh name for a test."""

from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.fake_world import FakeWorld
from ansible_collections.zfsfleet.encryption.tests.conformance.making import PASSPHRASE, create_root, read
from ansible_collections.zfsfleet.encryption.tests.conformance.making_pools import MOST_FILES
from ansible_collections.zfsfleet.encryption.tests.conformance.real_world import RealWorld
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, SMALL_POOL, World

OTHER_BINDING = {"fake": "fake", "pyzfs": "cli", "cli": "pyzfs"}
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--host",
        choices=list(OTHER_BINDING),
        default="fake",
        help="what the statements are held against: the fake, or OpenZFS on this machine (as root) by pyzfs or zfs",
    )
    parser.addoption("--tree-seed", type=int, default=4, help="what test_any_tree draws its trees and calls from")
    parser.addoption("--trees", type=int, help="how many it draws")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "any_binding: holding it by one binding will do, as no key goes to OpenZFS here or it takes long"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"statements held against: {config.getoption('--host')}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: a run in a machine may be cut off before its end."""
    if report.failed:
        print(f"\n{report.nodeid}\n{report.longreprtext}", flush=True)


@pytest.fixture(scope="session")
def binding(pytestconfig: pytest.Config) -> str:
    """``fake``, ``pyzfs`` or ``cli``."""
    return str(pytestconfig.getoption("--host"))


@pytest.fixture(scope="session")
def world(binding: str, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[World]:
    if binding == "fake":
        yield FakeWorld()
        return
    real = RealWorld(str(tmp_path_factory.mktemp("proof")))
    yield real
    real.close()


@pytest.fixture(scope="session")
def host(world: World, binding: str) -> Host:
    return world.host(binding)


@pytest.fixture(scope="session")
def other_binding(world: World, binding: str) -> Host:
    """The same machine reached the other way: what one path wrote, the other must understand."""
    return world.host(OTHER_BINDING[binding])


@pytest.fixture
def able(binding: str) -> bool:
    """Tell whether the binding can do what only libzfs_core can; ``zfs`` has no command for it."""
    return binding != "cli"


@pytest.fixture
def name() -> str:
    """A name directly below the plain pool root that no dataset has."""
    return f"{POOL}/t{next(_numbers)}"


@pytest.fixture
def small_name() -> str:
    """A name directly below the small pool's root that no dataset has."""
    return f"{SMALL_POOL}/t{next(_numbers)}"


@pytest.fixture
def directory(world: World) -> str:
    """Where the pool's filesystems are mounted: ``POOL/x`` at ``directory/x``."""
    return world.directory


@pytest.fixture
def place(host: Host, directory: str) -> t.Iterator[str]:
    """A directory for files that a pool is made of; they go away with it."""
    path = f"{directory}.pools/{next(_numbers)}"
    yield path
    for number in range(MOST_FILES):
        host.remove_file(f"{path}/{number}")


@pytest.fixture
def pool(host: Host, place: str) -> t.Iterator[str]:
    """A name that no pool has; one that gets it is destroyed."""
    name = f"{POOL}{place.rpartition('/')[2]}"
    yield name
    if name in host.pools():
        host.destroy_pool(name)


@pytest.fixture
def disks(world: World) -> tuple[str, ...]:
    """Three blank disks."""
    return world.blank_disks()


@pytest.fixture
def replica(host: Host, world: World, name: str) -> str:
    """A replica of a root with a passphrase, below a root with a key."""
    create_root(host, f"{name}-source", PASSPHRASE, "passphrase", **{"zfsfleet.encryption:key_id": "r1.1"})
    create_root(host, name)
    world.replicate(f"{name}-source", f"{name}/replica")
    return f"{name}/replica"


@pytest.fixture
def inheriting_replica(host: Host, replica: str) -> str:
    """The same, opened once and given the key of its root; nothing has arrived since."""
    host.load_key(read(host, replica), PASSPHRASE)
    host.inherit_key(replica)
    return replica
