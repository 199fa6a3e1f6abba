# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_move), which has no other side."""

from __future__ import annotations

import contextlib
import typing as t

from ..module_utils._errors import Refused
from ..modules.zfs_key_move import SPEC
from ..plugin_utils._backends import backends_from
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._key_task import typed
from ..plugin_utils._moving import Moving


class ActionModule(EscrowAction):
    """Moves keys between places; the host only tries them."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = typed(arguments, self.spec)
        if params is None:  # the host is not asked why: source is not for its ears
            raise Refused(f"An option is missing, or none of this module's, which are {', '.join(sorted(self.spec))}.")
        backends = backends_from(arguments["source"], self._surroundings(), option="source")
        with contextlib.closing(Escrow(backends, len(backends))) as source:
            moving = Moving(source, escrow, self._ask, self._host)
            return moving.run(clear=bool(params["clear_source"]), check=bool(self._task.check_mode))
