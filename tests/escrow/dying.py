# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed, or told that the disk is full, at each of its calls to the system in turn.

The product knows nothing of this: a forked process has its functions of ``os`` replaced, counts the calls that change
something, and dies by SIGKILL before the chosen one, or in the middle of it, or gets an error from it. As a program, it
leaves one directory for each such call, to be judged by a test::

    python -m ansible_collections.zfsfleet.encryption.tests.escrow.dying DIRECTORY
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import pathlib
import shutil
import signal
import sys
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Binding, Kept, KeyId, Version
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow.place import fresh
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import vaulted

# As strace(1) shows, all that writing does to the disk; what died after one of them died before the next.
CHANGING = ("open", "mkdir", "write", "fchmod", "fsync", "link", "unlink")
REFUSED, BROKEN = 10, 11  # exit codes
HOST = "web1"
KEPT = Kept(
    Version(KeyId("0123456789abcdef", "0123456789ab"), HOST, "tank/home", "hex", 0, "2026-01-01T00:00:00.000000Z"),
    Key("key", b"k" * 32),
)
BINDING = Binding("1", "tank/home", "2", "0", "2026-01-02T00:00:00.000000Z")

JOBS: dict[str, t.Callable[[VaultFile], object]] = {
    "put": lambda backend: backend.put(KEPT),
    "advance": lambda backend: backend.advance(fresh(KEPT.version), "active"),
    "bind": lambda backend: backend.bind(fresh(KEPT.version), BINDING),
    "destroy": lambda backend: backend.destroy(fresh(KEPT.version)),
}


@dataclass(frozen=True)
class End:
    """How one run ended.

    Args:
        job: what it was to do.
        how: ``killed``, or ``full`` for a call that found no space.
        path: the directory of keys that it left.
        call: at which call, like ``write half``.
        status: as waitpid(2) tells it.
    """

    job: str
    how: str
    path: str
    call: str
    status: int


def all_ends(directory: pathlib.Path) -> t.Iterator[End]:
    """Let all jobs end at each of their calls."""
    for job, how in itertools.product(JOBS, ("killed", "full")):
        for number in itertools.count(1):
            end = _end(job, how, number, directory / f"{job}-{how}-{number}")
            if end is None:
                break
            yield end
            if how == "killed" and end.call == "write":
                half = _end(job, how, number, directory / f"{job}-{how}-{number}-half", is_half=True)
                assert half is not None
                yield half


def _end(job: str, how: str, number: int, path: pathlib.Path, *, is_half: bool = False) -> End | None:
    """Let a job end at one of its calls; None if it has less of them."""
    path.mkdir(mode=0o700)
    if job != "put":
        shutil.copytree(_prepared(path.parent), path, dirs_exist_ok=True)
    backend = VaultFile(str(path), vaulted())
    called = path.with_suffix(".call")
    child = os.fork()
    if not child:
        _replace_calls(how, number, called, is_half=is_half)
        _run(JOBS[job], backend)
    _child, status = os.waitpid(child, 0)
    if not called.exists():
        return None
    return End(job, how, str(path), called.read_text(encoding="utf-8"), status)


@functools.cache
def _prepared(directory: pathlib.Path) -> pathlib.Path:
    """Return a directory of keys in which the version is."""
    path = directory / "prepared"
    path.mkdir(mode=0o700)
    VaultFile(str(path), vaulted()).put(KEPT)
    return path


def _run(job: t.Callable[[VaultFile], object], backend: VaultFile) -> t.NoReturn:
    try:
        job(backend)
    except BackendFailed:
        os._exit(REFUSED)
    except BaseException:  # noqa: BLE001  # whatever it is, it should not be
        os._exit(BROKEN)
    os._exit(0)


def _replace_calls(how: str, number: int, called: pathlib.Path, *, is_half: bool) -> None:
    """Let one of the calls that come be the last, or fail."""
    numbers = itertools.count(1)

    def replaced(name: str, real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def call(*given: t.Any, **named: t.Any) -> t.Any:
            is_reading = name == "open" and not given[1] & os.O_CREAT
            if is_reading or next(numbers) != number:
                return real(*given, **named)
            called.write_text(name, encoding="utf-8")
            if how == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if is_half:
                real(given[0], given[1][: len(given[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        return call

    for name in CHANGING:
        setattr(os, name, replaced(name, getattr(os, name)))


if __name__ == "__main__":
    print(json.dumps([asdict(end) for end in all_ends(pathlib.Path(sys.argv[1]))]))
