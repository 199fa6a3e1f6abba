# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaks on purpose, one in every place that is searched; a search that misses one of them proves nothing."""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass

from ansible_collections.zfsfleet.encryption.tests.leaks.case import Task
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import POOL
from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Alphabet, Canary, Flock

DISKS = "/dev/disk/by-id/virtio-"
# What a shell on the host does with a quoted secret, by the place where it is found then.
ON_THE_HOST = {
    "argument": "/bin/true {secret}",
    "environment": "SECRET={secret} /bin/true",
    "file": "printf %s {secret} >/root/planted; rm /root/planted",
    "journal": "printf %s {secret} | systemd-cat",
    "core": "SECRET={secret} sh -c 'ulimit -c unlimited; kill -SEGV $$'",
    "zfs": "zfs set leaks:planted={secret} {pool}",
    "console": "printf '%s\\n' {secret} >/dev/console",
    "disk, root": "printf %s {secret} >/var/planted; sync /var/planted; rm /var/planted",
    **{
        f"disk, {disk}": f"printf %s {{secret}} | dd of={DISKS}{disk} bs=1M seek={{megabyte}} conv=fsync,sync"
        for disk in ("d0", "d1")
    },
}
ALPHABETS: tuple[Alphabet, ...] = ("digits", "letters", "signs")
BY_THE_MODULE = ("argument", "environment", "file", "journal", "output", "warnings", "log")
# Before the backup of the partition table, in the last eight, where no pool keeps anything.
LAST_MEGABYTE = 254


@dataclass(frozen=True)
class Plant:
    """A leak on purpose: the canary, and where it has to be found."""

    canary: Canary
    place: str


class Garden:
    """All plants of a scan."""

    def __init__(self, flock: Flock) -> None:
        self._flock = flock
        self.plants: list[Plant] = []

    def on_the_host(self) -> str:
        """Return a shell script that plants; it is given to a shell on its standard input."""
        before = sum(plant.place == "disk, d0" for plant in self.plants)
        lines = ["exec 2>/dev/null"]
        for place, line in ON_THE_HOST.items():
            for number, alphabet in enumerate(ALPHABETS):
                secret = shlex.quote(self._planted(place, alphabet).text)
                lines.append(line.format(secret=secret, pool=POOL, megabyte=LAST_MEGABYTE - before - number))
        return "\n".join([*lines, "true", ""])

    def in_a_path(self) -> str:
        """Return what a server is asked for; it would not look for signs."""
        canary = self._flock.key(f"planted {len(self.plants)}, server")
        self.plants.append(Plant(canary, "server"))
        return canary.text

    def by_ansible(self) -> list[Task]:
        """Return tasks that plant on both sides, the last by a module that leaks wherever it can."""
        shown = [self._planted("output", alphabet, "log") for alphabet in ALPHABETS]
        passed = [self._planted(f"controller {place}", "signs") for place in ("argument", "environment", "file")]
        leaked = self._planted(BY_THE_MODULE[0], "digits", *BY_THE_MODULE[1:])
        return [
            {"ansible.builtin.debug": {"msg": [{"raw": canary.text} for canary in shown]}},
            {
                "ansible.builtin.command": {"argv": ["/bin/true", passed[0].text]},
                "environment": {"SECRET": passed[1].text},
                "delegate_to": "localhost",
                "vars": {"ansible_connection": "local", "ansible_become": False},
            },
            # Its action plugin writes the content to a file on the controller and deletes it again.
            {"ansible.builtin.copy": {"content": passed[2].text, "dest": "/run/planted", "mode": "0600"}},
            {"secrecy.control.leaky": {"key": leaked.text}},
        ]

    def _planted(self, place: str, alphabet: Alphabet, *more: str) -> Canary:
        # OpenZFS compresses its metadata, and what is left of a canary on the disk may be its mark alone.
        made = self._flock.unmarked if place == "zfs" else self._flock.passphrase
        canary = made(f"planted {len(self.plants)}, {place}", alphabet)
        self.plants += [Plant(canary, each) for each in (place, *more)]
        return canary

    def missed(self, found: t.Mapping[str, set[str]]) -> list[Plant]:
        """Return what was not found where it was planted."""
        return [plant for plant in self.plants if plant.place not in found.get(plant.canary.name, set())]
