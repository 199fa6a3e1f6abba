# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out, as much of it side by side as its order allows, or only foreseeing it.

Everything is unmounted first, innermost first, whichever root it belongs to; then come the steps of the groups, each
group after those that it names; in the end all is mounted, outermost first, proofs are made, and the places of what did
not open are protected. Check mode walks the same way with a step function that does nothing. Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._errors import CallFailed, StateUnknown
from ._host import Host
from ._mount_steps import Mount, ProtectIfBare, ReleaseIfProtected, Unmount
from ._names import is_below
from ._plan import Group, Outcome, Plan
from ._side_by_side import side_by_side
from ._step import Step

Perform = t.Callable[[Step], t.Optional[t.Sequence[Step]]]
M = t.TypeVar("M", Mount, Unmount)


def carry_out(plan: Plan, host: Host) -> Outcome:
    """Carry a plan out on a host: the only place where anything changes."""
    return _Walk(plan, lambda step: step.perform(host)).to_its_end()


def foresee(plan: Plan) -> Outcome:
    """Return the outcome that the plan has if every call succeeds that is not seen to fail."""
    return _Walk(plan, _foreseen).to_its_end()


def _foreseen(step: Step) -> t.Sequence[Step] | None:
    """Return what a step is seen to need before it; raise where it is seen to fail."""
    if isinstance(step, Mount) and step.doom is not None:
        raise CallFailed(step.doom, reason="mount_failed")
    return step.foreseen if isinstance(step, (Mount, ProtectIfBare, ReleaseIfProtected)) else None


class _Tried(t.NamedTuple):
    """Steps of one group that were done, and the error that ended it."""

    done: list[Step]
    error: Exception | None


