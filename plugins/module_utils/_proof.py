# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is claimed in the end was read again: a root counts as locked when its key is not in memory.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._errors import CallFailed
from ._plan import Outcome, Plan
from ._step import Step
from ._steps import CloseRoot, LoadKey, UnloadKey

_LOCKING = (UnloadKey, CloseRoot)

if t.TYPE_CHECKING:
    from ._host import Host


def prove_locked(plan: Plan, outcome: Outcome, host: Host) -> tuple[Plan, Outcome]:
    """Read by one call whether the roots that a run locked, or found locked, are; those that are not fail.

    Returns:
        The plan and the outcome without the claims that did not hold.
    """
    claimed = {*_locked(outcome.done), *plan.to_stay_locked}
    loaded = host.loaded(claimed) if claimed else frozenset()
    for name in sorted(loaded):
        outcome.fail(name, CallFailed(f"{name} is not locked: its key was loaded again meanwhile by somebody else."))
    outcome.done[:] = [step for step in outcome.done if not (isinstance(step, _LOCKING) and step.dataset in loaded)]
    open_still = loaded | {name for name in plan.to_stay_locked if name in outcome.failures}
    return replace(plan, already=tuple(name for name in plan.already if name not in open_still)), outcome


def _locked(done: t.Iterable[Step]) -> set[str]:
    """Return the roots whose key went out last."""
    last = {step.dataset: step for step in done if isinstance(step, (LoadKey, UnloadKey))}
    return {name for name, step in last.items() if isinstance(step, UnloadKey)}
