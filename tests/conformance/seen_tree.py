# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of a tree that grows at random: its datasets as they were seen last, its key files, its places."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Tree
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below
from ansible_collections.zfsfleet.encryption.tests.conformance import tree_requests
from ansible_collections.zfsfleet.encryption.tests.conformance.tree_requests import Request, Scene
from ansible_collections.zfsfleet.encryption.tests.conformance.world import SMALL_POOL, World

State = t.Mapping[str, t.Mapping[str, str]]
_numbers = itertools.count(1)


class SeenTree:
    """A plain dataset of the small pool, with what lies below it.

    Attributes:
        keys: the secret that opens each root, by its name within the tree.
    """

    def __init__(self, world: World, host: Host) -> None:
        self.world = world
        self.host = host
        self.number = next(_numbers)
        self.base = f"{SMALL_POOL}/tree{self.number}"
        self.keys: dict[str, Request] = {}
        host.create(Creation(self.base, {"canmount": "off"}))
        self.look()

    def full(self, name: str) -> str:
        return f"{self.base}/{name}".rstrip("/")

    def path_of(self, key_file: str) -> str:
        return f"{self.world.directory}-tree{self.number}-{key_file}"

    def look(self) -> State:
        """Read the host anew."""
        found = self.host.datasets([SMALL_POOL]).datasets
        self.seen = Tree({name: each for name, each in found.items() if name == self.base or is_below(name, self.base)})
        return self.state()

    def tree(self) -> Tree:
        """Return what was seen last."""
        return self.seen

    def state(self) -> State:
        """Return all that modules look at, and the key files."""
        state = {
            name: {
                **{prop: found.value for prop, found in dataset.properties.items()},
                "mountpoint_protected": "yes" if self.is_protected(dataset) else "no",
            }
            for name, dataset in self.tree().datasets.items()
        }
        for path in map(self.path_of, tree_requests.KEY_FILES):
            content = self.host.read_key_file(path)
            state[path] = {"keystatus": "-", "content": "none" if content is None else content.hex()}
        return state

    def key(self, secret: Request, keyformat: str) -> Key | None:
        if "key" in secret:
            return _keys.hex_key(secret["key"], whose="a test")
        if "passphrase" in secret:
            return _keys.passphrase(secret["passphrase"], whose="a test")
        path = self.path_of(secret["key_file"])
        try:
            return _keys.from_file(self.host.read_key_file(path) or b"", keyformat, path=path)
        except Refused:
            return None

    def scene(self) -> Scene:
        # In their order: what is drawn must not depend on which thread was quicker.
        datasets = [(each.name[len(self.base) + 1 :], each) for each in self.tree().below(self.base)]
        plain = [name for name, each in datasets if not each.is_encrypted]
        return Scene([name for name, _each in datasets], self.keys, plain)

    def is_usable(self, dataset: Dataset) -> bool:
        return dataset.is_mounted or (dataset.is_volume and not self.is_locked(dataset))

    def is_protected(self, dataset: Dataset) -> bool:
        """Tell whether nobody can write into a mountpoint that is bare now."""
        place = dataset.value("mountpoint")
        return place.startswith("/") and self.host.place(place).state == "protected"

    def is_locked(self, dataset: Dataset) -> bool:
        return dataset.is_encrypted and not dataset.is_key_loaded
