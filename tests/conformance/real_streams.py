# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams between datasets of the machine: sent raw or not, whole, broken off, resumed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.tests.conformance.commands import (
    attempt,
    mountpoint_of,
    output,
    run,
    wait,
    wait_for_another_second,
)

LAST_RECORD = 312  # bytes of every record of a stream; the last one says that it is complete (dmu_replay_record_t)


class RealStreams:
    """Everything is sent from here to here."""

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        # What is mounted was written to, and has to be rolled back.
        mounted = subprocess.run(["zfs", "get", "-Ho", "value", "mounted", target], check=False, capture_output=True)
        words = ["-uF" if mounted.stdout == b"yes\n" else "-u", target]
        stream = _next_stream(source, "-wp" if properties else "-w")
        if mounted.returncode != 0:
            wait_for_another_second()  # times are in seconds, and a new replica shall be younger than its snapshot
        run("zfs", "receive", *words, stdin=stream)

    @contextlib.contextmanager
    def receiving(self, source: str, target: str) -> t.Iterator[None]:
        stream = _next_stream(source, "-w", write=True)
        receive = ["zfs", "receive", "-u", target]
        with subprocess.Popen(receive, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as receiver:
            pipe = t.cast(t.IO[bytes], receiver.stdin)
            pipe.write(stream[:-LAST_RECORD])
            pipe.flush()
            wait(lambda: _is_receiving(target), f"the beginning of {target}")
            yield

    def break_off(self, source: str, target: str) -> None:
        most = _next_stream(source, "-w", write=True)[:-LAST_RECORD]
        subprocess.run(["zfs", "receive", "-su", target], check=False, input=most, stderr=subprocess.DEVNULL)

    def resume(self, target: str) -> None:
        token = output("zfs", "get", "-Hpo", "value", "receive_resume_token", target).strip()
        rest = subprocess.run(["zfs", "send", "-t", token], check=True, stdout=subprocess.PIPE).stdout
        run("zfs", "receive", "-su", target, stdin=rest)

    def replicate_tree(self, source: str, target: str) -> None:
        snapshot = f"{source}@{target.rpartition('/')[2]}"
        run("zfs", "snapshot", "-r", snapshot)
        stream = subprocess.run(["zfs", "send", "-wR", snapshot], check=True, stdout=subprocess.PIPE).stdout
        run("zfs", "receive", "-u", target, stdin=stream)

    def send_decrypted(self, source: str, target: str) -> None:
        snapshot = f"{source}@{target.rpartition('/')[2]}"
        run("zfs", "snapshot", snapshot)
        sent = subprocess.run(["zfs", "send", snapshot], check=False, capture_output=True)
        if sent.returncode == 0:
            attempt("zfs", "receive", "-u", target, stdin=sent.stdout)
        else:
            raise CallFailed(sent.stderr.decode())


def _next_stream(source: str, options: str, *, write: bool = False) -> bytes:
    """Snapshot a dataset, after writing to it, and send what is new since the last time: all, then increments."""
    if write:
        Path(mountpoint_of(source), "written").write_bytes(os.urandom(1 << 16))
    known = output("zfs", "list", "-Ho", "name", "-t", "snapshot", "-s", "createtxg", source).split()
    snapshot = f"{source}@{len(known)}"
    run("zfs", "snapshot", snapshot)
    since = ["-i", known[-1]] if known else []
    return subprocess.run(["zfs", "send", options, *since, snapshot], check=True, stdout=subprocess.PIPE).stdout


def _is_receiving(target: str) -> bool:
    words = ["zfs", "get", "-Hpo", "value", "inconsistent", target, f"{target}/%recv"]
    return "1" in subprocess.run(words, check=False, capture_output=True, text=True).stdout.split()
