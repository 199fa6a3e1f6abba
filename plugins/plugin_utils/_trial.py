# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having a host try keys from escrow: which of them opens which root. Nothing is changed anywhere.

Private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.errors import AnsibleConnectionFailure

from ..module_utils import _manifest
from ..module_utils._errors import EncryptionError
from ..module_utils._keys import Key
from ._backend import BackendFailed
from ._escrow import Escrow, Held
from ._fitting import Index
from ._plan_escrow import GIVEN, Known
from ._record import KeyId, State
from ._seen import Root, Seen, Tried, seen_from

INFO = "zfsfleet.encryption.zfs_encryption_info"

# Of versions that had to do with a name at some time; what they do not open is looked at by its ids.
_LIKELIEST = 3

Result = dict[str, t.Any]
Candidates = t.Mapping[str, t.Sequence[tuple[str, Key]]]
"""By root, the ids under which keys are tried, and the keys."""


LOST = (EncryptionError, AnsibleConnectionFailure)
"""What a look at the host may end with that comes after what was done: it is told, and no result is lost for it."""


class Ask(t.Protocol):
    """Runs a public module on the host and returns its result; with ``check`` in check mode, whatever the task's is."""

    def __call__(self, module: str, arguments: t.Mapping[str, t.Any], *, check: bool = False) -> Result: ...


class HostFailed(EncryptionError):
    """A module failed on the host; its result is the task's."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result.get("msg", "The module failed.")))
        self.result = result


class Trial:
    """What is in escrow for a host, read once, and what the host said of each key.

    Args:
        escrow: where the keys are.
        ask: the host.
        host: its name in the inventory.

    Raises:
        BackendFailed: no backend could be read.
    """

    def __init__(self, escrow: Escrow, ask: Ask, host: str) -> None:
        self.index = Index(escrow.entries(host))
        """All versions of this host's records."""
        self.host = host
        self.ask = ask
        self.escrow = escrow
        self._keys: dict[str, Key] = {}
        self._by_id: dict[str, Held] = {}
        self._ids: dict[str, tuple[str, ...]] = {}
        self.disagreements: dict[str, str] = {}
        """By key id, a sentence about a version whose copies differ."""
        self.unread: dict[str, tuple[str, ...]] = {}
        """By key id, the places that list a version and did not give it back; only of what was read."""

    def known(self, roots: t.Collection[str], pools: t.Collection[str], given: t.Mapping[str, Key]) -> Known:
        """Find out what opens these roots.

        Args:
            roots: names of what is, or is to be, an encryption root.
            pools: names of the pools to look at.
            given: by root, the key that the task gives.

        Raises:
            HostFailed: the host could not be looked at.
        """
        first = {name: (*self.index.named(name)[:_LIKELIEST], *self.index.waiting(name)) for name in roots}
        offered = {name: [(GIVEN, given[name])] if name in given else [] for name in roots}
        seen = self.look(pools, {name: [*offered[name], *self.candidates(first[name])] for name in roots})
        left = [seen.roots[name] for name in roots if name in seen.roots and not self._is_opened(seen, name)]
        if left:
            others = self.of_other_hosts(left)
            more = {root.name: [*self.index.fitting(root), *others[root.name]] for root in left}
            new = {
                name: [each for each in self.candidates(found) if not seen.was_tried(name, each[0])]
                for name, found in more.items()
            }
            if any(new.values()):
                seen = _joined(seen, self.look(pools, new))
        return Known(seen, dict(self._by_id), dict(self._keys), self.escrow.problems)

    def for_roots(self, roots: t.Sequence[Root]) -> dict[str, tuple[Held, ...]]:
        """Return the versions worth trying on each root; those of other hosts only where this host has none."""
        found = {root.name: self.index.fitting(root) for root in roots}
        left = [root for root in roots if not found[root.name]]
        return {**found, **(self.of_other_hosts(left) if left else {})}

    def of_other_hosts(self, roots: t.Sequence[Root]) -> dict[str, tuple[Held, ...]]:
        """Look among the records of other hosts: this one may have had another name, a pool another host, and a replica
        has its source's key.
        """
        found = Index(self.escrow.elsewhere({root.keyguid for root in roots}, {root.pool_guid for root in roots}))
        return {root.name: found.fitting(root) for root in roots}

    def superseded(self, held: Held) -> tuple[Held, ...]:
        """Return what a version took the place of, and what still counts as active."""
        return self.index.superseded(held)

    def look(self, pools: t.Collection[str], candidates: Candidates) -> Seen:
        """Look at pools, all of them where none is named, and have the host try these keys, in their order.

        Raises:
            HostFailed: that could not be done.
        """
        entries = [
            {"name": name, "id": known_as, **text(key)} for name, found in candidates.items() for known_as, key in found
        ]
        choice = {"names": sorted(pools), "recursive": True} if pools else {}
        return self.seen({**choice, "candidates": entries})

    def seen(self, arguments: t.Mapping[str, t.Any]) -> Seen:
        """Look at what these arguments of ``zfs_encryption_info`` name.

        Raises:
            HostFailed: that could not be done.
        """
        return seen_from(asked(self.ask, INFO, {"candidates": [], **arguments}))  # with them it is strict about names

    def siblings(self, held: Held) -> tuple[Held, ...]:
        """Return the other versions of the same record."""
        return self.index.siblings(held)

    def with_siblings(self, known: Known, states: t.Container[State]) -> Known:
        """Return what is known with those other versions of the same records that have one of these states."""
        ids = [each for tried in known.seen.tried.values() for each in tried.opened_by if each in known.held]
        siblings = [other for each in ids for other in self.siblings(known.held[each]) if other.state in states]
        self.candidates(siblings)
        unread = {str(other.key_id): other for other in siblings if not self.ids(other)}
        return Known(known.seen, {**self._by_id, **unread}, dict(self._keys), self.escrow.problems)

    def find(self, key_id: KeyId) -> Held | None:
        """Return a version of this host's records."""
        return self.index.get(key_id)

    def candidates(self, versions: t.Iterable[Held]) -> list[tuple[str, Key]]:
        """Read versions; return the ids under which their keys are tried, and the keys."""
        ids = dict.fromkeys(known_as for held in versions for known_as in self.ids(held))
        return [(known_as, self._keys[known_as]) for known_as in ids]

    def ids(self, held: Held) -> tuple[str, ...]:
        """Read a version, once; return the ids under which its key is tried, several where its copies differ."""
        key_id = str(held.key_id)
        if key_id not in self._ids:
            self._ids[key_id] = self._read(held)
        return self._ids[key_id]

    def _read(self, held: Held) -> tuple[str, ...]:
        self.unread[str(held.key_id)] = tuple(held.at)
        try:
            copies = self.escrow.copies(held)
            for kept in copies.distinct:
                text(kept.key)
        except BackendFailed:
            return ()  # the escrow notes it among its problems
        except UnicodeDecodeError:
            self.escrow.tell(f"{held.key_id} of {held.entry.version.dataset} is no UTF-8, which no module can take.")
            return ()
        self.unread[str(held.key_id)] = tuple(name for name in held.at if name not in copies.kept)
        if copies.disagreement is not None:
            self.disagreements[str(held.key_id)] = copies.disagreement
        ids = [str(held.key_id), *(f"{held.key_id}/{number}" for number in range(2, len(copies.distinct) + 1))]
        for known_as, kept in zip(ids, copies.distinct):
            self._by_id[known_as] = held
            self._keys[known_as] = kept.key
        return tuple(ids)

    def _is_opened(self, seen: Seen, root: str) -> bool:
        return any(known_as in self._by_id for known_as in seen.opened_by(root))


