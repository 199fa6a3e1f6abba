# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of the testbed, reached past Ansible, and a watch around what happens there."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import subprocess
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Flock

HERE = Path(__file__).resolve().parent
VM = HERE.parent / "testbed" / "vm"


@dataclass(frozen=True)
class Packet:
    """What stood somewhere.

    Attributes:
        place: the kind of place, such as `file`, `argument`, `environment` or `journal`.
        where: a path or a program's name.
    """

    place: str
    where: str
    content: bytes = field(repr=False)


@dataclass
class Sighting:
    """What the watch saw; filled in when it ends."""

    packets: list[Packet] = field(default_factory=list)

    def at(self, place: str) -> list[Packet]:
        return [packet for packet in self.packets if packet.place == place]


def given_away(flock: Flock, packets: t.Iterable[Packet]) -> dict[str, set[str]]:
    """Return where canaries stand, by their names."""
    found: dict[str, set[str]] = {}
    for packet in packets:
        for name in flock.seen_in(packet.content):
            found.setdefault(name, set()).add(f"{packet.place} {packet.where}")
    return found


class Machine:
    """The machine, reached past Ansible."""

    def __init__(self, name: str) -> None:
        self.name = name

    def inventory(self) -> str:
        """Return how Ansible reaches it, as an inventory in YAML."""
        return subprocess.run([VM, "inventory", self.name], capture_output=True, text=True, check=True).stdout

    def ask(self, command: str) -> str:
        return self.read(command).decode()

    def read(self, command: str, *, given: bytes = b"") -> bytes:
        done = subprocess.run([VM, "ssh", self.name, command], input=given, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    @contextlib.contextmanager
    def watched(self) -> t.Iterator[Sighting]:
        """Watch all that is written and started, and read the journal of that time.

        A sentinel in a file that is deleted at once, and in the arguments of a program that does nothing, proves at the
        end that the watch was awake all along.
        """
        sentinel = secrets.token_hex(16)
        sighting = Sighting()
        cursor = self.ask("journalctl -n 0 --show-cursor").rpartition("-- cursor: ")[2].strip()
        subprocess.run([VM, "copy", self.name, HERE / "watcher.py", "/run/watcher.py"], check=True)
        watcher = subprocess.Popen(
            [VM, "ssh", self.name, "python3 -B /run/watcher.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        try:
            assert watcher.stdout.readline() == b"ready\n", "the watcher did not start"
            reader = threading.Thread(target=_collect, args=(watcher.stdout, sighting.packets))
            reader.start()
            yield sighting
            self.ask(f"/bin/true {sentinel}; echo {sentinel} >/root/sentinel && rm /root/sentinel")
            watcher.stdin.close()
            reader.join()
        finally:
            watcher.stdin.close()
            watcher.wait(timeout=60)
            watcher.stdout.close()
        last = sighting.packets.pop()
        assert last.place == "end", "the watcher ended early"
        blind = json.loads(last.content)
        assert not blind, f"the watch could not read everything: {blind}"
        for place in ("file", "argument"):
            awake = [packet for packet in sighting.at(place) if sentinel.encode() in packet.content]
            assert awake, f"the watch slept: it missed the sentinel ({place})"
        journal = self.read(f"journalctl --sync; journalctl -o export --after-cursor {shlex.quote(cursor)}")
        sighting.packets.append(Packet("journal", "journalctl -o export", journal))


def _collect(stream: t.IO[bytes], packets: list[Packet]) -> None:
    while line := stream.readline():
        head = json.loads(line)
        packets.append(Packet(head["place"], head["where"], stream.read(head["size"])))
