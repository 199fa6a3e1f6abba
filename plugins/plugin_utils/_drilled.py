# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill rests on, and what it finds. Private to the collection."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from ..module_utils._choice import Choice
from ._escrow import Held
from ._fitting import Index, is_bound_to, rank
from ._plan_escrow import Known
from ._seen import Root, Tried

Kind = t.Literal[
    "missing",
    "unproven",
    "changed_behind",
    "stale",
    "compromised",
    "disagreeing",
    "unread",
    "uneven",
    "unseen",
    "orphaned",
    "duplicated_key",
    "weak_iterations",
    "ok",
]


@dataclass(frozen=True)
class Finding:
    """What a drill found.

    Args:
        dataset: the encryption root, or a pool, or nothing where it is about a place for keys.
        finding: of which kind it is.
        msg: a sentence, with the way out.
        key_id: the version of a key that it is about, None where it is about none.
    """

    dataset: str
    finding: Kind
    msg: str
    key_id: str | None = None


@dataclass(frozen=True)
class Drilled:
    """All that is judged.

    Args:
        known: all roots of the host, what is in escrow, and what came of each key that was tried.
        chosen: names of the roots that were drilled.
        choice: what the task names, nothing for the whole host.
        versions: everything in escrow for the host.
        places: names of all places for keys.
        readable: names of those that could be read.
        unread: by key id, the places that list a version and did not give it back.
        disagreements: by key id, a sentence about copies that differ.
        min_iterations: how many PBKDF2 rounds are enough.
    """

    known: Known
    chosen: t.Sequence[str]
    choice: Choice = field(default_factory=lambda: Choice(()))
    versions: t.Sequence[Held] = ()
    places: t.Sequence[str] = ()
    readable: t.Sequence[str] = ()
    unread: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    disagreements: t.Mapping[str, str] = field(default_factory=dict)
    min_iterations: int = 0

    @property
    def roots(self) -> tuple[Root, ...]:
        return tuple(self.known.seen.roots[name] for name in self.chosen if name in self.known.seen.roots)

    @functools.cached_property
    def index(self) -> Index:
        return Index(self.versions)

    @property
    def concerned(self) -> tuple[Held, ...]:
        """Those versions that were made for what the task names, whether it is there or not."""
        names = self.choice.names
        return tuple(each for each in self.versions if not names or self.choice.covers(each.entry.version.dataset))

    def opening(self, root: Root) -> Held | None:
        """Return the version that opens a root; of several with the same key the one that should."""
        held = self.known.held
        found = [held[known_as] for known_as in self.known.seen.opened_by(root.name) if known_as in held]
        return min(found, key=lambda each: (rank(each), not is_bound_to(each, root)), default=None)

    def wrong(self, root: Root) -> tuple[Held, ...]:
        """Return the versions of which no copy opens a root, those that were tried."""
        opened = {self.known.held[each].key_id for each in self._ids(root, "opened_by")}
        found = {self.known.held[each].key_id: self.known.held[each] for each in self._ids(root, "wrong")}
        return tuple(each for key_id, each in found.items() if key_id not in opened)

    def tried(self, root: Root) -> tuple[Held, ...]:
        """Return the versions that were tried on a root."""
        ids = [*self._ids(root, "opened_by"), *self._ids(root, "wrong"), *self._ids(root, "unknown")]
        return tuple({self.known.held[each].key_id: self.known.held[each] for each in ids}.values())

    def _ids(self, root: Root, outcome: str) -> list[str]:
        tried = self.known.seen.tried.get(root.name, Tried())
        return [known_as for known_as in getattr(tried, outcome) if known_as in self.known.held]
