# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed on a host: pools, datasets and the tree that they form.

Private to the collection.
"""

from __future__ import annotations

import bisect
import functools
import typing as t
from dataclasses import dataclass, field, replace

from ._names import is_below, names_above, parent_of

# Always read; a run adds the properties that its task sets. Hidden ones answer when named: pbkdf2salt, keyguid,
# inconsistent, prevsnap.
OBSERVED_PROPERTIES = (
    "type",
    "guid",
    "origin",
    "encryption",
    "encryptionroot",
    "keyformat",
    "keylocation",
    "keystatus",
    "pbkdf2iters",
    "pbkdf2salt",
    "keyguid",
    "mounted",
    "mountpoint",
    "canmount",
    "zoned",
    "readonly",
    "receive_resume_token",
    "inconsistent",
    "prevsnap",
    "volsize",
    "volmode",
    "zfsfleet.encryption:key_id",
    "zfsfleet.encryption:rotated_at",
    "zfsfleet.encryption:pool_guid",
)

# What a wrapping key is derived by, and that with the root that has it: what a key change changes.
WRAPPED_WITH = ("keyformat", "pbkdf2salt", "pbkdf2iters")
WRAP = ("encryptionroot", *WRAPPED_WITH)

# What mounting and unmounting need besides; read where a filesystem may be mounted or unmounted.
MOUNT_PROPERTIES = (
    *("atime", "relatime", "devices", "exec", "readonly", "setuid", "nbmand"),
    *("context", "fscontext", "defcontext", "rootcontext", "zoned"),
    *("sharenfs", "sharesmb"),
)


@dataclass(frozen=True)
class Property:
    """One property of one dataset, as ``zfs get -Hp`` prints it; ``-`` and ``none`` are kept as they are."""

    value: str
    source: str = "-"

    @property
    def is_local(self) -> bool:
        return self.source == "local"


_ABSENT = Property("-", "-")


@dataclass(frozen=True)
class Pool:
    """An imported pool.

    Args:
        guid: its decimal text, which names the lock file and copies of the data.
        altroot: what OpenZFS puts before the mountpoints that it shows; they are set without it. Empty for none.
        has_checkpoint: whether the pool can be rewound to a checkpoint (zpool-checkpoint(8)).
    """

    name: str
    guid: str
    health: str = "ONLINE"
    readonly: bool = False
    altroot: str = ""
    has_checkpoint: bool = False

    def shown(self, mountpoint: str) -> str:
        """Return a mountpoint as ``zfs get`` shows it once it is set (zfs_prop_get_mountpoint)."""
        return f"{self.altroot}{mountpoint}".rstrip("/") if self.altroot and mountpoint.startswith("/") else mountpoint


@dataclass(frozen=True)
class Dataset:
    """A filesystem or a volume."""

    name: str
    properties: t.Mapping[str, Property] = field(repr=False)

    def value(self, name: str) -> str:
        """Return a property's text, ``-`` where the dataset has no such property."""
        return self.properties.get(name, _ABSENT).value

    def values(self, names: t.Iterable[str]) -> dict[str, str]:
        return {name: self.value(name) for name in names}

    def number(self, name: str) -> int:
        """Return a property as an integer, 0 where it has none."""
        text = self.value(name)
        return int(text) if text.isdigit() else 0

    @property
    def is_volume(self) -> bool:
        return self.value("type") == "volume"

    @property
    def is_encrypted(self) -> bool:
        return self.value("encryption") not in ("off", "-")

    @property
    def encryption_root(self) -> str | None:
        """Name of the dataset whose wrapping key protects this one; None where it is plain."""
        root = self.value("encryptionroot")
        return None if root in ("-", "") else root

    @property
    def is_encryption_root(self) -> bool:
        return self.encryption_root == self.name

    @property
    def is_key_loaded(self) -> bool:
        return self.value("keystatus") == "available"

    @property
    def is_clone(self) -> bool:
        return self.value("origin") not in ("-", "")

    @property
    def keyformat(self) -> str:
        return self.value("keyformat")

    @property
    def is_mounted(self) -> bool:
        return self.value("mounted") == "yes"

    @property
    def is_zoned(self) -> bool:
        """Tell whether it is a container's: that says where it is mounted, and mounts it (zfsprops(7), ``zoned``)."""
        return self.value("zoned") == "on"

    @property
    def is_mounted_by_default(self) -> bool:
        """Tell whether ``zfs mount -a`` would mount it once its key is loaded (zfsprops(7), ``canmount``)."""
        has_place = self.value("mountpoint").startswith("/") and not self.is_zoned
        is_whole = not self.is_volume and not self.is_half_received
        return is_whole and has_place and self.value("canmount") == "on"

    @property
    def can_be_read(self) -> bool:
        """Tell whether there is something to read from; a volume with ``volmode=none`` has no node.

        What is half received cannot be held by anybody else than the stream to come, and has no node either.
        """
        return self.value("volmode") != "none" and not self.is_half_received

    @property
    def has_received_properties(self) -> bool:
        """Tell whether a stream that was received brought properties (``zfs send -p`` or ``-R``)."""
        return any(prop.source == "received" for prop in self.properties.values())

    @property
    def is_half_received(self) -> bool:
        """Tell whether the first stream that is received into it has not come to its end."""
        return self.value("inconsistent") == "1"

    @property
    def last_snapshot(self) -> str | None:
        """Its newest snapshot, None if it has none: ``prevsnap`` of a clone is its origin's then."""
        newest = self.value("prevsnap")
        return newest if newest.startswith(f"{self.name}@") else None

    @property
    def key_file(self) -> str | None:
        """Path of the key file that ``keylocation`` names, None for a prompt or a URL."""
        return file_of(self.value("keylocation"))

    def hides(self, path: str) -> bool:
        """Tell whether a file lies on this filesystem, if mounted, and cannot be read while it is not.

        A root file system is let through: its key travels in the initramfs.
        """
        mountpoint = self.value("mountpoint")
        holds_files = mountpoint.startswith("/") and mountpoint != "/" and self.value("canmount") != "off"
        return holds_files and path.startswith(mountpoint + "/")

    def with_values(self, values: t.Mapping[str, str]) -> Dataset:
        """Return the dataset as it would be with these properties set locally."""
        changed = {name: Property(value, "local") for name, value in values.items()}
        return replace(self, properties={**self.properties, **changed})


