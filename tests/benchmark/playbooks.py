# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks: ours, and the same in community.general from the PyPI package ``ansible``, in a venv of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..testbed.locations import cache_directory, exclusive
from . import pool
from .machine import CHECKOUT, NAME, python, vm
from .rows import Sample, Side

PEER = "ansible==14.5.0"
OURS = Path(sys.executable).parent
TASKS: t.Mapping[Side, t.Mapping[str, t.Any]] = {
    "ours": {"zfsfleet.encryption.zfs_dataset_key": {"datasets": "{{ datasets }}"}},
    "reference": {
        "community.general.zfs": {
            "name": "{{ item.name }}",
            "state": "present",
            "extra_zfs_properties": {
                "encryption": "aes-256-gcm",
                "keyformat": "hex",
                "keylocation": "file://{{ item.key_file }}",
            },
        },
        "loop": "{{ datasets }}",
        "loop_control": {"label": "{{ item.name }}"},
    },
}
# The same for both; the peer is the faster for it.
SETTINGS = "[defaults]\nnocows = true\n\n[connection]\npipelining = true\n"


def ansible_playbook(
    programs: Path, collections: Path, directory: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``ansible-playbook`` with nobody's own settings.

    Args:
        programs: where it is.
        collections: where it finds collections besides its own.
        directory: has its inventory and settings.
        words: what else it is told.
        variables: of its environment, besides.
    """
    return subprocess.run(
        [str(programs / "ansible-playbook"), "-i", str(directory / "inventory.yml"), *words],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            **variables,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Controller:
    """One side's Ansible, with nobody's own settings.

    Args:
        side: whose playbook it runs.
        programs: where its ``ansible-playbook`` is.
        collections: where it finds collections besides its own.
        directory: has its inventory, settings and playbook.
    """

    side: Side
    programs: Path
    collections: Path
    directory: Path

    def play(self, datasets: t.Sequence[str], changed: int | None) -> float:
        """Run the playbook for these datasets and return the seconds.

        Args:
            datasets: the encryption roots to make.
            changed: how many tasks or loop items the recap has to count as changed, None if it does not matter.
        """
        variables = self.directory / "variables.json"
        entries = [{"name": name, "key_file": str(pool.key_file(name))} for name in datasets]
        variables.write_text(json.dumps({"datasets": entries}))
        began = time.monotonic()
        words = ("-e", f"@{variables}", str(self.directory / "playbook.yml"))
        done = ansible_playbook(self.programs, self.collections, self.directory, *words)
        seconds = time.monotonic() - began
        recap = re.search(r" changed=(\d+) ", done.stdout)
        if done.returncode != 0 or recap is None or changed not in (None, int(recap[1])):
            sys.exit(f"bench: the playbook of {self.side} did not do what it should:\n{done.stdout[-3000:]}")
        return seconds


def controllers(scratch: Path) -> dict[Side, Controller]:
    inventory = vm("inventory", NAME)
    made: dict[Side, Controller] = {}
    sides: tuple[tuple[Side, Path, Path], ...] = (
        ("reference", peer_programs(), scratch / "none"),
        ("ours", OURS, CHECKOUT / ".tree"),
    )
    for side, programs, collections in sides:
        directory = scratch / side
        directory.mkdir()
        (directory / "inventory.yml").write_text(inventory)
        (directory / "ansible.cfg").write_text(SETTINGS)
        # JSON is YAML.
        play = {"hosts": "all", "gather_facts": False, "tasks": [TASKS[side]]}
        (directory / "playbook.yml").write_text(json.dumps([play]))
        made[side] = Controller(side, programs, collections, directory)
    return made


def peer_programs() -> Path:
    """Return the programs of the peer's venv, which is built once for all checkouts."""
    name = PEER.replace("==", "-")
    place = cache_directory() / name
    with exclusive(cache_directory() / f"{name}.lock"):
        if not (place / "complete").exists():
            print(f"bench: installing {PEER} into {place}", flush=True)
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
            pip = [str(place / "bin" / "pip"), "install", "--quiet", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, PEER], stdin=subprocess.DEVNULL, check=True)
            (place / "complete").touch()
    return place / "bin"


def measure(n: int, peer_n: int, rounds: int, scratch: Path) -> t.Iterator[Sample]:
    """Run both playbooks on fresh datasets, each at once again; ours before and after the peer's one long turn."""
    sides = controllers(scratch)
    for turn in range(rounds):
        yield from _turn(sides["ours"], n, n)
        if turn == 0:
            yield from _turn(sides["reference"], peer_n, n)


def _turn(controller: Controller, count: int, n: int) -> t.Iterator[Sample]:
    """Make the datasets, then run again. Fewer than asked for are scaled: a run for none tells the fixed part."""
    side = controller.side
    parent = f"{pool.POOL}/{side}"
    names = pool.names(parent, count)
    _prepare(parent, count)
    # A loop is one task; so both recaps count one.
    first = controller.play(names, changed=1)
    second = controller.play(names, changed=0)
    _insist_on_roots(parent, count)
    if count != n:
        fixed = controller.play([], changed=0)
        first, second = (fixed + (seconds - fixed) * n / count for seconds in (first, second))
        print(f"bench: the playbook of {side} was measured with {count} datasets and scaled to {n}", flush=True)
    yield Sample("playbook_first", side, first)
    yield Sample("playbook_second", side, second)


def _prepare(parent: str, count: int) -> None:
    """An empty parent, and keys in files; without asking either side."""
    vm("ssh", NAME, f"zfs destroy -r {parent} 2>/dev/null; zfs create {parent}")
    list(python("pool", parent, str(count)))


def _insist_on_roots(parent: str, count: int) -> None:
    values = vm("ssh", NAME, f"zfs get -H -o value -r keystatus {parent}").split()
    if values.count("available") != count:
        sys.exit(f"bench: {parent} has {values.count('available')} of {count} roots")
