# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own roles and playbooks with the same secrets."""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.tests.leaks.cast import (
    ASKED,
    ESCROW,
    MOVED,
    POOL,
    POOL_OPTIONS,
    SECRETS,
    Options,
    given,
)

Play = dict[str, t.Any]


def plays() -> list[Play]:
    """Return plays: roles first, then a playbook."""
    shared: Options = {
        "target": "all",
        "provision_escrow": ESCROW,
        "provision_pools": [{**POOL_OPTIONS, "key": given("pool")}],
    }
    provisioned = [{"name": f"{POOL}/role", "key": given("role")}]
    offered = [*SECRETS, *provisioned]
    work: dict[str, Options] = {
        "provision": {"provision_datasets": provisioned},
        "adopt": {"adopt_names": [POOL], "adopt_secrets": offered},
        "drill": {"drill_names": [POOL], "drill_fail_on": []},
        "unlock": {"unlock_secrets": offered, "unlock_state": "locked"},
        "export": {"export_secrets": offered, "export_dest": f"{ASKED}/role.json"},
        "rotate": {"rotate_names": [f"{POOL}/role"], "rotate_max_age_days": 0, "rotate_report": "{{ asked }}/rotated"},
        "retire": {"retire_days": 0, "retire_versions": 0},
        "move": {"move_source": ESCROW, "move_escrow": MOVED},
    }
    roles = [{"role": f"zfsfleet.encryption.{role}", **options} for role, options in work.items()]
    return [
        {"hosts": "all", "gather_facts": False, "vars": shared, "roles": roles},
        {"import_playbook": "zfsfleet.encryption.unlock", "vars": {**shared, "unlock_secrets": offered}},
    ]
