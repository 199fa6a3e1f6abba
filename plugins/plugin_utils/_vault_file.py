# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend ``vault_file``: keys in files on the controller, encrypted by ansible-vault in memory.

A directory for each host, and in it a few files for each version (``_segment.py`` names them). No file is ever
replaced, and names are random or say what the file holds, so two directories of keys can be united by copying files
together, by git or by hand, without losing anything: the state furthest in NIST's order holds.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import typing as t
from contextlib import closing

from ..module_utils._errors import EncryptionError, Refused
from . import _segment
from ._backend import BackendFailed, Kind, Option, Options, Surroundings
from ._controller import Controller, danger, this_controller
from ._directory import Directory, Unfit, opened
from ._host_keys import HostKeys, Protection
from ._record import Binding, Entry, Kept, KeyId, State
from ._unopened import NotOpened
from ._vaulted import Vaulted

_ENOUGH = 1024 * 1024  # bytes of free space, for some hundred versions
_FEW = 16  # files, of which a version takes up to five
_SAMPLES = 8  # segments of which one has to open


class VaultFile:
    """A directory of keys.

    Args:
        path: it has to be there, and to be the user's own.
        protection: encrypts and decrypts segments.
        controller: where this runs, to refuse a path that is no safe place there; None where the task says that it is.
    """

    def __init__(self, path: str, protection: Protection, controller: Controller | None = None) -> None:
        self.name = _named(path)
        self._path = path
        self._protection = protection
        self._controller = controller
        self._is_secret_known = False
        self._swept: set[str] = set()

    def find_out(self) -> str:
        with self._failing("be written to"), closing(opened(self._path)) as place:
            self._refuse_unsafe(place)
            if not os.access(self._path, os.W_OK | os.X_OK):
                raise Unfit(f"{self._path} may not be written to. Check its permissions, and how it is mounted.")
            space = os.statvfs(self._path)
            if space.f_bavail * space.f_frsize < _ENOUGH or (space.f_files and space.f_favail < _FEW):
                raise Unfit(f"The file system of {self._path} is full. Make room there.")
            directory = os.stat(self._path)
            return f"directory {directory.st_dev} {directory.st_ino}"

    def entries(self, host: str) -> t.Sequence[Entry]:
        with self._failing(f"tell the keys of {host}"), closing(opened(self._path)) as place:
            name = _segment.directory_of(host)
            if not place.is_directory(name):
                return ()
            with self._keys(place, name) as keys:
                return keys.entries()

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        keyguids, pool_guids = set(keyguids) - {""}, set(pool_guids) - {""}
        found: list[Entry] = []
        with self._failing("be searched"), closing(opened(self._path)) as place:
            for name in _directories(place):
                with self._keys(place, name) as keys:
                    found += (entry for entry in keys.entries() if entry.concerns(keyguids, pool_guids))
        return found

    def fetch(self, entry: Entry) -> Kept:
        about = f"the key {entry.key_id} of {entry.version.dataset}"
        with self._failing(f"give {about}"), closing(opened(self._path)) as place:
            kept = self._kept(place, entry.key_id, entry.version.host)
            if kept is None:
                raise Unfit("Its segment is not there. Restore it from a backup or from git.")
        if entry.version != kept.version and entry.version.created:
            raise BackendFailed(
                f"{self.name}: the segment of {about} and the plain file beside it tell different things. "
                f"The segment cannot be changed unnoticed, so remove {_segment.about_name(entry.version)}."
            )
        return kept

    def put(self, kept: Kept) -> str:
        version = kept.version
        with self._failing(f"keep the key {version.key_id} of {version.dataset}"), closing(opened(self._path)) as place:
            self._refuse_unsafe(place)
            name = _segment.directory_of(version.host)
            place.make(name)
            with self._keys(place, name, version.key_id) as keys:
                if name not in self._swept:
                    keys.sweep()
                    self._swept.add(name)
                return keys.put(kept)

    def advance(self, entry: Entry, state: State) -> None:
        about = f"note that the key {entry.key_id} of {entry.version.dataset} is {state}"
        with self._failing(about), closing(opened(self._path)) as place:
            if state == "destroyed":
                raise Unfit("Only destroying it makes it so.")
            self._refuse_unsafe(place)
            with self._holding(place, entry) as keys:
                keys.note(entry.version, state)

    def bind(self, entry: Entry, binding: Binding) -> None:
        about = f"note that the key {entry.key_id} opens {binding.dataset}"
        with self._failing(about), closing(opened(self._path)) as place:
            self._refuse_unsafe(place)
            with self._holding(place, entry) as keys:
                keys.bind(entry.version, binding)

    def destroy(self, entry: Entry) -> None:
        with self._failing(f"destroy the key {entry.key_id}"), closing(opened(self._path)) as place:
            self._refuse_unsafe(place)
            for name in _directories(place):
                with self._keys(place, name, entry.key_id) as keys:
                    if keys.holds(entry.key_id):
                        keys.destroy(entry.version)

    def close(self) -> None:
        """Nothing stays open between calls."""

    @contextlib.contextmanager
    def _failing(self, what: str) -> t.Iterator[None]:
        """Say of any failure what could not be done."""
        try:
            yield
        except EncryptionError as error:
            raise BackendFailed(f"{self.name} cannot {what}. {error}") from None
        except FileNotFoundError:
            way_out = "Run again."
            if not os.path.lexists(self._path):
                way_out = (
                    "If it lies on a disk or a share of its own, have that mounted. "
                    f"If it is to be a new one, run mkdir -m 0700 {self._path}."
                )
            raise BackendFailed(f"{self.name} cannot {what}: there is no such file or directory. {way_out}") from None
        except OSError as error:
            raise BackendFailed(f"{self.name} cannot {what}: {error.strerror}. What it holds is as it was.") from None

    def _refuse_unsafe(self, place: Directory) -> None:
        """Refuse to write where a key would be lost, and with a vault secret that is not the one of what is there.

        A password that was mistyped at ansible-playbook's prompt encrypts as well as any, and nobody knows it again.
        """
        problem = None if self._controller is None else danger(os.path.realpath(self._path), self._controller)
        if problem is not None:
            raise Unfit(problem)
        if self._is_secret_known:
            return
        tried = 0
        for stored in itertools.islice(self._covered(place), _SAMPLES):
            if self._protection.opens(stored):
                self._is_secret_known = True
                return
            tried += 1
        if tried:
            raise Unfit(
                f"Of {tried} keys in it that were tried none opens with the password that this play has for "
                f"{self._protection.name}, so it was another one. Give the play that password, or set a vault_id of "
                "its own for new keys. If nothing but torn files is left there, move them away."
            )

    def _covered(self, place: Directory) -> t.Iterator[bytes]:
        for name in _directories(place):
            with contextlib.suppress(OSError, Unfit), self._keys(place, name) as keys:
                yield from filter(self._protection.covers, keys.segments())

    @contextlib.contextmanager
    def _keys(self, place: Directory, name: str, only: KeyId | None = None) -> t.Iterator[HostKeys]:
        with closing(place.below(name)) as directory:
            yield HostKeys(directory, _segment.host_of(name), self._protection, only)

    def _kept(self, place: Directory, key_id: KeyId, host: str) -> Kept | None:
        """Return a version from its host's directory or, where that was renamed, from any other."""
        for name in _directories(place, first=_segment.directory_of(host)):
            with self._keys(place, name, key_id) as keys:
                if keys.has_segment(key_id):
                    return keys.kept(key_id)
        return None

    @contextlib.contextmanager
    def _holding(self, place: Directory, entry: Entry) -> t.Iterator[HostKeys]:
        """Open the directory in which a version is."""
        for name in _directories(place, first=_segment.directory_of(entry.version.host)):
            with self._keys(place, name, entry.key_id) as keys:
                if keys.holds(entry.key_id):
                    yield keys
                    return
        raise Unfit("It is not there. Restore it from a backup or from git.")


def _named(path: str) -> str:
    return f"vault_file {path}"


def _directories(place: Directory, first: str = "") -> t.Iterator[str]:
    """Yield the names of all hosts' directories, one of them first, which mostly is the one that is looked for."""
    if first and place.is_directory(first):
        yield first
    yield from (name for name in place.names() if name != first and place.is_directory(name))


def vault_file_from(options: Options, around: Surroundings) -> VaultFile:
    """Make the backend of checked options.

    Raises:
        NotOpened: the play has no vault secret to encrypt with.
    """
    try:
        protection = Vaulted(around.loader, options["vault_id"])
    except Refused as refusal:
        raise NotOpened(_named(options["path"]), str(refusal)) from None
    controller = None if options["allow_local"] else this_controller(around.transport)
    return VaultFile(options["path"], protection, controller)


KIND = Kind(
    vault_file_from,
    {
        "path": Option("path", required=True),
        "vault_id": Option(default="default"),
        "allow_local": Option("bool", default=False),
    },
)
