# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning ``zfs_dataset_key``: every entry is planned against the tree that the entries before it leave behind.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from . import _hierarchy, _keyfiles
from ._choice import missing_parent, missing_pool
from ._dataset_wanted import BatchWanted, DatasetWanted
from ._errors import Refused
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import WRAP, Dataset, Pool, Tree
from ._names import is_below, names_above, parent_of, pool_of
from ._new_dataset import new_dataset, predicted, refuse_occupied
from ._observe import find_in_the_way, mountpoints_of, observe_tree, read_key_files, try_keys
from ._offers import KeyFile
from ._plan import Group, Observed, Plan
from ._plan_key import key_drift, lost_locations, plan_inherited, plan_own_root
from ._plan_key_file import new_location, offered_key, serving_secret
from ._plan_properties import (
    Changes,
    property_changes,
    shown_mountpoint,
    with_new_values,
)
from ._plan_repoint import is_repointed, plan_repointed, root_above, shared_keys, shared_secrets
from ._replicas import healing, observe_risks, replica_warnings

if t.TYPE_CHECKING:
    from ._host import Host
    from ._mount_steps import Mount
    from ._step import Step

# Steps are imported where one is planned: a run that finds all as it should be does not read them.
_GIVES_PLACE = frozenset({"create", "change_key", "inherit_key", "repoint", "reattach"})


@dataclass(frozen=True)
class _Planned:
    """The steps for one entry, the tree as they leave it, what is mounted then, and what is waited for in the end."""

    steps: tuple[Step, ...]
    tree: Tree
    mounts: tuple[Mount, ...] = ()
    proofs: tuple[Step, ...] = ()


def observe_dataset(wanted: BatchWanted, host: Host, pools: t.Mapping[str, Pool]) -> Observed:
    """Read the pools and the key files, and try each existing root with the keys named for it."""
    tree = observe_tree(host, pools, wanted.pools, wanted.properties)
    paths = {path for entry in wanted.entries for path in _paths(entry, tree)}
    key_files = read_key_files(host, paths, mountpoints=_mountpoints(wanted, tree, pools))
    candidates = _candidates(wanted, tree, key_files)
    occupied = find_in_the_way(host, _to_be_mounted(wanted, tree, pools, key_files), tree)
    observed = Observed(pools, tree, key_files, try_keys(host, candidates), occupied)
    named = [(entry, tree.get(entry.name)) for entry in wanted.entries]
    affected = [(entry, dataset) for entry, dataset in named if dataset and _changes_key(entry, dataset, observed)]
    return observe_risks(affected, observed, host)


def _mountpoints(wanted: BatchWanted, tree: Tree, pools: t.Mapping[str, Pool]) -> t.Iterator[str]:
    """Yield the mountpoints that there are and those that there will be."""
    yield from mountpoints_of(tree)
    for entry in wanted.entries:
        dataset, pool = tree.get(entry.name), pools.get(pool_of(entry.name))
        if dataset is None and entry.state != "absent":
            tree = tree.with_datasets(predicted(entry, tree, pool))
        elif dataset is not None and "mountpoint" in entry.properties:
            place = shown_mountpoint(entry, dataset, tree, pool)
            tree = with_new_values(tree, entry.name, Changes({"mountpoint": place}, {}, None))
        else:
            continue
        yield from (each.value("mountpoint") for each in tree.at_or_below(entry.name))


def _candidates(wanted: BatchWanted, tree: Tree, key_files: KeyFiles) -> dict[str, tuple[Dataset, list[Key]]]:
    """Return, by name, each root that is named, and one whose key it may share, with the keys to try."""
    found: dict[str, tuple[Dataset, list[Key]]] = {}
    for entry in wanted.entries:
        root = tree.get(entry.name)
        if root is None or not root.is_encryption_root:
            continue
        secrets = (serving_secret(entry, root), entry.current, new_location(entry, root))
        keys = [offered_key(secret, root, key_files) for secret in secrets]
        found[root.name] = (root, [key for key in keys if key is not None])
        above = root_above(root, tree) if is_repointed(entry, root) else None
        if above is not None:
            shared = shared_keys(entry, root, above, key_files)
            for each in (root, above):
                found[each.name] = (each, [*found.get(each.name, (each, []))[1], *shared])
    return found


