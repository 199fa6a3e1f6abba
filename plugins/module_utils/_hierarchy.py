# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may lie below what.

OpenZFS allows nearly everything; TrueNAS's rules, our default policy, keep a person from a tree in which one
forgotten passphrase locks away datasets whose keys are at hand. Private to the collection.
"""

from __future__ import annotations

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


def refuse_keyed_below_passphrase(entry: DatasetWanted, parent: Dataset | None, tree: Tree) -> None:
    """Refuse a root with a key below one with a passphrase."""
    if not entry.keeps_truenas_hierarchy or entry.new_keyformat == "passphrase":
        return
    above = _ancestor_with_passphrase(parent, tree)
    if above is not None:
        raise Refused(
            f"{entry.name} would have a key of its own below {above.name}, which has a passphrase. "
            f"Give it a passphrase, or let it inherit. {_WAY_OUT}"
        )


def refuse_passphrase_above_keyed(entry: DatasetWanted, dataset: Dataset, tree: Tree) -> None:
    """Refuse a passphrase for a dataset that has roots with keys below it."""
    if not entry.keeps_truenas_hierarchy or entry.new_keyformat != "passphrase":
        return
    keyed = _keyed_roots_below(dataset, tree)
    if keyed:
        raise Refused(
            f"{entry.name} would have a passphrase above {', '.join(keyed[:5])}, which has a key of its own. "
            f"Change that one first. {_WAY_OUT}"
        )


def refuse_bad_creation(entry: DatasetWanted, parent: Dataset, tree: Tree) -> None:
    """Refuse a new dataset that could not be, or should not lie, where it is wanted."""
    name = entry.name
    if entry.state == "inherited" and not parent.is_encrypted:
        raise Refused(
            f"{name} cannot inherit a key: {parent.name} is not encrypted. "
            "Give it a key of its own with state: present, or set encryption: off."
        )
    if entry.state == "present" and not entry.is_plain:
        refuse_keyed_below_passphrase(entry, parent, tree)
    if not entry.keeps_truenas_hierarchy or not entry.is_plain:
        return
    for above in (parent, *tree.ancestors(parent.name)):
        if above.is_encrypted:
            raise Refused(
                f"{name} would be plain below {above.name}, which is encrypted: its data would be readable while "
                f"{above.name} is locked. {_WAY_OUT}"
            )


def refuse_inheriting(entry: DatasetWanted, dataset: Dataset, parent: Dataset | None, tree: Tree) -> None:
    """Refuse to let a root inherit where OpenZFS cannot do it, or the result breaks the policy."""
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
    refuse_passphrase_from_above(entry, dataset, parent, tree)


def parent_with_key(entry: DatasetWanted, parent: Dataset | None) -> Dataset:
    """Return the parent that a dataset is to inherit a key from, or refuse where there is none to inherit."""
    if parent is None:
        raise Refused(f"{entry.name} is a pool's root dataset; there is nothing it could inherit a key from.")
    if not parent.is_encrypted:
        raise Refused(f"{entry.name} cannot inherit a key: {parent.name} is not encrypted.")
    return parent


def refuse_passphrase_from_above(entry: DatasetWanted, dataset: Dataset, parent: Dataset, tree: Tree) -> None:
    """Refuse to let a root inherit a passphrase above roots with keys."""
    above = _ancestor_with_passphrase(parent, tree)
    keyed = _keyed_roots_below(dataset, tree)
    if entry.keeps_truenas_hierarchy and above is not None and keyed:
        raise Refused(
            f"{entry.name} would inherit the passphrase of {parent.encryption_root} above {', '.join(keyed[:5])}, "
            f"which has a key of its own. {_WAY_OUT}"
        )
