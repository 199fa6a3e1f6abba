"""Run every linter over the parts of the project that exist, and report each as passed or failed."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snapshot import ROOT, project_files, snapshot

COLLECTION = "ansible_collections.zfsfleet.encryption"
# Imported by their name within the collection, like the plugins they test.
COLLECTION_PACKAGES = (
    "plugins",
    "tests/unit",
    "tests/fake",
    "tests/conformance",
    "tests/wire",
    "tests/faults",
    "tests/benchmark",
)
# Programs of their own, imported from `tests`.
PROGRAMS = ("testbed", "demo")


@dataclasses.dataclass(frozen=True)
class Linter:
    name: str
    argv: tuple[str, ...]
    cwd: Path = ROOT


@dataclasses.dataclass(frozen=True)
class Verdict:
    name: str
    passed: bool
    seconds: float
    output: str


def python_sources(files: list[Path]) -> list[Path]:
    """Python by suffix, and scripts without one whose first line names Python."""
    return [file for file in files if file.suffix == ".py" or (not file.suffix and _has_python_shebang(file))]


def _has_python_shebang(file: Path) -> bool:
    with (ROOT / file).open("rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#!") and b"python" in first


def below(directory: str, files: list[Path]) -> list[Path]:
    return [file for file in files if file.is_relative_to(directory)]


def has_modules(directory: str, files: list[Path]) -> bool:
    return any(file.suffix for file in below(directory, files))


def mypy(subject: str, *arguments: str) -> Linter:
    # A cache each, since two of them may run at once.
    return Linter(f"mypy {subject}", ("mypy", f"--cache-dir=.mypy_cache/{subject}", *arguments))


def linters(copy: Path) -> t.Iterator[Linter]:
    files = project_files()
    python = python_sources(files)
    names = tuple(map(str, python))
    yield Linter("ruff format", ("ruff", "format", "--check", *names))
    yield Linter("ruff check", ("ruff", "check", *names))

    packages = [directory for directory in COLLECTION_PACKAGES if has_modules(directory, python)]
    if packages:
        yield mypy("collection", *(f"--package={COLLECTION}.{name.replace('/', '.')}" for name in packages))
    programs = [program for program in PROGRAMS if has_modules(f"tests/{program}", python)]
    if programs:
        yield mypy("programs", *(f"--package={program}" for program in programs))
    yield mypy("tools", *(str(file) for file in below("tools", python) if file.suffix))
    # Several scripts may have the same name: each is a program of its own.
    for script in (file for file in python if not file.suffix):
        yield mypy(str(script), str(script))

    yield Linter("yamllint", ("yamllint", "--strict", "."))
    yield Linter("ansible-lint", ("ansible-lint", "--profile", "production", "--offline", "--strict"))
    yield Linter("antsibull-changelog", ("antsibull-changelog", "lint"))
    if (ROOT / "changelogs/changelog.yaml").exists():
        yield Linter("changelog.yaml", ("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml"))
    yield Linter(
        "antsibull-docs",
        (
            *("antsibull-docs", "lint-collection-docs", "--plugin-docs"),
            *("--validate-collection-refs=all", "--skip-rstcheck", "."),
        ),
        cwd=copy,
    )


def run(linter: Linter) -> Verdict:
    start = time.monotonic()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
        "NO_COLOR": "1",
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    }
    try:
        done = subprocess.run(
            linter.argv,
            cwd=linter.cwd,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return Verdict(linter.name, passed=False, seconds=time.monotonic() - start, output=f"{error}\n")
    return Verdict(linter.name, done.returncode == 0, time.monotonic() - start, done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="LINTER", help="words of the names to run, for example: ruff mypy")
    wanted = parser.parse_args().only

    verdicts = []
    with snapshot() as copy, ThreadPoolExecutor(max_workers=2) as pool:
        chosen = [item for item in linters(copy) if not wanted or any(word in item.name for word in wanted)]
        for verdict in pool.map(run, chosen):
            print(f"{'ok  ' if verdict.passed else 'FAIL'} {verdict.name} ({verdict.seconds:.1f} s)", flush=True)
            if not verdict.passed:
                print(verdict.output, flush=True)
            verdicts.append(verdict)
    passed = sum(verdict.passed for verdict in verdicts)
    print(f"lint: passed={passed} failed={len(verdicts) - passed}")
    return 0 if verdicts and passed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
