# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning the key of one dataset: which key to set, whether an existing root may get another, how to convert.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from . import _hierarchy, _keyfiles, _keys, _replicas
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._keys import Key
from ._model import WRONG, Dataset, Tree
from ._names import parent_of
from ._offers import KeyFile, Secret
from ._plan import Observed
from ._plan_key_file import (
    holds,
    no_key_in,
    offered_key,
    refuse_key_file_inside,
    refuse_location_with_another_key,
    refuse_location_without_the_key,
    refuse_location_without_the_new_key,
    serving_secret,
)

if t.TYPE_CHECKING:
    from ._step import Step


@dataclass(frozen=True)
class NewKey:
    """A key to set.

    Args:
        key: the key, None where it is generated first.
        steps: what has to be done before it may be used.
        generated_file: where a generated key is read back from.
    """

    key: Key | None
    steps: tuple[Step, ...] = ()
    generated_file: str | None = None


def new_key(entry: DatasetWanted, observed: Observed, secret: Secret | None) -> NewKey:
    """Judge the key that a dataset is to get.

    Raises:
        Refused: there is none, or it must not be set.
    """
    if secret is None:
        path = entry.location_file
        hint = "" if path is None else f" key_file: {path} takes what is in that file."
        raise Refused(
            f"{entry.name} needs a key to become an encryption root. Give key, passphrase, key_file or escrow, "
            f"or set {_instead_of_a_key(entry, observed)}.{hint}"
        )
    if not isinstance(secret, KeyFile):
        key = t.cast(Key, secret)
        _keys.refuse_unsettable(key, whose=entry.name)
        refuse_location_with_another_key(entry, key, observed)
        return NewKey(key, held_in_file(entry, entry.copied_to, key, entry.new_keyformat, observed))
    from ._steps import GenerateKeyFile, SyncKeyFile

    content = observed.key_files.get(secret.path)
    if content is None and entry.generate:
        refuse_location_without_the_new_key(entry, observed)
        return NewKey(None, (GenerateKeyFile(entry.name, secret.path, entry.new_keyformat),), secret.path)
    if content is None:
        raise Refused(
            f"The key file {secret.path} of {entry.name} is not there. "
            "Put it there, or set generate_key: true to make one."
        )
    key = _key_in(content, entry, secret.path)
    _keys.refuse_unsettable(key, whose=entry.name)
    refuse_location_with_another_key(entry, key, observed)
    return NewKey(key, (SyncKeyFile(entry.name, secret.path),))


def _instead_of_a_key(entry: DatasetWanted, observed: Observed) -> str:
    """What is there and encrypted stays so."""
    now = observed.tree.get(entry.name)
    if now is not None and now.is_encrypted:
        return "state: inherited"
    return "encryption: off" if parent_of(entry.name) is None else "state: inherited, or encryption: off"


def _key_in(content: bytes, entry: DatasetWanted, path: str) -> Key:
    try:
        return _keys.from_file(content, entry.new_keyformat, path=path, way_out=_keys.A_NEW_ONE)
    except Refused as refusal:
        hint = "" if entry.keyformat is not None else " If it holds a key in another form, name that with keyformat."
        raise Refused(f"{entry.name} cannot get its key from there. {refusal}{hint}") from None


def held_in_file(
    entry: DatasetWanted, path: str | None, key: Key, keyformat: str, observed: Observed
) -> tuple[Step, ...]:
    """Plan that a file holds the key given beside it: written if it is not there, and never over another one.

    Raises:
        Refused: it holds something else.
    """
    if path is None:
        return ()
    from ._steps import SyncKeyFile, WriteKeyFile

    content = observed.key_files.get(path)
    if content is None:
        return (WriteKeyFile(entry.name, path, keyformat, key),)
    if not holds(content, keyformat, key):
        raise Refused(
            f"The key file {path} of {entry.name} holds something else than the key given. It is left alone: name "
            "another file, or move this one away if nobody needs what is in it."
        )
    return (SyncKeyFile(entry.name, path),)


