# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are none: misspelled options, wrong types, broken manifests, a host that runs no module."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.tests.leaks.case import Case, case, sampled
from ansible_collections.zfsfleet.encryption.tests.leaks.cast import ASKED, POOL, POOL_OPTIONS, WHOLE, given, keyed

NEW = {"name": f"{POOL}/new"}


def chapter() -> list[Case]:
    return [*_in_pools_and_datasets(), *_in_offers(), *_never_run()]


def _in_pools_and_datasets() -> list[Case]:
    return [
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "kye": given("mistyped")}, refused="kye holds 64"),
        case(
            "zfs_encrypted_pool", {**POOL_OPTIONS, "key": given("twice") + "0"}, refused="is not 64 hexadecimal digits"
        ),
        sampled("zfs_dataset_key", {"datasets": [given("text")]}, refused="no list of mappings"),
        case("zfs_dataset_key", {"datasets": given("text")}, refused="datasets holds 64"),
        case("zfs_dataset_key", {**NEW, "current": given("text")}, refused="current is no mapping"),
        sampled("zfs_dataset_key", {**NEW, "key": [given("listed")]}, refused="key is no text"),
        case("zfs_dataset_key", {**NEW, "key": {"key": given("mapped")}}, refused="key is no text"),
        case("zfs_dataset_key", {**NEW, "passphrase": [given("misspelled")]}, refused="passphrase is no text"),
        sampled(
            "zfs_dataset_key",
            {"datasets": [{**NEW, "passfrase": given("misspelled")}]},
            refused="Unsupported parameters",
        ),
        case(
            "zfs_dataset_key",
            {**NEW, "key": given("twice"), "passphrase": given("misspelled")},
            refused="mutually exclusive",
        ),
        case("zfs_dataset_key", {**NEW, "passphrase": "{{ c.long * 20 }}"}, refused="8 to 512 bytes"),
        sampled(
            "zfs_dataset_key", {**NEW, "keyformat": "raw", "key_file": f"{ASKED}/bad.key"}, refused="wants exactly 32"
        ),
    ]


def _in_offers() -> list[Case]:
    return [
        sampled("zfs_unlock", {**WHOLE, "secrets": [{"key": given("nameless")}]}, refused="missing required arguments"),
        case("zfs_unlock", {**WHOLE, "secrets": given("text")}, refused="secrets holds 64"),
        case("zfs_unlock", {**WHOLE, "secrets": {"name": POOL, "key": given("mapped")}}, refused="no list of mappings"),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [{"name": POOL, "key": {"key": given("mapped")}}]},
            refused="key is no text",
        ),
        case("zfs_unlock", {**WHOLE, "manifest": "broken.json"}, refused="is not JSON"),
        case("zfs_unlock", {**WHOLE, "manifest": "mistyped.json"}, refused="that is no text"),
        case("zfs_unlock", {**WHOLE, "manifest_content": given("text")}, refused="is not JSON"),
        case("zfs_unlock", {**WHOLE, "manifest_content": [given("listed")]}, refused="manifest_content"),
        case("zfs_unlock", {**WHOLE, "manifest_content": {given("text"): given("text")}}, refused="no dataset's"),
        case("zfs_unlock", {**WHOLE, "manifest_content": {POOL: {"key": given("text")}}}),
        case("zfs_encryption_info", {**WHOLE, "secrets": [{**keyed("keyed"), "pasword": "x"}]}, refused="Unsupported"),
        sampled("zfs_encryption_info", {**WHOLE, "manifest": "broken.json"}, refused="is not JSON"),
        case(
            "zfs_key_export",
            {**WHOLE, "dest": f"{ASKED}/x.json", "_seal": given("text")},
            refused="_seal is no option",
        ),
    ]


def _never_run() -> list[Case]:
    return [
        case(
            "zfs_dataset_key",
            {**NEW, "key": given("asynchronous")},
            refused="asynchronous",
            **{"async": 30, "poll": 1},
        ),
        # The wrapper, with all arguments, is fed to a shell that cannot start what should read it.
        case(
            "zfs_dataset_key",
            {**NEW, "key": given("asynchronous")},
            refused="was not found",
            vars={"ansible_python_interpreter": "/usr/bin/python2.0"},
        ),
    ]
