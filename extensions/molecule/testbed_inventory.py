# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What inventory/testbed prints: the group `fleet` has the machine of the scenarios, while it runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

MACHINE = "molecule"
VM = Path(__file__).resolve().parents[2] / "tests/testbed/vm"


def main() -> None:
    asked = subprocess.run(
        [VM, "inventory", MACHINE, "--vars"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        print("{}")
        return
    pairs = (line.split(": ", 1) for line in asked.stdout.splitlines())
    variables = {name: json.loads(value) for name, value in pairs}
    print(json.dumps({"fleet": {"hosts": [MACHINE]}, "_meta": {"hostvars": {MACHINE: variables}}}))


main()
