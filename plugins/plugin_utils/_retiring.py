# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying replaced keys, after the host was asked what they and their successors open. Private to the collection."""

from __future__ import annotations

import typing as t

from ..module_utils._errors import EncryptionError
from ..module_utils._keys import Key
from ._backend import BackendFailed
from ._escrow import Held, PartlyDestroyed
from ._evidence import NotRecorded
from ._plan_retirement import Judged, Retention, judge, kept_for_number, old_versions, roots_of, successors_of
from ._record import KeyId
from ._seen import Root, Seen
from ._trial import Result, Trial, failed, version_failures

Announce = t.Callable[[Held], None]
"""Told of each version that is about to be destroyed; raises NotRecorded where that could not be written down."""


def retire(trial: Trial, retention: Retention, announce: Announce, *, check: bool) -> Result:
    """Destroy what is due and needed by nothing.

    Returns:
        What was destroyed and what was kept, and why.

    Raises:
        HostFailed: the host could not be looked at.
    """
    old = old_versions(trial.index, retention)
    if not old:
        return _told(trial, [], {})
    seen = trial.look((), {})
    kept = kept_for_number(trial.index, seen, retention)
    due = [held for held in old if held.key_id not in kept]
    if not due:
        return _told(trial, [], {})
    known = trial.known(list(seen.roots), (), {})
    strangers = [root for root in seen.roots.values() if known.opener(root.name) is None]
    candidates = _candidates(due, trial, seen, strangers)
    if candidates:
        seen = trial.look((), candidates)
    judged = [_judged(held, trial, judge(held, trial.index, seen, strangers, retention)) for held in due]
    problems: dict[KeyId, EncryptionError] = {}
    for each in judged:
        if each.kept_because is None and not check:
            try:
                announce(each.held)
                trial.escrow.destroy(each.held)
            except (BackendFailed, NotRecorded) as error:
                problems[each.held.key_id] = error
    return _told(trial, judged, problems)


def _candidates(
    due: t.Sequence[Held], trial: Trial, seen: Seen, strangers: t.Sequence[Root]
) -> dict[str, list[tuple[str, Key]]]:
    """Return the keys to try on each root: all that are due, those that took their place, and what it says it has.

    A root that nothing in escrow opens may have any key: a child that was sent by itself has its root's.
    """
    successors = {each.key_id: each for held in due for each in successors_of(held, trial.index)}
    candidates: dict[str, list[tuple[str, Key]]] = {}
    for held in (*due, *successors.values()):
        for root in (*roots_of(held, trial.index, seen), *strangers):
            tried = candidates.setdefault(root.name, [])
            noted = trial.index.noted_on(root)
            tried += [each for each in trial.candidates([held]) if each not in tried]
            tried += [each for each in trial.candidates([noted] if noted else []) if each not in tried]
    return candidates


def _judged(held: Held, trial: Trial, judged: Judged) -> Judged:
    """Keep what could not be read everywhere alike: its copies may be different keys, and one of them the right one."""
    if str(held.key_id) in trial.disagreements or not trial.ids(held) or trial.unread.get(str(held.key_id)):
        return Judged(held, "its copies differ or cannot be read")
    if trial.escrow.silent:
        return Judged(held, f"{', '.join(trial.escrow.silent)} could not be read and may hold it too")
    return judged


def _told(trial: Trial, judged: t.Sequence[Judged], problems: t.Mapping[KeyId, EncryptionError]) -> Result:
    gone = [each.held for each in judged if each.kept_because is None and each.held.key_id not in problems]
    destroyed = [_version(held) for held in gone]
    kept = [{**_version(each.held), "why": each.kept_because} for each in judged if each.kept_because is not None]
    left = (each.held for each in judged if each.held.key_id in problems)
    failures = {held.key_id: (held.entry.version.dataset, str(problems[held.key_id])) for held in left}
    warnings = list(dict.fromkeys([*trial.disagreements.values(), *trial.escrow.problems]))
    result: Result = {
        "changed": bool(destroyed) or any(isinstance(error, PartlyDestroyed) for error in problems.values()),
        "destroyed": destroyed,
        "kept": kept,
        "failures": version_failures(failures),
        "actions": [{"dataset": each["dataset"], "action": "destroy_key", "after": each} for each in destroyed],
        **({"warnings": warnings} if warnings else {}),
    }
    return failed(result, [str(error) for error in problems.values()]) if problems else result


def _version(held: Held) -> dict[str, t.Any]:
    entry = held.entry
    told = {"key_id": str(held.key_id), "dataset": entry.version.dataset, "state": entry.state}
    return {**told, "created": entry.version.created, "since": entry.since}
