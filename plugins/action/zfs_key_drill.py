# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_drill), which has no other side."""

from __future__ import annotations

import typing as t

from ..module_utils._choice import choice_from
from ..module_utils._errors import Refused
from ..modules.zfs_key_drill import SPEC
from ..plugin_utils._drilling import drill
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction


class ActionModule(EscrowAction):
    """Has the host try what is in escrow, and judges."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        if params["name"] is not None and params["names"] is not None:
            raise Refused("Give name or names, not both; without either the whole host is drilled.")
        trial = self._trial(escrow)
        return drill(
            choice_from(params), trial, min_iterations=params["min_iterations"], fail_on=frozenset(params["fail_on"])
        )
