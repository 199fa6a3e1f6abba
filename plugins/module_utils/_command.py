# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ``zfs``, ``zpool`` and the system's own tools: never a question, never a shell, never without an end.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
import typing as t

from ._errors import CallFailed, Reason, Refused, StateUnknown
from ._side_by_side import PROCESSORS, side_by_side

READ_TIMEOUT = 300
CHANGE_TIMEOUT = 300
MOST_NAMES = 500  # on one command line
FEW_NAMES = 25  # starting one more command for fewer costs more than it gains
PAUSES = (0.1, 0.2, 0.4, 0.8)  # seconds, between calls that find something busy
PATIENCE = 5  # seconds, for a command that was killed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"LC_ALL": "C", "PATH": PATH}


class Answer(t.NamedTuple):
    """What a command said; a negative code is the number of the signal that killed it."""

    code: int
    out: str
    error: str

    @property
    def was_killed(self) -> bool:
        return self.code < 0

    @property
    def why(self) -> str:
        """What it complained of, or how it ended."""
        if self.was_killed:
            return f"the command was killed ({signal.strsignal(-self.code) or -self.code})"
        return self.error or f"exit code {self.code}"


def run(*argv: str, stdin: bytes | None = None, timeout: int = CHANGE_TIMEOUT) -> Answer:
    """Run a command that can never ask: stdin is the given data or nothing, there is no terminal."""
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    try:
        # AnsibleModule.run_command has no timeout, and nothing here knows of Ansible.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            argv, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_ENVIRONMENT
        )
    except FileNotFoundError:
        package = "OpenZFS" if argv[0] in ("zfs", "zpool", "zdb") else "util-linux"
        raise Refused(f"There is no '{argv[0]}' command on this host. Install {package} and run again.") from None
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        _give_up(process)
        raise StateUnknown(
            f"'{argv[0]} {argv[1]}' gave no answer for {timeout} s. Look at 'zpool status' and the kernel's log; "
            "what it changed shows when the task is run again."
        ) from None
    return Answer(process.returncode, out.decode("utf-8", "surrogateescape"), _one_line(err))


def run_about(names: t.Collection[str], *argv: str) -> list[Answer]:
    """Run a reading command about these datasets, once for each processor where they are many.

    Each dataset that is not mounted has to be opened for it, which costs the kernel processor time.
    """
    wanted = sorted(names)
    size = min(MOST_NAMES, max(FEW_NAMES, -(-len(wanted) // PROCESSORS)))
    portions = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    return side_by_side(lambda some: run(*argv, *some, timeout=READ_TIMEOUT), portions, threads=PROCESSORS)


def _give_up(process: subprocess.Popen[bytes]) -> None:
    """End a command; one that hangs in the kernel cannot be ended, and nobody waits for it."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=PATIENCE)


def _one_line(stderr: bytes) -> str:
    """Return what a command complained of, without the usage text that may follow."""
    return " ".join(stderr.decode("utf-8", "replace").partition("usage:")[0].split())


def failure(what: str, answer: Answer, *, needs: tuple[str, ...] = ()) -> CallFailed:
    """Return the error of a command.

    Args:
        what: what did not happen. Of a command that was killed nobody knows that: the kernel ends what it began.
        answer: what it said.
        needs: a dataset, and the permissions on it that can be delegated.
    """
    if answer.was_killed:
        return StateUnknown(f"{what}, as far as is known: {answer.why}. What it did shows when the task is run again.")
    reason: Reason = "unknown"
    if "Incorrect key provided" in answer.error:
        reason = "wrong_key"
    elif "busy" in answer.error:
        reason = "busy"
    why = answer.why
    if needs and "permission denied" in answer.error.lower():
        from ._delegation import to_be_allowed

        why = f"{why.rstrip('.')}.{to_be_allowed(*needs)}"
    return CallFailed(f"{what}: {why}", reason=reason)


def patiently(call: t.Callable[[], None]) -> None:
    """Repeat what is busy for a moment: udev and blkid hold a volume, and indexers files, shortly after others did."""
    for pause in PAUSES:
        try:
            call()
            return
        except CallFailed as error:
            if error.reason != "busy":
                raise
        time.sleep(pause)
    call()


def assignments(flag: str, values: t.Mapping[str, str]) -> list[str]:
    """Return properties as the words of a command line, each after its flag."""
    return [word for name, value in values.items() for word in (flag, f"{name}={value}")]
