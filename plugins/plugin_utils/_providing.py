# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots whose keys are in escrow before they are used, in the order that may die anywhere.

What is in escrow is read, the host tries it, and it is decided. The host rehearses. A new key is put into escrow and
read back; the host does its work with what was read back, and proves it; then it is noted what the key opens, and last
that it is active. What an earlier run left behind at any of these points is found by the first steps of the next one
and gone on with: no second key is made.

Private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass, field

from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from ..module_utils._names import pool_of
from ._backend import BackendFailed
from ._escrow import Held
from ._fitting import is_bound_to
from ._key_task import Assigned
from ._plan_escrow import Decision, Known, decide, is_begun, is_of_a_copy, new_format
from ._record import Entry, Kept, Version, later_than, new_key_id, new_record, now
from ._seen import Root, Seen
from ._trial import LOST, HostFailed, Result, Trial, failed, succeeded
from ._wish import Wish
from ._work import Provided, Task, Work

_MARK = "zfsfleet.encryption:"

Fetch = t.Callable[[t.Mapping[str, str]], t.Mapping[str, Key]]
"""Given the paths of key files by root, returns the keys in them, each proven to open its root."""


@dataclass(frozen=True)
class _Note:
    """What is noted in escrow of a root's key.

    Args:
        held: the version, in the places that were brought to hold all of it.
        is_new: whether any of them did not before.
        replaced: ids of the versions that it took the place of, used or only begun, which are deactivated now.
    """

    held: Held
    is_new: bool
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Noted:
    """What came of noting the keys of all roots.

    Args:
        problems: by root, why its key is not noted as what opens it.
        notes: what was noted of the others.
        proven_at: when the host had tried the keys; empty where it could not.
    """

    problems: t.Mapping[str, str]
    notes: t.Mapping[str, _Note] = field(default_factory=dict)
    proven_at: str = ""


