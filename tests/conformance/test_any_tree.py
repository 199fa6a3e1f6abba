# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any tree and any request: check mode foretells, refusals change nothing, a second run neither,
and what was locked opens again.
"""

from __future__ import annotations

import collections

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.any_tree import AnyTree
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

TREES = {"fake": 40, "pyzfs": 6, "cli": 2}
AT_ONCE = 10  # from then on hypothesis makes most trees of parts of those before; the first is always the simplest
STEPS = {"fake": 20, "pyzfs": 12, "cli": 12}


@pytest.mark.any_binding
def test_any_tree_under_any_calls(world: World, host: Host, binding: str, pytestconfig: pytest.Config) -> None:
    tally: collections.Counter[str] = collections.Counter()

    class Machine(AnyTree):
        def __init__(self) -> None:
            super().__init__(world, host, tally)

    number = pytestconfig.getoption("--tree-seed")
    examples = pytestconfig.getoption("--trees") or TREES[binding]
    print(f"seed {number}, {examples} trees")
    for first in range(0, examples, AT_ONCE):
        run_state_machine_as_test(
            seed(number + first)(Machine),
            settings=settings(
                max_examples=min(AT_ONCE, examples - first),
                stateful_step_count=STEPS[binding],
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"any tree: {dict(tally)}")
    assert tally["changed"] >= examples  # what is drawn by a seed depends on the version of hypothesis
