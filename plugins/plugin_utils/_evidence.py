# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with keys, written down on the controller: lines of JSON of which each names the digest of the last.

Nothing is ever rewritten. A line that was changed, taken out or put in breaks the chain at its place; lines taken off
the end are seen by whoever noted the chain's head elsewhere. Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import pwd
import socket
import time
import typing as t
from dataclasses import dataclass

from ..module_utils._errors import EncryptionError
from ..module_utils._keyfiles import sync_directory
from ..module_utils._lock import is_taken
from ._as_text import host_of, path_segment
from ._record import now

_START = "0" * 64
_SUFFIX = ".jsonl"
_PATIENCE = 60.0  # seconds for another run's lines
_ON_THE_HOST = ("create", "destroy", "change_key", "inherit_key", "load_key", "unload_key", "close")
_ABOUT_FILES = ("generate_key_file", "write_key_file", "remove_key_file")
_OF_OLD_KEYS = ("remove_key_file",)
_ABOUT_POOLS = ("create_pool", "destroy_pool", "import_pool", "export_pool")
_ABOUT_KEYS = {
    *_ON_THE_HOST,
    *_ABOUT_POOLS,
    "repoint",
    "reattach",
    *_ABOUT_FILES,
    "escrow_key",
    "note_key",
    "move_key",
    "destroy_key",
}
_TOLD = ("dataset", "action", "file", "key_id", "old_key_id", "keyguid", "receipts", "state", "result", "reason")

Event = t.Mapping[str, t.Any]


class NotRecorded(EncryptionError):
    """Evidence cannot be written."""


@dataclass(frozen=True)
class Chain:
    """What a chain of evidence comes to.

    Args:
        host: the host's name in the inventory.
        controller: who wrote it.
        lines: how many there are.
        head: the digest of the last one, to be noted elsewhere.
        problem: what is wrong with it, None where it is whole.
        digests: those of all lines, each of which was the head once.
        torn: numbers of lines that a run was killed in; what it did is not written there, but the chain goes through.
    """

    host: str
    controller: str
    lines: int
    head: str
    problem: str | None = None
    digests: frozenset[str] = frozenset()
    torn: tuple[int, ...] = ()


class Evidence:
    """The chain of one host that this controller writes, locked while lines are appended.

    Args:
        directory: where chains lie, on the controller; it has to be there.
        host: the host's name in the inventory.

    Raises:
        NotRecorded: it cannot be written to. Nothing was done yet.
    """

    def __init__(self, directory: str, host: str) -> None:
        self._path = os.path.join(directory, path_segment(host), f"{path_segment(socket.gethostname())}{_SUFFIX}")
        self._host = host
        self._user = _user()
        try:
            if not os.path.isdir(directory):
                raise FileNotFoundError(errno.ENOENT, "there is no such directory", directory)
            _made_durably(os.path.dirname(self._path))
            # Unbuffered: what could not be written must not be tried again when it is closed.
            self._file = open(self._path, "ab+", buffering=0, opener=_opener)  # noqa: SIM115
        except OSError as error:
            raise NotRecorded(
                f"Evidence cannot be written to {self._path}: {error.strerror}. Nothing was done. Make "
                "zfsfleet_evidence name a directory on the controller that this user may write to."
            ) from None

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what was appended is durable already
            self._file.close()

    def append(self, module: str, events: t.Iterable[Event]) -> None:
        """Write down what was done; durable at return.

        Raises:
            NotRecorded: it is not durable. What was done is done.
        """
        try:
            self._write(module, events)
        except OSError as error:
            raise NotRecorded(
                f"What was done is done, but is not in {self._path}: {error.strerror}. Write it down by hand."
            ) from None

    def _write(self, module: str, events: t.Iterable[Event]) -> None:
        self._wait_for_others()
        last = _last_line(self._file)
        lines: list[bytes] = []
        for event in events:
            told = {name: event[name] for name in _TOLD if event.get(name) is not None}
            previous = _START if last is None else _digest(last)
            origin = {"time": now(), "user": self._user, "host": self._host, "module": module}
            last = json.dumps({"previous": previous, **origin, **told}, separators=(",", ":")).encode()
            lines.append(last)
        _write_all(self._file, b"".join(line + b"\n" for line in lines))
        os.fsync(self._file.fileno())
        sync_directory(os.path.dirname(self._path))
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _wait_for_others(self) -> None:
        if not is_taken(self._file.fileno(), time.monotonic() + _PATIENCE):
            raise NotRecorded(
                f"Another run writes {self._path} for more than {_PATIENCE:.0f} s. What was done is done; write it "
                "down by hand."
            )


