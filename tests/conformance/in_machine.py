# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the statements against real OpenZFS in a machine of the testbed, those about keys by each way to reach it.

Words after `--` go to pytest. With `--side-by-side` several shares of them run at once, each on pools of its own, since
much of the time goes into waiting for transaction groups.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import signal
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
VM = str(ROOT / "tests/testbed/vm")
REPORTS = ROOT / ".testbed"
STATEMENTS = "tests/conformance"
MACHINE = "conformance"
BINDINGS = ("pyzfs", "cli")
GUEST = "/opt/proof"  # not in a home directory: statements about other users import from it
COLLECTION = f"{GUEST}/ansible_collections/zfsfleet/encryption"
COPIED = ("plugins/module_utils", "tests/fake", STATEMENTS)
DISKS = ("d0=256M", "d1=256M", "d2=256M")
ABOUT_KEYS = ("-m", "not any_binding")
# What any binding may hold, by the beginnings of the files' names. One share has the disks and hostids for itself.
PARTS = {"trees": ("test_any_tree",), "pools": ("test_disks", "test_pools"), "datasets": ("test_",)}
# A kernel that crashed never answers.
MOST_SECONDS = 60 * 60


@dataclasses.dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"passed={self.passed} failed={self.failed} skipped={self.skipped}"


@dataclasses.dataclass(frozen=True)
class Share:
    """Statements that one run of pytest holds.

    Args:
        name: which its pools, its report and its log have in theirs.
        binding: ``pyzfs`` or ``cli``.
        files: paths below the collection. pytest wants them first: with them it finds the options of ``conftest.py``.
        words: the rest of its command line.
    """

    name: str
    binding: str
    files: tuple[str, ...]
    words: tuple[str, ...]


def vm(
    *words: str, seconds: float | None = None, output: t.IO[str] | int | None = None
) -> subprocess.CompletedProcess[str]:
    """Call the testbed; what it writes goes to ``output`` if that is given."""
    errors = subprocess.STDOUT if output not in (None, subprocess.PIPE) else None
    return subprocess.run(
        [VM, *words],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        timeout=seconds,
    )


def in_guest(
    *words: str, seconds: float | None = None, output: t.IO[str] | int | None = None
) -> subprocess.CompletedProcess[str]:
    return vm("ssh", MACHINE, shlex.join(words), seconds=seconds, output=output)


def answer_of(*words: str) -> str:
    return in_guest(*words, seconds=60, output=subprocess.PIPE).stdout


def copy_into_guest() -> None:
    in_guest("rm", "-rf", GUEST)
    for part in COPIED:
        if vm("copy", MACHINE, str(ROOT / part), f"{COLLECTION}/{part}").returncode != 0:
            sys.exit(f"conformance: {part} could not be copied into the machine")


def shares(bindings: t.Sequence[str]) -> list[Share]:
    """Return the shares of the whole: about keys for each binding, and the rest for the first of them."""
    left = sorted(path.name for path in (ROOT / STATEMENTS).glob("test_*.py"))
    parts: list[Share] = []
    for name, beginnings in PARTS.items():
        files = [file for file in left if file.startswith(beginnings)]
        left = [file for file in left if file not in files]
        paths = tuple(f"{STATEMENTS}/{file}" for file in files)
        parts.append(Share(name, bindings[0], paths, ("-m", "any_binding")))
    return [*parts, *(Share(binding, binding, (STATEMENTS,), ABOUT_KEYS) for binding in bindings)]


def one_by_one(bindings: t.Sequence[str], words: t.Sequence[str]) -> list[Share]:
    """Return a share for each binding, of what the words for pytest leave."""
    return [
        Share(binding, binding, (STATEMENTS,), (*(ABOUT_KEYS if number else ()), *words))
        for number, binding in enumerate(bindings)
    ]


