# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points at which a module process dies: which, and what has to be so afterwards."""

from __future__ import annotations

import random
import time
import typing as t
from dataclasses import asdict, dataclass, field

from .machine import Guest, Trouble
from .trace import Call
from .works import WORKS, Escrow, Secret, Work, arguments, key_id

SAMPLE = (0, 1, 7, 8, 14, 15)  # of the first two works, three each
AT_ONCE = 3  # of so many points one is resumed before anything else is done


@dataclass
class Outcome:
    """What came of a point.

    Args:
        name: of the point.
        what: was done there.
        is_in_flight: whether something was under way when it died.
        troubles: what should not be, none if it was survived.
        seconds: that it took.
    """

    name: str
    what: str
    is_in_flight: bool = False
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def again(self) -> str:
        """Return the option that tries it again."""
        kind, _dash, number = self.name.rpartition("-")
        return f"--{kind or 'point'} {number}"

    def line(self) -> str:
        end = "; ".join(self.troubles) or ("survived" if self.is_in_flight else "not in flight")
        return f"{self.name}: {self.what}: {end} ({self.seconds:.0f} s)"

    def as_json(self) -> dict[str, t.Any]:
        return asdict(self)


def order(window: t.Sequence[Call], chance: random.Random) -> list[Call]:
    """Return the calls of a window in the order in which they are tried: all kinds take turns, each at random."""
    kinds: dict[str, list[Call]] = {}
    for call in window:
        kinds.setdefault(call.kind, []).append(call)
    for calls in kinds.values():
        chance.shuffle(calls)
    names = sorted(kinds)
    chance.shuffle(names)
    # Those that change something come first, whatever chance says.
    names.sort(key=lambda name: name not in ("ZFS_IOC_CHANGE_KEY", "fsync"))
    longest = max(map(len, kinds.values()), default=0)
    return [kinds[name][turn] for turn in range(longest) for name in names if turn < len(kinds[name])]


class Story:
    """A work in the machine, with the keys of its roots and the checksums of its content."""

    def __init__(self, work: Work, seed: int) -> None:
        self.guest: Guest | None = None
        self.work = work
        self._seed = seed
        self._escrow = Escrow()
        self._contents: dict[str, str] = {}
        self._calls: list[Call] = []
        self._is_made = False

    def call(self, turn: int) -> Call | None:
        """Return the system call of a turn, None if there are less of them."""
        self.begin()
        if not self._calls:
            self._calls = order(self._undisturbed(), random.Random(f"{self._seed} {self.work.name}"))
        return self._calls[turn] if turn < len(self._calls) else None

    def begin(self) -> None:
        """Make what the work is about, where it is not there or something was wrong with it."""
        if self._is_made:
            return
        self._escrow = Escrow()
        keys = {root.name: self._escrow.mint(root) for root in self.work.roots}
        self._contents = self._ask("make", keys=keys)
        self._is_made = True

    def forget(self) -> None:
        """Begin anew the next time, whatever is there now."""
        self._is_made = False

    def _ask(self, do: str, **request: t.Any) -> t.Any:
        assert self.guest is not None
        return self.guest.ask(do, work=self.work.name, **request)

    def change(self) -> dict[str, t.Any]:
        """Return what a change of all keys is asked for with, after its keys came into escrow."""
        for root in self.work.roots:
            if root.is_changed:
                self._escrow.mint(root)
        return {"work": self.work.name, "arguments": arguments(self.work, self._escrow)}

    def newest(self, name: str) -> Secret:
        """Return the key that a root is to have."""
        return self._escrow.newest(next(root for root in self.work.roots if root.name == name))

    def _undisturbed(self) -> list[Call]:
        self._ask("prepare")
        found = self._ask("trace", arguments=self.change()["arguments"])
        _insist_on(found["result"], is_changed=True)
        self._check_done()
        return [Call(*row) for row in found["window"]]

    def die_at(self, name: str, call: Call, *, is_resumed_at_once: bool) -> Outcome:
        """Let a change die before a call, look whether all can be opened, and finish it."""
        began = time.monotonic()
        outcome = Outcome(name, f"{self.work.name}, {call.kind} ({call.name}:when={call.number})")
        try:
            self._ask("prepare")
            killed = self._ask("kill", arguments=self.change()["arguments"], at=[call.name, call.number])
            outcome.is_in_flight = killed["is_in_flight"]
            opening = self.find_keys()
            if not is_resumed_at_once:
                self.reopen(opening)
                if self.work.is_locked:
                    self._ask("prepare")
            self.finish()
            if is_resumed_at_once:
                self.reopen(self.find_keys())
        except Trouble as trouble:
            outcome.troubles.append(str(trouble))
            self.forget()
        outcome.seconds = time.monotonic() - began
        return outcome

    def find_keys(self) -> dict[str, Secret]:
        """Return the key that opens each root, by ``zfs load-key -n``."""
        return {name: key for name, (key, _mark) in self._found().items()}

    def _found(self) -> dict[str, tuple[Secret, str]]:
        """Return, by root, the key that opens it and the id that it is marked with."""
        candidates = {root.name: self._escrow.candidates(root) for root in self.work.roots}
        found = self._ask("find_keys", candidates=candidates)
        return {name: (candidates[name][-number], mark) for name, (number, mark) in found.items() if number}

    def reopen(self, keys: t.Mapping[str, Secret]) -> None:
        """Lock all, open it with these keys, and compare what is in it with what was written."""
        self._ask("reopen", keys=keys, contents=self._contents)

    def finish(self) -> None:
        """The same call again ends what was begun, and once more finds nothing to do."""
        given = arguments(self.work, self._escrow)
        first = self._ask("run", arguments=given)
        _insist_on(first)
        _insist_on(self._ask("run", arguments=given), is_changed=False)
        self._check_done()

    def _check_done(self) -> None:
        found = self._found()
        for root in self.work.roots:
            if not root.is_changed:
                continue
            key, mark = found.get(root.name, ({}, ""))
            if key != self._escrow.newest(root):
                raise Trouble(f"{root.name} does not have its new key though the run says so")
            if mark != key_id(key):
                raise Trouble(f"{root.name} is not marked with the id of its key")


def _insist_on(result: t.Mapping[str, t.Any], *, is_changed: bool | None = None) -> None:
    if result.get("failed") or result.get("failures"):
        raise Trouble(f"the module fails: {result.get('msg')}")
    if is_changed is not None and result["changed"] != is_changed:
        raise Trouble(f"changed is {result['changed']}: {result['actions']}")


def place_of(point: int) -> tuple[Work, int]:
    """Return the work of a point, and which of its calls it is."""
    return WORKS[point % len(WORKS)], point // len(WORKS)


def is_resumed_at_once(seed: int, point: int) -> bool:
    return random.Random(f"{seed} at once {point}").randrange(AT_ONCE) == 0
