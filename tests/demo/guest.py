# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of the demo and what `zfs` there says, past the collection."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VM = Path(__file__).resolve().parent.parent / "testbed" / "vm"
NAME = "demo"
POOL = "tank"
DISKS = ("d0", "d1")


class DemoFailed(Exception):
    """An expectation was not met; the text says which."""


@dataclass(frozen=True)
class Answer:
    """What a command in the machine gave."""

    code: int
    output: str
    complaint: str


@dataclass(frozen=True)
class Root:
    """An encryption root, as `zfs` reports it."""

    name: str
    keystatus: str


def boot() -> None:
    """Boot the machine with empty disks, whatever earlier runs left of it.

    Raises:
        DemoFailed: the testbed could not; its own words are on the screen.
    """
    if subprocess.run([str(VM), "packages"], check=False).returncode != 0:
        raise DemoFailed("packages are missing on this host")
    start = [str(VM), "start", NAME, "--fresh", *(f"--disk={disk}=1G" for disk in DISKS)]
    if subprocess.run(start, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise DemoFailed("the machine did not boot")


def discard() -> None:
    """Take the machine and its disks away."""
    subprocess.run([str(VM), "stop", NAME, "--discard"], stdin=subprocess.DEVNULL, check=False)


def inventory() -> str:
    """Return an Ansible inventory of the machine."""
    made = subprocess.run(
        [VM, "inventory", NAME], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise DemoFailed(f"no inventory: {made.stderr.strip()}")
    return made.stdout


def ask(command: str, stdin: str = "") -> Answer:
    """Run a shell command in the machine."""
    done = subprocess.run([str(VM), "ssh", NAME, command], input=stdin, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout.strip("\n"), done.stderr.strip())


def tell(*commands: str) -> str:
    """Show commands, run them in the machine one after the other and return what they printed.

    Raises:
        DemoFailed: one failed.
    """
    print("\n".join(f"$ {command}" for command in commands), flush=True)
    answer = ask(" && ".join(commands))
    if answer.code != 0:
        raise DemoFailed(f"{' && '.join(commands)} failed: {answer.complaint}")
    return answer.output


def sound_pools() -> list[str]:
    """Return the pools that are online, mirrored over all disks of the machine, and free of errors."""
    status = tell("zpool status -P")
    print(status)
    pools = []
    for report in status.split("  pool: ")[1:]:
        mirrored = "mirror-0" in report and all(f"/dev/disk/by-id/virtio-{disk}-part1 " in report for disk in DISKS)
        if mirrored and " state: ONLINE" in report and "errors: No known data errors" in report:
            pools.append(report.splitlines()[0])
    return pools


def encryption_roots() -> list[Root]:
    """Return the encryption roots of the pool with their key status."""
    lines = tell(f"zfs get -r -Hp -o name,property,value encryptionroot,keystatus {POOL}").splitlines()
    values: dict[str, dict[str, str]] = {}
    for name, field, value in (line.split("\t") for line in lines):
        values.setdefault(name, {})[field] = value
    return [Root(name, found["keystatus"]) for name, found in values.items() if found["encryptionroot"] == name]


def checksums(paths: list[str]) -> dict[str, str]:
    """Return the SHA-256 sums of those paths that can be read."""
    command = shlex.join(["sha256sum", "--", *paths])
    print(f"$ {command}", flush=True)
    answer = ask(command)
    for line in (answer.output + "\n" + answer.complaint).strip().splitlines():
        print(f"  {line}")
    sums = (line.split(maxsplit=1) for line in answer.output.splitlines())
    return {path: digest for digest, path in sums}


def opens(offers: Sequence[tuple[str, str]]) -> list[bool]:
    """Say of roots and keys whether the key opens the root, which `zfs load-key -n` tries without loading it.

    Raises:
        DemoFailed: one could not be tried.
    """
    tried = ask(
        'while read -r root key; do printf %s "$key" | zfs load-key -n "$root" 2>&1 | head -n 1; done',
        stdin="".join(f"{root} {key}\n" for root, key in offers),
    )
    answers = tried.output.splitlines()
    if len(answers) != len(offers):
        raise DemoFailed(f"keys could not be tried: {tried.output} {tried.complaint}")
    verdicts = []
    for (root, _key), answer in zip(offers, answers, strict=True):
        print(f"$ zfs load-key -n {root}\n  {answer}")
        if answer.startswith("1 / 1 key(s) successfully verified"):
            verdicts.append(True)
        elif "Incorrect key provided" in answer:
            verdicts.append(False)
        else:
            raise DemoFailed(f"the key of {root} could not be tried: {answer}")
    return verdicts
