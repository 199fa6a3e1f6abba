# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys are tried, and written into manifests."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import FORESEEN, Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import ASKED, SECRETS, SOME, WHOLE, WRONG_SECRETS


def chapter() -> list[Case]:
    exported = {**WHOLE, "secrets": SECRETS}
    wrong = {**SOME, "secrets": WRONG_SECRETS}
    plain, own, sealed = (f"{{{{ asked }}}}/{name}.json" for name in ("plain", "own", "sealed"))
    return [
        sampled("zfs_encryption_info", {**WHOLE, "secrets": [*SECRETS[:3], *WRONG_SECRETS[1:]]}),
        case("zfs_encryption_info", {**WHOLE, "manifest": "manifest.json"}),
        case("zfs_key_export", {**exported, "dest_controller": own}, **FORESEEN),
        sampled("zfs_key_export", {**exported, "dest_controller": plain}, diff=True),
        case("zfs_key_export", {**exported, "dest_controller": own, "format": "zfsfleet"}),
        case("zfs_key_export", {**exported, "dest_controller": sealed, "vault_id": "default"}),
        case("zfs_unlock", {**WHOLE, "manifest": sealed}),
        case("zfs_unlock", {**WHOLE, "manifest": own}, **FORESEEN),
        sampled("zfs_key_export", {**exported, "dest": f"{ASKED}/exported.json", "force": True}, diff=True),
        case("zfs_key_export", {**wrong, "dest": f"{ASKED}/x.json"}, refused="opens it"),
        sampled("zfs_key_export", {**wrong, "dest_controller": plain}, refused="opens it"),
        # What is there holds more keys than the new one would.
        case(
            "zfs_key_export",
            {"name": SECRETS[1]["name"], "secrets": SECRETS, "dest_controller": plain},
            refused="force: true",
        ),
        case(
            "zfs_key_export",
            {"name": SECRETS[1]["name"], "secrets": SECRETS, "dest": f"{ASKED}/exported.json"},
            refused="force: true",
        ),
    ]
