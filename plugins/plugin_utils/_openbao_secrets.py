# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One secret for each version of a key, in a folder of a KV engine, version 2.

It is created by check-and-set and never written again. What may change are its notes, entries of the custom metadata:
each is added by a merge of its own (RFC 7396), so that two controllers cannot undo each other's.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t
import urllib.parse

from . import _as_text
from ._as_text import Unreadable
from ._backend import BackendFailed
from ._openbao_connection import Conflict, Connection, Denied, NothingThere, Unexpected
from ._record import Kept, KeyId, Version, named

MOST_NOTES = 64  # of custom metadata (kv, validateCustomMetadata)

# A secret is written once, so what counts is its first content, whatever somebody puts on top.
_FIRST = 1
_MERGE = {"Content-Type": "application/merge-patch+json"}


class Damaged(BackendFailed):
    """A version is not there, or something else is."""


class Secrets:
    """A folder of secrets.

    Args:
        connection: asks the server.
        name: what people call the backend.
        mount: where the engine is mounted.
        prefix: the folder.
    """

    def __init__(self, connection: Connection, *, name: str, mount: str, prefix: str) -> None:
        self._connection, self._name, self._mount, self._prefix = connection, name, mount, prefix
        self._can_scan = True

    def folder(self) -> str:
        """Return what is the same for this folder by whatever name its server is asked; empty where that is not told.

        Raises:
            BackendFailed: the mount is not an engine that keeps what is written once.
        """
        answer = self._connection.ask(
            f"look at the mount {self._mount}",
            lambda client: client.adapter.get(f"/v1/sys/internal/ui/mounts/{self._mount}")["data"],
        )
        if answer.get("type") != "kv" or (answer.get("options") or {}).get("version") != "2":
            raise BackendFailed(
                f"{self._name}: {self._mount} is no KV engine of version 2, which keeps what is written once. Mount "
                f"one: 'bao secrets enable -path={self._mount} -version=2 kv', under another path if this is in use."
            )
        return f"mount {answer['uuid']} {self._prefix}" if answer.get("uuid") else ""

    def refuse_lacking_policies(self, host: str) -> None:
        """Raise Denied where the token may not do what keys of a host need."""
        place = f"{self._prefix}/{_as_text.path_segment(host)}"
        wanted = {
            f"{self._mount}/metadata/{place}/": {"list"},
            f"{self._mount}/metadata/{place}/record/version": {"read", "patch"},
            f"{self._mount}/data/{place}/record/version": {"create", "read"},
        }
        doing = f"find out what is allowed for {host}"
        answer = self._connection.ask(doing, lambda client: client.sys.get_capabilities(paths=list(wanted))["data"])
        lacking = [
            f"{path.replace('/record/version', '/*')}: {', '.join(sorted(capabilities - granted))}"
            for path, capabilities in wanted.items()
            if capabilities - (granted := set(answer.get(path, ()))) and "root" not in granted
        ]
        if lacking:
            raise Denied(
                f"{self._name} does not allow what keys of {host} need. Missing in the token's policies: "
                f"{'; '.join(lacking)}. The guide on escrow shows the least that is needed."
            )

    def path_of(self, version: Version) -> str:
        """Return the path below the mount."""
        host, key_id = _as_text.path_segment(version.host), version.key_id
        return f"{self._prefix}/{host}/{key_id.record}/{key_id.version}"

    def all_notes(self, host: str | None = None) -> dict[tuple[str, KeyId], dict[str, str]]:
        """Return what is noted of each version of a host, or of all; not of those that were destroyed.

        OpenBao can tell all of it at once, where the policy lets it; otherwise each folder is listed.
        """
        folder = self._prefix if host is None else f"{self._prefix}/{_as_text.path_segment(host)}"
        if self._can_scan:
            with contextlib.suppress(Denied, Conflict, Unexpected):
                return self._sorted_out(folder, self._scanned(folder))
            self._can_scan = False
        paths = self._names_below(folder, 3 if host is None else 2)
        return self._sorted_out(folder, {path: self._metadata(f"{folder}/{path}") for path in paths})

    def _sorted_out(self, folder: str, found: t.Mapping[str, t.Any]) -> dict[tuple[str, KeyId], dict[str, str]]:
        """Return notes of what is a version, by host and id; other secrets in the folder are somebody's own."""
        notes = {}
        for path, metadata in found.items():
            below = f"{folder}/{path}".removeprefix(f"{self._prefix}/")
            host, _slash, names = below.partition("/")
            key_id = KeyId(*names.partition("/")[::2])
            noted = _noted(metadata)
            if noted is not None and _as_text.is_key_id(key_id):
                notes[_as_text.host_of(host), key_id] = noted
        return notes

    def _scanned(self, folder: str) -> dict[str, t.Any]:
        address = f"/v1/{self._mount}/detailed-metadata/{urllib.parse.quote(folder)}"
        try:
            answer = self._connection.ask(
                f"list {self._mount}/{folder}", lambda client: client.adapter.request("scan", address)["data"]
            )
        except NothingThere:
            return {}
        return dict(answer.get("key_info") or {})

    def _names_below(self, folder: str, depth: int) -> list[str]:
        try:
            names: list[str] = self._connection.ask(
                f"list {self._mount}/{folder}",
                lambda client: list(client.secrets.kv.v2.list_secrets(folder, mount_point=self._mount)["data"]["keys"]),
            )
        except NothingThere:
            return []
        if depth == 1:
            return [name for name in names if not name.endswith("/")]
        folders = [name for name in names if name.endswith("/")]
        return [name + below for name in folders for below in self._names_below(f"{folder}/{name[:-1]}", depth - 1)]

    def _metadata(self, path: str) -> dict[str, t.Any]:
        """Read all metadata of a secret; none if there is no such."""
        try:
            return self._connection.ask(
                f"read about {self._mount}/{path}",
                lambda client: dict(client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._mount)["data"]),
            )
        except NothingThere:
            return {}

    def create(self, kept: Kept) -> str:
        """Write a version that is not there, or find that it is; return its whole path.

        Raises:
            BackendFailed: something else is there, and stays, or the server would not keep it.
        """
        version = kept.version
        path, doing = self.path_of(version), f"keep {named(version)}"
        content = {**_as_text.told(version), **_as_text.secret_of(kept.key)}
        try:
            written = self._connection.ask(
                doing,
                lambda client: client.secrets.kv.v2.create_or_update_secret(
                    path, content, cas=0, mount_point=self._mount
                )["data"],
            )
        except (Conflict, Denied) as refusal:
            self._refuse_unless_there(kept, refusal)
        else:
            self._refuse_passing(version, written)
        # Whoever wants to write here by hand has to say which content would be replaced.
        self.note(version, _as_text.told(version), doing, cas_required=True)
        return f"{self._mount}/{path}"

    def _refuse_unless_there(self, kept: Kept, refusal: BackendFailed) -> None:
        """What is there is refused, by check-and-set or by the policy: fine, if it is this version and this key."""
        about = named(kept.version)
        try:
            stored = self._stored(kept.version, f"read {about} again")
            there = _kept_in(stored)
        except NothingThere as nothing:
            raise (self._gone(kept.version, nothing) if nothing.answer else refusal) from None
        except Unreadable as unreadable:
            raise self._not_ours(kept.version, unreadable) from None
        if there != kept:
            raise BackendFailed(
                f"{self._name} has another key, or tells something else of it, where {about} belongs: "
                f"{self.path_of(kept.version)}. It was not replaced, and nothing was written."
            )
        self._refuse_passing(kept.version, stored["metadata"])

    def _refuse_passing(self, version: Version, metadata: t.Mapping[str, t.Any]) -> None:
        """Refuse a version that the server is going to delete by itself, in the run that put it and in later ones."""
        if metadata.get("deletion_time"):
            raise BackendFailed(
                f"{self._name} would delete {named(version)} at {metadata['deletion_time']}: delete_version_after was "
                f"set there. Keys have to stay: 'bao write {self._mount}/config delete_version_after=0s', and for this "
                f"one 'bao kv undelete -mount={self._mount} -versions={_FIRST} {self.path_of(version)}', or use "
                "another mount. This key was not used."
            )

    def read(self, version: Version, doing: str) -> Kept:
        """Read a version and its key.

        Raises:
            Damaged: it is not there, or is not that version.
        """
        try:
            kept = _kept_in(self._stored(version, doing))
        except NothingThere as nothing:
            raise self._gone(version, nothing) from None
        except Unreadable as unreadable:
            raise self._not_ours(version, unreadable) from None
        if kept.version.key_id != version.key_id:
            raise self._not_ours(version, f"it is the key {kept.version.key_id}")
        return kept

    def _stored(self, version: Version, doing: str) -> dict[str, t.Any]:
        """Return a secret with what the server tells of it."""
        path = self.path_of(version)
        return self._connection.ask(
            doing,
            lambda client: dict(
                client.secrets.kv.v2.read_secret_version(
                    path, version=_FIRST, mount_point=self._mount, raise_on_deleted_version=True
                )["data"]
            ),
        )

    def destroy(self, version: Version) -> None:
        """Destroy a key; what was noted of it stays."""
        path = self.path_of(version)
        self._connection.ask(
            f"destroy {named(version)}",
            lambda client: client.secrets.kv.v2.destroy_secret_versions(path, [_FIRST], mount_point=self._mount),
        )

    def notes(self, version: Version) -> dict[str, str]:
        """Return what is noted of a version.

        Raises:
            Damaged: there is none, or it was destroyed.
        """
        metadata = self._metadata(self.path_of(version))
        noted = _noted(metadata)
        if noted is None:
            raise self._gone(version, NothingThere({"data": {"metadata": {"destroyed": bool(metadata)}}}))
        return noted

    def note(self, version: Version, notes: t.Mapping[str, str | None], doing: str, **settings: t.Any) -> None:
        """Merge notes into those which are there; one that is None goes.

        Raises:
            Damaged: there is nothing that they would be about.
        """
        address = f"/v1/{self._mount}/metadata/{urllib.parse.quote(self.path_of(version))}"
        body = {"custom_metadata": dict(notes), **settings}
        try:
            self._connection.ask(
                doing, lambda client: client.adapter.request("patch", address, headers=dict(_MERGE), json=body)
            )
        except NothingThere as nothing:
            raise self._gone(version, nothing) from None

    def _gone(self, version: Version, nothing: NothingThere) -> Damaged:
        metadata = (nothing.answer.get("data") or {}).get("metadata") or {}
        about, path = named(version), self.path_of(version)
        if metadata.get("destroyed"):
            return Damaged(
                f"{self._name}: {about} was destroyed, and does not come back. If something is opened by it still, "
                "rotate that key, or keep it in another place or under another prefix."
            )
        if metadata.get("deletion_time"):
            return Damaged(
                f"{self._name}: {about} was deleted at {metadata['deletion_time']}, but not destroyed. "
                f"'bao kv undelete -mount={self._mount} -versions={_FIRST} {path}' brings it back."
            )
        return Damaged(f"{self._name}: {about} is not at {path}, or no longer.")

    def _not_ours(self, version: Version, why: object) -> Damaged:
        return Damaged(
            f"{self._name}: what is at {self.path_of(version)} is not {named(version)}: {why}. It was not written by "
            "this collection, or changed by somebody else; it was not touched."
        )


def _kept_in(stored: t.Mapping[str, t.Any]) -> Kept:
    content = stored["data"]
    return Kept(_as_text.version_from(content), _as_text.key_from(content))


def _noted(metadata: t.Mapping[str, t.Any]) -> dict[str, str] | None:
    """Return the notes among a secret's metadata; None where its key was destroyed or never written."""
    content = (metadata.get("versions") or {}).get(str(_FIRST))
    if not content or content.get("destroyed"):
        return None
    return metadata.get("custom_metadata") or {}
