# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning ``zfs_dataset_key``: every entry is planned against the tree that the entries before it leave behind.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import _hierarchy, _keyfiles, _properties
from ._choice import missing_pool
from ._dataset_wanted import BatchWanted, DatasetWanted
from ._errors import Refused
from ._host import Creation, Host
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import Dataset, Pool, Tree, is_below, parent_of, pool_of
from ._observe import find_occupants, observe_tree, read_key_files, try_keys
from ._offers import KeyFile
from ._plan import Group, Observed, Plan
from ._plan_key import (
    NewKey,
    key_drift,
    new_key,
    offered_key,
    plan_inherited,
    plan_own_root,
    refuse_key_file_inside,
    serving_secret,
)
from ._plan_repoint import is_repointed, plan_repointed, root_above, shared_keys, shared_secrets
from ._replica_steps import Reattach, Repoint
from ._replicas import healing, observe_risks, replica_warnings
from ._steps import (
    ChangeKey,
    CreateDataset,
    DestroyDataset,
    GenerateKeyFile,
    InheritKey,
    Mount,
    SetProperties,
    Step,
    SyncKeyFile,
)

_WRAP = ("encryptionroot", "keyformat", "pbkdf2iters", "pbkdf2salt")


@dataclass(frozen=True)
class _Planned:
    """The steps for one entry, the tree as they leave it, and what is mounted then."""

    steps: tuple[Step, ...]
    tree: Tree
    mounts: tuple[Mount, ...] = ()


