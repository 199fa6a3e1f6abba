# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the keys of existing roots into escrow: each is tried on the host first, and nothing is changed there.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._choice import Choice
from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from ._key_task import Assigned
from ._plan_escrow import Known
from ._providing import Providing
from ._seen import Root, Seen
from ._trial import Ask, HostFailed, Result, Trial, failed
from ._wish import Wish

Options = t.Mapping[str, t.Any]

# What a task says about which roots, and which keys are offered for them.
_CHOICE = ("name", "names", "recursive")
_OFFERS = ("secrets", "manifest", "manifest_content", "remote_src")

Export = t.Callable[[Options], t.Mapping[str, Key]]
"""Given arguments of ``zfs_key_export``, returns the keys that the host proved, by root."""


@dataclass(frozen=True)
class _Adoption:
    """What is wanted: that these roots are opened by what is in escrow. The host has nothing to do."""

    wishes: tuple[Wish, ...]
    pools: t.Collection[str]
    made: t.Collection[str] = ()

    def run(self, _ask: Ask, _keys: t.Mapping[str, Assigned], *, check: bool) -> Result:
        del check
        return {"changed": False, "actions": []}


@dataclass(frozen=True)
class Wanted:
    """Which roots, and what is offered for them.

    Args:
        choice: the roots.
        options: what the task says.
        remarks: by root, what else is said of one whose key is not found.
    """

    choice: Choice
    options: Options = field(repr=False)
    remarks: t.Mapping[str, str] = field(default_factory=dict)


def adopt(wanted: Wanted, trial: Trial, export: Export, *, check: bool) -> Result:
    """Bring the keys of the chosen roots into escrow, where they are not there yet.

    Args:
        wanted: the roots.
        trial: the host, and what is in escrow for it.
        export: brings keys from the host, sealed on their way.
        check: foretell, and write nothing.

    Returns:
        What was done, and what failed, by root; one that fails leaves the others alone.

    Raises:
        Refused: a pool is not there.
        HostFailed: the host could not be looked at, or knows no such root.
    """
    choice, options = wanted.choice, wanted.options
    offers = {name: options[name] for name in _OFFERS if options.get(name) is not None}
    seen = trial.seen({**{name: options[name] for name in _CHOICE if options.get(name) is not None}, **offers})
    missing = choice.missing(seen.pools)
    if missing:
        raise Refused(" ".join(missing))
    known = trial.known(list(seen.roots), choice.pools, {}) if seen.roots else Known(seen)
    new, failures = _judged(seen, known, wanted.remarks)
    keys = _exported([root.name for root in new], offers, export, failures)
    wishes = [Wish(name, keys.get(name)) for name in seen.roots if name not in failures]
    task = _Adoption(tuple(wishes), choice.pools)
    providing = Providing(task, trial, lambda _files: {})
    proven = known.with_given(keys)
    provided = providing.foresee(proven) if check else providing.carry_out(proven)
    return _told(provided.result, seen, keys, failures)


def _judged(seen: Seen, known: Known, remarks: t.Mapping[str, str]) -> tuple[list[Root], dict[str, dict[str, t.Any]]]:
    """Return the roots whose keys are to be taken in, and why others cannot be."""
    new: list[Root] = []
    failures: dict[str, dict[str, t.Any]] = {}
    for root in seen.roots.values():
        if known.opener(root.name) is not None:
            continue
        if seen.offered.get(root.name):
            new.append(root)
            continue
        offered = seen.offered.get(root.name) is not None
        what = "none of the keys given for it opens it" if offered else "no key was given for it"
        tried = ", nor does what is in escrow" if known.seen.tried.get(root.name) else ""
        failures[root.name] = {
            "reason": "wrong_key" if offered else "no_key",
            "msg": " ".join(
                [
                    f"The key of {root.name} is not in escrow: {what}{tried}.",
                    *([remarks[root.name]] if root.name in remarks else []),
                    "Offer the right one in secrets or in a manifest.",
                ]
            ),
            "skipped": [],
        }
    return new, failures


def _exported(
    names: t.Sequence[str], offers: Options, export: Export, failures: dict[str, dict[str, t.Any]]
) -> t.Mapping[str, Key]:
    """Bring the keys of roots from the host, and note the failures of those that it cannot give.

    It gives all or none, so the others are asked for once more.
    """
    if not names:
        return {}
    try:
        return export({"names": list(names), **offers})
    except HostFailed as failure:
        found = failure.result.get("failures") or {}
        left = [name for name in names if name not in found]
        if len(left) == len(names):
            raise
        for name in set(names) - set(left):
            msg = f"The key of {name} is not in escrow, since the host could not give it. {found[name]['msg']}"
            failures[name] = {**found[name], "msg": msg}
        return _exported(left, offers, export, failures)


def _told(result: Result, seen: Seen, keys: t.Mapping[str, Key], failures: t.Mapping[str, dict[str, t.Any]]) -> Result:
    ids = result["key_ids"]
    told = {
        **result,
        "adopted": [name for name in seen.roots if name in keys],
        "already": [name for name in seen.roots if name in ids and name not in keys],
        "failures": dict(failures),
    }
    return failed(told, [each["msg"] for each in failures.values()]) if failures else told
