# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault that a slip of the hand could put into the product."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault; it is planted in a copy of the sources.

    Args:
        name: what is wrong.
        harm: what it would do to a user.
        file: where it is, below ``plugins``.
        old: the text that it replaces. It stands once in the file, so that a fault follows the code that it spoils.
        new: the text that it puts there.
        tests: files of tests that should see it, without directory and ending, the likeliest first.
    """

    name: str
    harm: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