def asked(ask: Ask, module: str, arguments: t.Mapping[str, t.Any], *, check: bool = False) -> Result:
    """Run a module on the host.

    Raises:
        HostFailed: it failed.
    """
    return succeeded(ask(module, arguments, check=check))


def succeeded(result: Result) -> Result:
    """Return a module's result.

    Raises:
        HostFailed: it failed.
    """
    if result.get("failed"):
        raise HostFailed(result)
    return result


def failed(result: Result, problems: t.Sequence[str]) -> Result:
    """Return a result with more that went wrong."""
    before = [str(result.get("msg", ""))] if result.get("failed") else []
    return {**result, "failed": True, "msg": " ".join([*before, *problems])}


def version_failures(failures: t.Mapping[KeyId, tuple[str, str]]) -> dict[str, dict[str, t.Any]]:
    """Return what results tell of versions that something failed for.

    Args:
        failures: by the version's id, the dataset that it was made for, and a sentence.
    """
    return {
        str(key_id): {
            "reason": "unknown",
            "msg": sentence,
            "skipped": [],
            "dataset": dataset,
            "key_id": str(key_id),
        }
        for key_id, (dataset, sentence) in failures.items()
    }


def text(key: Key) -> dict[str, str]:
    """Return a key as modules take it."""
    return _manifest.kind_and_text(key)


def _joined(first: Seen, second: Seen) -> Seen:
    """Return what was seen in the end, with what came of all trials."""
    tried = dict(first.tried)
    for name, then in second.tried.items():
        before = tried.get(name, Tried())
        tried[name] = Tried(
            (*before.opened_by, *then.opened_by), (*before.wrong, *then.wrong), {**before.unknown, **then.unknown}
        )
    return dataclasses.replace(second, tried=tried)
