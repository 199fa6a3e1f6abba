# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots are locked and unlocked, by all that can hold a key."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import FORESEEN, Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import (
    ASKED,
    POOL,
    SECRETS,
    SOME,
    WHOLE,
    WRONG_SECRETS,
    given,
)


def chapter() -> list[Case]:
    locked = {**WHOLE, "state": "locked"}
    shared = {"name": POOL, "key": given("pool"), "share_with_children": True}
    return [
        sampled("zfs_unlock", {**SOME, "state": "locked", "secrets": WRONG_SECRETS}, refused="opens it"),
        sampled("zfs_unlock", {**locked, "secrets": SECRETS}, diff=True),
        sampled(
            "zfs_unlock", {"names": [POOL, *SOME["names"]], "secrets": [SECRETS[0], *WRONG_SECRETS]}, refused="opens it"
        ),
        case("zfs_unlock", {**WHOLE, "secrets": SECRETS}, **FORESEEN),
        case("zfs_unlock", {"name": "{{ item }}", "secrets": SECRETS}, loop=[POOL, f"{POOL}/letters"]),
        sampled("zfs_unlock", {**WHOLE, "manifest": "manifest.json"}),
        case("zfs_unlock", {**locked, "manifest_content": "{{ manifest }}"}, diff=True),
        case("zfs_unlock", {**WHOLE, "manifest": f"{ASKED}/manifest.json", "remote_src": True}, diff=True),
        case("zfs_unlock", {**locked, "manifest_content": "{{ manifest | to_json }}"}),
        case("zfs_unlock", {**WHOLE, "secrets": [*SECRETS, shared], "move_aside": True}),
        case("zfs_unlock", {**locked, "secrets": SECRETS, "force_unmount": True, "protect_mountpoint": True}),
        case("zfs_unlock", {**WHOLE, "secrets": SECRETS, "mount": False}),
        case("zfs_encrypted_pool", {"name": POOL, "state": "exported", "secrets": WRONG_SECRETS}, refused="opens it"),
        case("zfs_encrypted_pool", {"name": POOL, "state": "exported", "secrets": SECRETS}),
        case("zfs_encrypted_pool", {"name": POOL, "state": "imported", "secrets": SECRETS}, diff=True),
    ]
