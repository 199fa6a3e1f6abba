# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planners and steps may ask of a host: one protocol, kept by OpenZFS itself and by the tests' fake.

Both are held to it by one conformance suite. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._keys import Key
from ._model import Dataset, Place, Pool, Tree, Verdict

if t.TYPE_CHECKING:
    from ._devices import Device
    from ._topology import Topology


@dataclass(frozen=True)
class Creation:
    """A dataset to make.

    Args:
        name: the dataset; its parent exists.
        volume_size: the size of a volume in bytes or as OpenZFS writes it; None makes a filesystem.
        sparse: make a volume without reservation.
        properties: everything to set at creation, ``encryption`` and ``keyformat`` included.
        key: the wrapping key or passphrase of a new encryption root; None inherits or is plain.
        keylocation: where OpenZFS shall look for the key later.
    """

    name: str
    properties: t.Mapping[str, str]
    volume_size: str | None = None
    sparse: bool = False
    key: Key | None = None
    keylocation: str = "prompt"


@dataclass(frozen=True)
class KeyChange:
    """A new wrapping key for a dataset, which becomes or stays an encryption root.

    Args:
        name: the dataset, unlocked, no clone.
        keyformat: the format the key will have.
        key: the new key.
        keylocation: set in the same transaction as the key.
        iterations: PBKDF2 rounds, for a passphrase only.
    """

    name: str
    keyformat: str
    key: Key = field(repr=False)
    keylocation: str
    iterations: int = 0


@dataclass(frozen=True)
class PoolCreation:
    """A pool to make.

    Args:
        topology: its vdevs; every disk is there and blank.
        root: its root dataset; a pool has no volume for that.
        properties: of the pool.
        altroot: where its mountpoints begin, until it is exported.
        force: allow mixed redundancy and sizes.
    """

    topology: Topology
    root: Creation
    properties: t.Mapping[str, str] = field(default_factory=dict)
    altroot: str | None = None
    force: bool = False

    @property
    def name(self) -> str:
        return self.root.name


@dataclass(frozen=True)
class PoolImport:
    """A pool to import, nothing of it mounted and no key loaded.

    Args:
        guid: which; names need not be unique.
        search: directories and devices to look in, empty for the usual ones.
        force: though another system used it last.
    """

    name: str
    guid: str
    search: tuple[str, ...] = ()
    altroot: str | None = None
    readonly: bool = False
    force: bool = False


@dataclass(frozen=True)
class PoolState:
    """An imported pool's vdevs and properties, as ``zpool get -p`` prints them; what is empty is ``-``."""

    topology: Topology
    properties: t.Mapping[str, str]


@dataclass(frozen=True)
class Importable:
    """A pool that could be imported.

    Args:
        state: its health, like ``ONLINE``.
        problem: what ``zpool import`` says about it, empty if nothing.
        last_host: name and hostid of the system that used it last, empty if unknown.
    """

    name: str
    guid: str
    state: str
    problem: str = ""
    last_host: str = ""


@dataclass(frozen=True)
class Binding:
    """How a host reaches OpenZFS: ``pyzfs`` or ``cli``, on which Python, in which version."""

    name: str
    interpreter: str
    python: str
    openzfs: str


