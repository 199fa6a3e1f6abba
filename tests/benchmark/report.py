# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed in the end."""

from __future__ import annotations

import statistics
import typing as t

from .rows import INSIDE, LAST_LINE, Profile, Row, Sample, median

# The run whose profile says what a whole process or playbook spends in the module; the rest is Ansible's.
STANDS_FOR = {"unchanged": INSIDE, "playbook_second": INSIDE}


def table(chosen: t.Sequence[Row], samples: t.Sequence[Sample]) -> str:
    """Lay out the medians of both sides, the ratio and whether the target is met."""
    lines = [f"\n{'row':20}{'reference':>36}{'seconds':>9}{'ours':>9}{'ratio':>9}  target"]
    for row in chosen:
        reference, ours, ratio = _figures(row, samples)
        target = f"{'>=' if row.goal == 'faster' else '<='} {row.target:g}"
        verdict = "met" if row.is_met(ratio) else "not met"
        lines.append(f"{row.name:20}{row.reference:>36}{reference:9.2f}{ours:9.2f}{ratio:8.2f}x  {target}: {verdict}")
    verifying = [calls.elapsed for sample in samples if sample.row == "verify" for calls in _calls(sample, "verify")]
    if verifying:
        reference = median(samples, "verify", "reference") or 0.0
        alone = statistics.median(verifying)
        lines.append(f"The calls of verify alone, without the reading before: {alone:.2f} s, {reference / alone:.1f}x.")
    return "\n".join(lines)


def _calls(sample: Sample, kind: str) -> list[t.Any]:
    return [calls for calls in sample.profile.calls if calls.kind == kind] if sample.profile is not None else []


def _figures(row: Row, samples: t.Sequence[Sample]) -> tuple[float, float, float]:
    reference, ours = median(samples, row.name, "reference"), median(samples, row.name, "ours")
    if reference is None or ours is None:
        raise SystemExit(f"bench: {row.name} was not measured")
    return reference, ours, row.ratio(reference, ours)


def start_up(samples: t.Sequence[Sample], bare: float | None) -> str:
    """Say what starting costs, which only ``unchanged`` and the playbooks count."""
    ours = [sample.profile.start_up for sample in samples if sample.profile is not None]
    lines = []
    if ours:
        lines.append(f"start-up: {statistics.median(ours):.2f} s from the process to the first observation, compiled")
    if bare is not None:
        lines.append(f"start-up: {bare:.2f} s for a whole module that does nothing, as Ansible sends it")
    return "\n".join(lines)


def profiles(chosen: t.Sequence[Row], samples: t.Sequence[Sample]) -> str:
    """Say, for every target that is not met, where our time goes."""
    shown = []
    for row in chosen:
        name = STANDS_FOR.get(row.name, row.name)
        found = [sample.profile for sample in samples if sample.row == name and sample.profile is not None]
        if found and not row.is_met(_figures(row, samples)[2]):
            shown.append(profile_lines(row.name, sorted(found, key=lambda each: each.work)[len(found) // 2]))
    return "\n".join(shown)


def profile_lines(name: str, profile: Profile) -> str:
    """Say where the time of a run went."""
    lines = [f"\n{name}: {profile.work:.2f} s after {profile.start_up:.2f} s of start-up"]
    lines += [
        f"  {calls.kind:20}{calls.count:6} calls in {calls.threads:2} threads, "
        f"{calls.seconds:8.2f} s of calls in {calls.elapsed:7.2f} s"
        for calls in sorted(profile.calls, key=lambda each: -each.elapsed)
    ]
    lines.append(f"  {'planning and the rest':47}{profile.thinking:25.2f} s")
    return "\n".join(lines)


def last_line(chosen: t.Sequence[Row], samples: t.Sequence[Sample], n: int) -> str:
    ratios = {row.name: _figures(row, samples)[2] for row in chosen}
    words = [f"{name}={ratios[name]:.1f}x" for name in LAST_LINE if name in ratios]
    return f"bench: n={n} {' '.join(words)}"
