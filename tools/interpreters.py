"""The Pythons of this machine, by minor version."""

from __future__ import annotations

import functools
import os
import subprocess
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# What managed hosts may run.
MANAGED = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()


def search_path(first: Path) -> str:
    """PATH with one directory first, and pyenv's interpreters instead of its shims.

    A shim exists for every version but runs only the selected ones: ansible-test would count it as an interpreter.
    """
    inherited = [entry for entry in os.environ["PATH"].split(os.pathsep) if entry and Path(entry) != _pyenv() / "shims"]
    interpreters = sorted(map(str, _pyenv().glob("versions/*/bin")))
    return os.pathsep.join([str(first), *inherited, *interpreters])


@functools.cache
def find(version: str) -> Path | None:
    """A working interpreter that can make virtual environments."""
    question = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in _candidates(version):
        answer = subprocess.run([candidate, "-c", question], check=False, capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return candidate
    return None


def lacking() -> list[str]:
    return [version for version in MANAGED if not find(version)]


def _candidates(version: str) -> Iterator[Path]:
    for directory in search_path(_pyenv()).split(os.pathsep):
        candidate = Path(directory, f"python{version}")
        if os.access(candidate, os.X_OK):
            yield candidate
