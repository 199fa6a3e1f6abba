# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant faults, one at a time in a copy of the sources, and see a test fail for each.

The tests that a fault names are run first; if they pass, so are all others. Words are parts of names of faults.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import in_drills, in_escrow, in_keys, in_locks, in_plans, in_rotation, in_runs, in_servers
from .fault import Fault
from .in_vault_file import READING, REFUSALS, WRITING

PLANTED: tuple[Fault, ...] = (
    *WRITING,
    *READING,
    *REFUSALS,
    *in_keys.VERDICTS,
    *in_keys.KEYS,
    *in_keys.KEY_FILES,
    *in_plans.CHANGES,
    *in_plans.MOUNTPOINTS,
    *in_plans.HIERARCHY,
    *in_runs.UNLOCKING,
    *in_locks.FORCE,
    *in_locks.CLOSING,
    *in_locks.FOUNDATIONS,
    *in_locks.PROTECTION,
    *in_locks.LAST_LOOK,
    *in_locks.PROMOTED,
    *in_runs.EDGE,
    *in_drills.DRILLS,
    *in_escrow.KEEPING,
    *in_escrow.MOVING,
    *in_escrow.DESTROYING,
    *in_servers.OPENBAO,
    *in_servers.KMIP,
    *in_rotation.ROTATION,
    *in_rotation.RETIREMENT,
    *in_rotation.EVIDENCE,
)

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections/zfsfleet/encryption"
COPIED = ("plugins", "roles", "playbooks", "tests", "meta", "docs", "galaxy.yml", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "output", "testbed", "wire", "integration")
EVERYTHING = ("tests/unit/plugins", "tests/conformance")
SIDE_BY_SIDE = 2
SECONDS = 1200  # all tests take a few minutes, and much longer beside virtual machines
FAILED = re.compile(r"^(?:FAILED|ERROR) \S*?([^/\s]+\.py::[^\s\[]+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a fault: the test that killed it, or why none did."""

    killer: str | None
    problem: str = ""


class Copy:
    """A copy of the sources, in which one fault at a time is planted."""

    def __init__(self, directory: Path) -> None:
        self._top = directory
        self._sources = directory / COLLECTION
        for name in COPIED:
            source, target = ROOT / name, self._sources / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=LEFT_OUT)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def pytest(self, tests: t.Iterable[str]) -> subprocess.CompletedProcess[str]:
        words = ("-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider")
        return subprocess.run(
            [sys.executable, "-m", "pytest", *words, *tests],
            cwd=self._sources,
            env={**os.environ, "PYTHONPATH": str(self._top), "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )

    def judge(self, fault: Fault) -> Verdict:
        file = self._sources / "plugins" / fault.file
        sound = file.read_text()
        if sound.count(fault.old) != 1:
            return Verdict(None, f"its old text stands {sound.count(fault.old)} times in {fault.file}, not once")
        file.write_text(sound.replace(fault.old, fault.new))
        try:
            return self._hunt(fault)
        except subprocess.TimeoutExpired:
            return Verdict(None, f"the tests did not end within {SECONDS} s")
        finally:
            file.write_text(sound)

    def _hunt(self, fault: Fault) -> Verdict:
        for tests in (paths_of(fault.tests), EVERYTHING):
            ran = self.pytest(tests)
            if ran.returncode == 1:
                found = FAILED.search(ran.stdout)
                return Verdict(found[1] if found else "a test")
            if ran.returncode != 0:
                return Verdict(None, f"pytest broke: {ran.stdout[-500:]}")
        return Verdict(None, f"it survived. {fault.harm}")


def paths_of(names: t.Iterable[str]) -> tuple[str, ...]:
    """Return the files of tests, named without directory and ending; two may have one name."""
    return tuple(
        str(path.relative_to(ROOT)) for name in names for top in EVERYTHING for path in (ROOT / top).glob(f"{name}.py")
    )


def main() -> int:
    chosen = [each for each in PLANTED if all(word in each.name for word in sys.argv[1:])]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(SIDE_BY_SIDE):
            copies.put(Copy(Path(directory) / str(number)))
        sound = copies.get()
        ran = sound.pytest(EVERYTHING)
        copies.put(sound)
        if ran.returncode != 0:
            print(f"mutants: without any fault the tests do not pass\n{ran.stdout}")
            return 1
        print(f"no fault planted: {ran.stdout.strip().splitlines()[-1]}", flush=True)
        verdicts = _judge_all(chosen, copies)
    killed = sum(verdict.killer is not None for verdict in verdicts)
    print(f"mutants: {time.monotonic() - started:.0f} seconds")
    print(f"mutants: planted={len(chosen)} killed={killed}")
    return 0 if chosen and killed == len(chosen) else 1


def _judge_all(chosen: t.Sequence[Fault], copies: queue.SimpleQueue[Copy]) -> list[Verdict]:
    telling = threading.Lock()

    def judge(fault: Fault) -> Verdict:
        copy, started = copies.get(), time.monotonic()
        verdict = copy.judge(fault)
        copies.put(copy)
        told = f"killed by {verdict.killer}" if verdict.killer else f"NOT KILLED: {verdict.problem}"
        with telling:
            print(f"{fault.name}: {told} ({time.monotonic() - started:.0f} s)", flush=True)
        return verdict

    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        return list(pool.map(judge, chosen))


if __name__ == "__main__":
    sys.exit(main())
