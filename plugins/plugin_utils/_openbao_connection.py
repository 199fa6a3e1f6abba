# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to OpenBao or HashiCorp Vault through hvac: who we are, and what an answer means.

hvac would look for a token, an address and certificates in the environment and in the home directory, and requests for
a password in ``~/.netrc``; here all of it comes from the options.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import sys
import typing as t
import urllib.parse
from dataclasses import dataclass, field

from ..module_utils._errors import Refused
from . import _reaching
from ._backend import BackendDown, BackendFailed

T = t.TypeVar("T")
Request = t.Callable[[t.Any], T]


@dataclass(frozen=True)
class Address:
    """Where the server is, and whose signature of its certificate counts.

    Args:
        url: ``https://`` and a name.
        namespace: of OpenBao or Vault Enterprise, empty for the root namespace.
        ca: a file with certificates in PEM, empty for the authorities that everybody trusts.
        timeout: seconds for each answer.
    """

    url: str
    namespace: str
    ca: str
    timeout: int


@dataclass(frozen=True)
class Token:
    """Login by a token that somebody else made, and renews."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class AppRole:
    """Login by AppRole: each connection gets a token of its own, which ends with it."""

    mount: str
    role_id: str
    secret_id: str = field(repr=False)


class NothingThere(Exception):
    """There is nothing at this path.

    Args:
        answer: what came with that, where something did.
    """

    def __init__(self, answer: t.Any) -> None:
        super().__init__()
        self.answer = answer if isinstance(answer, dict) else {}


class Denied(BackendFailed):
    """The token is good, but no policy of its allows this."""


class Conflict(BackendFailed):
    """The server turned the request down: somebody else was there first, or a rule of the server's is in the way."""


class Unexpected(BackendFailed):
    """An answer that means nothing to this collection, as to a method that the server does not have."""


