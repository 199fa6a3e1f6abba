"""Run checks, report each in a line as passed or failed, and count them in a closing line."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from snapshot import ROOT

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Verdict:
    name: str
    passed: bool
    seconds: float
    output: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A program, judged by its exit status; where that is too kind, by what its output must and must not hold, too."""

    name: str
    argv: tuple[str, ...]
    cwd: Path = ROOT
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    minutes: int = 10

    def __call__(self) -> Verdict:
        start = time.monotonic()
        try:
            done = subprocess.run(
                self.argv,
                cwd=self.cwd,
                env={**environment(), **self.environment},
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=self.minutes * 60,
            )
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            return Verdict(self.name, passed=False, seconds=time.monotonic() - start, output=f"{error}\n")
        missing = [f"not in the output: {text}\n" for text in self.wanted if text not in done.stdout]
        passed = done.returncode == 0 and not missing and not any(text in done.stdout for text in self.unwanted)
        return Verdict(self.name, passed, time.monotonic() - start, done.stdout + "".join(missing))


@dataclasses.dataclass(frozen=True)
class Inspection:
    """A function that returns its complaints: without any, the verdict is good."""

    name: str
    complaints: Callable[[], Iterable[str]]

    def __call__(self) -> Verdict:
        start = time.monotonic()
        found = list(self.complaints())
        return Verdict(self.name, not found, time.monotonic() - start, "".join(f"{line}\n" for line in found))


Check = Command | Inspection


def environment() -> dict[str, str]:
    """Ours, with the tools of .venv, the collection as it is in the checkout, and no colours."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
        "NO_COLOR": "1",
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    }


def run_two_at_once(checks: Iterable[Check]) -> Iterator[Verdict]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(lambda check: check(), checks)


def show(verdict: Verdict) -> None:
    print(f"{'ok  ' if verdict.passed else 'FAIL'} {verdict.name} ({verdict.seconds:.1f} s)", flush=True)
    if not verdict.passed:
        print(verdict.output, flush=True)


def report(part: str, verdicts: Iterable[Verdict]) -> int:
    """Print verdicts as they come, then how many there were; return the exit status."""
    passed = failed = 0
    for verdict in verdicts:
        show(verdict)
        passed += verdict.passed
        failed += not verdict.passed
    print(f"{part}: passed={passed} failed={failed}")
    return 0 if passed and not failed else 1
