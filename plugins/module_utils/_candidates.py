# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that are only tried: which of several opens a root, told by the ids that the caller gave them.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._errors import Refused
from ._keys import HEX_KEY, Key
from ._model import Dataset, Verdict
from ._observe import try_keys
from ._offers import secret_from

if t.TYPE_CHECKING:
    from ._host import Host


@dataclass(frozen=True)
class Candidate:
    """A key for one root, and what the caller calls it."""

    dataset: str
    id: str
    key: Key = field(repr=False)


def candidates_from(entries: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Candidate, ...]:
    """Read the ``candidates`` option.

    Raises:
        Refused: a key is malformed, or an id stands twice for one root.
    """
    found: dict[tuple[str, str], Candidate] = {}
    for entry in entries:
        name, known_as = entry["name"], entry["id"]
        if HEX_KEY.fullmatch(known_as):
            raise Refused(f"The id of a candidate for {name} may be a key, so it is not shown. A key goes into key.")
        if (name, known_as) in found:
            raise Refused(f"The candidate {known_as} for {name} stands twice. Give every key an id of its own.")
        key = secret_from(entry, whose=f"{name} (candidate {known_as})")
        if isinstance(key, Key):
            found[name, known_as] = Candidate(name, known_as, key)
    return tuple(found.values())


def judged(roots: t.Sequence[Dataset], candidates: t.Sequence[Candidate], host: Host) -> list[dict[str, t.Any]]:
    """Try the candidates for these roots; return what came of it as ``zfs_encryption_info`` documents it."""
    by_root: dict[str, list[Candidate]] = {root.name: [] for root in roots}
    for candidate in candidates:
        if candidate.dataset in by_root:
            by_root[candidate.dataset].append(candidate)
    named = [root for root in roots if by_root[root.name]]
    keys = {root.name: (root, _worth_trying(root, by_root[root.name])) for root in named}
    verdicts = try_keys(host, keys)
    return [_answer(root, by_root[root.name], verdicts) for root in named]


def _worth_trying(root: Dataset, candidates: t.Iterable[Candidate]) -> list[Key]:
    """Return each key once that a root of this keyformat can have."""
    keys = (candidate.key for candidate in candidates if candidate.key.fits(root.keyformat))
    return list(dict.fromkeys(keys))


def _answer(
    root: Dataset, candidates: t.Sequence[Candidate], verdicts: t.Mapping[tuple[str, Key], Verdict]
) -> dict[str, t.Any]:
    ids: dict[str, list[str]] = {"opens": [], "wrong": [], "untried": []}
    unknown: dict[str, dict[str, t.Any]] = {}
    for candidate in candidates:
        verdict = verdicts.get((root.name, candidate.key))
        if not candidate.key.fits(root.keyformat):
            ids["wrong"].append(candidate.id)
        elif verdict is None:
            ids["untried"].append(candidate.id)
        elif verdict.outcome == "unknown":
            errno = {} if verdict.errno is None else {"errno": verdict.errno}
            unknown[candidate.id] = {**errno, "msg": verdict.detail}
        else:
            ids[verdict.outcome].append(candidate.id)
    return {
        "name": root.name,
        "opened_by": ids["opens"],
        "wrong": ids["wrong"],
        "unknown": unknown,
        "untried": ids["untried"],
    }