def plan_own_root(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    """Plan for a dataset that is there and should be an encryption root with the given key."""
    if not dataset.is_encrypted:
        raise Refused(
            f"{entry.name} is there and not encrypted; OpenZFS encrypts only at creation. "
            "Create a new dataset and copy the data, or set encryption: off."
        )
    if not dataset.is_encryption_root:
        return _plan_conversion(entry, dataset, tree, observed)
    drift = key_drift(entry, dataset) or _replicas.healing(entry, dataset, tree)
    if entry.secret is None:
        if drift:
            raise Refused(f"{entry.name}: {drift}. To change it give the key, and update_key: always.")
        refuse_location_without_the_key(entry, dataset, tree, observed)
        return ()
    refuse_key_file_inside(entry, tree.members(dataset.name), observed)
    serving = t.cast(Secret, serving_secret(entry, dataset))
    if isinstance(serving, KeyFile) and observed.key_files.get(serving.path) is None:
        raise Refused(
            f"{entry.name} is an encryption root, but its key file {serving.path} is not there. Put the file back: "
            "a second key is never generated for a root that has one. To change the key, write the new one there first."
        )
    offered = offered_key(serving, dataset, observed.key_files)
    verdict = WRONG if offered is None else observed.verdict(dataset.name, offered)
    if verdict.outcome == "unknown":
        raise Refused(f"Whether the key given opens {entry.name} could not be found out: {verdict.detail}.")
    if offered is not None and verdict.outcome == "opens":
        refuse_location_with_another_key(_settled(entry, dataset), offered, observed)
        wish = _Change(drift, serving, offered, "Leave that out, or set update_key: always to change it.")
        if drift:
            return _plan_change(_settled(entry, dataset), dataset, tree, observed, wish)
        copy = None if entry.copied_to is None else _keyfiles.in_use(entry.copied_to, dataset.key_file)
        return _missing_only(held_in_file(entry, copy, offered, dataset.keyformat, observed))
    if serving != entry.secret:
        raise Refused(
            f"keylocation of {entry.name} names {t.cast(KeyFile, serving).path}, which a rotation put beside "
            f"{entry.key_file}, but the key in it does not open it. Find out who changed the key before anything else."
        )
    current = offered_key(entry.current, dataset, observed.key_files)
    problem = f"the key given does not open it{no_key_in(serving, dataset, observed.key_files)}"
    wish = _Change(problem, entry.secret, current, _ANOTHER_KEY)
    return _plan_change(_settled(entry, dataset), dataset, tree, observed, wish)


def _missing_only(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Leave out what only makes sure of a file that nothing new relies on."""
    return tuple(step for step in steps if step.action != "sync_key_file")


_ANOTHER_KEY = "Give the right key, or set update_key: always and the present key under current to change it."


@dataclass(frozen=True)
class _Change:
    """Why a root is to get another key, from where, the key that should be the present one, and what else may help."""

    problem: str
    secret: Secret
    current: Key | None
    way_out: str


def _settled(entry: DatasetWanted, root: Dataset) -> DatasetWanted:
    """Return the entry with format and rounds as the root has them, where the task leaves them open."""
    keeps_format = isinstance(entry.secret, KeyFile) or t.cast(Key, entry.secret).fits(root.keyformat)
    keyformat = entry.keyformat or (root.keyformat if keeps_format else entry.new_keyformat)
    iterations = root.number("pbkdf2iters") if keyformat == root.keyformat == "passphrase" else None
    return replace(entry, keyformat=keyformat, pbkdf2iters=entry.pbkdf2iters or iterations)


def key_drift(entry: DatasetWanted, root: Dataset) -> str:
    """Say in which asked-for attribute of its key a root differs, empty if in none."""
    if entry.keyformat is not None and entry.keyformat != root.keyformat:
        return f"keyformat is {root.keyformat}, asked for is {entry.keyformat}"
    iterations = root.number("pbkdf2iters")
    if entry.pbkdf2iters is not None and root.keyformat == "passphrase" and entry.pbkdf2iters != iterations:
        return f"pbkdf2iters is {iterations}, asked for is {entry.pbkdf2iters}"
    return ""


def _plan_change(
    entry: DatasetWanted, root: Dataset, tree: Tree, observed: Observed, wish: _Change
) -> tuple[Step, ...]:
    """Plan another wrapping key for an existing root, after the present one was proven to be kept somewhere."""
    if not entry.change:
        raise Refused(f"{entry.name} is an encryption root and {wish.problem}. {wish.way_out}")
    if root.is_clone:
        raise Refused(f"{entry.name} is a clone; it shares the key of its origin {root.value('origin')}.")
    _replicas.refuse_unsound(entry, root, tree, observed)
    new = new_key(entry, observed, wish.secret)
    current = wish.current
    if current is None or observed.verdict(root.name, current).outcome != "opens":
        raise Refused(
            f"The key of {entry.name} is not changed: the present key {_lacking(entry.current, observed)}, so nothing "
            "proves that it is kept anywhere (replicas, streams and roll-backs may need it). Give it under current."
        )
    location, file_steps = _location_of_new_key(entry, root, observed, wish, new.key)
    from ._steps import ChangeKey, LoadKey, ProveReadable, UnloadKey

    steps = (*new.steps, *file_steps)

    replaced = None if current == new.key else current
    held = _replicas.in_use(root, tree, observed)
    change = ChangeKey(
        root,
        entry.new_keyformat,
        new.key,
        location,
        entry.new_iterations,
        replaced,
        kept_open=held,
        clones=tree.clones(root.name),
    )
    if root.is_key_loaded:
        return (*steps, *_replicas.to_be_read(root, tree, observed), change)
    # Nothing could be read while it was locked: a member that another key wraps would crash the pool in the change.
    proofs = [ProveReadable(member) for member in tree.members(root.name) if member.can_be_read]
    return (*steps, LoadKey(root, current), *proofs, change, UnloadKey(root.name))


def _location_of_new_key(
    entry: DatasetWanted, root: Dataset, observed: Observed, wish: _Change, key: Key | None
) -> tuple[str, tuple[Step, ...]]:
    """Return the ``keylocation`` that goes with a root's new key, and what has to be done about a file there before.

    Where the task leaves it open, it stays if what is there serves the new key too: the same key in the same form, or
    a file that holds the new one already.
    """
    location, present = entry.keylocation, root.value("keylocation")
    if location is not None:
        is_named = isinstance(wish.secret, KeyFile) and location == f"file://{entry.key_file}"
        return (f"file://{t.cast(KeyFile, wish.secret).path}" if is_named else location), ()
    if key is not None and key == wish.current and entry.new_keyformat == root.keyformat:
        return present, ()
    content = observed.key_files.contents.get(root.key_file or "")
    if key is None or content is None or not holds(content, entry.new_keyformat, key):
        return "prompt", ()
    from ._steps import SyncKeyFile

    return present, (SyncKeyFile(entry.name, t.cast(str, root.key_file)),)


def lost_locations(steps: t.Iterable[Step], asked: t.Container[str]) -> tuple[str, ...]:
    """Say which roots get their key by themselves no more, since their new one is not where OpenZFS looked for it.

    Args:
        steps: all that is planned.
        asked: datasets whose task says what their ``keylocation`` shall be.
    """
    return tuple(
        f"keylocation of {step.dataset} is set to prompt, since {step.before['keylocation']} is not known to hold the "
        "new key. The host does not unlock it by itself any more; give key_file or keylocation where it should."
        for step in steps
        if step.action == "change_key"
        and step.dataset not in asked
        and step.after["keylocation"] == "prompt"
        and step.before["keylocation"] not in ("prompt", "none")
    )


def _lacking(current: Secret | None, observed: Observed) -> str:
    if current is None:
        return "was not given"
    if isinstance(current, KeyFile) and observed.key_files.get(current.path) is None:
        return f"is not in {current.path}, which is not there"
    return "does not open it"


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
    _replicas.refuse_unsound(entry, dataset, tree, observed)
    refuse_key_file_inside(entry, tree.at_or_below(dataset.name), observed)
    from ._steps import ChangeKey

    new = new_key(entry, observed, entry.secret)
    location = entry.keylocation or "prompt"
    change = ChangeKey(
        dataset,
        entry.new_keyformat,
        new.key,
        location,
        entry.new_iterations,
        key_file=new.generated_file,
        kept_open=_replicas.in_use(dataset, tree, observed),
    )
    return (*new.steps, *_replicas.to_be_read(dataset, tree, observed), change)


def plan_inherited(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    """Plan a root's giving up its own key for its parent's."""
    if not dataset.is_encrypted:
        raise Refused(
            f"{entry.name} is there and not encrypted, so it cannot inherit a key; OpenZFS encrypts only at creation."
        )
    if not dataset.is_encryption_root:
        return ()
    parent = tree.parent(dataset.name)
    _hierarchy.refuse_inheriting(entry, dataset, parent)
    _replicas.refuse_unsound(entry, dataset, tree, observed)
    _replicas.refuse_replica(entry, dataset, tree, observed)
    from ._steps import InheritKey

    root = t.cast(str, t.cast(Dataset, parent).encryption_root)
    inherit = InheritKey(dataset, root, _replicas.in_use(dataset, tree, observed))
    return (*_replicas.to_be_read(dataset, tree, observed), inherit)