class Connection:
    """Asks one server, and logs in when it is first asked."""

    def __init__(self, address: Address, login: Token | AppRole, *, name: str) -> None:
        self._address, self._login, self._name = address, login, name
        self._client: t.Any = None

    def ask(self, doing: str, request: Request[T]) -> T:
        """Send one request and return its answer.

        Args:
            doing: what for, for the error: "... could not <doing>".
            request: sends it by the ``hvac.Client`` that it is given.

        Raises:
            NothingThere: the path is not there.
            Denied: a policy does not allow it.
            Conflict: the server turned it down.
            Unexpected: nobody knows what the answer means.
            BackendDown: it cannot be reached, or is sealed.
            BackendFailed: anything else.
        """
        hvac, _requests = libraries()
        for last_try in (False, True):
            client = self._logged_in(doing)
            try:
                return self._sent(doing, request, client)
            except hvac.exceptions.Forbidden:
                if self._is_valid(doing, client):
                    raise Denied(
                        f"{self._name} does not allow to {doing}: no policy of the token does. Grant it; the guide on "
                        "escrow shows the least that is needed."
                    ) from None
                # A token that AppRole gave may have expired in a long run; its role gives another.
                if last_try or isinstance(self._login, Token):
                    break
                self._client = None
        raise BackendFailed(
            f"{self._name} could not {doing}: the token has expired, was revoked, or is none of this server's. Get a "
            "new one; 'bao token lookup' tells how long one holds."
        )

    def close(self) -> None:
        """End the token that AppRole gave, and the connection."""
        if self._client is None:
            return
        if isinstance(self._login, AppRole):
            # It ends by itself too, and what was asked for is done.
            with contextlib.suppress(Exception):
                self._client.auth.token.revoke_self()
        self._client.adapter.close()
        self._client = None

    def _logged_in(self, doing: str) -> t.Any:
        if self._client is None:
            client = _client(self._address)
            if isinstance(self._login, Token):
                client.token = self._login.token
            else:
                self._log_in(doing, client, self._login)
            self._client = client
        return self._client

    def _log_in(self, doing: str, client: t.Any, role: AppRole) -> None:
        hvac, _requests = libraries()
        try:
            self._sent(
                f"log in by AppRole to {doing}",
                lambda it: it.auth.approle.login(role.role_id, role.secret_id, mount_point=role.mount),
                client,
            )
        except (hvac.exceptions.Forbidden, NothingThere):
            raise BackendFailed(
                f"{self._name} could not {doing}: it has no AppRole login at {role.mount} for us. Check auth_mount, "
                "and whether the secret id is bound to other addresses."
            ) from None

    def _is_valid(self, doing: str, client: t.Any) -> bool:
        hvac, _requests = libraries()
        try:
            self._sent(doing, lambda it: it.auth.token.lookup_self(), client)
        except hvac.exceptions.Forbidden:
            return False
        return True

    def _sent(self, doing: str, request: Request[T], client: t.Any) -> T:
        """Send a request; what is forbidden is left to the caller, who knows the token."""
        hvac, requests = libraries()
        try:
            return request(client)
        except hvac.exceptions.Forbidden:
            raise
        except (hvac.exceptions.VaultError, requests.RequestException, OSError) as error:
            raise self._meaning(doing, error) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackendFailed(
                f"{self._name} could not {doing}: what answers there does not answer as OpenBao does "
                f"({type(error).__name__}). Check the url."
            ) from None

    def _meaning(self, doing: str, error: Exception) -> Exception:
        hvac, _requests = libraries()
        if not isinstance(error, hvac.exceptions.VaultError):
            host = urllib.parse.urlsplit(self._address.url).hostname or ""
            why = _reaching.reason(error, host=host, timeout=self._address.timeout)
            return BackendDown(f"{self._name} could not {doing}: {why}.")
        # With words it is no missing secret but a mount or a namespace that does not exist.
        if isinstance(error, hvac.exceptions.InvalidPath) and not error.errors:
            return NothingThere(error.json)
        if isinstance(error, hvac.exceptions.VaultDown) and "sealed" in str(error):
            return BackendDown(
                f"{self._name} could not {doing}: it is sealed. Unseal it with 'bao operator unseal', then repeat."
            )
        kinds = {hvac.exceptions.InvalidRequest: Conflict, hvac.exceptions.UnexpectedError: Unexpected}
        return kinds.get(type(error), BackendFailed)(self._answered(doing, error))

    def _answered(self, doing: str, error: t.Any) -> str:
        """Quote the server's own words; they say nothing of ours, but a token in them would be one too many."""
        words = " ".join("; ".join(error.errors or []).split()) or type(error).__name__
        secrets = [self._client.token if self._client else None, *_secrets_of(self._login)]
        for secret in filter(None, secrets):
            words = words.replace(secret, "...")
        return f"{self._name} could not {doing}; it answered: {words[:300]}."


def _secrets_of(login: Token | AppRole) -> tuple[str, ...]:
    return (login.token,) if isinstance(login, Token) else (login.secret_id,)


def _client(address: Address) -> t.Any:
    """Make a client that knows what the options say and nothing else."""
    hvac, requests = libraries()
    session = requests.Session()
    session.trust_env = False
    session.verify = address.ca or True
    # A redirection to a server without TLS is not followed.
    session.adapters.pop("http://")
    return hvac.Client(
        url=address.url,
        token="",
        cert=(),
        session=session,
        timeout=address.timeout,
        namespace=address.namespace or None,
    )


def libraries() -> tuple[t.Any, t.Any]:
    """Import hvac, and requests which it brings, when they are first needed.

    Raises:
        Refused: they are not installed.
    """
    try:
        import hvac
        import requests
    except ImportError:
        raise Refused(
            "The backend openbao needs the Python package hvac on the controller. Install it for the Python that runs "
            f"Ansible: '{sys.executable} -m pip install hvac'."
        ) from None
    return hvac, requests
