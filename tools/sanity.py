"""Run ansible-test's sanity tests on a copy of the working tree; options are passed on to `ansible-test sanity`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from snapshot import ROOT, snapshot

# The pip versions whose bootstrap script ansible-core 2.19 and 2.20 to 2.22 look for in their cache.
BOOTSTRAPPED_PIPS = ("24_2", "25_2")


def offer_pip_bootstrap() -> None:
    """Put our stand-in where ansible-test looks before it downloads; a script that is there already stays."""
    cache = Path("~/.ansible/test/cache").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    for version in BOOTSTRAPPED_PIPS:
        script = cache / f"get_pip_{version}.py"
        if not script.exists():
            shutil.copy(ROOT / "tools/get_pip.py", script)


def search_path() -> str:
    """PATH with the venv first, and pyenv's interpreters instead of its shims.

    A shim exists for every version but runs only the selected ones: ansible-test would count it as an interpreter.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    inherited = [entry for entry in os.environ["PATH"].split(os.pathsep) if entry and Path(entry) != pyenv / "shims"]
    interpreters = sorted(map(str, pyenv.glob("versions/*/bin")))
    return os.pathsep.join([str(ROOT / ".venv/bin"), *inherited, *interpreters])


def main() -> int:
    offer_pip_bootstrap()
    with snapshot() as copy:
        return subprocess.run(
            ["ansible-test", "sanity", "--local", "--color", "no", *sys.argv[1:]],
            cwd=copy,
            env={**os.environ, "PATH": search_path()},
            check=False,
            stdin=subprocess.DEVNULL,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
