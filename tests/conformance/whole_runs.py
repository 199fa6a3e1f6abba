# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of modules on a host, without Ansible: observe, plan, carry out."""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import carry_out
from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Outcome, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import observe_dataset, plan_dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import observe_unlock, plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._proof import prove_locked
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import unlock_wanted


def provision(host: Host, *datasets: dict[str, t.Any], **top: t.Any) -> list[tuple[str, str]]:
    """Run a task of ``zfs_dataset_key`` once, which has to succeed; return what it changed."""
    outcome = try_to_provision(host, *datasets, **top)
    assert outcome.failures == {}
    return [(step.dataset, step.action) for step in outcome.done if step.before != step.after]


def try_to_provision(host: Host, *datasets: dict[str, t.Any], **top: t.Any) -> Outcome:
    """Run a task of ``zfs_dataset_key`` once."""
    wanted = batch_wanted({**top, "datasets": list(datasets)})
    _plan, outcome = _carried_out(plan_dataset(wanted, observe_dataset(wanted, host, host.pools())), host)
    return outcome


def unlock(host: Host, **params: t.Any) -> Outcome:
    """Run a task of ``zfs_unlock`` once."""
    defaults = {"state": "unlocked", "mount": True, "verify_key": True, "move_aside": False}
    wanted = unlock_wanted({**defaults, **params})
    observed = observe_unlock(wanted, host, host.pools())
    _plan, outcome = prove_locked(*_carried_out(plan_unlock(wanted, observed), host), host)
    return outcome


def _carried_out(plan: Plan, host: Host) -> tuple[Plan, Outcome]:
    assert plan.missing == ()
    return plan, carry_out(plan, host)
