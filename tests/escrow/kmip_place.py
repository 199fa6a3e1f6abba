# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KMIP server as a place for keys."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip import OPTIONS, Kmip, kmip_from

from .certificates import Authority
from .kmip_server import Server, running
from .place import surroundings

if t.TYPE_CHECKING:
    from pathlib import Path

    from .certificates import Issued


def options(server: Server, client: Issued, **given: t.Any) -> dict[str, t.Any]:
    """Return a backend's options with all that they are by default."""
    defaults = {name: option.default for name, option in OPTIONS.items()}
    files = {"certificate": str(client.certificate), "key_file": str(client.key_file), "ca": str(server.ca)}
    return {**defaults, **files, "host": server.host, "port": server.port, **given}


class KmipPlace:
    """A running server, and a client's certificate that it accepts."""

    def __init__(self, server: Server, client: Issued) -> None:
        self.server, self.client = server, client

    def open(self) -> Kmip:
        return kmip_from(options(self.server, self.client, timeout=60), surroundings())


@contextlib.contextmanager
def place(directory: Path) -> t.Iterator[KmipPlace]:
    """Run a server with no objects."""
    authority = Authority("ca", directory)
    with running(directory, authority.ca, authority.server("kmip")) as server:
        yield KmipPlace(server, authority.client("controller"))
