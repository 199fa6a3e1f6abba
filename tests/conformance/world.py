# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does beside the protocol: cloning, replicating, holding things open, leaving files about."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import time
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._openzfs import OpenZFS
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

POOL = "proof"
SMALL_POOL = "proof.small"  # of few datasets, for what reads them all
NODE_TIMEOUT = 20.0  # seconds until udev has made a volume's node


class World(t.Protocol):
    """A machine with two pools whose root datasets are plain and never mounted.

    Their mountpoints are ``directory``, and the small pool's is ``small`` below it.
    """

    directory: str

    def host(self, binding: str) -> Host:
        """Return the machine as a binding reaches it."""

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset."""

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment."""

    def hold(self, name: str) -> t.ContextManager[None]:
        """Have a file of a mounted filesystem open, or a volume."""

    def put_file(self, path: str) -> None:
        """Leave a file, and the directories above it."""

    def mode_of(self, path: str) -> int:
        """Return a file's permissions."""

    def encrypted_pool(self, name: str, key: Key) -> t.ContextManager[None]:
        """Have another pool, its root dataset an encryption root of keyformat hex."""


class FakeWorld:
    directory = "/proof"

    def __init__(self) -> None:
        self._host = FakeOpenZFS()
        for pool, mountpoint in ((POOL, self.directory), (SMALL_POOL, f"{self.directory}/small")):
            self._host.add_pool(pool, {"mountpoint": mountpoint, "canmount": "off"})

    def host(self, binding: str) -> Host:
        return self._host

    def clone(self, origin: str, name: str) -> None:
        self._host.clone(origin, name)

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        self._host.replicate(source, target, properties=properties)

    def hold(self, name: str) -> t.ContextManager[None]:
        return self._host.hold(name)

    def put_file(self, path: str) -> None:
        self._host.occupied[path] = "is a file, not a directory."
        self._host.occupied[os.path.dirname(path)] = "is not empty."

    def mode_of(self, path: str) -> int:
        return 0o400 if path in self._host.key_files else 0o644

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        self._host.add_pool(name, {"encryption": "on", "keyformat": "hex"}, key)
        yield


class RealWorld:
    """Pools on sparse files in a directory that goes away with them."""

    def __init__(self, directory: str) -> None:
        self._files = directory
        self.directory = f"{directory}/mnt"
        for pool, size, mountpoint in ((POOL, "512M", self.directory), (SMALL_POOL, "64M", f"{self.directory}/small")):
            self._make_pool(pool, size, (f"mountpoint={mountpoint}", "canmount=off"))

    def close(self) -> None:
        for pool in (POOL, SMALL_POOL):
            _run("zpool", "destroy", "-f", pool)

    def host(self, binding: str) -> Host:
        return OpenZFS(binding)

    def clone(self, origin: str, name: str) -> None:
        snapshot = f"{origin}@{name.rpartition('/')[2]}"
        _run("zfs", "snapshot", snapshot)
        _run("zfs", "clone", snapshot, name)
        # Cloning mounts, and there is no option against it before OpenZFS 2.3.
        subprocess.run(["zfs", "unmount", name], check=False, stderr=subprocess.DEVNULL)

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        known = _output("zfs", "list", "-Ho", "name", "-t", "snapshot", "-s", "createtxg", source).split()
        snapshot = f"{source}@{len(known)}"
        _run("zfs", "snapshot", snapshot)
        since = ["-i", known[-1]] if known else []
        send = ["zfs", "send", "-wp" if properties else "-w", *since, snapshot]
        stream = subprocess.run(send, check=True, stdout=subprocess.PIPE).stdout
        # Forced, since trying to read a dataset changes it (space accounting).
        _run("zfs", "receive", "-uF", target, stdin=stream)

    @contextlib.contextmanager
    def hold(self, name: str) -> t.Iterator[None]:
        kind, mountpoint = _output("zfs", "get", "-Hpo", "value", "type,mountpoint", name).split("\n")[:2]
        if kind == "volume":
            with open(_node(name), "rb"):
                yield
        else:
            with open(f"{mountpoint}/held", "wb"):
                yield

    def put_file(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass

    def mode_of(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        options = ("encryption=on", "keyformat=hex", "keylocation=prompt", "mountpoint=none")
        self._make_pool(name, "64M", options, key.text("hex") + b"\n")
        try:
            yield
        finally:
            _run("zpool", "destroy", "-f", name)

    def _make_pool(self, name: str, size: str, options: t.Iterable[str], stdin: bytes = b"") -> None:
        disk = f"{self._files}/{name}"
        _run("truncate", "-s", size, disk)
        _run("zpool", "create", *(word for option in options for word in ("-O", option)), name, disk, stdin=stdin)


def _run(*argv: str, stdin: bytes = b"") -> None:
    subprocess.run(argv, check=True, input=stdin)


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def _node(volume: str) -> str:
    node = f"/dev/zvol/{volume}"
    deadline = time.monotonic() + NODE_TIMEOUT
    while not os.path.exists(node):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{node} did not appear")
        time.sleep(0.05)
    return node
