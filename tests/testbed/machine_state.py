"""The directory of one machine: its disks, what it was started with, and which process it is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .failure import TestbedError
from .locations import machines_directory
from .machine_request import Disk, MachineRequest


@dataclass(frozen=True)
class StartedMachine:
    """What is remembered of a start, so that the next one can resume or refuse."""

    request: MachineRequest
    image: str
    ssh_port: int
    private_address: str | None = None
    ready: bool = False
    """It has answered over SSH; without it, a running process is the rest of an interrupted start."""


@dataclass(frozen=True)
class MachineState:
    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def lock(self) -> Path:
        return self.directory.parent / f"{self.name}.lock"

    @property
    def pid_file(self) -> Path:
        return self.directory / "pid"

    @property
    def overlay(self) -> Path:
        return self.directory / "root.qcow2"

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    def disk_file(self, disk: Disk) -> Path:
        return self.directory / "disks" / f"{disk.serial}.img"

    def load(self) -> StartedMachine | None:
        try:
            fields = json.loads((self.directory / "machine.json").read_text())
            request = fields.pop("request")
            disks = tuple(Disk(**disk) for disk in request.pop("disks"))
            return StartedMachine(request=MachineRequest(disks=disks, **request), **fields)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, started: StartedMachine) -> None:
        unfinished = self.directory / "machine.json.new"
        unfinished.write_text(json.dumps(asdict(started), indent=2) + "\n")
        unfinished.rename(self.directory / "machine.json")

    def mark_ready(self, started: StartedMachine) -> StartedMachine:
        ready = replace(started, ready=True)
        self.save(ready)
        return ready

    def process(self) -> int | None:
        """The QEMU of this directory. A pid file may be stale or lost: the process itself names the directory."""
        return next(qemu_processes_naming(str(self.pid_file)), None)

    def kill(self) -> bool:
        """A power cut; true if there was a process to end."""
        found = False
        while (pid := self.process()) is not None:
            found = True
            end_process(pid, signal.SIGKILL, patience=10)
        self.pid_file.unlink(missing_ok=True)
        return found

    def running(self) -> StartedMachine:
        started = self.load()
        if started is None or self.process() is None:
            raise TestbedError(f"machine {self.name} is not running: `tests/testbed/vm start {self.name}`.")
        return started


def machine_state(name: str) -> MachineState:
    return MachineState(machines_directory() / name)


def all_machines() -> list[MachineState]:
    return [MachineState(path) for path in sorted(machines_directory().iterdir()) if path.is_dir()]


def qemu_processes_naming(argument_start: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            is_qemu = Path(arguments[0]).name.startswith("qemu-system")
            if is_qemu and any(argument.startswith(argument_start) for argument in arguments):
                yield int(entry.name)


def end_process(pid: int, chosen: signal.Signals, patience: float) -> bool:
    """True once it has ended; it is no child of ours, so there is nothing to wait on."""
    try:
        os.kill(pid, chosen)
    except ProcessLookupError:
        return True
    return wait_for_end(pid, patience)


def wait_for_end(pid: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            # Only a zombie has let go of its port and its disks; who reaps it is not our business.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False
