# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_dataset_key)."""

from __future__ import annotations

import typing as t

from ..modules.zfs_dataset_key import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._key_task import dataset_task


class ActionModule(EscrowAction):
    """Secrets on the wire only; with ``escrow`` a key is there before it is used."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        return self._provided(dataset_task(self._module, arguments, self._typed(arguments)), escrow)
