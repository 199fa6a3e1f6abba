# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the fake's datasets: which there are, what they default to, who inherits from whom."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._properties import size

INHERITED_BY_ALL = {
    "checksum": "on",
    "compression": "on",
    "copies": "1",
    "dedup": "off",
    "logbias": "latency",
    "primarycache": "all",
    "readonly": "off",
    "secondarycache": "all",
    "sync": "standard",
    "volmode": "default",
}
INHERITED_BY_FILESYSTEMS = {
    "acltype": "off",
    "atime": "on",
    "devices": "on",
    "exec": "on",
    "nbmand": "off",
    "recordsize": "131072",
    "relatime": "on",
    "setuid": "on",
    "sharenfs": "off",
    "sharesmb": "off",
    "snapdir": "hidden",
    "xattr": "sa",
}
OWN_TO_ALL = {
    **dict.fromkeys(("context", "fscontext", "defcontext", "rootcontext"), "none"),
    "refreservation": "0",
    "reservation": "0",
}
OWN_TO_FILESYSTEMS = {"canmount": "on", "quota": "0", "refquota": "0"}
ONLY_AT_CREATION = {"casesensitivity": "sensitive", "normalization": "none", "utf8only": "off"}
ONLY_AT_CREATION_OF_VOLUMES = {"volblocksize": "16384"}

DEFAULTS = {
    "filesystem": {
        **INHERITED_BY_ALL,
        **INHERITED_BY_FILESYSTEMS,
        **OWN_TO_ALL,
        **OWN_TO_FILESYSTEMS,
        **ONLY_AT_CREATION,
    },
    "volume": {**INHERITED_BY_ALL, **OWN_TO_ALL, **ONLY_AT_CREATION_OF_VOLUMES, "volsize": "-"},
}
INHERITED = {*INHERITED_BY_ALL, *INHERITED_BY_FILESYSTEMS, "mountpoint"}
UNCHANGEABLE = {"encryption", "keyformat", "pbkdf2iters", *ONLY_AT_CREATION, *ONLY_AT_CREATION_OF_VOLUMES}
# Answered by `zfs get`, never set by a person.
READ_ONLY = {
    *("type", "guid", "origin", "encryptionroot", "keystatus", "pbkdf2salt", "keyguid", "mounted"),
    "receive_resume_token",
}
ENCRYPTION = ("encryption", "keyformat", "keylocation", "pbkdf2iters")
KNOWN = {*DEFAULTS["filesystem"], *DEFAULTS["volume"], *READ_ONLY, *ENCRYPTION, "mountpoint"}

_SIZES = {"quota", "recordsize", "refquota", "refreservation", "reservation", "volblocksize", "volsize"}
_SWITCHES = {"atime", "devices", "exec", "nbmand", "readonly", "relatime", "setuid", "utf8only"}
_COMPRESSION = re.compile(r"on|off|lzjb|gzip(-[1-9])?|zle|lz4|zstd(-(1?\d|fast(-\d+)?))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.: -]*(/[A-Za-z0-9_.: -]+)*")
_NAME_BYTES = 255


def is_user_property(name: str) -> bool:
    return ":" in name


def is_inherited(name: str) -> bool:
    return name in INHERITED or is_user_property(name)


def check_name(name: str) -> None:
    """Refuse what cannot be a dataset's name."""
    if len(name) > _NAME_BYTES or not _NAME.fullmatch(name):
        raise CallFailed(f"{name} was not created: cannot create '{name}': invalid name")


def is_keylocation(value: str) -> bool:
    return value in ("prompt", "none") or value.startswith(("file:///", "https://", "http://"))


def stored(kind: str, properties: t.Mapping[str, str]) -> dict[str, str]:
    """Return properties as OpenZFS keeps them; refuse what does not exist, does not apply or makes no sense."""
    return {name: _stored(kind, name, value) for name, value in properties.items()}


def _stored(kind: str, name: str, value: str) -> str:
    if is_user_property(name):
        return value
    if name not in KNOWN or name in READ_ONLY:
        raise CallFailed(f"invalid property '{name}'")
    if name not in DEFAULTS[kind] and (name != "mountpoint" or kind == "volume"):
        raise CallFailed(f"'{name}' does not apply to datasets of this type")
    if name in _SIZES:
        number = 0 if value == "none" else size(value)
        if number is None:
            raise CallFailed(f"bad numeric value '{value}'")
        return str(number)
    if not _makes_sense(name, value):
        raise CallFailed(f"'{name}' does not take '{value}'")
    return value


def _makes_sense(name: str, value: str) -> bool:
    if name == "mountpoint":
        return value in ("none", "legacy") or value.startswith("/")
    if name == "canmount":
        return value in ("on", "off", "noauto")
    if name == "compression":
        return _COMPRESSION.fullmatch(value) is not None
    return name not in _SWITCHES or value in ("on", "off")


# Of pools, as `zpool get -p` prints them; what only describes a pool is added where it is known.
FEATURES = {
    **dict.fromkeys(("async_destroy", "allocation_classes", "draid", "edonr", "encryption"), "enabled"),
    **dict.fromkeys(("lz4_compress", "extensible_dataset", "spacemap_v2", "userobj_accounting"), "active"),
}
OF_POOLS = {
    "ashift": "0",
    "autoexpand": "off",
    "autoreplace": "off",
    "autotrim": "off",
    "bootfs": "-",
    "cachefile": "-",
    "comment": "-",
    "compatibility": "off",
    "delegation": "on",
    "failmode": "wait",
    "listsnapshots": "off",
    "multihost": "off",
    **{f"feature@{name}": state for name, state in FEATURES.items()},
}
_POOL_SWITCHES = {"autoexpand", "autoreplace", "autotrim", "delegation", "listsnapshots", "multihost"}
_ASHIFT = range(9, 17)


def stored_of_pool(properties: t.Mapping[str, str], before: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """Return properties of a pool as OpenZFS keeps them, those from before given where there is one already."""
    return {name: _stored_of_pool(name, value, before) for name, value in properties.items()}


def _stored_of_pool(name: str, value: str, before: t.Mapping[str, str] | None) -> str:
    if name not in OF_POOLS:
        raise CallFailed(f"property '{name}' is not a valid pool or vdev property")
    if name.startswith("feature@"):
        if value not in ("enabled", "disabled") or (value == "disabled" and before is not None):
            raise CallFailed(f"invalid value '{value}' for '{name}'")
        known = OF_POOLS[name] if before is None else before[name]
        return known if value == "enabled" and known == "active" else value
    if name == "ashift" and value != "0" and (not value.isdigit() or int(value) not in _ASHIFT):
        raise CallFailed(f"invalid 'ashift={value}' property: only values between 9 and 16 are allowed.")
    if (name in _POOL_SWITCHES and value not in ("on", "off")) or (
        name == "failmode" and value not in ("wait", "continue", "panic")
    ):
        raise CallFailed(f"invalid value '{value}' for '{name}'")
    if name == "multihost" and value == "on":
        raise CallFailed("requires a non-zero system hostid")
    return value or "-"
