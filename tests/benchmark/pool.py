# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool inside the machine: how it is made, what a person types, what ``zfs`` says afterwards.

Keys are in files of a memory file system, and every root's ``keylocation`` names its file: so both sides read the
same, and nobody is asked.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

POOL = "bench"
DISK = "/dev/disk/by-id/virtio-bench"
KEYED = f"{POOL}/keyed"
PASSPHRASES = f"{POOL}/passphrases"
FILES = Path("/run/benchmark")
ITERATIONS = 100_000
SECONDS = 1800


def zfs(*words: str) -> str:
    """Run ``zfs``; a failure ends the benchmark."""
    return run("zfs", *words)


def run(*words: str) -> str:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def typed(*lines: str) -> float:
    """Run lines in a shell, as a person would type them, and return the seconds."""
    script = "set -e\n" + "\n".join(lines)
    began = time.monotonic()
    run("sh", "-c", script)
    return time.monotonic() - began


def make() -> None:
    """Make the pool on its disk, whatever was there before."""
    if subprocess.run(["zpool", "list", POOL], capture_output=True, check=False).returncode == 0:
        run("zpool", "destroy", POOL)
    run("zpool", "create", "-f", "-O", "compression=off", "-m", f"/{POOL}", POOL, DISK)


def names(parent: str, count: int) -> list[str]:
    return [f"{parent}/r{number:04d}" for number in range(1, count + 1)]


def key_file(name: str, generation: int = 0) -> Path:
    return FILES / str(generation) / f"{name.replace('/', '.')}.key"


def write_keys(datasets: list[str], generation: int = 0) -> None:
    """Write a random key in hexadecimal digits for each dataset; for a passphrase it will do, too."""
    for name in datasets:
        path = key_file(name, generation)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(32))
        path.chmod(0o400)


def make_roots(parent: str, datasets: list[str], *options: str) -> None:
    """Make encryption roots below a plain dataset, a few at a time."""
    zfs("create", parent)
    write_keys(datasets)

    def make_root(name: str) -> None:
        zfs("create", "-o", "encryption=on", "-o", f"keylocation=file://{key_file(name)}", *options, name)

    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(make_root, datasets))


def count(parent: str, prop: str, value: str) -> int:
    """Count the datasets below a parent that have this value."""
    return zfs("get", "-Hr", "-o", "value", prop, parent).splitlines().count(value)


if __name__ == "__main__":
    write_keys(names(sys.argv[1], int(sys.argv[2])))
