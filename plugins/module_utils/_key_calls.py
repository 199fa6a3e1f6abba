# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys on their way to OpenZFS: through libzfs_core (pyzfs), or to ``zfs`` on stdin. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from . import _keyfiles, _keys
from ._command import Answer, assignments, failure, run, run_about
from ._errors import CallFailed, Reason, Refused
from ._keys import Key, new_salt
from ._model import OPENS, WRONG, Dataset, Verdict, file_of
from ._side_by_side import PROCESSORS, side_by_side

if t.TYPE_CHECKING:
    from ._host import KeyChange

_ONLY_PYZFS = "the zfs command cannot do that. Install python3-pyzfs for the Python that runs modules on this host."
KEYFORMAT_NUMBERS = {"raw": 1, "hex": 2, "passphrase": 3}  # zfs_keyformat_t


class CoreKeys:
    """Key operations through libzfs_core: no process, and the error number itself."""

    name = "pyzfs"

    def __init__(self, core: t.Any) -> None:
        self._core = core

    def verify(self, root: Dataset, key: Key) -> Verdict:
        try:
            self._load(root, key, noop=True)
        except self._core.exceptions.ZFSError as error:
            if error.errno == errno.EACCES:
                return WRONG
            hint = _hint(root.name, "load-key") if error.errno == errno.EPERM else ""
            return Verdict("unknown", error.errno, f"{os.strerror(error.errno)}{hint}".rstrip("."))
        return OPENS

    def load(self, root: Dataset, key: Key) -> None:
        what = f"The key of {root.name} was not loaded"
        with self._explained(what, (root.name, "load-key"), {errno.EACCES: "wrong_key"}):
            try:
                self._load(root, key, noop=False)
            except self._core.exceptions.EncryptionKeyAlreadyLoaded:
                return  # EEXIST comes only after the key was tried and found right

    def _load(self, root: Dataset, key: Key, *, noop: bool) -> None:
        wrapping_key = key.wrapping_key(salt=root.number("pbkdf2salt"), iterations=root.number("pbkdf2iters"))
        self._core.lzc_load_key(root.name.encode(), noop, _checked(wrapping_key))

    def unload(self, name: str) -> None:
        what = f"The key of {name} was not unloaded"
        with self._explained(what, (name, "load-key"), {errno.EBUSY: "busy"}):
            self._core.lzc_unload_key(name.encode())

    def drop_left(self, name: str) -> None:
        what = f"The key that a promotion left at {name} was not unloaded"
        with self._explained(what, (name, "load-key"), {errno.EBUSY: "busy"}):
            try:
                self._core.lzc_unload_key(name.encode())
            except self._core.exceptions.ZFSError as error:
                # There is none, or it is not this user's to unload: most clones never were a root.
                if error.errno not in (errno.EACCES, errno.EPERM):
                    raise

    def change(self, change: KeyChange) -> None:
        salt = new_salt() if change.keyformat == "passphrase" else 0
        wrapping_key = change.key.wrapping_key(salt=salt, iterations=change.iterations)
        properties: dict[bytes, int | bytes] = {
            b"keyformat": KEYFORMAT_NUMBERS[change.keyformat],
            b"keylocation": change.keylocation.encode(),
        }
        if salt:
            properties.update({b"pbkdf2salt": salt, b"pbkdf2iters": change.iterations})
        with self._explained(f"The key of {change.name} was not changed", (change.name, "change-key")):
            self._core.lzc_change_key(change.name.encode(), "new_key", properties, _checked(wrapping_key))

    def inherit(self, name: str) -> None:
        with self._explained(f"{name} does not inherit its parent's key", (name, "change-key")):
            self._core.lzc_change_key(name.encode(), "inherit")

    def repoint(self, name: str) -> None:
        with self._explained(f"{name} did not become a root of its own", (name, "change-key")):
            self._core.lzc_change_key(name.encode(), "force_new_key")

    def reattach(self, name: str) -> None:
        with self._explained(f"{name} does not refer to its parent's root", (name, "change-key")):
            self._core.lzc_change_key(name.encode(), "force_inherit")

    def existing(self, names: t.Sequence[str]) -> frozenset[str]:
        """Return those of the datasets that are there, hidden ones too, which nothing lists."""
        found = side_by_side(lambda name: self._core.lzc_exists(name.encode()), names, threads=2 * PROCESSORS)
        return frozenset(name for name, is_there in zip(names, found) if is_there)

    @contextlib.contextmanager
    def _explained(
        self, what: str, needs: tuple[str, str], reasons: t.Mapping[int, Reason] | None = None
    ) -> t.Iterator[None]:
        """Turn an error number into a failure; what a number means differs from call to call."""
        try:
            yield
        except self._core.exceptions.ZFSError as error:
            number = int(error.errno)
            hint = _hint(*needs) if number == errno.EPERM else "."
            raise CallFailed(
                f"{what}: {os.strerror(number)} (errno {number}){hint}",
                reason=(reasons or {}).get(number, "unknown"),
                errno=number,
            ) from None