@dataclass(frozen=True)
class Place:
    """What is to be seen of the directory that a filesystem is mounted on.

    Args:
        state: ``bare``, ``protected`` by the immutable flag, ``mounted`` over, or that there is ``none``.
        obstacle: why its flag cannot be set or taken off, None if it can.
    """

    state: t.Literal["bare", "protected", "mounted", "none"]
    obstacle: str | None = None

    def can_be_protected(self, *, after_unmount: bool) -> bool:
        """Tell whether there is something to protect, now or when the filesystem is unmounted."""
        return self.obstacle is None and self.state in (("bare", "mounted") if after_unmount else ("bare",))


@dataclass(frozen=True)
class Verdict:
    """What the kernel said about one key and one encryption root, asked without loading the key.

    Only EACCES means ``wrong``; every other error leaves open whether the key would do.
    """

    outcome: t.Literal["opens", "wrong", "unknown"]
    errno: int | None = None
    detail: str = ""


OPENS = Verdict("opens")
WRONG = Verdict("wrong")


def file_of(location: str) -> str | None:
    """Return the path of the file that a ``keylocation`` names, None if it names none."""
    return location.removeprefix("file://") if location.startswith("file://") else None


def _follows(member: Dataset, above: str) -> bool:
    """Tell whether a dataset lies at or below another one, or is a clone of something there."""
    origin = member.value("origin").partition("@")[0]
    return above in (member.name, origin) or is_below(member.name, above) or is_below(origin, above)


def _extended(index: list[str], known: t.Sequence[tuple[Dataset | None, Dataset]]) -> list[str]:
    """Return an index with the names that were not there."""
    extended = list(index)
    for was, now in known:
        if was is None:
            bisect.insort(extended, now.name + "/")
    return extended


