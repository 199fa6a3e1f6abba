# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for which nothing is named fails: it must not pass for one that is unlocked, locked, exported or taken in."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.secrecy.plays import PLAYBOOK, said_by

pytestmark = pytest.mark.skipif(not PLAYBOOK.exists(), reason="there is no ansible-playbook beside this Python")

ROLES: dict[str, dict[str, t.Any]] = {
    "adopt": {"adopt_escrow": []},
    "export": {"export_dest": "/nonexistent/manifest.json"},
    "unlock": {},
}


def said_by_failing(directory: Path, roles: t.Mapping[str, dict[str, t.Any]]) -> str:
    """Return what is said of roles that all have to fail with these variables."""
    tasks = [
        {
            "block": [{"ansible.builtin.include_role": {"name": f"zfsfleet.encryption.{role}"}, "vars": variables}],
            "rescue": [{"ansible.builtin.debug": {"msg": "it failed"}}],
        }
        for role, variables in roles.items()
    ]
    said = said_by(directory, tasks, "--check")
    assert said.count("it failed") == len(roles)
    return said


def test_nothing_named_is_a_failure_that_says_what_to_name(tmp_path: Path) -> None:
    said = said_by_failing(tmp_path, ROLES)

    for role in ROLES:
        assert f"Name datasets in {role}_names, or pools in provision_pools." in said


def test_no_place_for_keys_is_a_failure_that_says_so(tmp_path: Path) -> None:
    roles = ("adopt", "drill", "rotate", "retire")
    pools: dict[str, t.Any] = {"provision_pools": [{"name": "tank"}], "retire_days": 1}

    said = said_by_failing(tmp_path, dict.fromkeys(roles, pools))

    for role in roles:
        assert f"Name places for keys in {role}_escrow or provision_escrow." in said


@pytest.mark.parametrize("role", ["export", "unlock"])
def test_no_pools_are_nothing_to_do(tmp_path: Path, role: str) -> None:
    included = {"ansible.builtin.include_role": {"name": f"zfsfleet.encryption.{role}"}}

    said = said_by(tmp_path, [{**included, "vars": {**ROLES[role], "provision_pools": []}}], "--check")

    assert "failed=0" in said, said
