# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several backends as one: a key counts as kept when enough of them gave it back, and copies that differ are told.

Private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass, field

from ._backend import Backend, BackendDown, BackendFailed
from ._record import Binding, Entry, Kept, KeyId, State, Version, furthest, in_order

T = t.TypeVar("T")


@dataclass(frozen=True)
class Held:
    """A version, as all backends together know it.

    Args:
        entry: the furthest state that any of them noted, and the bindings of all.
        at: the version as each backend that holds it has it, by the backend's name, in the order of reading.
    """

    entry: Entry
    at: t.Mapping[str, Entry]

    @property
    def key_id(self) -> KeyId:
        return self.entry.key_id

    @property
    def state(self) -> State:
        return self.entry.state

    def is_level(self, names: t.Iterable[str]) -> bool:
        """Tell whether every one of these backends holds the version, and notes the same about it."""
        return all(name in self.at and _is_same(self.at[name], self.entry) for name in names)


@dataclass(frozen=True)
class Copies:
    """What the backends gave back of one version.

    Args:
        held: the version.
        kept: by the backend's name, in the order of reading.
    """

    held: Held
    kept: t.Mapping[str, Kept] = field(repr=False)

    @property
    def distinct(self) -> tuple[Kept, ...]:
        """Those that differ in their key, in the order of reading; one, where all is well."""
        found: list[Kept] = []
        for kept in self.kept.values():
            if all(kept.key != other.key for other in found):
                found.append(kept)
        return tuple(found)

    @property
    def disagreement(self) -> str | None:
        """Say who holds what of a version whose copies differ, None where they do not."""
        if len(self.distinct) == 1:
            return self._other_words
        sides = [[name for name, kept in self.kept.items() if kept.key == one.key] for one in self.distinct]
        told = ", another in ".join(" and ".join(side) for side in sides)
        return (
            f"The copies of {self.held.key_id} for {self.held.entry.version.dataset} differ: one key is in {told}. "
            "Only trying tells which of them opens it; have the other backend checked."
        )

    @property
    def _other_words(self) -> str | None:
        """Say that copies of one key are told different things about."""
        first = next(iter(self.kept.values()))
        others = [name for name, kept in self.kept.items() if kept.version != first.version]
        if not others:
            return None
        return (
            f"What {' and '.join(others)} tells of {self.held.key_id} for {first.version.dataset} is not what "
            f"{next(iter(self.kept))} tells, though the key is the same. Have both checked."
        )

    @property
    def agreed(self) -> Kept:
        """The one copy.

        Raises:
            BackendFailed: they differ.
        """
        if self.disagreement is not None:
            raise BackendFailed(self.disagreement)
        return self.distinct[0]


@dataclass(frozen=True)
class Stored:
    """A key that is safe.

    Args:
        kept: as it was read back.
        receipts: by the backend's name, what finds it there.
    """

    kept: Kept = field(repr=False)
    receipts: t.Mapping[str, str]


class PartlyDestroyed(BackendFailed):
    """Some backends destroyed a version, and others did not."""


