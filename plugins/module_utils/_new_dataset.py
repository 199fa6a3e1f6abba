# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset that is not there yet, a pool's root dataset too: how it will look, and what it takes to make it.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import _properties
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._model import WRAP, Dataset, Pool, Property, Tree
from ._names import parent_of, pool_of
from ._plan import Observed
from ._plan_key import NewKey, new_key
from ._plan_key_file import refuse_key_file_inside
from ._plan_properties import inherited_value, refuse_unfit_properties, shown

if t.TYPE_CHECKING:
    from ._host import Creation
    from ._step import Step


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
    refuse_unfit_properties(entry)
    dataset = predicted(entry, tree, observed.pools.get(pool_of(entry.name)))
    refuse_occupied(dataset, observed, ("mountpoint",))
    key = NewKey(None)
    properties = entry.own_properties
    if entry.state == "present" and not entry.is_plain:
        refuse_key_file_inside(entry, (dataset,), observed)
        key = new_key(entry, observed, entry.secret)
        properties.update(_encryption_properties(entry))
    elif entry.encryption is not None:
        properties["encryption"] = entry.encryption
    from ._host import Creation

    location = entry.keylocation or "prompt"
    creation = Creation(entry.name, properties, _new_volume_size(entry), bool(entry.sparse), key.key, location)
    return NewDataset(dataset, creation, key.steps, key.generated_file)


def _new_volume_size(entry: DatasetWanted) -> str | None:
    if not entry.is_volume:
        return None
    if entry.volume_size is None:
        raise Refused(f"{entry.name} is to be a volume and has no volsize. Give it one, like 10G.")
    return str(_properties.volume_size(entry.volume_size, 0))


def refuse_occupied(dataset: Dataset, observed: Observed, changed: t.Container[str]) -> None:
    obstacle = observed.obstacle(dataset)
    if "mountpoint" in changed and dataset.is_mounted_by_default and obstacle is not None:
        raise Refused(f"{obstacle} Or set another mountpoint, or canmount: noauto, under properties.")


def _encryption_properties(entry: DatasetWanted) -> dict[str, str]:
    found = {"encryption": entry.encryption or "aes-256-gcm", "keyformat": entry.new_keyformat}
    if entry.new_keyformat == "passphrase":
        found["pbkdf2iters"] = str(entry.new_iterations)
    return found


def predicted(entry: DatasetWanted, tree: Tree, pool: Pool | None = None) -> Dataset:
    """Return a dataset that is not there yet as it would look after its creation; a pool's root lies below ``/``."""
    parent = tree.parent(entry.name)
    inherited = {} if parent is None else _inherited(parent, entry.name)
    values = {
        "type": "volume" if entry.is_volume else "filesystem",
        "origin": "-",
        "mounted": "yes",
        "canmount": "on",
        "keylocation": "none",
        **{name: shown(name, value, pool) for name, value in entry.own_properties.items()},
    }
    if parent_of(entry.name) is None:
        values.setdefault("mountpoint", f"/{entry.name}")
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


def _inherited(parent: Dataset, name: str) -> dict[str, Property]:
    """Return what a new dataset has from its parent: properties, and its parent's key."""
    return {
        prop: Property(inherited_value(prop, name, parent), f"inherited from {parent.name}")
        for prop in parent.properties
        if _properties.is_inherited(prop) or prop in (*WRAP, "encryption", "keystatus")
    }