class _Walk:
    """One walk through a plan. Threads only perform; what they report is noted by one thread, in the plan's order."""

    def __init__(self, plan: Plan, perform: Perform) -> None:
        self._plan = plan
        self._perform = perform
        self._outcome = Outcome(failures=dict(plan.failures))
        self._done: list[tuple[Group, Step]] = []
        self._ended: set[str] = set()
        self._in_doubt: set[str] = set()
        self._mounted: set[str] = set()
        self._not_mounted: list[str] = []

    def to_its_end(self) -> Outcome:
        for unmounts in reversed(_layers([(group, step) for group in self._plan.groups for step in group.unmounts])):
            self._try_each([(group, [step]) for group, step in unmounts])
        for wave in _waves(self._plan.groups):
            self._try_each([(group, group.steps) for group in wave])
        for mounts in _layers([(group, step) for group in self._plan.groups for step in group.mounts]):
            self._mount(mounts)
        self._leave_what_hangs_below()
        self._prove()
        ended = [group for group in reversed(self._plan.groups) if self._is_to_be_taken_back(group)]
        for group in ended:
            self._take_back(group)
        self._mount_again({group.name for group in ended})
        self._outcome.done.extend(step for _group, step in self._done)
        self._protect()
        return self._outcome

    def _try_each(self, work: t.Iterable[tuple[Group, t.Sequence[Step]]]) -> None:
        """Perform steps of several groups side by side; a group that has ended, or has to wait in vain, is left out."""
        due = [(group, steps) for group, steps in work if self._goes_on(group)]
        for (group, steps), tried in zip(due, side_by_side(lambda item: self._try(item[1]), due)):
            self._done.extend((group, step) for step in tried.done)
            if tried.error is not None:
                self._outcome.fail(group.name, tried.error)
                self._ended.add(group.name)
                if isinstance(tried.error, StateUnknown):
                    self._done.append((group, steps[len(tried.done)]))  # it may have happened
                    self._in_doubt.add(group.name)

    def _try(self, steps: t.Iterable[Step]) -> _Tried:
        done: list[Step] = []
        for step in steps:
            try:
                done.extend(self._perform(step) or ())
            except Exception as error:  # noqa: BLE001  # the other groups go on, and what was done is reported
                return _Tried(done, error)
            done.append(step)
        return _Tried(done, None)

    def _goes_on(self, group: Group) -> bool:
        """Tell whether a group is still under way; one that a failed group blocks ends here."""
        if group.name in self._ended:
            return False
        blocker = self._outcome.blocker(group)
        if blocker is not None:
            self._outcome.skip(group.name, blocker)
            self._ended.add(group.name)
        return blocker is None

    def _mount(self, mounts: t.Sequence[tuple[Group, Mount]]) -> None:
        """Mount what has a place to lie in; a group that has something mounted goes on whatever happens."""
        due = [(group, mount) for group, mount in mounts if self._may_mount(group, mount)]
        for (group, mount), tried in zip(due, side_by_side(lambda item: self._try([item[1]]), due)):
            if tried.error is None or isinstance(tried.error, StateUnknown):
                self._done.extend((group, step) for step in tried.done or [mount])
                self._mounted.add(group.name)
            if tried.error is not None:
                self._outcome.fail(group.name, tried.error)
                self._not_mounted.append(mount.mountpoint)

    def _may_mount(self, group: Group, mount: Mount) -> bool:
        if group.name not in self._mounted and not self._goes_on(group):
            self._not_mounted.append(mount.mountpoint)
            return False
        covering = next((place for place in self._not_mounted if is_below(mount.mountpoint, place)), None)
        if covering is not None:
            self._not_mounted.append(mount.mountpoint)
            if group.name not in self._outcome.failures:
                self._outcome.fail(group.name, _uncovered(mount, covering))
        return covering is None

    def _leave_what_hangs_below(self) -> None:
        """End groups that mount nothing where a mount failed above them, as those end that do mount something.

        What was done for good stays, and is told: only what can be taken back is taken back.
        """
        for group in self._plan.groups if self._not_mounted else ():
            changed = [step for other, step in self._done if other is group and step.before != step.after]
            if not group.mounts and changed and changed[-1].undone_by is not None:
                self._goes_on(group)

    def _prove(self) -> None:
        """Prove what can be read only now; nothing ends or is taken back because of it."""
        groups = [group for group in self._plan.groups if not self._is_to_be_taken_back(group)]
        due = [(group, proof) for group in groups if group.name not in self._ended for proof in group.proofs]
        for (group, _proof), tried in zip(due, side_by_side(lambda item: self._try([item[1]]), due)):
            self._done.extend((group, step) for step in tried.done if step.before != step.after)
            if tried.error is not None:
                self._outcome.fail(group.name, tried.error)

    def _protect(self) -> None:
        """Protect the places of what did not open, as far as they show now."""
        left = self._outcome.left
        for name, step in [(name, step) for name, steps in self._plan.protections.items() for step in steps]:
            tried = self._try([step]) if name in left else _Tried([], None)
            self._outcome.done.extend(tried.done)
            if tried.error is not None:
                self._outcome.fail(name, tried.error)

    def _is_to_be_taken_back(self, group: Group) -> bool:
        """Tell whether a group ended on its way, or has something to mount and nothing of it is mounted."""
        if group.name in self._in_doubt:
            return False
        return group.name in self._ended or (bool(group.mounts) and group.name not in self._mounted)

    def _take_back(self, group: Group) -> None:
        """Undo a group's steps but for unmounting, last first; what cannot be undone stays and is told."""
        for entry in [each for each in reversed(self._done) if each[0] is group and not isinstance(each[1], Unmount)]:
            self._undo(entry)

    def _mount_again(self, groups: t.Container[str]) -> None:
        """Mount what was unmounted in vain, outermost first, and nothing into the place of what stays unmounted."""
        unmounts = [(group, step) for group, step in self._done if isinstance(step, Unmount)]
        bare = [step.mountpoint for group, step in unmounts if group.name not in groups]
        for group, step in sorted(unmounts, key=lambda entry: entry[1].mountpoint + "/"):
            if group.name not in groups:
                continue
            covering = next((place for place in bare if is_below(step.mountpoint, place)), None)
            if covering is not None:
                self._outcome.fail(group.name, _uncovered(step, covering, "mounted again"))
            if covering is not None or not self._undo((group, step)):
                bare.append(step.mountpoint)

    def _undo(self, entry: tuple[Group, Step]) -> bool:
        """Undo a step of an ended group, and tell whether that was done."""
        group, step = entry
        undo = step.undone_by
        tried = _Tried([], None) if undo is None else self._try([undo])
        if tried.error is not None:
            self._outcome.fail(group.name, tried.error)
        if tried.done:
            self._done.remove(entry)
        return bool(tried.done)


def _uncovered(step: Mount | Unmount, place: str, what: str = "mounted") -> CallFailed:
    return CallFailed(
        f"{step.dataset} was not {what}: it would lie in the directory {place}, whose own filesystem is not mounted.",
        reason="mount_failed",
    )


def _waves(groups: t.Iterable[Group]) -> list[list[Group]]:
    """Sort groups into waves, each group in a later one than all that it comes after."""
    number: dict[str, int] = {}
    waves: list[list[Group]] = []
    for group in groups:
        number[group.name] = 1 + max((number.get(name, -1) for name in group.after), default=-1)
        if number[group.name] == len(waves):
            waves.append([])
        waves[number[group.name]].append(group)
    return waves


def _layers(mounts: t.Sequence[tuple[Group, M]]) -> list[list[tuple[Group, M]]]:
    """Sort mounts into layers, each mountpoint in a later one than all that it lies below."""
    layers: list[list[tuple[Group, M]]] = []
    above: list[str] = []
    for group, mount in sorted(mounts, key=lambda pair: pair[1].mountpoint + "/"):
        while above and not is_below(mount.mountpoint, above[-1]):
            above.pop()
        if len(above) == len(layers):
            layers.append([])
        layers[len(above)].append((group, mount))
        above.append(mount.mountpoint)
    return layers
