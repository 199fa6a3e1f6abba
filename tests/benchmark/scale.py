# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of many datasets: how long each step takes, and whether any step takes longer than it should.

Every step is taken with a quarter of the datasets, too. The last line has the seconds with all of them, and the
steepest growth: the power of the number of datasets that a step's time grows with, 1 where it is proportional.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys

from . import machine
from .report import profile_lines
from .rows import Calls, Profile

STEEPEST = 1.5  # a quadratic step is at 2
SHORT = 1.0  # seconds; what is over so soon grows by chance


def main() -> int:
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="datasets")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    options = parser.parse_args()
    sizes = (options.n // 4, options.n)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep = options.keep or machine.is_running()
    found: dict[str, dict[int, Profile]] = {}
    try:
        machine.boot()
        for line in machine.python("large", *map(str, sizes)):
            step = json.loads(line)
            calls = tuple(Calls(**each) for each in step["profile"].pop("calls"))
            profile = Profile(calls=calls, **step["profile"])
            found.setdefault(step["step"], {})[step["size"]] = profile
            print(f"{step['size']:6} datasets  {step['step']:12}{profile.work:8.1f} s", flush=True)
    finally:
        if not keep:
            machine.discard()
    return report(found, *sizes)


def report(found: dict[str, dict[int, Profile]], few: int, many: int) -> int:
    for name, profiles in found.items():
        print(profile_lines(name, profiles[many]))
        before = {calls.kind: calls.elapsed for calls in profiles[few].calls}
        for calls in profiles[many].calls:
            steepness = growth(before.get(calls.kind, 0.0), calls.elapsed, many / few)
            if steepness > STEEPEST:
                print(
                    f"  {calls.kind} took {before.get(calls.kind, 0.0):.1f} s with {few}: it grows by {steepness:.2f}"
                )
    grown = {name: growth(profiles[few].work, profiles[many].work, many / few) for name, profiles in found.items()}
    print(f"\n{'step':12}{few:>8}{many:>8}  growth")
    for name, profiles in found.items():
        print(f"{name:12}{profiles[few].work:8.1f}{profiles[many].work:8.1f}  {grown[name]:.2f}")
    steepest = max(grown.values())
    seconds = " ".join(f"{name}={profiles[many].work:.1f}s" for name, profiles in found.items())
    print(f"scale: n={many} {seconds} steepest={steepest:.2f}")
    return 1 if steepest > STEEPEST else 0


def growth(few: float, many: float, factor: float) -> float:
    """Return the power of the number of datasets by which a time grows."""
    return math.log(max(many, SHORT) / max(few, SHORT)) / math.log(factor)


if __name__ == "__main__":
    sys.exit(main())
