# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One version in escrow: its state is noted, or it is destroyed, after the host was asked what it opens.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from ..module_utils._names import pool_of
from ._escrow import Held
from ._plan_retirement import in_doubt, not_shown, roots_of
from ._record import STATES, Kept, State, key_id_from, now
from ._seen import Root, Seen
from ._trial import Result, Trial


@dataclass(frozen=True)
class Destruction:
    """What a task says aloud of a version that is to be destroyed.

    Args:
        is_meant: that it is.
        is_unseen_gone: that copies which the host does not show are gone, or have another key.
    """

    is_meant: bool
    is_unseen_gone: bool


class OneVersion:
    """A version, and what the host says of it.

    Args:
        key_id: the version's id, as text.
        trial: the host, and what is in escrow for it.

    Raises:
        Refused: it is no id.
    """

    def __init__(self, key_id: str, trial: Trial) -> None:
        self._key_id = key_id_from(key_id)
        self._held = trial.find(self._key_id)
        self._trial = trial
        self._escrow = trial.escrow

    def note(self, state: State, *, check: bool) -> Result:
        """Note a state of it.

        Raises:
            Refused: it is not there, or the state is against what it opens.
            BackendFailed: too few places noted it.
            HostFailed: the host could not be looked at.
        """
        held = self._there()
        if held.state == state:
            return self._told(held, changed=False)
        if STATES.index(held.state) > STATES.index(state):
            raise Refused(
                f"{self._key_id} of {held.entry.version.dataset} is {held.state} and does not become {state} again. To "
                "use its key again, give the key to zfs_dataset_key with update_key: always; it gets a new version."
            )
        kept, opened, _seen = self._tried(held)
        if state == "active" and not opened:
            raise Refused(
                f"{self._key_id} opens nothing on this host, so it does not become active. A version is active when it "
                f"was seen to open {held.entry.version.dataset}."
            )
        if state == "deactivated" and opened:
            raise Refused(
                f"{self._key_id} is what opens {_names(opened)}, so it is not deactivated. Rotate the key first; if it "
                "became known to somebody, its state is compromised."
            )
        if not check:
            bindings = [root.binding(now()) for root in opened if not root.is_bound_among(held.entry.bindings)]
            held = self._escrow.level(held, kept, state, *bindings)
        warning = f"{self._key_id} is compromised and opens {_names(opened)}. Rotate its key." if opened else None
        return self._told(held, changed=True, state=state, warning=warning if state == "compromised" else None)

    def destroy(self, said: Destruction, announce: t.Callable[[Held], None], *, check: bool) -> Result:
        """Destroy it in every place.

        Args:
            said: what the task says aloud.
            announce: told of it before it is destroyed.
            check: whether that is only foretold.

        Raises:
            Refused: something may be opened by it.
            BackendFailed: it is left in a place.
            HostFailed: the host could not be looked at.
            NotRecorded: it could not be announced, and is left as it is.
        """
        held = self._held
        if self._escrow.silent:
            raise Refused(
                f"{' and '.join(self._escrow.silent)} could not be read, and may hold {self._key_id} as well, so it is "
                f"not destroyed. {' '.join(self._escrow.problems)} Run again when all places answer, or leave out of "
                "escrow what is gone for good."
            )
        if held is None:
            return self._told(None, changed=False)
        if not said.is_meant:
            raise Refused(
                f"{self._key_id} of {held.entry.version.dataset} is there, and what it opens could never be opened "
                "again once it is destroyed. Set force_destroy: true to do that."
            )
        kept, opened, seen = self._tried(held, among_strangers=True)
        unread = self._trial.unread.get(str(self._key_id), ())
        if unread:
            raise Refused(
                f"{' and '.join(unread)} did not give {self._key_id} back. Another key, which something needs, may be "
                f"there under that id, so it is not destroyed. {' '.join(self._escrow.problems)} Mend that, or remove "
                "there what is left of it."
            )
        self._refuse_needed(held, kept, opened, seen)
        unseen = not_shown(held, self._trial.index, seen)
        if unseen is not None and not said.is_unseen_gone:
            raise Refused(
                f"{self._key_id} {unseen}, which this host does not show, so it is not destroyed. Run where that pool "
                "is imported; or, if it is gone or has another key, set unseen_copies: true."
            )
        rewindable = sorted(
            {pool_of(root.name) for root in roots_of(held, self._trial.index, seen)} & seen.checkpointed
        )
        if rewindable:
            raise Refused(
                f"{self._key_id} is not destroyed: {', '.join(rewindable)} has a checkpoint, and rewinding to it may "
                "bring it back. Discard the checkpoint first, with 'zpool checkpoint -d'."
            )
        if not check:
            announce(held)
            if held.state == "active":
                self._escrow.advance(held, "deactivated")
            self._escrow.destroy(held)
        return self._told(held, changed=True, state="destroyed")

    def _refuse_needed(self, held: Held, kept: Kept, opened: t.Sequence[Root], seen: Seen) -> None:
        """Refuse to destroy what opens a root, or may be what inherits from one is wrapped with."""
        below = in_doubt(held, roots_of(held, self._trial.index, seen), self._trial.index, seen)
        if (not opened and below is None) or self._has_a_double(held, kept):
            return
        if opened:
            raise Refused(
                f"{self._key_id} is what opens {_names(opened)}, so it is not destroyed. Rotate the key first."
            )
        raise Refused(f"{self._key_id} is not destroyed: {below}.")

    def _has_a_double(self, held: Held, kept: Kept) -> bool:
        """Tell whether another version of the same record keeps the same key, and no fewer places gave it back."""
        others = (each for each in self._trial.siblings(held) if set(held.at) <= set(each.at))
        return any(self._is_whole(each, kept.key) for each in others)

    def _is_whole(self, held: Held, key: Key) -> bool:
        """Tell whether a version is this key in every place that lists it."""
        read = [each for _known_as, each in self._trial.candidates([held])]
        return read == [key] and not self._trial.unread[str(held.key_id)]

    def _there(self) -> Held:
        if self._held is None:
            raise Refused(
                f"There is no version {self._key_id} among the keys of this host. zfs_key_escrow_info lists them."
            )
        return self._held

    def _strangers(self, seen: Seen) -> list[Root]:
        known = self._trial.known(list(seen.roots), (), {})
        return [root for root in seen.roots.values() if known.opener(root.name) is None]

    def _tried(self, held: Held, *, among_strangers: bool = False) -> tuple[Kept, list[Root], Seen]:
        """Have the host try it on every root that it may open; return those that it does open.

        Args:
            held: it.
            among_strangers: also on roots that nothing in escrow opens; they may have any key.

        Raises:
            Refused: its copies differ, or it cannot be read, or cannot be tried.
        """
        seen = self._trial.look((), {})
        likely = roots_of(held, self._trial.index, seen)
        if among_strangers:
            likely += [root for root in self._strangers(seen) if root not in likely]
        keys = self._trial.candidates([held])
        if len(keys) != 1:
            problems = [*self._trial.disagreements.values(), *self._escrow.problems]
            raise Refused(f"{self._key_id} cannot be judged. {' '.join(problems)}")
        ((known_as, key),) = keys
        noted = {root.name: self._noted_keys(root) for root in likely}
        candidates = {
            name: [(known_as, key), *(each for each in found if each[0] != known_as)] for name, found in noted.items()
        }
        tried = self._trial.look((), candidates) if likely else seen
        doubtful = [
            f"{name}: {each.unknown[known_as]}" for name, each in tried.tried.items() if known_as in each.unknown
        ]
        if doubtful:
            raise Refused(f"What {self._key_id} opens could not be found out. {' '.join(doubtful)}")
        opened = [tried.roots[root.name] for root in likely if known_as in tried.opened_by(root.name)]
        return Kept(held.entry.version, key), opened, tried

    def _noted_keys(self, root: Root) -> list[tuple[str, Key]]:
        """Return what is tried to find out whether a root has the key that it says it has."""
        noted = self._trial.index.noted_on(root)
        return self._trial.candidates([] if noted is None else [noted])

    def _told(
        self, held: Held | None, *, changed: bool, state: State | None = None, warning: str | None = None
    ) -> Result:
        dataset = "" if held is None else held.entry.version.dataset
        warnings = [*([warning] if warning else []), *self._escrow.problems]
        action = {"dataset": dataset, "action": "destroy_key" if state == "destroyed" else "note_key"}
        return {
            "changed": changed,
            "key_id": str(self._key_id),
            "key_state": state or ("destroyed" if held is None else held.state),
            "actions": [{**action, "after": {"key_id": str(self._key_id), "state": state}}] if changed else [],
            **({"warnings": warnings} if warnings else {}),
        }


def _names(roots: t.Iterable[Root]) -> str:
    return ", ".join(root.name for root in roots)
