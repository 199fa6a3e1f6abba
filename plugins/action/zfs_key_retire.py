# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_retire), which has no other side."""

from __future__ import annotations

import typing as t

from ..module_utils._errors import Refused
from ..modules.zfs_key_retire import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._plan_retirement import Retention
from ..plugin_utils._record import days_ago
from ..plugin_utils._retiring import retire

# A run that has put a key into escrow sets it in less.
_DAYS_OF_A_RUN = 1.0


class ActionModule(EscrowAction):
    """Destroys replaced keys; the host only tries them."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        if params["retain_days"] < 0 or params["retain_versions"] < 0:
            raise Refused("retain_days and retain_versions say how much is kept. Neither can be less than nothing.")
        unseen_gone = bool(params["unseen_copies"])
        replaced_before = days_ago(params["retain_days"], option="retain_days")
        given_up_before = days_ago(max(params["retain_days"], _DAYS_OF_A_RUN), option="retain_days")
        retention = Retention(replaced_before, given_up_before, params["retain_versions"], unseen_gone)
        check = bool(self._task.check_mode)
        return retire(self._trial(escrow), retention, self._announce_destruction, check=check)
