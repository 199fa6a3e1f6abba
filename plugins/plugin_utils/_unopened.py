# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for keys that lacks something on this controller: a certificate, a token, a vault secret, a library.

It is as good as down. Where it is one of several, the others are read, and the quorum decides about writing.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ..module_utils._errors import Refused
from ._backend import BackendDown
from ._record import Binding, Entry, Kept, State


class NotOpened(Refused):
    """A backend lacks something on this controller; what the task says of it is well.

    Args:
        name: the backend's.
        why: a sentence, with the way out.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} cannot be opened from this controller. {why}")
        self.name = name


class Unopened:
    """Stands in for a backend that could not be opened: it holds its place, and every call says why."""

    def __init__(self, failure: NotOpened) -> None:
        self.name = failure.name
        self._why = str(failure)

    def find_out(self) -> str:
        self._fail()

    def entries(self, _host: str) -> t.Sequence[Entry]:
        self._fail()

    def elsewhere(self, _keyguids: t.Collection[str], _pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        self._fail()

    def fetch(self, _entry: Entry) -> Kept:
        self._fail()

    def put(self, _kept: Kept) -> str:
        self._fail()

    def advance(self, _entry: Entry, _state: State) -> None:
        self._fail()

    def bind(self, _entry: Entry, _binding: Binding) -> None:
        self._fail()

    def destroy(self, _entry: Entry) -> None:
        self._fail()

    def close(self) -> None:
        """Nothing was opened."""

    def _fail(self) -> t.NoReturn:
        raise BackendDown(self._why)
