# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every step of a plan has: its dataset, what it does, and what would take it back. Private to the collection."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ._host import Host


Values = t.Mapping[str, str]
NOTHING: Values = {}


class Step(t.Protocol):
    """One change to one dataset."""

    @property
    def dataset(self) -> str:
        """The dataset that changes."""

    @property
    def action(self) -> str:
        """What is done, as it is reported."""

    @property
    def before(self) -> Values:
        """What the change replaces, for the diff; never a secret."""

    @property
    def after(self) -> Values:
        """What the change brings, for the diff; never a secret."""

    @property
    def undone_by(self) -> Step | None:
        """The step that takes this one back when a later one of its group fails."""

    def perform(self, host: Host) -> t.Sequence[Step] | None:
        """Do it, and return what had to be done for it before, if that showed only now."""
