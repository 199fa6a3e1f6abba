# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every module with canaries, then look for these everywhere. The last line counts."""

from __future__ import annotations

import argparse
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.leaks import case, cast, story
from ansible_collections.zfsfleet.encryption.tests.leaks.chapters import roles
from ansible_collections.zfsfleet.encryption.tests.leaks.disk import disks_of
from ansible_collections.zfsfleet.encryption.tests.leaks.made import made_keys
from ansible_collections.zfsfleet.encryption.tests.leaks.plants import Garden
from ansible_collections.zfsfleet.encryption.tests.leaks.servers import Servers, running
from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Flock
from ansible_collections.zfsfleet.encryption.tests.secrecy.controller import Controller, Run
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import VM, Machine, Packet

HERE = Path(__file__).resolve().parent
MACHINES = HERE.parents[1] / ".testbed"
CORES = "/var/crash"
WITHOUT_PYZFS = "/run/leaks/without-pyzfs"
PREPARED = f"""
set -e
umask 77
mkdir -p {cast.ASKED} {WITHOUT_PYZFS}/libzfs_core {CORES}
echo 'raise ImportError' >{WITHOUT_PYZFS}/libzfs_core/__init__.py
echo {CORES}/core.%p >/proc/sys/kernel/core_pattern
# What the server starts from now on leaves a core when it crashes.
prlimit --core=unlimited --pid "$(pgrep -o -x sshd)"
"""
OF_ZFS = (
    f"zpool history -il; zfs get -Hp -r all {cast.POOL}; zpool get -Hp all {cast.POOL}; cat /proc/spl/kstat/zfs/dbgmsg"
)


@dataclass(frozen=True)
class Way:
    """How Ansible is set up, and how modules reach OpenZFS."""

    name: str
    pipelining: bool
    settings: str = ""
    play: dict[str, t.Any] = field(default_factory=dict)


WAYS = (
    Way("no pipelining configured, pyzfs", pipelining=False),
    Way(
        "pipelining configured, sudo, the zfs command, results in YAML",
        pipelining=True,
        settings="callback_result_format = yaml",
        play={"become": True, "environment": {"PYTHONPATH": WITHOUT_PYZFS}},
    ),
)


