#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about the encryption of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_encryption_info
short_description: Pools, encryption roots and key states of a host
version_added: 0.1.0
description:
  - >-
    Returns everything that is known about pools, encryption roots and their keys, and says for offered keys what
    unlocking with them would do, as the encryption summary of TrueNAS does.
  - Keys are tried without being loaded, on unlocked roots as well.
  - Without O(name) and O(names) all imported pools are looked at. A named pool that is not imported is told in a
    warning.
  - >-
    It answers for every dataset whether it is encrypted. Where a named one inherits its key, RV(roots) tells of its
    root, and where it is plain, of none; a warning says so. With O(candidates) such names are refused, as by other
    modules.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._offers
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._escrow.offering
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.info
options:
  move_aside:
    description:
      - >-
        Answer in RV(summary) as for an unlocking with O(zfsfleet.encryption.zfs_unlock#module:move_aside=true). Nothing
        is moved.
    type: bool
    default: false
  candidates:
    description:
      - Keys to be tried, each under an id of its own, to learn which of several keys opens a root. The answer is in
        RV(candidates).
      - >-
        They are tried in their order until one opens, on locked and unlocked roots. They do not matter to RV(summary),
        and a name that is no chosen root is passed over.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The encryption root to try the key on.
        type: str
        required: true
      id:
        description:
          - What RV(candidates) calls the key.
        type: str
        required: true
      key:
        description:
          - 64 hexadecimal digits, for roots of C(keyformat) V(hex) and V(raw).
        type: str
      passphrase:
        description:
          - The passphrase.
        type: str
seealso:
  - module: zfsfleet.encryption.zfs_unlock
  - module: zfsfleet.encryption.zfs_dataset_key
"""

EXAMPLES = r"""
- name: Everything about all pools
  zfsfleet.encryption.zfs_encryption_info:
  register: encryption

- name: Would this manifest open the host?
  zfsfleet.encryption.zfs_encryption_info:
    name: tank
    recursive: true
    manifest: dataset_tank_keys.json
  register: drill
  failed_when: not (drill.summary | map(attribute='valid_key') is all)
"""

RETURN = r"""
openzfs:
  description: How this host reaches OpenZFS.
  returned: always
  type: dict
  contains:
    version:
      description: Version of the user-space tools.
      type: str
    binding:
      description: V(pyzfs), or V(cli) where Python cannot import libzfs_core.
      type: str
    interpreter:
      description: Path of the Python that ran the module.
      type: str
    python:
      description: Its version.
      type: str
pools:
  description: The pools looked at, by name.
  returned: always
  type: dict
  contains:
    guid:
      description: The pool's GUID, in decimal.
      type: str
    health:
      description: Its health.
      type: str
    readonly:
      description: Whether it is imported read-only.
      type: bool
    checkpoint:
      description: Whether it can be rewound to a checkpoint, and the keys of its datasets with it.
      type: bool
    roots:
      description: How many encryption roots it has.
      type: int
    encrypted:
      description: How many encrypted datasets it has.
      type: int
    plain:
      description: Names of the datasets that are not encrypted.
      type: list
      elements: str
roots:
  description: The chosen encryption roots, parents first.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The dataset.
      type: str
    type:
      description: V(filesystem) or V(volume).
      type: str
    encryption:
      description: The cipher.
      type: str
    keyformat:
      description: How its key is given.
      type: str
    keylocation:
      description: Where OpenZFS looks for its key.
      type: str
    pbkdf2iters:
      description: PBKDF2 rounds, 0 unless the key is a passphrase.
      type: int
    pbkdf2salt:
      description: What its passphrase is stretched with, in decimal; V(0) unless the key is a passphrase.
      type: str
    keyguid:
      description: Id of the master key, which no rotation changes.
      type: str
    locked:
      description: >-
        Whether its key is not loaded, and nothing of it stayed mounted without, as it does when a clone is promoted.
      type: bool
    inheriting:
      description: Datasets that inherit its key.
      type: list
      elements: str
    mounted:
      description: Filesystems under its key that are mounted.
      type: list
      elements: str
    broken:
      description:
        - Datasets under its key, the root included, that the key does not open, as after an inconsistent raw
          replication. They are unlocked by C(keystatus) and cannot be read.
        - Known from their properties where the keys are passphrases, and from reading the last snapshot of filesystems
          that are unlocked and not mounted. Volumes with other keys show nothing until they are read.
      type: list
      elements: str
    receiving:
      description: Datasets under its key that a stream is being received into, or was until it broke off.
      type: list
      elements: str
    key_id:
      description: Id of the key in escrow, where this collection noted it on this dataset as it set the key.
      returned: where that was noted, and not on another pool
      type: str
    rotated_at:
      description: When that key was made.
      returned: with RV(roots[].key_id)
      type: str
summary:
  description:
    - What unlocking the chosen roots with the offered keys would do.
    - >-
      It is what M(zfsfleet.encryption.zfs_unlock) foretells in check mode. A task that would be refused as a whole,
      because of a locked root above that was not chosen, unlocks nothing.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The encryption root.
      type: str
    keyformat:
      description: How its key is given.
      type: str
    key_given:
      description: Whether a key was offered for it, its key file included.
      type: bool
    valid_key:
      description: Whether one of them opens it.
      type: bool
    locked:
      description: Whether its key is not loaded.
      type: bool
    unlock_error:
      description: Why it would stay locked, V(null) if it would not.
      type: str
    reason:
      description:
        - >-
          The same in one word, V(wrong_key), V(no_key), V(mountpoint_occupied), V(locked_ancestor) or V(unknown), or
          V(null).
      type: str
    unlock_successful:
      description: Whether it is unlocked, or would be.
      type: bool
candidates:
  description: What came of O(candidates), for each chosen root that they name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The encryption root.
      type: str
    opened_by:
      description: The ids of the key that opens it, several where the same key was given under several ids.
      type: list
      elements: str
    wrong:
      description: The ids of those that do not open it.
      type: list
      elements: str
    unknown:
      description: Those that could not be tried, by id, with V(errno), where the kernel gave one, and V(msg).
      type: dict
    untried:
      description: The ids of those that were left once one had opened it.
      type: list
      elements: str
  sample:
    - name: tank/home
      opened_by: [c2a0f3d7b1e94a58.0f3a9c2b7d11]
      wrong: [c2a0f3d7b1e94a58.9b1d55e0c4a2]
      unknown: {}
      untried: []
ignored:
  description: Names in the manifest that belong to pools which are not imported.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_reading
from ansible_collections.zfsfleet.encryption.plugins.module_utils._info import report

SPEC = Spec(
    arguments={
        **_arguments.choice(),
        **_arguments.offers(),
        **_arguments.candidates(),
        **_arguments.move_aside(),
        **_arguments.escrow(),
    },
    mutually_exclusive=[("name", "names")],
)


def main() -> None:
    run_reading(SPEC, report=report)


if __name__ == "__main__":
    main()