def _to_be_mounted(
    wanted: BatchWanted, tree: Tree, pools: t.Mapping[str, Pool], key_files: KeyFiles
) -> t.Iterator[Dataset]:
    """Yield, as they will be, new datasets and those that get another mountpoint; and what key files may lie under."""
    written = [entry.key_file or "" for entry in wanted.entries if entry.generate or entry.copied_to is not None]
    files = [each for path in written for each in key_files.paths(path)]
    if files:
        bare = {each.value("mountpoint"): each for each in tree.datasets.values() if not each.is_mounted}
        yield from (bare[above] for path in files for above in names_above(path) if above in bare)
    for entry in wanted.entries:
        dataset = tree.get(entry.name)
        if entry.state == "absent":
            continue
        if dataset is None:
            dataset = predicted(entry, tree, pools.get(pool_of(entry.name)))
            yield dataset
            tree = tree.with_datasets(dataset)
        elif "mountpoint" in entry.properties:
            path = shown_mountpoint(entry, dataset, tree, pools.get(pool_of(entry.name)))
            if path != dataset.value("mountpoint"):
                yield dataset.with_values({"mountpoint": path})


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
    if entry.copied_to is not None:
        yield from (entry.copied_to, _keyfiles.in_use(entry.copied_to, root.key_file if root else None))
    if entry.location_file is not None:
        yield entry.location_file
    if entry.keylocation is None and entry.change and root is not None and root.key_file is not None:
        yield root.key_file


def plan_dataset(wanted: BatchWanted, observed: Observed) -> Plan:
    """Plan all entries, or refuse all of them.

    Raises:
        Refused: any entry cannot or must not be brought about.
    """
    tree = observed.tree
    groups: list[Group] = []
    already: list[str] = []
    placed: list[DatasetWanted] = []
    generated: dict[str, str] = {}
    kinship = _Kinship()
    for entry in wanted.entries:
        planned = _plan_entry(entry, tree, observed)
        if not planned.steps and tree.get(entry.name) is not None and entry.state == "present" and not entry.is_plain:
            already.append(entry.name)
        tree = planned.tree
        steps = tuple(step for step in planned.steps if _file_of(step) not in generated)
        if not steps:
            continue
        touched = _touched(entry.name, steps)
        kin = [*kinship.of(touched), *(generated[path] for path in (entry.key_file,) if path in generated)]
        generated.update({path: entry.name for path in map(_file_of, steps) if path is not None})
        kinship.add(entry.name, touched)
        groups.append(Group(entry.name, steps, planned.mounts, tuple(dict.fromkeys(kin)), proofs=planned.proofs))
        if not _GIVES_PLACE.isdisjoint(step.action for step in steps):
            placed.append(entry)
    for entry in placed:
        _hierarchy.refuse_against_policy(entry, tree)
        if observed.tree.get(entry.name) is None:
            _hierarchy.refuse_new_below_plain(entry, tree)
    if groups:
        from ._plan_mounts import refuse_hidden_files, refuse_inside_locked, refuse_shared_places

        refuse_shared_places(observed.tree, tree)
        refuse_inside_locked(observed, tree)
        refuse_hidden_files(generated, observed, tree)
    planned_steps = [step for group in groups for step in group.steps]
    changed = {step.dataset for step in planned_steps if step.action == "change_key"}
    asked = {entry.name for entry in wanted.entries if entry.keylocation is not None}
    warnings = (
        *replica_warnings((entry for entry in wanted.entries if entry.name in changed), observed),
        *lost_locations(planned_steps, asked),
        *_hierarchy.inheriting_elsewhere(wanted.entries, observed.tree),
    )
    return Plan(tuple(groups), already=tuple(already), missing=_missing(wanted, observed), warnings=warnings)


class _Kinship:
    """Which groups touch what lies above or below what others do."""

    def __init__(self) -> None:
        self._at: dict[str, list[str]] = {}
        self._below: dict[str, list[str]] = {}

    def of(self, names: t.Collection[str]) -> list[str]:
        lines = (line for name in names for line in (name, *names_above(name)))
        at_or_above = [group for line in lines for group in self._at.get(line, ())]
        return at_or_above + [group for name in names for group in self._below.get(name, ())]

    def add(self, group: str, names: t.Iterable[str]) -> None:
        for name in names:
            self._at.setdefault(name, []).append(group)
            for above in names_above(name):
                self._below.setdefault(above, []).append(group)


def _touched(name: str, steps: t.Iterable[Step]) -> list[str]:
    """Return what steps about a dataset touch: it, and clones elsewhere that its key change reads or keeps in use."""
    from ._steps import ChangeKey, InheritKey, ProveReadable

    touched = {name: None}
    for step in steps:
        if isinstance(step, (ChangeKey, InheritKey)):
            touched.update((each.name, None) for each in step.kept_open)
        elif isinstance(step, ProveReadable):
            touched[step.dataset] = None
    return [each for each in touched if not is_below(each, name)]


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
            sentences.append(missing_parent(entry.name, parent))
    return tuple(dict.fromkeys(sentences))


