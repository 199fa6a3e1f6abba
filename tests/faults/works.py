# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is changed while somebody dies: roots with all that inherits their keys, and how a module is asked to do it."""

from __future__ import annotations

import secrets
import typing as t
from dataclasses import dataclass

POOL = "faults"
KEY_FILES = "/etc/zfs/faults"
ITERATIONS = 100_000
MODULE = "zfs_dataset_key"
KEY_ID = "zfsfleet.encryption:key_id"
Secret = dict[str, str]


@dataclass(frozen=True)
class Root:
    """An encryption root and what inherits its key.

    Args:
        name: the dataset.
        filesystems: those below it, by their names there, parents first.
        volumes: the same.
        formats: of its keys, in turn.
        in_files: whether each key lies in a file of its own, which ``keylocation`` names.
        below: the root that it inherits from before every change.
        is_changed: whether it gets other keys at all.
    """

    name: str
    filesystems: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("hex",)
    in_files: bool = False
    below: str = ""
    is_changed: bool = True

    @property
    def mounted(self) -> tuple[str, ...]:
        return (self.name, *(f"{self.name}/{each}" for each in self.filesystems))

    @property
    def read(self) -> tuple[str, ...]:
        return tuple(f"{self.name}/{each}" for each in self.volumes)

    def key_file(self, key: Secret) -> str:
        """Return the file of a key, as a rotation names it."""
        return f"{KEY_FILES}/{self.name.replace('/', '.')}.{key['version']}.key" if self.in_files else ""


@dataclass(frozen=True)
class Work:
    """One call of a module that changes keys.

    Args:
        name: of the work.
        roots: that it is about.
        is_locked: whether the roots are locked before.
        has_pyzfs: whether the module finds pyzfs; else keys go through the ``zfs`` command.
    """

    name: str
    roots: tuple[Root, ...]
    is_locked: bool = False
    has_pyzfs: bool = True


def _root(name: str, **options: t.Any) -> Root:
    return Root(f"{POOL}/{name}", ("a", "a/deep"), ("volume",), **options)


WORKS = (
    Work("tree", (_root("tree-1"), _root("tree-2"))),
    Work("files", (_root("files-1", in_files=True), _root("files-2", in_files=True))),
    Work("passphrases", (_root("passphrases", formats=("passphrase",)),)),
    Work(
        "conversion",
        (
            Root(f"{POOL}/parent", is_changed=False),
            Root(f"{POOL}/parent/own", ("a",), ("volume",), below=f"{POOL}/parent"),
        ),
    ),
    Work("locked", (_root("locked"),), is_locked=True),
    Work("commands", (_root("commands-1"), _root("commands-2", in_files=True)), has_pyzfs=False),
    Work("formats", (_root("formats", formats=("passphrase", "hex")),)),
)

# Sixty datasets, for power cuts.
LARGE = Work(
    "large",
    (
        Root(
            f"{POOL}/large", tuple(f"f{number:02d}" for number in range(30)), tuple(f"v{number}" for number in range(4))
        ),
        *(Root(f"{POOL}/small-{number}", ("a", "a/b", "c"), ("v",), in_files=number < 2) for number in range(5)),
    ),
)


def work_named(name: str) -> Work:
    return next(work for work in (*WORKS, LARGE) if work.name == name)


class Escrow:
    """All keys that there ever were, outside the machine: both keys of a change are here before it begins."""

    def __init__(self) -> None:
        self._keys: dict[str, list[Secret]] = {}

    def mint(self, root: Root) -> Secret:
        keys = self._keys.setdefault(root.name, [])
        keyformat = root.formats[len(keys) % len(root.formats)]
        keys.append({"version": secrets.token_hex(6), "keyformat": keyformat, "text": secrets.token_hex(32)})
        return keys[-1]

    def newest(self, root: Root) -> Secret:
        return self._keys[root.name][-1]

    def candidates(self, root: Root) -> list[Secret]:
        """Return the key that is to be and the one before."""
        return self._keys[root.name][-2:]


def arguments(work: Work, escrow: Escrow) -> dict[str, t.Any]:
    """Return what a module is given to change the keys of a work to the newest."""
    entries = [_entry(root, *escrow.candidates(root)) for root in work.roots if root.is_changed]
    return {"datasets": entries, "update_key": "always"}


def _entry(root: Root, *keys: Secret) -> dict[str, t.Any]:
    new = keys[-1]
    entry: dict[str, t.Any] = {"name": root.name, **_text(new), "keyformat": new["keyformat"]}
    if new["keyformat"] == "passphrase":
        entry["pbkdf2iters"] = ITERATIONS
    if root.in_files:
        entry["key_file"] = root.key_file(new)
    if not root.below:
        entry["current"] = _text(keys[0])
    return {**entry, "properties": {KEY_ID: key_id(new)}}


def key_id(key: Secret) -> str:
    return f"0123456789abcdef.{key['version']}"


def _text(key: Secret) -> dict[str, str]:
    return {"passphrase" if key["keyformat"] == "passphrase" else "key": key["text"]}
