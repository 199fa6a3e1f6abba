# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules inside the machine, each in a process of its own, which may be killed at a system call.

Importing Ansible and pyzfs takes an emulated machine ten times as long as changing a key. So one interpreter does it
once, and forks for every run; the collection itself is imported after that, as in any other process. strace follows
the run from there, so that the numbers of its calls are the same whenever it is replayed.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import ansible.module_utils.basic  # noqa: F401  # pylint: disable=unused-import  # imported once for all runs
import libzfs_core  # noqa: F401  # pylint: disable=unused-import  # the same

from .trace import Trace, parsed

MODULES = "ansible_collections.zfsfleet.encryption.plugins.modules"
SCRATCH = "/run"  # a memory file system
PATIENCE = 120
T = t.TypeVar("T")


class OneThread(concurrent.futures.Executor):
    """Does at once what it is given, so that a run has one thread and can be replayed."""

    def __init__(self, max_workers: int | None = None) -> None:
        """Take what the other executors take."""

    def submit(self, fn: t.Callable[..., T], /, *args: t.Any, **kwargs: t.Any) -> concurrent.futures.Future[T]:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Args:
        status: its exit code, or the negative number of the signal that killed it.
        output: what it printed.
        trace: its system calls, if they were asked for.
    """

    status: int
    output: str
    trace: Trace | None = None

    @property
    def result(self) -> dict[str, t.Any]:
        try:
            found: dict[str, t.Any] = json.loads(self.output)
        except ValueError:
            return {"failed": True, "msg": f"status {self.status}: {self.output}"}
        return found


@dataclass(frozen=True)
class Running:
    """A run that stands still before its first step."""

    pid: int
    output: t.IO[str]

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> Ended:
        """Wait for its end, and for that of all that it started."""
        _pid, status = os.waitpid(self.pid, 0)
        _wait_for_session(self.pid)
        self.output.seek(0)
        with self.output:
            return Ended(os.waitstatus_to_exitcode(status), self.output.read())


def start(module: str, arguments: t.Mapping[str, t.Any], *, has_pyzfs: bool = True, one_thread: bool = True) -> Running:
    """Fork a run, which stops before it does anything."""
    output = tempfile.TemporaryFile("w+", dir=SCRATCH)  # noqa: SIM115  # who waits for the run closes it
    with tempfile.TemporaryFile("w+", dir=SCRATCH) as given:
        json.dump({"ANSIBLE_MODULE_ARGS": dict(arguments)}, given)
        given.flush()
        given.seek(0)
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            _become(module, given, output, has_pyzfs, one_thread)
    _pid, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"the run ended before it began: {status}"
    return Running(pid, output)


def _become(module: str, given: t.IO[str], output: t.IO[str], has_pyzfs: bool, one_thread: bool) -> t.NoReturn:
    status = 1
    try:
        os.setsid()
        os.dup2(given.fileno(), 0)
        os.dup2(output.fileno(), 1)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        if not has_pyzfs:
            sys.modules["libzfs_core"] = None  # type: ignore[assignment]  # what import finds then is nothing
        if one_thread:
            concurrent.futures.ThreadPoolExecutor = OneThread  # type: ignore[misc,assignment]
        os.kill(os.getpid(), signal.SIGSTOP)
        runpy.run_module(f"{MODULES}.{module}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(status)


def run(module: str, arguments: t.Mapping[str, t.Any], *, has_pyzfs: bool = True) -> Ended:
    """Run a module undisturbed."""
    running = start(module, arguments, has_pyzfs=has_pyzfs)
    running.go_on()
    return running.end()


def traced(
    module: str, arguments: t.Mapping[str, t.Any], *, has_pyzfs: bool = True, kill_at: tuple[str, int] | None = None
) -> Ended:
    """Run a module under strace, which may kill it before a system call.

    Args:
        module: its name.
        arguments: that it is given on standard input.
        has_pyzfs: whether it finds pyzfs.
        kill_at: the name of the call, and how many of them there are up to then.
    """
    running = start(module, arguments, has_pyzfs=has_pyzfs)
    inject = [] if kill_at is None else [f"--inject={kill_at[0]}:signal=KILL:when={kill_at[1]}"]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        path = Path(scratch, "trace")
        # Keys are strings, which -s 0 leaves out; of paths that are opened nothing is.
        command = ["strace", "-f", "-b", "execve", "-s", "0", "-o", str(path), *inject, "-p", str(running.pid)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as strace:
            said = strace.stderr.readline() if strace.stderr else ""
            assert "attached" in said, said
            running.go_on()
            ended = running.end()
            strace.communicate(timeout=PATIENCE)
        return Ended(ended.status, ended.output, parsed(path.read_text(errors="replace"), running.pid))


def watched(module: str, arguments: t.Mapping[str, t.Any], call: str, told: t.Callable[[], None]) -> Ended:
    """Run a module with all its threads, and tell when it makes a system call for the first time."""
    running = start(module, arguments, one_thread=False)
    command = ["strace", "-f", "-b", "execve", "-s", "0", "-e", "trace=ioctl", "-p", str(running.pid)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        assert "attached" in said, said
        running.go_on()
        is_told = False
        for line in strace.stderr:
            if call in line and not is_told:
                is_told = True
                told()
        return running.end()


def _wait_for_session(session: int) -> None:
    """Wait for what a dead run left running, so that it is as at the next run that a person starts."""
    deadline = time.monotonic() + PATIENCE
    while _members(session):
        assert time.monotonic() < deadline, f"what {session} started does not end"
        time.sleep(0.05)


def _members(session: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found
