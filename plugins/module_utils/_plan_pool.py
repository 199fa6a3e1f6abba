# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning ``zfs_encrypted_pool``: a pool that is to be present or absent.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import _properties
from ._dataset_wanted import BatchWanted, DatasetWanted
from ._devices import Device, member_of
from ._errors import Refused
from ._host import PoolCreation, PoolState
from ._model import Pool
from ._new_dataset import new_dataset
from ._observe_pool import PoolObserved
from ._plan import Group, Plan
from ._plan_dataset import plan_dataset
from ._plan_import import busy, import_drift, plan_exported, plan_imported
from ._pool_steps import ClearDevice, CreatePool, DestroyPool, MakeFile, SetPoolProperties
from ._pool_wanted import PoolWanted
from ._step import Step
from ._topology import Topology, drift, is_same_disk

# What zpool get prints for some values that zpool set takes (zpoolprops(7)).
_AS_PRINTED = {"cachefile": {"": "-", "/etc/zfs/zpool.cache": "-"}, "comment": {"": "-"}, "bootfs": {"": "-"}}
_UNSTABLE_NAMES = ("/dev/sd", "/dev/vd", "/dev/xvd", "/dev/nvme", "/dev/hd")
NOT_INSTALLED = "There is no OpenZFS on this host. Install it first; the role provision does with provision_install."


def plan_pool(wanted: PoolWanted, observed: PoolObserved) -> Plan:
    """Plan any state.

    Raises:
        Refused: it cannot or must not be brought about.
    """
    plan_state = {
        "present": _plan_present,
        "absent": _plan_absent,
        "imported": plan_imported,
        "exported": plan_exported,
    }[wanted.state]
    plan = plan_state(wanted, observed)
    needs_openzfs = wanted.state in ("present", "imported")
    return replace(plan, missing=(NOT_INSTALLED,)) if needs_openzfs and not observed.is_installed else plan


def _plan_present(wanted: PoolWanted, observed: PoolObserved) -> Plan:
    root = t.cast(DatasetWanted, wanted.root)
    if observed.name is None:
        return _plan_creation(wanted, root, observed)
    pool, state = observed.pools[observed.name], observed.states[observed.name]
    if wanted.guid not in (None, pool.guid):
        raise Refused(
            f"Pool {pool.name} is there with GUID {pool.guid}, not {wanted.guid}: it is another pool of that name."
        )
    differences = drift(wanted.topology, state.topology, observed.real_path) if wanted.topology is not None else ()
    sentences = tuple(f"Pool {pool.name}, {each}. Nothing was done about it." for each in differences)
    other_import = import_drift(wanted, observed, pool.name)
    plan = plan_dataset(BatchWanted((root,)), observed)
    changed = _changed_properties(wanted, state, pool)
    steps = [
        SetPoolProperties(pool.name, {name: value}, {name: state.properties.get(name, "-")})
        for name, value in changed.items()
    ]
    steps_of_root = plan.groups[0].steps if plan.groups else ()
    groups = (Group(pool.name, (*steps, *steps_of_root)),)
    return replace(
        plan,
        groups=groups if groups[0].steps else (),
        warnings=(*plan.warnings, *sentences, *other_import),
        details={"drift": [*differences, *other_import]},
    )


def _changed_properties(wanted: PoolWanted, state: PoolState, pool: Pool) -> dict[str, str]:
    changed = {
        name: value
        for name, value in wanted.pool_properties.items()
        if not _is_same(name, value, state.properties.get(name, "-"))
    }
    if changed and pool.readonly:
        raise Refused(f"Pool {pool.name} is imported read-only; {', '.join(changed)} cannot be changed.")
    for name, value in changed.items():
        if name.startswith("feature@") and value != "enabled":
            raise Refused(f"{name} of pool {pool.name} is {state.properties.get(name)}; a feature is never disabled.")
    return changed


def _is_same(name: str, wanted: str, observed: str) -> bool:
    """Tell whether a pool property is as wanted; an active feature is an enabled one (zpool-features(7))."""
    if name.startswith("feature@") and observed in ("enabled", "active"):
        return wanted in ("enabled", "active")
    return _properties.is_same(name, _AS_PRINTED.get(name, {}).get(wanted, wanted), observed)


