# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that write keys into files are killed, or find the disk full, at each of their calls."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Entry, Kept, State
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow import dying
from ansible_collections.zfsfleet.encryption.tests.escrow.dying import BINDING, HOST, JOBS, KEPT, End
from ansible_collections.zfsfleet.encryption.tests.escrow.place import a_version, fresh, kept
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import quick_directory, vaulted

LEAST = {"put": 15, "advance": 3, "bind": 7, "destroy": 5}


@pytest.fixture(scope="module")
def all_ends() -> t.Iterator[list[End]]:
    with quick_directory() as directory:
        argv = (sys.executable, "-m", dying.__name__, str(directory))
        ran = subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        yield [End(**end) for end in json.loads(ran.stdout)]


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ends(all_ends: list[End], job: str) -> t.Iterator[list[End]]:
    """All ends of a job, in directories that a test may change."""
    found = [end for end in all_ends if end.job == job]
    assert len([end for end in found if end.how == "killed"]) >= LEAST[job]
    with quick_directory() as directory:
        copies = [str(shutil.copytree(end.path, directory / str(number))) for number, end in enumerate(found)]
        yield [dataclasses.replace(end, path=path) for end, path in zip(found, copies)]


def test_each_was_killed_or_said_why_it_failed(ends: list[End]) -> None:
    for end in ends:
        if end.how == "killed":
            assert os.WTERMSIG(end.status) == signal.SIGKILL, end
        else:
            assert os.waitstatus_to_exitcode(end.status) == dying.REFUSED, end


def test_nothing_that_is_left_counts_by_half(ends: list[End]) -> None:
    for end in ends:
        backend = VaultFile(end.path, vaulted())
        for entry in backend.entries(HOST):
            assert (entry.version, entry.faults) == (KEPT.version, ()), end
            assert backend.fetch(entry) == KEPT, end


def test_the_next_run_finishes_it(ends: list[End], job: str) -> None:
    for end in ends:
        backend = VaultFile(end.path, vaulted())
        JOBS[job](backend)
        assert _left_by(job, backend) == _after(job), end
        segments = [path for path in pathlib.Path(end.path, HOST).iterdir() if path.suffix == ".vault"]
        assert len(segments) == (job != "destroy"), end


def test_others_are_not_held_up(ends: list[End]) -> None:
    for end in ends:
        backend = VaultFile(end.path, vaulted())
        another = kept(a_version(HOST))
        backend.put(another)
        assert backend.fetch(fresh(another.version)) == another, end


def test_what_was_begun_is_swept_when_it_is_old(ends: list[End]) -> None:
    for end in ends:
        directory = pathlib.Path(end.path, HOST)
        begun = list(directory.glob(".*")) if directory.exists() else []
        long_ago = time.time() - 7200
        for path in begun:
            os.utime(path, (long_ago, long_ago))
        VaultFile(end.path, vaulted()).put(kept(a_version(HOST)))
        assert not list(directory.glob(".*")), end


def _left_by(job: str, backend: VaultFile) -> tuple[list[Entry], Kept | None]:
    """Return what is there, without when it was noted."""
    entries = [
        Entry(entry.version, entry.state, "", entry.bindings, entry.faults)
        for entry in backend.entries(HOST)
        if entry.key_id == KEPT.version.key_id
    ]
    return entries, None if job == "destroy" else backend.fetch(entries[0])


def _after(job: str) -> tuple[list[Entry], Kept | None]:
    if job == "destroy":
        return [], None
    state: State = "active" if job == "advance" else "pre-active"
    bindings = (BINDING,) if job == "bind" else ()
    return [Entry(KEPT.version, state, "", bindings)], KEPT
