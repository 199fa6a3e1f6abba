# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning the key of one dataset: which key to set, whether an existing root may get another, how to convert.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import _hierarchy, _keyfiles, _keys
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import Dataset, Tree
from ._offers import KeyFile, Secret
from ._plan import Observed
from ._steps import ChangeKey, GenerateKeyFile, InheritKey, LoadKey, Step, UnloadKey


def serving_secret(entry: DatasetWanted, root: Dataset | None) -> Secret | None:
    """Return the entry's secret, a rotated key file standing for the one that was named."""
    if entry.key_file is None or root is None or not root.is_encryption_root:
        return entry.secret
    return KeyFile(_keyfiles.in_use(entry.key_file, root.key_file))


def offered_key(secret: Secret | None, root: Dataset, key_files: KeyFiles) -> Key | None:
    """Return a secret as a key to be tried on an existing root, None where it cannot be its key."""
    if not isinstance(secret, KeyFile):
        return secret if isinstance(secret, Key) else None
    content = key_files.get(secret.path)
    if content is None:
        return None
    try:
        return _keys.from_file(content, root.keyformat, path=secret.path)
    except Refused:
        return None


def new_key(entry: DatasetWanted, observed: Observed) -> tuple[Key | None, list[Step], str | None]:
    """Return the key to set, or the step that generates it and the file to read it from."""
    if entry.secret is None:
        raise Refused(
            f"{entry.name} needs a key to become an encryption root. Give key, passphrase or key_file, "
            "or set state: inherited, or encryption: off."
        )
    if isinstance(entry.secret, KeyFile):
        path = entry.secret.path
        content = observed.key_files.get(path)
        if content is None and entry.generate:
            return None, [GenerateKeyFile(entry.name, path, entry.new_keyformat)], path
        if content is None:
            raise Refused(
                f"The key file {path} of {entry.name} is not there. "
                "Put it there, or set generate_key: true to make one."
            )
        key = _keys.from_file(content, entry.new_keyformat, path=path)
    else:
        key = t.cast(Key, entry.secret)
    _keys.refuse_unsettable(key, whose=entry.name)
    return key, [], None


