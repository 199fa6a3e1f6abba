# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a KMIP server through PyKMIP: one connection, and what an answer means.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import typing as t

from ..module_utils._errors import EncryptionError
from . import _reaching, _strict_kmip
from ._backend import BackendDown, BackendFailed
from ._strict_kmip import Address, KeyFileProtected

T = t.TypeVar("T")

# Servers end connections that nobody uses; one that is in use again after this long is opened anew.
_IDLE_SECONDS = 5


class NoSuchObject(Exception):
    """The server has no object of this id, or does not show it to us; it may not tell which."""


class Denied(BackendFailed):
    """The server knows us, and does not allow this."""


class Rejected(BackendFailed):
    """The server turned the request down."""


class Connection:
    """Asks one server, and connects when it is first asked."""

    def __init__(self, address: Address, *, name: str) -> None:
        self._address, self._name = address, name
        self._client: t.Any = None
        self._used = 0.0

    def ask(self, doing: str, request: t.Callable[[t.Any], T]) -> T:
        """Send one request and return its answer.

        Args:
            doing: what for, for the error: "... could not <doing>".
            request: sends it by the ``ProxyKmipClient`` that it is given.

        Raises:
            NoSuchObject: the object is not there, or not for us.
            Denied: it is not allowed.
            Rejected: the server turned it down.
            BackendDown: anything else.
        """
        kmip = _strict_kmip.library()
        try:
            return request(self._connected())
        except kmip.exceptions.KmipOperationFailure as failure:
            raise self._meaning(doing, failure) from None
        except (NoSuchObject, EncryptionError):
            raise
        except KeyFileProtected:
            why = f"the private key {self._address.key_file} wants a passphrase; give one that is not protected by one"
        except EOFError:
            why = "it closed the connection"
        except OSError as error:
            why = _reaching.reason(error, host=self._address.host, timeout=self._address.timeout)
        except Exception as error:  # noqa: BLE001  # whatever it is that PyKMIP stumbles over in a strange answer
            why = f"what answers there does not answer as a KMIP server does ({type(error).__name__})"
        # Nobody knows what is still under way on it.
        self.close()
        raise BackendDown(f"{self._name} could not {doing}: {why}.")

    @property
    def peer(self) -> str:
        """What answered last, by its address and its certificate, under whatever name it was asked; empty if nothing.

        Neither alone tells: servers may share a certificate, and one address may lead to several by their names.
        """
        connection = None if self._client is None else self._client.proxy.socket
        if connection is None:
            return ""
        certificate = hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()
        return f"server {connection.getpeername()[:2]} {certificate}"

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def _connected(self) -> t.Any:
        now = time.monotonic()
        if self._client is not None and now - self._used > _IDLE_SECONDS:
            self.close()
        if self._client is None:
            client = _strict_kmip.strict_client(self._address)
            client.open()
            self._client = client
        self._used = now
        return self._client

    def _meaning(self, doing: str, failure: t.Any) -> Exception:
        reasons = _strict_kmip.library().enums.ResultReason
        if failure.reason is reasons.ITEM_NOT_FOUND or "Could not locate object" in str(failure.message):
            return NoSuchObject()
        if failure.reason is reasons.AUTHENTICATION_NOT_SUCCESSFUL:
            return Denied(
                f"{self._name} could not {doing}: it does not accept the client's certificate "
                f"{self._address.certificate} ({failure.message}). It has to be one for TLS clients, of a user that "
                "the server knows."
            )
        if failure.reason is reasons.PERMISSION_DENIED:
            return Denied(
                f"{self._name} does not allow to {doing}: {failure.message} The guide on escrow lists what the "
                "client's user has to be granted."
            )
        words = f"{failure.reason.name}: {' '.join(str(failure.message).split())[:300]}"
        return Rejected(f"{self._name} could not {doing}; it answered: {words}")
