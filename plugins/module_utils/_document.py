# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest that is being made: verified keys, and in our own format what is known about each dataset.

Private to the collection; used on the controller and on the managed host.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from . import _manifest
from ._keys import HEX_KEY, Key
from ._manifest import Value

Form = t.Literal["truenas", "zfsfleet"]
Facts = t.Mapping[str, t.Union[str, int]]


@dataclass(frozen=True)
class Entry:
    """One dataset's key, and facts about it that are no secrets."""

    key: Key
    facts: Facts = field(default_factory=dict)

    def holds(self, value: Value) -> bool:
        """Tell whether a value of another manifest is this key, whichever case its digits have."""
        if isinstance(value, Key):
            return value == self.key
        if self.key.kind == "key" and HEX_KEY.fullmatch(value):
            return bytes.fromhex(value) == self.key.secret
        return value.encode("utf-8", "surrogatepass") == self._text().encode()

    def _text(self) -> str:
        return next(iter(_manifest.kind_and_text(self.key).values()))


@dataclass(frozen=True)
class Document:
    """A manifest.

    Args:
        created: when, in UTC; of no meaning for a comparison.
        entries: by the name that the dataset has where the manifest is used.
    """

    created: str
    entries: t.Mapping[str, Entry]

    @property
    def names(self) -> list[str]:
        return sorted(self.entries)

    def rendered(self, form: Form) -> bytes:
        """Return the file's content; the same entries always give the same."""
        return (json.dumps(self._as_json(form), indent=2, sort_keys=True) + "\n").encode("ascii")

    def _as_json(self, form: Form) -> dict[str, t.Any]:
        if form == "truenas":
            return {name: entry._text() for name, entry in self.entries.items()}
        datasets = {name: {**entry.facts, **_manifest.kind_and_text(entry.key)} for name, entry in self.entries.items()}
        header = {"format": _manifest.FORMAT, "version": _manifest.VERSION, "created": self.created}
        return {**header, "datasets": datasets}

    def is_what(self, data: t.Mapping[str, t.Any], form: Form) -> bool:
        """Tell whether a manifest that was read says the same in the same format."""
        if _manifest.is_own_format(data) != (form == "zfsfleet"):
            return False
        if form == "zfsfleet":
            return {**data, "created": ""} == {**self._as_json(form), "created": ""}
        return data.keys() == self.entries.keys() and not self.lacks(data)

    def lacks(self, values: t.Mapping[str, Value]) -> list[str]:
        """Return the names under which another manifest has a key that this one does not have there."""
        return sorted(name for name, value in values.items() if not self._holds(name, value))

    def _holds(self, name: str, value: Value) -> bool:
        return name in self.entries and self.entries[name].holds(value)


def document_from(content: bytes, *, where: str) -> Document:
    """Read a document that ``rendered("zfsfleet")`` wrote.

    Raises:
        Refused: it is none.
    """
    data = _manifest.load(content, where=where)
    keys = _manifest.checked(data, where=where)
    entries: dict[str, Entry] = {}
    for name, facts in _manifest.own_datasets(data, where=where).items():
        key = keys[name]
        if isinstance(key, Key):
            entries[name] = Entry(key, {fact: value for fact, value in facts.items() if fact != key.kind})
    return Document(data["created"], entries)
