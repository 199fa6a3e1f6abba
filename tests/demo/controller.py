# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side: an inventory whose keys are encrypted with ansible-vault, and the runs of playbooks."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from .guest import DISK, DemoFailed

PLAYBOOKS = Path(__file__).resolve().parent
CHECKOUT = PLAYBOOKS.parent.parent
PROGRAMS = CHECKOUT / ".venv" / "bin"


@dataclass(frozen=True)
class Keys:
    """The keys of the pool's roots, and what the first one was before it was changed."""

    by_root: dict[str, str] = field(repr=False)
    old_media_key: str | None = field(default=None, repr=False)

    def with_new_media_key(self) -> Keys:
        changed = {**self.by_root, "tank/media": secrets.token_hex(32)}
        return replace(self, by_root=changed, old_media_key=self.by_root["tank/media"])


def fresh_keys() -> Keys:
    """Mint the keys of this run."""
    return Keys(
        {
            "tank/media": secrets.token_hex(32),
            "tank/home": " ".join(secrets.token_hex(3) for _position in range(5)),
            "tank/disk0": secrets.token_hex(32),
        }
    )


class Controller:
    """An inventory directory of its own, the way a user would lay it out."""

    def __init__(self, directory: Path, hosts: str) -> None:
        self._settings = directory / "ansible.cfg"
        self._settings.touch()
        self._inventory = directory / "inventory"
        self._password = directory / "vault_password"
        self._write_secret(self._password, secrets.token_urlsafe(32))
        variables = self._inventory / "group_vars" / "all"
        variables.mkdir(parents=True)
        (self._inventory / "hosts.yml").write_text(hosts)
        (variables / "pool.yml").write_text(f"pool_disk: /dev/disk/by-id/virtio-{DISK}\n")
        self._keys = variables / "keys.yml"

    def keep(self, keys: Keys) -> None:
        """Encrypt the keys into the inventory; JSON is YAML, and they are never on disk in clear text."""
        text = json.dumps({"tank_keys": keys.by_root, "tank_media_old_key": keys.old_media_key})
        encrypt = ["ansible-vault", "encrypt", "--output", str(self._keys), "-"]
        done = subprocess.run(
            [PROGRAMS / encrypt[0], *encrypt[1:]],
            env=self._environment(),
            input=text,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoFailed(f"ansible-vault: {done.stderr.strip()}")

    def play(self, *playbooks: str) -> int:
        """Run playbooks on the screen and return how many tasks changed something, as the last, cumulative recap says.

        Raises:
            DemoFailed: a task failed, or the run did not get as far as its recap.
        """
        print(f"$ ansible-playbook {' '.join(playbooks)}", flush=True)
        command = [PROGRAMS / "ansible-playbook", *(PLAYBOOKS / playbook for playbook in playbooks)]
        recap: list[str] = []
        with subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            for line in running.stdout or ():
                print(line, end="", flush=True)
                recap += re.findall(r"^\S+ +: ok=.* changed=(\d+) ", line)
        if running.returncode != 0 or not recap:
            raise DemoFailed(f"{' and '.join(playbooks)} ended with exit code {running.returncode}")
        return int(recap[-1])

    def _environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            # Nobody's own settings: the screen would not be what is counted.
            "ANSIBLE_CONFIG": str(self._settings),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".tree"),
            "ANSIBLE_INVENTORY": str(self._inventory),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_VAULT_PASSWORD_FILE": str(self._password),
        }

    @staticmethod
    def _write_secret(path: Path, text: str) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
