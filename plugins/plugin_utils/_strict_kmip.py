# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PyKMIP's client, made strict about whom it talks to.

The client itself (0.11) takes any name in the server's certificate, knows IPv4 only, waits for 30 seconds whatever it
is told, and fills in what is missing from ``~/.pykmip`` and ``/etc/pykmip``.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import socket
import ssl
import sys
import types
import typing as t
import warnings
from dataclasses import dataclass

from ..module_utils._errors import Refused


@dataclass(frozen=True)
class Address:
    """Where the server is, whose signature of its certificate counts, and who we are.

    Args:
        host: a name or an address, IPv6 without brackets.
        port: where it listens.
        certificate: our certificate, in PEM.
        key_file: the certificate's private key, in PEM.
        ca: the authorities that may have signed the server's certificate, in PEM.
        timeout: seconds for each answer.
    """

    host: str
    port: int
    certificate: str
    key_file: str
    ca: str
    timeout: int


class KeyFileProtected(Exception):
    """The private key wants a passphrase, and nobody is there to be asked."""


@functools.lru_cache(maxsize=1)
def library() -> types.SimpleNamespace:
    """Import what is used of PyKMIP, when it is first needed.

    Raises:
        Refused: it is not installed.
    """
    # It answers lastResort, which would print on stderr what becomes an error of ours; who configured logging sees it.
    logging.getLogger("kmip").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        # kmip.pie.sqltypes calls SQLAlchemy as one did before 2.0.
        warnings.filterwarnings("ignore", r".*declarative_base\(\)", DeprecationWarning)
        try:
            return types.SimpleNamespace(
                attribute_factory=importlib.import_module("kmip.core.factories.attributes").AttributeFactory(),
                attributes=importlib.import_module("kmip.core.attributes"),
                client=importlib.import_module("kmip.pie.client"),
                enums=importlib.import_module("kmip.core.enums"),
                exceptions=importlib.import_module("kmip.pie.exceptions"),
                factory=importlib.import_module("kmip.pie.factory"),
                objects=importlib.import_module("kmip.pie.objects"),
                protocol=importlib.import_module("kmip.services.kmip_protocol"),
                proxy=importlib.import_module("kmip.services.kmip_client"),
                structures=importlib.import_module("kmip.core.objects"),
            )
        except ImportError:
            raise Refused(
                "The backend kmip needs the Python package pykmip, 0.11 or newer, on the controller. Install it for "
                f"the Python that runs Ansible: '{sys.executable} -m pip install \"pykmip>=0.11\"'."
            ) from None


def strict_client(address: Address) -> t.Any:
    """Return a ``ProxyKmipClient`` that is not connected yet."""
    kmip = library()

    class StrictProxy(kmip.proxy.KMIPProxy):  # type: ignore[misc,name-defined]  # imported when needed
        """Connects by TLS 1.2 or newer to a server whose name is in its certificate."""

        def open(self) -> None:
            context = _tls_context(address)
            raw = socket.create_connection((address.host, address.port), timeout=address.timeout)
            try:
                connection: t.Any = context.wrap_socket(raw, server_hostname=address.host)
            except BaseException:
                raw.close()
                raise
            self.socket = connection
            self.protocol = kmip.protocol.KMIPProtocol(connection)

        def close(self) -> None:
            """Close the socket also where the other side has done so."""
            connection, self.socket = self.socket, None
            if connection:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    # An empty file instead of those which it would look for.
    nothing = {"config_file": os.devnull}
    client = kmip.client.ProxyKmipClient(hostname=address.host, port=address.port, **nothing)
    client.proxy = StrictProxy(host=address.host, port=address.port, timeout=address.timeout, **nothing)
    return client


def _tls_context(address: Address) -> ssl.SSLContext:
    """Make a context that checks certificate and name, which PROTOCOL_TLS_CLIENT says by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(address.ca)
    context.load_cert_chain(address.certificate, address.key_file, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise KeyFileProtected