class Host(t.Protocol):
    """A machine with OpenZFS. Calls about a dataset raise CallFailed; none of them ever asks a question.

    Attributes:
        remarks: what a person should know of calls that did what they should.
    """

    remarks: list[str]

    def binding(self) -> Binding:
        """Say which path key operations take, and the versions involved."""

    def pools(self) -> t.Mapping[str, Pool]:
        """Return the imported pools by name; none where OpenZFS is not installed."""

    def datasets(self, pools: t.Iterable[str], properties: t.Iterable[str] = ()) -> Tree:
        """Read all filesystems and volumes of these pools, with the given properties besides the usual ones."""

    def dataset(self, name: str) -> Dataset | None:
        """Read one dataset anew, None if it is not there."""

    def verify(self, root: Dataset, key: Key) -> Verdict:
        """Ask whether a key opens an encryption root, locked or not, without loading it."""

    def load_key(self, root: Dataset, key: Key) -> None:
        """Load a root's key; a root whose key is loaded already stays as it is if the key is right."""

    def unload_key(self, name: str) -> None:
        """Unload a root's key; ``busy`` while anything below is in use."""

    def drop_left_key(self, name: str) -> None:
        """Take the key out of memory that a promotion left at a clone, which was a root before; none need be there.

        ``busy`` while something that was opened before the promotion is in use. Only libzfs_core can do that, for
        whoever may unload it; nothing happens otherwise.
        """

    def change_key(self, change: KeyChange) -> None:
        """Wrap a dataset's master key, and those that inherit from it, with another key, on disk at return."""

    def inherit_key(self, name: str) -> None:
        """Make a root inherit its parent's wrapping key; both keys are loaded."""

    def keep_open(self, datasets: t.Sequence[Dataset]) -> t.ContextManager[None]:
        """Keep mounted filesystems and volumes in use, so that their master keys stay loaded; fails if one is not."""

    def repoint(self, name: str) -> None:
        """Make a dataset that inherits a key a root of its own, locked, and leave it wrapped as it is.

        What inherits through it follows. No key is needed. Only libzfs_core can do that.
        """

    def reattach(self, name: str) -> None:
        """Make a locked root refer to its parent's root, and leave it wrapped as it is.

        What inherits from it follows. No key is needed. Only libzfs_core can do that.
        """

    def create(self, creation: Creation) -> None:
        """Create a dataset, not mounted; a failure leaves nothing behind."""

    def destroy(self, name: str) -> None:
        """Destroy one dataset, never what lies below it."""

    def set_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        """Set properties of a dataset in one go.

        At a new mountpoint the filesystem and what inherits it are mounted, if they are by themselves and unlocked.
        """

    def inherit_properties(self, name: str, properties: t.Collection[str]) -> None:
        """Give up a dataset's own and received values: it takes its parent's, or the defaults.

        A mountpoint that changes by that is as good as one that is set.
        """

    def mount(self, name: str, known: Dataset | None = None) -> None:
        """Mount a filesystem where its mountpoint says, as ``zfs mount`` does, but refuse an occupied place.

        It is shared as its ``sharenfs`` and ``sharesmb`` say; where that fails, a remark tells.

        Args:
            name: the filesystem.
            known: the same as it was read with MOUNT_PROPERTIES, unmounted; None to read it now.
        """

    def unmount(self, name: str, known: Dataset | None = None) -> None:
        """Unmount a filesystem; ``busy`` while it is in use. Arguments as for mounting."""

    def force_unmount(self, name: str) -> None:
        """Take away all mounts of a filesystem: bind mounts, what is mounted inside, other mount namespaces.

        ``busy`` while a process uses it: no process loses a file, and nothing is unmounted lazily.
        """

    def prove_readable(self, dataset: Dataset) -> None:
        """Prove that an unlocked, unmounted dataset can really be read: keystatus alone does not.

        A dataset with a snapshot does not change by it.
        """

    def await_node(self, volume: Dataset) -> None:
        """Wait until a volume that was just made has its node, where this system makes any."""

    def receiving(self, names: t.Collection[str]) -> frozenset[str]:
        """Return those of the datasets that an increment is being received into, or was until it broke off."""

    def received_snapshots(self, names: t.Collection[str]) -> t.Mapping[str, str]:
        """Return, by dataset, a snapshot that was received from elsewhere for certain. Without one nothing is."""

    def occupant(self, path: str) -> str | None:
        """Say what stands in the way of mounting at a path, None if nothing does."""

    def place_aside(self, path: str) -> str:
        """Return the free name beside a path that what stands there would get; CallFailed where it must not move."""

    def move_aside(self, path: str, aside: str) -> None:
        """Rename what stands at a path, with all that it holds; never over something else."""

    def move_back(self, aside: str, path: str) -> None:
        """Undo a move; an empty directory that was made meanwhile goes away."""

    def read_key_file(self, path: str) -> bytes | None:
        """Return a key file's content, None if there is no such file."""

    def sync_key_file(self, path: str) -> None:
        """Make a key file that is there durable, its directory entry included."""

    def write_key_file(self, path: str, content: bytes) -> None:
        """Write a new key file durably, readable by its owner only; never over an existing one."""

    def pool_states(self) -> t.Mapping[str, PoolState]:
        """Read vdevs and properties of all imported pools."""

    def importable_pools(self, search: t.Sequence[str]) -> tuple[Importable, ...]:
        """Look for pools that are not imported, in these directories and devices or the usual ones."""

    def hostid(self) -> str:
        """Return this system's hostid in hexadecimal digits, by which pools know who uses them."""

    def rehearse_pool(self, creation: PoolCreation, stand_ins: t.Mapping[str, int] | None = None) -> str | None:
        """Return what ``zpool create`` would complain of, None if nothing; nothing changes.

        With ``stand_ins`` (bytes by path) files take the place of disks that are not ready.
        """

    def create_pool(self, creation: PoolCreation) -> None:
        """Create a pool and mount its root dataset; a failure leaves the disks blank, as they were."""

    def destroy_pool(self, name: str) -> None:
        """Destroy a pool with everything in it."""

    def export_pool(self, name: str) -> None:
        """Unmount and export a pool; its keys are gone from memory then."""

    def import_pool(self, request: PoolImport) -> None:
        """Import a pool, nothing of it mounted and no key loaded."""

    def set_pool_properties(self, name: str, properties: t.Mapping[str, str]) -> None:
        """Set properties of a pool, one after the other."""

    def place(self, path: str) -> Place:
        """Look at a mountpoint, whether anything is mounted there or not."""

    def protect_place(self, path: str) -> None:
        """Make a bare mountpoint immutable, so that nobody writes into it; never what is mounted there."""

    def release_place(self, path: str) -> bool:
        """Take the immutable flag off a bare mountpoint, and tell whether it was there."""

    def foundations(self) -> t.Mapping[str, tuple[str, ...]]:
        """Return the datasets that the running system stands on, each with what stands on it, in words."""

    def loaded(self, roots: t.Collection[str]) -> frozenset[str]:
        """Return those of these encryption roots whose keys are loaded now, by one read."""

    def mounts(self, names: t.Collection[str]) -> tuple[tuple[str, str], ...]:
        """Return where these filesystems and their snapshots are mounted, bind mounts too: pairs of name and path."""

    def users(self, names: t.Iterable[str]) -> tuple[str, ...]:
        """Say who keeps datasets, or what lies below them, busy: processes, swap, what was built on volumes."""

    def real_path(self, path: str) -> str:
        """Follow the symbolic links of a path; one that leads nowhere stays as it is."""

    def device(self, path: str) -> Device:
        """Look at a disk or file that a pool is to be made of."""

    def clear_device(self, path: str) -> None:
        """Take the signatures of what lies on a disk or file off it."""

    def make_file(self, path: str, size: int) -> None:
        """Make a sparse file for a vdev; never over an existing one."""

    def remove_file(self, path: str) -> None:
        """Remove a file that was made for a vdev."""
