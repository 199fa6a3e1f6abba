# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's keys: tried, loaded, unloaded, changed, and what they open."""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import OPENS, WRONG, Dataset, Verdict
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import parent_of

from . import properties as props
from .beside import Beside
from .datasets import failed
from .protection import new_wrap


class Keys(Beside):
    """Errors are those of the pyzfs path."""

    def verify(self, root: Dataset, key: Key) -> Verdict:
        try:
            self._enter("verify", root.name)
        except CallFailed as fault:
            return Verdict("unknown", fault.errno, str(fault))
        if not root.is_encryption_root:
            return Verdict("unknown", errno.EINVAL, os.strerror(errno.EINVAL))
        if not key.fits(root.keyformat):
            return WRONG
        number = self._try(root, key)
        if number == errno.EACCES:
            return WRONG
        return OPENS if number == 0 else Verdict("unknown", number, os.strerror(number))

    def prove_readable(self, dataset: Dataset) -> None:
        self._enter("prove_readable", dataset.name)
        record = self._datasets.existing(dataset.name, "It cannot be read")
        if record.is_half_received:
            raise CallFailed(f"{record.name} cannot be read: {os.strerror(errno.EBUSY)}.")
        opens = not (self._datasets.is_locked(record) or self._datasets.is_mismatched(record))
        if not (opens or self._datasets.is_in_use(record)):
            raise CallFailed(f"{record.name} cannot be read: {os.strerror(errno.EACCES)}.")
        if record.kind == "volume":
            self.with_node.add(record.name)

    def await_node(self, volume: Dataset) -> None:
        self._enter("await_node", volume.name)
        if volume.value("volmode") != "none":
            self.with_node.add(volume.name)

    def loaded(self, roots: t.Collection[str]) -> frozenset[str]:
        for name in roots:
            self._enter("loaded", name)
        return frozenset(name for name in roots if name in self._datasets.loaded)

    def load_key(self, root: Dataset, key: Key) -> None:
        self._enter("load_key", root.name)
        number = self._try(root, key) if key.fits(root.keyformat) else errno.EACCES
        if number != 0:
            reason: Reason = "wrong_key" if number == errno.EACCES else "unknown"
            raise failed(f"The key of {root.name} was not loaded", number, reason)
        self._datasets.loaded.setdefault(root.name, self._datasets.wrap_of(root.name).key)

    def unload_key(self, name: str) -> None:
        self._enter("unload_key", name)
        what = f"The key of {name} was not unloaded"
        self._datasets.existing(name, what)
        if name not in self._datasets.loaded:
            raise failed(what, errno.EACCES)
        if any(self._datasets.uses_key_at(record, name) for record in self._datasets.records.values()):
            raise failed(what, errno.EBUSY, "busy")
        del self._datasets.loaded[name]

    def drop_left_key(self, name: str) -> None:
        self._enter("drop_left_key", name)
        if name in self._datasets.loaded:
            self.unload_key(name)

    def change_key(self, change: KeyChange) -> None:
        self._enter("change_key", change.name)
        what = f"The key of {change.name} was not changed"
        record = self._datasets.existing(change.name, what)
        is_location = props.is_keylocation(change.keylocation) and change.keylocation != "none"
        if record.protection is None or record.origin is not None or not is_location:
            raise failed(what, errno.EINVAL)
        wrap = new_wrap(change.keyformat, change.key, change.iterations)
        if self._datasets.is_locked(record):
            raise failed(what, errno.EACCES)
        self._datasets.rewrap(record, record.protection.root, change.name, wrap)
        self._datasets.loaded[change.name] = wrap.key
        record.local["keylocation"] = change.keylocation

    def inherit_key(self, name: str) -> None:
        self._enter("inherit_key", name)
        what = f"{name} does not inherit its parent's key"
        record = self._datasets.existing(name, what)
        parent = self._datasets.records.get(parent_of(name) or "")
        if not record.is_root or record.origin is not None or parent is None or parent.protection is None:
            raise failed(what, errno.EINVAL)
        if self._datasets.is_locked(record) or self._datasets.is_locked(parent):
            raise failed(what, errno.EACCES)
        above = parent.protection.root
        self._datasets.rewrap(record, name, above, self._datasets.wrap_of(above))
        del self._datasets.loaded[name], record.local["keylocation"]

    @contextlib.contextmanager
    def keep_open(self, datasets: t.Sequence[Dataset]) -> t.Iterator[None]:
        for dataset in datasets:
            record = self._datasets.records.get(dataset.name)
            is_open = record is not None and (
                record.mounted_at is not None
                or (record.kind == "volume" and not self._datasets.is_mismatched(record))
                or record.name in self._datasets.held
            )
            if not is_open:
                raise CallFailed(f"{dataset.name} is no longer in use, so the key was not touched. Run again.")
        with contextlib.ExitStack() as held:
            for dataset in datasets:
                if dataset.name not in self._datasets.held:
                    held.enter_context(self.hold(dataset.name))
            yield

    def repoint(self, name: str) -> None:
        self._enter("repoint", name)
        what = f"{name} did not become a root of its own"
        record = self._datasets.existing(name, what)
        if record.protection is None or record.is_root or record.origin is not None:
            raise failed(what, errno.EINVAL)
        self._datasets.repoint(record, record.protection.root, name)
        record.local["keylocation"] = "prompt"

    def reattach(self, name: str) -> None:
        self._enter("reattach", name)
        what = f"{name} does not refer to its parent's root"
        record = self._datasets.existing(name, what)
        parent = self._datasets.records.get(parent_of(name) or "")
        if parent is None:
            raise CallFailed(f"{name} is a pool's root dataset and has no parent to refer to.")
        if not record.is_root or record.origin is not None or parent.protection is None:
            raise failed(what, errno.EINVAL)
        if name in self._datasets.loaded:
            raise CallFailed(f"{what}: its key is loaded. Lock it first.")
        self._datasets.repoint(record, name, parent.protection.root)
        del record.local["keylocation"]

    def _try(self, root: Dataset, key: Key) -> int:
        """Answer as the kernel does to a key, by error number."""
        record = self._datasets.records.get(root.name)
        if record is None:
            return errno.ENOENT
        if not record.is_root:
            return errno.EINVAL
        wrapping_key = key.wrapping_key(salt=root.number("pbkdf2salt"), iterations=root.number("pbkdf2iters"))
        return 0 if wrapping_key == self._datasets.wrap_of(root.name).key else errno.EACCES
