# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys are taken into escrow on the controller, made there, and offered from there."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import FORESEEN, Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import (
    BY_APPROLE,
    BY_TOKEN,
    ESCROW,
    ITERATIONS,
    KMIP,
    MOVED,
    POOL,
    SECRETS,
    SOME,
    WHOLE,
    WRONG_SECRETS,
    given,
    keyed,
)


def chapter() -> list[Case]:
    adopted = {**WHOLE, "secrets": SECRETS, "escrow": ESCROW}
    kept = {**keyed("kept"), "escrow": ESCROW}
    changed = {**kept, "key": given("kept2"), "update_key": "always"}
    turned = {"name": f"{POOL}/kept", "new_keys": [{"name": f"{POOL}/kept", "key": given("kept2")}], "escrow": ESCROW}
    elsewhere = [{"name": f"{POOL}/nobody", "key": given("kept2")}]
    minted = {"name": f"{POOL}/kept", "max_age_days": 0, "keyformat": "passphrase", **ITERATIONS, "escrow": ESCROW}
    strange = [{"type": "vault_file", "path": "escrow", "token": given("misplaced")}]
    return [
        sampled("zfs_key_escrow", {**SOME, "secrets": WRONG_SECRETS, "escrow": ESCROW}, refused="opens it"),
        case("zfs_key_escrow", adopted, **FORESEEN),
        sampled("zfs_key_escrow", adopted, diff=True),
        sampled("zfs_key_escrow_info", {"escrow": ESCROW}),
        sampled("zfs_key_escrow_info", {"escrow": strange}, refused="says more than a backend of this type takes"),
        *(
            case("zfs_key_escrow_info", {"escrow": [{**place, **wrong}]}, refused=words)
            for place, wrong, words in (
                (BY_TOKEN, {"token": given("wrong")}, "token holds 64"),
                (BY_TOKEN, {"token": given("misplaced")}, "is not one word"),
                (BY_APPROLE, {"secret_id": given("wrong")}, "secret_id holds 64"),
                (BY_APPROLE, {"secret_id": None, "secret_id_file": given("misplaced")}, "cannot be read"),
                (KMIP, {"key_file": given("misplaced")}, "is not there"),
            )
        ),
        sampled("zfs_key_drill", {**WHOLE, "escrow": ESCROW}),
        sampled(
            "zfs_key_drill", {**WHOLE, "escrow": ESCROW, "fail_on": ["weak_iterations"]}, refused="rounds of PBKDF2"
        ),
        case("zfs_encryption_info", {**WHOLE, "escrow": ESCROW}),
        sampled("zfs_unlock", {**WHOLE, "state": "locked", "escrow": ESCROW}),
        sampled("zfs_unlock", {**WHOLE, "escrow": ESCROW}, diff=True),
        case("zfs_key_export", {**WHOLE, "escrow": ESCROW, "dest_controller": "{{ asked }}/of_escrow.json"}),
        sampled("zfs_dataset_key", kept, diff=True),
        case("zfs_dataset_key", {**kept, "key": given("wrong")}, refused="the one in escrow does"),
        case("zfs_dataset_key", changed, **FORESEEN),
        sampled("zfs_key_rotate", turned, diff=True),
        sampled("zfs_key_rotate", {**turned, "new_keys": elsewhere}, refused="which was not chosen"),
        # Keys in memory are no keys to rotate: a restart leaves nothing of their files.
        case(
            "zfs_key_rotate", {**WHOLE, "max_age_days": 0, "escrow": ESCROW}, refused="where a restart leaves nothing"
        ),
        case("zfs_key_rotate", {"name": f"{POOL}/keyed", "max_age_days": 0, "escrow": ESCROW}, **FORESEEN),
        case("zfs_dataset_key", {**changed, "key": given("kept")}, diff=True),
        case("zfs_key_rotate", minted, diff=True),
        sampled("zfs_key_retire", {"retain_days": 0, "retain_versions": 0, "escrow": ESCROW}),
        sampled("zfs_key_retire", {"retain_days": 0, "escrow": strange}, refused="says more than a backend"),
        sampled("zfs_key_move", {"source": ESCROW, "escrow": MOVED}),
        sampled("zfs_key_move", {"source": strange, "escrow": MOVED}, refused="says more than a backend"),
        sampled("zfs_evidence_info", {"path": "{{ zfsfleet_evidence }}"}),
        sampled("zfs_evidence_info", {"path": "{{ zfsfleet_evidence }}/none"}, refused="cannot be read"),
        sampled("zfs_dataset_key", {"name": f"{POOL}/kept", "state": "absent", "force_destroy": True}),
    ]
