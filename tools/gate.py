"""Run every part of the gate, show its output, and count what was executed.

A part fails by its exit status, by a failed case, or by executing nothing. Parts that need a failed one are not run and
count as one failure each. The last line is the sum over all parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import tally
from tally import Tally

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "tests/output/gate"
# The CI job has an hour and a half. Stop a hanging part early enough to still say what failed.
GATE_SECONDS = 84 * 60
SUITE = "trixie"
SCENARIOS = ("lifecycle", "by_hand", "unlock_tree", "rotate_boot")
# A part's output goes to a file, and its colours would hide the lines that are counted.
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# An outer make would hand its command line variables and job server to the parts.
NOT_INHERITED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "FORCE_COLOR", "ANSIBLE_FORCE_COLOR", "PY_COLORS")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the gate. Without `count` it only prepares for others."""

    name: str
    argv: tuple[str, ...]
    minutes: int
    count: Callable[[str], Tally] | None = None
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    name: str
    tally: Tally
    seconds: float


class Running:
    """A started part. Its output goes to a file, since a machine that outlives it may keep its pipe open."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.started = time.monotonic()
        self.log = LOGS / f"{part.name}.log"
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                part.argv,
                cwd=ROOT,
                env={**environment, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, deadline: float) -> Outcome:
        """Show the output as it comes, until the part ends or its time is up."""
        deadline = min(deadline, self.started + self.part.minutes * 60)
        late = False
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                while self.process.poll() is None:
                    print(log.read(), end="", flush=True)
                    if time.monotonic() > deadline:
                        late = True
                        self.stop()
                    time.sleep(0.2)
                print(log.read(), end="", flush=True)
        finally:
            # Interrupted: the part is in a session of its own and would live on.
            self.stop()
        return Outcome(self.part.name, self._judge(late), time.monotonic() - self.started)

    def stop(self) -> None:
        """End the part and what it started in its session; it may use ten seconds to clean up."""
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _judge(self, late: bool) -> Tally:
        output = ANSI.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        counted = self.part.count(output) if self.part.count else Tally()
        failed = list(counted.failed)
        if late:
            failed.append("stopped: out of time")
        elif self.process.returncode != 0 and not failed:
            failed.append(f"exit status {self.process.returncode}")
        elif self.part.count and not counted.passed and not failed:
            failed.append("executed nothing")
        if counted.skipped:
            failed.append(f"{counted.skipped} skipped")
        return dataclasses.replace(counted, failed=tuple(failed))


def parts() -> list[Part]:
    unit, wire = LOGS / "unit.xml", LOGS / "wire.xml"
    return [
        Part("lint", ("make", "lint"), 8, tally.of_verdicts),
        Part("package", ("make", "package"), 5, tally.of_verdicts),
        Part("sanity", ("make", "sanity"), 12, tally.of_sanity),
        Part("unit", ("make", "unit", f"ARGS=--junitxml={unit}"), 15, lambda _output: tally.of_junit(unit)),
        Part("image", ("make", "image", f"SUITE={SUITE}"), 20),
        Part("conformance", ("make", "conformance", f"SUITE={SUITE}"), 45, tally.of_conformance, needs=("image",)),
        Part(
            "wire",
            ("make", "wire", f"ARGS=--junitxml={wire}"),
            10,
            lambda _output: tally.of_junit(wire),
            needs=("image",),
        ),
        Part("leaks", ("make", "leaks", "SHORT=1"), 20, tally.of_leaks, needs=("image",)),
        Part("faults", ("make", "faults", "SHORT=1"), 15, tally.of_faults, needs=("image",)),
        Part(
            "scenarios",
            ("make", "scenario", f"NAME={' '.join(SCENARIOS)}"),
            40,
            lambda output: tally.of_scenarios(output, SCENARIOS),
            needs=("image",),
        ),
    ]


def start(part: Part) -> Running | Outcome:
    try:
        return Running(part)
    except OSError as error:
        return Outcome(part.name, Tally(failed=(f"cannot start: {error}",)), 0)


def run_all(setup_seconds: float) -> t.Iterator[Outcome]:
    deadline = time.monotonic() + GATE_SECONDS - setup_seconds
    yield Outcome("setup", Tally(), setup_seconds)
    todo = parts()
    failed: set[str] = set()
    # The image takes longest, and half of that is waiting: the parts that need no machine run meanwhile.
    background = {part.name: start(part) for part in todo if part.name == "image"}
    try:
        for part in todo:
            print(f"\n==== {part.name}: {' '.join(part.argv)}", flush=True)
            missing = [name for name in part.needs if name in failed]
            if missing:
                outcome = Outcome(part.name, Tally(failed=(f"not run, needs {', '.join(missing)}",)), 0)
            else:
                started = background.get(part.name) or start(part)
                outcome = started.finish(deadline) if isinstance(started, Running) else started
            if outcome.tally.failed:
                failed.add(part.name)
            print(
                f"---- {part.name}: {'failed' if outcome.tally.failed else 'ok'}, {outcome.seconds:.0f} s", flush=True
            )
            yield outcome
    finally:
        for started in background.values():
            if isinstance(started, Running):
                started.stop()


def summary(outcomes: list[Outcome]) -> str:
    lines = [f"{'part':<12} {'result':<7} {'passed':>6} {'failed':>6} {'skipped':>7} {'seconds':>7}"]
    for outcome in outcomes:
        counted = outcome.tally
        result = "FAILED" if counted.failed else "ok"
        lines.append(
            f"{outcome.name:<12} {result:<7} {counted.passed:>6} {len(counted.failed):>6} {counted.skipped:>7}"
            f" {outcome.seconds:>7.0f}"
        )
    lines += [f"failed: {outcome.name}: {name}" for outcome in outcomes for name in outcome.tally.failed]
    passed = sum(outcome.tally.passed for outcome in outcomes)
    failed = sum(len(outcome.tally.failed) for outcome in outcomes)
    return "\n".join([*lines, f"{passed} passed, {failed} failed"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup-seconds", type=float, default=0)
    options = parser.parse_args()

    LOGS.mkdir(parents=True, exist_ok=True)
    for leftover in LOGS.iterdir():
        leftover.unlink()
    # A cancelled job still stops the image build and says what it knows.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(run_all(options.setup_seconds))
    except KeyboardInterrupt:
        outcomes.append(Outcome("gate", Tally(failed=("interrupted",)), 0))
    print(f"\n==== summary\n{summary(outcomes)}", flush=True)
    return 1 if any(outcome.tally.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
