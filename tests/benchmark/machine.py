# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine, as the benchmark needs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
VM = str(CHECKOUT / "tests" / "testbed" / "vm")
NAME = "benchmark"
CPUS = 2
MEMORY = 4096  # MiB
START = (NAME, "--memory", str(MEMORY), "--cpus", str(CPUS), "--disk", "bench=4G")
CACHE = MEMORY * 2**20 // 2  # bytes, as OpenZFS takes itself; 400 mounted filesystems fill what the testbed sets
GUEST = "/root/benchmark"
COLLECTION = f"{GUEST}/ansible_collections/zfsfleet/encryption"
PACKAGE = "ansible_collections.zfsfleet.encryption.tests.benchmark"


def vm(*words: str) -> str:
    """Run a command of the testbed; a failure ends the benchmark."""
    done = subprocess.run([VM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: tests/testbed/vm {words[0]} failed")
    return done.stdout


def is_running() -> bool:
    return any(line.startswith(f"{NAME}: ") and ": running" in line for line in vm("status").splitlines())


def boot() -> None:
    """Boot the machine and copy into it what Ansible would send, and the benchmark."""
    vm("start", *START)
    vm("ssh", NAME, f"echo {CACHE} >/sys/module/zfs/parameters/zfs_arc_max")
    vm("ssh", NAME, f"rm -rf {GUEST}; mkdir -p {GUEST}/ansible {GUEST}/payloads")
    vm("ssh", NAME, f"""echo '__version__ = "0"' >{GUEST}/ansible/__init__.py""")
    vm("copy", NAME, str(_module_utils()), f"{GUEST}/ansible/module_utils")
    for part in ("plugins/modules", "plugins/module_utils", "tests/benchmark"):
        vm("copy", NAME, str(CHECKOUT / part), f"{COLLECTION}/{part}")


def _module_utils() -> Path:
    import ansible.module_utils

    return Path(str(ansible.module_utils.__file__)).parent


def discard() -> None:
    vm("stop", NAME, "--discard")


def send_payload(name: str, module: str, arguments: t.Mapping[str, t.Any], scratch: Path) -> None:
    """Put what Ansible sends for a module into the machine."""
    path = scratch / f"{name}.py"
    with path.open("wb") as file:
        subprocess.run(
            [sys.executable, HERE / "payload.py", module],
            input=json.dumps(arguments).encode(),
            stdout=file,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".tree")},
            check=True,
        )
    vm("copy", NAME, str(path), f"{GUEST}/payloads/{name}.py")


def python(program: str, *words: str) -> t.Iterator[str]:
    """Run one of this directory's programs in the machine and yield its lines as they come."""
    command = shlex.join(["env", f"PYTHONPATH={GUEST}", "python3", "-m", f"{PACKAGE}.{program}", *words])
    with subprocess.Popen(
        [VM, "ssh", NAME, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as running:
        yield from running.stdout or ()
    if running.returncode != 0:
        sys.exit(f"bench: {program} in the machine failed")
