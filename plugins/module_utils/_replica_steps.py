# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that change which encryption root a dataset refers to, and wrap nothing anew.

Neither can lose a key: master keys stay wrapped as they are, whatever happens. A run that dies in between leaves a
reference that can be turned back by the other step. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._errors import CallFailed, EncryptionError, KeyInDoubt, unforeseen
from ._keys import Key
from ._model import Dataset, Tree
from ._step import Values

if t.TYPE_CHECKING:
    from ._host import Host


def _referring(tree: Tree, dataset: Dataset, values: Values) -> Tree:
    """Return a tree after a dataset, with what inherits through it, came to refer to another root."""
    root = tree.get(values["encryptionroot"])
    status = "available" if root is None or root.name == dataset.name else root.value("keystatus")
    for member in tree.rewrapped_with(dataset):
        tree = tree.with_datasets(member.with_values({"encryptionroot": values["encryptionroot"], "keystatus": status}))
    return tree.with_datasets(
        t.cast(Dataset, tree.get(dataset.name)).with_values({"keylocation": values["keylocation"]})
    )


@dataclass(frozen=True)
class Repoint:
    """A dataset that inherits becomes an encryption root of its own, with the key that wraps it already.

    Only a root can be tried with a key, so it has to be made one first. Where the key does not open it, it inherits
    again at once. A run that dies in between leaves a root, locked and with ``keylocation=prompt``, which its true key
    opens: the same task finds it done, if its key is the right one, and the other direction takes it back.

    Args:
        old: the dataset as it was; nothing at or below it is mounted.
        key: the key that should open it.
        keylocation: where OpenZFS shall look for the key later.
        members: itself and what inherits through it, as far as it can be read: it has to be, with that key.
    """

    old: Dataset
    key: Key
    keylocation: str
    members: tuple[Dataset, ...] = ()
    action: t.ClassVar[str] = "repoint"
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.old.name

    @property
    def before(self) -> Values:
        return self.old.values(("encryptionroot", "keylocation", "keystatus"))

    @property
    def after(self) -> Values:
        return {"encryptionroot": self.dataset, "keylocation": self.keylocation, "keystatus": "available"}

    def perform(self, host: Host) -> None:
        host.repoint(self.dataset)
        try:
            self._prove(host)
        except Exception as error:
            self._take_back(host, error)
            raise
        if self.keylocation != "prompt":
            host.set_properties(self.dataset, {"keylocation": self.keylocation})

    def left_behind(self, tree: Tree) -> Tree:
        return _referring(tree, self.old, self.after)

    def _prove(self, host: Host) -> None:
        root = host.dataset(self.dataset)
        if root is None:
            raise CallFailed(f"{self.dataset} is gone.")
        verdict = host.verify(root, self.key)
        if verdict.outcome == "wrong":
            raise CallFailed(
                f"The key given does not open {self.dataset}, which inherits from {self.old.encryption_root} as "
                "before. Give the key that its sender has.",
                reason="wrong_key",
            )
        if verdict.outcome != "opens":
            raise CallFailed(f"Whether the key given opens {self.dataset} was not found out: {verdict.detail}.")
        host.load_key(root, self.key)
        for member in self.members:
            host.prove_readable(member)

    def _take_back(self, host: Host, error: Exception) -> None:
        """Let it inherit as before; OpenZFS frees a key in doing so, which nothing must use."""
        try:
            now = host.dataset(self.dataset)
            if now is not None and now.is_key_loaded:
                host.unload_key(self.dataset)
            host.reattach(self.dataset)
        except Exception as second:  # noqa: BLE001  # the state is told, whatever the cause
            causes = [str(each) if isinstance(each, EncryptionError) else unforeseen(each) for each in (error, second)]
            raise KeyInDoubt(
                f"{' '.join(causes)} {self.dataset} is an encryption root of its own now, its key as it was. "
                "Take it back with state: inherited and repoint: true, and the key under current."
            ) from None


@dataclass(frozen=True)
class Reattach:
    """An encryption root refers to its parent's root, whose key is proven to be its own.

    Args:
        old: the root as it was; nothing under its key is in use.
        encryption_root: the parent's root.
        key: opens both.
    """

    old: Dataset
    encryption_root: str
    key: Key
    action: t.ClassVar[str] = "reattach"
    undone_by: t.ClassVar[None] = None

    @property
    def dataset(self) -> str:
        return self.old.name

    @property
    def before(self) -> Values:
        return self.old.values(("encryptionroot", "keylocation"))

    @property
    def after(self) -> Values:
        return {"encryptionroot": self.encryption_root, "keylocation": "none"}

    def perform(self, host: Host) -> None:
        if self.old.is_key_loaded:
            host.unload_key(self.dataset)
        try:
            host.reattach(self.dataset)
        except CallFailed:
            if self.old.is_key_loaded:
                host.load_key(self.old, self.key)
            raise

    def left_behind(self, tree: Tree) -> Tree:
        return _referring(tree, self.old, self.after)
