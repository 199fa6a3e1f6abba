# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types what the guide on opening datasets by hand says of keys in files, for one root of a machine of the testbed.

SSH reaches the machine as the testbed does. The page says what is different for the keyformat raw.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.escrow import guide

PAGE = "guide_break_glass"


def main(root: str) -> None:
    machine, program = os.environ["HOST"], os.environ["VM"]
    values = {"host": machine, "root": root, "ssh": machine, "keys": os.environ["KEYS"]}
    sections = (PAGE, f"{PAGE}.vault_file")
    said = [block.text for block in guide.blocks(PAGE, language="bash") if block.section in sections]
    text = guide.filled_in("".join(said), {**values, "password": os.environ["PASSWORD"]})
    with tempfile.TemporaryDirectory() as directory:
        ssh = Path(directory, "ssh")
        # The testbed's program runs the real ssh.
        ssh.write_text(f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec "{program}" ssh "$@"\n')
        ssh.chmod(0o700)
        environment = {**os.environ, "PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
        keyformat = subprocess.run(
            [ssh, machine, "zfs", "get", "-H", "-o", "value", "keyformat", root],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        if keyformat == "raw":
            text = re.sub(r'\|\n( +)ssh "', r'|\n\1xxd -r -p | ssh "', text)
        subprocess.run(["bash", "-c", text], env=environment, check=True)


main(sys.argv[1])
