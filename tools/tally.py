"""Count what a part of the gate executed, from the output and the report it leaves behind."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from xml.etree import ElementTree as ET

if t.TYPE_CHECKING:
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Tally:
    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: int = 0


def of_verdicts(output: str) -> Tally:
    """One case a check, from the lines of tools/verdicts.py."""
    verdicts = re.findall(r"^(ok  |FAIL) (.+) \([\d.]+ s\)$", output, re.MULTILINE)
    return Tally(
        passed=sum(verdict == "ok  " for verdict, _name in verdicts),
        failed=tuple(name for verdict, name in verdicts if verdict == "FAIL"),
    )


def of_sanity(output: str) -> Tally:
    """One case a sanity test and Python version; what ansible-test skips, it does not announce as running."""
    executed = re.findall(r'^Running sanity test "(.+)$', output, re.MULTILINE)
    summary = re.search(r"^FATAL: The \d+ sanity test\(s\) listed below .*\n((?:[a-z].*\n?)+)", output, re.MULTILINE)
    if summary:
        # What follows the summary may be make's own complaint.
        failed = tuple(line for line in summary[1].splitlines() if not line.startswith("make"))
    elif executed and re.search(r"^FATAL: ", output, re.MULTILINE):
        # A test that crashes ends the run without a summary.
        failed = (executed[-1].replace('"', "") + " crashed",)
    else:
        failed = ()
    return Tally(passed=max(0, len(executed) - len(failed)), failed=failed)


def of_junit(report: Path) -> Tally:
    """One case a test, from pytest's JUnit report."""
    if not report.exists():
        return Tally()
    passed, skipped, failed = 0, 0, []
    for case in ET.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed += 1
    return Tally(passed, tuple(failed), skipped)


def of_conformance(output: str) -> Tally:
    """The closing line's numbers; names of failures as far as pytest's summary has them."""
    closing = re.findall(r"^conformance: .*\bpassed=(\d+) failed=(\d+) skipped=(\d+)", output, re.MULTILINE)
    if not closing:
        return Tally()
    passed, failures, skipped = map(int, closing[-1])
    named = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)[:failures]
    unnamed = [f"statement {number}" for number in range(len(named) + 1, failures + 1)]
    return Tally(passed, (*named, *unnamed), skipped)


def of_leaks(output: str) -> Tally:
    """One case a planted leak that had to be found; each leak of the product is a failure."""
    closing = re.findall(r"^leaks: canaries=\d+ places=\d+ planted=(\d+) found=(\d+) hits=(\d+)$", output, re.MULTILINE)
    if not closing:
        return Tally()
    planted, found, hits = map(int, closing[-1])
    # A case that did not end as it should has a line, too, and no number.
    named = {kind: re.findall(rf"^({kind}: .+)$", output, re.MULTILINE) for kind in ("unlike", "missed", "hit")}
    counted = {"missed": planted - found, "hit": hits}
    unnamed = [f"{kind} {number}" for kind in counted for number in range(len(named[kind]) + 1, counted[kind] + 1)]
    return Tally(passed=found, failed=(*named["unlike"], *named["missed"], *named["hit"], *unnamed))


def of_faults(output: str) -> Tally:
    """One case a point that was survived; one at which nothing was in flight proves nothing."""
    closing = re.findall(r"^faults: points=\d+ in_flight=(\d+) survived=(\d+)$", output, re.MULTILINE)
    if not closing:
        return Tally()
    in_flight, survived = map(int, closing[-1])
    named = re.findall(r"^not survived: (.+)$", output, re.MULTILINE)
    unnamed = [f"point {number}" for number in range(len(named) + 1, in_flight - survived + 1)]
    return Tally(passed=survived, failed=(*named, *unnamed))


def of_scenarios(output: str, names: t.Sequence[str]) -> Tally:
    """One case a step that had a playbook; a scenario without any step has failed."""
    # Molecule repeats these lines, without the level, in its closing report, which a stopped run does not reach.
    line = re.compile(r"^(?:INFO|WARNING|ERROR|CRITICAL) +\[?(\S+) [➜>] (\w+)[\]:]+ Executed: (\w+)", re.MULTILINE)
    steps = [(scenario, step, outcome) for scenario, step, outcome in line.findall(output) if outcome != "Missing"]
    idle = [f"{name}: no step ran" for name in names if name not in {scenario for scenario, _step, _outcome in steps}]
    return Tally(
        # `default` only creates and destroys the machines: nothing to be proud of, but worth naming when it fails.
        passed=sum(outcome == "Successful" and scenario != "default" for scenario, _step, outcome in steps),
        failed=tuple([f"{scenario} {step}" for scenario, step, outcome in steps if outcome != "Successful"] + idle),
    )
