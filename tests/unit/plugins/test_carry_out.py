# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out: order, failure, skipping, taking back."""

from __future__ import annotations

import threading
import typing as t
from dataclasses import dataclass, field

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import carry_out, foresee
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, KeyInDoubt, StateUnknown
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mount_steps import Mount, Unmount
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import (
    Failure,
    Group,
    Outcome,
    Plan,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._step import Step, Values

DONE: list[str] = []
NO_HOST: Host = None  # type: ignore[assignment]  # these steps need none


@dataclass(frozen=True)
class Note:
    """A step that notes that it was done, or fails."""

    dataset: str
    error: CallFailed | None = None
    undo: str | None = None
    action: str = "note"
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)

    @property
    def undone_by(self) -> Step | None:
        return None if self.undo is None else Note(self.undo)

    def perform(self, host: Host) -> None:
        if self.error is not None:
            raise self.error
        DONE.append(self.dataset)


class Stuck(Note):
    """A step that cannot be taken back."""

    @property
    def undone_by(self) -> Step | None:
        return Note("undo", CallFailed("it stays"))


@dataclass(frozen=True)
class NoteMount(Mount):
    """A mount that notes that it was done, or fails."""

    error: CallFailed | None = None

    def perform(self, host: Host) -> None:
        if self.error is not None:
            raise self.error
        DONE.append(f"mount {self.dataset}")


@dataclass(frozen=True)
class NoteUnmount(Unmount):
    """An unmount that notes that it was done, or fails; it is undone by a mount that notes that."""

    error: CallFailed | None = None
    mount_error: CallFailed | None = None

    @property
    def undone_by(self) -> Step | None:
        return NoteMount(self.dataset, self.mountpoint, error=self.mount_error)

    def perform(self, host: Host) -> None:
        if self.error is not None:
            raise self.error
        DONE.append(f"unmount {self.dataset}")


