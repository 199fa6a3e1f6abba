# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with the canaries: every module, as it should be used and as it should not.

Another module brings a chapter of its own and stands in CHAPTERS, in the order in which things happen to the pool.
"""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.tests.leaks.case import Case
from ansible_collections.zfsfleet.encryption.tests.leaks.chapters import (
    escrowing,
    making,
    malformed,
    misplaced,
    reading,
    unlocking,
)

CHAPTERS: tuple[t.Callable[[], list[Case]], ...] = (
    making.chapter,
    malformed.chapter,
    misplaced.chapter,
    unlocking.chapter,
    reading.chapter,
    escrowing.chapter,
)


def whole(*, sample: bool) -> list[Case]:
    """Return all cases, or those of the short scan."""
    return [one for chapter in CHAPTERS for one in chapter() if one.sampled or not sample]
