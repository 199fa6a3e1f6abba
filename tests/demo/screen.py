# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is being done, how far it is and how long it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Screen:
    """Numbers the stages, of which there are so many in all."""

    def __init__(self, stages: int) -> None:
        self._stages = stages
        self._stage = 0
        self._started = time.monotonic()

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        self._stage += 1
        print(f"\n==== [{self._stage}/{self._stages}] {title}", flush=True)
        started = time.monotonic()
        yield
        now = time.monotonic()
        print(f"---- took {now - started:.0f} s, {now - self._started:.0f} s since the start", flush=True)
