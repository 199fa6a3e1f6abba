# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_retire), which has no other side."""

from __future__ import annotations

import typing as t

from ..modules.zfs_key_retire import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._plan_retirement import Retention
from ..plugin_utils._record import days_ago
from ..plugin_utils._retiring import retire


class ActionModule(EscrowAction):
    """Destroys replaced keys; the host only tries them."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        kept = max(0, int(params["retain_versions"]))
        retention = Retention(days_ago(params["retain_days"]), kept, bool(params["unseen_copies"]))
        return retire(self._trial(escrow), retention, check=bool(self._task.check_mode))
