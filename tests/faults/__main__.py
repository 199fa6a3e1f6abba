# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Die in the middle of changes of keys, wherever that may be, and look whether everything opens.

README.md says what is counted. The last line counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
import typing as t
from pathlib import Path

from . import controllers, cuts, machine, points
from .machine import Guest
from .points import Outcome

POINTS = 91
MOST_POINTS = 140
STATES = machine.CHECKOUT / ".testbed"


class Memory:
    """What came of all points of a seed, in a file, so that a run that was stopped is taken up again.

    Args:
        path: of the file; None where only some points are tried.
        is_new: whether what is there is forgotten.
    """

    def __init__(self, path: Path | None, *, is_new: bool) -> None:
        self._path = path
        self.outcomes: dict[str, Outcome] = {}
        if path is not None and path.exists() and not is_new:
            rows = json.loads(path.read_text(encoding="utf-8"))
            self.outcomes = {row["name"]: Outcome(**row) for row in rows}

    def add(self, outcome: Outcome) -> None:
        print(outcome.line(), flush=True)
        self.outcomes[outcome.name] = outcome
        if self._path is None:
            return
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps([each.as_json() for each in self.outcomes.values()], indent=1))
        unfinished.replace(self._path)

    def last_line(self) -> str:
        found = self.outcomes.values()
        survived = [each for each in found if each.is_in_flight and not each.troubles]
        return (
            f"faults: points={len(found)} in_flight={sum(each.is_in_flight for each in found)} survived={len(survived)}"
        )


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    STATES.mkdir(exist_ok=True)
    is_whole = not options.sample and {options.point, options.cut, options.death} == {None}
    memory = Memory(STATES / f"faults-{options.seed}.json" if is_whole else None, is_new=options.fresh)
    if is_whole and memory.outcomes:
        print(f"{len(memory.outcomes)} points of seed {options.seed} were tried before; --fresh tries them again")
    began = time.monotonic()
    try:
        if options.death is not None or (is_whole and options.deaths):
            _die_on_controllers(memory, options)
        if options.death is None:
            _use_machine(memory, options, is_whole=is_whole)
    except KeyboardInterrupt:
        print("faults: stopped. The next run goes on from here.")
        return 130
    print(f"seed={options.seed} seconds={time.monotonic() - began:.0f}")
    for outcome in memory.outcomes.values():
        if outcome.troubles:
            print(f'not survived: {outcome.line()}; again by ARGS="--seed {options.seed} {outcome.again}"')
    print(memory.last_line())
    return 1 if any(each.troubles for each in memory.outcomes.values()) else 0


def _use_machine(memory: Memory, options: argparse.Namespace, *, is_whole: bool) -> None:
    keep = options.keep or machine.is_running()
    try:
        machine.boot()
        with machine.guest() as guest:
            guest.ask("make_pool")
            if options.cut is None:
                _die_in_modules(guest, memory, options)
        if options.cut is not None or is_whole:
            _cut_power(memory, options)
    finally:
        if not keep:
            machine.discard()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="chooses the points")
    parser.add_argument("--point", type=int, help="only this one, again")
    parser.add_argument("--points", type=int, default=POINTS, help="in flight, of a module process")
    parser.add_argument("--death", type=int, help="only this one of a controller, again")
    parser.add_argument("--deaths", type=int, default=controllers.DEATHS, help="of a controller, in flight")
    parser.add_argument("--cut", type=int, help="only this power cut, again; its moment is not exactly the same")
    parser.add_argument("--cuts", type=int, default=cuts.CUTS, help="of the machine's power, in flight")
    parser.add_argument("--sample", action="store_true", help="only six points")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run of this seed did")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    return parser.parse_args()


def _die_in_modules(guest: Guest, memory: Memory, options: argparse.Namespace) -> None:
    stories: dict[str, points.Story] = {}
    for point in _chosen(options):
        if str(point) in memory.outcomes:
            continue
        if not options.sample and options.point is None and _in_flight(memory, str.isdigit) >= options.points:
            break
        work, turn = points.place_of(point)
        story = stories.setdefault(work.name, points.Story(work, options.seed))
        story.guest = guest
        call = story.call(turn)
        if call is not None:
            at_once = points.is_resumed_at_once(options.seed, point)
            memory.add(story.die_at(str(point), call, is_resumed_at_once=at_once))


def _die_on_controllers(memory: Memory, options: argparse.Namespace) -> None:
    for number, death in enumerate(controllers.deaths(options.seed)):
        name = f"death-{number}"
        if options.death not in (None, number) or name in memory.outcomes:
            continue
        if options.death is None and _in_flight(memory, lambda name: name.startswith("death-")) >= options.deaths:
            break
        memory.add(controllers.die(name, death))


def _cut_power(memory: Memory, options: argparse.Namespace) -> None:
    """Cut the power as often as is wanted while something is in flight."""
    story = cuts.story_of(options.seed)
    numbers: t.Iterable[int] = itertools.count() if options.cut is None else (options.cut,)
    for number in numbers:
        if options.cut is None and _in_flight(memory, lambda name: name.startswith("cut-")) >= options.cuts:
            break
        if f"cut-{number}" not in memory.outcomes:
            memory.add(cuts.cut(story, options.seed, number))


def _chosen(options: argparse.Namespace) -> t.Sequence[int]:
    if options.point is not None:
        return (options.point,)
    return points.SAMPLE if options.sample else range(MOST_POINTS)


def _in_flight(memory: Memory, counts: t.Callable[[str], bool]) -> int:
    return sum(each.is_in_flight for name, each in memory.outcomes.items() if counts(name))


if __name__ == "__main__":
    sys.exit(main())
