# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_encryption_info)."""

from __future__ import annotations

import typing as t

from ..module_utils._choice import choice_from
from ..modules.zfs_encryption_info import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._offering import chosen_by


class ActionModule(EscrowAction):
    """Secrets on the wire only; what is in ``escrow`` is offered."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        choice = choice_from(self._typed(arguments))
        is_chosen = chosen_by(choice) if choice.names else (lambda _root: True)
        return self._offering(arguments, escrow).run(choice.pools, is_chosen)
