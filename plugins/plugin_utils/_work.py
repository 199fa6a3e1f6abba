# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a host whose keys are in escrow, what is done about each root, and what came of it.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._keys import Key
from ._escrow import Held
from ._key_task import Assigned
from ._plan_escrow import Decision
from ._record import Kept
from ._trial import Ask, Result
from ._wish import Wish


class Task(t.Protocol):
    """What is wanted of a host whose keys are in escrow."""

    @property
    def wishes(self) -> tuple[Wish, ...]: ...

    @property
    def made(self) -> t.Collection[str]: ...

    @property
    def pools(self) -> t.Collection[str]: ...

    def run(self, ask: Ask, keys: t.Mapping[str, Assigned], *, check: bool) -> Result: ...


@dataclass(frozen=True)
class Work:
    """What is done about one root.

    Args:
        decision: what was decided.
        kept: the version that the root has, or is to have, with its key.
        held: the same as the backends have it, in none of them where it is new.
        current: the key that the root has, where the task may change it.
        is_noted: whether something about it has to be written into escrow.
        receipts: by the place's name, what finds a key there that this run put there.
        places: names of those that hold it in the end; empty where that is only foreseen.
        replaced: ids of the versions that are deactivated now.
    """

    decision: Decision
    kept: Kept = field(repr=False)
    held: Held
    current: Key | None = field(default=None, repr=False)
    is_noted: bool = True
    receipts: t.Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        return self.decision.dataset

    @property
    def is_used_already(self) -> bool:
        return self.decision.action == "use"

    @property
    def known_as(self) -> str:
        return str(self.kept.version.key_id)

    @property
    def label(self) -> str:
        """The key's id; one that check mode only made up is called new."""
        return self.known_as if self.held.at else "new"


@dataclass(frozen=True)
class Provided:
    """What came of a task.

    Args:
        result: of the host's module, with what was done about keys.
        work: what was done, or was to be done, about each root.
        problems: by root, why its key is not noted in escrow as what opens it.
        proven_at: when the host had tried the keys and they opened what they should; empty in check mode.
    """

    result: Result
    work: tuple[Work, ...]
    problems: t.Mapping[str, str] = field(default_factory=dict)
    proven_at: str = ""
