# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a server cannot be reached over TLS, in words for the person on call.

Private to the collection.
"""

from __future__ import annotations

import socket
import ssl
import typing as t

# What the server says about the certificate that we showed (RFC 8446, section 6.2), as OpenSSL spells it.
_OF_OUR_CERTIFICATE = {
    "UNKNOWN_CA": "the server does not know the authority that signed the client's certificate",
    "CERTIFICATE_EXPIRED": "the client's certificate has expired",
    "CERTIFICATE_REVOKED": "the client's certificate was revoked",
    "CERTIFICATE_UNKNOWN": "the server does not accept the client's certificate",
    "BAD_CERTIFICATE": "the server does not accept the client's certificate",
    "UNSUPPORTED_CERTIFICATE": "the client's certificate is none for TLS clients",
    "CERTIFICATE_REQUIRED": "the server wants a client's certificate",
    "HANDSHAKE_FAILURE": "the two have no TLS version and cipher in common, or the server wants a client's certificate",
    "PROTOCOL_VERSION": "the server speaks no TLS 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "the server speaks no TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "it speaks no TLS on this port",
    "KEY_VALUES_MISMATCH": "the private key does not belong to the certificate",
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file of authorities that the options name holds no certificate",
}

# verify_code of OpenSSL (X509_V_ERR_...), for what an administrator can act on.
_EXPIRED, _HOSTNAME, _ADDRESS = 10, 62, 64


def reason(error: BaseException, *, host: str, timeout: float) -> str:
    """Say why connecting, or talking, came to nothing; the beginning of a sentence, without a full stop.

    Args:
        error: what was raised, or what led to it somewhere in its causes.
        host: the server's name or address, as the options say it.
        timeout: how many seconds it had.
    """
    found = _first_cause(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _of_their_certificate(found, host)
    if isinstance(found, ssl.SSLError):
        named = [words for sign, words in _OF_OUR_CERTIFICATE.items() if sign in (found.reason or "")]
        return named[0] if named else f"TLS failed ({found.reason or 'no reason given'})"
    if isinstance(found, TimeoutError):
        return f"it gave no answer within {timeout:g} seconds"
    if isinstance(found, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(found, socket.gaierror):
        return f"the name {host} is not known here"
    if isinstance(found, ConnectionError):
        return "it closed the connection"
    if isinstance(found, OSError) and found.strerror:
        return found.strerror[0].lower() + found.strerror[1:]
    return f"the connection failed ({type(error).__name__})"


def _of_their_certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    if error.verify_code in (_HOSTNAME, _ADDRESS):
        return f"its certificate is not one for {host}, so it may be another server"
    if error.verify_code == _EXPIRED:
        return "its certificate has expired"
    return f"its certificate is not signed by the authority that the options name ({error.verify_message})"


def _first_cause(error: BaseException) -> BaseException | None:
    """Look through an exception, its arguments and its causes: requests and urllib3 wrap what happened."""
    todo: list[t.Any] = [error]
    seen: list[t.Any] = []
    while todo:
        each = todo.pop(0)
        if not isinstance(each, BaseException) or any(each is other for other in seen):
            continue
        seen.append(each)
        if type(each).__module__ in ("builtins", "socket", "ssl") and isinstance(each, OSError):
            return each
        todo += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    # Of a silent server requests keeps no more than its own class.
    return next((TimeoutError() for each in seen if "Timeout" in type(each).__name__), None)
