# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake's datasets: what each holds, what it shows, and who depends on whom."""

from __future__ import annotations

import errno
import os
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import PASSPHRASE_BYTES, Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Property
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below, parent_of, pool_of

from . import properties as props
from . import space
from .protection import CIPHERS, DEFAULT_CIPHER, LIBZFS_ITERATIONS, Protection, Wrap, new_wrap, random_id

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


class User(t.NamedTuple):
    """Somebody who keeps a dataset busy, in words.

    Args:
        keeps_mounted: not everybody keeps it from being unmounted.
        yields: to force.
    """

    words: str
    keeps_mounted: bool = True
    yields: bool = False


@dataclass
class Record:
    name: str
    kind: Kind
    protection: Protection | None
    local: dict[str, str]
    received: dict[str, str] = field(default_factory=dict)
    origin: str | None = None
    snapshots: list[str] = field(default_factory=list)
    mounted_at: str | None = None
    arrived: bool = False
    incoming: Wrap | None = None
    is_half_received: bool = False
    token: str = "-"
    guid: str = field(default_factory=random_id)

    @property
    def is_root(self) -> bool:
        return self.protection is not None and self.protection.root == self.name


class Datasets:
    """All datasets by name, the loaded wrapping keys by root, what is held open, altroots by pool."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.loaded: dict[str, bytes] = {}
        self.held: set[str] = set()
        self.users: dict[str, list[User]] = {}
        self.binds: dict[str, list[str]] = {}
        self.altroots: dict[str, str] = {}

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
        """Tell whether a raw increment left a master key that the root's key, as it is loaded, does not open."""
        if record.protection is None or record.protection.root not in self.loaded:
            return False
        return self.loaded[record.protection.root] != record.protection.wrap.key

    def is_in_use(self, record: Record) -> bool:
        return bool(self.mounts_of(record) or record.name in self.held or self.users.get(record.name))

    def uses_key_at(self, record: Record, root: str) -> bool:
        """Tell whether a dataset is in use with the key that was loaded at a root, which may be none any more."""
        protection = record.protection
        return protection is not None and self.is_in_use(record) and root == (protection.opened_at or protection.root)

    def begin_to_use(self, record: Record) -> None:
        """Unwrap the master key with the key of the root as it is now, if it is not in use yet."""
        protection = record.protection
        is_used = any(self.is_in_use(each) for each in self.records.values() if each.protection is protection)
        if protection is not None and not is_used:
            protection.opened_at = None

    def mounts_of(self, record: Record) -> list[str]:
        own = [] if record.mounted_at is None else [record.mounted_at]
        return [*own, *self.binds.get(record.name, ())]

    def keeps_its_mount(self, record: Record) -> bool:
        return record.name in self.held or any(user.keeps_mounted for user in self.users.get(record.name, ()))

    def users_of(self, names: t.Collection[str]) -> tuple[str, ...]:
        """Say who uses these datasets and what lies below them."""
        found: list[str] = []
        chosen: list[Record] = []
        for record in self.records.values():
            if any(record.name == name or is_below(record.name, name) for name in names):
                chosen.append(record)
                found += [user.words for user in self.users.get(record.name, ())]
                if record.name in self.held:
                    what = f"volume {record.name}" if record.kind == "volume" else f"{record.mounted_at}/held"
                    found.append(f"process 1 (sleep) has {what} open")
        found += [f"{each.name} is mounted on {each.mounted_at}, inside it" for each in self.mounted_inside(chosen)]
        return tuple(found)

    def shown(self, record: Record, names: t.Iterable[str]) -> Dataset:
        return Dataset(record.name, {name: self.property(record, name) for name in names})

    def property(self, record: Record, name: str) -> Property:
        fixed = {
            "type": record.kind,
            "guid": record.guid,
            "origin": record.origin or "-",
            "receive_resume_token": record.token,
            "inconsistent": str(int(record.is_half_received)),
            "prevsnap": self._snapshot_before(record),
            "mounted": "-" if record.kind == "volume" else "yes" if self.mounts_of(record) else "no",
        }
        if name in fixed:
            return Property(fixed[name])
        if name in _PLAIN:
            return self._encryption_property(record, name)
        found = self._stored_property(record, name)
        altroot = self.altroots.get(pool_of(record.name))
        if name == "mountpoint" and altroot is not None and found.value.startswith("/"):
            return Property((altroot + found.value).rstrip("/") or "/", found.source)
        return found

    def _snapshot_before(self, record: Record) -> str:
        """Name what a dataset goes on from: its newest snapshot, else its origin."""
        return f"{record.name}@{record.snapshots[-1]}" if record.snapshots else record.origin or "-"

    def _stored_property(self, record: Record, name: str) -> Property:
        if name in record.local:
            return Property(record.local[name], "local")
        if name in record.received:
            return Property(record.received[name], "received")
        return self._inherited_property(record, name)

    def _inherited_property(self, record: Record, name: str) -> Property:
        if props.is_quota_of(name):
            return Property("0", "local") if record.kind == "filesystem" else Property("-")
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

    def add(self, creation: Creation, parent: Record | None) -> None:
        kind: Kind = "filesystem" if creation.volume_size is None else "volume"
        given = dict(creation.properties)
        own = {name: given.pop(name) for name in props.ENCRYPTION if name in given}
        local = props.stored(kind, given)
        if creation.volume_size is not None:
            local |= space.of_new_volume(creation.volume_size, local, sparse=creation.sparse)
        space.refuse_without_room(creation.name, local, self._above(creation.name))
        protection = self._protection(creation, own, parent)
        if creation.key is not None:
            if not props.is_keylocation(creation.keylocation) or creation.keylocation == "none":
                raise CallFailed(f"{creation.name} was not created: invalid keylocation")
            self.loaded[creation.name] = protection.wrap.key if protection else b""
            local["keylocation"] = creation.keylocation
        self.records[creation.name] = Record(creation.name, kind, protection, local)

    def _above(self, name: str) -> t.Iterator[t.Mapping[str, str]]:
        """Yield the values of all datasets above a name."""
        above = parent_of(name)
        while above is not None and above in self.records:
            yield self.records[above].local
            above = parent_of(above)

    def _protection(self, creation: Creation, own: dict[str, str], parent: Record | None) -> Protection | None:
        what = f"{creation.name} was not created: "
        above = parent.protection if parent else None
        cipher = own.get("encryption", above.cipher if above else "off")
        cipher = DEFAULT_CIPHER if cipher == "on" else cipher
        if cipher == "off":
            if own.keys() - {"encryption"} or creation.key is not None:
                raise CallFailed(f"{what}Encryption must be turned on to set encryption properties.")
            return None
        if cipher not in CIPHERS:
            raise CallFailed(f"{what}'encryption' does not take '{cipher}'")
        if "keyformat" not in own:
            if parent is None or above is None or creation.key is not None:
                raise CallFailed(f"{what}Keyformat required for new encryption root.")
            if self.is_locked(parent):
                raise CallFailed(f"{what}encryption root's key is not loaded or provided")
            return Protection(cipher, above.root, self.wrap_of(above.root))
        return Protection(cipher, creation.name, _first_wrap(what, creation.key, own))

    def clone(self, origin: str, name: str) -> None:
        source, snapshot = self.records[origin], name.rpartition("/")[2]
        source.snapshots.append(snapshot)
        copied = {key: value for key, value in source.local.items() if key == "volsize"}
        self.records[name] = Record(name, source.kind, source.protection, copied, origin=f"{origin}@{snapshot}")

    def promote(self, name: str) -> None:
        """Give a clone the snapshots up to its own; where its origin is an encryption root, the clone becomes it.

        A loaded key stays behind: the new root is locked until a key is loaded for it.
        """
        clone = self.records[name]
        above, _at, snapshot = (clone.origin or "").partition("@")
        origin = self.records[above]
        self._refuse_to_take_over(clone, origin)
        if origin.is_root:
            for found in list(self.inheriting(origin, above)):
                if found.protection is not None:
                    found.protection.root, found.protection.opened_at = name, found.protection.opened_at or above
            clone.local["keylocation"] = origin.local.pop("keylocation")
        count = origin.snapshots.index(snapshot) + 1
        moved = origin.snapshots[:count]
        clone.snapshots, origin.snapshots = [*moved, *clone.snapshots], origin.snapshots[count:]
        for record in self.records.values():
            if record.origin in [f"{above}@{each}" for each in moved]:
                record.origin = f"{name}@{record.origin.partition('@')[2]}"
        clone.origin, origin.origin = origin.origin, f"{name}@{snapshot}"

    def _refuse_to_take_over(self, clone: Record, origin: Record) -> None:
        """Refuse a clone that lies outside of the root which its origin inherits from."""
        parent = self.records.get(parent_of(clone.name) or "")
        above = parent.protection if parent is not None else None
        inherits = origin.protection is not None and not origin.is_root
        if inherits and (above is None or origin.protection is None or above.root != origin.protection.root):
            raise CallFailed(f"{clone.name} was not promoted: cannot promote dataset outside its encryption root")

    def sweep(self, name: str) -> None:
        """Destroy a dataset and all below it, used or not."""
        for record in [each for each in self.records if each == name or is_below(each, name)]:
            del self.records[record]
            self.loaded.pop(record, None)

    def replicate(self, source: str, target: str, *, properties: bool) -> None:
        sent, known = self.records[source], self.records.get(target)
        if sent.protection is None:
            raise AssertionError(f"{source} is plain; only raw replication is modelled")
        sent.snapshots.append(str(len(sent.snapshots)))
        if known is None:
            local = {key: value for key, value in sent.local.items() if key == "volsize"}
            known = self.records[target] = Record(
                target, sent.kind, replace(sent.protection, root=target), {"keylocation": "prompt", **local}
            )
            known.arrived = True
        elif known.protection is not None:
            known.protection.wrap = sent.protection.wrap
            if properties and sent.is_root and not known.is_root:
                known.protection.root, known.local["keylocation"] = target, "prompt"
        known.snapshots = list(sent.snapshots)
        if properties:
            known.received = {key: value for key, value in sent.local.items() if key not in ("keylocation", "volsize")}

    def rewrap(self, record: Record, old_root: str, new_root: str, wrap: Wrap) -> None:
        affected = list(self.inheriting(record, old_root))
        if any(self.is_mismatched(found) and not self.is_in_use(found) for found in affected):
            raise AssertionError(f"the kernel would panic: below {record.name} lies a key that its root does not open")
        for found in affected:
            if found.protection is not None:
                found.protection.root, found.protection.wrap = new_root, wrap

    def repoint(self, record: Record, old_root: str, new_root: str) -> None:
        for found in list(self.inheriting(record, old_root)):
            if found.protection is not None:
                found.protection.root = new_root

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

    def mounted_inside(self, around: t.Collection[Record]) -> list[Record]:
        """Return what else is mounted inside of these, which keeps them mounted."""
        places = [each.mounted_at for each in around if each.mounted_at is not None]
        others = [each for each in self.records.values() if not any(each is one for one in around)]
        return [each for each in others if any(is_below(each.mounted_at or "", place) for place in places)]

    def inheriting_mountpoint(self, name: str) -> t.Iterator[Record]:
        for record in self.records.values():
            source = self.property(record, "mountpoint").source.removeprefix("inherited from ")
            if is_below(record.name, name) and source == name:
                yield record


def failed(what: str, number: int, reason: Reason = "unknown") -> CallFailed:
    return CallFailed(f"{what}: {os.strerror(number)} (errno {number}).", reason=reason, errno=number)


def _first_wrap(what: str, key: Key | None, own: t.Mapping[str, str]) -> Wrap:
    """Wrap for a new root, by the rules that the ``zfs`` command enforces beyond the kernel's."""
    keyformat = own["keyformat"]
    if key is None or (keyformat != "passphrase" and "pbkdf2iters" in own):
        raise CallFailed(f"{what}its keyformat, key and pbkdf2iters do not fit together")
    if keyformat == "passphrase" and len(key.secret) not in PASSPHRASE_BYTES:
        raise CallFailed(f"{what}Passphrase too short (min 8) or too long (max 512).")
    return new_wrap(keyformat, key, int(own.get("pbkdf2iters", LIBZFS_ITERATIONS)))
