# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotate the keys of many encryption roots of one machine in one task, against a loop of ``zfs change-key`` there.

The seconds of ``ansible-playbook`` count, with all that it does: keys are put into files on the controller, read back,
rehearsed, set, tried and noted. The loop sets keys that lie ready in the machine, and keeps none of them anywhere else.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from . import machine, pool
from .playbooks import OURS, SETTINGS, ansible_playbook

PARENT = f"{pool.POOL}/fleet"
Task = t.Mapping[str, t.Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="rotation", description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="encryption roots")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep = options.keep or machine.is_running()
    try:
        machine.boot()
        with tempfile.TemporaryDirectory() as scratch:
            measure(options.n, Controller(Path(scratch)))
    finally:
        if not keep:
            machine.discard()
    return 0


class Controller:
    """An inventory of one host, and a directory that keeps its keys.

    Args:
        directory: for all of it; it has to be empty.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "keys").mkdir(mode=0o700)
        (directory / "password").write_text("a long random vault password of a benchmark")
        (directory / "inventory.yml").write_text(machine.vm("inventory", machine.NAME))
        (directory / "ansible.cfg").write_text(SETTINGS)
        self.escrow = [{"type": "vault_file", "path": str(directory / "keys"), "allow_local": True}]

    def play(self, name: str, *tasks: Task) -> float:
        """Run tasks and return the seconds; one that fails ends everything."""
        playbook = self._directory / f"{name}.json"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        began = time.monotonic()
        password = str(self._directory / "password")
        done = ansible_playbook(
            OURS, machine.CHECKOUT / ".tree", self._directory, str(playbook), ANSIBLE_VAULT_PASSWORD_FILE=password
        )
        if done.returncode != 0:
            sys.exit(f"rotation: {name} failed:\n{done.stdout[-3000:]}")
        seconds = time.monotonic() - began
        print(f"{name:12}{seconds:8.1f} s", flush=True)
        return seconds


def measure(n: int, controller: Controller) -> None:
    names = pool.names(PARENT, n)
    machine.vm("ssh", machine.NAME, f"zpool create -f -O compression=off {pool.POOL} {pool.DISK}")
    machine.vm("ssh", machine.NAME, f"zfs create -o canmount=off {PARENT}")
    roots = [{"name": name} for name in names]
    controller.play("provision", _ours("zfs_dataset_key", controller, datasets=roots))
    rotate = _ours("zfs_key_rotate", controller, name=PARENT, recursive=True, max_age_days=0)
    many = {"ansible.builtin.assert": {"that": f"done.rotated | length == {n}", "quiet": True}}
    seconds = controller.play("rotate", {**rotate, "register": "done"}, many)
    drill = _ours("zfs_key_drill", controller)
    opened = {"ansible.builtin.assert": {"that": f"drilled.opened == {n}", "quiet": True}}
    controller.play("drill", {**drill, "register": "drilled"}, opened)
    (looped,) = machine.python("rotation_typed", PARENT, str(n))
    typed = float(looped)
    print(f"{'change-key':12}{typed:8.1f} s")
    print(f"rotation: n={n} tasks=1 seconds={seconds:.1f} typed={typed:.1f}s faster={typed / seconds:.1f}x")


def _ours(module: str, controller: Controller, **options: t.Any) -> Task:
    return {f"zfsfleet.encryption.{module}": {**options, "escrow": controller.escrow}}


if __name__ == "__main__":
    sys.exit(main())
