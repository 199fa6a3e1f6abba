# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of ``zfs_unlock`` asks for. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import _manifest
from ._choice import Choice, choice_from
from ._model import MOUNT_PROPERTIES
from ._offers import Offers, offers_from


@dataclass(frozen=True)
class UnlockWanted:
    """What a task of ``zfs_unlock`` asks for."""

    choice: Choice
    offers: Offers
    state: t.Literal["unlocked", "locked"] = "unlocked"
    mount: bool = True
    verify_key: bool = True
    move_aside: bool = False
    force_unmount: bool = False
    protect_mountpoint: bool = False

    @property
    def pools(self) -> tuple[str, ...]:
        return self.choice.pools

    @property
    def mounts(self) -> bool:
        return self.mount and self.state == "unlocked"

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of what has to be read besides the usual."""
        return MOUNT_PROPERTIES if self.mounts or self.state == "locked" else ()


def unlock_wanted(params: t.Mapping[str, t.Any]) -> UnlockWanted:
    """Read the parameters of ``zfs_unlock``."""
    return UnlockWanted(
        choice_from(params),
        offers_from(params.get("secrets") or (), _manifest.given(params)),
        params["state"],
        params["mount"],
        params["verify_key"],
        params["move_aside"],
        bool(params.get("force_unmount")),
        bool(params.get("protect_mountpoint")),
    )
