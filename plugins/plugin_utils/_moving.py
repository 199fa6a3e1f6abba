# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving a host's keys from some places to others.

Each version is read, put there, read back and compared; then the host tries what was read back. Where a run dies, the
next one goes on: what is there already is compared, and not put again. Only then, and only if told, is anything
destroyed where it came from, one version after the other, each after it was read elsewhere once more.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._errors import Refused
from ._backend import BackendFailed
from ._escrow import Escrow, Held
from ._plan_move import Elsewhere, Transfer, lacking, plan_move
from ._record import Binding, Kept, KeyId, named, now
from ._seen import Root
from ._trial import Ask, Result, Trial, failed, version_failures


@dataclass
class _Done:
    """What came of each version so far, and of each root."""

    moved: dict[KeyId, Transfer] = field(default_factory=dict)
    kept: dict[KeyId, Kept] = field(default_factory=dict, repr=False)
    unread: dict[KeyId, list[str]] = field(default_factory=dict)
    cleared: list[KeyId] = field(default_factory=list)
    failures: dict[KeyId, tuple[str, str]] = field(default_factory=dict)
    opened: dict[str, KeyId] = field(default_factory=dict)
    roots: dict[str, Root] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Moving:
    """The places that keys come from, and those that they go to.

    Args:
        source: where the keys are.
        target: where they shall be.
        ask: the host.
        host: its name in the inventory.

    Raises:
        Refused: the source is no place, or one that is among the others too.
    """

    def __init__(self, source: Escrow, target: Escrow, ask: Ask, host: str) -> None:
        if not source.names:
            raise Refused("source names no place. Name the one that the keys are to be moved from.")
        both = [name for name in source.names if name in target.names]
        if both:
            raise Refused(
                f"source and escrow both name {' and '.join(both)}. Keys are moved from one place to another: leave it "
                "out of one of them."
            )
        self._source, self._target = source, target
        self._ask, self._host = ask, host

    def run(self, *, clear: bool, check: bool) -> Result:
        """Move all versions of the host.

        Args:
            clear: destroy in the source what is kept elsewhere.
            check: foretell, and write nothing.

        Raises:
            BackendFailed: a place of the source could not be read, or too few others could be written to.
            HostFailed: the host could not be looked at; nothing was destroyed.
        """
        self._target.find_out()
        held = self._all_in_the_source()
        done = _Done()
        for transfer in plan_move(held, self._target.entries(self._host), self._target.names):
            self._move(transfer, done, check=check)
        self._try(done, self._source if check else self._target)
        stays = self._clear(done, check=check) if clear and done.kept else None
        return self._told(done, stays)

    def _all_in_the_source(self) -> tuple[Held, ...]:
        """Return all versions; a place that does not answer may have some that nobody else has."""
        held = self._source.entries(self._host)
        if self._source.silent:
            raise BackendFailed(
                f"{' and '.join(self._source.silent)} could not be read, and may hold what is nowhere else; so nothing "
                f"was moved. {' '.join(self._source.problems)}"
            )
        return held

    def _move(self, transfer: Transfer, done: _Done, *, check: bool) -> None:
        held, there = transfer.held, transfer.there
        try:
            copies = self._source.copies(held)
            kept = copies.agreed
            if there.at:
                self._refuse_another(kept, there)
            if not check and transfer.action != "none":
                self._target.level(there, kept, held.state, *held.entry.bindings)
        except BackendFailed as error:
            done.failures[held.key_id] = held.entry.version.dataset, str(error)
            return
        done.kept[held.key_id] = kept
        done.unread[held.key_id] = [name for name in held.at if name not in copies.kept]
        if transfer.action != "none":
            done.moved[held.key_id] = transfer

    def _refuse_another(self, kept: Kept, there: Held) -> None:
        others = [name for name, each in self._target.copies(there).kept.items() if each != kept]
        if others:
            raise BackendFailed(
                f"{named(kept.version)} is another key, or something else is told of it, in {' and '.join(others)}. "
                "Nothing was touched. Only trying them tells which one opens it; have both checked."
            )

    def _try(self, done: _Done, escrow: Escrow) -> None:
        """Have the host try what is there now, on every root that it shows."""
        trial = Trial(escrow, self._ask, self._host)
        roots = trial.look((), {}).roots
        if not roots:
            return
        known = trial.known(list(roots), (), {})
        for name, root in known.seen.roots.items():
            ids = [known.held[each].key_id for each in known.seen.opened_by(name) if each in known.held]
            if ids:
                done.opened[name], done.roots[name] = ids[0], root
                continue
            unknown = known.seen.tried[name].unknown if name in known.seen.tried else {}
            why = f" ({'; '.join(unknown.values())})" if unknown else ""
            done.warnings.append(
                f"No key that was moved opens {name}{why}. Take the right one into escrow with zfs_key_escrow."
            )

    def _clear(self, done: _Done, *, check: bool) -> str | None:
        """Destroy in the source what is proven to be elsewhere; return why nothing was."""
        proven = [name for name, key_id in done.opened.items() if key_id in done.kept]
        if not proven:
            return (
                "Nothing was destroyed in source: no root of this host is opened by a key that was moved, so nothing "
                "proves that the keys are right, and that the places are not the same. Have the pools imported, or "
                "destroy versions one by one with zfs_key_escrow."
            )
        if check:
            done.cleared.extend(key_id for key_id in done.kept if not done.unread[key_id])
            return None
        if self._is_one_place(done.kept[done.opened[proven[0]]], done.roots[proven[0]]):
            return (
                "Nothing was destroyed in source: what was noted in escrow shows there, so it is the same place under "
                "another name. Correct source."
            )
        here = {held.key_id: held for held in self._all_in_the_source()}
        there = {held.key_id: held for held in self._target.entries(self._host)}
        for key_id, kept in done.kept.items():
            if key_id in here:
                self._destroy(here[key_id], kept, there.get(key_id), done)
        return None

    def _is_one_place(self, kept: Kept, root: Root) -> bool:
        """Note in the target what the host just proved, and look whether the source knows of it.

        A directory or a server may have two names; what is destroyed by one of them is gone by the other.
        """
        seen = root.binding(now())
        there = {held.key_id: held for held in self._target.entries(self._host)}[kept.version.key_id]
        self._target.level(there, kept, there.state, seen)
        return any(seen in _bindings(held) for held in self._source.entries(self._host))

    def _destroy(self, held: Held, kept: Kept, there: Held | None, done: _Done) -> None:
        try:
            elsewhere = Elsewhere(there, {} if there is None else self._target.copies(there).kept)
            why = _unread(done.unread[held.key_id]) or lacking(held, kept, elsewhere, self._target.require)
            if why is None:
                self._source.destroy(held)
        except BackendFailed as error:
            why = str(error)
        if why is None:
            done.cleared.append(held.key_id)
        else:
            done.failures[held.key_id] = kept.version.dataset, f"In source stays {named(kept.version)}: {why}"

    def _told(self, done: _Done, stays: str | None) -> Result:
        moved = [str(key_id) for key_id in done.moved]
        actions = [_action(each, "move_key", self._target.names) for each in done.moved.values()]
        versions = {key_id: kept.version.dataset for key_id, kept in done.kept.items()}
        actions += [
            {
                "dataset": versions[each],
                "action": "destroy_key",
                "after": {"key_id": str(each), "not_in": list(self._source.names)},
            }
            for each in done.cleared
        ]
        warnings = dict.fromkeys([*done.warnings, *self._source.problems, *self._target.problems])
        result: Result = {
            "changed": bool(actions),
            "moved": moved,
            "already": [str(key_id) for key_id in done.kept if key_id not in done.moved],
            "cleared": [str(key_id) for key_id in done.cleared],
            "opened": {name: str(key_id) for name, key_id in done.opened.items()},
            "failures": version_failures(done.failures),
            "actions": actions,
            **({"warnings": list(warnings)} if warnings else {}),
        }
        sentences = [sentence for _dataset, sentence in done.failures.values()]
        problems = [*sentences, *([stays] if stays is not None else [])]
        return failed(result, problems) if problems else result


def _unread(places: t.Sequence[str]) -> str | None:
    """Say that a place may have another key under the same id, and perhaps the right one."""
    return f"{' and '.join(places)} did not give it back, so nobody knows what is there." if places else None


def _bindings(held: Held) -> set[Binding]:
    return {binding for entry in held.at.values() for binding in entry.bindings}


def _action(transfer: Transfer, action: str, places: t.Iterable[str]) -> dict[str, t.Any]:
    return {
        "dataset": transfer.held.entry.version.dataset,
        "action": action,
        "after": {"key_id": str(transfer.key_id), "state": transfer.held.state, "places": list(places)},
    }
