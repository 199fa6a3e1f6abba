# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions in one host's directory of the backend ``vault_file``: what is there, and what is added.

A version is there when its segment is, which is written before all else. Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..module_utils._errors import EncryptionError, Refused
from . import _segment
from ._directory import Directory, Unfit
from ._record import STATES, Binding, Entry, Kept, KeyId, State, Version, furthest, in_order, now
from ._segment import Files, Unreadable


class Protection(t.Protocol):
    """How what a segment holds is kept secret: ansible-vault, with one identity of the play."""

    name: str

    def covers(self, stored: bytes) -> bool:
        """Tell whether these bytes are said to be protected by this identity."""

    def opens(self, stored: bytes) -> bool:
        """Tell whether this identity reveals these bytes."""

    def revealed(self, stored: bytes) -> bytes:
        """Return what is in these bytes, by any identity of the play; Refused where none opens them."""

    def protected(self, content: bytes) -> bytes:
        """Return the bytes to store."""


class HostKeys:
    """One open directory of versions, as it was listed when this was made.

    Args:
        directory: it stays the caller's.
        host: whose it is.
        protection: encrypts and decrypts segments.
        only: the one version that it is asked about; by default all.
    """

    def __init__(self, directory: Directory, host: str, protection: Protection, only: KeyId | None = None) -> None:
        self._directory = directory
        self._host = host
        self._protection = protection
        self._only = only
        self._files = self._listed()

    def holds(self, key_id: KeyId) -> bool:
        return key_id in self._files

    def has_segment(self, key_id: KeyId) -> bool:
        return key_id in self._files and bool(self._files[key_id].segments)

    def segments(self) -> t.Iterator[bytes]:
        """Yield what all readable segments hold, encrypted."""
        for files in self._files.values():
            for name in files.segments:
                with contextlib.suppress(OSError, Unfit):
                    yield self._directory.read(name)

    def entries(self) -> list[Entry]:
        """Return what is known of all versions that are not destroyed."""
        return [self._entry(key_id) for key_id, files in self._files.items() if _reached(files) != "destroyed"]

    def kept(self, key_id: KeyId) -> Kept:
        """Read the key of a version that has a segment.

        Raises:
            Unfit: it was destroyed, no segment of it can be read, or two of them differ.
        """
        self._refuse_destroyed(key_id)
        found: list[Kept] = []
        problems = []
        for name in self._files[key_id].segments:
            try:
                found.append(self._revealed(key_id, name))
            except (OSError, EncryptionError) as error:
                problems.append(self._fault(name, error))
        if not found:
            raise Unfit(" ".join(problems))
        if any(kept != found[0] for kept in found):
            names = " and ".join(self._files[key_id].segments)
            raise Unfit(f"In {self._directory.path} are two keys of one id, {names}. Move away what you do not trust.")
        return found[0]

    def sweep(self) -> None:
        """Remove what killed runs left."""
        self._directory.sweep()

    def put(self, kept: Kept) -> str:
        """Write what is missing of a version, durable at return, and return the path of its segment.

        Raises:
            Unfit: it was destroyed, or another key has its id, or what is there of it cannot be read.
        """
        version, name = kept.version, _segment.segment_name(kept.version)
        self._refuse_destroyed(version.key_id)
        if not self.has_segment(version.key_id):
            with contextlib.suppress(FileExistsError):  # another run may have written it meanwhile
                self._directory.write(name, self._protection.protected(_segment.segment_content(kept)))
            self._files = self._listed()
        if self.kept(version.key_id) != kept:
            raise Unfit("Another key has that id there. It is as it was.")
        try:
            self._directory.write(_segment.about_name(version), _segment.about_content(version))
        except FileExistsError:
            self._directory.sync()  # a run that wrote both may have been killed before they were durable
        return os.path.join(self._directory.path, name)

    def note(self, version: Version, state: State) -> None:
        """Note that a version reached a state, durable at return; one that is behind its state is not noted."""
        if STATES.index(_reached(self._files[version.key_id])) < STATES.index(state):
            self._directory.mark(_segment.state_name(version, state, now()))
        else:
            self._directory.sync()

    def bind(self, version: Version, binding: Binding) -> None:
        """Note a binding, durable at return.

        Raises:
            Unfit: it stands there torn.
        """
        content = _segment.binding_content(binding)
        name = _segment.binding_name(version, content)
        try:
            self._directory.write(name, content)
        except FileExistsError:
            if self._directory.read(name) != content:
                path = os.path.join(self._directory.path, name)
                raise Unfit(f"{path} is torn. Remove it and run again.") from None
            self._directory.sync()

    def destroy(self, version: Version) -> None:
        """Note that a version is destroyed, then unlink its segments."""
        self.note(version, "destroyed")
        for name in self._files[version.key_id].segments:
            self._directory.remove(name)

    def _listed(self) -> dict[KeyId, Files]:
        part = "" if self._only is None else _segment.part_of_names(self._only)
        return _segment.sorted_out(self._directory.names(part))

    def _refuse_destroyed(self, key_id: KeyId) -> None:
        if self.holds(key_id) and _reached(self._files[key_id]) == "destroyed":
            raise Unfit(
                "It was destroyed there, and does not come back. If something is opened by it still, rotate that key, "
                "or keep it in another place."
            )

    def _entry(self, key_id: KeyId) -> Entry:
        files = self._files[key_id]
        version, faults = self._version(key_id)
        if not files.segments:
            faults.append(
                f"The segment with the key {key_id} of {version.dataset} is not in {self._directory.path}. "
                "Restore it from a backup or from git."
            )
        bindings = []
        for name in files.bindings:
            try:
                bindings.append(_segment.binding_from(name, self._directory.read(name)))
            except (OSError, EncryptionError) as error:
                faults.append(self._fault(name, error))
        state = _reached(files)
        since = min((at for reached, at in files.states if reached == state), default=version.created)
        return Entry(version, state, since, in_order(bindings), tuple(faults))

    def _version(self, key_id: KeyId) -> tuple[Version, list[str]]:
        """Return what a version is: by the plain file, else by the segment, else by what the names of files tell."""
        files = self._files[key_id]
        faults: list[str] = []
        for name in files.abouts:
            with contextlib.suppress(OSError, EncryptionError):
                version = _segment.version_from(self._directory.read(name))
                if version.key_id == key_id:
                    return version, faults
        for name in files.segments:
            try:
                return self._revealed(key_id, name).version, faults
            except (OSError, EncryptionError) as error:
                faults.append(self._fault(name, error))
        version = Version(key_id, self._host, files.dataset, files.keyformat, iterations=0, created="")
        return version, faults

    def _revealed(self, key_id: KeyId, name: str) -> Kept:
        """Read one segment.

        Raises:
            OSError, EncryptionError: it is torn, encrypted with another secret, or not what its name says.
        """
        stored = self._directory.read(name)
        if not stored.startswith(b"$ANSIBLE_VAULT;"):
            raise Unreadable("it is torn, or no file of ansible-vault")
        try:
            kept = _segment.kept_from(self._protection.revealed(stored))
        except Refused:
            raise Unreadable("it is torn, or encrypted with a password that this play does not have") from None
        if kept.version.key_id != key_id:
            raise Unreadable(f"it holds the key {kept.version.key_id}")
        return kept

    def _fault(self, name: str, error: OSError | EncryptionError) -> str:
        if isinstance(error, Unfit):
            return str(error)
        cause = error.strerror if isinstance(error, OSError) else error
        path = os.path.join(self._directory.path, name)
        return f"{path} cannot be read: {cause}. Restore it from a backup or from git."


def _reached(files: Files) -> State:
    return furthest(("pre-active", *(state for state, _at in files.states)))
