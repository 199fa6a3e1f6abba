"""Run ansible-test's sanity tests on a copy of the working tree; options are passed on to `ansible-test sanity`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import interpreters
from snapshot import ROOT, snapshot

SANITY = ("ansible-test", "sanity", "--local", "--color", "no")
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


def main() -> int:
    offer_pip_bootstrap()
    # Before the run, since what follows ansible-test's summary would be counted as failed.
    for version in interpreters.lacking():
        print(f"sanity: this machine has no Python {version}: nothing is compiled or imported with it", flush=True)
    with snapshot() as copy:
        return subprocess.run(
            [*SANITY, *sys.argv[1:]],
            cwd=copy,
            env={**os.environ, "PATH": interpreters.search_path(ROOT / ".venv/bin")},
            check=False,
            stdin=subprocess.DEVNULL,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
