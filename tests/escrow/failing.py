# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a place for keys says when it fails."""

from __future__ import annotations

import traceback
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import EncryptionError


def failure_of(call: t.Callable[[], object], *secrets: str | bytes) -> str:
    """Return the sentence of a failure in which, and in whose traceback, no secret stands."""
    with pytest.raises(EncryptionError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value))
    for secret in secrets:
        assert (secret.hex() if isinstance(secret, bytes) else secret) not in shown
    return str(caught.value)
