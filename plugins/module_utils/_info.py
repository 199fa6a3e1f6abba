# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is known about the encryption of a host, and TrueNAS's dry run for offered keys.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import _manifest
from ._candidates import candidates_from, judged
from ._choice import Choice, choice_from
from ._errors import Refused
from ._model import Dataset, Pool, Tree
from ._names import pool_of
from ._observe import find_asides, find_in_the_way, key_files_of, observe_tree, read_key_files, try_keys
from ._offers import offers_from
from ._plan import Failure, Observed
from ._plan_unlock import plan_unlock
from ._replicas import broken_below, observe_replicas, receiving_below
from ._unlock_wanted import UnlockWanted

if t.TYPE_CHECKING:
    from ._host import Host

USER_PROPERTIES = ("key_id", "rotated_at", "pool_guid")


def report(params: t.Mapping[str, t.Any], host: Host) -> dict[str, t.Any]:
    """Return what ``zfs_encryption_info`` documents.

    Raises:
        Refused: a name is unknown or a manifest is none.
    """
    pools = host.pools()
    chosen = choice_from(params)
    choice = chosen if chosen.names else Choice(tuple(sorted(pools)), recursive=True)
    offers = offers_from(params.get("secrets") or (), _manifest.given(params))
    wanted = UnlockWanted(choice, offers, move_aside=bool(params.get("move_aside")))
    candidates = candidates_from(params.get("candidates") or ())
    tree = observe_tree(host, pools, {*choice.pools, *offers.pools})
    remarks: tuple[str, ...] = ()
    if params.get("candidates") is None:
        answer, remarks = choice.asked_about(tree, pools)
        wanted = replace(wanted, choice=answer)
    observed, roots = _observe(wanted, tree, host, pools)
    binding = host.binding()
    ignored = offers.foreign_names(pools)
    return {
        "openzfs": {
            "version": binding.openzfs,
            "binding": binding.name,
            "interpreter": binding.interpreter,
            "python": binding.python,
        },
        "pools": {name: _pool(pools[name], observed.tree) for name in choice.pools if name in pools},
        "roots": [_root(root, observed) for root in roots],
        "summary": _forecast(roots, wanted, observed),
        "candidates": judged(roots, candidates, host),
        "ignored": list(ignored),
        "warnings": [*choice.missing(pools), *remarks, *offers.warnings(pools)],
    }


def _observe(
    wanted: UnlockWanted, tree: Tree, host: Host, pools: t.Mapping[str, Pool]
) -> tuple[Observed, tuple[Dataset, ...]]:
    choice, offers = wanted.choice, wanted.offers
    offers.refuse_unknown_names(tree, pools)
    roots = choice.roots(tree, pools)
    key_files = read_key_files(host, offers.key_file_paths() | key_files_of(roots))
    verdicts = try_keys(host, {root.name: (root, offers.for_root(root, key_files).keys) for root in roots})
    due = (dataset for root in roots for dataset in tree.domain(root.name) if not dataset.is_mounted)
    occupied = find_in_the_way(host, due, tree)
    asides: dict[str, str] = {}
    if wanted.move_aside:
        occupied, asides = find_asides(host, occupied)
    return observe_replicas(roots, Observed(pools, tree, key_files, verdicts, occupied, asides), host), roots


def _pool(pool: Pool, tree: Tree) -> dict[str, t.Any]:
    datasets = list(tree.at_or_below(pool.name))
    return {
        "guid": pool.guid,
        "health": pool.health,
        "readonly": pool.readonly,
        "checkpoint": pool.has_checkpoint,
        "roots": sum(dataset.is_encryption_root for dataset in datasets),
        "encrypted": sum(dataset.is_encrypted for dataset in datasets),
        "plain": sorted(dataset.name for dataset in datasets if not dataset.is_encrypted),
    }


def _root(root: Dataset, observed: Observed) -> dict[str, t.Any]:
    members = observed.tree.members(root.name)
    return {
        "name": root.name,
        "type": root.value("type"),
        "encryption": root.value("encryption"),
        "keyformat": root.keyformat,
        "keylocation": root.value("keylocation"),
        "pbkdf2iters": root.number("pbkdf2iters"),
        "pbkdf2salt": root.value("pbkdf2salt"),
        "keyguid": root.value("keyguid"),
        "locked": not observed.tree.is_open(root),
        "inheriting": [member.name for member in members if member.name != root.name],
        "mounted": [member.name for member in members if member.is_mounted],
        "broken": broken_below(root, observed),
        "receiving": receiving_below(root, observed),
        **_own_marks(root, observed.pools[pool_of(root.name)]),
    }


def _own_marks(root: Dataset, pool: Pool) -> dict[str, str]:
    """Return the key's id and time as this collection noted them; replicas carry their source's, which say nothing."""
    properties = {name: root.properties.get(f"zfsfleet.encryption:{name}") for name in USER_PROPERTIES}
    believed = all(prop is not None and prop.is_local for prop in properties.values())
    if not believed or root.value("zfsfleet.encryption:pool_guid") != pool.guid:
        return {}
    return {name: root.value(f"zfsfleet.encryption:{name}") for name in ("key_id", "rotated_at")}


def _forecast(roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed) -> list[dict[str, t.Any]]:
    """Say what unlocking would do, as TrueNAS's encryption summary does: what its plan comes to is the answer."""
    failures = _foreseen_failures(roots, wanted, observed)
    forecast: list[dict[str, t.Any]] = []
    for root in roots:
        offered = wanted.offers.for_root(root, observed.key_files)
        failure = failures.get(root.name)
        forecast.append(
            {
                "name": root.name,
                "keyformat": root.keyformat,
                "key_given": offered.are_given,
                "valid_key": any(observed.verdict(root.name, key).outcome == "opens" for key in offered.keys),
                "locked": not root.is_key_loaded,
                "unlock_error": None if failure is None else failure.msg,
                "reason": None if failure is None else failure.reason,
                "unlock_successful": failure is None,
            }
        )
    return forecast


def _foreseen_failures(roots: t.Sequence[Dataset], wanted: UnlockWanted, observed: Observed) -> t.Mapping[str, Failure]:
    """Return why roots would not be unlocked; a refusal of the whole task leaves locked what is locked."""
    try:
        plan = plan_unlock(wanted, observed)
    except Refused as refusal:
        failure = Failure("locked_ancestor", str(refusal))
        return {root.name: failure for root in roots if not root.is_key_loaded}
    failures = plan.failures
    if plan.groups:
        from ._carry_out import foresee

        failures = foresee(plan).failures
    skipped = {
        below: Failure("locked_ancestor", f"{name} above it fails: {failure.msg}")
        for name, failure in failures.items()
        for below in failure.skipped
    }
    return {**skipped, **failures}
