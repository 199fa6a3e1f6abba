# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend ``kmip``: keys on a KMIP server.

One object holds one version: the key as text, 64 hexadecimal digits or the passphrase, as TrueNAS stores its keys. The
states are KMIP's own. A binding is a further object, without a secret, so that nothing has to be changed on the server.

Ids of objects are remembered as long as the backend is open. What a host has is asked of the server each time, by one
Locate: a list kept elsewhere would not know what another controller put. Other Locates only repair what is not
remembered, as some servers look at every object for each.

Private to the collection.
"""

from __future__ import annotations

import os
import re
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field

from ..module_utils import _keys
from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from . import _as_text, _strict_kmip
from ._as_text import Unreadable
from ._backend import BackendDown, BackendFailed, Kind, Option, Options, Surroundings
from ._kmip_connection import Connection, NoSuchObject, Rejected
from ._kmip_objects import HOST, KEYGUID, POOL_GUID, Draft, Found, Objects
from ._record import Binding, Entry, Kept, KeyId, State, Version, digest_of, furthest, in_order, key_id_from, named
from ._strict_kmip import Address
from ._unopened import NotOpened

OPTIONS = {
    "host": Option(required=True),
    "port": Option("int", default=5696),
    "certificate": Option("path", required=True),
    "key_file": Option("path", required=True),
    "ca": Option("path", required=True),
    "timeout": Option("int", default=10),
}

_LONGEST_DATASET = 160  # in a name, which some servers limit to 255 characters
_OURS = re.compile(r".*-(?P<key_id>[0-9a-f]{16}\.[0-9a-f]{12})", re.ASCII)
_TRUENAS = re.compile(r"(?P<dataset>.+)-[0-9a-f]{7}", re.ASCII)


def kmip_from(options: Options, around: Surroundings) -> Kmip:
    """Make the backend that a task's options describe; nothing is asked yet.

    Raises:
        NotOpened: PyKMIP is not installed, or a file is not there.
    """
    name = f"kmip {options['host']}:{options['port']}"
    for option in ("certificate", "key_file", "ca"):
        if not os.path.isfile(options[option]):
            raise NotOpened(
                name, f"Its {_shown(option, options[option])} is not there. It is a file on the controller."
            )
    try:
        _strict_kmip.library()
    except Refused as missing:
        raise NotOpened(name, str(missing)) from None
    address = Address(**{each: options[each] for each in OPTIONS})
    connection = Connection(address, name=name)
    return Kmip(connection, Objects(connection, name=name), name=name, host=around.host)


def _shown(option: str, path: str) -> str:
    """Return what is missing; who gives the key itself for the file's path does not find it in a log."""
    return option if option == "key_file" else f"{option}, {path},"


@dataclass(frozen=True)
class Foreign:
    """A secret that something else, like TrueNAS, put on the server.

    Args:
        uid: its id there.
        dataset: what its name says that it is for, empty where that says nothing.
        text: 64 hexadecimal digits, or a passphrase; never shown by ``repr``.
    """

    uid: str
    dataset: str
    text: str = field(repr=False)


