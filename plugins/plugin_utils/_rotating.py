# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotating keys: what is in escrow is tried, what is due is planned, and the roots get keys that escrow gave back.

All roots of a host take a constant number of modules: two that look, one that rehearses, one that changes, one that
proves. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils._choice import Choice, missing_pool
from ..module_utils._errors import Refused
from ..module_utils._keyfiles import versioned
from ._key_task import Assigned
from ._plan_escrow import Known, new_format
from ._plan_rotation import Policy, plan_rotation
from ._providing import Provided, Providing, Work
from ._seen import Root
from ._trial import Ask, Result, Trial, text
from ._wish import Wish

_DATASET_KEY = "zfsfleet.encryption.zfs_dataset_key"
_FILE = "ansible.builtin.file"

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
        entries = [self._entry(wish, keys[wish.dataset]) for wish in self.wishes if keys[wish.dataset].version]
        if not entries:
            return {"changed": False, "actions": []}
        return ask(_DATASET_KEY, {"datasets": entries, "update_key": "always"}, check=check)

    def _entry(self, wish: Wish, assigned: Assigned) -> dict[str, t.Any]:
        root = self.roots[wish.dataset]
        keyformat, iterations = new_format(wish, root)
        rounds = {"pbkdf2iters": iterations} if iterations else {}
        current = {} if assigned.current is None else {"current": text(assigned.current)}
        file = {} if root.key_file is None else {"key_file": versioned(root.key_file, assigned.version)}
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
        keeps_files: whether files that hold old keys stay on the host.
    """

    choice: Choice
    options: Options
    policy: Policy
    hierarchy: str | None
    keeps_files: bool

    def carry_out(self, trial: Trial, *, check: bool) -> Result:
        """Rotate what is due, or foretell it.

        Raises:
            Refused: nothing was changed anywhere; the sentences say why.
            BackendFailed: nothing was changed on the host.
            HostFailed: the host could not be looked at, or its module refused, before anything was changed.
        """
        seen = trial.seen(self.options)
        missing = [missing_pool(pool) for pool in self.choice.pools if pool not in seen.pools]
        strange = sorted(self.policy.given.keys() - seen.roots.keys())
        if strange:
            missing.append(f"new_keys names {', '.join(strange)}, which was not chosen. Name it, or leave its key out.")
        if missing:
            raise Refused(" ".join(missing))
        roots, pools = list(seen.roots), self.choice.pools or tuple(sorted(seen.pools))
        known = trial.known(roots, pools, self.policy.given) if roots else Known(seen)
        known = trial.with_siblings(known, self.policy.states)
        wishes = plan_rotation(self.policy, roots, known)
        task = _Rotation(wishes, known.seen.roots, pools, self.hierarchy)
        providing = Providing(task, trial, lambda _files: {})
        provided = providing.foresee(known) if check else providing.carry_out(known)
        result = _told(provided, known)
        return result if check or self.keeps_files else _without_old_files(result, provided, trial)


def _told(provided: Provided, known: Known) -> Result:
    """Return a result with what became of every root: ids and times, never a key."""
    result = provided.result
    failures = dict(result.get("failures") or {})
    for name, why in provided.problems.items():
        failures.setdefault(name, {"reason": "unknown", "msg": why, "skipped": []})
    rotated = [_row(work, known) for work in provided.work if _is_rotated(work) and work.dataset not in failures]
    already = [work.dataset for work in provided.work if not _is_rotated(work) and work.dataset not in failures]
    return {**result, "rotated": rotated, "already": already, "failures": failures}


def _is_rotated(work: Work) -> bool:
    """Tell whether a root gets another key, or an earlier run gave it one and did not get to note it."""
    return work.decision.action == "change" or (work.is_used_already and work.held.state == "pre-active")


def _row(work: Work, known: Known) -> dict[str, t.Any]:
    version = work.kept.version
    before = work.decision.held if work.decision.action == "change" else _predecessor(work, known)
    return {
        "dataset": work.dataset,
        "old_key_id": None if before is None else str(before.key_id),
        "new_key_id": work.label,
        "keyguid": known.seen.roots[work.dataset].keyguid,
        "keyformat": version.keyformat,
        "pbkdf2iters": version.iterations,
        "rotated_at": version.created,
        "resumed": work.is_used_already or work.decision.begun is not None,
        "receipts": dict(work.receipts),
    }


def _predecessor(work: Work, known: Known) -> t.Any:
    older = [each for each in known.index.siblings(work.held) if each.state == "active"]
    return older[-1] if older else None


def _without_old_files(result: Result, provided: Provided, trial: Trial) -> Result:
    """Remove the files of keys that were replaced, once nothing on the host is opened by them any more.

    The old key was read from escrow in this run, the new one is active there, and the host proved that it opens the
    root; then the file that held the old one is only a copy that somebody could find.
    """
    rotated = {row["dataset"] for row in result["rotated"]}
    old = {
        work.dataset: work.decision.root.key_file
        for work in provided.work
        if work.decision.action == "change"
        and work.dataset in rotated
        and work.decision.root is not None
        and work.decision.root.key_file is not None
    }
    if not old:
        return result
    in_use = {root.key_file for root in trial.look((), {}).roots.values()}
    removed: list[str] = []
    problems: list[str] = []
    for path in dict.fromkeys(old.values()):
        if path in in_use:
            continue
        outcome = trial.ask(_FILE, {"path": path, "state": "absent"})
        if outcome.get("failed"):
            problems.append(f"The key file {path}, whose key was replaced, could not be removed: {outcome.get('msg')}")
        else:
            removed.append(path)
    told = {**result, "removed_files": removed}
    return {**told, "warnings": [*result.get("warnings", ()), *problems]} if problems else told
