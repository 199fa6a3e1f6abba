# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strace wrote of one process: which calls it made, in which of them it was about to change something."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

# A run that found something to do loads the part of the product that changes a host. Before, it only reads.
BEGIN = re.compile(r"openat\([^\"]*\"[^\"]*/_carry_out\.")
END = "write(1,"  # the result
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)")
_REQUEST = re.compile(r"\d+, (\w+)")
# The interpreter's own business with its memory, whose number depends on what lay there before.
UNCOUNTED = frozenset(
    {"mmap", "munmap", "mremap", "mprotect", "brk", "madvise", "futex", "rt_sigaction", "rt_sigprocmask"}
)


@dataclass(frozen=True)
class Call:
    """A system call.

    Args:
        name: of it.
        number: how many of that name there were, this one included.
        kind: its name, or what is asked of a driver.
        text: its arguments, as strace shows them.
    """

    name: str
    number: int
    kind: str
    text: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Trace:
    """The calls of a process.

    Args:
        calls: all of them.
        begin: the first one that belongs to a change; None if it came to none.
        was_killed: whether the last one was the end of it.
    """

    calls: tuple[Call, ...]
    begin: int | None
    end: int | None
    was_killed: bool

    @property
    def window(self) -> list[Call]:
        """Return the calls from the begin of the change to the result, at which a process may be killed."""
        if self.begin is None or self.end is None:
            return []
        return [call for call in self.calls[self.begin : self.end + 1] if call.name not in UNCOUNTED]

    @property
    def is_in_flight(self) -> bool:
        """Tell whether the process died between its begin of a change and its result."""
        return self.was_killed and self.begin is not None and (self.end is None or self.end == len(self.calls) - 1)


def parsed(text: str, pid: int) -> Trace:
    """Read what strace wrote about a process."""
    calls: list[Call] = []
    counts: dict[str, int] = {}
    begin = end = None
    was_killed = False
    for line in text.splitlines():
        was_killed = was_killed or re.match(rf"{pid} +\+\+\+ killed by SIGKILL", line) is not None
        match = _CALL.match(line)
        if not match or int(match[1]) != pid:
            continue
        name = match[2]
        counts[name] = counts.get(name, 0) + 1
        request = _REQUEST.match(match[3]) if name == "ioctl" else None
        calls.append(Call(name, counts[name], request[1] if request else name, match[3]))
        if begin is None and BEGIN.match(line[match.start(2) :]):
            begin = len(calls) - 1
        if line[match.start(2) :].startswith(END):
            end = len(calls) - 1
    return Trace(tuple(calls), begin, end, was_killed)


def as_rows(calls: t.Iterable[Call]) -> list[list[t.Any]]:
    return [[call.name, call.number, call.kind] for call in calls]
