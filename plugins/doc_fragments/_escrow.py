# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of where keys are kept outside the hosts: every backend's options, and what modules do with escrow.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options:
  escrow:
    description:
      - >-
        Where keys are kept outside the host, one mapping for each place, in the order in which they are read. An empty
        list means none, said aloud.
      - >-
        The action plugin opens these places on the controller. The managed host learns nothing of them; it is given
        keys like any others, on the wire.
      - >-
        A version of a key whose copies differ between two places is told in a warning. Only the host's trying them
        decides which one is used.
      - >-
        A place that does not answer is told in a warning, as long as the others will do. So is one of several that
        cannot be opened from this controller, as its certificate, its token, the vault secret or the Python package is
        not there.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - What kind of place it is.
          - >-
            V(vault_file) is a directory on the controller with a file for each version of a key, encrypted by
            ansible-vault. It needs a vault secret in the running play. ansible-vault stretches passwords weakly, so use
            a long random one.
          - >-
            V(openbao) is a KV engine, version 2, of OpenBao or HashiCorp Vault. It needs C(hvac) on the controller.
          - V(kmip) is a KMIP server, over mutual TLS. It needs C(pykmip), 0.11 or newer, on the controller.
        type: str
        required: true
        choices: [kmip, openbao, vault_file]
      path:
        description:
          - With O(escrow[].type=vault_file), the directory, relative to the playbook unless absolute. It has to be
            there. There is no default.
        type: path
      vault_id:
        description:
          - With O(escrow[].type=vault_file), the vault identity that new keys are encrypted with, by default that of
            C(--vault-password-file).
        type: str
      allow_local:
        description:
          - >-
            With O(escrow[].type=vault_file), take the directory though it would die with the controller, or lies on the
            host that its keys protect: with a local connection, in an execution environment, with C(ansible-pull).
        type: bool
      url:
        description:
          - With O(escrow[].type=openbao), the server, like V(https://bao.example.org:8200).
        type: str
      mount:
        description:
          - With O(escrow[].type=openbao), where the engine is mounted, V(secret) by default.
        type: str
      prefix:
        description:
          - With O(escrow[].type=openbao), the folder in the engine, V(zfsfleet) by default.
        type: str
      namespace:
        description:
          - With O(escrow[].type=openbao), the namespace, none by default.
        type: str
      ca:
        description:
          - >-
            The certificates that the server's is checked against, a file on the controller. The server's name is
            checked too. It has to be given with O(escrow[].type=kmip); O(escrow[].type=openbao) by default takes those
            of the Python package C(certifi).
        type: path
      auth:
        description:
          - With O(escrow[].type=openbao), how to log in, V(token) by default.
        type: str
        choices: [token, approle]
      token:
        description:
          - With O(escrow[].auth=token), the token. Keep it in an encrypted variable.
        type: str
      token_file:
        description:
          - With O(escrow[].auth=token), a file on the controller that holds it, instead of O(escrow[].token).
        type: path
      role_id:
        description:
          - With O(escrow[].auth=approle), the id of the role.
        type: str
      secret_id:
        description:
          - With O(escrow[].auth=approle), the secret id. Keep it in an encrypted variable.
        type: str
      secret_id_file:
        description:
          - With O(escrow[].auth=approle), a file on the controller that holds it, instead of O(escrow[].secret_id).
        type: path
      auth_mount:
        description:
          - With O(escrow[].auth=approle), where that method is mounted, V(approle) by default.
        type: str
      host:
        description:
          - With O(escrow[].type=kmip), the server's name or address.
        type: str
      port:
        description:
          - With O(escrow[].type=kmip), where it listens, V(5696) by default.
        type: int
      certificate:
        description:
          - With O(escrow[].type=kmip), the client's certificate, a file on the controller, in PEM.
        type: path
      key_file:
        description:
          - >-
            With O(escrow[].type=kmip), the private key of O(escrow[].certificate), a file on the controller, in PEM,
            without a passphrase.
        type: path
      timeout:
        description:
          - Seconds to wait for a server's answer, V(10) by default.
        type: int
"""

    REQUIRE = r"""
options:
  escrow_require:
    description:
      - How many places must hold a key and have given it back before it is used, by default all of them. One place
        under two names counts once, where that is found out.
    type: int
"""

    KEEPING = r"""
options: {}
notes:
  - >-
    With O(escrow) a root gets its key from there. Where there is none yet, one is made on the controller, put into
    every place and read back, before the root is made with it, proven, and noted as its key. A run that dies in between
    is gone on with by the next one, with the same key.
  - >-
    With O(escrow), a key that the task gives is put there as well, also for a root that is there already, if it opens
    it. A root that is there and opened by nothing in escrow, nor by a given key, is refused. A second key is never made
    for a root that has one.
  - With O(escrow) check mode contacts every place, and finds out as far as it can whether it could be written to.
"""

    OFFERING = r"""
options: {}
notes:
  - >-
    What is in O(escrow) is offered for the chosen roots, after O(secrets) and before O(manifest) and key files. Nothing
    is written there.
  - >-
    Keys are found by the id of the master key, which renaming and raw replication keep; where the host's own records
    have none that opens a root, those of other hosts are looked through.
"""
