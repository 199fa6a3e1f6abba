# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mistake in a role's variables is named without the key beside it, however loud Ansible is asked to be."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.secrecy.plays import PLAYBOOK, said_by

CANARY = "canary-4711"

# What indentation and forgotten dashes make of an entry; all of them hold the canary.
BROKEN_ENTRIES: dict[str, t.Any] = {
    "text": CANARY,
    "text like options": f"name=tank key={CANARY}",
    "text like a mapping": f"{{name: tank, key: {CANARY}",
    "mapping": {"tank": {"key": CANARY}},
    "list in list": [["name", {"key": CANARY}]],
    "text in list": [CANARY],
}
LISTS = {
    "provision": ["provision_pools", "provision_datasets"],
    "move": ["move_source", "move_escrow"],
    "unlock": ["unlock_escrow", "unlock_secrets"],
    "export": ["export_escrow", "export_secrets"],
    "adopt": ["adopt_secrets", "adopt_escrow"],
    "drill": ["drill_escrow"],
    "retire": ["retire_escrow"],
    "rotate": ["rotate_escrow", "rotate_new_keys"],
}
BROKEN_MAPPINGS: dict[str, t.Any] = {"text": CANARY, "text like a mapping": f"{{key: {CANARY}", "list": [CANARY]}
MAPPINGS = {
    "provision": ["provision_dataset_defaults"],
    "unlock": ["unlock_manifest_content"],
    "export": ["export_manifest_content"],
    "adopt": ["adopt_manifest_content", "adopt_kmip_source", "adopt_kmip_secrets"],
}
# What has to be said in any case.
SAID: dict[str, dict[str, t.Any]] = {
    "provision": {"provision_escrow": []},
    "adopt": {"adopt_escrow": [{"type": "vault_file", "path": "keys"}], "adopt_names": ["tank"]},
    "move": {"move_source": []},
    "retire": {"retire_escrow": [], "retire_days": 1},
    "rotate": {"rotate_escrow": [], "rotate_max_age_days": 1},
    "drill": {"drill_escrow": [{"type": "vault_file", "path": "keys"}]},
}
# Good entries beside something else that is wrong.
BESIDE: dict[str, dict[str, t.Any]] = {
    "provision": {"provision_datasets": [{"name": "tank", "key": CANARY}], "provision_unlock": "sometimes"},
    "unlock": {"unlock_secrets": [{"name": "tank", "key": CANARY}], "unlock_state": "ajar"},
    "export": {"export_secrets": [{"name": "tank", "key": CANARY}], "export_format": "papyrus"},
    "adopt": {"adopt_secrets": [{"name": "tank", "key": CANARY}], "adopt_recursive": "sometimes"},
    "drill": {"drill_escrow": [{"type": "openbao", "token": CANARY}], "drill_recursive": "sometimes"},
}


def cases() -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    for broken, names in ((BROKEN_ENTRIES, LISTS), (BROKEN_MAPPINGS, MAPPINGS)):
        for role, variables in names.items():
            for variable in variables:
                yield from ((role, {variable: value}) for value in broken.values())
    yield from BESIDE.items()


def play(directory: Path, *options: str) -> str:
    """Call the roles with each broken variable and return all that Ansible says."""
    tasks = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {"name": f"zfsfleet.encryption.{role}"},
                    "vars": {**SAID.get(role, {}), **variables},
                }
            ],
            "rescue": [{"ansible.builtin.debug": {"msg": "it was refused"}}],
        }
        for role, variables in cases()
    ]
    return said_by(directory, tasks, "--check", *options)


@pytest.mark.skipif(not PLAYBOOK.exists(), reason="there is no ansible-playbook beside this Python")
def test_no_key_is_shown(tmp_path: Path) -> None:
    said = play(tmp_path, "-vvv")

    assert said.count("it was refused") == len(list(cases()))
    assert CANARY not in said
