# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pools keep of calls for good, on disk."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEYFORMATS,
    change,
    key_of,
    make_root,
    opens,
    other_key_of,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World


@pytest.mark.parametrize("keyformat", KEYFORMATS)
def test_no_key_is_kept_of_what_is_done_with_it(host: Host, world: World, name: str, keyformat: str) -> None:
    first, second = key_of(keyformat), other_key_of(keyformat)
    wraps = {first: make_root(host, name, first, keyformat), second: change(host, name, second, keyformat)}
    host.unload_key(name)
    assert not opens(host, name, first)
    host.load_key(wraps[second], second)

    history = world.history().lower()
    assert b"wkeydata" not in history
    for key, wrap in wraps.items():
        wrapping_key = key.wrapping_key(salt=wrap.number("pbkdf2salt"), iterations=wrap.number("pbkdf2iters"))
        for text in (key.text(keyformat), wrapping_key, wrapping_key.hex().encode()):
            assert text.lower() not in history
