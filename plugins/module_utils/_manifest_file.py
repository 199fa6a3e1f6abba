# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that a manifest is written to: what is there, whether it may go, and the write that replaces it at once.

Private to the collection; used on the controller and on the managed host.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import typing as t
from dataclasses import dataclass, field

from . import _manifest
from ._document import Document, Form
from ._errors import CallFailed, Refused
from ._host import Host
from ._keyfiles import sync_directory

MODE = 0o600
PATIENCE = 10.0  # seconds
_SHOWN = 10


@dataclass(frozen=True)
class Found:
    """A file that is there.

    Args:
        stored: its bytes.
        mode: its permissions.
        owner: its user id.
    """

    stored: bytes = field(repr=False)
    mode: int
    owner: int

    @property
    def is_private(self) -> bool:
        return self.mode == MODE and self.owner == os.geteuid()


@dataclass(frozen=True)
class Destination:
    """Where a manifest goes, and what may happen to one that is there.

    Args:
        path: the file.
        form: the format of the manifest.
        backup_file: where the old file is kept, None not to keep it.
        force: let go of keys that only the old file holds.
    """

    path: str
    form: Form
    backup_file: str | None = None
    force: bool = False


class Protection(t.Protocol):
    """How a file's bytes protect the manifest."""

    name: str

    def covers(self, stored: bytes) -> bool:
        """Tell whether these bytes are protected so."""

    def revealed(self, stored: bytes) -> bytes:
        """Return the manifest in these bytes."""

    def protected(self, content: bytes) -> bytes:
        """Return the bytes to store."""


class Plain:
    """Nothing but the file's permissions."""

    name = "permissions"

    def covers(self, stored: bytes) -> bool:
        return True

    def revealed(self, stored: bytes) -> bytes:
        return stored

    def protected(self, content: bytes) -> bytes:
        return content


PLAIN = Plain()


@dataclass(frozen=True)
class WriteManifest:
    """A manifest that replaces what is at its path, at once and durably.

    Args:
        path: the file.
        content: its new bytes.
        premise: its bytes when this was decided, None for no file.
        backup_file: where those are kept.
        before: what it replaces, for the diff.
        after: what it brings, for the diff.
    """

    path: str
    content: bytes = field(repr=False)
    premise: bytes | None = field(repr=False)
    backup_file: str | None
    before: t.Mapping[str, str]
    after: t.Mapping[str, str]
    action: t.ClassVar[str] = "write_manifest"
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.path

    def perform(self, host: Host | None = None) -> None:
        """Write.

        Raises:
            CallFailed: somebody else wrote meanwhile, or the file system failed; the old file is as it was.
        """
        try:
            with _hold(os.path.dirname(self.path)):
                found = look(self.path)
                if (None if found is None else found.stored) != self.premise:
                    raise CallFailed(f"{self.path} was changed meanwhile and was left alone. Run the task again.")
                if self.backup_file is not None and self.premise is not None:
                    _write_new(self.backup_file, self.premise)
                _replace(self.path, self.content)
        except Refused as refusal:
            raise CallFailed(str(refusal)) from None
        except OSError as error:
            raise CallFailed(
                f"The manifest {self.path} was not written: {error.strerror}. What was there is as it was.",
                errno=error.errno,
            ) from None


def plan_file(
    document: Document, found: Found | None, destination: Destination, protection: Protection = PLAIN
) -> WriteManifest | None:
    """Decide what to write, None where the file is as it should be.

    Args:
        document: the manifest, verified.
        found: what is at the path.
        destination: the path, and what may happen to what is there.
        protection: how the bytes are to be protected.

    Raises:
        Refused: what is there is no manifest, or keys in it would be lost.
    """
    path, form = destination.path, destination.form
    listed = {"format": form, "protection": protection.name, **dict.fromkeys(document.names, "key")}
    after = {"state": "present", "mode": f"{MODE:04o}", **listed}
    if found is None:
        content = protection.protected(document.rendered(form))
        return WriteManifest(path, content, None, None, {"state": "absent"}, after)
    data = _read(protection.revealed(found.stored), path)
    _refuse_loss(document, data, destination)
    is_same = document.is_what(data, form) and protection.covers(found.stored)
    if is_same and found.is_private:
        return None
    before = {"state": "present", "mode": f"{found.mode:04o}", **_shown(data, document)}
    before["protection"] = protection.name if protection.covers(found.stored) else "another"
    if is_same:
        owners = {} if found.owner == os.geteuid() else {"owner": str(found.owner)}
        return WriteManifest(path, found.stored, found.stored, None, {**before, **owners}, after)
    if all(before.get(name) == value for name, value in after.items()):
        before["created"] = "earlier"  # only facts about the datasets differ
    content = protection.protected(document.rendered(form))
    return WriteManifest(path, content, found.stored, destination.backup_file, before, after)


def _read(content: bytes, path: str) -> dict[str, t.Any]:
    try:
        data = _manifest.load(content, where=path)
        _manifest.checked(data, where=path)
    except Refused as refusal:
        raise Refused(
            f"{path} is there and is not written over, since it is no manifest that can be read: {refusal} "
            "Move the file away, or choose another path."
        ) from None
    return dict(data)


def _refuse_loss(document: Document, data: t.Any, destination: Destination) -> None:
    lost = document.lacks(_manifest.checked(data, where=destination.path))
    if not lost or destination.force or destination.backup_file is not None:
        return
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    raise Refused(
        f"{destination.path} holds keys that the new manifest would not: those of {', '.join(lost[:_SHOWN])}{more}. "
        "A replica or a roll-back may still need them. Set backup: true to keep the old file beside the new one, "
        "force: true to let them go, or choose another path."
    )


def _shown(data: t.Any, document: Document) -> dict[str, str]:
    """Say what an existing manifest lists, for the diff, without any key."""
    values = _manifest.checked(data, where="")
    form = "zfsfleet" if _manifest.is_own_format(data) else "truenas"
    others = set(document.lacks(values)) & document.entries.keys()
    return {"format": form, **{name: "another key" if name in others else "key" for name in values}}


def look(path: str) -> Found | None:
    """Return the file at a path, None if there is none.

    Raises:
        Refused: it cannot be read, or is no file of its own.
    """
    try:
        # Not blocking: a pipe in this place must not hold up the run. No link: what it points to would stay.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{path} is no regular file. Name the file that the manifest should be.")
            content = file.read(_manifest.SIZE_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused(f"{path} is a symbolic link. Name the file that the manifest should be.") from None
        if error.errno == errno.EISDIR:
            raise Refused(f"{path} is a directory. Name the file that the manifest should be.") from None
        raise Refused(f"{path} cannot be read: {error.strerror}. Correct the path.") from None
    return Found(content, stat.S_IMODE(status.st_mode), status.st_uid)


@contextlib.contextmanager
def _hold(directory: str) -> t.Iterator[None]:
    """Let one at a time look and write, so that hosts of one play cannot replace each other's manifest unseen."""
    deadline = time.monotonic() + PATIENCE
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CallFailed(f"{directory} is locked by somebody else. Run the task again.") from None
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _replace(path: str, content: bytes) -> None:
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # a run that was killed left it
    try:
        _write_new(temporary, content)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def _write_new(path: str, content: bytes) -> None:
    """Write a file that is not there yet, durable at return, and read it back."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, MODE), "wb") as file:
        os.fchmod(file.fileno(), MODE)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(os.path.dirname(path))
    with open(path, "rb") as file:
        if file.read() != content:
            raise CallFailed(f"{path} does not hold what was written to it. Check the file system below it.")
