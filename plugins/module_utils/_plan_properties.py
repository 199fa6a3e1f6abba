# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning the properties of one dataset: which to set, which to give back to its parent, which to refuse.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from . import _properties
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._model import Dataset, Pool, Property, Tree
from ._names import parent_of

if t.TYPE_CHECKING:
    from ._step import Step

Values = t.Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """What has to be done about a dataset's properties.

    Args:
        to_set: values as OpenZFS takes them.
        to_inherit: the values that its parent, or the default, gives it instead of its own.
        pool: whose altroot mountpoints are shown with.
    """

    to_set: Values = field(default_factory=dict)
    to_inherit: Values = field(default_factory=dict)
    pool: Pool | None = None

    @property
    def shown(self) -> dict[str, str]:
        """What has a new value, as ``zfs get`` will show it."""
        return {**{name: shown(name, value, self.pool) for name, value in self.to_set.items()}, **self.to_inherit}

    def without(self, name: str) -> Changes:
        return replace(self, to_set={key: value for key, value in self.to_set.items() if key != name})

    def steps(self, dataset: Dataset, tree: Tree) -> tuple[Step, ...]:
        if not self.shown:
            return ()
        from ._steps import InheritProperties, SetProperties

        left = tuple(_places_of(dataset, tree)) if "mountpoint" in self.shown else ()
        steps: list[Step] = []
        if self.to_set:
            steps.append(SetProperties(dataset.name, self.to_set, _values(dataset, self.to_set), left))
        if self.to_inherit:
            steps.append(InheritProperties(dataset.name, self.to_inherit, _values(dataset, self.to_inherit), left))
        return tuple(steps)


def _places_of(dataset: Dataset, tree: Tree) -> t.Iterator[str]:
    """Yield the mountpoints of a dataset and of all that inherit theirs from it."""
    for each in tree.at_or_below(dataset.name):
        source = each.properties["mountpoint"].source if "mountpoint" in each.properties else "-"
        if each.name == dataset.name or source == f"inherited from {dataset.name}":
            yield each.value("mountpoint")


def _values(dataset: Dataset, names: t.Iterable[str]) -> Values:
    """Return what is replaced; a user property that is not there is none, whatever ``zfs get`` prints for it."""
    absent = Property("-")
    found = {name: dataset.properties.get(name, absent) for name in names}
    return {name: own.value for name, own in found.items() if own != absent or not _properties.is_users(name)}


def shown(name: str, value: str, pool: Pool | None) -> str:
    """Return a wanted value as ``zfs get -p`` prints it once it is set."""
    printed = _properties.as_shown(name, value)
    return pool.shown(printed) if name == "mountpoint" and pool is not None else printed


def property_changes(entry: DatasetWanted, dataset: Dataset, tree: Tree, pool: Pool | None) -> Changes:
    """Compare what an entry sets with what a dataset has, volumes' sizes and reservations included.

    Raises:
        Refused: it cannot be had, or must not be.
    """
    _refuse_inapplicable(entry, to_volume=dataset.is_volume)
    _refuse_immutable(entry, dataset)
    to_set: dict[str, str] = {}
    to_inherit: dict[str, str] = {}
    for name, value in entry.properties.items():
        own = dataset.properties.get(name, Property("-"))
        if value == _properties.INHERIT:
            if own.source in ("local", "received"):
                to_inherit[name] = inherited_value(name, dataset.name, tree.parent(dataset.name), pool)
        elif name not in _properties.IMMUTABLE and not _is_as_wanted(name, value, own, pool):
            to_set[name] = value
    changes = Changes({**to_set, **_volume_changes(entry, dataset)}, to_inherit, pool)
    _refuse_containers_place(dataset, changes)
    return changes


def _is_as_wanted(name: str, value: str, own: Property, pool: Pool | None) -> bool:
    if _properties.is_users(name) and own == Property("-"):
        return False  # it has none, not even one with the text "-"
    as_mounted = pool.shown(value) if name == "mountpoint" and pool is not None else value
    return _properties.is_same(name, as_mounted, own.value)


def _refuse_containers_place(dataset: Dataset, changes: Changes) -> None:
    """All is set by one call, for which libzfs reads ``zoned`` first; what is inherited comes after it."""
    is_ours_then = "mountpoint" in changes.to_inherit and changes.to_set.get("zoned") == "off"
    if dataset.is_zoned and "mountpoint" in changes.shown and not is_ours_then:
        raise Refused(
            f"mountpoint of {dataset.name} cannot be changed here: its zoned is on, so it is a container's. Set it "
            "inside the container, or set zoned: off in a task before."
        )


def _volume_changes(entry: DatasetWanted, dataset: Dataset) -> dict[str, str]:
    """Grow a volume, and reserve its space or do without.

    OpenZFS makes a reservation follow a new size only where it is just what ``auto`` comes to, and would shrink a
    volume without a word (zfs_add_synthetic_resv()).
    """
    if not dataset.is_volume:
        return {}
    changed: dict[str, str] = {}
    size = now = dataset.number("volsize")
    if entry.volume_size is not None:
        size = _properties.volume_size(entry.volume_size, dataset.number("volblocksize"))
        if size < now:
            raise Refused(f"volsize of {entry.name} is {now} and is not reduced to {size}: that would cut off data.")
        if size > now:
            _refuse_unable_to_grow(dataset)
            changed["volsize"] = str(size)
    reserved = dataset.number("refreservation")
    if entry.sparse is True and reserved:
        changed["refreservation"] = "none"
    if entry.sparse is False and reserved < size:
        changed["refreservation"] = "auto"
    return changed


