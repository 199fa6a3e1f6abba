# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible on a controller whose every trace is kept: output, log, temporary files, processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import HERE, Machine, Packet

TREE = HERE.parent.parent / ".tree"


@dataclass(frozen=True)
class Run:
    """What ansible-playbook gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Controller:
    """Ansible with a home, a temporary directory and a log of its own.

    Args:
        machine: the only host.
        directory: empty; `given` in it is for what a task reads and `asked` for what it writes.
        pipelining: as configured.
        modules: a directory of modules, which become those of the collection `secrecy.control`.
        settings: more lines for the section `defaults`.
    """

    def __init__(
        self, machine: Machine, directory: Path, *, pipelining: bool, modules: Path, settings: str = ""
    ) -> None:
        self.directory = directory
        self.given, self.asked = directory / "given", directory / "asked"
        self.home, self._spied, self._temporary = directory / "home", directory / "spied", directory / "tmp"
        for made in (self.given, self.asked, self.home, self._spied, self._temporary):
            made.mkdir()
        (directory / "inventory.yml").write_text(machine.inventory())
        (directory / "ansible.cfg").write_text(
            f"[defaults]\nnocows = true\n{settings}\n[connection]\npipelining = {str(pipelining).lower()}\n"
        )
        control = directory / "collections/ansible_collections/secrecy/control/plugins/modules"
        shutil.copytree(modules, control)

    def play(
        self,
        tasks: list[dict[str, t.Any]],
        *,
        environment: dict[str, str] | None = None,
        verbosity: str = "-vvv",
        **play: t.Any,
    ) -> Run:
        """Run tasks in one play, at the most talkative level that is of use."""
        return self.run(
            [{"hosts": "all", "gather_facts": False, "tasks": tasks, **play}], verbosity, environment=environment
        )

    def run(self, plays: list[dict[str, t.Any]], *words: str, environment: dict[str, str] | None = None) -> Run:
        """Run a playbook with words of the command line; JSON is YAML."""
        playbook = self.given / "playbook.yml"
        playbook.write_text(json.dumps(plays, indent=1))
        done = subprocess.run(
            [
                os.environ.get("ANSIBLE_PLAYBOOK", "ansible-playbook"),
                *("-i", str(self.directory / "inventory.yml"), *words, str(playbook)),
            ],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
                "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": f"{TREE}:{self.directory / 'collections'}",
                "ANSIBLE_LOG_PATH": str(self.directory / "ansible.log"),
                "ANSIBLE_NOCOLOR": "1",
                # Short enough for a socket, and connections outlive a run.
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(Path.home() / ".ansible/cp"),
                "HOME": str(self.home),
                "TMPDIR": str(self._temporary),
                "PYTHONPATH": str(HERE / "spy"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "SECRECY_SPIED": str(self._spied),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def traces(self) -> t.Iterator[Packet]:
        """Return what processes of Ansible were started with, what files they deleted, and what they left."""
        for path in sorted(self._spied.iterdir()):
            kind, content = path.name.partition(".")[0], path.read_bytes()
            end = {"file": b"\n", "argument": b"\0"}.get(kind)
            where = content.partition(end)[0].decode(errors="replace") if end else "a process"
            yield Packet(f"controller {kind}", where, content)
        for directory in (self.home, self._temporary):
            for path in sorted(directory.rglob("*")):
                if path.is_file():
                    yield Packet("controller file", str(path), path.read_bytes())
        yield Packet("log", "ansible.log", (self.directory / "ansible.log").read_bytes())
