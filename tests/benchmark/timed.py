# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process, inside the machine, with a watch before the real host.

    python3 -m ...tests.benchmark.timed MODULE < ARGUMENTS

The arguments are JSON, and so is what comes out: the module's result and where its time went. The module is the
product's own, whole: only the host that it asks is stood before, as the unit tests do with the fake.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import sys
import threading
import time
import typing as t

from ansible.module_utils import basic

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _edge
from ansible_collections.zfsfleet.encryption.plugins.module_utils._openzfs import OpenZFS

from .rows import Calls, Profile

MODULES = "ansible_collections.zfsfleet.encryption.plugins.modules"


@dataclasses.dataclass(frozen=True)
class Call:
    kind: str
    began: float
    ended: float
    thread: int


class Watch:
    """Stands before a host and notes every call that it passes on."""

    def __init__(self, host: OpenZFS) -> None:
        self._host = host
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> t.Any:
        call = getattr(self._host, name)
        if not callable(call):
            return call

        def noted(*args: t.Any, **kwargs: t.Any) -> t.Any:
            began = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self.calls.append(Call(name, began, time.monotonic(), threading.get_ident()))

        return noted


def main() -> None:
    module = importlib.import_module(f"{MODULES}.{sys.argv[1]}")
    watch = Watch(OpenZFS())
    vars(_edge)["OpenZFS"] = lambda: watch
    basic._ANSIBLE_PROFILE = "legacy"
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.load(sys.stdin)}).encode()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        module.main()
    result = json.loads(printed.getvalue())
    result.pop("invocation", None)
    print(json.dumps({"result": result, "profile": dataclasses.asdict(profile(watch.calls))}))


def profile(calls: t.Sequence[Call]) -> Profile:
    """Sum up calls by kind, and say for how long none was under way."""
    if not calls:
        return Profile(0, 0, (), 0)
    began, ended = min(call.began for call in calls), max(call.ended for call in calls)
    by_kind: dict[str, list[Call]] = {}
    for call in calls:
        by_kind.setdefault(call.kind, []).append(call)
    sums = tuple(_sum(kind, each) for kind, each in by_kind.items())
    return Profile(began - _process_start(), ended - began, sums, ended - began - _covered(calls))


def _sum(kind: str, calls: t.Sequence[Call]) -> Calls:
    seconds = sum(call.ended - call.began for call in calls)
    elapsed = max(call.ended for call in calls) - min(call.began for call in calls)
    return Calls(kind, len(calls), seconds, elapsed, len({call.thread for call in calls}))


def _covered(calls: t.Iterable[Call]) -> float:
    """Return the seconds in which at least one call was under way."""
    total = reached = 0.0
    for call in sorted(calls, key=lambda call: call.began):
        total += max(0.0, call.ended - max(call.began, reached))
        reached = max(reached, call.ended)
    return total


def _process_start() -> float:
    """Return when this process began, on the clock of ``time.monotonic`` (proc(5): the 22nd field, in ticks)."""
    with open("/proc/self/stat", encoding="ascii") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic() - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    main()
