# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and datasets come into being, their keys are changed, some of them go away."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import FORESEEN, Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import (
    DATASETS,
    ITERATIONS,
    OTHER_OPTIONS,
    OTHER_POOL,
    POOL,
    POOL_OPTIONS,
    WRONG_SECRETS,
    given,
    keyed,
    phrased,
)


def chapter() -> list[Case]:
    return [*_made(), *_changed(), *_gone()]


def _made() -> list[Case]:
    return [
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "key": given("pool")}, **FORESEEN),
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "key": given("pool")}, diff=True),
        case("zfs_encrypted_pool", {**POOL_OPTIONS, "key": given("wrong")}, refused="does not open it"),
        sampled("zfs_dataset_key", {"datasets": DATASETS}, **FORESEEN),
        sampled("zfs_dataset_key", {"datasets": DATASETS}, diff=True),
        case("zfs_dataset_key", {"datasets": DATASETS}),
        case("zfs_dataset_key", {"name": f"{POOL}/{{{{ item }}}}", "key": "{{ c[item] }}"}, loop=["keyed", "vol"]),
        # OpenZFS itself fails, after it was given the key.
        case("zfs_dataset_key", {**keyed("lost"), "volsize": "64G"}, refused="was not created"),
    ]


def _changed() -> list[Case]:
    wanted = [
        {**keyed("keyed"), "key": given("keyed2"), "current": {"key": given("keyed")}},
        {**phrased("signs"), "passphrase": given("signs2"), "current": {"passphrase": given("signs")}},
    ]
    unproven = [{**entry, "current": {"key": given("wrong")}} for entry in wanted]
    return [
        sampled("zfs_dataset_key", {"datasets": WRONG_SECRETS}, refused="does not open it"),
        case("zfs_dataset_key", {"datasets": unproven, "update_key": "always"}, refused="does not open it"),
        case("zfs_dataset_key", {"datasets": wanted, "update_key": "always"}, **FORESEEN),
        sampled("zfs_dataset_key", {"datasets": wanted, "update_key": "always"}, diff=True),
    ]


def _gone() -> list[Case]:
    late = f"{POOL}/late"
    own = {"passphrase": given("own_signs"), **ITERATIONS}
    changed = {"key": given("pool2"), "current": {"passphrase": given("own_signs")}, "update_key": "always"}
    other = {"secrets": [{"name": OTHER_POOL, "key": given("pool2")}]}
    return [
        case("zfs_dataset_key", keyed("late")),
        case("zfs_dataset_key", {"name": late, "state": "inherited", "current": {"key": given("late")}}, diff=True),
        case("zfs_dataset_key", {"name": late, "state": "absent", "force_destroy": True}),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, **own}),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, **changed}, diff=True),
        case("zfs_encrypted_pool", {"name": OTHER_POOL, "state": "exported", **other}),
        case("zfs_encrypted_pool", {"name": OTHER_POOL, "state": "imported", **other}),
        case(
            "zfs_encrypted_pool",
            {
                "name": OTHER_POOL,
                "topology": OTHER_OPTIONS["topology"],
                "state": "absent",
                "force_destroy": True,
            },
        ),
    ]
