# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotating keys: what is in escrow is tried, what is due is planned, and the roots get keys that escrow gave back.

All roots of a host take a constant number of modules: two that look, one that rehearses, one that changes, one that
proves. Private to the collection.
"""

from __future__ import annotations

import collections
import typing as t
from dataclasses import dataclass

from ..module_utils._choice import Choice
from ..module_utils._errors import Refused
from ..module_utils._keyfiles import versioned
from ..module_utils._names import pool_of
from ._escrow import Held
from ._fitting import Index, age
from ._key_task import Assigned
from ._old_files import OldFile, old_files, without_old_files
from ._plan_escrow import Known, is_of_a_copy, new_format
from ._plan_rotation import Policy, plan_rotation
from ._providing import Providing
from ._record import now
from ._seen import Root
from ._trial import LOST, Ask, Result, Trial, text
from ._wish import Wish
from ._work import Provided, Work

_DATASET_KEY = "zfsfleet.encryption.zfs_dataset_key"

Options = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class _Rotation:
    """The task that a rotation is for the host: existing roots that get other keys.

    Args:
        wishes: what the chosen roots are to have.
        roots: the roots as they are.
        pools: that they lie in.
        hierarchy: what a root is judged by that gets another kind of key, by default as the module does.
    """

    wishes: tuple[Wish, ...]
    roots: t.Mapping[str, Root]
    pools: t.Collection[str]
    hierarchy: str | None

    @property
    def made(self) -> t.Collection[str]:
        return ()

    def run(self, ask: Ask, keys: t.Mapping[str, Assigned], *, check: bool) -> Result:
        files = self._files(keys)
        entries = [self._entry(wish, keys[wish.dataset], files) for wish in self.wishes if keys[wish.dataset].version]
        if not entries:
            return {"changed": False, "actions": []}
        return ask(_DATASET_KEY, {"datasets": entries, "update_key": "always"}, check=check)

    def _files(self, keys: t.Mapping[str, Assigned]) -> dict[str, str]:
        """Return the files that new versions go into, by root; those of roots that shared one are many.

        What check mode makes up has no ids, and is numbered.
        """
        files: dict[str, str] = {}
        taken: collections.Counter[str] = collections.Counter()
        for wish in self.wishes:
            path, version = self.roots[wish.dataset].key_file, keys[wish.dataset].version
            if path is None or not version:
                continue
            wanted = versioned(path, version)
            taken[wanted] += 1
            is_first = taken[wanted] == 1
            files[wish.dataset] = wanted if is_first else versioned(path, f"{version}{taken[wanted]}")
        return files

    def _entry(self, wish: Wish, assigned: Assigned, files: t.Mapping[str, str]) -> dict[str, t.Any]:
        root = self.roots[wish.dataset]
        keyformat, iterations = new_format(wish, root)
        rounds = {"pbkdf2iters": iterations} if iterations else {}
        current = {} if assigned.current is None else {"current": text(assigned.current)}
        file = {"key_file": files[root.name]} if root.name in files else {}
        key = {**text(assigned.key), "keyformat": keyformat, **rounds, **current, **file}
        return {"name": root.name, **key, **self._judged_by(root, keyformat), "properties": dict(assigned.marks)}

    def _judged_by(self, root: Root, keyformat: str) -> dict[str, str]:
        """A root that keeps its kind of key stays where somebody wanted it."""
        if (keyformat == "passphrase") == (root.keyformat == "passphrase"):
            return {"hierarchy": "openzfs"}
        return {} if self.hierarchy is None else {"hierarchy": self.hierarchy}


@dataclass(frozen=True)
class Rotating:
    """A task of ``zfs_key_rotate``.

    Args:
        choice: the roots.
        options: how ``zfs_encryption_info`` is told of them.
        policy: which of their keys are due.
        hierarchy: what a root is judged by that gets another kind of key.
        removes_named_files: whether the file that a root had before its first rotation goes as well.
    """

    choice: Choice
    options: Options
    policy: Policy
    hierarchy: str | None
    removes_named_files: bool

    def carry_out(self, trial: Trial, *, check: bool) -> Result:
        """Rotate what is due, or foretell it.

        Raises:
            Refused: nothing was changed anywhere; the sentences say why.
            BackendFailed: nothing was changed on the host.
            HostFailed: the host could not be looked at, or its module refused, before anything was changed.
        """
        seen = trial.seen(self.options)
        missing = list(self.choice.missing(seen.pools))
        strange = sorted(self.policy.given.keys() - seen.roots.keys())
        if strange:
            missing.append(f"new_keys names {', '.join(strange)}, which was not chosen. Name it, or leave its key out.")
        if missing:
            raise Refused(" ".join(missing))
        roots, pools = list(seen.roots), self.choice.pools or tuple(sorted(seen.pools))
        known = trial.known(roots, (), self.policy.given) if roots else Known(seen)
        gone = [name for name in roots if name not in known.seen.roots]
        if gone:
            raise Refused(f"{', '.join(gone)} disappeared while the host was looked at. Nothing was done; run again.")
        known = trial.with_siblings(known, self.policy.states)
        wishes = plan_rotation(self.policy, roots, known)
        task = _Rotation(wishes, known.seen.roots, pools, self.hierarchy)
        providing = Providing(task, trial, lambda _files: {})
        provided = providing.foresee(known) if check else providing.carry_out(known)
        result = _warned(_told(provided, known, trial.index), _made_later(roots, self.policy, known))
        if check:
            return result
        try:
            return without_old_files(result, self._old_files(result, provided, trial.index, known), trial)
        except LOST as error:
            return _warned(result, [f"Key files that held replaced keys may be left on the host: {error}"])

    def _old_files(self, result: Result, provided: Provided, index: Index, known: Known) -> list[OldFile]:
        """Name the files that keys may be in which the roots had before, of those about which something was noted."""
        rotated = {row["dataset"] for row in result["rotated"]}
        files: list[OldFile] = []
        for work in provided.work:
            root = work.decision.root
            is_left = work.dataset in result["failures"] or not work.is_noted
            if is_left or root is None or pool_of(root.name) in known.seen.checkpointed:
                continue
            before = _before(work, known.seen.roots, index) if work.dataset in rotated else None
            record = index.of_record(work.kept.version.key_id.record)
            files += old_files(root, before, record, is_changed=work.decision.action == "change")
        return [each for each in files if self.removes_named_files or not each.is_named]


def _warned(result: Result, warnings: t.Sequence[str]) -> Result:
    return {**result, "warnings": [*result.get("warnings", ()), *warnings]} if warnings else result


def _made_later(roots: t.Iterable[str], policy: Policy, known: Known) -> list[str]:
    """Say which keys count as too young for ever, since a clock was ahead when they were made."""
    moment = now()
    young = [(name, known.opener(name)) for name in roots] if policy.since else []
    return [
        f"The key of {name}, {held.key_id}, counts as made at {held.entry.version.created}, which is to come: a clock "
        "was ahead. No moment makes it due until then; max_age_days: 0 replaces it."
        for name, held in young
        if held is not None and held.entry.version.created > moment
    ]


def _told(provided: Provided, known: Known, index: Index) -> Result:
    """Return a result with what became of every root: ids and times, never a key."""
    result = dict(provided.result)
    del result["receipts"]  # each is told with its root
    failures = dict(result.get("failures") or {})
    skipped = {name: _skipped(name, above) for above, each in failures.items() for name in each["skipped"]}
    for name, why in provided.problems.items():
        failures.setdefault(name, {"reason": "unknown", "msg": skipped.get(name, why), "skipped": []})
    for work in provided.work:
        if work.dataset in failures and work.held.at:
            failures[work.dataset] = {**failures[work.dataset], "key_id": work.known_as}
    done = [work for work in provided.work if work.dataset not in failures]
    rotated = [_row(work, known, index, provided.proven_at) for work in done if _is_rotated(work)]
    already = [work.dataset for work in done if not _is_rotated(work)]
    return {**result, "rotated": rotated, "already": already, "failures": failures}


def _is_rotated(work: Work) -> bool:
    """Tell whether a root gets another key, or an earlier run gave it one and did not get to note it."""
    return work.decision.action == "change" or (work.is_used_already and work.held.state == "pre-active")


def _skipped(name: str, above: str) -> str:
    return f"{name} was left alone, since {above} failed. Its new key stays in escrow; the next run goes on with it."


def _row(work: Work, known: Known, index: Index, proven_at: str) -> dict[str, t.Any]:
    version = work.kept.version
    roots = known.seen.roots
    before = _before(work, roots, index)
    return {
        "dataset": work.dataset,
        "old_key_id": None if before is None else str(before.key_id),
        "new_key_id": work.label,
        "keyguid": roots[work.dataset].keyguid,
        "keyformat": version.keyformat,
        "pbkdf2iters": version.iterations,
        "rotated_at": version.created,
        "verified_at": proven_at or None,
        "resumed": work.is_used_already or work.decision.begun is not None,
        "receipts": dict(work.receipts),
    }


def _before(work: Work, roots: t.Mapping[str, Root], index: Index) -> Held | None:
    """Return the version that a root had before; replaced by an earlier run, it may have become known to others."""
    if work.decision.action == "change":
        return work.decision.held
    used = (each for each in index.siblings(work.held) if each.state != "pre-active" and each.entry.bindings)
    own = (each for each in used if not is_of_a_copy(each, roots[work.dataset], roots))
    older = [each for each in own if age(each) < age(work.held)]
    return max(older, key=lambda each: (each.state == "active", age(each)), default=None)
