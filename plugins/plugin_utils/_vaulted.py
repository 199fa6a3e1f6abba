# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-vault protects on the controller, manifests and keys; it is encrypted and decrypted in memory.

Private to the collection.
"""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import (
    VaultLib,
    is_encrypted,
    match_encrypt_vault_id_secret,
    parse_vaulttext_envelope,
)

from ..module_utils._errors import Refused


class Vaulted:
    """The protection by one vault identity of the running play.

    Args:
        loader: it has the play's vault secrets.
        vault_id: the identity's label.

    Raises:
        Refused: the play has no such identity.
    """

    def __init__(self, loader: DataLoader, vault_id: str) -> None:
        self.name = f"ansible-vault, {vault_id}"
        self._vault_id = vault_id
        # There is no public way from an action to the vault secrets of its play.
        self._vault = VaultLib(loader._vault.secrets)
        try:
            _label, self._secret = match_encrypt_vault_id_secret(self._vault.secrets or [], vault_id)
        except AnsibleError:
            known = ", ".join(sorted({label for label, _secret in self._vault.secrets or []})) or "none"
            raise Refused(
                f"This play has no vault identity {vault_id} (it has: {known}). "
                f"Give it to ansible-playbook with --vault-id {vault_id}@FILE."
            ) from None

    def covers(self, stored: bytes) -> bool:
        return is_encrypted(stored) and _label_of(stored) == self._vault_id

    def opens(self, stored: bytes) -> bool:
        """Tell whether the secret of this identity, and not of another one, decrypts these bytes."""
        try:
            VaultLib([(self._vault_id, self._secret)]).decrypt(stored)
        except AnsibleError:
            return False
        return True

    def revealed(self, stored: bytes) -> bytes:
        if not is_encrypted(stored):
            return stored
        try:
            return bytes(self._vault.decrypt(stored))
        except AnsibleError:
            raise Refused("none of this play's vault identities decrypts it.") from None

    def protected(self, content: bytes) -> bytes:
        return bytes(self._vault.encrypt(content, self._secret, self._vault_id))


def _label_of(stored: bytes) -> str:
    return parse_vaulttext_envelope(stored)[3] or "default"
