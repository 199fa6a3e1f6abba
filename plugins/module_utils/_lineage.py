# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What replication does to datasets, and reading from one without changing it. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._command import READ_TIMEOUT, run
from ._delegation import ONLY_ROOT_READS, is_root
from ._errors import CallFailed, NotPermitted
from ._host import Lineage

_RECEIVED_BESIDE = "/%recv"
_AT_ONCE = 500  # names on a command line


def receiving(names: t.Iterable[str]) -> frozenset[str]:
    """Return the datasets that something is being received into.

    The first stream fills the dataset itself, which is ``inconsistent`` meanwhile; an increment fills a hidden clone
    below it, which answers when it is named.
    """
    wanted = sorted(names)
    found: set[str] = set()
    for some in _portions(wanted):
        words = [*some, *(name + _RECEIVED_BESIDE for name in some)]
        # The exit code says that some are not there, which is as it should be.
        answer = run("zfs", "get", "-Hpo", "name,value", "inconsistent", *words, timeout=READ_TIMEOUT)
        for line in answer.out.splitlines():
            name, _tab, inconsistent = line.rpartition("\t")
            is_clone = name.endswith(_RECEIVED_BESIDE)
            if is_clone or inconsistent == "1":
                found.add(name[: -len(_RECEIVED_BESIDE)] if is_clone else name)
    return frozenset(found)


def lineage(names: t.Iterable[str]) -> dict[str, Lineage]:
    """Read the snapshots of datasets; one that is older than its dataset was received.

    Promotion brings older snapshots too, but those were also written before the dataset was made.
    """
    wanted = sorted(names)
    rows: dict[str, tuple[int, int]] = {}
    for some in _portions(wanted):
        answer = run(
            *("zfs", "list", "-Hpo", "name,creation,createtxg", "-s", "createtxg"),
            *("-t", "filesystem,volume,snapshot", "-d", "1", *some),
            timeout=READ_TIMEOUT,
        )
        for line in answer.out.splitlines():
            name, creation, transaction = line.split("\t")
            rows[name] = (int(creation), int(transaction))
    snapshots: dict[str, list[str]] = {}
    for name in rows:
        if "@" in name:
            snapshots.setdefault(name.partition("@")[0], []).append(name)
    return {name: _lineage(name, snapshots.get(name, []), rows) for name in wanted if name in rows}


def _lineage(dataset: str, snapshots: t.Sequence[str], rows: t.Mapping[str, tuple[int, int]]) -> Lineage:
    creation, transaction = rows[dataset]
    received = [each for each in snapshots if rows[each][0] < creation and rows[each][1] >= transaction]
    return Lineage(snapshots[-1] if snapshots else None, received[-1] if received else None)


def read_filesystem(name: str) -> None:
    """Read from an unlocked, unmounted filesystem, by its last snapshot if it has one.

    Reading the filesystem itself begins its space accounting, and a replica that was written to takes no increment
    without ``zfs receive -F``. What was received raw may have no accounting to read (ENOTSUP): that is found out
    after it was decrypted, so it proves as much.

    Raises:
        CallFailed: it cannot be read.
    """
    found = lineage([name]).get(name)
    source = name if found is None or found.last_snapshot is None else found.last_snapshot
    answer = run("zfs", "userspace", "-Hpo", "name", source, timeout=READ_TIMEOUT)
    if answer.code != 0 and "unsupported version or feature" not in answer.error:
        what = f"{name} cannot be read: {answer.why}"
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


def _portions(names: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
