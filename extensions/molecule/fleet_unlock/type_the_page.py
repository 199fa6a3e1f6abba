# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types what the guide on opening datasets by hand says of keys in files, for one root of a machine of the testbed."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.escrow import by_hand
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Machine


def main(root: str) -> int:
    machine = os.environ["HOST"]
    values = {"host": machine, "ssh": machine, "root": root, "keys": os.environ["KEYS"]}
    with tempfile.TemporaryDirectory() as directory:
        desk = by_hand.desk_at(Path(directory, "desk"), {**values, "password": os.environ["PASSWORD"]})
        keyformat = Machine(machine).ask(f"zfs get -H -o value keyformat {root}").strip()
        done = desk.type_what_is_said(f"{by_hand.PAGE}.vault_file", keyformat=keyformat)
    print(done.stdout, done.stderr)
    return done.returncode


sys.exit(main(sys.argv[1]))
