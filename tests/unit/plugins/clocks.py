# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller's clock that a test sets."""

from __future__ import annotations

import datetime as dt


class Clock(dt.datetime):
    """A clock that somebody sets; it takes the place of ``datetime`` where records are noted."""

    offset = dt.timedelta()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Clock:
        moment = dt.datetime.now(tz) + cls.offset
        return cls.fromtimestamp(moment.timestamp(), tz)

    @classmethod
    def shift(cls, days: int) -> None:
        cls.offset += dt.timedelta(days=days)