def observe_dataset(wanted: BatchWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read the pools and the key files, and try each existing root with the keys named for it."""
    tree = observe_tree(host, pools, wanted.pools, wanted.properties)
    paths = {path for entry in wanted.entries for path in _paths(entry, tree)}
    key_files = read_key_files(host, paths)
    candidates = _candidates(wanted, tree, key_files)
    occupied = find_occupants(host, _to_be_mounted(wanted, tree))
    observed = Observed(pools, tree, key_files, try_keys(host, candidates), occupied)
    named = [(entry, tree.get(entry.name)) for entry in wanted.entries]
    affected = [(entry, dataset) for entry, dataset in named if dataset and _changes_key(entry, dataset, observed)]
    return observe_risks(affected, observed, host)


def _candidates(wanted: BatchWanted, tree: Tree, key_files: KeyFiles) -> dict[str, tuple[Dataset, list[Key]]]:
    """Return, by name, each root that is named, and one whose key it may share, with the keys to try."""
    found: dict[str, tuple[Dataset, list[Key]]] = {}
    for entry in wanted.entries:
        root = tree.get(entry.name)
        if root is None or not root.is_encryption_root:
            continue
        keys = [offered_key(secret, root, key_files) for secret in (serving_secret(entry, root), entry.current)]
        found[root.name] = (root, [key for key in keys if key is not None])
        above = root_above(root, tree) if is_repointed(entry, root) else None
        if above is not None:
            shared = shared_keys(entry, root, above, key_files)
            for each in (root, above):
                found[each.name] = (each, [*found.get(each.name, (each, []))[1], *shared])
    return found


def _to_be_mounted(wanted: BatchWanted, tree: Tree) -> t.Iterator[Dataset]:
    """Yield, as they will be, new datasets and those that get another mountpoint."""
    for entry in wanted.entries:
        dataset = tree.get(entry.name)
        if entry.state == "absent":
            continue
        if dataset is None:
            dataset = predicted(entry, tree)
            yield dataset
        elif entry.properties.get("mountpoint", dataset.value("mountpoint")) != dataset.value("mountpoint"):
            dataset = dataset.with_values(entry.properties)
            yield dataset
        tree = tree.with_dataset(dataset)


def _changes_key(entry: DatasetWanted, dataset: Dataset, observed: Observed) -> bool:
    """Tell whether an entry gives a dataset that is there another key."""
    if entry.state == "absent" or not dataset.is_encrypted:
        return False
    converts = dataset.is_encryption_root == (entry.state == "inherited")
    return converts or (entry.change and _is_to_change(entry, dataset, observed))


def _is_to_change(entry: DatasetWanted, root: Dataset, observed: Observed) -> bool:
    key = offered_key(serving_secret(entry, root), root, observed.key_files)
    drift = key_drift(entry, root) or healing(entry, root, observed.tree)
    return key is None or bool(drift) or observed.verdict(root.name, key).outcome != "opens"


def _paths(entry: DatasetWanted, tree: Tree) -> t.Iterator[str]:
    root = tree.get(entry.name)
    above = None if root is None else root_above(root, tree)
    shared = shared_secrets(entry, root, above) if root and above and is_repointed(entry, root) else ()
    for secret in (entry.secret, entry.current, serving_secret(entry, root), *shared):
        if isinstance(secret, KeyFile):
            yield secret.path
    if entry.keylocation is not None and entry.keylocation.startswith("file://"):
        yield entry.keylocation.removeprefix("file://")


def plan_dataset(wanted: BatchWanted, observed: Observed) -> Plan:
    """Plan all entries, or refuse all of them.

    Raises:
        Refused: any entry cannot or must not be brought about.
    """
    tree = observed.tree
    groups: list[Group] = []
    already: list[str] = []
    generated: dict[str, str] = {}
    for entry in wanted.entries:
        planned = _plan_entry(entry, tree, observed)
        if not planned.steps and tree.get(entry.name) is not None and entry.state == "present" and not entry.is_plain:
            already.append(entry.name)
        tree = planned.tree
        steps = tuple(step for step in planned.steps if _file_of(step) not in generated)
        if not steps:
            continue
        kin = [g.name for g in groups if is_below(entry.name, g.name) or is_below(g.name, entry.name)]
        kin += [generated[path] for path in (entry.key_file,) if path in generated]
        generated.update({path: entry.name for path in map(_file_of, steps) if path is not None})
        groups.append(Group(entry.name, steps, planned.mounts, tuple(dict.fromkeys(kin))))
    changed = [step.dataset for group in groups for step in group.steps if isinstance(step, ChangeKey)]
    warnings = replica_warnings(changed, observed.tree)
    return Plan(tuple(groups), already=tuple(already), missing=_missing(wanted, observed), warnings=warnings)


def _missing(wanted: BatchWanted, observed: Observed) -> tuple[str, ...]:
    """Name pools and parents that are neither there nor made by the same batch."""
    made = {entry.name for entry in wanted.entries if entry.state != "absent"}
    sentences: list[str] = []
    for entry in wanted.entries:
        pool, parent = pool_of(entry.name), parent_of(entry.name)
        if entry.state == "absent":
            continue
        if pool not in observed.pools:
            sentences.append(missing_pool(pool))
        elif parent is not None and parent not in made and observed.tree.get(parent) is None:
            sentences.append(f"{entry.name} has no parent: there is no dataset {parent}. Create it first.")
    return tuple(dict.fromkeys(sentences))


def _file_of(step: Step) -> str | None:
    """Return the key file that a step makes: entries that name one file share the key in it."""
    return step.path if isinstance(step, GenerateKeyFile) else None


def _plan_entry(entry: DatasetWanted, tree: Tree, observed: Observed) -> _Planned:
    dataset = tree.get(entry.name)
    planned = _plan_state(entry, dataset, tree, observed)
    pool = observed.pools.get(pool_of(entry.name))
    if planned.steps and pool is not None and pool.readonly:
        raise Refused(f"{entry.name} cannot be changed: pool {pool.name} is imported read-only.")
    return planned


def _plan_state(entry: DatasetWanted, dataset: Dataset | None, tree: Tree, observed: Observed) -> _Planned:
    if entry.state == "absent":
        return _plan_absent(entry, dataset, tree)
    if dataset is None:
        return _plan_creation(entry, tree, observed)
    _refuse_immutable(entry, dataset)
    key_steps = _key_steps(entry, dataset, tree, observed)
    changed = _changed_properties(entry, dataset)
    _refuse_occupied(dataset.with_values(changed), observed, changed)
    if any(isinstance(step, (ChangeKey, Repoint)) for step in key_steps):
        changed.pop("keylocation", None)
    steps = (*_synced(entry, changed, observed), *key_steps, *_set_properties(dataset, changed))
    return _Planned(steps, _after(tree, dataset, steps) if steps else tree)


def _key_steps(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Step, ...]:
    if entry.is_plain:
        return ()
    if is_repointed(entry, dataset):
        return plan_repointed(entry, dataset, tree, observed)
    plan_key = plan_inherited if entry.state == "inherited" else plan_own_root
    return plan_key(entry, dataset, tree, observed)


def _synced(entry: DatasetWanted, changed: t.Mapping[str, str], observed: Observed) -> tuple[Step, ...]:
    """A file that becomes the place of a key has to be durable first."""
    path = changed.get("keylocation", "").removeprefix("file://")
    return (SyncKeyFile(entry.name, path),) if observed.key_files.get(path) is not None else ()


def _plan_absent(entry: DatasetWanted, dataset: Dataset | None, tree: Tree) -> _Planned:
    if dataset is None:
        return _Planned((), tree)
    if not entry.force_destroy:
        raise Refused(
            f"{entry.name} is there and would be destroyed with its data. Set force_destroy: true to do that."
        )
    below = [child.name for child in tree.below(entry.name)]
    if below:
        raise Refused(
            f"{entry.name} is not destroyed: {', '.join(below[:5])} lies below it. "
            "Name every dataset that shall go; nothing is destroyed recursively."
        )
    if parent_of(entry.name) is None:
        raise Refused(f"{entry.name} is a pool's root dataset; it goes only with its pool.")
    return _Planned((DestroyDataset(entry.name),), tree.without(entry.name))


def _plan_creation(entry: DatasetWanted, tree: Tree, observed: Observed) -> _Planned:
    if parent_of(entry.name) is None:
        if pool_of(entry.name) in observed.pools:
            raise Refused(f"{entry.name} is a pool's root dataset, which only comes with its pool.")
        return _Planned((), tree)  # the pool is told to be missing
    parent = tree.parent(entry.name)
    if parent is not None:
        _refuse_bad_place(entry, parent)
        _hierarchy.refuse_bad_creation(entry, parent, tree)
    new = new_dataset(entry, tree, observed)
    steps = (*new.steps, CreateDataset(new.creation, new.generated_file))
    mount = Mount(entry.name, new.dataset.value("mountpoint"))
    return _Planned(steps, tree.with_dataset(new.dataset), (mount,) if new.dataset.is_mounted_by_default else ())


@dataclass(frozen=True)
class NewDataset:
    """A dataset to be made, a pool's root dataset too.

    Args:
        dataset: as it will look.
        creation: how to make it.
        steps: what has to be done about its key before.
        generated_file: where a generated key is read back from.
    """

    dataset: Dataset
    creation: Creation
    steps: tuple[Step, ...] = ()
    generated_file: str | None = None


def new_dataset(entry: DatasetWanted, tree: Tree, observed: Observed) -> NewDataset:
    """Return what it takes to make a dataset as wanted.

    Raises:
        Refused: its key must not be set, or its mountpoint is occupied.
    """
    dataset = predicted(entry, tree)
    _refuse_occupied(dataset, observed, ("mountpoint",))
    key = NewKey(None)
    properties = dict(entry.properties)
    if entry.state == "present" and not entry.is_plain:
        refuse_key_file_inside(entry, (dataset,))
        key = new_key(entry, observed, entry.secret)
        properties.update(_encryption_properties(entry))
    elif entry.encryption is not None:
        properties["encryption"] = entry.encryption
    location = entry.keylocation or "prompt"
    creation = Creation(entry.name, properties, _new_volume_size(entry), entry.sparse, key.key, location)
    return NewDataset(dataset, creation, key.steps, key.generated_file)


def _new_volume_size(entry: DatasetWanted) -> str | None:
    if not entry.is_volume:
        return None
    if entry.volume_size is None:
        raise Refused(f"{entry.name} is to be a volume and has no volsize. Give it one, like 10G.")
    return str(_properties.volume_size(entry.volume_size, 0))


def _refuse_bad_place(entry: DatasetWanted, parent: Dataset) -> None:
    if parent.is_encrypted and not parent.is_key_loaded:
        raise Refused(
            f"{entry.name} cannot be created: its parent {parent.name} is locked. "
            f"Unlock {parent.encryption_root} first."
        )
    if parent.is_volume:
        raise Refused(f"{entry.name} cannot be created: {parent.name} is a volume, nothing can lie below it.")


def _refuse_occupied(dataset: Dataset, observed: Observed, changed: t.Container[str]) -> None:
    obstacle = observed.obstacle(dataset)
    if "mountpoint" in changed and dataset.is_mounted_by_default and obstacle is not None:
        raise Refused(obstacle)


def _encryption_properties(entry: DatasetWanted) -> dict[str, str]:
    found = {"encryption": entry.encryption or "aes-256-gcm", "keyformat": entry.new_keyformat}
    if entry.new_keyformat == "passphrase":
        found["pbkdf2iters"] = str(entry.new_iterations)
    return found


def _refuse_immutable(entry: DatasetWanted, dataset: Dataset) -> None:
    name = entry.name
    if entry.is_plain and dataset.is_encrypted:
        raise Refused(
            f"{name} is there and encrypted; encryption cannot be switched off. Copy the data to a new dataset."
        )
    cipher = dataset.value("encryption")
    asked = entry.encryption or cipher
    if not entry.is_plain and dataset.is_encrypted and not _properties.is_same_cipher(asked, cipher):
        raise Refused(f"encryption of {name} is {cipher} and cannot become {asked}. Copy the data instead.")
    if entry.is_volume is not None and entry.is_volume != dataset.is_volume:
        raise Refused(f"{name} is a {dataset.value('type')} and cannot become anything else. Choose another name.")
    for prop in sorted(_properties.IMMUTABLE & set(entry.properties)):
        if not _properties.is_same(prop, entry.properties[prop], dataset.value(prop)):
            raise Refused(f"{prop} of {name} is {dataset.value(prop)} and cannot be changed after creation.")


def _changed_properties(entry: DatasetWanted, dataset: Dataset) -> dict[str, str]:
    changed = {
        name: value
        for name, value in entry.properties.items()
        if name not in _properties.IMMUTABLE and not _properties.is_same(name, value, dataset.value(name))
    }
    if entry.volume_size is not None:
        now = dataset.number("volsize")
        size = _properties.volume_size(entry.volume_size, dataset.number("volblocksize"))
        if size < now:
            raise Refused(f"volsize of {entry.name} is {now} and is not reduced to {size}: that would cut off data.")
        if size > now:
            changed["volsize"] = str(size)
    if entry.keylocation is not None and dataset.is_encryption_root and not _is_rotated(entry, dataset):
        changed["keylocation"] = entry.keylocation
    return {name: value for name, value in changed.items() if value != dataset.value(name)}


def _is_rotated(entry: DatasetWanted, root: Dataset) -> bool:
    """Tell whether a rotation put a file beside the named one: it holds the key, whatever the task says."""
    return entry.key_file is not None and _keyfiles.in_use(entry.key_file, root.key_file) != entry.key_file


def _set_properties(dataset: Dataset, changed: t.Mapping[str, str]) -> tuple[Step, ...]:
    if not changed:
        return ()
    return (SetProperties(dataset.name, changed, {name: dataset.value(name) for name in changed}),)


def _after(tree: Tree, dataset: Dataset, steps: t.Iterable[Step]) -> Tree:
    """Return the tree as these steps leave it: what inherits a key follows its root."""
    for step in steps:
        if isinstance(step, (Repoint, Reattach)):
            tree = step.left_behind(tree)
        if isinstance(step, (ChangeKey, InheritKey)):
            wrap = {**_wrap_of(tree.parent(dataset.name)), **step.after}
            if isinstance(step, ChangeKey):
                wrap["pbkdf2salt"] = "new"
            for member in tree.rewrapped_with(dataset):
                tree = tree.with_dataset(member.with_values({name: wrap[name] for name in _WRAP}))
        if isinstance(step, (ChangeKey, InheritKey, SetProperties)):
            values = {name: value for name, value in step.after.items() if name != "wrapping_key"}
            tree = tree.with_dataset(t.cast(Dataset, tree.get(dataset.name)).with_values(values))
    return tree


def _wrap_of(dataset: Dataset | None) -> dict[str, str]:
    return {} if dataset is None else {name: dataset.value(name) for name in _WRAP}


def predicted(entry: DatasetWanted, tree: Tree) -> Dataset:
    """Return a dataset that is not there yet as it would look after its creation; a pool's root lies below ``/``."""
    parent = tree.parent(entry.name)
    inherited = dict(parent.properties) if parent is not None else {}
    above = parent.value("mountpoint") if parent is not None else ("/" if parent_of(entry.name) is None else "-")
    leaf = entry.name.rpartition("/")[2]
    values = {
        "type": "volume" if entry.is_volume else "filesystem",
        "origin": "-",
        "mounted": "yes",
        "canmount": "on",
        "mountpoint": f"{above.rstrip('/')}/{leaf}" if above.startswith("/") else above,
        "keylocation": "none",
        **entry.properties,
    }
    if entry.is_plain:
        values.update({"encryption": "off", "encryptionroot": "-", "keyformat": "none", "keystatus": "-"})
    elif parent is None and entry.state == "inherited":
        above_root = {"encryption": "aes-256-gcm", "encryptionroot": parent_of(entry.name) or entry.name}
        values.update({**above_root, "keyformat": "hex", "keystatus": "available"})
    elif entry.state == "present":
        values.update(_encryption_properties(entry))
        location = entry.keylocation or "prompt"
        values.update({"encryptionroot": entry.name, "keystatus": "available", "keylocation": location})
    return Dataset(entry.name, inherited).with_values(values)