def chains(directory: str) -> tuple[Chain, ...]:
    """Read all chains below a directory and check every link.

    Raises:
        NotRecorded: the directory cannot be read.
    """
    try:
        found = sorted(
            os.path.join(place, name)
            for place, _below, names in os.walk(directory, onerror=_raise)
            for name in names
            if name.endswith(_SUFFIX)
        )
        return tuple(_chain(path) for path in found)
    except OSError as error:
        raise NotRecorded(f"Evidence in {directory} cannot be read: {error.strerror}.") from None


def _chain(path: str) -> Chain:
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    if not lines[-1]:
        lines.pop()  # behind the end of the last line; anything else there is what a killed run left
    expected, problem = _START, None
    torn: list[int] = []
    host = host_of(os.path.basename(os.path.dirname(path)))
    for number, line in enumerate(lines, 1):
        if _is_torn(line, expected):
            torn.append(number)
        else:
            problem = problem or _broken(line, number, expected, host)
        expected = _digest(line)
    controller = host_of(os.path.basename(path).removesuffix(_SUFFIX))
    digests = frozenset({_START, *map(_digest, lines)})
    return Chain(host, controller, len(lines), expected, problem, digests, tuple(torn))


def _is_torn(line: bytes, expected: str) -> bool:
    """Tell whether a line is the beginning of one that follows the line before it: a run was killed while it wrote."""
    begin = f'{{"previous":"{expected}"'.encode()
    return (line.startswith(begin) or begin.startswith(line)) and _entry(line) is None


def _entry(line: bytes) -> t.Mapping[str, t.Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _broken(line: bytes, number: int, expected: str, host: str) -> str | None:
    entry = _entry(line)
    if entry is None or not {"previous", "host"} <= entry.keys():
        return f"Line {number} is no evidence: somebody wrote it who does not belong here."
    if entry["previous"] != expected:
        return f"Line {number} does not follow the line before it: lines were changed, taken out or put in."
    if entry["host"] != host:
        return f"Line {number} is about {entry['host']}: the chain of another host was put here."
    return None


def _write_all(file: io.FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _last_line(file: io.FileIO) -> bytes | None:
    """Return the last line; what a killed run left unfinished is ended, and stays as a line of its own."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - 65536))
    content = file.read()
    if not content:
        return None
    if not content.endswith(b"\n"):
        _write_all(file, b"\n")
        content += b"\n"
    return content[:-1].rpartition(b"\n")[2]


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _user() -> str:
    """Return who runs this: by number where it has no name, as in a container; variables can be forged."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _opener(path: str, _flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _made_durably(directory: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    sync_directory(os.path.dirname(directory))


def _raise(error: OSError) -> t.NoReturn:
    raise error


def events_of(result: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return what a module's result says was done with keys, and what failed.

    Args:
        result: of any module of the collection, not in check mode.
    """
    rotated = {row["dataset"]: row for row in result.get("rotated") or ()}
    ids, receipts = result.get("key_ids") or {}, result.get("receipts") or {}
    failures = result.get("failures") or {}
    events: list[dict[str, t.Any]] = []
    for action in result.get("actions") or ():
        if action["action"] not in _ABOUT_KEYS:
            continue
        name = action["dataset"]
        after = action.get("after") or {}
        row = rotated.get(name, {}) if action["action"] not in _OF_OLD_KEYS else {}
        told = {"old_key_id": row.get("old_key_id"), "keyguid": row.get("keyguid")}
        told["receipts"] = row.get("receipts") or receipts.get(name)
        known = {"key_id": after.get("key_id") or ids.get(name), "state": after.get("state")}
        known["file"] = after.get("key_file")
        events.append({"dataset": name, "action": action["action"], **known, **told, "result": "done"})
    for name, replaced in (result.get("deactivated") or {}).items():
        noted = {"dataset": name, "action": "deactivate_key", "state": "deactivated", "result": "done"}
        events += [{**noted, "key_id": key_id} for key_id in replaced]
    events += [{"dataset": name, "action": "export_key", "result": "done"} for name in result.get("exported") or ()]
    for name, failure in failures.items():
        # What is about versions of keys stands there by their ids.
        about = {"dataset": failure.get("dataset", name), "key_id": failure.get("key_id")}
        events.append({**about, "action": "none", "reason": failure["reason"], "result": "failed"})
    return events
