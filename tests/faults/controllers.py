# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that dies while it rotates keys: at the boundaries of what it asks of a host, and inside of escrow.

The controller is a process of its own, with the whole action plugin and with escrow on the disk. Its host is the
in-memory fake, in the process that kills: so it outlives the controller, as a host does.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import time
import types
import typing as t
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from ansible.module_utils import basic

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _edge, _lock
from ansible_collections.zfsfleet.encryption.plugins.modules import zfs_dataset_key, zfs_encryption_info
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import now
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import quick_directory
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS
from ansible_collections.zfsfleet.encryption.tests.unit.plugins.acting import Controller

from .machine import Trouble
from .points import Outcome
from .trace import Call, Trace, parsed

DEATHS = 20
HOST = "nas1"
PLACES = ("one", "two")
MODULES: dict[str, types.ModuleType] = {
    "zfs_dataset_key": zfs_dataset_key,
    "zfs_encryption_info": zfs_encryption_info,
}
TREE: list[dict[str, t.Any]] = [
    {"name": "tank/a"},
    {"name": "tank/a/child", "state": "inherited"},
    {"name": "tank/a/b", "keyformat": "raw"},
    {"name": "tank/w", "keyformat": "passphrase", "pbkdf2iters": 100_000},
]
ROOTS = ("tank/a", "tank/a/b", "tank/w")
# What changes something on the disk; what died after one of them died before the next.
CHANGING = frozenset({"openat", "mkdirat", "write", "fchmod", "fsync", "linkat", "link", "unlinkat", "unlink"})


@dataclass(frozen=True)
class Boundary:
    """A death beside a module that runs on the host.

    Args:
        number: how many modules were asked for up to then.
        is_before: whether it dies before the module runs, or when it has and nothing is known of it.
    """

    number: int
    is_before: bool

    def __str__(self) -> str:
        return f"{'before' if self.is_before else 'after'} module {self.number}"


Death = Boundary | Call


class Host:
    """A host without OpenZFS, which runs modules for controllers."""

    def __init__(self, locks: str) -> None:
        self.openzfs = FakeOpenZFS("tank")
        vars(_lock)["DIRECTORY"] = locks
        vars(_edge)["OpenZFS"] = lambda: self.openzfs
        vars(basic)["_ANSIBLE_PROFILE"] = "legacy"

    def run(self, module: str, *, check: bool, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}
        vars(basic)["_ANSIBLE_ARGS"] = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            MODULES[module].main()
        result: dict[str, t.Any] = json.loads(printed.getvalue())
        result.pop("invocation", None)
        return result


@dataclass(frozen=True)
class End:
    """How a controller ended: with the result of its task, or killed. Its system calls, if it was traced."""

    result: dict[str, t.Any] | None
    modules: int
    trace: Trace | None = None


class Stage:
    """A host and places for keys, for one point."""

    def __init__(self, directory: Path) -> None:
        (directory / "locks").mkdir()
        self.host = Host(str(directory / "locks"))
        self.places = [directory / name for name in PLACES]
        for place in self.places:
            place.mkdir(mode=0o700)
        self._escrow = [{"type": "vault_file", "path": str(place), "allow_local": True} for place in self.places]

    def act(self, module: str, *, death: Death | None = None, is_traced: bool = False, **options: t.Any) -> End:
        """Let a controller run a task, to its end or to its death."""
        mine, its = multiprocessing.Pipe()
        pid = os.fork()
        if not pid:
            _be_controller(its, module, {**options, "escrow": self._escrow})
        its.close()
        os.waitpid(pid, os.WUNTRACED)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "trace")
            strace = _following(pid, path, death if isinstance(death, Call) else None) if is_traced else None
            os.kill(pid, signal.SIGCONT)
            result, modules = self._serve(mine, pid, death if isinstance(death, Boundary) else None)
            os.waitpid(pid, 0)
            if strace is not None:
                strace.communicate()
            return End(result, modules, parsed(path.read_text(errors="replace"), pid) if is_traced else None)

    def _serve(self, connection: Connection, pid: int, death: Boundary | None) -> tuple[dict[str, t.Any] | None, int]:
        """Run modules for a controller until it has a result or is dead."""
        modules = 0
        with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
            while True:
                kind, *said = connection.recv()
                if kind == "result":
                    return said[0], modules
                modules += 1
                if death == Boundary(modules, True):
                    os.kill(pid, signal.SIGKILL)
                    continue
                result = self.host.run(said[0], check=said[1], arguments=said[2])
                if death == Boundary(modules, False):
                    os.kill(pid, signal.SIGKILL)
                    continue
                connection.send(result)
        return None, modules

    def versions(self) -> dict[str, list[str]]:
        """Return the states of the versions of each dataset, oldest first.

        Raises:
            Trouble: they are not the same in all places.
        """
        found = []
        for place in self.places:
            states: dict[str, list[str]] = {}
            entries = sorted(self._opened(place).entries(HOST), key=lambda entry: entry.version.created)
            for entry in entries:
                states.setdefault(entry.version.dataset, []).append(entry.state)
            found.append(states)
        if any(each != found[0] for each in found):
            raise Trouble(f"the places differ: {found}")
        return found[0]

    def _opened(self, place: Path) -> VaultFile:
        from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vaulted import Vaulted

        return VaultFile(str(place), Vaulted(Controller(_nobody, self.host.openzfs).loader, "default"))

    def opening(self) -> dict[str, str]:
        """Return the state of the version that opens each root, as every place says; empty where none does."""
        found: dict[str, str] = {}
        for place in self.places:
            backend = self._opened(place)
            for entry in backend.entries(HOST):
                root = self.host.openzfs.dataset(entry.version.dataset)
                key = backend.fetch(entry).key
                if root is not None and self.host.openzfs.verify(root, key).outcome == "opens":
                    found[root.name] = entry.state
        return found

    def written(self) -> list[str]:
        """Return the names of all files in the places, those of half-done writes too."""
        return sorted(str(path) for place in self.places for path in place.rglob("*"))


