# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: having a host try what is in escrow on its encryption roots, and telling what came of it.

Nothing is changed, neither there nor in escrow. Private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..module_utils._choice import Choice
from ..module_utils._errors import Refused
from ._drilled import Drilled, Finding
from ._plan_drill import judge
from ._plan_escrow import Known
from ._trial import Result, Trial, failed


def drill(choice: Choice, trial: Trial, *, min_iterations: int, fail_on: t.Collection[str]) -> Result:
    """Drill the chosen roots, all of the host where none is named.

    Args:
        choice: the roots.
        trial: the host, and what is in escrow for it.
        min_iterations: how many PBKDF2 rounds are enough.
        fail_on: the kinds of findings that fail the task.

    Returns:
        What ``zfs_key_drill`` documents.

    Raises:
        Refused: a named pool is not there.
        HostFailed: the host could not be looked at, or knows no such root.
    """
    chosen = trial.seen({"names": list(choice.names), "recursive": choice.recursive} if choice.names else {})
    missing = choice.missing(chosen.pools)
    if missing:
        raise Refused(" ".join(missing))
    # All pools are looked at again: a dataset that was renamed out of what is chosen is not gone.
    known = trial.known(list(chosen.roots), (), {})
    drilled = Drilled(
        known,
        list(chosen.roots),
        choice,
        trial.index.all,
        trial.escrow.names,
        trial.escrow.readable,
        trial.unread,
        trial.disagreements,
        min_iterations,
    )
    return _told(drilled, judge(drilled), known, fail_on)


def _told(drilled: Drilled, findings: t.Sequence[Finding], known: Known, fail_on: t.Collection[str]) -> Result:
    failing = [each for each in findings if each.finding in fail_on]
    told: Result = {
        "changed": False,
        "drilled": len(drilled.roots),
        "opened": sum(known.opener(root.name) is not None for root in drilled.roots),
        "ok": sum(each.finding == "ok" for each in findings),
        "failing": len(failing),
        "findings": [dataclasses.asdict(each) for each in findings],
        "places": [{"name": name, "readable": name in drilled.readable} for name in drilled.places],
        **({"warnings": list(known.problems)} if known.problems else {}),
    }
    return failed(told, [each.msg for each in failing]) if failing else told
