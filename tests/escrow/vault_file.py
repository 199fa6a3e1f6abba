# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of keys as a place for tests, with ansible-vault's own encryption."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import typing as t

from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vaulted import Vaulted
from ansible_collections.zfsfleet.encryption.tests.escrow.place import fresh

PASSWORD = b"a long random password of tests"


def vaulted(vault_id: str = "default", **passwords: bytes) -> Vaulted:
    """Return the protection by one identity of a play that has these passwords."""
    loader = DataLoader()
    identities = [(label, VaultSecret(password)) for label, password in (passwords or {"default": PASSWORD}).items()]
    loader.set_vault_secrets(identities)  # type: ignore[arg-type]
    return Vaulted(loader, vault_id)


class VaultFilePlace:
    """A directory of keys."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def open(self) -> VaultFile:
        return VaultFile(str(self.path), vaulted())


@contextlib.contextmanager
def quick_directory() -> t.Iterator[pathlib.Path]:
    """Give a directory for many short runs, in memory where the system has such a place: no disk is waited for."""
    memory = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def place(directory: pathlib.Path) -> t.Iterator[VaultFilePlace]:
    """Give a new place in an empty directory."""
    path = directory / "keys"
    path.mkdir(mode=0o700)
    yield VaultFilePlace(path)


def put_all(path: pathlib.Path, versions: t.Sequence[Kept]) -> None:
    """Put versions and note that they are active, as a controller of its own."""
    mine = VaultFile(str(path), vaulted())
    for one in versions:
        mine.put(one)
        mine.advance(fresh(one.version), "active")
