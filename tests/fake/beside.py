# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does to the fake beside the protocol."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, PoolCreation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import Topology, Vdev

from . import moves
from .datasets import User
from .disks import Disk
from .pools import OTHER_SYSTEM
from .state import State


class Beside(State):
    """Nothing of this is noted as a call, and nothing of it fails on request."""

    def add_pool(self, name: str, properties: t.Mapping[str, str] | None = None, key: Key | None = None) -> None:
        """Make a pool of one disk; with a key its root dataset is an encryption root."""
        path = f"/dev/disk/by-id/{name}"
        self.add_disk(path)
        topology = Topology(data=(Vdev("stripe", (path,)),))
        self._pools.add(PoolCreation(topology, Creation(name, properties or {}, key=key)))

    def add_disk(
        self, path: str, *, holds: t.Iterable[str] = (), in_use: str | None = None, real: str | None = None
    ) -> None:
        """Plug in a disk, blank if nothing else is said; ``real`` is where a link like by-id leads."""
        self._disks.add(path, Disk(real or path, "disk", holds=tuple(holds), in_use=in_use))

    def add_file(self, path: str, size: int = 0, *, holds: t.Iterable[str] = ()) -> None:
        """Leave a file that a pool could be made of."""
        self._disks.add(path, Disk(path, "file", size, tuple(holds)))

    def fill(self, path: str, *holds: str) -> None:
        """Put something on a disk or file, in words."""
        self._disks.put(path, holds)

    @contextlib.contextmanager
    def use_disk(self, path: str, user: str) -> t.Iterator[None]:
        """Have a disk in use, in words."""
        self._disks.use(path, user)
        yield
        self._disks.use(path, None)

    def set_hostid(self, hostid: str) -> None:
        self._pools.hostid = hostid

    def crash(self, name: str) -> None:
        """Leave a pool as a system does that goes down without exporting it."""
        self._pools.crash(name)

    def use(self, name: str, *users: User) -> None:
        """Have users of a dataset, none of whom lets go of it; without any it is let go of."""
        if name in self._datasets.records:
            self._datasets.begin_to_use(self._datasets.records[name])
        self._datasets.users[name] = list(users)

    def bind(self, name: str, path: str) -> None:
        """Mount a filesystem a second time, by a bind mount."""
        self._datasets.binds.setdefault(name, []).append(path)

    def alter_exported(self, name: str, *, state: str = "ONLINE", problem: str = "", last_host: str = "") -> None:
        """Have the pool of this name that was exported last show a problem, or another system that uses it."""
        pool = next(each for each in reversed(self._pools.exported) if each.name == name)
        problem = problem or (OTHER_SYSTEM if last_host else "")
        pool.health, pool.problem, pool.last_host = state, problem, last_host

    @contextlib.contextmanager
    def checkpointed(self, name: str) -> t.Iterator[None]:
        """Have a checkpoint of a pool."""
        pool = self._pools.imported[name]
        pool.has_checkpoint = True
        yield
        pool.has_checkpoint = False

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset."""
        self._datasets.clone(origin, name)

    def promote(self, name: str) -> None:
        """Let a clone and its origin change places."""
        self._datasets.promote(name)

    def sweep(self, name: str) -> None:
        """Destroy a dataset and all below it."""
        self._datasets.sweep(name)

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment.

        An increment without them leaves a replica that inherits a key with a master key that this key does not open.
        """
        self._datasets.replicate(source, target, properties=properties)

    def replicate_tree(self, source: str, target: str) -> None:
        """Send a dataset raw with all below it, once."""
        moves.replicate_tree(self._datasets, source, target)

    def send_decrypted(self, source: str, target: str) -> None:
        """Send a dataset that is plain, or whose key is loaded, not raw."""
        moves.send_decrypted(self._datasets, source, target)

    def rename(self, old: str, new: str) -> None:
        moves.rename(self._datasets, old, new)

    @contextlib.contextmanager
    def hold(self, name: str) -> t.Iterator[None]:
        """Have a file of a mounted filesystem open, or a volume."""
        self._datasets.begin_to_use(self._datasets.records[name])
        self._datasets.held.add(name)
        try:
            yield
        finally:
            self._datasets.held.discard(name)

    def mount_options(self, name: str) -> frozenset[str]:
        """Return the properties that decide how a filesystem is mounted."""
        record = self._datasets.records[name]
        switches = ("atime", "devices", "exec", "nbmand", "readonly", "relatime", "setuid")
        return frozenset(f"{switch}={self._datasets.property(record, switch).value}" for switch in switches)
