# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties as people write them, compared as OpenZFS understands them.

Private to the collection.
"""

from __future__ import annotations

import math
import re
import typing as t
from decimal import Decimal

from ._errors import Refused

# A wanted value that stands for none of the dataset's own: what its parent has, else the default (zfs-inherit(8)).
INHERIT = "inherit"

# Given at creation, kept for ever (zfsprops(7)); encryption and its companions have options of their own.
IMMUTABLE = frozenset({"encryption", "casesensitivity", "normalization", "utf8only", "volblocksize"})
HAVE_OPTIONS = frozenset({"encryption", "keyformat", "keylocation", "pbkdf2iters", "volsize"})

# What `zfs get` tells and nobody sets.
READ_ONLY = frozenset(
    {
        *("available", "clones", "compressratio", "createtxg", "creation", "defer_destroy", "encryptionroot"),
        *("filesystem_count", "guid", "keyguid", "keystatus", "logicalreferenced", "logicalused", "mounted"),
        *("objsetid", "origin", "pbkdf2salt", "receive_resume_token", "redact_snaps", "refcompressratio"),
        *("referenced", "snapshot_count", "snapshots_changed", "type", "used", "usedbychildren", "usedbydataset"),
        *("usedbyrefreservation", "usedbysnapshots", "userrefs", "written"),
    }
)
FILESYSTEM_ONLY = frozenset(
    {
        *("aclinherit", "aclmode", "acltype", "atime", "canmount", "casesensitivity", "devices", "dnodesize", "exec"),
        *("filesystem_limit", "longname", "mountpoint", "nbmand", "normalization", "overlay", "quota", "recordsize"),
        *("refquota", "relatime", "setuid", "sharenfs", "sharesmb", "snapdir", "utf8only", "version", "vscan"),
        *("xattr", "zoned"),
    }
)
VOLUME_ONLY = frozenset({"volblocksize", "volsize", "volthreading"})

# What a dataset does not take from its parent, and what to write instead of INHERIT.
NOT_INHERITED = {
    **dict.fromkeys(("quota", "refquota", "reservation", "refreservation", "filesystem_limit"), "none"),
    **dict.fromkeys(("snapshot_limit", "context", "fscontext", "defcontext", "rootcontext"), "none"),
    "canmount": "on",
    "version": "current",
    "volthreading": "on",
}

# What OpenZFS takes in every version, where that is a short list.
_SWITCHES = ("atime", "devices", "exec", "nbmand", "overlay", "readonly", "relatime", "setuid", "vscan", "zoned")
_CHOICES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*_SWITCHES, "utf8only"), ("on", "off")),
    **dict.fromkeys(("primarycache", "secondarycache"), ("all", "none", "metadata")),
    "canmount": ("on", "off", "noauto"),
    "copies": ("1", "2", "3"),
    "logbias": ("latency", "throughput"),
    "sync": ("standard", "always", "disabled"),
}

# Values that OpenZFS takes and prints under another name (zfs_prop.c: the first name of an index wins).
_ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "acltype": {"posixacl": ("posix",), "noacl": ("off",)},
    "aclinherit": {"secure": ("restricted",)},
    "compression": {"gzip-6": ("gzip",), "zstd-fast-1": ("zstd-fast",)},
    "version": {"current": ("5",)},
    "volmode": {"geom": ("full",)},
    "xattr": {"on": ("sa", "dir")},  # by version
}
# Texts and names that look like sizes.
_NO_SIZES = frozenset({"comment", "dnodesize"})
_NONE_MEANS_ZERO = frozenset({"quota", "refquota", "reservation", "refreservation"})

# zfs_nicestrtonum(): decimal digits and a unit, where G, GB and GiB are the same; bytes are B or nothing.
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)(?:([KMGTPEZ])(?:i?B)?|B)?", re.IGNORECASE | re.ASCII)
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E", "Z"))}
_NATIVE_NAME = re.compile(r"[a-z0-9][a-z0-9_]*(@[^,=\s]+)?")
_USER_NAME = re.compile(r"[a-z0-9:._+-]{1,255}")


def is_name(name: str) -> bool:
    """Tell whether a text can name a property (zfs_prop_user(), zfs_prop_userquota())."""
    pattern = _USER_NAME if is_users(name) else _NATIVE_NAME
    return pattern.fullmatch(name) is not None and not name.startswith("-")


def is_users(name: str) -> bool:
    """Tell whether a property is a user property: OpenZFS keeps its text as it is."""
    return ":" in name and "@" not in name


def is_inherited(name: str) -> bool:
    """Tell whether children take a property from their parent."""
    return "@" not in name and name not in NOT_INHERITED and name not in HAVE_OPTIONS | IMMUTABLE | READ_ONLY


def is_mountpoint(value: str) -> bool:
    return value in ("none", "legacy", INHERIT) or value.startswith("/")


def choices(name: str, value: str) -> tuple[str, ...]:
    """Return what a property takes, where that is known and a value is none of it."""
    known = _CHOICES.get(name, (value,))
    return () if value in (*known, INHERIT) else known


def applies(name: str, *, to_volume: bool) -> bool:
    """Tell whether a property is one of volumes, or of filesystems (zfs_prop_valid_for_type())."""
    if to_volume:
        return name not in FILESYSTEM_ONLY and "quota@" not in name
    return name not in VOLUME_ONLY


def text(name: str, value: t.Any) -> str:
    """Write a YAML value as OpenZFS takes it: booleans are ``on`` and ``off``, no quota is ``none``.

    Raises:
        Refused: it is a list or a mapping, or no number.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, (str, int, float)):
        raise Refused(f"Property {name} was given a {type(value).__name__}; a property is one text or number.")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(f"Property {name} was given {value}, which is no number.")
        value = int(value) if value.is_integer() and not is_users(name) else value
    written = str(value)
    if name == "mountpoint" and written.startswith("/"):
        return written.rstrip("/") or "/"  # OpenZFS would keep the slash, and mount below it with two
    # The command refuses `quota=0`: no quota has to be said in words.
    return "none" if name in ("quota", "refquota") and size(written) == 0 else written


