# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user without privileges to whom something was delegated (zfs-allow(8))."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import subprocess
import typing as t
from dataclasses import replace

# What the real host imports when it is first called: this user cannot read the directory that it lies in.
from ansible_collections.zfsfleet.encryption.plugins.module_utils import _force, _foundations, _users
from ansible_collections.zfsfleet.encryption.plugins.module_utils._delegation import ONLY_ROOT_MOUNTS, ONLY_ROOT_READS
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, NotPermitted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._immutable import KEPT_BY_ROOT
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Place, Verdict
from ansible_collections.zfsfleet.encryption.plugins.module_utils._openzfs import OpenZFS
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

T = t.TypeVar("T")
NOBODY = 65534
NAME = "nobody"
IMPORTED = (_force, _foundations, _users)
MOUNTING = ("mount", "unmount", "force_unmount")
NEEDS = {
    **dict.fromkeys(("load_key", "unload_key"), ("load-key",)),
    **dict.fromkeys(("change_key", "inherit_key", "repoint", "reattach"), ("change-key",)),
    "destroy": ("destroy", "mount"),
}


class User(t.Protocol):
    def does(self, work: t.Callable[[Host], T]) -> T:
        """Let the user do something on the host; what it raises is raised here."""


@contextlib.contextmanager
def delegated(host: Host, name: str, *permissions: str) -> t.Iterator[User]:
    """Have a user with permissions on a dataset and what lies below it."""
    if isinstance(host, FakeOpenZFS):
        yield _FakeUser(host, permissions)
        return
    if permissions:
        subprocess.run(["zfs", "allow", "-u", NAME, ",".join(permissions), name], check=True)
    yield _RealUser(host.binding().name)
    if permissions:
        subprocess.run(["zfs", "unallow", "-u", NAME, name], check=True)


class _RealUser:
    def __init__(self, binding: str) -> None:
        self._binding = binding

    def does(self, work: t.Callable[[Host], T]) -> T:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with open(writer, "wb") as pipe:
                    pickle.dump(self._outcome(work), pipe)
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        result, error = pickle.loads(answer)
        if error is not None:
            raise error
        return t.cast(T, result)

    def _outcome(self, work: t.Callable[[Host], T]) -> tuple[T | None, Exception | None]:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            return work(OpenZFS(self._binding)), None
        except Exception as error:  # noqa: BLE001  # it goes to who asked
            return None, error


class _FakeUser:
    def __init__(self, host: FakeOpenZFS, permissions: tuple[str, ...]) -> None:
        self._host = t.cast(Host, _Restricted(host, permissions))

    def does(self, work: t.Callable[[Host], T]) -> T:
        return work(self._host)


class _Restricted:
    """The fake as this user reaches it."""

    def __init__(self, host: FakeOpenZFS, permissions: tuple[str, ...]) -> None:
        self._host = host
        self._permissions = permissions

    def __getattr__(self, name: str) -> t.Any:
        needed = NEEDS.get(name, ())
        if name in MOUNTING:
            return self._refuse_mounting
        return getattr(self._host, name) if {*needed} <= {*self._permissions} else lambda *_args: _deny(needed)

    def verify(self, *args: t.Any) -> Verdict:
        if "load-key" not in self._permissions:
            return Verdict("unknown", errno.EPERM, f"{os.strerror(errno.EPERM)}. {_allow('load-key')}")
        return self._host.verify(*args)

    def create(self, creation: Creation) -> None:
        reserving = ["refreservation"] if creation.volume_size and not creation.sparse else []
        needed = ("create", "mount", *reserving, *creation.properties, *(["keylocation"] if creation.key else []))
        self._insist(*(each for each in needed if each not in ("encryption", "keyformat", "pbkdf2iters")))
        self._host.create(creation)

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        self._insist(*("userprop" if ":" in each else each for each in properties))
        self._host.set_properties(name, properties)

    def place(self, path: str) -> Place:
        found = self._host.place(path)
        return found if found.state == "none" else replace(found, obstacle=found.obstacle or KEPT_BY_ROOT)

    def protect_place(self, path: str) -> None:
        raise CallFailed(f"{path} was not protected: {os.strerror(errno.EPERM)}. Leave protect_mountpoint out.")

    def release_place(self, path: str) -> bool:
        if self._host.place(path).state != "protected":
            return False
        raise CallFailed(f"{path} is immutable, and stays so: {os.strerror(errno.EPERM)}.")

    def prove_readable(self, dataset: t.Any) -> None:
        raise NotPermitted(f"{dataset.name} cannot be read: permission denied.{ONLY_ROOT_READS}")

    def _insist(self, *needed: str) -> None:
        if not {*needed} <= {*self._permissions}:
            _deny(needed)

    def _refuse_mounting(self, name: str, *_args: t.Any) -> None:
        raise CallFailed(f"{name} stays as it is: permission denied{ONLY_ROOT_MOUNTS}", reason="mount_failed")


def _deny(needed: t.Iterable[str]) -> t.NoReturn:
    raise CallFailed(f"Operation not permitted. {_allow(*needed)}", errno=errno.EPERM)


def _allow(*needed: str) -> str:
    return f"Root can allow it: 'zfs allow {NAME} {','.join(needed)} ...'"
