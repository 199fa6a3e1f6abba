# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locking trees of encryption roots: deepest first, and only what is proven to open again.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._errors import Refused
from ._model import Dataset, Tree, is_below
from ._plan import Failure, Group, Observed
from ._steps import UnloadKey, Unmount
from ._unlock_wanted import UnlockWanted
from ._verdicts import unopened

_KEPT = "It stays unlocked: what is locked must be proven to open again."


def plan_locked(
    chosen: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed
) -> tuple[list[Group], dict[str, Failure]]:
    _refuse_unlocked_below(chosen, observed)
    failures: dict[str, Failure] = {}
    groups: list[Group] = []
    for root in reversed(chosen):
        if not root.is_key_loaded:
            continue
        failure = _held_elsewhere(root, observed)
        if failure is None and wanted.verify_key:
            failure = unopened(root, wanted.offers, observed, kept=_KEPT)
        if failure is not None:
            failures[root.name] = failure
        below = (each for each in observed.tree.roots_at_or_below(root.name) if each.name != root.name)
        deeper = tuple(each.name for each in below if each.is_key_loaded)
        unmounts = tuple(Unmount.of(dataset) for dataset in _mounted_below(root, observed.tree))
        groups.append(Group(root.name, (UnloadKey(root.name),), after=deeper, unmounts=unmounts))
    return groups, failures


def _mounted_below(root: Dataset, tree: Tree) -> list[Dataset]:
    """Return what has to be unmounted, innermost first. A plain dataset with a legacy mount is nobody's business."""
    domain = (dataset for dataset in reversed(tree.domain(root.name)) if dataset.is_mounted)
    return [dataset for dataset in domain if dataset.is_encrypted or dataset.value("mountpoint").startswith("/")]


def _held_elsewhere(root: Dataset, observed: Observed) -> Failure | None:
    """A clone shares its origin's key; one that is mounted in another place holds it (EBUSY)."""
    for member in observed.tree.members(root.name):
        if member.is_mounted and not (member.name == root.name or is_below(member.name, root.name)):
            return Failure(
                "busy",
                f"{root.name} cannot be locked while {member.name}, which shares its key, is mounted. "
                "Unmount that first.",
            )
    return None


def _refuse_unlocked_below(chosen: t.Sequence[Dataset], observed: Observed) -> None:
    names = {root.name for root in chosen}
    for root in chosen:
        for below in observed.tree.roots_at_or_below(root.name):
            if below.name not in names and below.is_key_loaded:
                raise Refused(
                    f"{root.name} cannot be locked alone: {below.name} below it is unlocked. "
                    f"Lock {below.name} first, or set recursive: true."
                )