def hold(share: Share, suite: str, output: t.IO[str] | None) -> Count:
    """Hold one share of the statements and keep its report."""
    guest_report = f"{GUEST}/{share.name}.xml"
    report = REPORTS / f"conformance-{suite}-{share.name}.xml"
    report.unlink(missing_ok=True)
    try:
        in_guest(
            *("env", f"PYTHONPATH={GUEST}", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", f"HOME={GUEST}"),
            *(f"CONFORMANCE_POOL=proof-{share.name}", "python3", "-m", "pytest"),
            *(f"{COLLECTION}/{path}" for path in share.files),
            *(
                "--host",
                share.binding,
                "--import-mode=importlib",
                "-p",
                "no:cacheprovider",
                "-W",
                "error",
                "-q",
                "-ra",
                "--tb=short",
            ),
            *(f"--rootdir={COLLECTION}", f"--basetemp=/var/tmp/conformance-{share.name}"),
            *(f"--junitxml={guest_report}", *share.words),
            seconds=MOST_SECONDS,
            output=output,
        )
        xml = answer_of("cat", guest_report)
    except subprocess.TimeoutExpired:
        print(f"conformance: {share.name} gave no answer in time", flush=True)
        return Count(failed=1)
    if not xml:
        return Count(failed=1)
    report.write_text(xml)
    return count(ET.fromstring(xml))


def timed(share: Share, suite: str, log: Path | None = None) -> Count:
    """Hold one share and say how it went, after what pytest wrote where that went to a log."""
    started = time.monotonic()
    if log is None:
        print(f"==== {share.name}", flush=True)
        found = hold(share, suite, None)
    else:
        with log.open("w", encoding="utf-8") as output:
            found = hold(share, suite, output)
        print(f"==== {share.name}\n{log.read_text(encoding='utf-8', errors='replace')}", end="", flush=True)
    print(f"---- {share.name}: {found} seconds={time.monotonic() - started:.0f}", flush=True)
    return found


def hold_side_by_side(bindings: t.Sequence[str], suite: str) -> Count:
    todo = shares(bindings)
    with ThreadPoolExecutor(len(todo)) as pool:
        logs = {share: REPORTS / f"conformance-{suite}-{share.name}.log" for share in todo}
        running = [pool.submit(timed, share, suite, log) for share, log in logs.items()]
        return sum((each.result() for each in as_completed(running)), Count())


def count(report: ET.Element) -> Count:
    suites = report.iter("testsuite")
    numbers = [
        {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} for suite in suites
    ]
    total = {name: sum(suite[name] for suite in numbers) for name in ("tests", "failures", "errors", "skipped")}
    failed = total["failures"] + total["errors"]
    return Count(total["tests"] - failed - total["skipped"], failed, total["skipped"])


def openzfs_version() -> str:
    found = re.search(r"zfs-kmod-(\S+?)-", answer_of("zfs", "version"))
    return found[1] if found else "unknown"


def is_running() -> bool:
    status = vm("status", output=subprocess.PIPE).stdout
    return re.search(rf"^{MACHINE}: .*: running", status, re.MULTILINE) is not None


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--suite", default="trixie", help="as the testbed names them")
    parser.add_argument("--binding", choices=BINDINGS, action="append", help="only this way to reach OpenZFS")
    parser.add_argument("--side-by-side", action="store_true", help="in five shares at once")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    parser.add_argument("pytest_words", nargs="*", metavar="-- PYTEST ARGUMENT")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    REPORTS.mkdir(exist_ok=True)
    keep = options.keep or is_running()
    try:
        disks = [word for disk in DISKS for word in ("--disk", disk)]
        if vm("start", MACHINE, "--suite", options.suite, "--memory", "2048", "--cpus", "2", *disks).returncode != 0:
            return 1
        copy_into_guest()
        version = openzfs_version()
        bindings = options.binding or BINDINGS
        if options.side_by_side and not options.pytest_words:
            total = hold_side_by_side(bindings, options.suite)
        else:
            todo = one_by_one(bindings, options.pytest_words)
            total = sum((timed(share, options.suite) for share in todo), Count())
    finally:
        if not keep:
            vm("stop", MACHINE, "--discard")
    print(f"conformance: suite={options.suite} openzfs={version} {total}")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
