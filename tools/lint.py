"""Run every linter over the parts of the project that exist, and report each as passed or failed."""

from __future__ import annotations

import argparse
import sys
import typing as t
from pathlib import Path

from snapshot import ROOT, project_files, snapshot
from verdicts import Command, report, run_two_at_once

COLLECTION = "ansible_collections.zfsfleet.encryption"
# Imported by their name within the collection, like the plugins they test.
COLLECTION_PACKAGES = (
    "plugins",
    "tests/unit",
    "tests/fake",
    "tests/conformance",
    "tests/wire",
    "tests/secrecy",
    "tests/leaks",
    "tests/escrow",
    "tests/faults",
    "tests/benchmark",
)
# Programs of their own, imported from `tests`.
PROGRAMS = ("testbed", "demo", "mutants")


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


def mypy(subject: str, *arguments: str) -> Command:
    # A cache each, since two of them may run at once.
    return Command(f"mypy {subject}", ("mypy", f"--cache-dir=.mypy_cache/{subject}", *arguments))


def linters(copy: Path) -> t.Iterator[Command]:
    files = project_files()
    python = python_sources(files)
    names = tuple(map(str, python))
    yield Command("ruff format", ("ruff", "format", "--check", *names))
    yield Command("ruff check", ("ruff", "check", *names))

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

    yield Command("yamllint", ("yamllint", "--strict", "."))
    yield Command("ansible-lint", ("ansible-lint", "--profile", "production", "--offline", "--strict"))
    yield Command("antsibull-changelog", ("antsibull-changelog", "lint"))
    if (ROOT / "changelogs/changelog.yaml").exists():
        yield Command("changelog.yaml", ("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml"))
    # In the copy, where git cannot refuse a checkout of another user.
    yield Command("reuse", ("reuse", "lint", "--lines"), cwd=copy)
    yield Command(
        "antsibull-docs",
        (
            *("antsibull-docs", "lint-collection-docs", "--plugin-docs"),
            *("--validate-collection-refs=all", "--check-extra-docs-refs", "--skip-rstcheck", "."),
        ),
        cwd=copy,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="LINTER", help="words of the names to run, for example: ruff mypy")
    wanted = parser.parse_args().only

    with snapshot() as copy:
        chosen = [linter for linter in linters(copy) if not wanted or any(word in linter.name for word in wanted)]
        return report("lint", run_two_at_once(chosen))


if __name__ == "__main__":
    sys.exit(main())
