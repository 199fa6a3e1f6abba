# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``zfs get`` prints of many datasets, and in which order to ask for it. A part of ``_openzfs``.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ._model import OBSERVED_PROPERTIES, Dataset, Property

_NO_LIMIT = "18446744073709551615"  # how OpenZFS 2.1 prints that there is none
_LIMITS = ("filesystem_limit", "snapshot_limit")


def in_order(properties: t.Iterable[str] = ()) -> list[str]:
    """Return what is read, in its order: last a property whose values are no free text."""
    return [*dict.fromkeys(name for name in (*OBSERVED_PROPERTIES, *properties) if name != "type"), "type"]


def parsed(output: str, properties: t.Sequence[str]) -> dict[str, Dataset]:
    """Read ``zfs get -Hp -o name,property,value,source``, which prints each dataset's properties in their order.

    A value may hold tabs and newlines: a line that does not begin with the name and property that are due goes on with
    the value before.
    """
    records: list[tuple[str, str, str]] = []
    due = 0
    for line in output.rstrip("\n").split("\n") if output else ():
        name, _tab, rest = line.partition("\t")
        prop, tab, last = rest.partition("\t")
        if tab and prop == properties[due] and (due == 0 or name == records[-1][0]):
            records.append((name, prop, last))
            due = (due + 1) % len(properties)
        else:
            records[-1] = (*records[-1][:2], f"{records[-1][2]}\n{line}")
    found: dict[str, dict[str, Property]] = {}
    for name, prop, last in records:
        value, _tab, source = last.rpartition("\t")
        found.setdefault(name, {})[prop] = Property(value, source)
    return {name: Dataset(name, values) for name, values in found.items()}


def why_unread(pools: t.Iterable[str], error: str) -> str:
    """Say why ``zfs get`` read nothing, from what it printed."""
    unknown = re.search(r"invalid property '([^']+)'", error)
    if unknown is None:
        return f"The datasets of {', '.join(pools)} cannot be read: {error}"
    return (
        f"OpenZFS has no property {unknown[1]}. Nothing was changed. Correct its name in properties, or leave it "
        "out; the name of a property of your own has a colon in it."
    )


def spelled_out(dataset: Dataset, version: t.Callable[[], tuple[int, int]]) -> Dataset:
    """Return a dataset with values that not every version of OpenZFS prints alike.

    ``xattr=on`` means system attributes (``sa``) since OpenZFS 2.3 and files (``dir``) before.
    """
    changed = {name: "none" for name in _LIMITS if dataset.value(name) == _NO_LIMIT}
    if dataset.value("xattr") == "on":
        changed["xattr"] = "sa" if version() >= (2, 3) else "dir"
    if not changed:
        return dataset
    spelled = {name: replace(dataset.properties[name], value=value) for name, value in changed.items()}
    return replace(dataset, properties={**dataset.properties, **spelled})
