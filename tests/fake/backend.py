# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for keys in memory; tests/unit/plugins/test_backends.py holds it to the same statements as the real ones."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import (
    STATES,
    Binding,
    Entry,
    Kept,
    KeyId,
    State,
    now,
)

WRITING = frozenset({"put", "advance", "bind", "destroy"})

Moment = t.Callable[[str, str], None]
"""Told the backend's name and the call, before it takes effect or after; what it raises, the caller sees."""


def _nothing(_name: str, _call: str) -> None: ...


class MemoryBackend:
    """A ``Backend`` that forgets everything when the process ends.

    Besides the protocol: ``keys`` and ``entries_by_id`` are what it holds, ``calls`` is what it was asked; ``before``
    and ``after`` are called around every call; ``failing`` (call -> error) makes calls fail; ``damaged`` (id -> Kept)
    is given back instead of what was put; ``identity`` is what tells it from other places.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: dict[KeyId, Kept] = {}
        self.entries_by_id: dict[KeyId, Entry] = {}
        self.calls: list[str] = []
        self.before: Moment = _nothing
        self.after: Moment = _nothing
        self.failing: dict[str, BackendFailed] = {}
        self.damaged: dict[KeyId, Kept] = {}
        self.is_closed = False
        self.identity = ""

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call in WRITING]

    def states(self) -> dict[str, list[State]]:
        """Return the states of all versions by dataset, for a test to look at."""
        found: dict[str, list[State]] = {}
        for entry in self.entries_by_id.values():
            found.setdefault(entry.version.dataset, []).append(entry.state)
        return found

    def find_out(self) -> str:
        return self._asked("find_out", lambda: self.identity)

    def entries(self, host: str) -> t.Sequence[Entry]:
        return self._asked("entries", lambda: [each for each in self._alive() if each.version.host == host])

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        known = set(keyguids) - {""}, set(pool_guids) - {""}
        return self._asked("elsewhere", lambda: [each for each in self._alive() if each.concerns(*known)])

    def fetch(self, entry: Entry) -> Kept:
        def fetch() -> Kept:
            if entry.key_id not in self.keys:
                raise BackendFailed(f"{self.name} has no {entry.key_id}.")
            return self.damaged.get(entry.key_id, self.keys[entry.key_id])

        return self._asked("fetch", fetch)

    def put(self, kept: Kept) -> str:
        key_id = kept.version.key_id

        def put() -> str:
            if self.keys.setdefault(key_id, kept) != kept:
                raise BackendFailed(f"{self.name} has another key {key_id}.")
            self.entries_by_id.setdefault(key_id, Entry(kept.version, "pre-active", kept.version.created))
            return f"{self.name}/{key_id}"

        return self._asked("put", put)

    def advance(self, entry: Entry, state: State) -> None:
        def advance() -> None:
            found = self._found(entry)
            if state == "destroyed":
                raise BackendFailed(f"{self.name} destroys no {entry.key_id} by a note.")
            if STATES.index(state) > STATES.index(found.state):
                self.entries_by_id[entry.key_id] = dataclasses.replace(found, state=state, since=now())

        self._asked("advance", advance)

    def bind(self, entry: Entry, binding: Binding) -> None:
        def bind() -> None:
            found = self._found(entry)
            if binding not in found.bindings:
                bindings = sorted((*found.bindings, binding), key=lambda each: each.at)
                self.entries_by_id[entry.key_id] = dataclasses.replace(found, bindings=tuple(bindings))

        self._asked("bind", bind)

    def destroy(self, entry: Entry) -> None:
        def destroy() -> None:
            self.keys.pop(entry.key_id, None)
            found = self.entries_by_id.get(entry.key_id)
            if found is not None:
                self.entries_by_id[entry.key_id] = dataclasses.replace(found, state="destroyed", since=now())

        self._asked("destroy", destroy)

    def close(self) -> None:
        self.is_closed = True

    def _alive(self) -> list[Entry]:
        return [entry for entry in self.entries_by_id.values() if entry.state != "destroyed"]

    def _found(self, entry: Entry) -> Entry:
        if entry.key_id not in self.keys:
            raise BackendFailed(f"{self.name} has no {entry.key_id}.")
        return self.entries_by_id[entry.key_id]

    def _asked(self, call: str, work: t.Callable[[], T]) -> T:
        self.before(self.name, call)
        self.calls.append(call)
        if call in self.failing:
            raise self.failing[call]
        answer = work()
        self.after(self.name, call)
        return answer


T = t.TypeVar("T")
