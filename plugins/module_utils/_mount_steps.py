# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps about the places of filesystems: mounted and unmounted, moved aside for, protected while they are locked.

And about the nodes of volumes, which are to them what mounts are to filesystems.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from ._errors import CallFailed, EncryptionError, StateUnknown, in_use, unforeseen
from ._host import Host
from ._model import Dataset
from ._step import NOTHING, Step, Values


@dataclass(frozen=True)
class MoveAside:
    """What stood where a filesystem is to be mounted, renamed in its directory. Only a mount that fails takes it back.

    Args:
        dataset: the filesystem.
        path: its mountpoint.
        aside: the new name.
    """

    dataset: str
    path: str
    aside: str
    action: t.ClassVar[str] = "move_aside"
    undone_by: t.ClassVar[None] = None

    @property
    def before(self) -> Values:
        return {"in_the_way": self.path}

    @property
    def after(self) -> Values:
        return {"in_the_way": self.aside}

    def perform(self, host: Host) -> None:
        host.move_aside(self.path, self.aside)

    def take_back(self, host: Host, error: Exception) -> None:
        """Move back because of an error of the mount.

        Raises:
            CallFailed: it is still where it was moved to.
        """
        try:
            host.move_back(self.aside, self.path)
        except CallFailed as second:
            first = str(error) if isinstance(error, EncryptionError) else unforeseen(error)
            raise CallFailed(f"{first} {second}", reason=second.reason, errno=second.errno) from None


@dataclass(frozen=True)
class Mount:
    """A filesystem mounted where its mountpoint says.

    Args:
        known: the filesystem as it was read, where it need not be read again.
        clears_way: what stands there is moved aside.
        foreseen: what was seen to stand there; in a filesystem that is mounted first, something may show later.
        doom: why it is seen to fail. A real run tries it all the same, and tells what OpenZFS says.
    """

    dataset: str
    mountpoint: str
    known: Dataset | None = field(default=None, repr=False)
    clears_way: bool = False
    foreseen: tuple[MoveAside, ...] = ()
    doom: str | None = None
    action: t.ClassVar[str] = "mount"
    before: t.ClassVar[Values] = {"mounted": "no"}
    after: t.ClassVar[Values] = {"mounted": "yes"}

    @classmethod
    def of(cls, dataset: Dataset) -> Mount:
        return cls(dataset.name, dataset.value("mountpoint"), dataset)

    @property
    def undone_by(self) -> Step | None:
        return Unmount(self.dataset, self.mountpoint, self.known)

    def perform(self, host: Host) -> t.Sequence[Step] | None:
        with released(host, self.mountpoint):
            return self._perform(host)

    def _perform(self, host: Host) -> t.Sequence[Step] | None:
        if not self.clears_way or host.occupant(self.mountpoint) is None:
            host.mount(self.dataset, self.known)
            return None
        move = MoveAside(self.dataset, self.mountpoint, host.place_aside(self.mountpoint))
        move.perform(host)
        try:
            host.mount(self.dataset, self.known)
        except StateUnknown as error:
            raise StateUnknown(f"{error} What stood on {move.path} is now {move.aside}.") from None
        except Exception as error:
            move.take_back(host, error)
            raise
        return (move,)


@dataclass(frozen=True)
class Unmount:
    """A filesystem unmounted; ``known`` as for mounting.

    Args:
        force: take away all its mounts, wherever they are, with what is mounted inside.
    """

    dataset: str
    mountpoint: str
    known: Dataset | None = field(default=None, repr=False)
    force: bool = False
    action: t.ClassVar[str] = "unmount"
    before: t.ClassVar[Values] = {"mounted": "yes"}
    after: t.ClassVar[Values] = {"mounted": "no"}

    @classmethod
    def of(cls, dataset: Dataset, *, force: bool = False) -> Unmount:
        return cls(dataset.name, dataset.value("mountpoint"), dataset, force)

    @property
    def undone_by(self) -> Step | None:
        unmounted = None if self.known is None else self.known.with_values({"mounted": "no"})
        return Mount(self.dataset, self.mountpoint, unmounted)

    def perform(self, host: Host) -> None:
        try:
            if self.force:
                host.force_unmount(self.dataset)
            else:
                host.unmount(self.dataset, self.known)
        except CallFailed as error:
            raise in_use(error, host.users((self.dataset,))) if error.reason == "busy" else error from None