def size(value: str) -> int | None:
    """Return a size like ``10G``, ``10GiB`` or ``1.5T`` in bytes, None if it is none."""
    match = _SIZE.fullmatch(value)
    if match is None:
        return None
    return int(Decimal(match.group(1)) * _UNITS[(match.group(2) or "").upper()])


def as_shown(name: str, value: str) -> str:
    """Return a value as ``zfs get -p`` prints it once it is set."""
    if is_users(name) or name in _NO_SIZES:
        return value
    if value == "none" and (name in _NONE_MEANS_ZERO or "quota@" in name):
        return "0"
    number = size(value)
    return _ALIASES.get(name, {}).get(value, (value,))[0] if number is None else str(number)


def is_same(name: str, wanted: str, observed: str) -> bool:
    """Tell whether a wanted property value means what ``zfs get -p`` printed."""
    if is_users(name):
        return observed == wanted
    if observed in (wanted, as_shown(name, wanted), *_ALIASES.get(name, {}).get(wanted, ())):
        return True
    # refreservation shows the space that it came to
    return wanted == "auto" and name == "refreservation" and observed not in ("0", "-")


def is_same_cipher(wanted: str, observed: str) -> bool:
    """Tell whether two values of ``encryption`` mean one cipher: ``on`` is aes-256-gcm since OpenZFS 0.8.4."""
    return ("aes-256-gcm" if wanted == "on" else wanted) == observed


def volume_size(value: str, block: int) -> int:
    """Return a volume's size in bytes, rounded up to its block size as ``zfs create -V`` does.

    Raises:
        Refused: the value is no size.
    """
    wanted = size(value.strip())
    if not wanted:
        raise Refused(f"volsize {value!r} is no size; write it like 10G or in bytes.")
    return -(-wanted // block) * block if block else wanted
