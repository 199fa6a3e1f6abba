# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the end of a command."""

from __future__ import annotations

import time

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._command import failure, patiently, run
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason, StateUnknown


def test_a_command_that_was_killed_may_have_done_its_work() -> None:
    error = failure("The key of tank was not changed", run("sh", "-c", "kill -KILL $$"))

    assert isinstance(error, StateUnknown)
    assert str(error) == (
        "The key of tank was not changed, as far as is known: the command was killed (Killed). "
        "What it did shows when the task is run again."
    )


def test_a_command_that_complained_did_nothing() -> None:
    error = failure("tank was not mounted", run("sh", "-c", "echo 'it is busy' >&2; exit 1"))

    assert not isinstance(error, StateUnknown)
    assert (error.reason, str(error)) == ("busy", "tank was not mounted: it is busy")


def test_a_command_that_says_nothing_is_told_by_its_exit_code() -> None:
    assert str(failure("tank was not mounted", run("sh", "-c", "exit 3"))) == "tank was not mounted: exit code 3"


def test_what_is_busy_for_a_moment_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    answers = [CallFailed("tank/v is busy", reason="busy")]

    def call() -> None:
        if answers:
            raise answers.pop()

    patiently(call)
    assert (answers, len(pauses)) == ([], 1)


def test_what_stays_busy_or_fails_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def fail(reason: Reason) -> None:
        raise CallFailed("tank/v", reason=reason)

    with pytest.raises(CallFailed):
        patiently(lambda: fail("unknown"))
    assert pauses == []
    with pytest.raises(CallFailed):
        patiently(lambda: fail("busy"))
    assert len(pauses) >= 3
