from __future__ import annotations

import os
from pathlib import Path

import pytest
from testbed.failure import TestbedError
from testbed.locations import require_space
from testbed.machine_request import Disk, MachineRequest
from testbed.machine_state import MachineState, StartedMachine


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = MachineState(tmp_path)
    request = MachineRequest(name="a", disks=(Disk("d0", 2**30),), network="storage")
    started = StartedMachine(request, "/cache/image", ssh_port=2222, private_address="10.77.0.1/24")
    state.save(started)
    assert state.load() == started
    assert state.mark_ready(started).ready
    loaded = state.load()
    assert loaded is not None
    assert loaded.ready


@pytest.mark.parametrize("text", ["", "{", "{}", '{"request": {"name": "a", "disks": [], "colour": 1}}'])
def test_state_of_an_interrupted_or_older_start_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "machine.json").write_text(text)
    assert MachineState(tmp_path).load() is None


def test_stale_pid_file_is_cleared_and_its_process_left_alone(tmp_path: Path) -> None:
    state = MachineState(tmp_path)
    state.pid_file.write_text(f"{os.getpid()}\n")
    assert state.process() is None
    assert state.kill() is False
    assert not state.pid_file.exists()


def test_stopped_machine_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="vm start"):
        MachineState(tmp_path).running()


def test_too_small_a_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"needs 100000000 GiB, but .* GiB free"):
        require_space(tmp_path, 10**8, "the test")
