# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing encryption roots by name, apart from the keys that are offered for them.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._errors import Refused
from ._model import Dataset, Pool, Tree
from ._names import depth_of, is_below, pool_of, why_no_name


@dataclass(frozen=True)
class Choice:
    """Datasets that a task names, with all below them or not."""

    names: tuple[str, ...]
    recursive: bool = False

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(sorted({pool_of(name) for name in self.names}))

    def covers(self, name: str) -> bool:
        """Tell whether a dataset is named, or lies below one that stands for all below it."""
        return any(name == each or (self.recursive and is_below(name, each)) for each in self.names)

    def missing(self, pools: t.Container[str]) -> tuple[str, ...]:
        """Return a sentence for each pool that is not imported."""
        return tuple(missing_pool(pool) for pool in self.pools if pool not in pools)

    def roots(self, tree: Tree, pools: t.Mapping[str, Pool]) -> tuple[Dataset, ...]:
        """Return the chosen encryption roots, parents first; names in pools that are missing are passed over.

        What inherits, as a clone does, may be named along with its root.

        Raises:
            Refused: a name is unknown, plain, or inherits its key.
        """
        found: dict[str, Dataset] = {}
        for name in self.names:
            if pool_of(name) in pools:
                found.update((root.name, root) for root in self._roots_of(name, tree))
        return tuple(sorted(found.values(), key=lambda root: (depth_of(root.name), root.name)))

    def asked_about(self, tree: Tree, pools: t.Container[str]) -> tuple[Choice, tuple[str, ...]]:
        """Return what answers a question about these names, and a sentence for each that is no encryption root itself.

        What inherits is answered by its root, and what is plain by that it is: whoever asks may not know.

        Raises:
            Refused: a name is unknown.
        """
        found: dict[str, None] = {}
        sentences: list[str] = []
        for name in (name for name in self.names if pool_of(name) in pools):
            dataset = tree.get(name)
            if dataset is None:
                raise Refused(unknown_dataset(name))
            root = dataset.encryption_root
            found.update(dict.fromkeys([] if root is None else [root]))
            found.update(dict.fromkeys(each.name for each in tree.roots_at_or_below(name) if self.recursive))
            if root is None and not self.recursive:
                sentences.append(f"{name} is not encrypted.")
            elif root not in (None, name):
                sentences.append(f"{name} is no encryption root: it inherits the key of {root}, which is told of.")
        return Choice(tuple(found)), tuple(sentences)

    def _roots_of(self, name: str, tree: Tree) -> tuple[Dataset, ...]:
        dataset = tree.get(name)
        if dataset is None:
            raise Refused(unknown_dataset(name))
        if dataset.is_encrypted and not dataset.is_encryption_root:
            root = dataset.encryption_root
            if root is not None and self.covers(root):
                return ()
            raise Refused(
                f"{name} is no encryption root: it inherits the key of {root}. Name {root}, whose key is its key."
            )
        if self.recursive:
            return tree.roots_at_or_below(name)
        if not dataset.is_encrypted:
            raise Refused(
                f"{name} is not encrypted and has no key. "
                "Name an encryption root, or set recursive: true for all roots below it."
            )
        return (dataset,)


def refuse_no_name(name: str) -> None:
    """Refuse what can be nobody's name."""
    broken = why_no_name(name)
    if broken:
        raise Refused(f"{name!r} is no name of a filesystem or volume: {broken}. Write it like pool/dataset.")


def unknown_dataset(name: str) -> str:
    return f"There is no dataset {name}. Correct the name, or create it first."


def missing_pool(pool: str) -> str:
    return f"There is no pool {pool} on this host. Import or create it first."


def missing_parent(name: str, parent: str) -> str:
    return f"{name} has no parent: there is no dataset {parent}. Create it first."


def choice_from(params: t.Mapping[str, t.Any]) -> Choice:
    """Read ``name``, ``names`` and ``recursive``.

    Raises:
        Refused: a name can be nobody's.
    """
    names = list(params.get("names") or ()) if params.get("name") is None else [params["name"]]
    for name in names:
        refuse_no_name(name)
    return Choice(tuple(dict.fromkeys(names)), bool(params.get("recursive")))
