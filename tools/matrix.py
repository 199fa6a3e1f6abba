"""Every supported ansible-core, and every supported Python of managed hosts, as far as this machine has them.

For each ansible-core: its sanity tests, and all unit tests with it as the controller. For each Python: the tests of
what runs on managed hosts, where nothing of Ansible can be imported but the newest core's module_utils. What the
machine lacks is named in the last line and does not fail; if nothing could be run, that does.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import subprocess
import sys
import typing as t

import interpreters
import managed_host
import tally
from sanity import SANITY, offer_pip_bootstrap
from snapshot import ROOT, snapshot
from verdicts import Command, Verdict, show

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The Pythons that may run a controller, the one to prefer first, so that each core meets another.
CORES = {"2.19": ("3.11", "3.12", "3.13"), "2.20": ("3.12", "3.13", "3.14"), "2.21": ("3.13", "3.14", "3.12")}
KINDS = ("sanity", "controller", "managed")
OUTPUT = ROOT / "tests/output/matrix"
STATEMENTS = ("tests/conformance", "--host", "fake")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one combination came to. One that could not be run has no count."""

    kind: str
    counted: tally.Tally | None = None
    lacking: str = ""

    @property
    def good(self) -> bool:
        return bool(self.counted and self.counted.passed and not self.counted.failed)


def controller_python(core: str) -> str | None:
    return next(filter(interpreters.find, CORES[core]), None)


def virtual_environment(name: str, version: str, *requirements: str) -> Path:
    """One with the newest releases that fit, since a matrix asks about those; a later run brings it up to date."""
    directory = OUTPUT / name
    python = interpreters.find(version)
    assert python, "asked before"
    subprocess.run([python, "-m", "venv", directory], check=True)
    install = (directory / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--upgrade")
    subprocess.run([*install, *requirements], check=True, cwd=ROOT)
    return directory


@functools.cache
def controller(core: str) -> Path:
    requirements = (f"ansible-core=={core}.*", "pytest", "--requirement=tests/unit/requirements.txt")
    return virtual_environment(f"core-{core}", controller_python(core) or "", *requirements)


def judge(kind: str, command: Command, count: Callable[[str], tally.Tally]) -> Outcome:
    verdict = command()
    counted = count(verdict.output)
    if not counted.failed and not (verdict.passed and counted.passed):
        counted = dataclasses.replace(counted, failed=("did not finish",))
    name = f"{command.name}: {counted.passed} passed, {counted.skipped} skipped"
    show(Verdict(name, not counted.failed, verdict.seconds, verdict.output))
    return Outcome(kind, counted)


def judge_tests(kind: str, name: str, python: Path, copy: Path, tests: list[str], *import_path: Path) -> Outcome:
    report = OUTPUT / f"{python.name}.xml"
    report.unlink(missing_ok=True)
    command = Command(
        name,
        (str(python / "bin/python"), "-m", "pytest", "--quiet", f"--junitxml={report}", *tests),
        cwd=copy,
        environment={"PYTHONPATH": ":".join(map(str, import_path))},
    )
    return judge(kind, command, lambda _output: tally.of_junit(report))


def on_controller(core: str) -> Iterator[Outcome]:
    version = controller_python(core)
    if not version:
        missing = f"Python {' or '.join(CORES[core])} for ansible-core {core}"
        yield from (Outcome(kind, lacking=missing) for kind in ("sanity", "controller"))
        return
    name = f"ansible-core {core}, Python {version}"
    environment = {"PATH": interpreters.search_path(controller(core) / "bin")}
    with snapshot() as copy:
        sanity = Command(f"sanity, {name}", SANITY, cwd=copy, environment=environment, minutes=30)
        yield judge("sanity", sanity, tally.of_sanity)
        tests = ["tests/unit", *STATEMENTS]
        yield judge_tests("controller", f"unit, {name}", controller(core), copy, tests, copy.parents[2])


def on_managed_host(version: str) -> Outcome:
    core = next(filter(controller_python, reversed(CORES)), None)
    if not core or not interpreters.find(version):
        return Outcome("managed", lacking=f"Python {version}")
    module_utils = OUTPUT / "module_utils"
    managed_host.provide_module_utils(controller(core), module_utils)
    python = virtual_environment(f"managed-{version}", version, "pytest", "hypothesis")
    with snapshot() as copy:
        tests = sorted(copy.glob("tests/unit/plugins/**/test_*.py"))
        chosen = [str(test.relative_to(copy)) for test in tests if not managed_host.needs_controller(test, copy)]
        name = f"managed host, Python {version}, {len(chosen)} of {len(tests)} files and the statements"
        return judge_tests("managed", name, python, copy, [*chosen, *STATEMENTS], module_utils, copy.parents[2])


def run(only: list[str]) -> Iterator[Outcome]:
    for core in CORES:
        if not only or core in only:
            yield from on_controller(core)
    for version in interpreters.MANAGED:
        if not only or version in only:
            yield on_managed_host(version)


def closing(outcomes: list[Outcome]) -> str:
    of_kind = {kind: [outcome for outcome in outcomes if outcome.kind == kind] for kind in KINDS}
    counted = [outcome.counted for outcome in outcomes if outcome.counted]
    lacking = dict.fromkeys(outcome.lacking for outcome in outcomes if outcome.lacking)
    return " ".join(
        [
            "matrix:",
            *(f"{kind}={sum(outcome.good for outcome in ran)}/{len(ran)}" for kind, ran in of_kind.items()),
            f"passed={sum(each.passed for each in counted)}",
            f"failed={sum(len(each.failed) for each in counted)}",
            f"skipped={sum(each.skipped for each in counted)}",
            f"lacking={'; '.join(lacking) or 'nothing'}",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    choices = [*CORES, *interpreters.MANAGED]
    parser.add_argument("only", nargs="*", metavar="VERSION", help=f"of ansible-core or Python: {', '.join(choices)}")
    only = parser.parse_args().only
    if unknown := set(only) - set(choices):
        parser.error(f"unknown version {', '.join(sorted(unknown))}: choose from {', '.join(choices)}")

    OUTPUT.mkdir(parents=True, exist_ok=True)
    offer_pip_bootstrap()
    outcomes = list(run(only))
    print(closing(outcomes))
    ran = [outcome for outcome in outcomes if not outcome.lacking]
    return 0 if ran and all(outcome.good for outcome in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
