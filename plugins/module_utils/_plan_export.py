# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting keys: which datasets are listed, which keys are proven, what is written where.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from . import _manifest, _manifest_file
from ._choice import Choice, choice_from
from ._document import Document, Entry, Form
from ._errors import Refused
from ._keyfiles import plain
from ._keys import Key
from ._manifest_file import Destination, Found
from ._model import Dataset, Pool, Tree
from ._names import pool_of, why_no_name
from ._observe import key_files_of, mountpoints_of, observe_tree, read_key_files, try_keys
from ._offers import Offers, offers_from
from ._plan import Failure, Group, Observed, Plan
from ._replication import Excluded, Replication
from ._sealing import seal
from ._verdicts import opening_key, unopened

if t.TYPE_CHECKING:
    from ._host import Host


@dataclass(frozen=True)
class ExportWanted:
    """What a task of ``zfs_key_export`` asks for.

    Args:
        choice: the datasets; with a replication, its sources.
        offers: their keys.
        excluded: what is left out.
        replication: how the datasets come to other names.
        created: the time that the manifest bears.
        destination: the file on this host.
        sealed_with: the secret under which the manifest is returned to the controller instead.
    """

    choice: Choice
    offers: Offers
    excluded: Excluded = field(default_factory=Excluded)
    replication: Replication | None = None
    created: str = ""
    destination: Destination | None = None
    sealed_with: bytes | None = field(default=None, repr=False)

    @property
    def pools(self) -> tuple[str, ...]:
        return self.choice.pools


@dataclass(frozen=True)
class ExportObserved(Observed):
    """Besides the host, the file that is at the destination."""

    found: Found | None = None


@dataclass(frozen=True)
class Listed:
    """A dataset in the manifest.

    Args:
        name: the name that it has there.
        dataset: the dataset here.
        root: the encryption root whose key protects it here.
    """

    name: str
    dataset: Dataset
    root: Dataset


def destination_from(params: t.Mapping[str, t.Any], path: str) -> Destination:
    """Read where a manifest goes; used on either side."""
    form: Form = params.get("format") or "truenas"
    backup_file = f"{path}.{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}" if params.get("backup") else None
    return Destination(path, form, backup_file, bool(params.get("force")))


def export_wanted(params: t.Mapping[str, t.Any]) -> ExportWanted:
    """Read the parameters of ``zfs_key_export``.

    Raises:
        Refused: a name can be nobody's, or it is not said where the manifest goes.
    """
    choice = choice_from(params)
    path, secret = params.get("dest"), params.get("_seal")
    if path is not None and not path.startswith("/"):
        raise Refused(f"dest {path} is no absolute path on the host.")
    if params.get("dest_controller") is not None and secret is None:
        raise Refused("dest_controller is written by the action plugin of zfs_key_export. Call the module by its name.")
    return ExportWanted(
        choice,
        offers_from(params.get("secrets") or (), _manifest.given(params)),
        Excluded(tuple(params.get("exclude") or ())),
        _replication_from(params, choice),
        f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        None if path is None else destination_from(params, plain(path)),
        None if secret is None else bytes.fromhex(secret),
    )


def _replication_from(params: t.Mapping[str, t.Any], choice: Choice) -> Replication | None:
    target = params.get("target_dataset")
    if target is None:
        if params.get("replicate"):
            raise Refused("replicate says how datasets get to another place. Name that with target_dataset.")
        return None
    broken = why_no_name(target)
    if broken:
        raise Refused(f"target_dataset {target!r} is no name of a dataset: {broken}. Write it like pool/dataset.")
    return Replication(choice.names, target, choice.recursive, bool(params.get("replicate")))


def observe_export(wanted: ExportWanted, host: Host, pools: t.Mapping[str, Pool]) -> ExportObserved:
    """Read the pools, try the offered keys on locked and unlocked roots alike, look at the destination."""
    tree = observe_tree(host, pools, {*wanted.pools, *wanted.offers.pools})
    wanted.offers.refuse_unknown_names(tree, pools)
    roots = _roots(_listed(wanted, tree, pools))
    written = () if wanted.destination is None else (wanted.destination.path,)
    paths = wanted.offers.key_file_paths() | key_files_of(roots)
    key_files = read_key_files(host, paths, written=written, mountpoints=mountpoints_of(tree))
    verdicts = try_keys(host, {root.name: (root, wanted.offers.for_root(root, key_files).keys) for root in roots})
    found = None if wanted.destination is None else _manifest_file.look(wanted.destination.path)
    return ExportObserved(pools=pools, tree=tree, key_files=key_files, verdicts=verdicts, found=found)


def _listed(wanted: ExportWanted, tree: Tree, pools: t.Mapping[str, Pool]) -> tuple[Listed, ...]:
    """Return what the manifest is to list."""
    wanted.excluded.refuse_meaningless(wanted.choice.names, tree, pools)
    replication = wanted.replication
    if replication is None:
        roots = wanted.choice.roots(tree, pools)
        return tuple(Listed(root.name, root, root) for root in roots if root.name not in wanted.excluded)
    return tuple(
        Listed(replication.name_of(dataset.name), dataset, tree.datasets[dataset.encryption_root or dataset.name])
        for dataset in replication.received_roots(tree, pools)
        if dataset.name not in wanted.excluded
    )


