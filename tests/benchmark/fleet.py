# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotate the keys of many simulated hosts: what the controller spends on each of them, against a play that pings.

The hosts are OpenZFS in memory, so that only the controller's work is measured. Seconds are of processor time, its
children's included; memory is the most that any one process had.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOTS = [
    {"name": "tank/data"},
    {"name": "tank/data/below", "state": "inherited"},
    {"name": "tank/words", "keyformat": "passphrase", "pbkdf2iters": 100000},
    {"name": "tank/disk", "volsize": "16M"},
]
CHOICE = {"name": "tank", "recursive": True, "max_age_days": 0}
PLAYS: dict[str, dict[str, t.Any]] = {
    "ping": {"ansible.builtin.ping": {}},
    "create": {"zfsfleet.encryption.zfs_dataset_key": {"datasets": ROOTS, "escrow": "{{ places }}"}},
    "rotate": {"zfsfleet.encryption.zfs_key_rotate": {**CHOICE, "escrow": "{{ places }}"}},
}


@dataclass(frozen=True)
class Spent:
    """What a play took.

    Args:
        seconds: of processor time, of all processes.
        mebibytes: that the largest process had.
    """

    seconds: float
    mebibytes: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet", description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--forks", type=int, default=2 * (os.cpu_count() or 1))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        prepare(directory, options.hosts)
        spent = {name: play(directory, name, task, options.forks) for name, task in PLAYS.items()}
    for name, each in spent.items():
        print(f"{name:8}{each.seconds / options.hosts:8.3f} s a host{each.mebibytes:8.0f} MiB")
    ratio = spent["rotate"].seconds / spent["ping"].seconds
    print(
        f"fleet: hosts={options.hosts} rotate={spent['rotate'].seconds / options.hosts:.2f}s "
        f"memory={spent['rotate'].mebibytes:.0f}MiB against_ping={ratio:.1f}x"
    )
    return 0


def prepare(directory: Path, hosts: int) -> None:
    for name in ("state", "keys"):
        (directory / name).mkdir(mode=0o700)
    (directory / "password").write_text("a long random vault password of a benchmark")
    place = {"type": "vault_file", "path": str(directory / "keys"), "allow_local": True}
    inventory = {
        "fleet": {
            "hosts": {f"nas{number:04}": None for number in range(hosts)},
            "vars": {
                "ansible_connection": "simulated",
                "ansible_python_interpreter": sys.executable,
                "simulated_state": str(directory / "state"),
                "places": [place],
            },
        }
    }
    (directory / "inventory.json").write_text(json.dumps(inventory))


def play(directory: Path, name: str, task: dict[str, t.Any], forks: int) -> Spent:
    playbook = directory / f"{name}.json"
    playbook.write_text(json.dumps([{"hosts": "fleet", "gather_facts": False, "tasks": [task]}]))
    environment = {
        **os.environ,
        "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
    }
    words = ("--forks", str(forks), "--vault-password-file", str(directory / "password"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        ["ansible-playbook", "-i", str(directory / "inventory.json"), *words, str(playbook)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode != 0:
        sys.exit(f"fleet: {name} failed:\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(seconds, after.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
