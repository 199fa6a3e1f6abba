# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine, the canaries, and a watch around what Ansible does there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
VM = HERE.parent / "testbed" / "vm"
TREE = HERE.parent.parent / ".tree"
POOL = "wire"
DISK = "/dev/disk/by-id/virtio-d3"


@dataclass(frozen=True)
class Canaries:
    """Secrets that are easy to find again; what is searched for survives quoting of any kind."""

    key: str
    passphrase: str
    token: str

    @classmethod
    def fresh(cls) -> Canaries:
        token = f"canary{secrets.token_hex(12)}"
        return cls(secrets.token_hex(32), f"\"{token}\" 'and' \\ a\ttab", token)

    def needles(self) -> dict[str, bytes]:
        texts = {"key": self.key.encode(), "key bytes": bytes.fromhex(self.key), "passphrase": self.token.encode()}
        found = dict(texts)
        for name, text in texts.items():
            for shift in range(3):
                found[f"{name}, base64 shifted {shift}"] = _base64_core(text, shift)
        return found


def _base64_core(text: bytes, shift: int) -> bytes:
    """Return what base64 makes of a text that begins `shift` bytes into a group, wherever it stands."""
    padded = b"\0" * shift + text
    encoded = base64.b64encode(padded[: len(padded) // 3 * 3])
    return encoded[4:] if shift else encoded


@dataclass
class Sighting:
    """What the watch saw."""

    hits: dict[str, list[str]]
    paths: list[str]
    journal: str

    def in_journal(self, canaries: Canaries) -> list[str]:
        return [text for text in (canaries.key, canaries.token) if text in self.journal]


@dataclass(frozen=True)
class Run:
    """What ansible-playbook gave at -vvv."""

    code: int
    output: str

    def shown(self, canaries: Canaries) -> list[str]:
        """Return what of the secrets the output has, in base64 too."""
        return [name for name, needle in canaries.needles().items() if needle in self.output.encode()]


class Machine:
    """The machine, reached past Ansible."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, command: str) -> str:
        done = subprocess.run(
            [VM, "ssh", self.name, command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def watched(self, canaries: Canaries) -> t.Iterator[Sighting]:
        """Watch all that is written; the sighting is filled in when the block ends.

        A file with a sentinel, deleted at once, proves at the end that the watch was awake all along.
        """
        sentinel = secrets.token_hex(16)
        needles = {**canaries.needles(), "sentinel": sentinel.encode()}
        sighting = Sighting({}, [], "")
        cursor = self.ask("journalctl -n 0 --show-cursor").rpartition("-- cursor: ")[2].strip()
        watcher = subprocess.Popen(
            [VM, "ssh", self.name, "python3 -B /root/watcher.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        try:
            watcher.stdin.write(
                json.dumps({name: base64.b64encode(raw).decode() for name, raw in needles.items()}) + "\n"
            )
            watcher.stdin.flush()
            assert watcher.stdout.readline() == "ready\n", "the watcher did not start"
            yield sighting
            self.ask(f"echo {sentinel} >/root/sentinel && rm /root/sentinel")
            watcher.stdin.close()
            report = json.loads(watcher.stdout.read())
        finally:
            watcher.stdin.close()
            watcher.stdout.close()
            watcher.wait(timeout=60)
        assert report["hits"].pop("sentinel", None), "the watch slept: it missed the sentinel"
        assert not report["blind"], "the watch could not read everything"
        sighting.hits = report["hits"]
        sighting.paths = report["paths"]
        sighting.journal = self.ask(f"journalctl -o export --after-cursor {shlex.quote(cursor)}")


class Controller:
    """Ansible, configured with pipelining off."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._directory = directory
        self._inventory = directory / "inventory.yml"
        made = subprocess.run([VM, "inventory", machine.name], capture_output=True, text=True, check=True)
        self._inventory.write_text(made.stdout)
        (directory / "ansible.cfg").write_text("[defaults]\nnocows = true\n\n[connection]\npipelining = false\n")
        control = directory / "collections/ansible_collections/wire/control/plugins/modules"
        control.mkdir(parents=True)
        shutil.copy(HERE / "unprotected.py", control)

    def play(
        self,
        tasks: list[dict[str, t.Any]],
        *,
        environment: dict[str, str] | None = None,
        verbosity: str = "-vvv",
        **play: t.Any,
    ) -> Run:
        """Run tasks at the most talkative level that is of use; JSON is YAML."""
        playbook = self._directory / "playbook.yml"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks, **play}]))
        done = subprocess.run(
            [os.environ.get("ANSIBLE_PLAYBOOK", "ansible-playbook"), verbosity, "-i", self._inventory, playbook],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
                "ANSIBLE_CONFIG": str(self._directory / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": f"{TREE}:{self._directory / 'collections'}",
                "ANSIBLE_NOCOLOR": "1",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout)
