# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning how keys get from some places to others: what is missing there, and what may be destroyed here.

Nothing is read and nothing is changed. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._escrow import Held
from ._record import Entry, Kept, KeyId, furthest, in_order

Action = t.Literal["copy", "note", "none"]


@dataclass(frozen=True)
class Transfer:
    """What is to be done about one version.

    Args:
        held: the version in the places that it comes from.
        there: the same in the places that it goes to; in none of them where they do not know it.
        action:
            ``copy``: one of these places lacks it.
            ``note``: all hold it, and one knows less of it than is known where it comes from.
            ``none``: nothing.
    """

    held: Held
    there: Held
    action: Action

    @property
    def key_id(self) -> KeyId:
        return self.held.key_id


def plan_move(source: t.Sequence[Held], target: t.Sequence[Held], names: t.Sequence[str]) -> tuple[Transfer, ...]:
    """Plan what is done about every version of a host, whatever its state.

    Args:
        source: what the places hold that keys come from.
        target: what those hold that they go to.
        names: of all places that they go to.
    """
    known = {held.key_id: held for held in target}
    return tuple(_transfer(held, known.get(held.key_id), names) for held in source)


def _transfer(held: Held, known: Held | None, names: t.Sequence[str]) -> Transfer:
    there = known or Held(Entry(held.entry.version, "pre-active", held.entry.version.created), {})
    if any(name not in there.at for name in names):
        return Transfer(held, there, "copy")
    wanted = (furthest((held.state, there.state)), in_order({*held.entry.bindings, *there.entry.bindings}))
    is_behind = any((entry.state, in_order(entry.bindings)) != wanted for entry in there.at.values())
    return Transfer(held, there, "note" if is_behind else "none")


@dataclass(frozen=True)
class Elsewhere:
    """What the places that a version went to gave back of it, when they were asked again.

    Args:
        held: what they note of it, None where none of them holds it.
        kept: what each of them gave back, by name.
    """

    held: Held | None
    kept: t.Mapping[str, Kept] = field(default_factory=dict, repr=False)


def lacking(moved: Held, key: Kept, elsewhere: Elsewhere, require: int) -> str | None:
    """Return why a version must stay where it is, None where it may be destroyed there.

    Args:
        moved: the version there.
        key: the same with its key.
        elsewhere: what is in the other places.
        require: how many of these must hold all of it.
    """
    if any(kept != key for kept in elsewhere.kept.values()):
        return "one of the other places gave back something else."
    at = {} if elsewhere.held is None else elsewhere.held.at
    whole = [name for name in elsewhere.kept if name in at and _tells_as_much(at[name], moved.entry)]
    if len(whole) < require:
        return f"{len(whole)} of the other places hold all that is known of it, and {require} are required."
    return None


def _tells_as_much(entry: Entry, moved: Entry) -> bool:
    return furthest((entry.state, moved.state)) == entry.state and set(moved.bindings) <= set(entry.bindings)
