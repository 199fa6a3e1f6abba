# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend ``openbao``: keys in OpenBao, or HashiCorp Vault, by the KV engine, version 2.

One secret holds one version of a record: ``<mount>/<prefix>/<host>/<record>/<version>``. States and bindings are notes
beside it, which are added and never replaced: the state furthest in NIST's order holds.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
import urllib.parse

from ..module_utils._errors import Refused
from . import _as_text
from ._as_text import Unreadable
from ._backend import BackendFailed, Kind, Option, Options, Surroundings
from ._openbao_connection import Address, AppRole, Connection, Denied, Token, libraries
from ._openbao_secrets import MOST_NOTES, Damaged, Secrets
from ._record import STATES, Binding, Entry, Kept, KeyId, State, Version, digest_of, furthest, in_order, named, now
from ._unopened import NotOpened

OPTIONS = {
    "url": Option(required=True),
    "mount": Option(default="secret"),
    "prefix": Option(default="zfsfleet"),
    "namespace": Option(),
    "ca": Option("path"),
    "auth": Option(default="token", choices=("token", "approle")),
    "token": Option(),
    "token_file": Option("path"),
    "role_id": Option(),
    "secret_id": Option(),
    "secret_id_file": Option("path"),
    "auth_mount": Option(default="approle"),
    "timeout": Option("int", default=10),
}

_STATE = "state-"
_BINDING = re.compile(r"binding-[0-9a-f]{16}$")
_WORD = re.compile(r"[\x21-\x7e]+")


def openbao_from(options: Options, around: Surroundings) -> OpenBao:
    """Make the backend that a task's options describe; nothing is asked yet.

    Raises:
        Refused: they contradict each other.
        NotOpened: hvac is not installed, or a file cannot be read.
    """
    url = options["url"]
    where = urllib.parse.urlsplit(url)
    if where.scheme != "https" or not where.hostname or where.username or where.query:
        raise Refused("url of the backend openbao is to be https:// and a name, and nothing secret: keys travel there.")
    ca = options.get("ca") or ""
    name = f"openbao {where.scheme}://{where.netloc} {options['mount']}/{options['prefix']}"
    login = _login_from(options, name)
    if ca and not os.path.exists(ca):
        raise NotOpened(name, f"Its ca, {ca}, is not there. It is a file on the controller.")
    try:
        libraries()
    except Refused as missing:
        raise NotOpened(name, str(missing)) from None
    address = Address(url, options.get("namespace") or "", ca, options["timeout"])
    connection = Connection(address, login, name=name)
    mount, prefix = options["mount"].strip("/"), options["prefix"].strip("/")
    return OpenBao(connection, Secrets(connection, name=name, mount=mount, prefix=prefix), name=name, host=around.host)


def _login_from(options: Options, name: str) -> Token | AppRole:
    if options["auth"] == "token":
        _refuse_any(options, ("role_id", "secret_id", "secret_id_file"), name)
        return Token(_secret_from(options, "token", name))
    _refuse_any(options, ("token", "token_file"), name)
    if not options.get("role_id"):
        raise Refused(f"{name} logs in by AppRole, and role_id is missing. 'bao read auth/approle/role/ROLE/role-id'.")
    return AppRole(options["auth_mount"].strip("/"), options["role_id"], _secret_from(options, "secret_id", name))


def _refuse_any(options: Options, unwanted: t.Sequence[str], name: str) -> None:
    given = [option for option in unwanted if options.get(option)]
    if given:
        raise Refused(
            f"{name} logs in by auth: {options['auth']}, which has no {' and no '.join(given)}. Leave that out, or "
            "choose the other auth."
        )


def _secret_from(options: Options, option: str, name: str) -> str:
    text, path = options.get(option), options.get(f"{option}_file")
    if bool(text) == bool(path):
        raise Refused(f"{name} wants one of {option} and {option}_file, and not both.")
    if path:
        text = _read(path, option, name)
    # What cannot stand in a header would be quoted, whole, by whoever refuses it.
    if _WORD.fullmatch(str(text)):
        return str(text)
    if path:
        raise NotOpened(name, f"What its {option}_file holds is not one word of ASCII characters. It is not shown.")
    raise Refused(f"The {option} of {name} is not one word of ASCII characters. It is not shown.")


