#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted datasets and their keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_dataset_key
short_description: Encrypted OpenZFS datasets and their wrapping keys
version_added: 0.1.0
description:
  - >-
    Sees to it that a filesystem or volume exists and is its own encryption root with the key given, or inherits its
    key.
  - >-
    Idempotence is cryptographic. A root is as it should be when the key given verifies, which is tried without loading
    it.
  - >-
    The keys of existing datasets are sacred. A key that does not open an existing root is refused, not installed.
  - What a task does not set is not compared; defaults hold at creation only.
  - Takes one dataset with O(name) or any number with O(datasets), in one task.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._dataset
  - zfsfleet.encryption._root
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._escrow.keeping
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.changing
seealso:
  - module: zfsfleet.encryption.zfs_unlock
  - module: zfsfleet.encryption.zfs_encryption_info
"""

EXAMPLES = r"""
- name: A root with a key from an encrypted variable
  zfsfleet.encryption.zfs_dataset_key:
    name: tank/media
    key: "{{ vault_media_key }}"
    properties:
      compression: zstd
      recordsize: 1M

- name: A key file, made once and kept
  zfsfleet.encryption.zfs_dataset_key:
    name: tank/vm
    key_file: /etc/zfs/vm.key
    generate_key: true

- name: A host's datasets in one task
  zfsfleet.encryption.zfs_dataset_key:
    keylocation: prompt
    datasets:
      - name: tank/home
        passphrase: "{{ vault_home_passphrase }}"
      - name: tank/home/anna
        state: inherited
      - name: tank/disk0
        volsize: 10G
        key: "{{ vault_disk0_key }}"
      - name: tank/old
        state: absent
        force_destroy: true

- name: Keys that are made on the controller, and kept in two places before they are used
  zfsfleet.encryption.zfs_dataset_key:
    escrow:
      - type: vault_file
        path: /srv/escrow
      - type: vault_file
        path: /media/safe/escrow
    datasets:
      - name: tank/home
      - name: tank/typed
        keyformat: passphrase

- name: Another wrapping key; the present one proves that it is kept
  zfsfleet.encryption.zfs_dataset_key:
    name: tank/media
    key: "{{ vault_media_key_2027 }}"
    current:
      key: "{{ vault_media_key }}"
    update_key: always
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
  contains:
    dataset:
      description: The dataset.
      type: str
    action:
      description:
        - One of V(create), V(destroy), V(change_key), V(inherit_key), V(repoint), V(reattach), V(generate_key_file),
          V(write_key_file), V(set_properties), V(inherit_properties), V(load_key), V(unload_key), V(mount); with
          O(escrow) also V(escrow_key) for a key that is put there, and V(note_key) for one of which it is noted what it
          opens.
      type: str
    after:
      description: What it brought.
      type: dict
  sample:
    - action: create
      after: {encryption: aes-256-gcm, keyformat: hex, keylocation: prompt, state: present}
      dataset: tank/media
deactivated:
  description: >-
    By root, the ids of the versions in escrow that its key took the place of, used or only begun.
  returned: with O(escrow), when there were any, and not in check mode
  type: dict
key_ids:
  description: The ids of the keys in escrow that the roots have, by root; of those that check mode only foresees, none.
  returned: with O(escrow)
  type: dict
  sample: {tank/media: c2a0f3d7b1e94a58.0f3a9c2b7d11}
receipts:
  description: What finds the key in each place, like its id on a KMIP server, by root; of keys that this run put there.
  returned: with O(escrow)
  type: dict
  sample: {tank/media: {kmip kmip.example.org:5696: "4711"}}
already:
  description: Datasets that are encryption roots as they should be.
  returned: always
  type: list
  elements: str
mounted:
  description: Filesystems that this run mounted.
  returned: always
  type: list
  elements: str
unlocked:
  description: Roots whose key this run loaded, other than by creating them.
  returned: always
  type: list
  elements: str
locked:
  description: Roots whose key this run unloaded.
  returned: always
  type: list
  elements: str
failures:
  description: What failed while it was carried out, by dataset.
  returned: always
  type: dict
  sample:
    tank/media:
      msg: "tank/media was not created: out of space"
      reason: unknown
      skipped: [tank/media/films]
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, Stage, run_changing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import observe_dataset, plan_dataset

SPEC = Spec(
    arguments={
        "name": {"type": "str"},
        **_arguments.dataset(),
        **_arguments.escrow(),
        "datasets": {
            "type": "list",
            "elements": "dict",
            "no_log": False,
            "options": {"name": {"type": "str", "required": True}, **_arguments.dataset()},
            "mutually_exclusive": [_arguments.ONE_KEY_IN_TEXT],
        },
    },
    mutually_exclusive=[("name", "datasets"), _arguments.ONE_KEY_IN_TEXT],
    required_one_of=[("name", "datasets")],
)


def main() -> None:
    run_changing(SPEC, batch_wanted, Stage(observe_dataset, plan_dataset))


if __name__ == "__main__":
    main()
