# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate counts."""

from __future__ import annotations

import pytest
import tally
from tally import Tally

SEARCHED = "argument    1234 items      5.1 MiB  planted   3  found   3\n"
HIT = "hit: key pool: journal, journalctl -o export, as digits: text"
UNLIKE = "unlike: 4, zfs_unlock, refused, pipelining configured"
MISSED = "missed: planted 4, journal in journal"


@pytest.mark.parametrize(
    ("output", "counted"),
    [
        pytest.param(
            f"{SEARCHED}leaks: canaries=28 places=15 planted=40 found=40 hits=0\n", Tally(passed=40), id="sound"
        ),
        pytest.param(
            f"{UNLIKE}\n{MISSED}\n{HIT}\nleaks: canaries=28 places=15 planted=40 found=39 hits=1\n",
            Tally(passed=39, failed=(UNLIKE, MISSED, HIT)),
            id="blind, and a leak",
        ),
        pytest.param(
            "leaks: canaries=28 places=15 planted=40 found=38 hits=1\n",
            Tally(passed=38, failed=("missed 1", "missed 2", "hit 1")),
            id="nothing has a name",
        ),
        pytest.param("leaks: seed 4; the story did not end well\n", Tally(), id="ended early"),
    ],
)
def test_each_leak_is_counted(output: str, counted: Tally) -> None:
    assert tally.of_leaks(output) == counted


@pytest.mark.parametrize(
    ("output", "counted"),
    [
        pytest.param("faults: points=7 in_flight=6 survived=6\n", Tally(passed=6), id="sound"),
        pytest.param(
            "not survived: 3: tree, fsync: no key opens it\nfaults: points=6 in_flight=6 survived=4\n",
            Tally(passed=4, failed=("3: tree, fsync: no key opens it", "point 2")),
            id="two are lost",
        ),
        pytest.param("faults: tests/testbed/vm start failed\n", Tally(), id="ended early"),
    ],
)
def test_each_survived_point_is_counted(output: str, counted: Tally) -> None:
    assert tally.of_faults(output) == counted