@dataclass(frozen=True)
class Meet(Note):
    """A step that is done only when others are under way at the same time."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def perform(self, host: Host) -> None:
        self.meeting.wait()


BUSY = CallFailed("it is busy", reason="busy", errno=16)


def run(*groups: Group, failures: dict[str, Failure] | None = None) -> Outcome:
    DONE.clear()
    return carry_out(Plan(groups, failures or {}), NO_HOST)


def test_a_group_comes_after_those_that_it_names_and_its_steps_in_order() -> None:
    run(Group("a", (Note("1"), Note("2"))), Group("b", (Note("3"),), after=("a",)))
    assert DONE == ["1", "2", "3"]


def test_groups_that_do_not_depend_on_each_other_are_carried_out_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=20)
    outcome = run(*(Group(name, (Meet(name, meeting=meeting),)) for name in "abc"))
    assert outcome.failures == {}
    assert [step.dataset for step in outcome.done] == ["a", "b", "c"]


def test_filesystems_are_mounted_side_by_side_and_what_lies_below_another_after_it() -> None:
    deep = Group("a", mounts=(NoteMount("a", "/x/y"), NoteMount("a/b", "/x/y/z")))
    outcome = run(deep, Group("b", mounts=(NoteMount("b", "/x"),)))
    assert DONE == ["mount b", "mount a", "mount a/b"]
    assert [step.dataset for step in outcome.done] == ["b", "a", "a/b"]


def test_everything_is_unmounted_innermost_first_before_any_other_step() -> None:
    upper = Group("a", (Note("unload a"),), unmounts=(NoteUnmount("a", "/x"), NoteUnmount("a/b", "/x/y/z")))
    run(upper, Group("b", (Note("unload b"),), unmounts=(NoteUnmount("b", "/x/y"),)))
    assert DONE[:3] == ["unmount a/b", "unmount b", "unmount a"]
    assert sorted(DONE[3:]) == ["unload a", "unload b"]


def test_what_was_unmounted_in_vain_is_mounted_again() -> None:
    upper = Group("a", (Note("unload a"),), unmounts=(NoteUnmount("a", "/x"), NoteUnmount("a/b", "/x/y")))
    outcome = run(Group("b", (Note("unload b", BUSY),), unmounts=(NoteUnmount("b", "/z"),)), upper)
    assert DONE[-1] == "mount b"
    assert [step.dataset for step in outcome.done] == ["a/b", "a", "unload a"]


def test_what_was_unmounted_in_vain_is_mounted_again_outermost_first_whichever_root_it_belongs_to() -> None:
    failing = (Note("unload", BUSY),)
    one = Group("a", failing, unmounts=(NoteUnmount("a", "/x"), NoteUnmount("a/deep", "/x/y/z")))
    run(one, Group("b", failing, unmounts=(NoteUnmount("b", "/x/y"),)))
    assert DONE[-3:] == ["mount a", "mount b", "mount a/deep"]


def test_nothing_is_mounted_again_into_the_place_of_what_was_locked() -> None:
    outer = Group("a", (Note("unload a"),), unmounts=(NoteUnmount("a", "/srv"),))
    inner = Group("b", (Note("unload b", BUSY),), unmounts=(NoteUnmount("b", "/srv/x"), NoteUnmount("b/c", "/lib")))
    outcome = run(outer, inner)
    assert sorted(DONE[-2:]) == ["mount b/c", "unload a"]
    assert outcome.failures["b"].msg == (
        "it is busy b was not mounted again: it would lie in the directory /srv, whose own filesystem is not mounted."
    )
    assert {step.dataset for step in outcome.done} == {"a", "unload a", "b"}


def test_nothing_is_mounted_again_into_the_place_of_what_could_not_be() -> None:
    stays = NoteUnmount("a", "/srv", mount_error=CallFailed("a was not mounted."))
    outer = Group("a", (Note("unload a"),), after=("b",), unmounts=(stays,))
    inner = Group("b", (Note("unload b", BUSY),), unmounts=(NoteUnmount("b", "/srv/x"), NoteUnmount("c", "/srv/x/y")))
    outcome = run(inner, outer)
    assert not [note for note in DONE if note.startswith("mount")]
    assert outcome.failures["a"].msg == "a was not mounted."
    assert "b was not mounted again: it would lie in the directory /srv," in outcome.failures["b"].msg
    assert "c was not mounted again: it would lie in the directory /srv," in outcome.failures["b"].msg


def test_a_root_whose_deeper_root_cannot_be_unmounted_stays_as_it_was() -> None:
    deeper = Group("a/r", (Note("unload a/r"),), unmounts=(NoteUnmount("a/r", "/a/r", error=BUSY),))
    upper = Group(
        "a", (Note("unload a"),), after=("a/r",), unmounts=(NoteUnmount("a/q", "/a/q"), NoteUnmount("a", "/a"))
    )
    outcome = run(deeper, upper)
    assert sorted(DONE) == ["mount a/q", "unmount a/q"]
    assert outcome.done == []
    assert outcome.failures["a/r"].skipped == ("a",)


def test_a_key_that_was_loaded_below_a_root_that_could_not_be_mounted_goes_out_again() -> None:
    upper = Group("a", (Note("key a", undo="unload a"),), (NoteMount("a", "/a", error=BUSY),))
    lower = Group("a/r", (Note("key a/r", undo="unload a/r"),), (NoteMount("a/r", "/a/r"),), after=("a",))
    outcome = run(upper, lower)
    assert DONE == ["key a", "key a/r", "unload a/r", "unload a"]
    assert outcome.failures["a"].skipped == ("a/r",)
    assert outcome.done == []


def test_a_failed_step_ends_its_group_and_no_other() -> None:
    outcome = run(Group("a", (Note("1", BUSY), Note("2"))), Group("b", (Note("3"),)))
    assert DONE == ["3"]
    assert outcome.failures == {"a": Failure("busy", "it is busy", 16)}
    assert [step.dataset for step in outcome.done] == ["3"]


def test_what_a_failed_group_did_is_taken_back_last_first() -> None:
    outcome = run(Group("a", (Note("1", undo="-1"), Note("kept"), Note("2", undo="-2"), Note("3", BUSY))))
    assert DONE == ["1", "kept", "2", "-2", "-1"]
    assert [step.dataset for step in outcome.done] == ["kept"]


def test_nothing_is_taken_back_while_a_key_is_in_doubt() -> None:
    outcome = run(Group("a", (Note("loaded", undo="unload"), Note("changed", KeyInDoubt("which key?")))))
    assert DONE == ["loaded"]
    assert outcome.failures["a"].msg == "which key?"


def test_a_call_without_an_answer_counts_as_done_and_nothing_is_taken_back() -> None:
    outcome = run(Group("a", (Note("created", undo="destroy"), Note("mounted", StateUnknown("no answer")), Note("x"))))
    assert DONE == ["created"]
    assert [step.dataset for step in outcome.done] == ["created", "mounted"]


def test_what_nobody_foresaw_ends_its_group_and_keeps_its_text_to_itself() -> None:
    surprise: t.Any = ValueError("a secret")
    outcome = run(Group("a", (Note("1", undo="-1"), Note("2", surprise))), Group("b", (Note("3"),)))
    assert DONE == ["1", "3", "-1"]
    assert "ValueError" in outcome.failures["a"].msg
    assert "a secret" not in outcome.failures["a"].msg


def test_what_cannot_be_taken_back_is_told_and_counts_as_done() -> None:
    outcome = run(Group("a", (Stuck("1"), Note("2", BUSY))))
    assert outcome.failures["a"] == Failure("busy", "it is busy it stays", 16)
    assert [step.dataset for step in outcome.done] == ["1"]


def test_descendants_of_a_failed_group_are_skipped_and_named_by_it() -> None:
    outcome = run(
        Group("a", (Note("1", BUSY),)),
        Group("a/b", (Note("2"),), after=("a",)),
        Group("a/b/c", (Note("3"),), after=("a", "a/b")),
        Group("d", (Note("4"),)),
    )
    assert DONE == ["4"]
    assert outcome.failures["a"].skipped == ("a/b", "a/b/c")
    assert set(outcome.failures) == {"a"}


def test_descendants_of_a_failure_that_was_foreseen_are_skipped_too() -> None:
    outcome = run(Group("a/b", (Note("2"),), after=("a",)), failures={"a": Failure("wrong_key", "wrong")})
    assert DONE == []
    assert outcome.failures["a"].skipped == ("a/b",)


def test_one_failed_mount_leaves_the_others_and_the_key() -> None:
    outcome = run(Group("a", (Note("key", undo="unload"),), (NoteMount("x", "/x", error=BUSY), NoteMount("y", "/y"))))
    assert DONE == ["key", "mount y"]
    assert outcome.failures["a"].reason == "busy"


def test_a_key_goes_out_again_when_every_mount_fails() -> None:
    outcome = run(
        Group("a", (Note("key", undo="unload"),), (NoteMount("x", "/x", error=BUSY), NoteMount("y", "/y", error=BUSY)))
    )
    assert DONE == ["key", "unload"]
    assert outcome.done == []
    assert "a" in outcome.failures


def test_nothing_is_mounted_into_the_directory_of_a_parent_that_failed() -> None:
    mounts = (NoteMount("a", "/a", error=BUSY), NoteMount("b", "/a/b"), NoteMount("c", "/c"))
    run(Group("a", (Note("key", undo="unload"),), mounts))
    assert DONE == ["key", "mount c"]


def test_what_mounts_nothing_below_a_failed_mount_is_skipped_and_taken_back() -> None:
    failing = NoteMount("a", "/a", error=CallFailed("no", reason="mount_failed"))
    parent = Group("a", (Note("load a", undo="unload a"),), (failing,))
    child = Group("a/b", (Note("load a/b", undo="unload a/b", after={"keystatus": "available"}),), after=("a",))
    grandchild = Group("a/b/c", (Note("load c", undo="unload c", after={"keystatus": "available"}),), after=("a/b",))
    outcome = run(parent, child, grandchild)
    assert outcome.failures["a"].skipped == ("a/b", "a/b/c")
    assert DONE[-3:] == ["unload c", "unload a/b", "unload a"]
    assert outcome.done == []


def test_what_was_done_for_good_below_a_failed_mount_is_told_and_not_skipped() -> None:
    failing = NoteMount("a", "/a", error=CallFailed("no", reason="mount_failed"))
    change = Note("change a/b", after={"wrapping_key": "new"})
    outcome = run(Group("a", (), (failing,)), Group("a/b", (change,), after=("a",)))
    assert outcome.failures["a"].skipped == ()
    assert outcome.done == [change]


def test_another_root_is_not_mounted_into_the_directory_of_a_filesystem_that_failed() -> None:
    failing = Group("a", mounts=(NoteMount("a", "/a", error=BUSY),))
    outcome = run(failing, Group("b", (Note("key", undo="unload"),), (NoteMount("b", "/a/b"),)))
    assert DONE == ["key", "unload"]
    assert outcome.failures["b"].reason == "mount_failed"
    assert "the directory /a" in outcome.failures["b"].msg


@pytest.mark.parametrize("error", [BUSY, StateUnknown("no answer")], ids=["failed", "in doubt"])
def test_another_root_is_not_mounted_into_the_directory_of_one_whose_step_failed(error: CallFailed) -> None:
    failing = Group("a", (Note("load a", error),), (NoteMount("a", "/srv"),))
    skipped = Group("a/r", (), (NoteMount("a/r", "/lib"),), after=("a",))
    inside = (Group(name, (Note("key", undo="unload"),), (NoteMount(name, f"/{name}"),)) for name in ("srv/x", "lib/x"))
    outcome = run(failing, skipped, *inside)
    assert DONE == ["key", "key", "unload", "unload"]
    assert outcome.failures["a"].skipped == ("a/r",)
    for name, place in (("srv/x", "/srv"), ("lib/x", "/lib")):
        assert outcome.failures[name].reason == "mount_failed"
        assert f"the directory {place}, whose own filesystem is not mounted" in outcome.failures[name].msg


def test_foreseeing_does_nothing_and_expects_success() -> None:
    DONE.clear()
    outcome = foresee(Plan((Group("a", (Note("1", BUSY),)),)))
    assert DONE == []
    assert outcome.failures == {}
    assert [step.dataset for step in outcome.done] == ["1"]