def _refuse_unable_to_grow(volume: Dataset) -> None:
    """OpenZFS writes the size into the volume itself (zvol_set_volsize()), by what ``readonly`` was before the task."""
    if volume.is_encrypted and not volume.is_key_loaded:
        raise Refused(
            f"volsize of {volume.name} cannot be changed while it is locked. Unlock {volume.encryption_root} in a task "
            "before."
        )
    if volume.value("readonly") == "on":
        raise Refused(
            f"volsize of {volume.name} cannot be changed while its readonly is on. Set readonly: off in a task before."
        )


def refuse_unfit_properties(entry: DatasetWanted) -> None:
    """Refuse, before a dataset is made, what its kind cannot have."""
    _refuse_inapplicable(entry, to_volume=bool(entry.is_volume))


def _refuse_inapplicable(entry: DatasetWanted, *, to_volume: bool) -> None:
    unfit = sorted(name for name in entry.properties if not _properties.applies(name, to_volume=to_volume))
    if unfit:
        kind, other = ("volume", "filesystems") if to_volume else ("filesystem", "volumes")
        raise Refused(
            f"{entry.name} is a {kind} and cannot have {', '.join(unfit)}, which only {other} have. Leave it out."
        )
    if entry.sparse and not entry.sparse_by_default and not to_volume:
        raise Refused(
            f"{entry.name} is a filesystem and was given sparse, which only volumes have. Leave it out; a new volume "
            "has a volsize."
        )


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
    for prop in sorted(_properties.IMMUTABLE & set(entry.properties)):
        if not _properties.is_same(prop, entry.properties[prop], dataset.value(prop)):
            raise Refused(f"{prop} of {name} is {dataset.value(prop)} and cannot be changed after creation.")


def inherited_value(prop: str, name: str, parent: Dataset | None, pool: Pool | None = None) -> str:
    """Return what a dataset has where it has nothing of its own; what is not known is ``-``."""
    if parent is None:
        return shown(prop, f"/{name}", pool) if prop == "mountpoint" else "-"
    value = parent.value(prop)
    return f"{value.rstrip('/')}/{name.rpartition('/')[2]}" if prop == "mountpoint" and value[:1] == "/" else value


def shown_mountpoint(entry: DatasetWanted, dataset: Dataset, tree: Tree, pool: Pool | None) -> str:
    """Return the mountpoint that an entry sets, as it will be shown."""
    wanted = entry.properties["mountpoint"]
    if wanted == _properties.INHERIT:
        return inherited_value("mountpoint", dataset.name, tree.parent(dataset.name), pool)
    return shown("mountpoint", wanted, pool)


def with_new_values(tree: Tree, name: str, changes: Changes) -> Tree:
    """Return the tree with these changes, which are handed down to what inherits."""
    dataset = tree.datasets[name]
    own = {prop: Property(shown(prop, value, changes.pool), "local") for prop, value in changes.to_set.items()}
    own.update({prop: Property(value, "default") for prop, value in changes.to_inherit.items()})
    changed = {name: replace(dataset, properties={**dataset.properties, **own})}
    handed_down = [prop for prop in own if _properties.is_inherited(prop)]
    for heir in tree.below(name) if handed_down else ():
        parent = changed.get(parent_of(heir.name) or "") or tree.parent(heir.name)
        values = {
            prop: Property(inherited_value(prop, heir.name, parent), f"inherited from {name}")
            for prop in handed_down
            if _takes_from_parent(prop, heir.properties.get(prop, Property("-")))
        }
        if values:
            changed[heir.name] = replace(heir, properties={**heir.properties, **values})
    return tree.with_datasets(*(_mounted_anew(each, tree.datasets[each.name]) for each in changed.values()))


def _mounted_anew(dataset: Dataset, before: Dataset) -> Dataset:
    """Return a dataset as mounted as its new properties leave it (libzfs_changelist.c, ``changelist_postfix``).

    Where the mountpoint is another one, what mounts by itself is mounted too, and nothing that has none stays so.
    """
    if dataset.is_volume:
        return dataset
    is_mounted = before.is_mounted
    if dataset.value("mountpoint") != before.value("mountpoint"):
        has_place = dataset.value("mountpoint").startswith("/")
        is_closed = dataset.is_half_received or (dataset.is_encrypted and not dataset.is_key_loaded)
        is_mounted = has_place and not is_closed and (is_mounted or dataset.value("canmount") == "on")
    is_mounted = is_mounted and dataset.value("canmount") != "off" and not dataset.is_zoned
    return (
        dataset if is_mounted == before.is_mounted else dataset.with_values({"mounted": "yes" if is_mounted else "no"})
    )


def _takes_from_parent(name: str, own: Property) -> bool:
    """Tell whether a property is not the dataset's own; ``-`` is a user property that nobody above has set."""
    return own.source not in ("local", "received") and (own.source != "-" or _properties.is_users(name))
