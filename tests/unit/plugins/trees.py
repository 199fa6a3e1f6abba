# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small trees of datasets, as a host would have shown them."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keyfiles import KeyFiles
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, hex_key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Pool, Property, Tree, Verdict
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Observed

POOLS = {"tank": Pool("tank", "1234567890")}

KEY_TEXT = "0a" * 32
OTHER_KEY_TEXT = "0b" * 32
KEY = hex_key(KEY_TEXT, whose="a test")
OTHER_KEY = hex_key(OTHER_KEY_TEXT, whose="a test")
PASSPHRASE = passphrase("correct horse", whose="a test")


def dataset(name: str, **properties: str) -> Dataset:
    """A plain, mounted filesystem, but for the given properties."""
    values = {
        "type": "filesystem",
        "origin": "-",
        "encryption": "off",
        "encryptionroot": "-",
        "keyformat": "none",
        "keylocation": "none",
        "keystatus": "-",
        "pbkdf2iters": "0",
        "pbkdf2salt": "0",
        "mounted": "yes",
        "mountpoint": f"/{name}",
        "canmount": "on",
        "receive_resume_token": "-",
        **properties,
    }
    return Dataset(name, {key: Property(value, "local") for key, value in values.items()})


def root(name: str, *, locked: bool = False, keyformat: str = "hex", **properties: str) -> Dataset:
    """An encryption root; a locked one is not mounted."""
    return inheriting(name, name, locked=locked, keyformat=keyformat, **{"keylocation": "prompt", **properties})


def inheriting(name: str, of: str, *, locked: bool = False, keyformat: str = "hex", **properties: str) -> Dataset:
    """A dataset under the key of another."""
    iterations = "100000" if keyformat == "passphrase" else "0"
    values = {
        "encryption": "aes-256-gcm",
        "encryptionroot": of,
        "keyformat": keyformat,
        "keystatus": "unavailable" if locked else "available",
        "mounted": "no" if locked else "yes",
        "pbkdf2iters": iterations,
        "pbkdf2salt": iterations,
        **properties,
    }
    return dataset(name, **values)


def tree(*datasets: Dataset) -> Tree:
    """A tree of these, below the plain pool ``tank`` unless that is among them."""
    return Tree({"tank": dataset("tank"), **{each.name: each for each in datasets}})


def observed(
    *datasets: Dataset,
    opens: dict[str, Key] | None = None,
    wrong: dict[str, Key] | None = None,
    key_files: dict[str, bytes | None] | None = None,
    occupied: dict[str, str] | None = None,
) -> Observed:
    """An observation of these datasets; ``opens`` and ``wrong`` are the verdicts by root."""
    verdicts = {(name, key): Verdict("opens") for name, key in (opens or {}).items()}
    verdicts.update({(name, key): Verdict("wrong") for name, key in (wrong or {}).items()})
    return Observed(POOLS, tree(*datasets), KeyFiles(key_files or {}), verdicts, occupied or {})
