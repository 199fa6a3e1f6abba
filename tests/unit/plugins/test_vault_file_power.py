# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails while keys are written into files: what was told to be kept is there, and nothing by half."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow.dying import BINDING, HOST, JOBS, KEPT
from ansible_collections.zfsfleet.encryption.tests.escrow.power_cut import Event, Recording, images
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import quick_directory, vaulted


class Run(t.NamedTuple):
    """A run from an empty directory on.

    Args:
        events: what it did to the disk.
        top: the directory's inode.
        done: after how many events each job was done.
    """

    events: list[Event]
    top: int
    done: dict[str, int]


@pytest.fixture
def directory() -> t.Iterator[pathlib.Path]:
    with quick_directory() as made:
        yield made


@pytest.fixture
def run(directory: pathlib.Path) -> Run:
    path = directory / "keys"
    path.mkdir(mode=0o700)
    backend = VaultFile(str(path), vaulted())
    with pytest.MonkeyPatch.context() as patched:
        recording = Recording(lambda name, function: patched.setattr(os, name, function))
        done = {}
        for job in ("put", "bind", "advance", "destroy"):
            JOBS[job](backend)
            done[job] = len(recording.events)
    return Run(recording.events, path.stat().st_ino, done)


def test_a_power_cut_at_any_time(run: Run, directory: pathlib.Path) -> None:
    count = 0
    for number in range(len(run.events) + 1):
        for image in images(run.events[:number], run.top, directory):
            count += 1
            backend = VaultFile(str(image), vaulted())
            entries = backend.entries(HOST)
            assert len(entries) <= 1
            assert not any(entry.faults for entry in entries), (run.events[:number], os.listdir(image / HOST))
            if number < run.done["advance"]:
                _check_there(run, number, backend)
            if number >= run.done["destroy"]:
                assert entries == []
    assert count > 100


def _check_there(run: Run, number: int, backend: VaultFile) -> None:
    """Check that what was told is there, and that the next run finishes the rest."""
    entries = backend.entries(HOST)
    if number >= run.done["put"]:
        assert backend.fetch(entries[0]) == KEPT
    if number >= run.done["bind"]:
        assert entries[0].bindings == (BINDING,)
    JOBS["put"](backend)
    JOBS["bind"](backend)
    (entry,) = backend.entries(HOST)
    assert backend.fetch(entry) == KEPT
    assert entry.bindings == (BINDING,)


def test_the_state_that_was_told_is_there(run: Run, directory: pathlib.Path) -> None:
    for number in range(run.done["advance"], run.done["destroy"]):
        for image in images(run.events[:number], run.top, directory):
            entries = VaultFile(str(image), vaulted()).entries(HOST)
            assert [entry.state for entry in entries] in (["active"], []), number
