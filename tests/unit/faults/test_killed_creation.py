# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that is killed while it makes datasets with keys in escrow: the next one goes on with the same keys.

It dies, by SIGKILL, beside every module that it asks its host for, and at a sample of the system calls that write into
two places for keys. What a controller that rotates keys leaves behind is looked at by ``make faults``.
"""

from __future__ import annotations

import shutil
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import quick_directory
from ansible_collections.zfsfleet.encryption.tests.faults.controllers import (
    CHANGING,
    ROOTS,
    TREE,
    Boundary,
    Death,
    Stage,
)

# Every so many of the system calls that change something; each death takes three seconds.
_EVERY = 23


@pytest.fixture
def stage() -> t.Iterator[Stage]:
    with quick_directory() as directory:
        yield Stage(directory)


def kept(stage: Stage) -> set[str]:
    """Return the versions that the first place holds, by the names of their segments."""
    return {path.name for path in stage.places[0].rglob("*.vault")}


def check(stage: Stage, death: Death) -> None:
    end = stage.act("zfs_dataset_key", death=death, is_traced=not isinstance(death, Boundary), datasets=TREE)
    assert end.result is None, f"{death}: it was not killed"
    before = kept(stage)
    made = {name for name in ROOTS if stage.host.openzfs.dataset(name) is not None}
    assert made <= stage.opening().keys(), f"{death}: no key in escrow opens what was made"
    result = stage.act("zfs_dataset_key", datasets=TREE).result
    assert result is not None
    assert not result.get("failed"), f"{death}: {result['msg']}"
    assert stage.versions() == {name: ["active"] for name in ROOTS}, str(death)
    assert stage.opening() == dict.fromkeys(ROOTS, "active"), str(death)
    assert before <= kept(stage), str(death)
    again = stage.act("zfs_dataset_key", datasets=TREE).result
    assert again is not None
    assert again["changed"] is False, str(death)


def test_beside_every_module(stage: Stage) -> None:
    modules = stage.act("zfs_dataset_key", datasets=TREE).modules
    assert modules > 3
    for number in range(1, modules + 1):
        for is_before in (True, False):
            with quick_directory() as directory:
                check(Stage(directory), Boundary(number, is_before))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_at_system_calls_inside_of_escrow(stage: Stage) -> None:
    trace = stage.act("zfs_dataset_key", is_traced=True, datasets=TREE).trace
    assert trace is not None
    paths = [str(place) for place in stage.places]
    calls = [call for call in trace.calls if call.name in CHANGING and any(path in call.text for path in paths)]
    begin = next(number for number, call in enumerate(calls) if "O_CREAT" in call.text)
    chosen = calls[begin::_EVERY]
    assert len(chosen) > 5
    for call in chosen:
        with quick_directory() as directory:
            check(Stage(directory), call)