def _read(path: str, option: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise NotOpened(
            name,
            f"Its {option}_file cannot be read: {why}. It is a path on the controller; it is not shown here, since it "
            f"could be the {option} itself.",
        ) from None


class OpenBao:
    """One folder of one KV engine."""

    def __init__(self, connection: Connection, secrets: Secrets, *, name: str, host: str) -> None:
        self.name, self._host = name, host
        self._connection, self._secrets = connection, secrets

    def find_out(self) -> str:
        folder = self._secrets.folder()
        self._secrets.refuse_lacking_policies(self._host)
        return folder

    def entries(self, host: str) -> t.Sequence[Entry]:
        return self._entries(self._secrets.all_notes(host))

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        keyguids, pool_guids = set(keyguids) - {""}, set(pool_guids) - {""}
        if not keyguids and not pool_guids:
            return []
        everything = self._entries(self._secrets.all_notes())
        return [entry for entry in everything if entry.concerns(keyguids, pool_guids)]

    def fetch(self, entry: Entry) -> Kept:
        about = named(entry.version)
        kept = self._secrets.read(entry.version, f"read {about}")
        if entry.version != kept.version and entry.version.created:
            raise BackendFailed(
                f"{self.name}: the custom metadata of {about} do not tell what the secret itself tells, and only they "
                f"can have been changed. Compare both with 'bao kv metadata get' and 'bao kv get', and set them right "
                f"with 'bao kv metadata patch': {self._secrets.path_of(entry.version)}."
            )
        return kept

    def put(self, kept: Kept) -> str:
        return self._secrets.create(kept)

    def advance(self, entry: Entry, state: State) -> None:
        doing = f"note that {named(entry.version)} is {state}"
        if state == "destroyed":
            raise BackendFailed(f"{self.name} could not {doing}: only destroying it makes it so.")
        if STATES.index(_state_in(self._secrets.notes(entry.version))) < STATES.index(state):
            self._secrets.note(entry.version, {_STATE + state: now()}, doing)

    def bind(self, entry: Entry, binding: Binding) -> None:
        doing = f"note that {named(entry.version)} opens {binding.dataset}"
        text = _as_text.binding_text(binding)
        added: dict[str, str | None] = {_name_of(text): text}
        notes = self._secrets.notes(entry.version)
        if len({*notes, *added}) > MOST_NOTES:
            added.update(dict.fromkeys(_superseded(notes, binding)))
            if len(added) == 1:
                raise BackendFailed(
                    f"{self.name} could not {doing}: custom metadata hold no more than {MOST_NOTES} entries, and all "
                    "are taken by other copies. Give this copy a key of its own."
                )
        self._secrets.note(entry.version, added, doing)

    def destroy(self, entry: Entry) -> None:
        self._secrets.destroy(entry.version)

    def close(self) -> None:
        self._connection.close()

    def _entries(self, notes: t.Mapping[tuple[str, KeyId], t.Mapping[str, str]]) -> list[Entry]:
        return [self._entry(Version(key_id, host, "", "hex", 0, ""), noted) for (host, key_id), noted in notes.items()]

    def _entry(self, nameless: Version, notes: t.Mapping[str, str]) -> Entry:
        version, faults = self._version(nameless, notes)
        bindings = []
        for name in filter(_BINDING.match, notes):
            try:
                bindings.append(_as_text.binding_from(notes[name]))
            except Unreadable:
                faults.append(
                    f"{name} in the custom metadata of {self._secrets.path_of(version)} cannot be read. Remove it."
                )
        state = _state_in(notes)
        since = notes.get(_STATE + state, version.created)
        return Entry(version, state, since, in_order(bindings), tuple(faults))

    def _version(self, nameless: Version, notes: t.Mapping[str, str]) -> tuple[Version, list[str]]:
        """Return what a version is, by the custom metadata, else by the secret, else no more than its id."""
        faults: list[str] = []
        try:
            version = _as_text.version_from(notes)
            if version.key_id == nameless.key_id:
                return version, faults
            faults.append(f"The custom metadata of {self._secrets.path_of(nameless)} tell of the key {version.key_id}.")
        except Unreadable as unreadable:
            # Without any, who put it died in between, and nothing is wrong.
            if notes:
                faults.append(f"The custom metadata of {self._secrets.path_of(nameless)} cannot be read: {unreadable}.")
        try:
            return self._secrets.read(nameless, f"read the key {nameless.key_id}").version, faults
        except (Damaged, Denied) as failure:
            return nameless, [*faults, str(failure)]


def _state_in(notes: t.Mapping[str, str]) -> State:
    reached = (state for state in t.get_args(State) if _STATE + state in notes)
    return furthest(["pre-active", *reached])


def _superseded(notes: t.Mapping[str, str], binding: Binding) -> list[str]:
    """Name the bindings of the same copy, of which the last holds."""
    found = []
    for name in filter(_BINDING.match, notes):
        with contextlib.suppress(Unreadable):
            if _as_text.binding_from(notes[name]).copy == binding.copy:
                found.append(name)
    return found


def _name_of(binding: str) -> str:
    """Name a binding by its content, so that the same one twice is one entry."""
    return f"binding-{digest_of(binding.encode('utf-8'))}"


KIND = Kind(build=openbao_from, options=OPTIONS)
