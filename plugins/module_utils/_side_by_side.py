# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing the same for many things at once.

Calls that change a key wait for a transaction group, and those that come at the same time share it: many threads help
even on one core. What takes nothing but processor time, in the kernel or here, wants few: more than there are
processors only stand in each other's way. Private to the collection.
"""

from __future__ import annotations

import os
import typing as t
from concurrent.futures import ThreadPoolExecutor

THREADS = 32
PROCESSORS = len(os.sched_getaffinity(0))

T = t.TypeVar("T")
R = t.TypeVar("R")


def side_by_side(function: t.Callable[[T], R], items: t.Sequence[T], *, threads: int = THREADS) -> list[R]:
    """Call a function for every item in threads, results in the order of the items."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(threads, len(items))) as pool:
        return list(pool.map(function, items))
