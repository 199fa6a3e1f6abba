# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does to the fake's tree: renaming, sending trees and decrypted streams."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below, parent_of

from .datasets import Datasets, Record


def rename(datasets: Datasets, old: str, new: str) -> None:
    """Move a dataset with all below it; what inherits a key cannot leave its root (dsl_dir_rename_crypt_check)."""
    record = datasets.existing(old, f"{old} was not renamed")
    above = datasets.existing(parent_of(new) or "", f"{old} was not renamed").protection
    inherits = record.protection is not None and not record.is_root
    if inherits and (above is None or record.protection is None or above.root != record.protection.root):
        raise CallFailed(f"{old} was not renamed: cannot move encrypted child outside of its encryption root")
    moved = {name: new + name[len(old) :] for name in datasets.records if name == old or is_below(name, old)}
    _rename_roots(datasets, moved)
    for each in datasets.records.values():
        each.name = moved.get(each.name, each.name)
        if each.origin is not None:
            source, _at, snapshot = each.origin.partition("@")
            each.origin = f"{moved.get(source, source)}@{snapshot}"
    datasets.records = {each.name: each for each in datasets.records.values()}
    datasets.loaded = {moved.get(name, name): key for name, key in datasets.loaded.items()}
    for name in moved.values():
        found = datasets.records[name]
        if found.mounted_at is not None:
            found.mounted_at = datasets.property(found, "mountpoint").value


def _rename_roots(datasets: Datasets, moved: t.Mapping[str, str]) -> None:
    """Point what names these roots to their new names; clones share what protects them with their origin."""
    found = {id(each.protection): each.protection for each in datasets.records.values() if each.protection is not None}
    for protection in found.values():
        protection.root = moved.get(protection.root, protection.root)
        protection.opened_at = moved.get(protection.opened_at or "", protection.opened_at)


def replicate_tree(datasets: Datasets, source: str, target: str) -> None:
    """Send a dataset with all below it raw, in full: roots stay roots, what inherited inherits from the copy."""
    moved = {
        name: target + name[len(source) :] for name in datasets.records if name == source or is_below(name, source)
    }
    for old, new in moved.items():
        sent = datasets.records[old]
        sent.snapshots.append(str(len(sent.snapshots)))
        protection = sent.protection and replace(sent.protection, root=moved.get(sent.protection.root, target))
        own = {"keylocation": "prompt"} if protection is not None and protection.root == new else {}
        size = {key: value for key, value in sent.local.items() if key == "volsize"}
        received = {key: value for key, value in sent.local.items() if key not in ("keylocation", "volsize")}
        datasets.records[new] = Record(new, sent.kind, protection, {**own, **size}, received)
        datasets.records[new].snapshots = list(sent.snapshots)


def send_decrypted(datasets: Datasets, source: str, target: str) -> None:
    """Send a dataset as whoever reads it sees it; the copy is as encrypted as its new parent."""
    sent = datasets.existing(source, f"{source} was not sent")
    if datasets.is_locked(sent):
        raise CallFailed(f"{source} was not sent: dataset key must be loaded")
    parent = datasets.existing(parent_of(target) or "", f"{target} was not received")
    if datasets.is_locked(parent):
        raise CallFailed(f"{target} was not received: inherited key must be loaded")
    sent.snapshots.append(str(len(sent.snapshots)))
    datasets.add(Creation(target, {}), parent)
    datasets.records[target].snapshots = sent.snapshots[-1:]
