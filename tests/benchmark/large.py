# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the machine for ``make scale``: pools of many datasets, provisioned, locked and unlocked.

    python3 -m ...tests.benchmark.large N...

Three of ten datasets are encryption roots, a fifth of them below another root; six are filesystems that inherit, and
one is a volume that does. Prints one step a line, in JSON; a step that did not do all of its work ends the run.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import secrets
import subprocess
import sys
import typing as t

from . import pool

TIMED = f"{__package__}.timed"
Parameters = t.Mapping[str, t.Any]
Answer = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Tree:
    """The datasets of a pool, parents first; ``keys`` are those of the roots."""

    keys: t.Mapping[str, str]
    filesystems: t.Sequence[str]
    volumes: t.Sequence[str]

    @property
    def size(self) -> int:
        return len(self.keys) + len(self.filesystems) + len(self.volumes)

    @property
    def task(self) -> Parameters:
        """All of it as one task of ``zfs_dataset_key``."""
        roots = [{"name": name, "key": key} for name, key in self.keys.items()]
        filesystems = [{"name": name, "state": "inherited"} for name in self.filesystems]
        volumes = [{"name": name, "state": "inherited", "volsize": "1M", "sparse": True} for name in self.volumes]
        return {"datasets": [*roots, *filesystems, *volumes]}


def tree(size: int) -> Tree:
    roots: list[str] = []
    for number in range(size * 3 // 10):
        above = roots[-1] if number % 5 == 4 else pool.POOL
        roots.append(f"{above}/r{number:04d}")
    volumes = [f"{roots[number % len(roots)]}/v{number:04d}" for number in range(size // 10)]
    others = size - len(roots) - len(volumes)
    filesystems = [f"{roots[number % len(roots)]}/c{number:04d}" for number in range(others)]
    return Tree({name: secrets.token_hex(32) for name in roots}, filesystems, volumes)


def measure(size: int) -> None:
    """Take every step with a pool of this size."""
    pool.make()
    wanted = tree(size)
    mounted = len(wanted.keys) + len(wanted.filesystems)
    everything = {"name": pool.POOL, "recursive": True, "manifest_content": wanted.keys}

    result = step("provision", size, "zfs_dataset_key", wanted.task)
    insist(sum(action["action"] == "create" for action in result["actions"]) == size, "not all was reported as made")
    insist_on(wanted, available=size, mounted=mounted)
    result = step("unchanged", size, "zfs_dataset_key", wanted.task)
    insist(not result["changed"] and len(result["already"]) == len(wanted.keys), "the second run changed something")
    result = step("lock", size, "zfs_unlock", {**everything, "state": "locked"})
    insist(len(result["locked"]) == len(wanted.keys), "not all was reported as locked")
    insist_on(wanted, available=0, mounted=0)
    result = step("unlock", size, "zfs_unlock", everything)
    insist(len(result["unlocked"]) == len(wanted.keys), "not all was reported as unlocked")
    insist_on(wanted, available=size, mounted=mounted)
    step("protect", size, "zfs_unlock", {**everything, "state": "locked", "protect_mountpoint": True})
    insist_on(wanted, available=0, mounted=0)


def step(name: str, size: int, module: str, parameters: Parameters) -> Answer:
    """Run a module in a process of its own and tell how long its work took, and where the time went."""
    done = subprocess.run(
        [sys.executable, "-m", TIMED, module],
        input=json.dumps(parameters),
        stdout=subprocess.PIPE,
        text=True,
        timeout=pool.SECONDS,
        check=True,
    )
    answer: Answer = json.loads(done.stdout)
    result: Answer = answer["result"]
    insist(not result.get("failed"), f"{name}: {result.get('msg')}")
    print(json.dumps({"step": name, "size": size, "profile": answer["profile"]}), flush=True)
    return result


def insist_on(wanted: Tree, *, available: int, mounted: int) -> None:
    """Believe ``zfs`` and the kernel, not the results."""
    values = pool.zfs("get", "-Hr", "-t", "filesystem,volume", "-o", "value", "keystatus", pool.POOL).split()
    found = values.count("available"), values.count("unavailable")
    insist(found == (available, wanted.size - available), f"{found} keys are available and not")
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        count = sum(line.startswith(f"{pool.POOL}/") for line in mounts)
    insist(count == mounted, f"{count} of {mounted} filesystems are mounted")
    nodes = len(glob.glob(f"/dev/zvol/{pool.POOL}/**/v*", recursive=True))
    due = len(wanted.volumes) if available else 0
    insist(nodes == due or not available, f"{nodes} of {due} volumes have their nodes")


def insist(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(int(argument))
