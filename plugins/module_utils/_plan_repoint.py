# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning ``repoint``: a dataset refers to another encryption root, and stays wrapped as it is.

So a replica that inherits a key which does not open it becomes a root of its own, and one that is a root with the key
of its parent's root inherits, and takes raw increments in both cases. Private to the collection.
"""

from __future__ import annotations

import typing as t

from . import _hierarchy, _replicas
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import Dataset, Tree
from ._offers import KeyFile, Secret
from ._plan import Observed
from ._plan_key import held_in_file
from ._plan_key_file import offered_key, refuse_key_file_inside

if t.TYPE_CHECKING:
    from ._step import Step


def is_repointed(entry: DatasetWanted, dataset: Dataset) -> bool:
    """Tell whether an entry asks for another reference than a dataset has."""
    return entry.repoint and dataset.is_encrypted and dataset.is_encryption_root == (entry.state == "inherited")


def shared_secrets(entry: DatasetWanted, dataset: Dataset, root: Dataset) -> tuple[Secret, ...]:
    """Return what may open both a root and its parent's root: the key given as present, and the key files of both."""
    files = tuple(KeyFile(each.key_file) for each in (dataset, root) if each.key_file is not None)
    return files if entry.current is None else (entry.current, *files)


def shared_keys(entry: DatasetWanted, dataset: Dataset, root: Dataset, key_files: KeyFiles) -> list[Key]:
    keys = (offered_key(secret, dataset, key_files) for secret in shared_secrets(entry, dataset, root))
    return [key for key in keys if key is not None]


def root_above(dataset: Dataset, tree: Tree) -> Dataset | None:
    """Return the encryption root that a dataset would inherit from."""
    parent = tree.parent(dataset.name)
    return None if parent is None else tree.get(parent.encryption_root or "")


def plan_repointed(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    """Plan either direction.

    Raises:
        Refused: it cannot be done, or would not be safe.
    """
    if not observed.can_repoint:
        raise Refused(
            f"{entry.name} is not re-pointed: only libzfs_core can do that, not the zfs command. "
            "Install python3-pyzfs for the Python that runs modules on this host."
        )
    if dataset.is_clone:
        raise Refused(f"{entry.name} is a clone; it has the key of its origin {dataset.value('origin')}.")
    _replicas.refuse_receiving(entry, dataset, tree, observed)
    used = [member.name for member in tree.rewrapped_with(dataset) if member.is_mounted]
    if used:
        raise Refused(f"{entry.name} is not re-pointed while {', '.join(used[:5])} is mounted. Unmount that first.")
    return (_plan_reattached if entry.state == "inherited" else _plan_own)(entry, dataset, tree, observed)


def _plan_own(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    if entry.keyformat not in (None, dataset.keyformat) or entry.pbkdf2iters not in (None, _iterations(dataset)):
        raise Refused(
            f"{entry.name} is not re-pointed: its key is a {dataset.keyformat} as its sender has it, and stays so. "
            "Leave keyformat and pbkdf2iters out; they can be changed afterwards."
        )
    if entry.generate or entry.secret is None:
        raise Refused(f"{entry.name} is not re-pointed without the key that its sender has. Give it, generate none.")
    refuse_key_file_inside(entry, tree.at_or_below(dataset.name), observed)
    key = offered_key(entry.secret, dataset, observed.key_files)
    if key is None or not key.fits(dataset.keyformat):
        raise Refused(f"{entry.name} is not re-pointed: what was given is no key for keyformat {dataset.keyformat}.")
    from ._replica_steps import Repoint

    members = tuple(each for each in tree.rewrapped_with(dataset) if each.can_be_read)
    file = held_in_file(entry, entry.key_file, key, dataset.keyformat, observed)
    return (*file, Repoint(dataset, key, entry.keylocation or "prompt", members))


def _iterations(dataset: Dataset) -> int | None:
    return dataset.number("pbkdf2iters") or None


def _plan_reattached(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    _hierarchy.parent_with_key(entry, tree.parent(dataset.name))
    root = t.cast(Dataset, root_above(dataset, tree))
    differs = _replicas.differences(dataset.with_values({"encryptionroot": root.name}), tree)
    if differs:
        raise Refused(
            f"{entry.name} is not re-pointed: its {', '.join(differs)} and those of {root.name} differ, so it has "
            "another key. Leave repoint out to have it wrapped with that of its parent."
        )
    from ._replica_steps import Reattach

    for key in shared_keys(entry, dataset, root, observed.key_files):
        if all(observed.verdict(each.name, key).outcome == "opens" for each in (dataset, root)):
            return (Reattach(dataset, root.name, key),)
    raise Refused(
        f"{entry.name} is not re-pointed: no key was given that opens both it and {root.name}. Give the key that they "
        "share under current; if they share none, leave repoint out."
    )
