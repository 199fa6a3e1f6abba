# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties as people write them, compared as OpenZFS understands them.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t
from decimal import Decimal

from ._errors import Refused

# Given at creation, kept for ever (zfsprops(7)); encryption and its companions have options of their own.
IMMUTABLE = frozenset({"encryption", "casesensitivity", "normalization", "utf8only", "volblocksize"})
HAVE_OPTIONS = frozenset({"encryption", "keyformat", "keylocation", "pbkdf2iters", "volsize"})

# Values that OpenZFS takes and prints under another name (zfs_prop.c: the first name of an index wins).
_ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "acltype": {"posixacl": ("posix",), "noacl": ("off",)},
    "aclinherit": {"secure": ("restricted",)},
    "compression": {"gzip-6": ("gzip",)},
    "volmode": {"geom": ("full",)},
    "xattr": {"on": ("sa", "dir")},  # by version
}

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTPEZ]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E", "Z"))}


def text(name: str, value: t.Any) -> str:
    """Write a YAML value as OpenZFS does: booleans are ``on`` and ``off``.

    Raises:
        Refused: it is a list or a mapping.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, (str, int, float)):
        raise Refused(f"Property {name} was given a {type(value).__name__}; a property is one text or number.")
    return str(value)


def size(value: str) -> int | None:
    """Return a size like ``10G`` or ``1.5T`` in bytes, None if it is none."""
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        return None
    return int(Decimal(match.group(1)) * _UNITS[match.group(2).upper()])


def is_same(name: str, wanted: str, observed: str) -> bool:
    """Tell whether a wanted property value means what ``zfs get -p`` printed."""
    if observed in (wanted, *_ALIASES.get(name, {}).get(wanted, ())) or (wanted == "none" and observed == "0"):
        return True
    if wanted == "auto" and observed.isdigit():
        return observed != "0"  # refreservation shows the space that it came to
    return observed.isdigit() and size(wanted) == int(observed)


def is_same_cipher(wanted: str, observed: str) -> bool:
    """Tell whether two values of ``encryption`` mean one cipher: ``on`` is aes-256-gcm since OpenZFS 0.8.4."""
    return ("aes-256-gcm" if wanted == "on" else wanted) == observed


def volume_size(value: str, block: int) -> int:
    """Return a volume's size in bytes, rounded up to its block size as ``zfs create -V`` does.

    Raises:
        Refused: the value is no size.
    """
    wanted = size(value)
    if not wanted:
        raise Refused(f"volsize {value!r} is no size; write it like 10G or in bytes.")
    return -(-wanted // block) * block if block else wanted
