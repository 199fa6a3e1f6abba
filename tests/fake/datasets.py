# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's datasets: what each holds, what it shows, and who depends on whom."""

from __future__ import annotations

import errno
import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Property, is_below, parent_of

from . import properties as props
from .protection import Protection, Wrap, random_id

Kind = t.Literal["filesystem", "volume"]
_PLAIN = {
    "encryption": Property("off", "default"),
    "keyformat": Property("none", "default"),
    "keylocation": Property("none", "default"),
    "pbkdf2iters": Property("0", "default"),
    "pbkdf2salt": Property("0", "default"),
    "encryptionroot": Property("-"),
    "keystatus": Property("-"),
    "keyguid": Property("-"),
}


@dataclass
class Record:
    name: str
    kind: Kind
    protection: Protection | None
    local: dict[str, str]
    received: dict[str, str] = field(default_factory=dict)
    origin: str | None = None
    has_snapshots: bool = False
    mounted_at: str | None = None
    guid: str = field(default_factory=random_id)

    @property
    def is_root(self) -> bool:
        return self.protection is not None and self.protection.root == self.name


class Datasets:
    """All datasets by name, the loaded wrapping keys by root, and what is held open."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.loaded: dict[str, bytes] = {}
        self.held: set[str] = set()

    def existing(self, name: str, what: str) -> Record:
        if name not in self.records:
            raise failed(what, errno.ENOENT)
        return self.records[name]

    def members(self, root: str) -> t.Iterator[Record]:
        return (
            record
            for record in self.records.values()
            if record.protection is not None and record.protection.root == root
        )

    def wrap_of(self, root: str) -> Wrap:
        protection = self.records[root].protection
        if protection is None:
            raise AssertionError(f"{root} is plain")
        return protection.wrap

    def is_locked(self, record: Record) -> bool:
        return record.protection is not None and record.protection.root not in self.loaded

    def is_mismatched(self, record: Record) -> bool:
        """Tell whether a raw increment left a master key that the root's wrapping key does not open."""
        return record.protection is not None and record.protection.wrap != self.wrap_of(record.protection.root)

    def is_in_use(self, record: Record) -> bool:
        return record.mounted_at is not None or record.name in self.held

    def shown(self, record: Record, names: t.Iterable[str]) -> Dataset:
        return Dataset(record.name, {name: self.property(record, name) for name in names})

    def property(self, record: Record, name: str) -> Property:
        fixed = {
            "type": record.kind,
            "guid": record.guid,
            "origin": record.origin or "-",
            "receive_resume_token": "-",
            "mounted": "-" if record.kind == "volume" else "yes" if record.mounted_at else "no",
        }
        if name in fixed:
            return Property(fixed[name])
        if name in _PLAIN:
            return self._encryption_property(record, name)
        if name in record.local:
            return Property(record.local[name], "local")
        if name in record.received:
            return Property(record.received[name], "received")
        return self._inherited_property(record, name)

    def _inherited_property(self, record: Record, name: str) -> Property:
        default = f"/{record.name}" if name == "mountpoint" else props.DEFAULTS[record.kind].get(name)
        applies = default is not None and not (name == "mountpoint" and record.kind == "volume")
        if not applies and not props.is_user_property(name):
            return Property("-")
        above = parent_of(record.name)
        while above is not None and props.is_inherited(name):
            ancestor = self.records[above]
            value = ancestor.local.get(name, ancestor.received.get(name))
            if value is not None:
                if name == "mountpoint" and value.startswith("/"):
                    value = value.rstrip("/") + record.name[len(above) :]
                return Property(value, f"inherited from {above}")
            above = parent_of(above)
        return Property("-") if default is None else Property(default, "default")

    def _encryption_property(self, record: Record, name: str) -> Property:
        protection = record.protection
        if protection is None:
            return _PLAIN[name]
        wrap = protection.wrap
        values = {
            "encryption": protection.cipher,
            "keyformat": wrap.keyformat,
            "encryptionroot": protection.root,
            "keystatus": "unavailable" if self.is_locked(record) else "available",
            "keyguid": protection.keyguid,
        }
        if name in values:
            return Property(values[name])
        if name == "keylocation":
            return Property(record.local[name], "local") if record.is_root else _PLAIN[name]
        number = wrap.salt if name == "pbkdf2salt" else wrap.iterations
        return Property(str(number)) if number else _PLAIN[name]

    def rewrap(self, record: Record, old_root: str, new_root: str, wrap: Wrap) -> None:
        affected = list(self.inheriting(record, old_root))
        if any(self.is_mismatched(found) and found.mounted_at is None for found in affected):
            raise AssertionError(f"the kernel would panic: below {record.name} lies a key that its root does not open")
        for found in affected:
            if found.protection is not None:
                found.protection.root, found.protection.wrap = new_root, wrap

    def inheriting(self, record: Record, root: str) -> t.Iterator[Record]:
        """Yield a dataset and what inherits this root's key through it: children, and children of its clones."""
        if record.protection is None or record.protection.root != root:
            return
        yield record
        for other in list(self.records.values()):
            is_clone = other.origin is not None and other.origin.startswith(record.name + "@")
            if parent_of(other.name) == record.name or is_clone:
                yield from self.inheriting(other, root)

    def mounted_below(self, name: str) -> t.Iterator[Record]:
        return (found for found in self.records.values() if is_below(found.name, name) and found.mounted_at is not None)

    def inheriting_mountpoint(self, name: str) -> t.Iterator[Record]:
        for record in self.records.values():
            source = self.property(record, "mountpoint").source.removeprefix("inherited from ")
            if is_below(record.name, name) and source == name:
                yield record


def failed(what: str, number: int, reason: Reason = "unknown") -> CallFailed:
    return CallFailed(f"{what}: {os.strerror(number)} (errno {number}).", reason=reason, errno=number)
