# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_export)."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.vault import is_encrypted

from ..module_utils import _manifest_file, _sealing
from ..module_utils._choice import choice_from
from ..module_utils._document import document_from
from ..module_utils._errors import EncryptionError, Refused
from ..module_utils._manifest_file import PLAIN, Found, Protection
from ..module_utils._plan_export import destination_from
from ..modules.zfs_key_export import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._offering import chosen_by, with_those_above
from ..plugin_utils._vaulted import Vaulted


class ActionModule(EscrowAction):
    """Secrets on the wire only; with ``dest_controller`` the manifest comes back sealed and is written here."""

    spec = SPEC.arguments

    _secret: bytes | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        if "_seal" in self._task.args:
            raise AnsibleActionFail("_seal is no option: it belongs to the action plugin. Leave it out.")
        path = self._task.args.get("dest_controller")
        if path is None:
            return super().run(tmp, task_vars)
        protection = self._protection()
        self._secret = _sealing.new_secret()
        with self._unlogged():
            result = super().run(tmp, task_vars)
        sealed = result.pop("sealed", None)
        if sealed is None:
            return result
        try:
            content = _sealing.unseal(sealed, self._secret)
            result.update(self._written(self._loader.path_dwim(path), content, protection))
        except EncryptionError as error:
            result.update(failed=True, msg=str(error))
        return result

    def _arguments(self) -> dict[str, t.Any]:
        arguments = super()._arguments()
        return arguments if self._secret is None else {**arguments, "_seal": self._secret.hex()}

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        choice = choice_from(params)
        is_chosen = chosen_by(choice) if params.get("target_dataset") is None else with_those_above(choice)
        return self._offering(arguments, escrow).run(choice.pools, is_chosen)

    def _protection(self) -> Protection:
        vault_id = self._task.args.get("vault_id")
        if vault_id is None:
            return PLAIN
        try:
            return Vaulted(self._loader, vault_id)
        except Refused as refusal:
            raise AnsibleActionFail(str(refusal)) from None

    def _written(self, path: str, content: bytes, protection: Protection) -> dict[str, t.Any]:
        """Write the manifest, or foresee it in check mode, and return what the result says of it."""
        switches = {name: boolean(self._task.args.get(name) or False) for name in ("backup", "force")}
        destination = destination_from({**self._task.args, **switches}, path)
        found = _manifest_file.look(path)
        if protection is PLAIN:
            _refuse_decrypting(path, found)
        document = document_from(content, where="from the host")
        step = _manifest_file.plan_file(document, found, destination, protection)
        if step is None:
            return {"dest_controller": path}
        if not self._task.check_mode:
            step.perform()
        kept = {} if step.backup_file is None else {"backup_file": step.backup_file}
        return {
            "changed": True,
            "dest_controller": path,
            "actions": [{"path": path, "action": step.action, "after": dict(step.after)}],
            "diff": {"before": {path: dict(step.before)}, "after": {path: dict(step.after)}},
            **kept,
        }


def _refuse_decrypting(path: str, found: Found | None) -> None:
    if found is not None and is_encrypted(found.stored):
        raise Refused(
            f"{path} is encrypted with ansible-vault and would be replaced by a plain file. "
            "Set vault_id to keep it encrypted, or choose another path."
        )
