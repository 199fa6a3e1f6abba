# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the fake's datasets: which there are, what they default to, who inherits from whom."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._properties import as_shown, size

INHERITED_BY_ALL = {
    "checksum": "on",
    "compression": "on",
    "copies": "1",
    "dedup": "off",
    "logbias": "latency",
    "primarycache": "all",
    "prefetch": "all",
    "readonly": "off",
    "redundant_metadata": "all",
    "secondarycache": "all",
    "snapdev": "hidden",
    "sync": "standard",
    "volmode": "default",
}
INHERITED_BY_FILESYSTEMS = {
    "aclinherit": "restricted",
    "aclmode": "discard",
    "acltype": "off",
    "atime": "on",
    "devices": "on",
    "dnodesize": "legacy",
    "exec": "on",
    "nbmand": "off",
    "overlay": "on",
    "recordsize": "131072",
    "relatime": "on",
    "setuid": "on",
    "sharenfs": "off",
    "sharesmb": "off",
    "snapdir": "hidden",
    "special_small_blocks": "0",
    "vscan": "off",
    "xattr": "sa",
    "zoned": "off",
}
OWN_TO_ALL = {
    **dict.fromkeys(("context", "fscontext", "defcontext", "rootcontext"), "none"),
    "refreservation": "0",
    "reservation": "0",
    "snapshot_limit": "none",
}
OWN_TO_FILESYSTEMS = {"canmount": "on", "filesystem_limit": "none", "quota": "0", "refquota": "0"}
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
    *("receive_resume_token", "inconsistent", "prevsnap"),
}
ENCRYPTION = ("encryption", "keyformat", "keylocation", "pbkdf2iters")
KNOWN = {*DEFAULTS["filesystem"], *DEFAULTS["volume"], *READ_ONLY, *ENCRYPTION, "mountpoint"}

_SIZES = {
    *("quota", "recordsize", "refquota", "refreservation", "reservation", "special_small_blocks"),
    *("volblocksize", "volsize", "filesystem_limit", "snapshot_limit"),
}
_CAN_BE_NONE = {"quota", "refquota", "refreservation", "reservation", "filesystem_limit", "snapshot_limit"}
_SWITCHES = {
    "atime",
    "devices",
    "exec",
    "nbmand",
    "overlay",
    "readonly",
    "relatime",
    "setuid",
    "utf8only",
    "vscan",
    "zoned",
}
_INDEXES = {
    "canmount": re.compile("on|off|noauto"),
    "checksum": re.compile("on|off|fletcher[24]|sha256|sha512|skein|edonr|blake3|noparity"),
    "compression": re.compile(r"on|off|lzjb|gzip(-[1-9])?|zle|lz4|zstd(-(1?\d|fast(-\d+)?))?"),
    "copies": re.compile("[123]"),
    "dnodesize": re.compile("legacy|auto|1k|2k|4k|8k|16k"),
    "mountpoint": re.compile("none|legacy|/.*", re.DOTALL),
    "sync": re.compile("standard|always|disabled"),
    **dict.fromkeys(_SWITCHES, re.compile("on|off")),
}
_QUOTA_OF = re.compile(r"(user|group|project)(obj)?quota@[^,=\s]+")
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
        if name.lower() != name:
            raise CallFailed(f"invalid property '{name}'")
        return value
    if not is_known(name) or name in READ_ONLY:
        raise CallFailed(f"invalid property '{name}'")
    if not applies(kind, name):
        raise CallFailed(f"'{name}' does not apply to datasets of this type")
    if name in _SIZES or is_quota_of(name):
        return _size(kind, name, value)
    if name in _INDEXES and _INDEXES[name].fullmatch(value) is None:
        raise CallFailed(f"'{name}' does not take '{value}'")
    return as_shown(name, value)


def is_known(name: str) -> bool:
    """Tell whether OpenZFS has a property, of any kind of dataset."""
    return is_user_property(name) or name in KNOWN or is_quota_of(name)


def is_quota_of(name: str) -> bool:
    """Tell whether a property is the quota of a user, group or project."""
    return _QUOTA_OF.fullmatch(name) is not None


def applies(kind: str, name: str) -> bool:
    if name == "mountpoint" or is_quota_of(name):
        return kind == "filesystem"
    return name in DEFAULTS[kind]


def _size(kind: str, name: str, value: str) -> str:
    if value == "auto" and name == "refreservation" and kind == "volume":
        return value
    if value == "none" and (name in _CAN_BE_NONE or is_quota_of(name)):
        return as_shown(name, value)
    number = size(value)
    if number is None or (number == 0 and name in ("quota", "refquota")):
        raise CallFailed(f"'{name}' does not take '{value}'")
    return str(number)


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
