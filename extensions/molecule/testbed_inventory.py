# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What inventory/testbed prints: the machines of the scenarios that run, each in its group."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

# `fleet` is there for all scenarios; those that need a second machine start and discard it themselves.
MACHINES = {"fleet": "molecule", "second": "molecule2"}
VM = Path(__file__).resolve().parents[2] / "tests/testbed/vm"


def variables(machine: str) -> dict[str, t.Any] | None:
    asked = subprocess.run(
        [VM, "inventory", machine, "--vars"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        return None
    pairs = (line.split(": ", 1) for line in asked.stdout.splitlines())
    return {name: json.loads(value) for name, value in pairs}


def main() -> None:
    found = {group: (machine, variables(machine)) for group, machine in MACHINES.items()}
    running = {group: entry for group, entry in found.items() if entry[1] is not None}
    groups = {group: {"hosts": [machine]} for group, (machine, _vars) in running.items()}
    print(json.dumps({**groups, "_meta": {"hostvars": dict(running.values())}}))


main()
