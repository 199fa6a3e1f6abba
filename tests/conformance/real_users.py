# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everybody who can keep a dataset of the machine busy, and what the machine itself can stand on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.conformance.commands import (
    TIMEOUT,
    mountpoint_of,
    node_of,
    output,
    process,
    run,
    wait,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.real_disks import RealDisks
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL

PIPE = 1024 * 1024  # bytes, more than a pipe holds


class RealUsers(RealDisks):
    """They use a dataset until their context ends."""

    @contextlib.contextmanager
    def hold(self, name: str) -> t.Iterator[None]:
        kind, mountpoint = output("zfs", "get", "-Hpo", "value", "type,mountpoint", name).split("\n")[:2]
        if kind == "volume":
            with open(node_of(name), "rb") as file, process(stdin=file):
                yield
        else:
            with open(f"{mountpoint}/held", "wb") as held, process(stdout=held):
                yield

    @contextlib.contextmanager
    def use(self, path: str) -> t.Iterator[None]:
        with process(cwd=path):
            yield

    @contextlib.contextmanager
    def mount_apart(self, dataset: str) -> t.Iterator[None]:
        with process("unshare", "--mount", "--propagation", "private", "sleep", "600") as it:
            wait(lambda: Path(f"/proc/{it.pid}/comm").read_text(encoding="ascii") == "sleep\n", "sleep")
            yield

    @contextlib.contextmanager
    def work_in(self, dataset: str) -> t.Iterator[None]:
        with process(cwd=mountpoint_of(dataset)):
            yield

    @contextlib.contextmanager
    def swap_to(self, volume: str) -> t.Iterator[None]:
        subprocess.run(["mkswap", node_of(volume)], check=True, stdout=subprocess.DEVNULL)
        run("swapon", node_of(volume))
        try:
            yield
        finally:
            run("swapoff", node_of(volume))

    @contextlib.contextmanager
    def keep_mounted_apart(self, dataset: str) -> t.Iterator[None]:
        directory = f"{self._files}/kept"
        os.makedirs(directory)
        run("mount", "--bind", "--make-private", directory, directory)  # a namespace cannot be kept where it spreads
        Path(f"{directory}/0").touch()
        run("unshare", f"--mount={directory}/0", "--propagation", "private", "true")
        try:
            yield
        finally:
            run("umount", f"{directory}/0")
            run("umount", directory)
            shutil.rmtree(directory)

    @contextlib.contextmanager
    def bind(self, dataset: str) -> t.Iterator[str]:
        place = f"{self._files}/bound"
        os.makedirs(place, exist_ok=True)
        run("mount", "--bind", mountpoint_of(dataset), place)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def mount_inside(self, dataset: str) -> t.Iterator[None]:
        place = f"{mountpoint_of(dataset)}/inside"
        os.makedirs(place)
        run("mount", "-t", "tmpfs", "tmpfs", place)
        try:
            yield
        finally:
            subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def run_from(self, dataset: str) -> t.Iterator[None]:
        program = f"{mountpoint_of(dataset)}/program"
        shutil.copy("/usr/bin/sleep", program)
        with process(program, "600"):
            yield

    @contextlib.contextmanager
    def look_into_snapshot(self, dataset: str) -> t.Iterator[None]:
        place = mountpoint_of(dataset)
        Path(f"{place}/held").touch()
        run("zfs", "snapshot", f"{dataset}@seen")
        with open(f"{place}/.zfs/snapshot/seen/held", "rb") as file, process(stdin=file):
            yield

    def mount_volume(self, volume: str) -> t.ContextManager[None]:
        run("mkfs.ext4", "-q", "-F", node_of(volume))
        return self.mounted_disk(node_of(volume))

    def attach_volume(self, volume: str) -> t.ContextManager[None]:
        return self.attached_file(node_of(volume))

    @contextlib.contextmanager
    def take_volume(self, volume: str) -> t.Iterator[None]:
        descriptor = os.open(node_of(volume), os.O_RDONLY | os.O_EXCL)
        try:
            with process(stdin=descriptor):
                yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def send(self, dataset: str, *, raw: bool = False) -> t.Iterator[None]:
        self._fill(dataset)
        run("zfs", "snapshot", f"{dataset}@sent")
        with process("zfs", "send", *(["-w"] if raw else []), f"{dataset}@sent", stdout=-1) as it:
            t.cast(t.IO[bytes], it.stdout).read(PIPE)  # it runs, and waits for somebody to read on
            yield

    @contextlib.contextmanager
    def receive(self, dataset: str) -> t.Iterator[None]:
        source = f"{POOL}/source-of-{dataset.rpartition('/')[2]}"
        run("zfs", "create", source)
        self._fill(source)
        run("zfs", "snapshot", f"{source}@sent")
        stream = subprocess.run(["zfs", "send", f"{source}@sent"], check=True, stdout=subprocess.PIPE).stdout
        with process("zfs", "receive", "-u", dataset, stdin=-1) as it:
            taking = t.cast(t.IO[bytes], it.stdin)
            taking.write(stream[: len(stream) // 2])
            taking.flush()
            yield
            taking.write(stream[len(stream) // 2 :])
            taking.close()
            it.wait(TIMEOUT)
        run("zfs", "destroy", "-r", source)

    def _fill(self, dataset: str) -> None:
        """Put more data into a filesystem than pipes hold."""
        is_mounted = output("zfs", "get", "-Hpo", "value", "mounted", dataset).strip() == "yes"
        if not is_mounted:
            run("zfs", "mount", dataset)
        Path(f"{mountpoint_of(dataset)}/much").write_bytes(os.urandom(8 * PIPE))
        if not is_mounted:
            run("zfs", "unmount", dataset)

    def boot_from(self, dataset: str) -> t.ContextManager[str]:
        return self._boot("-t", "zfs", dataset)

    def boot_from_volume(self, volume: str) -> t.ContextManager[str]:
        run("mkfs.ext4", "-q", "-F", node_of(volume))
        return self._boot(node_of(volume))

    @contextlib.contextmanager
    def _boot(self, *what: str) -> t.Iterator[str]:
        run("mount", *what, "/boot")
        try:
            yield "/boot"
        finally:
            run("umount", "/boot")

    @contextlib.contextmanager
    def swap_in_words(self, volume: str) -> t.Iterator[str]:
        with self.swap_to(volume):
            yield f"swap on {os.path.realpath(node_of(volume))}"
