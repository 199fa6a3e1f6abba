# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees what Python processes on the controller start, delete and overwrite, by audit hooks (PEP 578).

Python imports this at start-up from PYTHONPATH, also in modules that run on the controller itself. Everything is kept
in a file of its own below SECRECY_SPIED: `argument.*`, `environment.*`, and `file.*` for what a file held before it was
gone.
"""

from __future__ import annotations

import itertools
import os
import stat
import sys
import threading
import typing as t

_KEPT = os.environ["SECRECY_SPIED"]
_LARGEST = 16 * 2**20
_numbers = itertools.count()
_busy = threading.local()


def _keep(kind: str, content: bytes) -> None:
    with open(f"{_KEPT}/{kind}.{os.getpid()}.{next(_numbers)}", "wb") as file:
        file.write(content)


def _started(_executable: t.Any, arguments: t.Any, environment: t.Any) -> None:
    words = [arguments] if isinstance(arguments, (str, bytes)) else list(arguments)
    _keep("argument", b"\0".join(os.fsencode(word) for word in words))
    given = os.environb if environment is None else environment
    _keep("environment", b"\0".join(os.fsencode(name) + b"=" + os.fsencode(value) for name, value in given.items()))


def _gone(path: t.Any, directory: int = -1) -> None:
    """Keep what a file holds that is about to be deleted or overwritten."""
    if isinstance(path, int):
        return
    text = os.fsdecode(path)
    if directory >= 0:
        text = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), text)
    try:
        found = os.lstat(text)
    except OSError:
        return
    if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= _LARGEST:
        with open(text, "rb") as file:
            _keep("file", text.encode("utf-8", "surrogateescape") + b"\n" + file.read())


def _see(event: str, given: tuple[t.Any, ...]) -> None:
    if event == "subprocess.Popen":
        executable, arguments, _directory, environment = given
        _started(executable, arguments, environment)
    elif event in ("os.exec", "os.posix_spawn"):
        _started(*given[:3])
    elif event == "os.system":
        _started(None, given[0], None)
    elif event == "os.putenv":
        _keep("environment", os.fsencode(given[0]) + b"=" + os.fsencode(given[1]))
    elif event == "os.remove":
        _gone(*given[:2])
    elif event == "os.rename":
        _gone(given[1], given[3])
    elif event == "open" and isinstance(given[2], int) and given[2] & os.O_TRUNC:
        _gone(given[0])


def _hook(event: str, given: tuple[t.Any, ...]) -> None:
    if event.startswith(("os.", "open", "subprocess.")) and not getattr(_busy, "now", False):
        _busy.now = True
        try:
            _see(event, given)
        finally:
            _busy.now = False


sys.addaudithook(_hook)
