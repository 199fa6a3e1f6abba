# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_evidence_info), which has no other side."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..modules.zfs_evidence_info import SPEC
from ..plugin_utils._evidence import Chain, NotRecorded, chains


class ActionModule(ActionBase):
    """Reads and checks chains of evidence; nothing is asked of the host."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(dict(SPEC.arguments))  # type: ignore[no-untyped-call]
        try:
            found = chains(params["path"])
        except NotRecorded as error:
            raise AnsibleActionFail(str(error)) from None
        broken = [_sentence(chain) for chain in found if chain.problem is not None]
        heads = {f"{chain.host}/{chain.controller}": chain.head for chain in found}
        lost = [_lost(name) for name, head in (params["heads"] or {}).items() if not _goes_through(name, head, found)]
        result.update(changed=False, chains=[_told(chain) for chain in found], heads=heads)
        torn = [_torn(chain) for chain in found if chain.torn]
        if torn:
            result["warnings"] = torn
        if broken or lost:
            result.update(failed=True, msg=" ".join([*broken, *lost]))
        return result


def _told(chain: Chain) -> dict[str, t.Any]:
    told = {name: value for name, value in dataclasses.asdict(chain).items() if name != "digests"}
    return {**told, "torn": list(chain.torn)}


def _sentence(chain: Chain) -> str:
    return f"The chain of {chain.host}, written by {chain.controller}, is broken. {chain.problem}"


def _torn(chain: Chain) -> str:
    lines = ", ".join(map(str, chain.torn))
    return (
        f"In the chain of {chain.host}, written by {chain.controller}, a run was killed while it wrote line {lines}. "
        "What it did last is not written there; the chain is whole."
    )


def _goes_through(name: str, head: str, found: t.Iterable[Chain]) -> bool:
    return any(f"{chain.host}/{chain.controller}" == name and head in chain.digests for chain in found)


def _lost(name: str) -> str:
    return f"The chain {name} does not go through the head that was noted for it: lines were taken off its end."
