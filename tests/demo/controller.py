# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side: an inventory and a manifest, both encrypted with ansible-vault, and the runs of playbooks."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from .guest import NAME, DemoFailed

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
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
            "tank": secrets.token_hex(32),
            "tank/media": secrets.token_hex(32),
            "tank/home": " ".join(secrets.token_hex(3) for _position in range(5)),
            "tank/disk0": secrets.token_hex(32),
        }
    )


class Controller:
    """An inventory of its own, the way a user would lay it out, and what is exported beside it."""

    def __init__(self, directory: Path, hosts: str) -> None:
        self._settings = directory / "ansible.cfg"
        self._settings.touch()
        self._password = directory / "vault_password"
        self._write_secret(self._password, secrets.token_urlsafe(32))
        self._inventory = directory / "inventory"
        shutil.copytree(HERE / "inventory", self._inventory)
        (self._inventory / "testbed.yml").write_text(hosts)
        self._keys = self._inventory / "group_vars" / "zfs" / "keys.yml"
        self._manifest = directory / f"manifest_of_{NAME}.json"

    def keep(self, keys: Keys) -> None:
        """Encrypt the keys into the inventory; JSON is YAML, and they are never on disk in clear text."""
        text = json.dumps({"zfs_keys": keys.by_root, "zfs_old_media_key": keys.old_media_key})
        self._vault("encrypt", "--output", str(self._keys), "-", stdin=text)

    def manifest(self) -> dict[str, str]:
        """Return names and keys of the manifest that was exported.

        Raises:
            DemoFailed: there is none, or others could read it.
        """
        name = self._manifest.name
        if not self._manifest.exists():
            raise DemoFailed(f"{name} was not written")
        mode = stat.filemode(self._manifest.stat().st_mode)
        encrypted = self._manifest.read_text().startswith("$ANSIBLE_VAULT;")
        print(f"{name}: {mode}, {'encrypted' if encrypted else 'NOT encrypted'}")
        if mode != "-rw-------" or not encrypted:
            raise DemoFailed(f"{name} is not protected")
        content: dict[str, str] = json.loads(self._vault("view", str(self._manifest)))
        return content

    def _vault(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [PROGRAMS / "ansible-vault", *words],
            env=self._environment(),
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoFailed(f"ansible-vault {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def play(self, *playbooks: str) -> int:
        """Run playbooks on the screen and return how many tasks changed something, as the last, cumulative recap says.

        Args:
            playbooks: names in the collection, or files of this directory.

        Raises:
            DemoFailed: a task failed, or the run did not get as far as its recap.
        """
        print(f"$ ansible-playbook {' '.join(playbooks)}", flush=True)
        command = [str(PROGRAMS / "ansible-playbook"), *playbooks]
        recap: list[str] = []
        with subprocess.Popen(
            command,
            cwd=HERE,
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
