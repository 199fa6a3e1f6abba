# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest on its way from the managed host to the controller: unreadable to whatever logs a module's result.

The controller makes a secret for one execution, both sides derive a stream of bytes from it, and what travels is the
manifest XOR that stream. The secret is used once. Private to the collection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from ._errors import Refused

SECRET_BYTES = 32


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def seal(content: bytes, secret: bytes) -> str:
    """Return a text that means nothing without the secret."""
    return base64.b64encode(_combined(content, secret)).decode("ascii")


def unseal(text: str, secret: bytes) -> bytes:
    """Return what was sealed.

    Raises:
        Refused: the text is damaged, as by masking.
    """
    try:
        return _combined(base64.b64decode(text, validate=True), secret)
    except (binascii.Error, ValueError):
        raise Refused(
            "The manifest arrived damaged, and nothing was written. A very short text among the offered keys makes "
            "Ansible mask parts of any result: leave such an entry out."
        ) from None


def _combined(content: bytes, secret: bytes) -> bytes:
    stream = hashlib.shake_256(secret).digest(len(content))
    return bytes(left ^ right for left, right in zip(content, stream))
