#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys in escrow."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_escrow
short_description: Take keys of OpenZFS encryption roots into escrow, retire and destroy them there
version_added: 0.1.0
description:
  - >-
    Sees to it that the keys of existing encryption roots are in escrow, outside their host. A key that is offered is
    tried on the host first, so that only what opens a root is taken in. Nothing is changed on the host.
  - >-
    A root that is opened by what is in escrow already is as it should be, whatever is offered for it. One whose key is
    neither there nor offered, or is a passphrase that is no UTF-8, is a failure of that root; the others proceed.
  - >-
    With O(key_id) it works on one version of a key instead. Its state is noted, or it is destroyed, after the host was
    asked what it opens.
  - All of this is done on the controller. The host's part is to try keys, and to read key files.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._offers
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.in_escrow
options:
  state:
    description:
      - V(present). With O(name) or O(names), what opens the chosen roots is in escrow. With O(key_id), that version has
        the state O(key_state).
      - >-
        V(absent). The version O(key_id) is destroyed in every place. Needs O(force_destroy=true). It is refused while
        it opens a root of the host, or something that inherits from one may be wrapped with it, and no other version
        has the same key in as many places, and while a place does not answer or does not give it back. Copies of it in
        the history of a repository or in backups are not reached by this.
    type: str
    choices: [present, absent]
    default: present
  kmip_source:
    description:
      - >-
        A KMIP server that holds keys which something else put there, as TrueNAS does. A mapping like an entry of
        O(escrow) with V(type=kmip), which it may be. The client's certificate has to be one that the objects are shown
        to; on many servers that is the one that TrueNAS has.
      - What is there is read, and stays as it is.
    type: dict
  kmip_secrets:
    description:
      - >-
        The ids of the objects on O(kmip_source) by dataset, V({"tank/home": "4711"}). TrueNAS keeps them as
        C(kmip_uid). What is in the objects is offered like O(secrets), after them.
      - An object with 64 hexadecimal digits holds a key, any other a passphrase.
      - One that is not there, or cannot be read, is told where nothing else opens the root.
    type: dict
  key_id:
    description:
      - A version, as M(zfsfleet.encryption.zfs_key_escrow_info) and RV(key_ids) tell it.
    type: str
  key_state:
    description:
      - The state that the version O(key_id) is to have, one of those of NIST SP 800-57. A state never goes back.
      - V(active). Refused for a version that opens nothing on the host.
      - V(deactivated). Another key took its place. Refused for a version that opens a root of the host.
      - V(compromised). Somebody may know the key who should not. Noted in any case, and told in a warning as long as it
        opens something.
    type: str
    choices: [active, deactivated, compromised]
  force_destroy:
    description:
      - Say aloud that O(state=absent) destroys a key.
    type: bool
    default: false
  unseen_copies:
    description:
      - Say aloud that copies of the data which the version was seen to open, or was made for, and which this host does
        not show, such as replicas and exported pools, are gone or have another key.
    type: bool
    default: false
seealso:
  - module: zfsfleet.encryption.zfs_key_drill
  - module: zfsfleet.encryption.zfs_key_escrow_info
  - module: zfsfleet.encryption.zfs_dataset_key
  - module: zfsfleet.encryption.zfs_key_export
"""

EXAMPLES = r"""
- name: The keys of everything on the pool, from key files and from a manifest that TrueNAS exported
  zfsfleet.encryption.zfs_key_escrow:
    name: tank
    recursive: true
    manifest: dataset_tank_keys.json
    escrow:
      - type: vault_file
        path: /srv/escrow

- name: The keys that TrueNAS put on a KMIP server
  zfsfleet.encryption.zfs_key_escrow:
    name: tank
    recursive: true
    kmip_source:
      type: kmip
      host: kmip.example.org
      certificate: /etc/zfsfleet/truenas.pem
      key_file: /etc/zfsfleet/truenas.key
      ca: /etc/zfsfleet/kmip-ca.pem
    kmip_secrets:
      tank/home: 0d0a5f5e-4c1b-4d64-9f67-8f2f2b1f1f0a
      tank/vm: 6b7c1d7e-2f57-4e0c-8a43-3b8d9f0c5a11
    escrow: "{{ places }}"

- name: A laptop with keys on it was stolen
  zfsfleet.encryption.zfs_key_escrow:
    key_id: c2a0f3d7b1e94a58.0f3a9c2b7d11
    key_state: compromised
    escrow: "{{ places }}"

- name: A key that nothing needs any more
  zfsfleet.encryption.zfs_key_escrow:
    key_id: c2a0f3d7b1e94a58.9b1d55e0c4a2
    state: absent
    force_destroy: true
    escrow: "{{ places }}"
"""

RETURN = r"""
adopted:
  description: Encryption roots whose keys this run took into escrow.
  returned: without O(key_id)
  type: list
  elements: str
  sample: [tank/home]
already:
  description: Encryption roots that are opened by what was in escrow before.
  returned: without O(key_id)
  type: list
  elements: str
deactivated:
  description: >-
    By root, the ids of the versions in escrow that its key took the place of, used or only begun.
  returned: when there were any, and not in check mode
  type: dict
key_ids:
  description: The ids of the keys in escrow that the roots have, by root; of those that check mode only foresees, none.
  returned: without O(key_id)
  type: dict
  sample: {tank/home: c2a0f3d7b1e94a58.0f3a9c2b7d11}
receipts:
  description: What finds the key in each place, like its id on a KMIP server, by root; of keys that this run put there.
  returned: without O(key_id)
  type: dict
  sample: {tank/home: {kmip kmip.example.org:5696: "4711"}}
failures:
  description: Roots whose keys are not in escrow, with V(reason), V(msg) and V(skipped).
  returned: without O(key_id)
  type: dict
  sample:
    tank/private:
      msg: >-
        The key of tank/private is not in escrow: no key was given for it. Offer the right one in secrets or in a
        manifest.
      reason: no_key
      skipped: []
key_id:
  description: The version.
  returned: with O(key_id)
  type: str
key_state:
  description: Its state, V(destroyed) where it is not there.
  returned: with O(key_id)
  type: str
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - action: escrow_key
      after: {places: [vault_file /srv/escrow]}
      dataset: tank/home
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(
    arguments={
        **_arguments.choice(),
        **_arguments.offers(),
        **_arguments.escrow(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "kmip_source": {"type": "dict"},
        "kmip_secrets": {"type": "dict", "no_log": False},
        "key_id": {"type": "str", "no_log": False},
        "key_state": {"type": "str", "choices": ["active", "deactivated", "compromised"], "no_log": False},
        "force_destroy": {"type": "bool", "default": False},
        "unseen_copies": {"type": "bool", "default": False},
    },
    mutually_exclusive=[("name", "names", "key_id")],
    required_one_of=[("name", "names", "key_id")],
)


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
