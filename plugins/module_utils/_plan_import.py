# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning ``zfs_encrypted_pool``: a pool that is to be imported or exported, and what opens after an import.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._errors import Refused
from ._host import Importable, PoolImport
from ._model import Dataset, Pool
from ._mount_steps import Mount
from ._names import is_below
from ._observe_pool import PoolObserved, due_plain_mounts, imported_name, opening_all
from ._plan import Failure, Group, Observed, Plan
from ._plan_unlock import plan_unlock
from ._pool_steps import ExportPool, ImportPool
from ._pool_wanted import PoolWanted
from ._replicas import lost_by_locking
from ._verdicts import unopened

_IMPORTABLE_STATES = ("ONLINE", "DEGRADED")


def plan_imported(wanted: PoolWanted, observed: PoolObserved) -> Plan:
    """Plan an import; what opens afterwards is planned when it is there.

    Raises:
        Refused: it is not clear which pool is meant, or importing it could do harm.
    """
    if observed.name is not None:
        _refuse_another_guid(wanted, observed.pools[observed.name])
        sentences = import_drift(wanted, observed, observed.name)
        return Plan(warnings=sentences, details={"drift": list(sentences)})
    found = [pool for pool in observed.importable if _is_meant(pool, wanted)]
    if not found:
        return Plan(missing=(_not_found(wanted),), details={"drift": []})
    if len(found) > 1:
        guids = ", ".join(pool.guid for pool in found)
        raise Refused(f"There are {len(found)} pools {wanted.label}, with the GUIDs {guids}. Say which one under guid.")
    pool = found[0]
    _refuse_unsafe(pool, wanted, observed)
    request = PoolImport(pool.name, pool.guid, wanted.search, wanted.altroot, wanted.readonly, wanted.force_import)
    warnings = (f"Pool {pool.name} is {pool.state}: {pool.problem}",) if pool.state != "ONLINE" else ()
    return Plan((Group(pool.name, (ImportPool(request),)),), warnings=warnings, details={"drift": []})


def _is_meant(pool: Importable, wanted: PoolWanted) -> bool:
    return wanted.name in (None, pool.name) and wanted.guid in (None, pool.guid)


def _refuse_another_guid(wanted: PoolWanted, pool: Pool) -> None:
    if wanted.guid not in (None, pool.guid):
        raise Refused(
            f"A pool {pool.name} is imported, with GUID {pool.guid} and not {wanted.guid}. "
            "Export that one first; two pools cannot have one name."
        )


def import_drift(wanted: PoolWanted, observed: PoolObserved, name: str) -> tuple[str, ...]:
    """Say in what an imported pool differs that only another import could change."""
    properties = observed.states[name].properties
    asked = {"altroot": wanted.altroot, "readonly": "on" if wanted.readonly else None}
    return tuple(
        f"Pool {name} is imported with {option}={properties.get(option, '-')}, asked for is {value}. "
        "Nothing was done about it; export it first."
        for option, value in asked.items()
        if value is not None and properties.get(option) != value
    )


def _not_found(wanted: PoolWanted) -> str:
    places = ", ".join(wanted.search) or "the usual directories"
    return (
        f"There is no pool {wanted.label} to be imported in {places}. Name the directory of its disks or files "
        "under search; 'zpool import -D' shows destroyed pools."
    )


def _refuse_unsafe(pool: Importable, wanted: PoolWanted, observed: PoolObserved) -> None:
    if pool.name in observed.pools:
        raise Refused(
            f"A pool {pool.name} is imported already, with GUID {observed.pools[pool.name].guid}. "
            "Export that one first; two pools cannot have one name."
        )
    if pool.state not in _IMPORTABLE_STATES:
        raise Refused(f"Pool {pool.name} cannot be imported, it is {pool.state}: {pool.problem}")
    if "another system" in pool.problem and not wanted.force_import:
        last = f"by {pool.last_host}" if pool.last_host else "by a system with another hostid"
        raise Refused(
            f"Pool {pool.name} was used last {last} and was not exported there; this system's hostid is "
            f"{observed.hostid}. A pool that two systems write to is lost. If no other system has it imported - the "
            "host was renamed, reinstalled or got another /etc/hostid, or the other one is gone - "
            "set force_import: true."
        )


