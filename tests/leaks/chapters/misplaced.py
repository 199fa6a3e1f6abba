# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets where no secret belongs; Ansible quotes what it cannot make sense of."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import OTHER_OPTIONS, POOL, WHOLE, given, keyed

NEW = {"name": f"{POOL}/new"}


def chapter() -> list[Case]:
    return [*_keys(), *_passphrases()]


def _keys() -> list[Case]:
    return [
        case("zfs_unlock", {**WHOLE, "manifest": "{{ manifest }}"}, refused="manifest is no path"),
        sampled("zfs_unlock", {**WHOLE, "manifest": "{{ manifest | to_json }}"}, refused="manifest is no path"),
        case("zfs_unlock", {**WHOLE, "manifest": given("text")}, refused="manifest holds 64"),
        case("zfs_unlock", {**WHOLE, "secrets": [{"name": POOL, "key_file": given("text")}]}, refused="key_file holds"),
        sampled("zfs_dataset_key", {**NEW, "keyformat": given("text")}, refused="keyformat holds 64"),
    ]


def _passphrases() -> list[Case]:
    secret = given("misplaced")
    return [
        case("zfs_dataset_key", {**NEW, "key_file": secret}, refused="no absolute path"),
        case("zfs_dataset_key", {**NEW, "keylocation": secret}, refused="no location"),
        sampled("zfs_dataset_key", {**NEW, "pbkdf2iters": secret}, refused="pbkdf2iters is no whole number"),
        case("zfs_dataset_key", {"datasets": [{**NEW, "encryption": secret}]}, refused="encryption in datasets"),
        case("zfs_dataset_key", {**NEW, "state": secret}, refused="state is none of"),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, "topology": f"disks={secret}"}, refused="topology is no mapping"),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, "force": secret}, refused="force is neither"),
        sampled("zfs_unlock", {**WHOLE, "mount": secret}, refused="mount is neither"),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [{**keyed("keyed"), "share_with_children": secret}]},
            refused="share_with_children in secrets, entry 1, is neither",
        ),
        case("zfs_encryption_info", {**WHOLE, "recursive": secret}, refused="recursive is neither"),
        case("zfs_key_export", {**WHOLE, "dest": "/run/x.json", "format": secret}, refused="format is none of"),
        case("zfs_key_export", {**WHOLE, "dest": "/run/x.json", "backup": secret}, refused="backup is neither"),
    ]
