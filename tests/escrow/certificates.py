# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for servers and clients of a test, by an authority of its own.

Keys are on the curve P-256: with RSA the KMIP server of PyKMIP offers only what few clients accept.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if t.TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Issued:
    """Files of one certificate and its key, both PEM."""

    certificate: Path
    key_file: Path


class Authority:
    """Signs certificates; its own one is the file ``ca``.

    Args:
        name: what it calls itself; its files are named for it.
        directory: where files go.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        builder = (
            _validity(x509.CertificateBuilder().subject_name(self._subject), expired=False)
            .issuer_name(self._subject)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.ca = directory / f"{name}.pem"
        self.ca.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *, valid_for: tuple[str, ...] = LOOPBACK, expired: bool = False) -> Issued:
        """Issue a server's certificate for these names and addresses."""
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, valid_for, expired=expired)

    def client(self, name: str, *, expired: bool = False, passphrase: bytes | None = None) -> Issued:
        """Issue a client's certificate; PyKMIP's server knows the client by this name."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, (), expired=expired, passphrase=passphrase)

    def without_purpose(self, name: str) -> Issued:
        """Issue a certificate that does not say what it is for."""
        return self._issue(name, None, (), expired=False)

    def _issue(
        self,
        name: str,
        purpose: x509.ObjectIdentifier | None,
        valid_for: tuple[str, ...],
        *,
        expired: bool,
        passphrase: bytes | None = None,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _validity(x509.CertificateBuilder().subject_name(_named(name)), expired=expired)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if valid_for:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_general_name, valid_for)), critical=False)
        issued = Issued(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        issued.certificate.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        issued.key_file.touch(mode=0o600)
        issued.key_file.write_bytes(_private(key, passphrase))
        return issued


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _validity(builder: x509.CertificateBuilder, *, expired: bool) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)  # noqa: UP017  # mypy checks for a Python without the alias
    begin, end = (now - 30 * DAY, now - DAY) if expired else (now - DAY, now + 30 * DAY)
    return builder.not_valid_before(begin).not_valid_after(end).serial_number(x509.random_serial_number())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
