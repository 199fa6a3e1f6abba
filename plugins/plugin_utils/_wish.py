# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants of an encryption root whose key is to be in escrow. Private to the collection."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from ..module_utils import _keys
from ..module_utils._keys import Key, KeyFormat

# Lower case, and nothing that a tired person takes for something else. 30 of these are 148 bits.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _IN_A_GROUP = 6, 5


@dataclass(frozen=True)
class Wish:
    """One encryption root as it should be.

    Args:
        dataset: the root.
        given: the key that the task gives, None where escrow has it or gets a new one.
        key_file: a file on the host that holds it, or shall.
        keyformat: as asked for, None where anything will do; a new key is ``hex`` then, or as the given one is.
        iterations: PBKDF2 rounds as asked for.
        change: whether an existing root may get another key.
        renew: whether it is to get another key although nothing is wrong with the one that it has.
        begun_since: what was begun before this moment is given up, as records note it; empty where nothing is.
        gives_up: whether nothing comes of what was begun, though the root keeps the key that it has.
        may_mint: whether a key may be made; not where the task says ``generate_key: false``.
        brings_its_pool: whether the task makes the pool too.
    """

    dataset: str
    given: Key | None = field(default=None, repr=False)
    key_file: str | None = None
    keyformat: KeyFormat | None = None
    iterations: int | None = None
    change: bool = False
    renew: bool = False
    begun_since: str = ""
    gives_up: bool = False
    may_mint: bool = True
    brings_its_pool: bool = False

    @property
    def new_keyformat(self) -> KeyFormat:
        if self.keyformat is not None:
            return self.keyformat
        return "passphrase" if self.given is not None and self.given.kind == "passphrase" else "hex"

    @property
    def new_iterations(self) -> int:
        if self.new_keyformat != "passphrase":
            return 0
        return self.iterations or _keys.DEFAULT_ITERATIONS

    def new_key(self) -> Key:
        """Return the key that a new root gets: the given one, or one made now."""
        if self.given is not None:
            return self.given
        return generated_passphrase() if self.new_keyformat == "passphrase" else _keys.generate()


def generated_passphrase() -> Key:
    """Make a passphrase of more than 128 bits that a person can read from a screen and type."""
    groups = ("".join(secrets.choice(_LETTERS) for _each in range(_IN_A_GROUP)) for _group in range(_GROUPS))
    return Key("passphrase", "-".join(groups).encode("ascii"))