def _hint(name: str, permission: str) -> str:
    """Go on with a sentence about what a user was denied."""
    from ._delegation import to_be_allowed

    return f".{to_be_allowed(name, permission)}"


def _checked(wrapping_key: bytes) -> bytes:
    """Insist on 32 bytes: pyzfs turns an int into that many zeros, and installs them as a key."""
    if not isinstance(wrapping_key, bytes) or len(wrapping_key) != 32:
        raise Refused("A wrapping key must be exactly 32 bytes; nothing was changed.")
    return wrapping_key


class CommandKeys:
    """Key operations by ``zfs``, the key on stdin, for a Python without pyzfs."""

    name = "cli"

    def verify(self, root: Dataset, key: Key) -> Verdict:
        answer = self._load(root, key, "-n")
        if answer.code == 0:
            return OPENS
        if "Incorrect key provided" in answer.error:
            return WRONG
        hint = _hint(root.name, "load-key") if "Permission denied" in answer.error else ""
        return Verdict("unknown", None, f"{answer.why.rstrip('.')}{hint}".rstrip("."))

    def load(self, root: Dataset, key: Key) -> None:
        answer = self._load(root, key)
        if "already loaded" in answer.error:
            answer = self._load(root, key, "-n")  # as the kernel does: fine if the key is right
        if answer.code != 0:
            raise failure(f"The key of {root.name} was not loaded", answer, needs=(root.name, "load-key"))

    def _load(self, root: Dataset, key: Key, *options: str) -> Answer:
        text = key.text(root.keyformat)
        if key.kind == "passphrase" and (b"\n" in text or b"\0" in text):
            return Answer(1, "", "Incorrect key provided: a passphrase is one line without NUL")
        return run("zfs", "load-key", *options, "-L", "prompt", root.name, stdin=key_line(text, root.keyformat))

    def unload(self, name: str) -> None:
        answer = run("zfs", "unload-key", name)
        if answer.code != 0:
            raise failure(f"The key of {name} was not unloaded", answer, needs=(name, "load-key"))

    def drop_left(self, name: str) -> None:
        """Leave it: ``zfs unload-key`` knows encryption roots only."""

    def change(self, change: KeyChange) -> None:
        properties = {"keyformat": change.keyformat, "keylocation": change.keylocation}
        if change.keyformat == "passphrase":
            properties["pbkdf2iters"] = str(change.iterations)
        data = None
        if change.keylocation == "prompt":
            data = key_line(change.key.text(change.keyformat), change.keyformat)
        else:
            # zfs reads the key where keylocation says, which switches key and location in one transaction.
            _insist_on_content(change)
        answer = run("zfs", "change-key", *assignments("-o", properties), change.name, stdin=data)
        if answer.code != 0:
            what = f"The key of {change.name} was not changed"
            raise failure(what, answer, needs=(change.name, "change-key"))

    def inherit(self, name: str) -> None:
        answer = run("zfs", "change-key", "-i", name)
        if answer.code != 0:
            what = f"{name} does not inherit its parent's key"
            raise failure(what, answer, needs=(name, "change-key"))

    def existing(self, names: t.Sequence[str]) -> frozenset[str]:
        # The exit code says that some are not there, which is as it should be.
        answers = run_about(names, "zfs", "get", "-Ho", "name", "type")
        return frozenset(name for answer in answers for name in answer.out.splitlines())

    def repoint(self, name: str) -> None:
        raise CallFailed(f"{name} was not re-pointed: {_ONLY_PYZFS}")

    reattach = repoint


def _insist_on_content(change: KeyChange) -> None:
    """Refuse a location that holds anything but the new key: ``zfs`` would install what it finds there."""
    path = file_of(change.keylocation)
    if path is None:
        raise CallFailed(
            f"The key of {change.name} was not changed: without pyzfs, zfs would set what {change.keylocation} serves. "
            "Install python3-pyzfs, or change the key with keylocation prompt first."
        )
    try:
        content = _keyfiles.read(path)
        found = None if content is None else _keys.from_file(content, change.keyformat, path=path)
    except Refused as error:
        raise CallFailed(f"The key of {change.name} was not changed: {error}") from None
    if found != change.key:
        raise CallFailed(
            f"The key of {change.name} was not changed: the key file {path} does not hold the new key, and without "
            "pyzfs that is where zfs reads it. Write the key there first, or install python3-pyzfs."
        )


def key_line(text: bytes, keyformat: str) -> bytes:
    """Return a key as ``zfs`` reads it from stdin: a raw key has no end of line."""
    return text if keyformat == "raw" else text + b"\n"
