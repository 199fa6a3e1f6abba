# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of modules that may get their keys from escrow.

The option ``escrow`` is the action plugin's: it opens the places that it names, and the module on the host is given
keys like any others. Private to the collection.
"""

from __future__ import annotations

import abc
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError

from ..module_utils import _sealing
from ..module_utils._document import document_from
from ..module_utils._errors import EncryptionError, unforeseen
from ..module_utils._keys import Key
from ._backend import Surroundings
from ._backends import backends_from, required_copies
from ._escrow import Escrow, Held
from ._evidence import Event
from ._key_task import KeyTask, typed
from ._offering import Offering
from ._providing import Providing
from ._secret_action import SecretAction
from ._trial import HostFailed, Result, Trial, asked

OPTIONS = ("escrow", "escrow_require")
_EXPORT = "zfsfleet.encryption.zfs_key_export"


class EscrowAction(SecretAction):
    """Opens the places for keys that a task names, for as long as it runs."""

    _escrow: Escrow | None = None

    def _work(self, arguments: dict[str, t.Any]) -> Result:
        given, require = (arguments.pop(option, None) for option in OPTIONS)
        if not given:
            if require is not None and given is None:
                raise AnsibleActionFail("escrow_require says how many places must hold a key, and escrow names none.")
            return super()._work(arguments)
        try:
            backends = backends_from(given, self._surroundings())
            self._escrow = Escrow(backends, required_copies(require, backends))
            return self._with_escrow(arguments, self._escrow)
        except HostFailed as failure:
            return failure.result
        except EncryptionError as error:
            raise AnsibleActionFail(str(error)) from None
        except AnsibleError:
            raise
        except Exception as error:  # noqa: BLE001  # its text may hold anything
            raise AnsibleActionFail(unforeseen(error)) from None
        finally:
            if self._escrow is not None:
                self._escrow.close()

    def _done_before(self) -> list[Event]:
        put = {} if self._escrow is None else self._escrow.put_so_far
        return [
            {
                "dataset": version.dataset,
                "action": "escrow_key",
                "key_id": str(version.key_id),
                "receipts": receipts,
                "result": "done",
            }
            for version, receipts in put.items()
        ]

    @abc.abstractmethod
    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> Result:
        """Do the task's work with the backends open.

        Raises:
            EncryptionError: it is refused, or failed before anything was changed on the host.
        """

    def _provided(self, task: KeyTask, escrow: Escrow) -> Result:
        """Carry out a task whose keys are in escrow, or foresee it."""
        providing = Providing(task, self._trial(escrow), self._from_files)
        return (providing.foresee() if self._task.check_mode else providing.carry_out()).result

    def _from_files(self, files: t.Mapping[str, str]) -> dict[str, Key]:
        secrets = [{"name": name, "key_file": path} for name, path in files.items()]
        return self._exported({"names": sorted(files), "secrets": secrets})

    def _exported(self, arguments: t.Mapping[str, t.Any]) -> dict[str, Key]:
        """Have the host send keys that it proved, sealed under a secret that is used once.

        Raises:
            HostFailed: one of them opens nothing.
        """
        secret = _sealing.new_secret()
        with self._unlogged():
            result = asked(self._ask, _EXPORT, {**arguments, "dest_controller": "escrow", "_seal": secret.hex()})
        document = document_from(_sealing.unseal(result["sealed"], secret), where="from the host")
        return {name: entry.key for name, entry in document.entries.items()}

    def _offering(self, arguments: dict[str, t.Any], escrow: Escrow) -> Offering:
        return Offering(self._module, arguments, self._trial(escrow))

    def _announce_destruction(self, held: Held) -> None:
        """Write down that a version is about to be destroyed.

        Raises:
            NotRecorded: it is not to be destroyed.
        """
        self._write_ahead({"dataset": held.entry.version.dataset, "action": "destroy_key", "key_id": str(held.key_id)})

    def _trial(self, escrow: Escrow) -> Trial:
        return Trial(escrow, self._ask, self._host)

    def _typed(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the arguments as the module sees them.

        Raises:
            HostFailed: the module refuses them; in check mode, since nothing shall happen even if it did not.
        """
        params = typed(arguments, self.spec)
        if params is None:
            result = self._ask(self._module, arguments, check=True)
            raise HostFailed({"failed": True, "msg": "The options of this task contradict each other.", **result})
        return params

    @property
    def _host(self) -> str:
        return str(self._variables["inventory_hostname"])

    def _surroundings(self) -> Surroundings:
        return Surroundings(self._loader, self._host, str(self._connection.transport))
