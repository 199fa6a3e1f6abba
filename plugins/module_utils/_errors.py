# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in words for the person on call.

Private to the collection.
"""

from __future__ import annotations

import typing as t

Reason = t.Literal[
    "wrong_key",
    "no_key",
    "busy",
    "mount_failed",
    "mountpoint_occupied",
    "locked_ancestor",
    "unknown",
]


_MOST_USERS = 12
_NOBODY = "Nobody was found who uses it. What shows nowhere is a send or receive that is not the command's."


class EncryptionError(Exception):
    """Root of everything this collection raises on purpose; its text never holds a key."""


class Refused(EncryptionError):
    """A request that was turned down before anything changed.

    The text names the dataset, the rule and the way out.
    """


class CallFailed(EncryptionError):
    """OpenZFS or the system answered with an error to a call about one dataset.

    Args:
        msg: what failed and what can be done.
        reason: one of the documented reasons of a failure.
        errno: the number that the kernel gave, where there was one.
    """

    def __init__(self, msg: str, *, reason: Reason = "unknown", errno: int | None = None) -> None:
        super().__init__(msg)
        self.reason: Reason = reason
        self.errno = errno


def in_use(error: CallFailed, users: t.Sequence[str]) -> CallFailed:
    """Return the error of a call to something busy with those who keep it so."""
    told = "; ".join(users[:_MOST_USERS]) + (f"; and {len(users) - _MOST_USERS} more" if users[_MOST_USERS:] else "")
    sentence = f"In use by: {told}." if users else _NOBODY
    return CallFailed(f"{str(error).rstrip('.')}. {sentence}", reason=error.reason, errno=error.errno)


class NotPermitted(CallFailed):
    """The user who runs this may not look, so nothing is known."""


class StateUnknown(CallFailed):
    """A call gave no answer in time: it may still take effect, so nothing is taken back because of it."""


class KeyInDoubt(StateUnknown):
    """After a key change the new key did not verify: nothing may be unloaded or taken back until a person looked."""


def unforeseen(error: Exception) -> str:
    """Describe an exception that nobody foresaw by its type and place; its text may hold a key."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
    return f"The module broke ({type(error).__name__}{place}). Please report it."
