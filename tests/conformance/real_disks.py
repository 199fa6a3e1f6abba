# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and pools of the machine: blank, in use, lost in a crash."""

from __future__ import annotations

import contextlib
import filecmp
import functools
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.tests.conformance.commands import output, run, wait

HOSTID = "/sys/module/spl/parameters/spl_hostid"


class RealDisks:
    """Three disks, and as many pools on sparse files as are wanted.

    Args:
        files: a directory for the files, and for what is mounted beside OpenZFS.
    """

    def __init__(self, files: str) -> None:
        self._files = files

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        options = ("encryption=on", "keyformat=hex", "keylocation=prompt", "mountpoint=none")
        self._make_pool(name, "64M", options, key.text("hex") + b"\n")
        try:
            yield
        finally:
            run("zpool", "destroy", "-f", name)

    def blank_disks(self) -> tuple[str, ...]:
        paths = tuple(f"/dev/disk/by-id/virtio-d{number}" for number in range(3))
        for path in paths:
            run("blkdiscard", "--force", path)
            run("blockdev", "--rereadpt", path)
        run("udevadm", "settle")
        return paths

    def put_on(self, path: str, kind: str) -> None:
        if kind == "ext4":
            run("mkfs.ext4", "-q", "-F", "-L", "old", path)
        else:
            subprocess.run(["mkswap", "-L", "old", path], check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def mounted_disk(self, path: str) -> t.Iterator[None]:
        place = f"{self._files}/mounted"
        os.makedirs(place, exist_ok=True)
        run("mount", path, place)
        try:
            yield
        finally:
            run("umount", place)

    @contextlib.contextmanager
    def attached_file(self, path: str) -> t.Iterator[None]:
        device = output("losetup", "--find", "--show", path).strip()
        try:
            yield
        finally:
            run("losetup", "--detach", device)
            file = f"/sys/block/{os.path.basename(device)}/loop/backing_file"
            wait(lambda: not os.path.exists(file), f"the end of {device}")

    @contextlib.contextmanager
    def hostid(self, number: int) -> t.Iterator[None]:
        before = Path(HOSTID).read_text(encoding="ascii")
        Path(HOSTID).write_text(str(number), encoding="ascii")
        try:
            yield
        finally:
            Path(HOSTID).write_text(before, encoding="ascii")

    def crash(self, pool: str) -> None:
        files = re.findall(r"^\s+(/\S+)", output("zpool", "status", "-P", pool), re.MULTILINE)
        for file in files:
            wait(functools.partial(_copied_at_rest, pool, file), f"rest for {file}")
        run("zpool", "destroy", pool)
        for file in files:
            os.replace(f"{file}.crashed", file)

    def _make_pool(self, name: str, size: str, options: t.Iterable[str], stdin: bytes = b"") -> None:
        disk = f"{self._files}/{name}"
        run("truncate", "-s", size, disk)
        run("zpool", "create", *(word for option in options for word in ("-O", option)), name, disk, stdin=stdin)


def _copied_at_rest(pool: str, file: str) -> bool:
    """Copy a pool's file, and tell whether nothing was written to it meanwhile."""
    run("zpool", "sync", pool)
    shutil.copyfile(file, f"{file}.crashed")
    return filecmp.cmp(file, f"{file}.crashed", shallow=False)
