# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan, and what became of it. Carrying it out is ``_carry_out``. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ._errors import CallFailed, EncryptionError, Reason, unforeseen
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import Dataset, Place, Pool, Tree, Verdict

if t.TYPE_CHECKING:
    from ._mount_steps import Mount, ProtectIfBare, Unmount
    from ._step import Step


@dataclass(frozen=True)
class Observed:
    """Everything that was read on the host before anything was decided.

    Args:
        pools: imported pools by name.
        tree: their datasets.
        key_files: the key files that matter.
        verdicts: what the kernel said about (root, key), for every pair that was tried.
        occupied: mountpoints where something stands in the way, and what.
        asides: of those, the ones that may be moved aside, and their new names.
        places: the mountpoints that are to be protected, by path.
        foundations: datasets that the running system stands on, and what stands there.
        unreadable: datasets that their root's loaded key does not open, and what happened.
        receiving: datasets that a stream is being received into.
        can_repoint: whether the host's binding can change references to encryption roots.
        received_snapshots: datasets that were certainly received, and a snapshot that shows it.
    """

    pools: t.Mapping[str, Pool]
    tree: Tree
    key_files: KeyFiles = field(default_factory=KeyFiles)
    verdicts: t.Mapping[tuple[str, Key], Verdict] = field(default_factory=dict, repr=False)
    occupied: t.Mapping[str, str] = field(default_factory=dict)
    asides: t.Mapping[str, str] = field(default_factory=dict)
    unreadable: t.Mapping[str, str] = field(default_factory=dict)
    receiving: frozenset[str] = frozenset()
    can_repoint: bool = True
    received_snapshots: t.Mapping[str, str] = field(default_factory=dict)
    places: t.Mapping[str, Place] = field(default_factory=dict)
    foundations: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def obstacle(self, dataset: Dataset) -> str | None:
        """Say what stands in the way of mounting a dataset where its mountpoint says, None if nothing does."""
        path = dataset.value("mountpoint")
        return (
            f"{dataset.name} would be mounted on {path}, which {self.occupied[path]}" if path in self.occupied else None
        )

    def verdict(self, root: str, key: Key) -> Verdict:
        return self.verdicts.get((root, key), Verdict("unknown", None, "it was not tried"))


@dataclass(frozen=True)
class Failure:
    """Why a root did not get where it should; ``skipped`` are the roots that were left alone because of it."""

    reason: Reason
    msg: str
    errno: int | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """The steps of one encryption root, or of one dataset where a module works by dataset.

    Args:
        name: the root or dataset; failures are reported under it.
        steps: done in order; the first that fails ends the group, and what it did is taken back.
        mounts: done after the steps, each by itself; the steps are only taken back if all of them fail.
        after: groups that come first and must not have failed.
        unmounts: done before the steps; the first that fails ends the group as a failed step does.
        proofs: done last, each by itself; what one of them finds is told, and nothing is taken back.
    """

    name: str
    steps: tuple[Step, ...] = ()
    mounts: tuple[Mount, ...] = ()
    after: tuple[str, ...] = ()
    unmounts: tuple[Unmount, ...] = ()
    proofs: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What to do.

    Args:
        groups: each after those that it names; what does not depend on another is done side by side.
        failures: what is known to fail without trying.
        already: roots that are as they should be.
        missing: sentences about pools and parents that are not there; a real run refuses with them.
        warnings: what the person should know.
        details: what a module reports besides what every module reports, never a secret.
        to_stay_locked: roots that are locked already, which is proven in the end.
        protections: what is done in the end about roots, by name, that failed or were skipped.
    """

    groups: tuple[Group, ...] = ()
    failures: t.Mapping[str, Failure] = field(default_factory=dict)
    already: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    details: t.Mapping[str, t.Any] = field(default_factory=dict)
    to_stay_locked: tuple[str, ...] = ()
    protections: t.Mapping[str, tuple[ProtectIfBare, ...]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What was done, in order, and what failed."""

    done: list[Step] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    _skipped: dict[str, str] = field(default_factory=dict)

    def fail(self, name: str, error: Exception) -> None:
        """Note an error; a later one about the same root adds its sentence to the first."""
        failure = _failure_of(error)
        first = self.failures.get(name)
        if first is None:
            self.failures[name] = failure
        elif failure.msg not in first.msg:
            self.failures[name] = replace(first, msg=f"{first.msg} {failure.msg}")

    @property
    def left(self) -> frozenset[str]:
        """Return what failed or was skipped."""
        return frozenset(name for failed, each in self.failures.items() for name in (failed, *each.skipped))

    def blocker(self, group: Group) -> str | None:
        """Return the failed group because of which this one cannot be carried out."""
        for name in group.after:
            if name in self.failures or name in self._skipped:
                return self._skipped.get(name, name)
        return None

    def skip(self, name: str, blocker: str) -> None:
        self._skipped[name] = blocker
        failure = self.failures[blocker]
        self.failures[blocker] = replace(failure, skipped=(*failure.skipped, name))


def _failure_of(error: Exception) -> Failure:
    """Put an error into words; the text of one that nobody foresaw may hold anything and is left out."""
    if isinstance(error, CallFailed):
        return Failure(error.reason, str(error), error.errno)
    return Failure("unknown", str(error) if isinstance(error, EncryptionError) else unforeseen(error))