class Providing:
    """A task whose keys are in escrow.

    Args:
        task: what is wanted.
        trial: the host, and what is in escrow for it.
        fetch: brings keys from files on the host, sealed on their way.
    """

    def __init__(self, task: Task, trial: Trial, fetch: Fetch) -> None:
        self._task = task
        self._trial = trial
        self._escrow = trial.escrow
        self._fetch = fetch
        self._seen_roots: t.Mapping[str, Root] = {}

    def foresee(self, known: Known | None = None) -> Provided:
        """Foretell what a real run would do; nothing is written anywhere.

        Args:
            known: what opens which root, where that was found out already.

        Raises:
            Refused: it would be refused; the sentence says why.
            BackendFailed: too few backends could be written to.
            HostFailed: the host could not be looked at, or its module would refuse.
        """
        known, work = self._decided(known, foresee=True)
        self._escrow.find_out()
        rehearsed = self._rehearsed(known, work, [each.label for each in work])
        return Provided(self._told(rehearsed, work, work), tuple(work))

    def carry_out(self, known: Known | None = None) -> Provided:
        """Do it.

        Args:
            known: what opens which root, where that was found out already.

        Raises:
            Refused: nothing was changed anywhere; the sentence says why.
            BackendFailed: nothing was changed on the host.
            HostFailed: the host could not be looked at, or its module refused, before anything was changed.
        """
        known, work = self._decided(known, foresee=False)
        if any(each.is_noted for each in work):
            self._escrow.find_out()
        if not all(each.is_used_already for each in work):
            self._rehearsed(known, work, [each.known_as for each in work])
        work = [each if each.is_used_already else self._put(each) for each in work]
        keys = self._assigned(known, work, [each.known_as for each in work])
        result = self._task.run(self._trial.ask, keys, check=False)
        noted = self._noted(known, [each for each in work if each.is_noted])
        work = [self._settled(each, noted.notes.get(each.dataset)) for each in work]
        problems = noted.problems
        if result.get("failed") and not result.get("failures"):
            problems = dict.fromkeys(problems, str(result.get("msg")))  # the host's module refused all of it
        told = [why for name, why in problems.items() if name not in _failing(result) and why != result.get("msg")]
        if told:
            result = failed(result, list(dict.fromkeys(told)))
        done = [each for each in work if each.dataset in noted.notes or each.is_used_already]
        done = [each for each in done if each.dataset not in problems]
        return Provided(self._told(result, work, done), tuple(work), problems, noted.proven_at)

    def _decided(self, known: Known | None, *, foresee: bool) -> tuple[Known, list[Work]]:
        wishes = self._task.wishes
        if known is None:
            given = {wish.dataset: wish.given for wish in wishes if wish.given is not None}
            known = self._trial.known([wish.dataset for wish in wishes], self._task.pools, given)
        kept_there = self._kept_on_the_host(known)
        self._seen_roots = known.seen.roots
        if kept_there:
            wishes = tuple(dataclasses.replace(wish, given=kept_there.get(wish.dataset, wish.given)) for wish in wishes)
            known = known.with_given(kept_there)
        decisions = decide(wishes, known, made=self._task.made, foresee=foresee)
        refusals = [str(each.sentence) for each in decisions if each.action == "refuse"]
        if refusals:
            raise Refused(" ".join(refusals))
        return known, [self._work(decision, known) for decision in decisions]

    def _kept_on_the_host(self, known: Known) -> t.Mapping[str, Key]:
        """Return the keys of roots that escrow does not open, from the key files that the task names.

        Raises:
            Refused: they do not open them.
        """
        files = {
            wish.dataset: wish.key_file
            for wish in self._task.wishes
            if wish.given is None and wish.key_file is not None and wish.dataset in known.seen.roots
        }
        left = {name: path for name, path in files.items() if known.opener(name) is None}
        if not left:
            return {}
        try:
            return self._fetch(left)
        except HostFailed as failure:
            raise Refused(f"Escrow has no key that opens {', '.join(left)}, and the host has none: {failure}") from None

    def _work(self, decision: Decision, known: Known) -> Work:
        wish, root, held = decision.wish, decision.root, decision.held
        if decision.action == "use" and root is not None and held is not None:
            key = _opening(held, root, known)
            is_noted = self._has_news(held, root, wish)
            return Work(decision, Kept(held.entry.version, key), held, key if wish.change else None, is_noted)
        current = _opening(held, root, known) if decision.action == "change" and root and held else None
        there = decision.begun if decision.action == "change" else held
        if there is not None:
            return Work(decision, Kept(there.entry.version, t.cast(Key, known.key_of(there))), there, current)
        keeps_key = current is not None and not wish.renew and _fits(current, decision)
        key = wish.given or (t.cast(Key, current) if keeps_key else wish.new_key())
        version = self._new_version(decision, known.seen)
        return Work(decision, Kept(version, key), Held(Entry(version, "pre-active", version.created), {}), current)

    def _new_version(self, decision: Decision, seen: Seen) -> Version:
        wish, root = decision.wish, decision.root
        keyformat, iterations = (wish.new_keyformat, wish.new_iterations) if root is None else new_format(wish, root)
        if decision.action == "adopt" and root is not None:
            keyformat, iterations = root.keyformat, root.iterations
        record = self._record_of(decision) or new_record()
        # What opens the root may be noted for another host, and be among no versions of this one.
        before = [*self._trial.index.of_record(record), *([] if decision.held is None else [decision.held])]
        return Version(
            new_key_id(record),
            self._trial.host,
            decision.dataset,
            keyformat,
            iterations,
            later_than(each.entry.version.created for each in before),
            seen.pools.get(pool_of(decision.dataset), ""),
            "" if root is None else root.keyguid,
        )

    def _record_of(self, decision: Decision) -> str | None:
        """Return the record that a root's next version belongs to, None where it has none.

        A key that somebody set beside us, and that is taken in, follows those that the root had before: they open it no
        more, whatever they are noted as.
        """
        root, held = decision.root, decision.held
        if decision.action == "change" and held is not None:
            return held.key_id.record
        bound = (each for each in self._trial.index.fitting(root) if is_bound_to(each, root)) if root else ()
        return next((each.key_id.record for each in bound), None)

    def _has_news(self, held: Held, root: Root, wish: Wish) -> bool:
        """Tell whether a version that opens its root is not noted everywhere as what it is."""
        if str(held.key_id) in self._trial.disagreements:
            return False  # the person is told; nothing more is written about it
        is_behind = (
            held.state == "pre-active"
            or not root.is_bound_among(held.entry.bindings)
            or bool(self._superseded(held, root, wish))
            or bool(self._lost(held))
        )
        return is_behind or not held.is_level(self._escrow.readable)

    def _lost(self, held: Held) -> set[str]:
        """Name the places that list a version and say that they lost its key: there it is put again."""
        return {name for name in self._trial.unread.get(str(held.key_id), ()) if held.at[name].faults}

    def _assigned(self, known: Known, work: t.Sequence[Work], labels: t.Sequence[str]) -> dict[str, Assigned]:
        """Return what the module is told about keys; a root that gets one says in properties which."""
        assigned: dict[str, Assigned] = {}
        for each, label in zip(work, labels):
            pool_guid = known.seen.pools.get(pool_of(each.dataset))
            is_set_now = each.decision.action in ("mint", "resume", "change")
            marks = {"key_id": label, "rotated_at": each.kept.version.created, "pool_guid": pool_guid or ""}
            marked = {f"{_MARK}{name}": value for name, value in marks.items()} if is_set_now and pool_guid else {}
            version = label.rpartition(".")[2] if is_set_now else ""
            assigned[each.dataset] = Assigned(each.kept.key, each.current, marked, version)
        return assigned

    def _rehearsed(self, known: Known, work: t.Sequence[Work], labels: t.Sequence[str]) -> Result:
        """Have the host's module say what it would do: what it refuses is refused before a key is kept anywhere."""
        keys = self._assigned(known, work, labels)
        return succeeded(self._task.run(self._trial.ask, keys, check=True))

    def _put(self, work: Work) -> Work:
        """Put a key into escrow; the work goes on with what was read back."""
        stored = self._escrow.put(work.kept)
        self._note_return(work.decision)
        at = {name: Entry(work.kept.version, "pre-active", work.kept.version.created) for name in stored.receipts}
        held = Held(work.held.entry, {**at, **work.held.at})
        return dataclasses.replace(work, kept=stored.kept, held=held, receipts=stored.receipts)

    def _note_return(self, decision: Decision) -> None:
        """Note that what opens a root had been replaced, before it is replaced again: its days are counted from now."""
        held, root = decision.held, decision.root
        if decision.action != "change" or held is None or root is None:
            return
        copy = (root.pool_guid, root.name)
        seen = max((each.at for each in held.entry.bindings if each.copy == copy), default="")
        others = (each for sibling in self._trial.siblings(held) for each in sibling.entry.bindings)
        if any(each.copy == copy and each.at > seen for each in others):
            self._escrow.bind(held, root.binding(now()))

    def _settled(self, work: Work, noted: _Note | None) -> Work:
        """Return what was done about a root in the end: a place that refuses all that it is told changes nothing."""
        at = work.held.at if noted is None else noted.held.at
        is_noted = work.is_noted and (not work.is_used_already or noted is None or noted.is_new)
        places = tuple(name for name in self._escrow.names if name in at)
        replaced = () if noted is None else noted.replaced
        return dataclasses.replace(work, is_noted=is_noted, places=places, replaced=replaced)

    def _noted(self, known: Known, work: t.Sequence[Work]) -> _Noted:
        """Have the host prove what was done, and note it; where that fails, the next run does it."""
        keys = {each.dataset: [(each.known_as, each.kept.key)] for each in work if not each.is_used_already}
        try:
            seen = self._trial.look(self._task.pools, keys) if keys else known.seen
        except LOST as error:
            return _Noted({each.dataset: f"What was done could not be verified: {error} Run again." for each in work})
        proven_at = now()
        problems: dict[str, str] = {}
        notes: dict[str, _Note] = {}
        for each in work:
            root = (known.seen if each.is_used_already else seen).roots.get(each.dataset)
            if root is None:
                continue  # it was not made; its key waits for the next run
            if not each.is_used_already and each.known_as not in seen.opened_by(each.dataset):
                problems[each.dataset] = _unproven(each)
                continue
            try:
                notes[each.dataset] = self._note(each, root, proven_at)
            except BackendFailed as error:
                problems[each.dataset] = str(error)
        return _Noted(problems, notes, proven_at)

    def _note(self, work: Work, root: Root, proven_at: str) -> _Note:
        bindings = () if root.is_bound_among(work.held.entry.bindings) else (root.binding(proven_at),)
        lost = self._lost(work.held)
        there = Held(work.held.entry, {name: entry for name, entry in work.held.at.items() if name not in lost})
        held = self._escrow.level(there, work.kept, "active", *bindings)
        superseded = self._superseded(held, root, work.decision.wish)
        for old in superseded:
            self._escrow.advance(old, "deactivated")
        is_new = bool(superseded) or not Held(held.entry, there.at).is_level(held.at)
        return _Note(held, is_new, tuple(str(old.key_id) for old in superseded))

    def _superseded(self, held: Held, root: Root, wish: Wish) -> list[Held]:
        """Return the versions that a root's key took the place of; one that another copy of the data has is none."""
        roots = self._seen_roots
        others = [each for each in roots.values() if each.name != root.name and each.keyguid == root.keyguid]
        older = [each for each in self._trial.superseded(held) if not is_of_a_copy(each, root, roots)]
        siblings = self._trial.siblings(held) if wish.gives_up else ()
        given_up = [each for each in siblings if is_begun(each, held, root, roots)]
        return [old for old in (*older, *given_up) if not any(is_bound_to(old, other) for other in others)]

    def _told(self, result: Result, work: t.Sequence[Work], done: t.Sequence[Work]) -> Result:
        """Add to a result what was done about keys: ids and states, never a key."""
        actions = [self._action(each) for each in work if each.is_noted]
        ids = {each.dataset: each.label for each in done if each.label != "new"}
        sentences = [each.decision.sentence for each in work if each.decision.sentence is not None]
        doubts = [
            self._trial.disagreements[each.known_as] for each in work if each.known_as in self._trial.disagreements
        ]
        warnings = [*result.get("warnings", ()), *sentences, *doubts, *self._escrow.problems]
        told = {
            **result,
            "changed": bool(result.get("changed")) or bool(actions),
            "actions": [*actions, *result.get("actions", ())],
            "key_ids": ids,
            "receipts": {each.dataset: dict(each.receipts) for each in work if each.receipts},
        }
        replaced = {each.dataset: list(each.replaced) for each in work if each.replaced}
        told.update({"deactivated": replaced} if replaced else {})
        return {**told, "warnings": warnings} if warnings else told

    def _action(self, work: Work) -> dict[str, t.Any]:
        is_kept = work.decision.action in ("use", "resume") or work.decision.begun is not None
        action = "note_key" if is_kept else "escrow_key"
        return {"dataset": work.dataset, "action": action, "after": {"places": list(work.places or self._escrow.names)}}


def _failing(result: Result) -> set[str]:
    """Name what the host's module says that failed, or was not begun because of that."""
    failures = result.get("failures") or {}
    return {*failures, *(name for each in failures.values() for name in each["skipped"])}


def _opening(held: Held, root: Root, known: Known) -> Key:
    """Return the key of a version that was seen to open a root; of copies that differ, the one that did."""
    ids = (each for each in known.seen.opened_by(root.name) if each in known.held)
    return next(known.keys[each] for each in ids if known.held[each].key_id == held.key_id)


def _fits(key: Key, decision: Decision) -> bool:
    return decision.root is not None and key.fits(new_format(decision.wish, decision.root)[0])


def _unproven(work: Work) -> str:
    return (
        f"{work.dataset} is not opened by {work.known_as}, which its key should be. It stays in escrow as it is. "
        "Find out who changes keys beside this run."
    )
