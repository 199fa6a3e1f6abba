# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating datasets, wholly or not at all, and destroying them. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import time
import typing as t

from ._command import READ_TIMEOUT, Answer, assignments, failure, patiently, run
from ._errors import CallFailed, StateUnknown
from ._key_calls import key_line
from ._names import parent_of

if t.TYPE_CHECKING:
    from ._host import Creation


def create(creation: Creation) -> None:
    """Create a dataset, not mounted.

    Raises:
        CallFailed: it was not created, and nothing of it is there.
        StateUnknown: it may be there.
    """
    properties = dict(creation.properties)
    if creation.key is not None:
        properties["keylocation"] = "prompt"
    kind = ["-u"]
    if creation.volume_size is not None:
        kind = [*(["-s"] if creation.sparse else []), "-V", creation.volume_size]
    data = None
    if creation.key is not None:
        data = key_line(creation.key.text(properties["keyformat"]), properties["keyformat"])
    began = int(time.time())
    answer = run("zfs", "create", *kind, *assignments("-o", properties), creation.name, stdin=data)
    if answer.code != 0:
        if not answer.was_killed:
            above = parent_of(creation.name) or creation.name
            permissions = ("create", "mount", *_reserving(creation), *properties)
            raise failure(f"{creation.name} was not created", answer, needs=(above, *permissions))
        _take_back_if_made_since(creation.name, began, answer)
        raise CallFailed(f"{creation.name} was not created: {answer.why}.")
    if creation.key is not None and creation.keylocation != "prompt":
        answer = run("zfs", "set", f"keylocation={creation.keylocation}", creation.name)
        if answer.code != 0:
            _take_back(creation.name, answer)
            raise CallFailed(f"{creation.name} was not created, since it did not take its keylocation: {answer.why}")


def _reserving(creation: Creation) -> tuple[str, ...]:
    """Return the property that ``zfs create -V`` sets by itself, where it sets one."""
    return ("refreservation",) if creation.volume_size is not None and not creation.sparse else ()


def destroy(name: str) -> None:
    def call() -> None:
        answer = run("zfs", "destroy", name)
        if answer.code != 0:
            raise failure(f"{name} was not destroyed", answer, needs=(name, "destroy", "mount"))

    patiently(call)


def _take_back_if_made_since(name: str, began: int, killed: Answer) -> None:
    """Destroy what a command made before it was killed: the kernel carries a call out that it has begun.

    Raises:
        StateUnknown: a dataset of this name is there and older, so somebody else made it, or it stays.
    """
    found = run("zfs", "get", "-Hpo", "value", "creation", name, timeout=READ_TIMEOUT)
    if found.code != 0:
        return
    if int(found.out) < began - 1:  # the kernel's clock for this may lag behind by a tick
        raise StateUnknown(f"{name} was not created: {killed.why}. Meanwhile somebody else made it. Run again.")
    _take_back(name, killed)


def _take_back(name: str, why: Answer) -> None:
    try:
        destroy(name)
    except CallFailed as error:
        raise StateUnknown(
            f"{name} was made but not as it was wanted ({why.why}), and could not be taken back. "
            f"{str(error).rstrip('.')}. Look at it, and run 'zfs destroy {name}' or the task again."
        ) from None
