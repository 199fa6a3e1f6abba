# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine, and the program in it that is asked to do things."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
VM = str(CHECKOUT / "tests" / "testbed" / "vm")
NAME = "faults"
START = (NAME, "--memory", "1536", "--cpus", "2", "--disk", "faults=2G")
GUEST = "/root/faults"
COLLECTION = f"{GUEST}/ansible_collections/zfsfleet/encryption"
PROGRAM = "ansible_collections.zfsfleet.encryption.tests.faults.in_guest"


class Trouble(Exception):
    """What the machine says that a person would not get over."""


def vm(*words: str) -> str:
    """Run a command of the testbed; a failure ends everything."""
    done = subprocess.run([VM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"faults: tests/testbed/vm {words[0]} failed")
    return done.stdout


def is_running() -> bool:
    return any(line.startswith(f"{NAME}: ") and ": running" in line for line in vm("status").splitlines())


def boot() -> None:
    """Boot the machine and copy into it what Ansible would send, and the programs of this directory."""
    vm("start", *START)
    vm(
        "ssh",
        NAME,
        f"rm -rf {GUEST}; mkdir -p {GUEST}/ansible; echo '__version__ = \"0\"' >{GUEST}/ansible/__init__.py",
    )
    vm("copy", NAME, str(_module_utils()), f"{GUEST}/ansible/module_utils")
    for part in ("plugins/modules", "plugins/module_utils", "tests/faults"):
        vm("copy", NAME, str(CHECKOUT / part), f"{COLLECTION}/{part}")
    vm("ssh", NAME, f"python3 -m compileall -q {COLLECTION}; sync")  # which a power cut would take away, too


def start() -> None:
    vm("start", *START)


def cut_power() -> None:
    """Kill the emulator; at once, which the testbed's command takes a second for."""
    os.kill(int((CHECKOUT / ".testbed" / NAME / "pid").read_text()), signal.SIGKILL)


def find_off() -> None:
    """Let the testbed see that the machine is off."""
    vm("stop", NAME, "--power-cut")


def _module_utils() -> Path:
    import ansible.module_utils

    return Path(str(ansible.module_utils.__file__)).parent


def discard() -> None:
    vm("stop", NAME, "--discard")


class Guest:
    """The program in the machine."""

    def __init__(self) -> None:
        command = f"PYTHONPATH={GUEST} PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 exec python3 -m {PROGRAM}"
        self._process = subprocess.Popen(
            [VM, "ssh", NAME, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answer()

    def leave(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def ask(self, do: str, **request: t.Any) -> t.Any:
        """Let the program do something.

        Raises:
            Trouble: it found something that should not be.
        """
        self.tell(do, **request)
        return self.answer()

    def tell(self, do: str, **request: t.Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()

    def fell_silent(self) -> bool:
        """Tell whether it says nothing more: not a word that was on its way when the power was cut."""
        assert self._process.stdout is not None
        return not self._process.stdout.readline()

    def answer(self) -> t.Any:
        """Wait for an answer.

        Raises:
            Trouble: it is about something that should not be.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("faults: the program in the machine ended; its words are above")
        answer = json.loads(line)
        if "trouble" in answer:
            raise Trouble(answer["trouble"])
        return answer["answer"]


@contextlib.contextmanager
def guest() -> t.Iterator[Guest]:
    """Talk to the program in the machine."""
    found = Guest()
    try:
        yield found
    finally:
        found.leave()
