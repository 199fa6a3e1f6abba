# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may lie below what.

OpenZFS allows nearly everything; TrueNAS's rules, our default policy, keep a person from a tree in which one
forgotten passphrase locks away datasets whose keys are at hand. Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._model import Dataset, Tree

_WAY_OUT = "Set hierarchy: openzfs to allow it."


def _ancestor_with_passphrase(parent: Dataset | None, tree: Tree) -> Dataset | None:
    if parent is None:
        return None
    for dataset in (parent, *tree.ancestors(parent.name)):
        if dataset.is_encrypted and dataset.keyformat == "passphrase":
            return dataset
    return None


def _keyed_roots_below(dataset: Dataset, tree: Tree) -> list[str]:
    return [
        root.name
        for root in tree.roots_at_or_below(dataset.name)
        if root.name != dataset.name and root.keyformat != "passphrase"
    ]


def refuse_against_policy(entry: DatasetWanted, tree: Tree) -> None:
    """Refuse what TrueNAS's rules forbid, judged by what the whole task leaves behind.

    Raises:
        Refused: the dataset would lie where it should not, or have below it what should not lie there.
    """
    dataset = tree.get(entry.name)
    if dataset is None or not entry.keeps_truenas_hierarchy:
        return
    if not dataset.is_encrypted:
        _refuse_plain_below_encrypted(dataset, tree)
    elif dataset.keyformat != "passphrase":
        _refuse_keyed_below_passphrase(dataset, tree)
    else:
        _refuse_passphrase_above_keyed(dataset, tree)


def refuse_new_below_plain(entry: DatasetWanted, tree: Tree) -> None:
    """Refuse a new dataset below a plain one that lies below an encrypted one, as TrueNAS does.

    Raises:
        Refused: it could not inherit, and would be out of reach while the encrypted one is locked.
    """
    parent = tree.parent(entry.name)
    if parent is None or parent.is_encrypted or not entry.keeps_truenas_hierarchy:
        return
    encrypted = [each.name for each in tree.ancestors(parent.name) if each.is_encrypted]
    if encrypted:
        raise Refused(
            f"{entry.name} would lie below {parent.name}, which is plain and lies below {encrypted[0]}, which is "
            f"encrypted. Create it elsewhere, or move {parent.name} out of {encrypted[0]} first. {_WAY_OUT}"
        )


def _refuse_keyed_below_passphrase(dataset: Dataset, tree: Tree) -> None:
    above = _ancestor_with_passphrase(tree.parent(dataset.name), tree)
    if dataset.is_encryption_root and above is not None:
        raise Refused(
            f"{dataset.name} would have a key of its own below {above.name}, which has a passphrase. "
            f"Give it a passphrase, or let it inherit. {_WAY_OUT}"
        )


def _refuse_passphrase_above_keyed(dataset: Dataset, tree: Tree) -> None:
    keyed = _keyed_roots_below(dataset, tree)
    if not keyed:
        return
    has = "have a passphrase" if dataset.is_encryption_root else f"inherit the passphrase of {dataset.encryption_root}"
    raise Refused(
        f"{dataset.name} would {has} above {', '.join(keyed[:5])}, which has a key of its own. "
        f"Change that one in the same task, or before. {_WAY_OUT}"
    )


def _refuse_plain_below_encrypted(dataset: Dataset, tree: Tree) -> None:
    for above in tree.ancestors(dataset.name):
        if above.is_encrypted:
            raise Refused(
                f"{dataset.name} would be plain below {above.name}, which is encrypted: its data would be readable "
                f"while {above.name} is locked. {_WAY_OUT}"
            )


def refuse_impossible_creation(entry: DatasetWanted, parent: Dataset) -> None:
    """Refuse a new dataset that has no key to inherit."""
    if entry.state == "inherited" and not parent.is_encrypted:
        raise Refused(
            f"{entry.name} cannot inherit a key: {parent.name} is not encrypted. "
            "Give it a key of its own with state: present, or set encryption: off."
        )


def refuse_inheriting(entry: DatasetWanted, dataset: Dataset, parent: Dataset | None) -> None:
    """Refuse to let a root inherit where OpenZFS cannot do it."""
    name = entry.name
    parent = parent_with_key(entry, parent)
    if dataset.is_clone:
        raise Refused(f"{name} is a clone; it keeps the key of its origin {dataset.value('origin')}.")
    for locked in (dataset, parent):
        if not locked.is_key_loaded:
            raise Refused(
                f"{name} cannot inherit the key of {parent.encryption_root} while {locked.name} is locked. "
                "Unlock it first."
            )


def inheriting_elsewhere(entries: t.Iterable[DatasetWanted], tree: Tree) -> t.Iterator[str]:
    """Say what inherits from another root than its parent does, as clones do: a task cannot tell by looking."""
    for entry in entries:
        dataset, parent = tree.get(entry.name), tree.parent(entry.name)
        if entry.state != "inherited" or dataset is None or parent is None or dataset.is_encryption_root:
            continue
        if dataset.encryption_root not in (None, parent.encryption_root):
            origin = f", as a clone of {dataset.value('origin')}" if dataset.is_clone else ""
            has = f"the key of {parent.encryption_root}" if parent.is_encrypted else "no key"
            yield (
                f"{dataset.name} inherits the key of {dataset.encryption_root}{origin}, and keeps it; its parent "
                f"{parent.name} has {has}. Keep that key as long as you keep the clone."
            )


def parent_with_key(entry: DatasetWanted, parent: Dataset | None) -> Dataset:
    """Return the parent that a dataset is to inherit a key from, or refuse where there is none to inherit."""
    if parent is None:
        raise Refused(f"{entry.name} is a pool's root dataset; there is nothing it could inherit a key from.")
    if not parent.is_encrypted:
        raise Refused(f"{entry.name} cannot inherit a key: {parent.name} is not encrypted.")
    return parent