class Escrow:
    """Several backends as one.

    A backend that does not answer is not asked again in this run. What else fails is told, and the others are asked.

    Args:
        backends: in the order in which they are read.
        require: how many must have given a key back before it is used.
    """

    def __init__(self, backends: t.Sequence[Backend], require: int) -> None:
        self._backends = tuple(backends)
        self._require = require
        self._problems: dict[str, None] = {}
        self._down: set[str] = set()
        self._readable: tuple[str, ...] = ()
        self._put: dict[Version, t.Mapping[str, str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(backend.name for backend in self._backends)

    @property
    def require(self) -> int:
        """How many backends must hold a key before it is used."""
        return self._require

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each thing that failed in this run, so far."""
        return tuple(self._problems)

    @property
    def put_so_far(self) -> t.Mapping[Version, t.Mapping[str, str]]:
        """The versions that this run put somewhere, with what finds each in the places that gave it back."""
        return self._put

    @property
    def readable(self) -> tuple[str, ...]:
        """Names of those that answered when entries were asked for last."""
        return self._readable

    @property
    def silent(self) -> tuple[str, ...]:
        """Names of those that did not."""
        return tuple(name for name in self.names if name not in self._readable)

    def tell(self, problem: str) -> None:
        """Add a sentence to the problems."""
        self._problems[problem] = None

    def close(self) -> None:
        for backend in self._backends:
            backend.close()

    def find_out(self) -> None:
        """Find out whether as many backends as are required can be written to, without writing.

        Of several names of one place the first counts; the others are not asked again in this run.

        Raises:
            BackendFailed: fewer can.
        """
        ready = self._distinct(self._asked(lambda backend: backend.find_out()))
        if len(ready) < self._require:
            raise self._too_few(ready, "could be written to", "No key was made, and nothing was changed.")

    def _distinct(self, identities: t.Mapping[str, str]) -> tuple[str, ...]:
        """Return the names of places that are not one place, and tell which are."""
        found: dict[str, str] = {}
        for name, identity in identities.items():
            first = found.setdefault(identity or name, name)
            if first != name:
                self.tell(
                    f"{first} and {name} are one place under two names, and what is there is one copy and not two. "
                    "Leave one of them out of escrow."
                )
                self._down.add(name)
        return tuple(found.values())

    def entries(self, host: str) -> tuple[Held, ...]:
        """Return all versions of a host's records, oldest first.

        Raises:
            BackendFailed: no backend could be read.
        """
        answers = self._asked(lambda backend: backend.entries(host))
        self._readable = tuple(answers)
        return self._united(answers)

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> tuple[Held, ...]:
        """Return versions of any host for these master keys and pools, oldest first.

        A place that does not let itself be searched is told; who may only read what is one host's goes on with that.
        """
        answers = self._asked(lambda backend: backend.elsewhere(keyguids, pool_guids))
        return self._united(answers) if answers else ()

    def copies(self, held: Held) -> Copies:
        """Read a version from every backend that holds it.

        Raises:
            BackendFailed: none gave it back.
        """
        read = self._asked(lambda backend: backend.fetch(held.at[backend.name]), among=held.at)
        if not read:
            raise BackendFailed(
                f"The key {held.key_id} of {held.entry.version.dataset} could not be read. {' '.join(self.problems)}"
            )
        return Copies(held, read)

    def put(self, kept: Kept) -> Stored:
        """Keep a version, and read it back from every backend.

        Raises:
            BackendFailed: fewer than required gave it back. It stays where it is, and the next run goes on with it.
        """
        read: dict[str, Kept] = {}

        def put(backend: Backend) -> str:
            receipt = backend.put(kept)
            read[backend.name] = _read_back(backend, kept)
            return receipt

        receipts = self._asked(put)
        if receipts:
            self._put[kept.version] = receipts
        if len(receipts) < self._require:
            raise self._too_few(
                receipts,
                f"hold the key {kept.version.key_id} of {kept.version.dataset} and gave it back",
                "The key is not used, and nothing was changed on the host; the next run goes on with it.",
            )
        return Stored(next(iter(read.values())), receipts)

    def level(self, held: Held, kept: Kept, state: State, *bindings: Binding) -> Held:
        """Bring every backend to hold a version, its bindings and its state, whatever each knew of it before.

        Args:
            held: the version.
            kept: the same with its key, proven to be right.
            state: the state that it has reached, if it is not further already.
            bindings: those that come to what is noted.

        Returns:
            It as it is now.

        Raises:
            BackendFailed: fewer than required could be brought there.
        """
        wanted = _joined(held.entry, state, bindings)
        at = self._asked(lambda backend: _brought(backend, held.at.get(backend.name), kept, wanted))
        if len(at) < self._require:
            raise self._too_few(
                at,
                f"note that {held.key_id} of {held.entry.version.dataset} is {wanted.state}",
                "Places that have the key go on keeping it; the next run notes it.",
            )
        return Held(wanted, at)

    def advance(self, held: Held, state: State) -> None:
        """Note that a version reached a state, in every backend that holds it.

        Raises:
            BackendFailed: fewer than required did, or none.
        """
        what = f"note that {held.key_id} is {state}"
        self._note(held, lambda backend, entry: backend.advance(entry, state), what, "The next run notes it.")

    def bind(self, held: Held, binding: Binding) -> None:
        """Note what a version was seen to open, in every backend that holds it.

        Raises:
            BackendFailed: fewer than required did, or none.
        """
        then = "Nothing was changed on the host. Run again."
        self._note(held, lambda backend, entry: backend.bind(entry, binding), f"note what {held.key_id} opens", then)

    def _note(self, held: Held, note: t.Callable[[Backend, Entry], None], what: str, then: str) -> None:
        done = self._asked(lambda backend: note(backend, held.at[backend.name]), among=held.at)
        if len(done) < min(self._require, len(held.at)):
            raise self._too_few(done, what, then)

    def destroy(self, held: Held) -> None:
        """Destroy a version in every backend that holds it.

        Raises:
            BackendFailed: none did it.
            PartlyDestroyed: one did not do it.
        """
        done = self._asked(lambda backend: backend.destroy(held.at[backend.name]), among=held.at)
        left = [name for name in held.at if name not in done]
        if left:
            why = " ".join(problem for problem in self.problems if any(name in problem for name in left))
            kind = PartlyDestroyed if done else BackendFailed
            raise kind(f"The key {held.key_id} is not destroyed in {' and '.join(left)}. {why} Run again.")

    def _too_few(self, done: t.Sized, what: str, then: str) -> BackendFailed:
        return BackendFailed(
            f"{len(done)} of {len(self._backends)} places for keys {what}; {self._require} are required. "
            f"{' '.join(self.problems)} {then}"
        )

    def _asked(self, ask: t.Callable[[Backend], T], among: t.Container[str] | None = None) -> dict[str, T]:
        """Ask every backend that answers, or those that are named; return the answers by name, and note what failed."""
        answers: dict[str, T] = {}
        for backend in self._backends:
            if backend.name in self._down or (among is not None and backend.name not in among):
                continue
            try:
                answers[backend.name] = ask(backend)
            except BackendFailed as error:
                self.tell(str(error))
                if isinstance(error, BackendDown):
                    self._down.add(backend.name)
        return answers

    def _united(self, answers: t.Mapping[str, t.Sequence[Entry]]) -> tuple[Held, ...]:
        if not answers:
            raise BackendFailed(f"None of the places for keys could be read. {' '.join(self.problems)}")
        found: dict[KeyId, dict[str, Entry]] = {}
        for name, entries in answers.items():
            for entry in entries:
                found.setdefault(entry.key_id, {})[name] = entry
                self._problems.update(dict.fromkeys(entry.faults))
        held = [Held(united(at.values()), at) for at in found.values()]
        return tuple(sorted(held, key=lambda each: (each.entry.version.created, str(each.key_id))))


def united(entries: t.Iterable[Entry]) -> Entry:
    """Return one version as several backends together know it: the furthest state, and all bindings."""
    each = list(entries)
    first = each[0]
    state = furthest(entry.state for entry in each)
    since = min(entry.since for entry in each if entry.state == state)
    bindings = in_order({binding for entry in each for binding in entry.bindings})
    faults = tuple(dict.fromkeys(fault for entry in each for fault in entry.faults))
    return dataclasses.replace(first, state=state, since=since, bindings=bindings, faults=faults)


def _joined(entry: Entry, state: State, bindings: t.Iterable[Binding]) -> Entry:
    reached = furthest((entry.state, state))
    return dataclasses.replace(entry, state=reached, bindings=in_order({*entry.bindings, *bindings}))


def _is_same(entry: Entry, other: Entry) -> bool:
    return entry.state == other.state and set(entry.bindings) == set(other.bindings)


def _read_back(backend: Backend, kept: Kept) -> Kept:
    """Return a version as the backend gives it back now.

    Raises:
        BackendFailed: that is not what was put there.
    """
    read = backend.fetch(Entry(kept.version, "pre-active", kept.version.created))
    if read != kept:
        raise BackendFailed(
            f"{backend.name} gave back something else than the key {kept.version.key_id} of {kept.version.dataset} "
            "that was put there. Do not rely on this backend before somebody found out why."
        )
    return read


def _brought(backend: Backend, entry: Entry | None, kept: Kept, wanted: Entry) -> Entry:
    """Bring one backend to hold a version as wanted: the key first, then what it opens, then how far it is."""
    if entry is None:
        backend.put(kept)
        _read_back(backend, kept)
        entry = Entry(kept.version, "pre-active", kept.version.created)
    for binding in wanted.bindings:
        if binding not in entry.bindings:
            backend.bind(entry, binding)
    if entry.state != wanted.state:
        backend.advance(entry, wanted.state)
    return wanted
