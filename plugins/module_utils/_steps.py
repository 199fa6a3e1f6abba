# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps about datasets and their keys: each names its dataset, what it does, and what would take it back.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field, replace

from . import _keys
from ._errors import CallFailed, EncryptionError, KeyInDoubt, in_use, unforeseen
from ._host import Creation, Host, KeyChange
from ._keys import Key
from ._model import WRAP, Dataset
from ._mount_steps import released
from ._step import NOTHING, Step, Values


@dataclass(frozen=True)
class GenerateKeyFile:
    """A random key, durable in a new file before anything uses it. The file is never taken back."""

    dataset: str
    path: str
    keyformat: str
    action: t.ClassVar[str] = "generate_key_file"
    before: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    @property
    def after(self) -> Values:
        return {"key_file": self.path}

    def perform(self, host: Host) -> None:
        host.write_key_file(self.path, _keys.generate().text(self.keyformat))


@dataclass(frozen=True)
class WriteKeyFile:
    """A key that was given, durable in a new file before anything uses it. The file is never taken back."""

    dataset: str
    path: str
    keyformat: str
    key: Key
    action: t.ClassVar[str] = "write_key_file"
    before: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    @property
    def after(self) -> Values:
        return {"key_file": self.path}

    def perform(self, host: Host) -> None:
        host.write_key_file(self.path, self.key.text(self.keyformat))


@dataclass(frozen=True)
class SyncKeyFile:
    """A key file that was there before, made durable before anything relies on it."""

    dataset: str
    path: str
    action: t.ClassVar[str] = "sync_key_file"
    before: t.ClassVar[Values] = NOTHING
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        host.sync_key_file(self.path)


@dataclass(frozen=True)
class CreateDataset:
    """A new dataset. With ``key_file`` its key is read from there now: a generated key is used as it was read back."""

    creation: Creation
    key_file: str | None = None
    action: t.ClassVar[str] = "create"
    before: t.ClassVar[Values] = {"state": "absent"}

    @property
    def dataset(self) -> str:
        return self.creation.name

    @property
    def after(self) -> Values:
        size = {} if self.creation.volume_size is None else {"volsize": self.creation.volume_size}
        location = {"keylocation": self.creation.keylocation} if "keyformat" in self.creation.properties else {}
        return {"state": "present", **size, **self.creation.properties, **location}

    @property
    def undone_by(self) -> Step | None:
        return DestroyDataset(self.dataset)

    def perform(self, host: Host) -> None:
        creation = self.creation
        if self.key_file is not None:
            key = key_from_file(host, self.key_file, creation.properties["keyformat"], self.dataset)
            creation = replace(creation, key=key)
        host.create(creation)


@dataclass(frozen=True)
class DestroyDataset:
    """A dataset that goes, and the protection of its mountpoint with it."""

    dataset: str
    mountpoint: str = "none"
    action: t.ClassVar[str] = "destroy"
    before: t.ClassVar[Values] = {"state": "present"}
    after: t.ClassVar[Values] = {"state": "absent"}
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        with released(host, self.mountpoint):
            host.destroy(self.dataset)


