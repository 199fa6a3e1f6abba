# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that datasets have after a raw replication, and which of them are encryption roots there.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._choice import unknown_dataset
from ._errors import Refused
from ._model import Dataset, Pool, Tree
from ._names import is_below, is_dataset_name, pool_of


@dataclass(frozen=True)
class Replication:
    """A raw replication.

    Args:
        sources: the datasets that are sent.
        target: the dataset that their longest common path is received as.
        recursive: what lies below the sources is sent as well, each dataset by itself.
        replicate: each source is sent with all below it in one stream (``zfs send -R``).
    """

    sources: tuple[str, ...]
    target: str
    recursive: bool = False
    replicate: bool = False

    def name_of(self, source: str) -> str:
        """Return the name that a dataset at or below the sources has at the target.

        Raises:
            Refused: OpenZFS has no such names.
        """
        parts = source.split("/")[len(_common_path(self.sources)) :]
        name = "/".join((self.target, *parts))
        if not is_dataset_name(name):
            raise Refused(
                f"{source} would be received as {name}, which is no name of a dataset (they have at most 255 "
                "characters). Choose a shorter target_dataset."
            )
        return name

    def received_roots(self, tree: Tree, pools: t.Container[str]) -> tuple[Dataset, ...]:
        """Return the datasets whose copies are encryption roots at the target.

        A dataset that is received by itself from a raw stream becomes a root of its own there, whatever it inherited.
        Of one stream with a whole tree, that holds for the topmost only; below it roots stay roots.

        Raises:
            Refused: a source is not there.
        """
        found: dict[str, Dataset] = {}
        for source in self.sources:
            if pool_of(source) in pools:
                found.update((dataset.name, dataset) for dataset in self._roots_of(source, tree))
        return tuple(found[name] for name in sorted(found))

    def _roots_of(self, source: str, tree: Tree) -> t.Iterator[Dataset]:
        top = tree.get(source)
        if top is None:
            raise Refused(unknown_dataset(source))
        sent = tree.at_or_below(source) if self.recursive or self.replicate else (top,)
        for dataset in sent:
            is_received_alone = not self.replicate or dataset is top
            if dataset.is_encrypted and (is_received_alone or dataset.is_encryption_root):
                yield dataset


def _common_path(names: t.Iterable[str]) -> list[str]:
    """Return the longest path that all names begin with, by components: tank/ab and tank/ac share tank."""
    common: list[str] = []
    for parts in zip(*(name.split("/") for name in names)):
        if len(set(parts)) != 1:
            break
        common.append(parts[0])
    return common


@dataclass(frozen=True)
class Excluded:
    """Datasets that are left out, with all below them."""

    names: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(name == left or is_below(name, left) for left in self.names)

    def refuse_meaningless(self, chosen: t.Sequence[str], tree: Tree, pools: t.Mapping[str, Pool]) -> None:
        """Refuse a name that leaves nothing out: it is a misspelling, and keys would be listed that must not be."""
        for name in self.names:
            if not any(is_below(name, above) for above in chosen):
                raise Refused(
                    f"{name} cannot be excluded: it lies below none of {', '.join(chosen)}. "
                    "Correct the name, or leave it out."
                )
            if pool_of(name) in pools and tree.get(name) is None:
                raise Refused(f"There is no dataset {name} to exclude. Correct the name, or leave it out.")
