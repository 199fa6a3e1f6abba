# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on 127.0.0.1 that end with whoever started them."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from . import leash

if t.TYPE_CHECKING:
    from .certificates import Issued

ADDRESS = "127.0.0.1"
START_SECONDS = 120  # two are enough on a machine that does nothing else


class NotStarted(Exception):
    """A server ended, or did not listen in time; the text holds the end of what it said."""


def free_port() -> int:
    with socket.create_server((ADDRESS, 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def running(command: t.Sequence[str | Path], *, port: int, log: Path) -> t.Iterator[None]:
    """Run a server until the block is left; entered when it listens.

    Raises:
        NotStarted: why.
    """
    argv = [sys.executable, leash.__file__, *map(str, command)]
    with (
        log.open("wb") as output,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=log.parent) as server,
    ):
        try:
            _await_listening(server, port, log)
            yield
        finally:
            # The leash sees the end of its stdin, ends the server, and is waited for.
            assert server.stdin is not None
            server.stdin.close()


def _await_listening(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise NotStarted(f"it ended with status {server.returncode}:\n{_end_of(log)}")
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), timeout=1):
            return
        time.sleep(0.05)
    raise NotStarted(f"it does not listen on port {port} after {START_SECONDS} s:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def silent() -> t.Iterator[int]:
    """Listen, accept and say nothing; yields the port."""
    with socket.create_server((ADDRESS, 0)) as listening:
        # Accepted by the kernel's queue of connections: that is all a client can tell.
        yield int(listening.getsockname()[1])


@contextlib.contextmanager
def answering(answer: bytes, *, certificate: Issued | None = None, address: str = ADDRESS) -> t.Iterator[int]:
    """Give everybody the same answer to the first that they say, over TLS where there is a certificate."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key_file)

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), _over_tls(self.request, context) as connection:
                connection.recv(65536)
                connection.sendall(answer)

    class Answers(socketserver.TCPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Answers((address, 0), Answer) as answers:
        threading.Thread(target=answers.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield int(answers.server_address[1])
        finally:
            answers.shutdown()


def _over_tls(connection: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    return context.wrap_socket(connection, server_side=True) if context else connection


class Between:
    """Passes on what a client and a server say to each other.

    Attributes:
        port: where it listens.
    """

    def __init__(self, listening: socket.socket, port: int) -> None:
        self.port = int(listening.getsockname()[1])
        self._muffled = False
        self._listening, self._behind = listening, port

    def muffle(self, *, muffled: bool) -> None:
        """Drop what the server says from now on, or pass it on again; it hears everything all the same."""
        self._muffled = muffled

    def pass_on(self) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as connections:
            while True:
                client, _address = self._listening.accept()
                behind = socket.create_connection((ADDRESS, self._behind))
                for each in (client, behind):
                    connections.callback(each.close)
                threading.Thread(target=self._carry, args=(client, behind), daemon=True).start()
                threading.Thread(target=self._carry, args=(behind, client), kwargs={"back": True}, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, *, back: bool = False) -> None:
        with contextlib.suppress(OSError):
            while said := source.recv(65536):
                if not (back and self._muffled):
                    target.sendall(said)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def between(port: int) -> t.Iterator[Between]:
    """Stand between clients and the server at a port."""
    with socket.create_server((ADDRESS, 0)) as listening:
        proxy = Between(listening, port)
        passing = threading.Thread(target=proxy.pass_on, daemon=True)
        passing.start()
        try:
            yield proxy
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            passing.join()