@dataclass(frozen=True)
class ChangeKey:
    """A new wrapping key, proven at once: the new one opens, the replaced one does not.

    Args:
        old: the dataset as it was.
        keyformat: the format of the new key.
        key: the new key, None to read it from ``key_file`` now.
        keylocation: set in the same transaction.
        iterations: PBKDF2 rounds of a passphrase.
        replaced: the key that the root had, where it is known.
        key_file: the file of a key that was just generated.
        kept_open: what is in use under this key and not proven to be wrapped with it.
        clones: what may have been the root before; a key that a promotion left there must not come back with it.
    """

    old: Dataset
    keyformat: str
    key: Key | None
    keylocation: str
    iterations: int = 0
    replaced: Key | None = None
    key_file: str | None = None
    kept_open: tuple[Dataset, ...] = ()
    clones: tuple[str, ...] = ()
    action: t.ClassVar[str] = "change_key"
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.old.name

    @property
    def before(self) -> Values:
        names = ("encryptionroot", "keyformat", "keylocation", "pbkdf2iters")
        return {"wrapping_key": "current", **self.old.values(names)}

    @property
    def after(self) -> Values:
        return {
            "wrapping_key": "new",
            "encryptionroot": self.dataset,
            "keyformat": self.keyformat,
            "keylocation": self.keylocation,
            "pbkdf2iters": str(self.iterations),
        }

    def perform(self, host: Host) -> None:
        key = self.key
        if key is None:
            key = key_from_file(host, self.key_file or "", self.keyformat, self.dataset)
        try:
            with host.keep_open(self.kept_open):
                host.change_key(KeyChange(self.dataset, self.keyformat, key, self.keylocation, self.iterations))
            self._prove(host, key)
        except Exception as error:
            if isinstance(error, KeyInDoubt) or not self._is_unchanged(host):
                raise KeyInDoubt(str(error) if isinstance(error, EncryptionError) else unforeseen(error)) from None
            raise
        for clone in self.clones:
            with contextlib.suppress(CallFailed):  # what is in use keeps it; it does no harm before another promotion
                host.drop_left_key(clone)

    def _is_unchanged(self, host: Host) -> bool:
        """Tell, after an error, whether the key is certainly the one it was: a call may fail late and still count."""
        try:
            now = host.dataset(self.dataset)
            if now is None or now.values(WRAP) != self.old.values(WRAP):
                return False
            return self.replaced is None or host.verify(now, self.replaced).outcome == "opens"
        except Exception:  # noqa: BLE001  # whatever it was, nothing is certain
            return False

    def _changed(self, host: Host) -> Dataset | None:
        """Return the root as it is now. Only of a passphrase something has to be read: the salt that it got."""
        if self.keyformat == "passphrase":
            return host.dataset(self.dataset)
        wrap = dict.fromkeys(("pbkdf2salt", "pbkdf2iters"), "0")
        return self.old.with_values({**wrap, "encryptionroot": self.dataset, "keyformat": self.keyformat})

    def _prove(self, host: Host, key: Key) -> None:
        changed = self._changed(host)
        if changed is None or host.verify(changed, key).outcome != "opens":
            raise KeyInDoubt(
                f"The key of {self.dataset} was changed, but the new key could not be proven to open it. "
                "Keep both keys, and do not lock, export or reboot before 'zfs load-key -n' accepts one of them."
            )
        replaced = self.replaced
        if replaced is not None and replaced != key and host.verify(changed, replaced).outcome != "wrong":
            raise KeyInDoubt(f"The key of {self.dataset} was changed, but the old key was not seen to be refused.")


@dataclass(frozen=True)
class InheritKey:
    """An encryption root that gives up its own key for its parent's; ``kept_open`` as for a change."""

    old: Dataset
    encryption_root: str
    kept_open: tuple[Dataset, ...] = ()
    action: t.ClassVar[str] = "inherit_key"
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.old.name

    @property
    def before(self) -> Values:
        return self.old.values(("encryptionroot", "keyformat", "keylocation"))

    @property
    def after(self) -> Values:
        return {"encryptionroot": self.encryption_root}

    def perform(self, host: Host) -> None:
        with host.keep_open(self.kept_open):
            host.inherit_key(self.dataset)


@dataclass(frozen=True)
class SetProperties:
    """Properties of a dataset.

    Args:
        after: the values that it is given.
        before: those that they replace.
        left: the mountpoints that are none any more afterwards.
    """

    dataset: str
    after: Values
    before: Values
    left: tuple[str, ...] = ()
    action: t.ClassVar[str] = "set_properties"
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        with released(host, *self.left):
            host.set_properties(self.dataset, self.after)