def _file_of(step: Step) -> str | None:
    """Return the key file that a step makes: entries that name one file share the key in it."""
    return step.after["key_file"] if step.action in ("generate_key_file", "write_key_file") else None


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
    _refuse_other_kind(entry, dataset)
    changes = _changes(entry, dataset, tree, observed)
    key_steps = _key_steps(entry, dataset, tree, observed)
    refuse_occupied(dataset.with_values(changes.shown), observed, changes.shown)
    if any(step.action in ("change_key", "repoint") for step in key_steps):
        changes = changes.without("keylocation")
    steps = (*_synced(entry, changes.to_set, observed), *key_steps, *changes.steps(dataset, tree))
    if not steps:
        return _Planned((), tree)
    return _Planned(steps, with_new_values(_after(tree, dataset, key_steps), dataset.name, changes))


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
    if observed.key_files.get(path) is None:
        return ()
    from ._steps import SyncKeyFile

    return (SyncKeyFile(entry.name, path),)


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
    if dataset.last_snapshot is not None:
        raise Refused(
            f"{entry.name} is not destroyed: it has snapshots, the last of which is {dataset.last_snapshot}. "
            f"Snapshots are never destroyed along; 'zfs destroy {entry.name}@%' destroys all of them."
        )
    from ._steps import DestroyDataset

    return _Planned((DestroyDataset(entry.name, dataset.value("mountpoint")),), tree.without(entry.name))


def _plan_creation(entry: DatasetWanted, tree: Tree, observed: Observed) -> _Planned:
    if parent_of(entry.name) is None:
        if pool_of(entry.name) in observed.pools:
            raise Refused(f"{entry.name} is a pool's root dataset, which only comes with its pool.")
        return _Planned((), tree)  # the pool is told to be missing
    parent = tree.parent(entry.name)
    if parent is not None:
        _refuse_bad_place(entry, parent)
        _hierarchy.refuse_impossible_creation(entry, parent)
    from ._mount_steps import AwaitNode, Mount
    from ._steps import CreateDataset

    new = new_dataset(entry, tree, observed)
    steps = (*new.steps, CreateDataset(new.creation, new.generated_file))
    mount = Mount(entry.name, new.dataset.value("mountpoint"))
    mounts = (mount,) if new.dataset.is_mounted_by_default else ()
    proofs = (AwaitNode(new.dataset),) if new.dataset.is_volume and new.dataset.can_be_read else ()
    return _Planned(steps, tree.with_datasets(new.dataset), mounts, proofs)


def _refuse_bad_place(entry: DatasetWanted, parent: Dataset) -> None:
    if parent.is_encrypted and not parent.is_key_loaded:
        raise Refused(
            f"{entry.name} cannot be created: its parent {parent.name} is locked. "
            f"Unlock {parent.encryption_root} first."
        )
    if parent.is_volume:
        raise Refused(f"{entry.name} cannot be created: {parent.name} is a volume, nothing can lie below it.")


def _refuse_other_kind(entry: DatasetWanted, dataset: Dataset) -> None:
    if entry.is_volume is not None and entry.is_volume != dataset.is_volume:
        raise Refused(
            f"{entry.name} is a {dataset.value('type')} and cannot become anything else. Choose another name."
        )


def _changes(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> Changes:
    changes = property_changes(entry, dataset, tree, observed.pools.get(pool_of(dataset.name)))
    location = entry.keylocation
    if location is None or not dataset.is_encryption_root or _is_rotated(entry, dataset):
        return changes
    if location == dataset.value("keylocation"):
        return changes
    return replace(changes, to_set={**changes.to_set, "keylocation": location})


def _is_rotated(entry: DatasetWanted, root: Dataset) -> bool:
    """Tell whether a rotation put a file beside the named one: it holds the key, whatever the task says."""
    return entry.key_file is not None and _keyfiles.in_use(entry.key_file, root.key_file) != entry.key_file


def _after(tree: Tree, dataset: Dataset, key_steps: t.Sequence[Step]) -> Tree:
    """Return the tree as these steps leave it: what inherits a key follows its root."""
    if not key_steps:
        return tree
    from ._replica_steps import Reattach, Repoint
    from ._steps import ChangeKey, InheritKey

    for step in key_steps:
        if isinstance(step, (Repoint, Reattach)):
            tree = step.left_behind(tree)
        if isinstance(step, (ChangeKey, InheritKey)):
            wrap = {**_wrap_of(tree.parent(dataset.name)), **step.after}
            if isinstance(step, ChangeKey):
                wrap["pbkdf2salt"] = "new"
            wrapped = {name: wrap[name] for name in WRAP}
            members = [member.with_values(wrapped) for member in tree.rewrapped_with(dataset)]
            location = {"keylocation": step.after.get("keylocation", "none")}
            root = t.cast(Dataset, tree.get(dataset.name)).with_values({**wrapped, **location})
            tree = tree.with_datasets(*members, root)
    return tree


def _wrap_of(dataset: Dataset | None) -> dict[str, str]:
    return {} if dataset is None else dataset.values(WRAP)