class Kmip:
    """The objects that a KMIP server shows to one client's certificate."""

    def __init__(self, connection: Connection, objects: Objects, *, name: str, host: str) -> None:
        self.name, self._host = name, host
        self._connection, self._objects = connection, objects
        self._uids: dict[KeyId, list[str]] = {}
        self._bindings: defaultdict[KeyId, set[Binding]] = defaultdict(set)
        self._listed: set[str] = set()

    def find_out(self) -> str:
        self._objects.refuse_lacking_operations()
        self._objects.informed(HOST, _as_text.path_segment(self._host), f"look for keys of {self._host}", most=1)
        return self._connection.peer

    def entries(self, host: str) -> t.Sequence[Entry]:
        doing = f"list the keys of {host}"
        entries = self._entries(self._objects.informed(HOST, _as_text.path_segment(host), doing), doing)
        self._listed.add(host)
        return entries

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        keyguids, pool_guids = set(keyguids) - {""}, set(pool_guids) - {""}
        if not keyguids and not pool_guids:
            return []
        doing = "look for keys of other hosts"
        wanted = [(KEYGUID, guid) for guid in sorted(keyguids)] + [(POOL_GUID, guid) for guid in sorted(pool_guids)]
        uids = {uid for namespace, guid in wanted for uid in self._objects.informed(namespace, guid, doing)}
        found = filter(None, (self._objects.found(uid, doing) for uid in sorted(uids)))
        hosts = sorted({_as_text.host_of(there.host) for there in found})
        return [entry for host in hosts for entry in self.entries(host) if entry.concerns(keyguids, pool_guids)]

    def fetch(self, entry: Entry) -> Kept:
        return self._kept(entry.version, f"read {named(entry.version)}")

    def put(self, kept: Kept) -> str:
        version = kept.version
        doing = f"keep {named(version)}"
        if not self._uids_of(version, doing):
            try:
                self._uids[version.key_id] = [self._registered(kept, doing)]
                return self._uids[version.key_id][0]
            except BackendDown:
                # It may be there all the same.
                self._listed.discard(version.host)
                raise
            except Rejected:
                # Names are unique on most servers, so another controller may have been faster.
                if not self._located(version, doing):
                    raise
        if self._kept(version, doing) != kept:
            raise BackendFailed(
                f"{self.name} has another key, or tells something else of it, under the id of {named(version)}: object "
                f"{' and '.join(self._uids[version.key_id])}. It was not replaced, and nothing was written."
            )
        return self._uids[version.key_id][0]

    def _registered(self, kept: Kept, doing: str) -> str:
        version, value = kept.version, kept.key.text("hex")
        host = _as_text.path_segment(version.host)
        return self._objects.register(
            Draft("key", _name_of(version), host, version, _as_text.told(version), value), doing
        )

    def advance(self, entry: Entry, state: State) -> None:
        doing = f"note that {named(entry.version)} is {state}"
        if state == "destroyed":
            raise BackendFailed(f"{self.name} could not {doing}: only destroying it makes it so.")
        if state == "pre-active":
            return
        for uid in self._present(entry.version, doing):
            try:
                self._objects.advance(uid, state, doing)
            except NoSuchObject:
                raise self._gone(entry.version) from None

    def bind(self, entry: Entry, binding: Binding) -> None:
        version = entry.version
        doing = f"note that {named(version)} opens {binding.dataset}"
        self._present(version, doing)
        text = _as_text.binding_text(binding)
        name = f"{_name_of(version)}-opens-{digest_of(text.encode('utf-8'))}"
        if binding in self._bindings[version.key_id]:
            return
        if version.host in self._listed or not self._objects.named(name, doing):
            host = _as_text.path_segment(version.host)
            told = {"key_id": str(version.key_id), "binding": text}
            self._objects.register(Draft("binding", name, host, binding, told, text.encode("utf-8")), doing)
        self._bindings[version.key_id].add(binding)

    def destroy(self, entry: Entry) -> None:
        doing = f"destroy {named(entry.version)}"
        key_id, host = str(entry.key_id), _as_text.path_segment(entry.version.host)
        for uid in self._located(entry.version, doing):
            self._objects.destroy(uid, doing)
        self._uids.pop(entry.key_id, None)
        for uid in self._objects.informed(HOST, host, doing):
            there = self._objects.found(uid, doing)
            if there is not None and there.what == "binding" and there.told.get("key_id") == key_id:
                self._objects.destroy(uid, doing)

    def close(self) -> None:
        self._connection.close()

    def foreign(self, uid: str, dataset: str) -> Foreign:
        """Return a secret by its id, as TrueNAS's own list of datasets has it, whoever put it there.

        Args:
            uid: its id; it may be a key in the wrong place, so it is not quoted.
            dataset: what it is said to be for.

        Raises:
            BackendFailed: it is not there, or no text.
        """
        doing = f"read what it has for {dataset}"
        try:
            value, there = self._objects.value(uid, doing), self._objects.found(uid, doing)
        except NoSuchObject:
            there = None
        if there is None:
            raise BackendFailed(
                f"{self.name} has no object of the id that is given for {dataset}, or shows it to others only. On many "
                "servers an object belongs to the client's certificate that made it."
            )
        names = [match["dataset"] for match in map(_TRUENAS.fullmatch, there.names) if match]
        try:
            return Foreign(uid, names[0] if names else "", value.decode("utf-8"))
        except UnicodeDecodeError:
            raise BackendFailed(
                f"{self.name}: the object of the id that is given for {dataset} holds no text, so it is no key as "
                "TrueNAS keeps it."
            ) from None

    def _entries(self, uids: t.Iterable[str], doing: str) -> list[Entry]:
        """Return the versions among objects, each once, with what is noted of it in others."""
        keys: defaultdict[KeyId, list[Found]] = defaultdict(list)
        bindings: defaultdict[KeyId, set[Binding]] = defaultdict(set)
        faults: defaultdict[KeyId, list[str]] = defaultdict(list)
        for there in filter(None, (self._objects.found(uid, doing) for uid in uids)):
            key_id = _key_id_of(there)
            if key_id is None or there.state == "destroyed":
                continue
            if there.what == "key":
                keys[key_id].append(there)
                continue
            try:
                bindings[key_id].add(_as_text.binding_from(str(there.told.get("binding"))))
            except Unreadable:
                faults[key_id].append(f"{self.name}: the binding in object {there.uid} cannot be read.")
        for key_id, found in keys.items():
            self._uids[key_id] = _in_order(each.uid for each in found)
            self._bindings[key_id] = bindings[key_id]
        return [self._entry(key_id, found, bindings[key_id], faults[key_id]) for key_id, found in keys.items()]

    def _entry(
        self, key_id: KeyId, found: t.Sequence[Found], bindings: t.Iterable[Binding], faults: list[str]
    ) -> Entry:
        version = Version(key_id, _as_text.host_of(found[0].host), "", "hex", 0, "")
        try:
            version = _as_text.version_from(found[0].told)
        except Unreadable as unreadable:
            faults = [*faults, f"{self.name}: what object {found[0].uid} tells of itself cannot be read: {unreadable}."]
        state = furthest(each.state for each in found)
        # To the second, and so perhaps before the version was made; a server need not tell at all.
        times = [each.since[state] for each in found if state in each.since]
        since = max(version.created, min(times, default=version.created))
        return Entry(version, state, since, in_order(bindings), tuple(faults))

    def _kept(self, version: Version, doing: str) -> Kept:
        """Read a version and its key from all objects that are said to hold it."""
        found = [self._kept_in(uid, version, doing) for uid in self._present(version, doing)]
        if any(each != found[0] for each in found):
            raise BackendFailed(
                f"{self.name} has two different keys of one id, {named(version)}, in objects "
                f"{' and '.join(self._uids[version.key_id])}. Destroy the one that you do not trust."
            )
        return found[0]

    def _kept_in(self, uid: str, version: Version, doing: str) -> Kept:
        try:
            value, there = self._objects.value(uid, doing), self._objects.found(uid, doing)
        except NoSuchObject:
            there = None
        if there is None or there.state == "destroyed":
            raise self._gone(version)
        try:
            told = _as_text.version_from(there.told)
            kept = Kept(told, _key_in(value, told))
        except Unreadable as unreadable:
            raise BackendFailed(f"{self.name}: object {uid} is not {named(version)}: {unreadable}.") from None
        if told.key_id != version.key_id:
            raise BackendFailed(f"{self.name}: object {uid} is not {named(version)} but {told.key_id}.")
        return kept

    def _present(self, version: Version, doing: str) -> list[str]:
        """Return the ids of the objects that hold a version; more than one only if two were made at the same time.

        Raises:
            BackendFailed: there is none.
        """
        uids = self._uids.get(version.key_id) or self._located(version, doing)
        if not uids:
            raise self._gone(version)
        return uids

    def _uids_of(self, version: Version, doing: str) -> list[str]:
        """Return the same, or nothing."""
        if version.key_id not in self._uids and version.host in self._listed:
            return []
        return self._uids.get(version.key_id) or self._located(version, doing)

    def _located(self, version: Version, doing: str) -> list[str]:
        found = (self._objects.found(uid, doing) for uid in self._objects.named(_name_of(version), doing))
        uids = _in_order(there.uid for there in found if there is not None and there.state != "destroyed")
        if uids:
            self._uids[version.key_id] = uids
        return uids

    def _gone(self, version: Version) -> BackendFailed:
        return BackendFailed(f"{self.name}: {named(version)} is not there, or was destroyed.")


def _name_of(version: Version) -> str:
    """Name an object for people; the id in it makes it unique, as servers want names to be."""
    return f"{version.dataset[:_LONGEST_DATASET]}-{version.key_id}"


def _key_id_of(there: Found) -> KeyId | None:
    names = [match["key_id"] for match in map(_OURS.fullmatch, there.names) if match]
    try:
        return key_id_from(str(there.told.get("key_id") or (names[0] if names else "")))
    except Refused:
        return None


def _key_in(value: bytes, version: Version) -> Key:
    if version.keyformat == "passphrase":
        return Key("passphrase", value)
    try:
        return _keys.hex_key(value.decode("ascii"), whose="it")
    except (Refused, UnicodeDecodeError):
        raise Unreadable("it does not hold 64 hexadecimal digits") from None


def _in_order(uids: t.Iterable[str]) -> list[str]:
    """Sort ids so that all controllers take the same one for the first."""
    return sorted(uids, key=lambda uid: (len(uid), uid))


KIND = Kind(build=kmip_from, options=OPTIONS)
