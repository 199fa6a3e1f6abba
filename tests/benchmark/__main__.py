# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what the modules do, against what a person would type, in one machine and one run.

The last line has the ratios; README.md says what they mean.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import typing as t
from pathlib import Path

from . import machine, playbooks
from .in_guest import unchanged_parameters
from .report import last_line, profiles, start_up, table
from .rows import PLAYBOOKS, Calls, Profile, Row, Sample, rows


def main() -> int:
    every = rows(machine.CPUS)
    options = _options([row.name for row in every])
    chosen = [row for row in every if row.name in (options.row or [row.name])]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep = options.keep or machine.is_running()
    try:
        machine.boot()
        with tempfile.TemporaryDirectory(prefix="zfsfleet-bench-") as scratch:
            samples, bare = _measure(options, chosen, Path(scratch))
    finally:
        if not keep:
            machine.discard()
    print(table(chosen, samples))
    print(start_up(samples, bare))
    print(profiles(chosen, samples))
    print(last_line(chosen, samples, options.n))
    return 0


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="encryption roots")
    parser.add_argument("--rounds", type=int, default=3, help="how often both sides take turns")
    parser.add_argument("--peer-n", type=int, help="datasets of the peer's playbook, scaled to N; N itself by default")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    parser.add_argument("row", nargs="*", metavar="ROW", help=f"only these of {', '.join(names)}")
    options = parser.parse_args()
    unknown = sorted({*options.row} - {*names})
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(names)}")
    return options


def _measure(options: argparse.Namespace, chosen: t.Sequence[Row], scratch: Path) -> tuple[list[Sample], float | None]:
    """Return all samples, and what it costs to start a module that does nothing."""
    names = [row.name for row in chosen]
    samples: list[Sample] = []
    bare: list[float] = []
    in_guest = [name for name in names if name not in PLAYBOOKS]
    if "unchanged" in names:
        machine.send_payload("bare", "bare", {}, scratch)
        machine.send_payload("unchanged", "zfs_dataset_key", unchanged_parameters(options.n), scratch)
    for line in machine.python("in_guest", str(options.rounds), str(options.n), *in_guest):
        found = json.loads(line)
        if "start_up" in found:
            bare.append(found["start_up"])
        else:
            samples.append(_told(_sample(found)))
    if any(name in PLAYBOOKS for name in names):
        peer_n = options.peer_n or options.n
        samples.extend(map(_told, playbooks.measure(options.n, peer_n, options.rounds, scratch)))
    return samples, statistics.median(bare) if bare else None


def _told(sample: Sample) -> Sample:
    print(f"{sample.row:20}{sample.side:10}{sample.seconds:8.2f} s", flush=True)
    return sample


def _sample(found: dict[str, t.Any]) -> Sample:
    profile = found.pop("profile")
    if profile is not None:
        profile["calls"] = tuple(Calls(**each) for each in profile["calls"])
        profile = Profile(**profile)
    return Sample(profile=profile, **found)


if __name__ == "__main__":
    sys.exit(main())
