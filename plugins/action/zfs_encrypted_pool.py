# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_encrypted_pool)."""

from __future__ import annotations

import typing as t

from ..modules.zfs_encrypted_pool import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._key_task import pool_task


class ActionModule(EscrowAction):
    """Secrets on the wire only; with ``escrow`` a key is there before it is used, and offered to what is imported."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        if params["state"] == "present" and params.get("name") is not None:
            return self._provided(pool_task(self._module, arguments, params), escrow)
        if params["state"] in ("imported", "exported"):
            offering = self._offering(arguments, escrow)
            return offering.import_pool(params.get("name"), params.get("guid"), check=bool(self._task.check_mode))
        return self._ask(self._module, arguments)