@dataclass(frozen=True)
class InheritProperties:
    """Properties that a dataset has from its parent, of which it gives up its own values; the rest as for setting."""

    dataset: str
    after: Values
    before: Values
    left: tuple[str, ...] = ()
    action: t.ClassVar[str] = "inherit_properties"
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        with released(host, *self.left):
            host.inherit_properties(self.dataset, tuple(self.after))


@dataclass(frozen=True)
class LoadKey:
    root: Dataset
    key: Key
    action: t.ClassVar[str] = "load_key"
    before: t.ClassVar[Values] = {"keystatus": "unavailable"}
    after: t.ClassVar[Values] = {"keystatus": "available"}

    @property
    def dataset(self) -> str:
        return self.root.name

    @property
    def undone_by(self) -> Step | None:
        return UnloadKey(self.dataset)

    def perform(self, host: Host) -> None:
        host.load_key(self.root, self.key)


@dataclass(frozen=True)
class UnloadKey:
    """A key that goes out of memory.

    Args:
        dataset: the encryption root.
        members: what inherits its key, clones in other places too; if it is busy, they are asked who uses them.
        clones: those of them that may have been the root before; a key may have stayed there.
    """

    dataset: str
    members: tuple[str, ...] = field(default=(), repr=False)
    clones: tuple[str, ...] = field(default=(), repr=False)
    action: t.ClassVar[str] = "unload_key"
    before: t.ClassVar[Values] = {"keystatus": "available"}
    after: t.ClassVar[Values] = {"keystatus": "unavailable"}
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        with _told_who_is_in_the_way(host, (self.dataset, *self.members)):
            for clone in self.clones:
                host.drop_left_key(clone)
            host.unload_key(self.dataset)


@dataclass(frozen=True)
class CloseRoot:
    """A root without a loaded key, of which nothing stays in use; a promotion leaves some of it open.

    Args:
        dataset: the encryption root.
        members: what inherits its key.
        clones: those of them that may have been the root before, where a key may have stayed.
        was_open: whether something was mounted; else it is only made sure that nothing is open.
    """

    dataset: str
    members: tuple[str, ...] = field(default=(), repr=False)
    clones: tuple[str, ...] = field(default=(), repr=False)
    was_open: bool = False
    action: t.ClassVar[str] = "close"
    undone_by: t.ClassVar[None] = None

    @property
    def before(self) -> Values:
        return {"open": "yes"} if self.was_open else NOTHING

    @property
    def after(self) -> Values:
        return {"open": "no"} if self.was_open else NOTHING

    def perform(self, host: Host) -> None:
        names = (self.dataset, *self.members)
        with _told_who_is_in_the_way(host, names):
            for clone in self.clones:
                host.drop_left_key(clone)
            if host.mounts(names):
                raise CallFailed(f"{self.dataset} is not locked: something of it is still mounted.", reason="busy")


@contextlib.contextmanager
def _told_who_is_in_the_way(host: Host, names: t.Collection[str]) -> t.Iterator[None]:
    """Add to an error for something that is busy who uses these datasets."""
    try:
        yield
    except CallFailed as error:
        if error.reason != "busy":
            raise
        mounted = [f"{name} is mounted on {path}" for name, path in host.mounts(names)]
        raise in_use(error, (*mounted, *host.users(names))) from None


@dataclass(frozen=True)
class ProveReadable:
    """What has no mount to prove that it is unlocked is read from; nothing changes by it."""

    target: Dataset
    action: t.ClassVar[str] = "prove_readable"
    before: t.ClassVar[Values] = NOTHING
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.target.name

    def perform(self, host: Host) -> None:
        host.prove_readable(self.target)


def key_from_file(host: Host, path: str, keyformat: str, dataset: str) -> Key:
    """Read back a key that was just generated.

    Raises:
        CallFailed: the file is gone.
    """
    content = host.read_key_file(path)
    if content is None:
        raise CallFailed(f"The key file {path} of {dataset} vanished before it was used. Nothing uses it yet.")
    return _keys.from_file(content, keyformat, path=path)