def _nobody(*_args: t.Any, **_options: t.Any) -> dict[str, t.Any]:
    raise AssertionError("nothing is run on a host")


def _be_controller(connection: Connection, module: str, options: dict[str, t.Any]) -> t.NoReturn:
    """Run a task, with modules on the host at the other end; stop before anything, for whoever wants to follow."""
    status = 1
    try:
        os.kill(os.getpid(), signal.SIGSTOP)

        def run(name: str, /, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
            connection.send(("module", name, check, arguments))
            result: dict[str, t.Any] = connection.recv()
            return result

        controller = Controller(run, None)  # type: ignore[arg-type]  # the host is at the other end
        connection.send(("result", controller.act(module, as_host=HOST, **options)))
        status = 0
    finally:
        os._exit(status)


def _following(pid: int, path: Path, kill_at: Call | None) -> subprocess.Popen[str]:
    inject = [] if kill_at is None else [f"--inject={kill_at.name}:signal=KILL:when={kill_at.number}"]
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(path), *inject, "-p", str(pid)]
    strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = strace.stderr.readline() if strace.stderr else ""
    assert "attached" in said, said
    return strace


@contextlib.contextmanager
def staged() -> t.Iterator[tuple[Stage, str]]:
    """Give a host whose roots have keys in escrow, and a moment before which all of these were made."""
    with quick_directory() as directory:
        stage = Stage(directory)
        end = stage.act("zfs_dataset_key", datasets=TREE)
        assert end.result is not None
        assert not end.result.get("failed"), end.result
        yield stage, now()


def deaths(seed: int) -> list[Death]:
    """Return the ways to die, those at boundaries and those inside of escrow in turn."""
    chance = random.Random(f"{seed} controller")
    with staged() as (stage, moment):
        whole = stage.act("zfs_key_rotate", is_traced=True, **_everything(moment))
        assert whole.trace is not None
        assert whole.result is not None
        assert not whole.result.get("failed"), whole.result
        paths = [str(place) for place in stage.places]
    inside = [call for call in whole.trace.calls if call.name in CHANGING and any(path in call.text for path in paths)]
    begin = next(number for number, call in enumerate(inside) if "O_CREAT" in call.text)
    inside = inside[begin:]
    # Nothing has begun before the first key is in escrow, which is after the modules that look.
    boundaries = [Boundary(number, is_before) for number in range(1, whole.modules + 1) for is_before in (True, False)]
    chance.shuffle(inside)
    chance.shuffle(boundaries)
    pairs = itertools.zip_longest(boundaries, inside)
    return [death for pair in pairs for death in pair if death is not None]


def _everything(moment: str) -> dict[str, t.Any]:
    return {"name": "tank", "recursive": True, "made_before": moment}


def die(name: str, death: Death) -> Outcome:
    """Let a controller die, look what is in escrow and on the host, and let the next one finish."""
    began = time.monotonic()
    what = f"controller, {death}" if isinstance(death, Boundary) else f"controller, {death.name}:when={death.number}"
    outcome = Outcome(name, what)
    with staged() as (stage, moment):
        before = stage.written(), stage.opening()
        end = stage.act("zfs_key_rotate", death=death, is_traced=isinstance(death, Call), **_everything(moment))
        outcome.is_in_flight = end.result is None and (stage.written(), stage.opening()) != before
        try:
            outcome.troubles = _troubles(stage, moment)
        except Trouble as trouble:
            outcome.troubles = [str(trouble)]
    outcome.seconds = time.monotonic() - began
    return outcome


def _troubles(stage: Stage, moment: str) -> list[str]:
    found: list[str] = []
    lost = sorted({*ROOTS} - stage.opening().keys())
    if lost:
        found.append(f"no key in escrow opens {', '.join(lost)}")
    result = stage.act("zfs_key_rotate", **_everything(moment)).result or {"failed": True, "msg": "no result"}
    if result.get("failed"):
        return [*found, f"the next run fails: {result.get('msg')}"]
    states = stage.versions()
    wrong = {name: states.get(name) for name in ROOTS if states.get(name) != ["deactivated", "active"]}
    if wrong:
        found.append(f"versions are {wrong}")
    if stage.opening() != dict.fromkeys(ROOTS, "active"):
        found.append(f"what opens the roots is {stage.opening()}")
    again = stage.act("zfs_key_rotate", **_everything(moment)).result or {"changed": None}
    if again["changed"] is not False or stage.versions() != states:
        found.append("one run more changes something")
    return found