class Scan:
    """One machine, one flock, and where its canaries were seen."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self._machine = machine
        self._flock = Flock(seed)
        self._garden = Garden(self._flock)
        self._canaries = cast.hatch(self._flock)
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        self._hits: set[str] = set()
        self._unlike: list[str] = []
        self._searched: defaultdict[str, list[int]] = defaultdict(list)

    def tell(self, way: Way, directory: Path, servers: Servers, *, sample: bool) -> None:
        """Run the story once, and keep what was seen meanwhile.

        Raises:
            SystemExit: it came to no end; then nothing is proven.
        """
        for name, secret in servers.secrets().items():
            self._flock.adopted(f"{name}, {way.name}", secret)
        controller = Controller(
            self._machine, directory, pipelining=way.pipelining, modules=HERE / "modules", settings=way.settings
        )
        for name, text in cast.files_on_the_controller(self._canaries, servers.variables()).items():
            (controller.given / name).write_text(text)
        (controller.given / "vault_password").chmod(0o600)
        for place in ("escrow", "moved"):
            (controller.given / place).mkdir(mode=0o700)
        (controller.home / "evidence").mkdir()
        self._machine.read("sh -s", given=PREPARED.encode())
        with self._machine.watched() as sighting:
            for name, content in cast.files_on_the_host(self._canaries).items():
                self._machine.read(f"umask 77; cat >{cast.ASKED}/{name}", given=content)
            run = self._run(controller, way, sample=sample)
            for name, key in made_keys(self._machine, servers):
                if not self._flock.seen_in(key):
                    self._flock.adopted(f"{name}, {way.name}", key)
            self._machine.read("sh -s", given=self._garden.on_the_host().encode())
            servers.asked_for(self._garden.in_a_path())
            of_zfs = Packet("zfs", "properties, history, debug messages", self._machine.read(OF_ZFS))
        packets = [
            *(*sighting.packets, of_zfs, *controller.traces(), *servers.written()),
            Packet("output", "stdout", run.stdout.encode()),
            Packet("warnings", "stderr", run.stderr.encode()),
        ]
        self.search(packet for packet in packets if not self._asked_for(packet, controller))
        self._machine.ask(f"zpool destroy -f {cast.POOL}; rm -rf {cast.ASKED}")

    def _run(self, controller: Controller, way: Way, *, sample: bool) -> Run:
        extra = (
            "-vvv",
            *("-e", f"@{controller.given / 'canaries.json'}", "-e", f"asked={controller.asked}"),
            *("-e", f"escrow_path={controller.given / 'escrow'}", "-e", f"moved_path={controller.given / 'moved'}"),
            *("-e", f"zfsfleet_evidence={controller.home / 'evidence'}"),
            *("--vault-password-file", str(controller.given / "vault_password")),
        )
        cases = story.whole(sample=sample)
        play = {"hosts": "all", "gather_facts": False}
        plays = [
            {**play, **way.play, "tasks": case.tasks(cases)},
            {**play, "tasks": self._garden.by_ansible()},
            *([] if sample else roles.plays()),
            {**play, "tasks": [case.verdict(cases)]},
        ]
        started = time.monotonic()
        run = controller.run(plays, *extra)
        print(f"leaks: {way.name}: {len(cases)} tasks in {time.monotonic() - started:.0f} s", flush=True)
        output = controller.directory / "output"
        output.write_text(run.output)
        blamed = case.blamed(run.stdout)
        if run.code != 0 and not blamed:
            sys.exit(f"leaks: the story did not come to its end, see {output}:\n{run.stdout[-3000:]}")
        self._unlike += [f"{name}, {way.name}" for name in blamed or ()]
        return run

    def _asked_for(self, packet: Packet, controller: Controller) -> bool:
        """Tell whether a task wanted keys in this file."""
        return packet.place.endswith("file") and packet.where.startswith((cast.ASKED, str(controller.asked)))

    def search(self, packets: t.Iterable[Packet]) -> None:
        """Look for canaries, and tell those of the product from those that were planted."""
        planted = {plant.canary.name for plant in self._garden.plants}
        for packet in packets:
            place = "core" if packet.where.startswith(CORES) else packet.place
            self._searched[place].append(len(packet.content))
            for name, spellings in self._flock.seen_in(packet.content, text=not place.startswith("disk")).items():
                self._seen[name].add(place)
                if name not in planted:
                    self._hits.add(f"{name}: {place}, {packet.where}, as {', '.join(sorted(spellings))}")

    def report(self) -> bool:
        """Print what was searched and found, and return whether there is no leak and the search was no blind one."""
        places = sorted(plant.place for plant in self._garden.plants)
        missed = self._garden.missed(self._seen)
        for place in sorted({*places, *self._searched}):
            lost = sum(plant.place == place for plant in missed)
            sizes = self._searched[place]
            print(
                f"{place:<24} {len(sizes):>6} items {sum(sizes) / 2**20:>8.1f} MiB"
                f"  planted {places.count(place):>3}  found {places.count(place) - lost:>3}"
            )
        for name in self._unlike:
            print(f"unlike: {name}")
        for plant in missed:
            print(f"missed: {plant.canary.name} in {plant.place}")
        for hit in sorted(self._hits):
            print(f"hit: {hit}")
        canaries = len(self._flock) - len({plant.canary.name for plant in self._garden.plants})
        print(
            f"leaks: canaries={canaries} places={len(set(places))} planted={len(places)}"
            f" found={len(places) - len(missed)} hits={len(self._hits)}"
        )
        return not missed and not self._hits and not self._unlike and set(self._searched) <= set(places)


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--machine", default="leaks", help="discarded, since its disks are read")
    parser.add_argument("--sample", action="store_true", help="fewer tasks, one set-up of Ansible")
    parser.add_argument("--way", type=int, choices=range(len(WAYS)), help="only one way to set Ansible up, by number")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the canaries")
    parser.add_argument("--keep", action="store_true", help="keep what Ansible left on the controller")
    options = parser.parse_args()

    directory = Path(tempfile.mkdtemp(prefix="leaks."))
    print(f"leaks: seed {options.seed}; the controller's files are in {directory}", flush=True)
    scan = Scan(Machine(options.machine), options.seed)
    several = range(1 if options.sample else len(WAYS))
    for number in several if options.way is None else [options.way]:
        (directory / str(number)).mkdir()
        with running(directory / f"servers-{number}") as servers:
            scan.tell(WAYS[number], directory / str(number), servers, sample=options.sample)
    subprocess.run([VM, "stop", options.machine], check=True)
    directory_of_machine = MACHINES / options.machine
    scan.search([Packet("console", "console.log", (directory_of_machine / "console.log").read_bytes())])
    scan.search(disks_of(directory_of_machine))
    subprocess.run([VM, "stop", options.machine, "--discard"], check=True)
    sound = scan.report()
    if sound and not options.keep:
        shutil.rmtree(directory)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