def _plan_creation(wanted: PoolWanted, root: DatasetWanted, observed: PoolObserved) -> Plan:
    name = root.name
    if wanted.topology is None:
        raise Refused(
            f"There is no pool {name} on this host, and no topology to make it of. Give one; or, if it was exported, "
            "import it with state: imported."
        )
    if wanted.guid is not None:
        raise Refused(f"There is no pool {name} on this host. A new one gets a GUID of its own; leave guid out.")
    _refuse_unfit(wanted, wanted.topology, observed)
    new = new_dataset(root, observed.tree, observed)
    creation = PoolCreation(wanted.topology, new.creation, wanted.pool_properties, wanted.altroot, wanted.force)
    devices = [observed.devices[path] for path in wanted.topology.disks]
    files = [MakeFile(name, each.path, t.cast(int, wanted.file_size)) for each in devices if each.kind == "missing"]
    clears = [ClearDevice(name, each.path, each.holds) for each in devices if each.holds]
    steps: tuple[Step, ...] = (*new.steps, *files, *clears, CreatePool(creation, new.generated_file))
    unstable = [path for path in wanted.topology.disks if path.startswith(_UNSTABLE_NAMES)]
    warning = f"{', '.join(unstable)}: such names may change from boot to boot; /dev/disk/by-id has lasting ones."
    return Plan((Group(name, steps),), warnings=(warning,) if unstable else (), details={"drift": []})


def _refuse_unfit(wanted: PoolWanted, topology: Topology, observed: PoolObserved) -> None:
    """Refuse all disks at once that a pool cannot or must not be made of."""
    devices = [observed.devices[path] for path in topology.disks]
    problems = [problem for device in devices for problem in _problems(device, wanted, observed)]
    seen: dict[str, str] = {}
    for device in devices:
        first = seen.setdefault(device.real, device.path)
        if first != device.path:
            problems.append(f"{first} and {device.path} are the same disk.")
    if problems:
        raise Refused(f"Pool {wanted.label} was not created. {' '.join(problems)}")
    if observed.rehearsal is not None:
        raise Refused(f"Pool {wanted.label} would not be created: {observed.rehearsal}{_advice(observed.rehearsal)}")


def _advice(complaint: str) -> str:
    return " Set force: true to have it so." if "use '-f'" in complaint else ""


def _problems(device: Device, wanted: PoolWanted, observed: PoolObserved) -> t.Iterator[str]:
    owner = next(
        (name for name, state in observed.states.items() if _has_disk(state, device.path, observed.real_path)), None
    )
    if owner is not None:
        yield f"{device.path} belongs to pool {owner}, which is imported."
    elif device.in_use is not None:
        yield f"{device.path} is in use: {device.in_use}. A disk in use is never taken."
    elif device.kind == "unusable":
        yield f"{device.path} is neither a disk nor a file."
    elif device.kind == "missing" and (wanted.file_size is None or device.path.startswith("/dev/")):
        hint = "" if device.path.startswith("/dev/") else ", or give file_size to have files made"
        yield f"{device.path} is not there. Correct the path{hint}."
    elif any(member_of(str(wanted.name)) in each for each in device.holds):
        yield (
            f"{device.path} belongs to a pool {wanted.name} that is not imported. Import it with state: imported; it "
            "is not made anew while its disks are there, whatever overwrite says."
        )
    elif device.holds and device.path not in wanted.overwrite:
        yield (
            f"{device.path} holds {' and '.join(device.holds)}. Take another disk; or, if that may be lost for ever, "
            "name the disk under overwrite."
        )


def _has_disk(state: PoolState, path: str, real: t.Callable[[str], str]) -> bool:
    return any(is_same_disk(path, member, real) for member in state.topology.disks)


def _plan_absent(wanted: PoolWanted, observed: PoolObserved) -> Plan:
    if observed.name is None:
        _refuse_exported(wanted, observed)
        return Plan()
    pool = observed.pools[observed.name]
    if not wanted.force_destroy:
        raise Refused(
            f"Pool {pool.name} (GUID {pool.guid}) is there and would be destroyed with all its data. "
            "Set force_destroy: true to do that."
        )
    if wanted.guid is None and wanted.topology is None:
        raise Refused(
            f"Pool {pool.name} is not destroyed by its name alone. Give its guid ({pool.guid}) or its exact topology."
        )
    if wanted.guid not in (None, pool.guid):
        raise Refused(f"Pool {pool.name} has GUID {pool.guid}, not {wanted.guid}: it is another pool of that name.")
    if wanted.topology is not None:
        differences = drift(wanted.topology, observed.states[pool.name].topology, observed.real_path)
        if differences:
            raise Refused(f"Pool {pool.name} is not destroyed, it is not the one described: {'; '.join(differences)}.")
    if pool.readonly:
        raise Refused(f"Pool {pool.name} is imported read-only, so nothing of it can be destroyed. Export it first.")
    if observed.users:
        return Plan(failures={pool.name: busy(pool.name, "destroyed", observed.users)})
    mountpoints = tuple(each.value("mountpoint") for each in observed.tree.at_or_below(pool.name))
    return Plan((Group(pool.name, (DestroyPool(pool.name, pool.guid, mountpoints),)),))


def _refuse_exported(wanted: PoolWanted, observed: PoolObserved) -> None:
    for pool in observed.importable:
        if wanted.guid == pool.guid or (wanted.guid is None and wanted.name == pool.name):
            raise Refused(
                f"Pool {pool.name} (GUID {pool.guid}) is not imported, but its disks are there. "
                "Import it first, so that what is destroyed can be seen."
            )