@dataclass(frozen=True)
class ProtectMountpoint:
    """The bare mountpoint of a locked dataset, made immutable: what was written into it would be hidden later."""

    dataset: str
    path: str
    action: t.ClassVar[str] = "protect_mountpoint"
    before: t.ClassVar[Values] = {"mountpoint_protected": "no"}
    after: t.ClassVar[Values] = {"mountpoint_protected": "yes"}

    @property
    def undone_by(self) -> Step | None:
        return ReleaseMountpoint(self.dataset, self.path)

    def perform(self, host: Host) -> None:
        host.protect_place(self.path)


@dataclass(frozen=True)
class ProtectIfBare:
    """The mountpoint of what did not open, protected where it shows as bare; inside what was just mounted it may.

    Args:
        foreseen: what was seen to need it.
    """

    dataset: str
    path: str
    foreseen: tuple[ProtectMountpoint, ...] = ()
    action: t.ClassVar[str] = "protect_if_bare"
    before: t.ClassVar[Values] = NOTHING
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> t.Sequence[Step] | None:
        if not host.place(self.path).can_be_protected(after_unmount=False):
            return None
        protection = ProtectMountpoint(self.dataset, self.path)
        protection.perform(host)
        return (protection,)


@dataclass(frozen=True)
class ReleaseMountpoint:
    dataset: str
    path: str
    action: t.ClassVar[str] = "release_mountpoint"
    before: t.ClassVar[Values] = {"mountpoint_protected": "yes"}
    after: t.ClassVar[Values] = {"mountpoint_protected": "no"}
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> None:
        host.release_place(self.path)


@dataclass(frozen=True)
class ReleaseIfProtected:
    """The mountpoint of what is unlocked and not mounted by us, released where it shows as protected.

    One that holds something was not protected by us: nothing can be put into an immutable directory.

    Args:
        foreseen: what was seen to need it.
    """

    dataset: str
    path: str
    foreseen: tuple[ReleaseMountpoint, ...] = ()
    action: t.ClassVar[str] = "release_if_protected"
    before: t.ClassVar[Values] = NOTHING
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    def perform(self, host: Host) -> t.Sequence[Step] | None:
        try:
            if host.occupant(self.path) is not None or not host.release_place(self.path):
                return None
        except CallFailed as error:
            host.remarks.append(str(error))  # a person can mount it all the same
            return None
        return (ReleaseMountpoint(self.dataset, self.path),)


@contextlib.contextmanager
def released(host: Host, *mountpoints: str) -> t.Iterator[None]:
    """Take the protection off bare mountpoints that are to be used or to go; if that fails, it is there again.

    OpenZFS can neither create a directory in an immutable one nor take that away. What was mounted over is released
    afterwards, when it shows.
    """
    places = [path for path in mountpoints if path.startswith("/")]
    taken_off = [path for path in places if host.release_place(path)]
    try:
        yield
    except Exception:
        for path in taken_off:
            with contextlib.suppress(CallFailed):
                host.protect_place(path)
        raise
    for path in places:
        host.release_place(path)


@dataclass(frozen=True)
class AwaitNode:
    """A volume that was just made can be used only when udev made its node: whoever formats it next would fail."""

    volume: Dataset
    action: t.ClassVar[str] = "await_node"
    before: t.ClassVar[Values] = NOTHING
    after: t.ClassVar[Values] = NOTHING
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.volume.name

    def perform(self, host: Host) -> None:
        host.await_node(self.volume)
