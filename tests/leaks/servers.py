# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that keep the story's keys as they are told to; whatever else learns of them leaked them."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.zfsfleet.encryption.tests.escrow import kmip_place, openbao
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import MOVED_TO
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Packet


@dataclass(frozen=True)
class Servers:
    """OpenBao and a KMIP server, and what opens them.

    Attributes:
        approle: what proves to OpenBao who we are where no token does, by the name of its option.
    """

    bao: openbao.OpenBaoPlace
    kmip: kmip_place.KmipPlace
    approle: t.Mapping[str, str] = field(repr=False)
    _directory: Path

    def variables(self) -> dict[str, t.Any]:
        """Return what the backends of ``cast.py`` are told by variables."""
        return {"bao": {**self.bao.in_a_task(), **self.approle}, "kmip": self.kmip.in_a_task()}

    def secrets(self) -> dict[str, bytes]:
        """Return what opens the servers; the role's id is no secret."""
        key = serialization.load_pem_private_key(self.kmip.client.key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return {
            "token": self.bao.token.encode(),
            "secret_id": self.approle["secret_id"].encode(),
            "client's key": key.private_numbers().private_value.to_bytes(32, "big"),
        }

    def keys_of(self, host: str) -> dict[str, bytes]:
        """Return what OpenBao keeps for a host, and what is derived of it, with names for reports."""
        with contextlib.closing(self.bao.open()) as place:
            kept = [(entry, place.fetch(entry).key) for entry in place.entries(host)]
        derived = {
            f"{entry.key_id} with the salt {salt}": key.wrapping_key(salt=salt, iterations=entry.version.iterations)
            for entry, key in kept
            for salt in {int(binding.salt) for binding in entry.bindings} - {0}
        }
        return {**{str(entry.key_id): key.secret for entry, key in kept}, **derived}

    def asked_for(self, path: str) -> None:
        """Ask OpenBao for what is at a path, which is no secret to it."""
        self.bao.server.client().read(f"secret/data/{path}")

    def written(self) -> t.Iterator[Packet]:
        """Return what servers wrote down about what they were asked."""
        for path in sorted(self._directory.rglob("*.log")):
            yield Packet("server", path.name, path.read_bytes())


@contextlib.contextmanager
def running(directory: Path) -> t.Iterator[Servers]:
    """Run them until the block is left."""
    of_bao, of_kmip = directory / "openbao", directory / "kmip"
    for made in (of_bao, of_kmip):
        made.mkdir(parents=True)
    with openbao.place(of_bao) as bao, kmip_place.place(of_kmip) as kmip:
        role_id, secret_id = bao.server.approle(openbao.policies())
        ours = openbao.OpenBaoPlace(bao.server, bao.server.token(_policies()))
        yield Servers(ours, kmip, {"role_id": role_id, "secret_id": secret_id}, directory)


def _policies() -> dict[str, str]:
    """Return those of the guide, for the folder that keys are moved to as well."""
    of_guide = openbao.policies()
    moved = {f"{name}-{MOVED_TO}": rules.replace("/zfsfleet/", f"/{MOVED_TO}/") for name, rules in of_guide.items()}
    return {**of_guide, **moved}
