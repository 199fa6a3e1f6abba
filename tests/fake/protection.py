# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake protects a dataset: what OpenZFS calls its DSL crypto key."""

from __future__ import annotations

import errno
import secrets
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key

CIPHERS = {f"aes-{bits}-{mode}" for bits in (128, 192, 256) for mode in ("ccm", "gcm")}
DEFAULT_CIPHER = "aes-256-gcm"
LIBZFS_ITERATIONS = 350_000


def random_id() -> str:
    """A number as OpenZFS gives to datasets and master keys."""
    return str(secrets.randbelow(2**64 - 1) + 1)


@dataclass(frozen=True)
class Wrap:
    """The wrapping key that encloses a master key, and what a passphrase needs to derive it again."""

    keyformat: str
    key: bytes = field(repr=False)
    salt: int = 0
    iterations: int = 0


@dataclass
class Protection:
    """Of one dataset and, as one object, of all its clones: the master key's id and its wrap.

    Args:
        opened_at: the root whose loaded key it was unwrapped with, where that is not the root any more.
    """

    cipher: str
    root: str
    wrap: Wrap
    opened_at: str | None = None
    keyguid: str = field(default_factory=random_id)


def new_wrap(keyformat: str, key: Key, iterations: int) -> Wrap:
    """Wrap as libzfs prepares and the kernel accepts it; a passphrase gets a new salt each time."""
    if not key.fits(keyformat) or keyformat not in ("raw", "hex", "passphrase"):
        raise CallFailed("Invalid argument (errno 22).", errno=errno.EINVAL)
    if keyformat != "passphrase":
        return Wrap(keyformat, key.secret)
    if iterations < _keys.MINIMUM_ITERATIONS:
        raise CallFailed("Invalid argument (errno 22).", errno=errno.EINVAL)
    salt = _keys.new_salt()
    return Wrap(keyformat, key.wrapping_key(salt=salt, iterations=iterations), salt, iterations)
