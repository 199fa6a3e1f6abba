# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out: order, failure, skipping, taking back."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, KeyInDoubt, StateUnknown
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import (
    Failure,
    Group,
    Outcome,
    Plan,
    carry_out,
    foresee,
)
from ansible_collections.zfsfleet.encryption.plugins.module_utils._steps import Mount, Step, Values

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


BUSY = CallFailed("it is busy", reason="busy", errno=16)


def run(*groups: Group, failures: dict[str, Failure] | None = None) -> Outcome:
    DONE.clear()
    return carry_out(Plan(groups, failures or {}), NO_HOST)


def test_groups_are_carried_out_in_order() -> None:
    run(Group("a", (Note("1"), Note("2"))), Group("b", (Note("3"),)))
    assert DONE == ["1", "2", "3"]


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
    assert DONE == ["1", "-1", "3"]
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


def test_foreseeing_does_nothing_and_expects_success() -> None:
    DONE.clear()
    outcome = foresee(Plan((Group("a", (Note("1", BUSY),)),)))
    assert DONE == []
    assert outcome.failures == {}
    assert [step.dataset for step in outcome.done] == ["1"]
