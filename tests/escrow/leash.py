# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command for as long as stdin stays open, then ends it and all that it started.

Whoever started a server this way takes it along when it dies, however it dies: ``python leash.py COMMAND...``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    # In a group of its own each: who interrupts the test does not end this, and ending the command's ends nobody else.
    os.setpgid(0, 0)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_stdin, args=(command.pid,), daemon=True).start()
    return command.wait()


def _end_with_stdin(group: int) -> None:
    os.read(0, 1)
    os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
