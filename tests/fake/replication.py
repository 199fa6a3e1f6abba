# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams that the fake receives in part, and what datasets show of having received one."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from .datasets import Datasets, Record


class Replication:
    """Receives increments into datasets; what arrives in full at once is ``Datasets.replicate``."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    @contextlib.contextmanager
    def running(self, source: str, target: str) -> t.Iterator[None]:
        """Have a stream being received; it is given up in the end, and leaves nothing."""
        is_new = target not in self._datasets.records
        record = self._begin(source, target)
        yield
        record.incoming = None
        if is_new:
            del self._datasets.records[target]

    def break_off(self, source: str, target: str) -> None:
        """Lose the connection; the receiver keeps what it has (``zfs receive -s``)."""
        self._begin(source, target).token = f"1-{source}"

    def resume(self, target: str) -> None:
        """Receive the rest: the sender's wrapped key takes its place."""
        record = self._datasets.records[target]
        if record.protection is not None and record.incoming is not None:
            record.protection.wrap = record.incoming
        record.incoming, record.token, record.is_half_received = None, "-", False

    def _begin(self, source: str, target: str) -> Record:
        sent = self._datasets.records[source]
        if sent.protection is None:
            raise AssertionError(f"{source} is plain; only raw replication is modelled")
        if target in self._datasets.records:
            sent.snapshots.append(str(len(sent.snapshots)))
        else:
            self._datasets.replicate(source, target, properties=False)
            self._datasets.records[target].is_half_received = True
        record = self._datasets.records[target]
        record.incoming = replace(sent.protection.wrap)
        return record

    def receiving(self, names: t.Iterable[str]) -> frozenset[str]:
        found = {name: self._datasets.records[name] for name in names if name in self._datasets.records}
        return frozenset(
            name for name, each in found.items() if each.incoming is not None and not each.is_half_received
        )

    def received_snapshots(self, names: t.Iterable[str]) -> dict[str, str]:
        found = (self._datasets.records[name] for name in names if name in self._datasets.records)
        return {each.name: f"{each.name}@{each.snapshots[-1]}" for each in found if each.arrived and each.snapshots}
