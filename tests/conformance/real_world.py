# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person on a machine with OpenZFS, as root."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._openzfs import OpenZFS
from ansible_collections.zfsfleet.encryption.tests.conformance.commands import attempt, node_of, output, run, wait
from ansible_collections.zfsfleet.encryption.tests.conformance.real_streams import RealStreams
from ansible_collections.zfsfleet.encryption.tests.conformance.real_users import RealUsers
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, SMALL_POOL

# What OpenZFS's history_event-zfs-list-cacher.sh writes down for its generator.
CACHED_PROPERTIES = (
    *("name", "mountpoint", "canmount", "atime", "relatime", "devices", "exec", "readonly", "setuid", "nbmand"),
    *("encroot", "keylocation"),
    *(
        f"org.openzfs.systemd:{name}"
        for name in (
            "requires",
            "requires-mounts-for",
            "before",
            "after",
            "wanted-by",
            "required-by",
            "nofail",
            "ignore",
        )
    ),
)


class RealWorld(RealStreams, RealUsers):
    """Pools on sparse files in a directory that goes away with them."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.directory = f"{directory}/mnt"
        major, minor = re.findall(r"\d+", output("zfs", "version"))[:2]
        self.version = (int(major), int(minor))
        for pool, size, mountpoint in ((POOL, "512M", self.directory), (SMALL_POOL, "256M", f"{self.directory}/small")):
            self._make_pool(pool, size, (f"mountpoint={mountpoint}", "canmount=off"))

    def close(self) -> None:
        for pool in (POOL, SMALL_POOL):
            run("zpool", "destroy", "-f", pool)
        # What is still protected could not be removed.
        subprocess.run(["chattr", "-R", "-f", "-i", self._files], check=False, stderr=subprocess.DEVNULL)

    def host(self, binding: str) -> Host:
        return OpenZFS(binding)

    def clone(self, origin: str, name: str) -> None:
        snapshot = f"{origin}@{name.rpartition('/')[2]}"
        run("zfs", "snapshot", snapshot)
        run("zfs", "clone", snapshot, name)
        # Cloning mounts, and there is no option against it before OpenZFS 2.3.
        subprocess.run(["zfs", "unmount", name], check=False, stderr=subprocess.DEVNULL)

    def promote(self, name: str) -> None:
        attempt("zfs", "promote", name)

    def sweep(self, name: str) -> None:
        def is_gone() -> bool:  # udev has a look at a volume that was just closed
            return subprocess.run(["zfs", "destroy", "-Rf", name], check=False, capture_output=True).returncode == 0

        wait(is_gone, f"the end of {name}")

    def put_data(self, name: str, content: bytes) -> None:
        with open(_data_file(name), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def data_of(self, name: str, size: int) -> bytes:
        with open(_data_file(name), "rb") as file:
            return file.read(size)

    def rename(self, old: str, new: str) -> None:
        attempt("zfs", "rename", old, new)

    def mount(self, name: str) -> None:
        run("zfs", "mount", name)

    def mount_options(self, name: str) -> frozenset[str]:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        found = [line.split(" ") for line in lines if f" - zfs {name} " in line]
        return frozenset(option for words in found for option in (*words[5].split(","), *words[-1].split(",")))

    def put_file(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass

    def take_away(self, path: str) -> None:
        os.remove(path)

    def lose_node(self, volume: str) -> None:
        os.remove(node_of(volume))

    def has_node(self, volume: str) -> bool:
        return os.path.exists(f"/dev/zvol/{volume}")  # now: nobody waits for it here

    @contextlib.contextmanager
    def nfs_server(self) -> t.Iterator[None]:
        """Make OpenZFS believe that there is one: it keeps the list, and would tell the server by this program."""
        program = Path("/usr/sbin/exportfs")
        program.write_text("#!/bin/sh\n", encoding="ascii")
        program.chmod(stat.S_IRWXU)
        try:
            yield
        finally:
            program.unlink()

    def exports(self) -> frozenset[str]:
        lines = Path("/etc/exports.d/zfs.exports").read_text(encoding="utf-8").splitlines()
        return frozenset(line.partition(" ")[0] for line in lines if line.startswith("/"))

    @contextlib.contextmanager
    def mount_units(self, name: str, *, masked: bool = False) -> t.Iterator[None]:
        cache = Path("/etc/zfs/zfs-list.cache", POOL)
        cache.parent.mkdir(exist_ok=True)
        cache.write_text(output("zfs", "list", "-rHo", ",".join(CACHED_PROPERTIES), name), encoding="utf-8")
        unit = output("systemd-escape", "--template=zfs-load-key@.service", name).strip()
        mask = Path("/run/systemd/system", unit)
        if masked:
            mask.symlink_to("/dev/null")
        run("systemctl", "daemon-reload")
        try:
            yield
        finally:
            cache.unlink()
            mask.unlink(missing_ok=True)
            run("systemctl", "stop", "zfs-load-key@*.service")
            run("systemctl", "daemon-reload")

    def let_systemd_act(self) -> None:
        time.sleep(3)

    def load_from_file(self, name: str, path: str) -> None:
        attempt("zfs", "load-key", "-L", f"file://{path}", name)

    def mode_of(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)

    @contextlib.contextmanager
    def checkpointed(self, name: str) -> t.Iterator[None]:
        output("zpool", "checkpoint", name)
        yield
        output("zpool", "checkpoint", "--discard", "--wait", name)

    def history(self) -> bytes:
        planted = secrets.token_hex(16)
        run("zfs", "set", f"proof:planted={planted}", POOL)
        # Not text: OpenZFS 2.4 prints what its own memory held before where a call has no arguments but hidden ones
        # (libnvpair.c, dump_nvlist). None of that comes from the pool.
        found = subprocess.run(["zpool", "history", "-il", POOL], check=True, stdout=subprocess.PIPE).stdout
        assert planted.encode() in found
        assert b"ioctl load-key" in found
        return found

    def can_write_into(self, directory: str) -> bool:
        try:
            Path(f"{directory}/written").touch()
        except PermissionError:
            return False
        os.unlink(f"{directory}/written")
        return True


def _data_file(name: str) -> str:
    """Return what is written to: a file, of a volume its node, since that exists ("wb" does not cut it off)."""
    kind, mountpoint, mounted = output("zfs", "get", "-Hpo", "value", "type,mountpoint,mounted", name).split("\n")[:3]
    if kind == "volume":
        return node_of(name)
    if mounted != "yes":
        raise AssertionError(f"{name} is not mounted")
    return f"{mountpoint}/data"