@dataclass(frozen=True)
class Tree:
    """All datasets that were read, by name. Looking below a dataset costs what it finds, not the whole tree."""

    datasets: t.Mapping[str, Dataset]

    @functools.cached_property
    def _index(self) -> list[str]:
        return sorted(name + "/" for name in self.datasets)

    @functools.cached_property
    def _members(self) -> t.Mapping[str, t.Sequence[str]]:
        members: dict[str, list[str]] = {}
        for index_key in self._index:
            name = index_key[:-1]
            root = self.datasets[name].encryption_root
            if root is not None:
                members.setdefault(root, []).append(name)
        return members

    def get(self, name: str) -> Dataset | None:
        return self.datasets.get(name)

    def parent(self, name: str) -> Dataset | None:
        above = parent_of(name)
        return None if above is None else self.datasets.get(above)

    def ancestors(self, name: str) -> t.Iterator[Dataset]:
        """Yield the datasets above, nearest first."""
        return (self.datasets[above] for above in names_above(name) if above in self.datasets)

    def at_or_below(self, name: str) -> t.Iterator[Dataset]:
        """Yield the dataset, if there, and its descendants, every parent before its children."""
        prefix = name + "/"
        for position in range(bisect.bisect_left(self._index, prefix), len(self._index)):
            if not self._index[position].startswith(prefix):
                return
            yield self.datasets[self._index[position][:-1]]

    def below(self, name: str) -> t.Iterator[Dataset]:
        """Yield the descendants, every parent before its children."""
        return (dataset for dataset in self.at_or_below(name) if dataset.name != name)

    def roots_at_or_below(self, name: str) -> tuple[Dataset, ...]:
        return tuple(dataset for dataset in self.at_or_below(name) if dataset.is_encryption_root)

    def members(self, root: str) -> tuple[Dataset, ...]:
        """Return the root and all that inherit its key, clones in other places included, parents first."""
        return tuple(self.datasets[name] for name in self._members.get(root, ()))

    def is_open(self, root: Dataset) -> bool:
        """Tell whether something of a root may be readable: its key is loaded, or something is mounted without.

        What is mounted stays so when a clone takes its root over by promotion, and the loaded key stays behind.
        """
        return root.is_key_loaded or any(member.is_mounted for member in self.members(root.name))

    def clones(self, root: str) -> tuple[str, ...]:
        """Return the members of a root that are clones; such a one may have been the root before a promotion."""
        return tuple(member.name for member in self.members(root) if member.is_clone)

    def domain(self, root: str) -> tuple[Dataset, ...]:
        """Return what opens and closes with a root: its members, and plain datasets below it, by mountpoint.

        Below another encryption root begins that one's domain.
        """
        found = {member.name: member for member in self.members(root)}
        for dataset in self.below(root):
            nearest = next((above for above in self.ancestors(dataset.name) if above.is_encryption_root), None)
            if not dataset.is_encrypted and nearest is not None and nearest.name == root:
                found[dataset.name] = dataset
        return tuple(sorted(found.values(), key=lambda dataset: (dataset.value("mountpoint") + "/", dataset.name)))

    @functools.cached_property
    def _places(self) -> t.Mapping[str, Dataset]:
        """What is mounted, else what is mounted by itself once it is unlocked, by mountpoint."""
        places: dict[str, Dataset] = {}
        for dataset in self.datasets.values():
            is_closed = dataset.is_mounted_by_default and dataset.is_encrypted and not dataset.is_key_loaded
            if dataset.is_mounted or (is_closed and dataset.value("mountpoint") not in places):
                places[dataset.value("mountpoint")] = dataset
        return places

    def closed_around(self, path: str) -> Dataset | None:
        """Return the locked filesystem in whose bare mountpoint a path lies, None if there is none.

        What would be mounted there keeps it from being unlocked.
        """
        around = next((self._places[above] for above in names_above(path) if above in self._places), None)
        return None if around is None or around.is_mounted else around

    def rewrapped_with(self, dataset: Dataset) -> tuple[Dataset, ...]:
        """Return what a change of this dataset's key wraps anew: a root's members, else what hangs below it.

        Clones follow their origin, wherever they lie.
        """
        members = self.members(dataset.encryption_root or dataset.name)
        if dataset.is_encryption_root:
            return members
        found: set[str] = set()
        reached = {dataset.name}
        while reached != found:
            found = reached
            reached = {member.name for member in members if any(_follows(member, above) for above in found)}
        return tuple(member for member in members if member.name in found)

    def with_datasets(self, *changed: Dataset) -> Tree:
        """Return the tree as it would be with these datasets added or replaced.

        A batch makes a new tree with every entry, so what its changes leave as it was is not worked out anew.
        """
        tree = Tree({**self.datasets, **{each.name: each for each in changed}})
        known = [(self.datasets.get(each.name), each) for each in changed]
        if "_index" in self.__dict__:
            tree.__dict__["_index"] = self._index if all(was for was, _now in known) else _extended(self._index, known)
        if "_members" in self.__dict__ and all(
            was is not None and was.encryption_root == now.encryption_root for was, now in known
        ):
            tree.__dict__["_members"] = self._members
        return tree

    def without(self, name: str) -> Tree:
        return Tree({key: dataset for key, dataset in self.datasets.items() if key != name})
