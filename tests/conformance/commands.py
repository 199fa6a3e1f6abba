# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person runs on the machine, and what they wait for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed

TIMEOUT = 20.0  # seconds until udev has made a volume's node, or a process runs


def run(*argv: str, stdin: bytes = b"") -> None:
    subprocess.run(argv, check=True, input=stdin)


def attempt(*argv: str, stdin: bytes = b"") -> None:
    """Run what OpenZFS may refuse."""
    answer = subprocess.run(argv, check=False, input=stdin, stderr=subprocess.PIPE)
    if answer.returncode != 0:
        raise CallFailed(answer.stderr.decode())


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def process(
    *argv: str,
    stdin: t.IO[bytes] | int = subprocess.DEVNULL,
    stdout: t.IO[bytes] | int = subprocess.DEVNULL,
    cwd: str | None = None,
) -> t.Iterator[subprocess.Popen[bytes]]:
    """Have another process, which holds this open or works there."""
    with subprocess.Popen(argv or ("sleep", "600"), stdin=stdin, stdout=stdout, cwd=cwd) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_another_second() -> None:
    second = int(time.time())
    wait(lambda: int(time.time()) > second, "another second")


def wait(until: t.Callable[[], bool], what: str, seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come")
        time.sleep(0.05)


def node_of(volume: str) -> str:
    node = f"/dev/zvol/{volume}"
    try:
        wait(lambda: os.path.exists(node), node, TIMEOUT / 4)
    except TimeoutError:  # udev ignores a device that it could not open while OpenZFS was busy
        run("udevadm", "trigger", "--action=change", "--subsystem-match=block", "--sysname-match=zd*")
        wait(lambda: os.path.exists(node), node)
    return node


def mountpoint_of(dataset: str) -> str:
    return output("zfs", "get", "-Hpo", "value", "mountpoint", dataset).strip()
