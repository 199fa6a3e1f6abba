# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PyKMIP's server over mutual TLS. It knows clients by the name in their certificates, and shows each its own objects.

It keeps keys unencrypted in SQLite: for tests, and for nothing else.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import server

if t.TYPE_CHECKING:
    from .certificates import Issued

MEMORY = Path("/dev/shm")
LAUNCHER = Path(__file__).with_name("kmip_launcher.py")


@dataclass(frozen=True)
class Server:
    """A running server."""

    host: str
    port: int
    ca: Path


@contextlib.contextmanager
def running(directory: Path, ca: Path, certificate: Issued, *, lacking: t.Sequence[str] = ()) -> t.Iterator[Server]:
    """Run a server until the block is left, without the operations that it shall lack."""
    port = server.free_port()
    # In memory, since it syncs its file after each request.
    with tempfile.TemporaryDirectory(prefix="zfsfleet-kmip-", dir=MEMORY if MEMORY.is_dir() else directory) as memory:
        options = {
            "hostname": server.ADDRESS,
            "port": port,
            "certificate_path": str(certificate.certificate),
            "key_path": str(certificate.key_file),
            "ca_path": str(ca),
            "enable_tls_client_auth": True,
            "logging_level": "WARNING",
            "log_path": str(directory / "kmip-server.log"),
            "database_path": f"{memory}/objects",
        }
        command = (sys.executable, str(LAUNCHER), json.dumps(options), *lacking)
        with server.running(command, port=port, log=directory / "kmip.log"):
            yield Server(server.ADDRESS, port, ca)
