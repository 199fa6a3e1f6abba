"""Where the testbed keeps things: the cache is shared by all checkouts, the machines belong to one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .failure import TestbedError

SOURCES = Path(__file__).resolve().parent
GUEST_FILES = SOURCES / "guest"
MACHINES = SOURCES.parent.parent / ".testbed"


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "zfsfleet-testbed"


def machines_directory() -> Path:
    """The state of this checkout's machines; ignored by git without a rule in the project."""
    MACHINES.mkdir(exist_ok=True)
    ignore = MACHINES / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return MACHINES


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file for as long as the block runs; the kernel lets go of it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_space(directory: Path, gibibytes: int, purpose: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free / 2**30
    if free < gibibytes:
        raise TestbedError(
            f"{purpose} needs {gibibytes} GiB, but {directory} has {free:.1f} GiB free. Free some space, or point"
            " XDG_CACHE_HOME to a larger disk."
        )


def remove_tree(directory: Path) -> None:
    """Delete a directory, but never what is still mounted below it."""
    below = f"{directory.resolve()}/"
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    busy = sorted(mount for mount in mounted if f"{mount}/".startswith(below))
    if busy:
        raise TestbedError(f"{directory} still holds mounts of an interrupted build: umount {' '.join(reversed(busy))}")
    shutil.rmtree(directory, ignore_errors=True)
