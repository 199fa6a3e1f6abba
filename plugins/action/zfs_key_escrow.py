# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_escrow), which has no other side."""

from __future__ import annotations

import typing as t

from ..module_utils._choice import choice_from
from ..module_utils._errors import Refused
from ..modules.zfs_key_escrow import SPEC
from ..plugin_utils._adopting import Wanted, adopt
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._kmip_secrets import kmip_secrets
from ..plugin_utils._one_version import Destruction, OneVersion

_ABOUT = ("name", "names", "key_id")


class ActionModule(EscrowAction):
    """Takes keys into escrow, notes states, destroys; the host only tries keys."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        source, uids = (arguments.pop(option, None) for option in ("kmip_source", "kmip_secrets"))  # not for the host
        params = self._typed(arguments)
        check = bool(self._task.check_mode)
        if params["state"] == "present" and sum(params.get(each) is not None for each in _ABOUT) != 1:
            raise Refused("Give name or names, for the roots whose keys are taken in, or key_id, for one version.")
        offered = kmip_secrets(source, uids, self._surroundings())
        escrow.find_out()
        trial = self._trial(escrow)
        if params["state"] == "absent":
            said = Destruction(bool(params["force_destroy"]), bool(params["unseen_copies"]))
            return OneVersion(_key_id(params), trial).destroy(said, self._announce_destruction, check=check)
        if (params.get("key_id") is None) != (params.get("key_state") is None):
            raise Refused("key_id names a version, and key_state says what it is to become. Give both, or neither.")
        if params.get("key_id") is None:
            secrets = [*(arguments.get("secrets") or ()), *offered.secrets]
            options = {**arguments, "secrets": secrets} if secrets else arguments
            wanted = Wanted(choice_from(params), options, offered.remarks)
            return adopt(wanted, trial, self._exported, check=check)
        return OneVersion(_key_id(params), trial).note(params["key_state"], check=check)


def _key_id(params: t.Mapping[str, t.Any]) -> str:
    if params.get("key_id") is None:
        raise Refused("state: absent destroys one version. Name it with key_id; zfs_key_escrow_info lists them.")
    return str(params["key_id"])
