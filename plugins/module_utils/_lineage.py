# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What replication does to datasets, and reading from one without changing it. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._command import READ_TIMEOUT, run, run_about
from ._delegation import ONLY_ROOT_READS, is_root
from ._errors import CallFailed, NotPermitted
from ._model import Dataset


def received_snapshots(names: t.Iterable[str]) -> dict[str, str]:
    """Return the newest snapshot of each dataset that is older than the dataset itself: it was received.

    Promotion brings older snapshots too, but those were also written before the dataset was made.
    """
    wanted = sorted(names)
    answers = run_about(
        wanted,
        *("zfs", "list", "-Hpo", "name,creation,createtxg", "-s", "createtxg"),
        *("-t", "filesystem,volume,snapshot", "-d", "1"),
    )
    lines = (line.split("\t") for answer in answers for line in answer.out.splitlines())
    rows = {name: (int(creation), int(transaction)) for name, creation, transaction in lines}
    snapshots: dict[str, list[str]] = {}
    for name in rows:
        if "@" in name:
            snapshots.setdefault(name.partition("@")[0], []).append(name)
    received = {name: _received(name, snapshots.get(name, []), rows) for name in wanted if name in rows}
    return {name: snapshot for name, snapshot in received.items() if snapshot is not None}


def _received(dataset: str, snapshots: t.Sequence[str], rows: t.Mapping[str, tuple[int, int]]) -> str | None:
    creation, transaction = rows[dataset]
    received = [each for each in snapshots if rows[each][0] < creation and rows[each][1] >= transaction]
    return received[-1] if received else None


def read_filesystem(dataset: Dataset) -> None:
    """Read from an unlocked, unmounted filesystem, by its last snapshot if it has one.

    Reading the filesystem itself begins its space accounting, and a replica that was written to takes no increment
    without ``zfs receive -F``. What was received raw may have no accounting to read (ENOTSUP): that is found out
    after it was decrypted, so it proves as much.

    Raises:
        CallFailed: it cannot be read.
    """
    answer = run("zfs", "userspace", "-Hpo", "name", dataset.last_snapshot or dataset.name, timeout=READ_TIMEOUT)
    if answer.code != 0 and "unsupported version or feature" not in answer.error:
        what = f"{dataset.name} cannot be read: {answer.why}"
        if is_denied(answer.error) and not is_root():
            raise NotPermitted(f"{what}.{ONLY_ROOT_READS}")
        raise CallFailed(f"{what}{explanation(answer.error)}")


def is_denied(error: str) -> bool:
    return "permission denied" in error.lower()


def explanation(error: str) -> str:
    """Explain why an unlocked dataset was not let in: root is denied nothing but what the loaded key does not open."""
    if not is_denied(error) or not is_root():
        return ""
    return (
        ". Its encryption root's key is loaded, but another key wraps it, as after a raw replication or promotions; "
        "the guide about replicas says what to do"
    )
