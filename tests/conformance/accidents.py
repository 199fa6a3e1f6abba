# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a host in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

FIRST_IN_PATH = "/usr/local/sbin"
KILLED = """\
#!/bin/sh
if [ "$1" != {verb} ]; then
    exec {program} "$@"
fi
{before}
kill -KILL $$
"""


@contextlib.contextmanager
def creation_killed(host: Host, name: str, *, made: bool) -> t.Iterator[None]:
    """Have the command killed that creates a dataset or pool.

    Args:
        host: where.
        name: the dataset or pool.
        made: whether the kernel has done its work by then.
    """
    if isinstance(host, FakeOpenZFS):
        call = "create" if "/" in name else "create_pool"
        host.fail_on(call, name, CallFailed(f"{name} was not created: the command was killed (Killed)."))
        yield
        del host.faults[call, name]
        return
    command = "zfs" if "/" in name else "zpool"
    program = shutil.which(command)
    stand_in = Path(FIRST_IN_PATH, command)
    stand_in.write_text(
        KILLED.format(verb="create", program=program, before=f'{program} "$@"' if made else ":"), encoding="ascii"
    )
    stand_in.chmod(0o755)
    try:
        yield
    finally:
        os.unlink(stand_in)


@contextlib.contextmanager
def nowhere_to_mount(host: Host, name: str) -> t.Iterator[str]:
    """Have a mountpoint for a filesystem at which nothing can be mounted."""
    if isinstance(host, FakeOpenZFS):
        host.fail_on("mount", name, CallFailed(f"{name} was not mounted: no such directory", reason="mount_failed"))
    yield "/proc/nowhere"
    if isinstance(host, FakeOpenZFS):
        del host.faults["mount", name]
