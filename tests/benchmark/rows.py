# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, against what a person would type, and how much faster it has to be."""

from __future__ import annotations

import statistics
import typing as t
from dataclasses import dataclass

Side = t.Literal["reference", "ours"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: as ``ONLY`` and the last line call it.
        work: what is done.
        reference: what a person would type for it.
        goal: ``faster`` counts how many times faster than the reference, ``within`` how many times its time is taken.
        target: the number to be reached, or to be kept.
    """

    name: str
    work: str
    reference: str
    goal: t.Literal["faster", "within"]
    target: float

    def ratio(self, reference: float, ours: float) -> float:
        return reference / ours if self.goal == "faster" else ours / reference

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.target if self.goal == "faster" else ratio <= self.target


def rows(cores: int) -> tuple[Row, ...]:
    """Return all rows, in the order in which they are measured."""
    return (
        Row("unlock_keys", "unlock keyed roots", "zfs load-key -r", "faster", 8),
        Row("lock", "lock keyed roots", "zfs unload-key -r", "faster", 8),
        Row("verify", "verify keys", "a loop of zfs load-key -n", "faster", 50),
        Row("change", "change keys", "a loop of zfs change-key", "faster", 12),
        Row("mount", "mount the whole tree", "zfs mount -a", "faster", 1),
        Row("mount_half", "mount a chosen half", "a loop of zfs mount", "faster", 3),
        Row("unlock_passphrases", "unlock passphrase roots", "zfs load-key -r", "faster", 0.8 * cores),
        Row("unchanged", "second, unchanged run", "zfs get -r and a bare module", "within", 1.5),
        Row("playbook_first", "playbook, datasets made", "community.general.zfs in a loop", "faster", 8),
        Row("playbook_second", "playbook, nothing to do", "community.general.zfs in a loop", "faster", 40),
    )


# The last line, in its order; the other mount row is in the table only.
LAST_LINE = (
    "unlock_keys",
    "verify",
    "change",
    "lock",
    "unlock_passphrases",
    "mount",
    "unchanged",
    "playbook_first",
    "playbook_second",
)
# One more run of the unchanged row, in a process that can say where its time went; its seconds are of no row.
INSIDE = "unchanged_inside"
PLAYBOOKS = ("playbook_first", "playbook_second")


@dataclass(frozen=True)
class Calls:
    """All calls of one kind in one run of a module.

    Args:
        seconds: of all of them together, which is more than ``elapsed`` where they ran side by side.
        elapsed: from the beginning of the first to the end of the last.
    """

    kind: str
    count: int
    seconds: float
    elapsed: float
    threads: int


@dataclass(frozen=True)
class Profile:
    """Where the time of one run of a module went.

    Args:
        start_up: seconds from the start of the process to the first observation.
        work: seconds from the first observation to the end of the last call.
        calls: what was called.
        thinking: seconds of the work in which no call was under way: planning, and everything else in Python.
    """

    start_up: float
    work: float
    calls: tuple[Calls, ...]
    thinking: float


@dataclass(frozen=True)
class Sample:
    """One measurement of one side of a row."""

    row: str
    side: Side
    seconds: float
    profile: Profile | None = None


def median(samples: t.Iterable[Sample], row: str, side: Side) -> float | None:
    """Return the middle one of a side's times, None if it was not measured."""
    found = [sample.seconds for sample in samples if (sample.row, sample.side) == (row, side)]
    return statistics.median(found) if found else None