def plan_exported(wanted: PoolWanted, observed: PoolObserved) -> Plan:
    """Plan an export: it locks everything, so what is unlocked must be proven to open again."""
    if observed.name is None:
        return Plan()
    pool = observed.pools[observed.name]
    _refuse_another_guid(wanted, pool)
    failures: dict[str, Failure] = {}
    for root in observed.tree.roots_at_or_below(pool.name):
        if not (observed.tree.is_open(root) and wanted.verify_key):
            continue
        failure = unopened(root, wanted.offers, observed, kept="It stays imported, since that would lock it.")
        members = observed.tree.members(root.name)
        failure = failure or lost_by_locking(members, observed, kept=f"Pool {pool.name} stays imported.")
        if failure is not None:
            failures[root.name] = failure
    if observed.users:
        held, first = busy(pool.name, "exported", observed.users), failures.get(pool.name)
        failures[pool.name] = held if first is None else replace(first, msg=f"{first.msg} {held.msg}")
    groups = () if failures else (Group(pool.name, (ExportPool(pool.name),)),)
    return Plan(groups, failures, warnings=wanted.offers.warnings(observed.pools))


def busy(pool: str, what: str, users: t.Sequence[str]) -> Failure:
    """Name those who are in the way of what was to be done with a pool."""
    return Failure("busy", f"Pool {pool} cannot be {what} while it is in use: {'; '.join(users)}.")


def plan_opened(wanted: PoolWanted, observed: Observed) -> Plan:
    """Plan what opens in an imported pool: roots with a key are unlocked, the others stay locked and are named."""
    name = imported_name(wanted, observed.pools)
    details: dict[str, t.Any] = {"guid": observed.pools[name].guid if name is not None else None}
    if wanted.state != "imported" or name is None:
        return Plan(details=details)
    plan = plan_unlock(opening_all(wanted, name), observed)
    roots = observed.tree.roots_at_or_below(name)
    keyless = [root.name for root in roots if _has_no_key(root, wanted, plan.failures)]
    failures = {root: failure for root, failure in plan.failures.items() if root not in keyless}
    groups = [group for group in plan.groups if not any(is_below(group.name, root) for root in keyless)]
    plain, failure = _plain_mounts(name, observed) if wanted.mount else (None, None)
    if failure is not None:
        failures[name] = failure
    closed = [root.name for root in roots if not root.is_key_loaded]
    opening = {group.name for group in groups}
    details["still_locked"] = [root for root in closed if root not in opening]
    return replace(plan, groups=(*((plain,) if plain is not None else ()), *groups), failures=failures, details=details)


def _has_no_key(root: Dataset, wanted: PoolWanted, failures: t.Mapping[str, Failure]) -> bool:
    """Tell whether a root stays locked for want of a key; one that was named and cannot be its key is a failure."""
    return root.name in failures and failures[root.name].reason == "no_key" and not wanted.offers.names(root)


def _plain_mounts(pool: str, observed: Observed) -> tuple[Group | None, Failure | None]:
    """Return the mounts of plain datasets that belong to no encryption root, or what is in their way."""
    due = due_plain_mounts(observed.tree, pool)
    obstacles = {each.value("mountpoint"): observed.obstacle(each) for each in due if observed.obstacle(each)}
    mounts = tuple(
        Mount.of(each)
        for each, path in ((each, each.value("mountpoint")) for each in due)
        if not any(path == place or is_below(path, place) for place in obstacles)
    )
    failure = Failure("mountpoint_occupied", " ".join(map(str, obstacles.values()))) if obstacles else None
    return (Group(f"{pool} (plain)", mounts=mounts) if mounts else None), failure
