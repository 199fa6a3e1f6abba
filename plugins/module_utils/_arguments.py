# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs that modules share; their documentation is in the fragments of the same concept.

Private to the collection.
"""

from __future__ import annotations

import typing as t

Arguments = dict[str, t.Any]

CIPHERS = (
    "on",
    "off",
    "aes-128-ccm",
    "aes-192-ccm",
    "aes-256-ccm",
    "aes-128-gcm",
    "aes-192-gcm",
    "aes-256-gcm",
)


ONE_KEY = ("key", "passphrase", "key_file")
# A key that is set may be written into a file as well.
ONE_KEY_IN_TEXT = ("key", "passphrase")

# What a pool's root dataset shares with every other dataset.
ROOT_OPTIONS = (
    *("key", "passphrase", "key_file", "generate_key", "current", "update_key", "encryption", "keyformat"),
    *("keylocation", "pbkdf2iters", "properties", "hierarchy", "heal"),
)


def one_secret() -> Arguments:
    """A key in one of its three forms."""
    return {
        "key": {"type": "str", "no_log": True},
        "passphrase": {"type": "str", "no_log": True},
        "key_file": {"type": "path", "no_log": False},
    }


ONE_SECRET_RULES: Arguments = {"mutually_exclusive": [ONE_KEY], "required_one_of": [ONE_KEY]}


def choice() -> Arguments:
    """Which datasets, apart from which keys."""
    return {
        "name": {"type": "str"},
        "names": {"type": "list", "elements": "str"},
        "recursive": {"type": "bool", "default": False},
    }


def move_aside() -> Arguments:
    """Whether what stands in the way of a mountpoint may be moved."""
    return {"move_aside": {"type": "bool", "default": False}}


def offers() -> Arguments:
    """Keys that are offered, apart from which datasets."""
    return {
        "secrets": {
            "type": "list",
            "elements": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                **one_secret(),
                "share_with_children": {"type": "bool", "default": False},
            },
            **ONE_SECRET_RULES,
        },
        "manifest": {"type": "path"},
        "manifest_content": {"type": "dict", "no_log": True},
        "remote_src": {"type": "bool", "default": False},
    }


def candidates() -> Arguments:
    """Keys that are only tried, each under an id of the caller's."""
    return {
        "candidates": {
            "type": "list",
            "elements": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                "id": {"type": "str", "required": True},
                **{form: one_secret()[form] for form in ONE_KEY_IN_TEXT},
            },
            "mutually_exclusive": [ONE_KEY_IN_TEXT],
            "required_one_of": [ONE_KEY_IN_TEXT],
        },
    }


def rotation() -> Arguments:
    """Which keys are due, and what takes their place."""
    return {
        "max_age_days": {"type": "float"},
        "made_before": {"type": "str"},
        "back_to": {"type": "str"},
        "new_keys": {
            "type": "list",
            "elements": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                **{form: one_secret()[form] for form in ONE_KEY_IN_TEXT},
            },
            "mutually_exclusive": [ONE_KEY_IN_TEXT],
            "required_one_of": [ONE_KEY_IN_TEXT],
        },
        "keyformat": {"type": "str", "choices": ["hex", "raw", "passphrase"], "no_log": False},
        "pbkdf2iters": {"type": "int"},
        "hierarchy": {"type": "str", "choices": ["truenas", "openzfs"]},
        "replicas_keep_old_key": {"type": "bool", "default": False, "no_log": False},
        "despite_checkpoint": {"type": "bool", "default": False},
        "remove_named_files": {"type": "bool", "default": False, "no_log": False},
    }


def retention() -> Arguments:
    """How long replaced keys are kept."""
    return {
        "retain_days": {"type": "float", "required": True},
        "retain_versions": {"type": "int", "default": 1},
        "unseen_copies": {"type": "bool", "default": False},
    }


def escrow() -> Arguments:
    """Where keys are kept outside the host: the action plugin's options, with suboptions that only it knows."""
    return {
        "escrow": {"type": "list", "elements": "dict"},
        "escrow_require": {"type": "int"},
    }


def dataset() -> Arguments:
    """One dataset as it should be; no defaults, so that an entry can be told from the task's top level."""
    return {
        "state": {"type": "str", "choices": ["present", "inherited", "absent"]},
        "type": {"type": "str", "choices": ["filesystem", "volume"]},
        **one_secret(),
        "generate_key": {"type": "bool", "no_log": False},
        "current": {"type": "dict", "options": one_secret(), **ONE_SECRET_RULES},
        "update_key": {"type": "str", "choices": ["on_create", "always"], "no_log": False},
        "encryption": {"type": "str", "choices": list(CIPHERS)},
        "keyformat": {"type": "str", "choices": ["hex", "raw", "passphrase"], "no_log": False},
        "keylocation": {"type": "str", "no_log": False},
        "pbkdf2iters": {"type": "int"},
        "volsize": {"type": "str"},
        "sparse": {"type": "bool"},
        "properties": {"type": "dict"},
        "hierarchy": {"type": "str", "choices": ["truenas", "openzfs"]},
        "force_destroy": {"type": "bool"},
        "heal": {"type": "bool"},
        "repoint": {"type": "bool"},
        "replication_ended": {"type": "bool"},
    }
