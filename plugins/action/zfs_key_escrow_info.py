# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_escrow_info), which has no other side."""

from __future__ import annotations

import typing as t

from ..modules.zfs_key_escrow_info import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._escrow_told import told


class ActionModule(EscrowAction):
    """Tells what is in escrow; the host is not asked."""

    spec = SPEC.arguments

    def _with_escrow(self, _arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        return told(escrow, self._host)