def plan_own_root(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    """Plan for a dataset that is there and should be an encryption root with the given key."""
    if not dataset.is_encrypted:
        raise Refused(
            f"{entry.name} is there and not encrypted; OpenZFS encrypts only at creation. "
            "Create a new dataset and copy the data, or set encryption: off."
        )
    if not dataset.is_encryption_root:
        return _plan_conversion(entry, dataset, tree, observed)
    if entry.secret is None:
        return ()
    serving = t.cast(Secret, serving_secret(entry, dataset))
    if isinstance(serving, KeyFile) and observed.key_files.get(serving.path) is None:
        raise Refused(
            f"{entry.name} is an encryption root, but its key file {serving.path} is not there. "
            "Put the file back; a second key is never generated for a root that has one."
        )
    offered = offered_key(serving, dataset, observed.key_files)
    verdict = observed.verdict(dataset.name, offered) if offered is not None else None
    if verdict is not None and verdict.outcome == "unknown":
        raise Refused(f"Whether the key given opens {entry.name} could not be found out: {verdict.detail}.")
    opens = verdict is not None and verdict.outcome == "opens"
    drift = _key_drift(entry, dataset)
    if opens and not drift:
        return ()
    return _plan_change(_settled(entry, dataset), dataset, tree, observed, drift if opens else "")


def _settled(entry: DatasetWanted, root: Dataset) -> DatasetWanted:
    """Return the entry with format and rounds as the root has them, where the task leaves them open."""
    keeps_format = isinstance(entry.secret, KeyFile) or t.cast(Key, entry.secret).fits(root.keyformat)
    keyformat = entry.keyformat or (root.keyformat if keeps_format else entry.new_keyformat)
    iterations = root.number("pbkdf2iters") if keyformat == root.keyformat == "passphrase" else None
    return replace(entry, keyformat=keyformat, pbkdf2iters=entry.pbkdf2iters or iterations)


def _key_drift(entry: DatasetWanted, root: Dataset) -> str:
    """Say in which asked-for attribute of its key a root differs, empty if in none."""
    if entry.keyformat is not None and entry.keyformat != root.keyformat:
        return f"keyformat is {root.keyformat}, asked for is {entry.keyformat}"
    iterations = root.number("pbkdf2iters")
    if entry.pbkdf2iters is not None and root.keyformat == "passphrase" and entry.pbkdf2iters != iterations:
        return f"pbkdf2iters is {iterations}, asked for is {entry.pbkdf2iters}"
    return ""


def _plan_change(entry: DatasetWanted, root: Dataset, tree: Tree, observed: Observed, drift: str) -> tuple[Step, ...]:
    """Plan another wrapping key for an existing root, after the present one was proven to be kept somewhere."""
    if not entry.change:
        problem = drift or "the key given does not open it"
        raise Refused(
            f"{entry.name} is an encryption root and {problem}. Give the right key, "
            "or set update_key: always and the present key under current to change it."
        )
    if root.is_clone:
        raise Refused(f"{entry.name} is a clone; it shares the key of its origin {root.value('origin')}.")
    _hierarchy.refuse_receiving(entry, root)
    key, _steps, _file = new_key(entry, observed)
    _hierarchy.refuse_keyed_below_passphrase(entry, tree.parent(root.name), tree)
    _hierarchy.refuse_passphrase_above_keyed(entry, root, tree)
    offered = offered_key(entry.secret, root, observed.key_files)
    current = offered if drift else offered_key(entry.current, root, observed.key_files)
    if current is None or observed.verdict(root.name, current).outcome != "opens":
        why = "was not given" if entry.current is None else "does not open it"
        raise Refused(
            f"The key of {entry.name} is not changed: the present key {why}, so nothing proves that it is "
            "kept anywhere (replicas, streams and roll-backs may need it). Give it under current."
        )
    change = ChangeKey(
        root,
        entry.new_keyformat,
        key,
        entry.keylocation or _kept_location(root, entry.new_keyformat),
        entry.new_iterations,
        replaced=None if current == key else current,
    )
    if root.is_key_loaded:
        return (change,)
    return (LoadKey(root, current), change, UnloadKey(root.name))


def _kept_location(root: Dataset, keyformat: str) -> str:
    """A key that comes by the task goes with a prompt: a file that holds the old key would no longer fit."""
    location = root.value("keylocation")
    return location if location.startswith("http") and keyformat == root.keyformat else "prompt"


def _plan_conversion(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    """Plan an inheriting dataset's becoming an encryption root of its own."""
    if dataset.is_clone:
        raise Refused(
            f"{entry.name} is a clone; it shares the key of its origin {dataset.value('origin')} "
            "and cannot get its own."
        )
    if not dataset.is_key_loaded:
        raise Refused(
            f"{entry.name} cannot get a key of its own while it is locked. Unlock {dataset.encryption_root} first."
        )
    _hierarchy.refuse_receiving(entry, dataset)
    key, steps, key_file = new_key(entry, observed)
    _hierarchy.refuse_keyed_below_passphrase(entry, tree.parent(dataset.name), tree)
    _hierarchy.refuse_passphrase_above_keyed(entry, dataset, tree)
    change = ChangeKey(
        dataset, entry.new_keyformat, key, entry.keylocation or "prompt", entry.new_iterations, key_file=key_file
    )
    return (*steps, change)


def plan_inherited(entry: DatasetWanted, dataset: Dataset, tree: Tree) -> tuple[Step, ...]:
    if not dataset.is_encrypted:
        raise Refused(
            f"{entry.name} is there and not encrypted, so it cannot inherit a key; OpenZFS encrypts only at creation."
        )
    if not dataset.is_encryption_root:
        return ()
    parent = tree.parent(dataset.name)
    _hierarchy.refuse_inheriting(entry, dataset, parent, tree)
    return (InheritKey(dataset, t.cast(str, t.cast(Dataset, parent).encryption_root)),)
