# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KMIP server as a place for keys."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _strict_kmip
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip import OPTIONS, Kmip, kmip_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip_objects import Objects

from .certificates import Authority
from .kmip_server import Server, running
from .place import surroundings

if t.TYPE_CHECKING:
    from pathlib import Path

    from .certificates import Issued


def in_a_task(server: Server, client: Issued) -> dict[str, t.Any]:
    """Return a server as one of the places that a task names."""
    files = {"certificate": str(client.certificate), "key_file": str(client.key_file), "ca": str(server.ca)}
    return {"type": "kmip", "host": server.host, "port": server.port, **files}


def options(server: Server, client: Issued, **given: t.Any) -> dict[str, t.Any]:
    """Return a backend's options with all that they are by default."""
    defaults = {name: option.default for name, option in OPTIONS.items()}
    there = {name: value for name, value in in_a_task(server, client).items() if name in OPTIONS}
    return {**defaults, **there, **given}


def truenas(objects: Objects, name: str, value: bytes) -> str:
    """Put a secret on the server as TrueNAS does: SecretData of type Password, activated, with a name and no more."""
    kmip = _strict_kmip.library()
    secret = kmip.objects.SecretData(value, kmip.enums.SecretDataType.PASSWORD, name=name)
    uid = objects._connection.ask("test", lambda client: client.register(secret))
    objects._connection.ask("test", lambda client: client.activate(uid))
    return str(uid)


class KmipPlace:
    """A running server, and certificates of two clients that it accepts, one of them not ours."""

    def __init__(self, server: Server, client: Issued, stranger: Issued) -> None:
        self.server, self.client, self.stranger = server, client, stranger

    def in_a_task(self) -> dict[str, t.Any]:
        """Return it as one of the places that a task names."""
        return in_a_task(self.server, self.client)

    def open(self) -> Kmip:
        return kmip_from(options(self.server, self.client, timeout=60), surroundings())


@contextlib.contextmanager
def place(directory: Path) -> t.Iterator[KmipPlace]:
    """Run a server with no objects."""
    authority = Authority("ca", directory)
    with running(directory, authority.ca, authority.server("kmip")) as server:
        yield KmipPlace(server, authority.client("controller"), authority.client("truenas"))
