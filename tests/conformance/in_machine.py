# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the statements against real OpenZFS in a machine of the testbed, once for each way to reach it.

Words after `--` go to pytest.
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
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
VM = str(ROOT / "tests/testbed/vm")
REPORTS = ROOT / ".testbed"
MACHINE = "conformance"
BINDINGS = ("pyzfs", "cli")
GUEST = "/root/proof"
COLLECTION = f"{GUEST}/ansible_collections/zfsfleet/encryption"
COPIED = ("plugins/module_utils", "tests/fake", "tests/conformance")
DISKS = ("d0=256M", "d1=256M", "d2=256M")
# A kernel that crashed never answers.
BINDING_SECONDS = 25 * 60


@dataclasses.dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def vm(*words: str, seconds: float | None = None, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VM, *words],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        timeout=seconds,
    )


def in_guest(*words: str, seconds: float | None = None, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return vm("ssh", MACHINE, shlex.join(words), seconds=seconds, capture=capture)


def copy_into_guest() -> None:
    in_guest("rm", "-rf", GUEST)
    for part in COPIED:
        if vm("copy", MACHINE, str(ROOT / part), f"{COLLECTION}/{part}").returncode != 0:
            sys.exit(f"conformance: {part} could not be copied into the machine")


def hold_against(binding: str, suite: str, pytest_words: t.Sequence[str]) -> Count:
    guest_report = f"{GUEST}/{binding}.xml"
    report = REPORTS / f"conformance-{suite}-{binding}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    print(f"==== {binding}", flush=True)
    try:
        in_guest(
            *("env", f"PYTHONPATH={GUEST}", "PYTHONDONTWRITEBYTECODE=1", f"HOME={GUEST}"),
            *("python3", "-m", "pytest", f"{COLLECTION}/tests/conformance", "--host", binding),
            *("--import-mode=importlib", "-p", "no:cacheprovider", "-W", "error", "-q", "-ra", "--tb=short"),
            *(f"--rootdir={COLLECTION}", f"--basetemp=/var/tmp/conformance-{binding}", f"--junitxml={guest_report}"),
            *pytest_words,
            seconds=BINDING_SECONDS,
        )
        xml = in_guest("cat", guest_report, seconds=60, capture=True).stdout
    except subprocess.TimeoutExpired:
        xml = ""
        print(f"conformance: {binding} gave no answer in time", flush=True)
    print(f"---- {binding}: {time.monotonic() - started:.0f} s", flush=True)
    if not xml:
        return Count(failed=1)
    report.write_text(xml)
    return count(ET.fromstring(xml))


def count(report: ET.Element) -> Count:
    suites = report.iter("testsuite")
    numbers = [
        {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} for suite in suites
    ]
    total = {name: sum(suite[name] for suite in numbers) for name in ("tests", "failures", "errors", "skipped")}
    failed = total["failures"] + total["errors"]
    return Count(total["tests"] - failed - total["skipped"], failed, total["skipped"])


def openzfs_version() -> str:
    found = re.search(r"zfs-kmod-(\S+?)-", in_guest("zfs", "version", seconds=60, capture=True).stdout)
    return found[1] if found else "unknown"


def is_running() -> bool:
    return re.search(rf"^{MACHINE}: .*: running", vm("status", capture=True).stdout, re.MULTILINE) is not None


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--suite", default="trixie", help="as the testbed names them")
    parser.add_argument("--binding", choices=BINDINGS, action="append", help="only this way to reach OpenZFS")
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
        total = Count()
        for number, binding in enumerate(options.binding or BINDINGS):
            left = ["-m", "not any_binding"] if number else []
            total += hold_against(binding, options.suite, [*left, *options.pytest_words])
    finally:
        if not keep:
            vm("stop", MACHINE, "--discard")
    print(
        f"conformance: suite={options.suite} openzfs={version} "
        f"passed={total.passed} failed={total.failed} skipped={total.skipped}"
    )
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