def _roots(listed: t.Iterable[Listed]) -> tuple[Dataset, ...]:
    return tuple({each.root.name: each.root for each in listed}.values())


def plan_export(wanted: ExportWanted, observed: ExportObserved) -> Plan:
    """Plan.

    Raises:
        Refused: nothing can be listed, or the file that is there must not be replaced.
    """
    listed = _listed(wanted, observed.tree, observed.pools)
    missing_pools = wanted.choice.missing(observed.pools)
    if not listed and not missing_pools:
        raise Refused(
            f"There is no key to export: nothing encrypted is among {', '.join(wanted.choice.names)}. "
            "Name other datasets, or set recursive: true."
        )
    roots = _roots(listed)
    keys, failures, missing = _judged(roots, wanted, observed)
    document = Document(wanted.created, _entries([each for each in listed if each.root.name in keys], keys, observed))
    is_written = bool(document.entries) and not failures
    details: dict[str, t.Any] = {
        "exported": document.names if is_written else [],
        "missing": [root.name for root in missing],
    }
    plan = Plan((), failures, (), missing_pools, _warnings(wanted, observed, missing), details)
    if not is_written:
        return plan
    if wanted.sealed_with is not None:
        details["sealed"] = seal(document.rendered("zfsfleet"), wanted.sealed_with)
    if wanted.destination is None:
        return plan
    _refuse_inside(wanted.destination.path, [each.root for each in listed if each.root.name in keys], observed)
    return _with_file(plan, document, wanted.destination, observed.found)


def _judged(
    roots: t.Sequence[Dataset], wanted: ExportWanted, observed: Observed
) -> tuple[dict[str, Key], dict[str, Failure], list[Dataset]]:
    """Return the proven keys by root, what fails, and the roots for which there is no key.

    One offered key that does not open its root keeps the whole manifest from being written, since half of it would be
    taken for all; so does a manifest without any key.
    """
    keys: dict[str, Key] = {}
    failures: dict[str, Failure] = {}
    missing: list[Dataset] = []
    for root in roots:
        key = opening_key(root, wanted.offers, observed)
        failure = unopened(root, wanted.offers, observed)
        if key is not None and not _is_text(key):
            failures[root.name] = _no_text(root)
        elif key is not None:
            keys[root.name] = key
        elif failure is not None and (failure.reason != "no_key" or wanted.offers.names(root)):
            failures[root.name] = failure
        else:
            missing.append(root)
    if not keys and not failures:
        found = {root.name: unopened(root, wanted.offers, observed) for root in missing}
        failures = {name: failure for name, failure in found.items() if failure is not None}
    return keys, failures, missing


def _entries(listed: t.Sequence[Listed], keys: t.Mapping[str, Key], observed: Observed) -> dict[str, Entry]:
    return {each.name: Entry(keys[each.root.name], _facts(each, observed)) for each in listed}


def _is_text(key: Key) -> bool:
    try:
        _manifest.kind_and_text(key)
    except UnicodeDecodeError:
        return False
    return True


def _no_text(root: Dataset) -> Failure:
    return Failure(
        "unknown",
        f"The passphrase of {root.name} is no UTF-8, so it can stand neither in a manifest nor in a task. Change it to "
        "one that is, or leave the dataset out.",
    )


def _facts(each: Listed, observed: Observed) -> dict[str, str | int]:
    """Return what our own format says about a dataset; numbers of 64 bits are text, since JSON readers round them."""
    facts: dict[str, str | int] = {
        "encryption": each.dataset.value("encryption"),
        "guid": each.dataset.value("guid"),
        "keyformat": each.root.keyformat,
        "keyguid": each.dataset.value("keyguid"),
        "pool_guid": observed.pools[pool_of(each.dataset.name)].guid,
    }
    if each.root.keyformat == "passphrase":
        facts["pbkdf2iters"] = each.root.number("pbkdf2iters")
        facts["pbkdf2salt"] = each.root.value("pbkdf2salt")
    if each.name != each.dataset.name:
        facts["source"] = each.dataset.name
    return facts


def _warnings(wanted: ExportWanted, observed: Observed, missing: t.Sequence[Dataset]) -> tuple[str, ...]:
    found = list(wanted.offers.warnings(observed.pools))
    if missing:
        remarks = [remark for root in missing for remark in wanted.offers.for_root(root, observed.key_files).remarks]
        names = ", ".join(root.name for root in missing)
        found.append(" ".join((f"No key was given for {names}, which the manifest therefore does not open.", *remarks)))
    return tuple(found)


def _refuse_inside(path: str, roots: t.Iterable[Dataset], observed: Observed) -> None:
    """Refuse a manifest that could be read only while what it opens is unlocked."""
    for root in roots:
        for dataset in reversed(observed.tree.domain(root.name)):
            if any(dataset.hides(each) for each in observed.key_files.paths(path)):
                raise Refused(
                    f"The manifest {path} would lie inside {dataset.name}, which cannot be read while {root.name} is "
                    "locked, and holds its key. Keep it elsewhere."
                )


def _with_file(plan: Plan, document: Document, destination: Destination, found: Found | None) -> Plan:
    details = {**plan.details, "dest": destination.path}
    step = _manifest_file.plan_file(document, found, destination)
    if step is None:
        return replace(plan, details=details)
    if step.backup_file is not None:
        details["backup_file"] = step.backup_file
    return replace(plan, groups=(Group(destination.path, (step,)),), details=details)
