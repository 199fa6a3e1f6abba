"""A copy of the working tree at the path ansible-test and antsibull-docs insist on.

Both resolve symbolic links and then want `.../ansible_collections/<namespace>/<name>`, so that `.tree` does not do.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


def project_files() -> list[Path]:
    """Every file that is tracked, or new and not ignored, relative to the root."""
    # A checkout may belong to another user than the one who runs the tests, which is no danger here.
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    names = sorted(set(filter(None, listing.split("\0"))))
    return [Path(name) for name in names if (ROOT / name).is_file()]


@contextlib.contextmanager
def snapshot() -> Iterator[Path]:
    """A temporary copy of the project, removed on leaving."""
    with tempfile.TemporaryDirectory(prefix="zfsfleet-") as scratch:
        collection = Path(scratch, "ansible_collections", "zfsfleet", "encryption")
        for name in project_files():
            target = collection / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
        yield collection
