# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a result mentions a secret that its task was given, found out in one pass.

Core looks for each secret in each string of a result (``remove_values``), which takes minutes for a thousand roots with
their keys. Private to the collection.
"""

from __future__ import annotations

import typing as t

MOST_LENGTHS = 8
_BETWEEN = "\0"


def mentions(told: t.Any, secrets: t.Collection[str]) -> bool:
    """Tell whether a secret stands anywhere in what is told; True also where that would take too long to find out.

    Args:
        told: what JSON can say; the keys of its objects are ours, as core has it.
        secrets: none of them is empty.
    """
    by_length: dict[int, set[str]] = {}
    for secret in secrets:
        by_length.setdefault(len(secret), set()).add(secret)
    if len(by_length) > MOST_LENGTHS:
        return True
    text = _BETWEEN.join(_leaves(told))
    return any(
        text[start : start + length] in of_this_length
        for length, of_this_length in by_length.items()
        for start in range(len(text) - length + 1)
    )


def _leaves(told: t.Any) -> t.Iterator[str]:
    if isinstance(told, t.Mapping):
        for value in told.values():
            yield from _leaves(value)
    elif isinstance(told, (list, tuple, set, frozenset)):
        for value in told:
            yield from _leaves(value)
    else:
        yield str(told)
