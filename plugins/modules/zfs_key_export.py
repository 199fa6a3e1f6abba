#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting keys into manifests."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_export
short_description: Write a manifest of verified OpenZFS keys, renamed for a replica on request
version_added: 0.1.0
description:
  - >-
    Writes the keys of encryption roots into a manifest, a file on the managed host or on the controller, which
    M(zfsfleet.encryption.zfs_unlock) and TrueNAS can unlock with.
  - >-
    Each key is proven to open its root before it is written, whether the root is locked or not, and nothing is loaded
    or unloaded. OpenZFS gives no key away, so the keys are offered; the key files of roots are found by themselves.
  - >-
    If an offered key does not open its root, cannot be tried, or is a passphrase that is no UTF-8, nothing is written,
    since half a manifest would be taken for the whole. A root for which no key is offered is left out, named in
    RV(missing) and in a warning. Without any key nothing is written and the module fails.
  - >-
    No key is ever lost by it. A manifest that is there is replaced at once and durably, and only if the new one has the
    same keys under the same names, or more; anything else is refused without O(backup=true) or O(force=true). What is
    there and no manifest is never replaced.
  - >-
    With O(target_dataset) the manifest opens the copies that a raw replication (C(zfs send -w)) makes. A copy has the
    key of its source, under another name.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._offers
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._escrow.offering
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.changing
options:
  name:
    description:
      - The encryption root whose key is exported; with O(target_dataset) the dataset that is replicated.
      - >-
        Without O(target_dataset) a dataset that inherits its key is refused and its root named. With it, the copy of
        such a dataset is a root of its own, and the manifest gives it the key of the root that it inherits from.
    type: str
  names:
    description:
      - Several of them, instead of O(name); with O(target_dataset) all sources of a replication.
    type: list
    elements: str
  recursive:
    description:
      - Take all encryption roots below the named datasets as well.
      - >-
        With O(target_dataset), all datasets below the sources are replicated too, each by itself, as replication tools
        do it that send one dataset after the other.
    type: bool
    default: false
  exclude:
    description:
      - >-
        Datasets below the named ones that are left out, with all below them, as they are left out of a replication. A
        name that leaves nothing out is refused.
    type: list
    elements: str
    default: []
  target_dataset:
    description:
      - The dataset that receives, for a manifest of the copies' names.
      - >-
        The longest path that all sources have in common is received as this dataset; what follows that path stays as
        it is. A single source is received as this dataset itself.
      - >-
        So to V(bk) goes V(tank/a) as V(bk); V(tank/a) and V(tank/b) as V(bk/a) and V(bk/b); V(tank/x/a) and
        V(tank/y/b) as V(bk/x/a) and V(bk/y/b); V(tank/a) and V(tank/a/c) as V(bk) and V(bk/c). TrueNAS and zettarepl
        name copies in the same way.
      - >-
        A dataset that is received by itself is an encryption root of its own, even if it inherited its key, so every
        encrypted dataset that is sent is listed, with the key of its root. Nothing else is listed.
    type: str
  replicate:
    description:
      - >-
        Each source is sent with all below it in one stream (C(zfs send -R)). What inherited a key inherits again then,
        so besides the sources themselves only encryption roots are listed.
      - It includes what O(recursive) includes.
    type: bool
    default: false
  format:
    description:
      - >-
        V(truenas). One JSON object of names and keys, V({"pool/dataset": "64 hex digits or a passphrase"}), as TrueNAS
        exports and imports it.
      - >-
        V(zfsfleet). Our own JSON, with a version, the time, and for each dataset V(key) or V(passphrase) and
        V(keyformat), V(encryption), V(pbkdf2iters), V(pbkdf2salt), V(keyguid), which a raw replication keeps, V(guid)
        and V(pool_guid), which tell the host's dataset from a copy, and V(source), its name here. Modules of this
        collection read both.
      - In both, a raw key is written as 64 hexadecimal digits.
    type: str
    choices: [truenas, zfsfleet]
    default: truenas
  dest:
    description:
      - >-
        Absolute path of the manifest on the managed host. It is written with mode V(0600), owned by the user that the
        module runs as.
      - >-
        It is refused inside a dataset whose key it holds, since it could not be read when that is locked. Its directory
        must be there.
    type: path
  dest_controller:
    description:
      - >-
        Path of the manifest on the controller, relative to the playbook unless absolute. It is written with mode
        V(0600), owned by the user that runs Ansible. Hosts need different paths, as by C(inventory_hostname).
      - >-
        On their way the keys are in the module's result, under a secret that is made for this one execution, and what
        the connection would log is censored. The action plugin takes them out of the result.
    type: str
  vault_id:
    description:
      - >-
        A vault identity of the running play, V(default) for that of C(--vault-password-file). The manifest on the
        controller is encrypted with it by ansible-vault, in memory. One that is there is decrypted for the comparison
        and is left alone if it has the same keys under the same identity.
      - A manifest that is encrypted is never replaced by a plain one.
    type: str
  backup:
    description:
      - >-
        Keep the manifest that is replaced, beside the new one, under its name and a time. It may hold keys that the new
        one does not.
    type: bool
    default: false
  force:
    description:
      - Replace a manifest even if keys in it are in no other file then.
    type: bool
    default: false
  _seal:
    description:
      - Belongs to the action plugin, with O(dest_controller). A task that sets it is refused.
    type: str
seealso:
  - module: zfsfleet.encryption.zfs_unlock
  - module: zfsfleet.encryption.zfs_encryption_info
"""

EXAMPLES = r"""
- name: The keys of a pool, encrypted, on the controller
  zfsfleet.encryption.zfs_key_export:
    name: tank
    recursive: true
    secrets:
      - name: tank/home
        passphrase: "{{ vault_home_passphrase }}"
    dest_controller: "/srv/manifests/{{ inventory_hostname }}.json"
    vault_id: default

- name: A proven copy of the manifest that TrueNAS exported, with what is known about each dataset
  zfsfleet.encryption.zfs_key_export:
    name: tank
    recursive: true
    manifest: dataset_tank_keys.json
    format: zfsfleet
    dest: /root/tank_keys.json

- name: The manifest of a replica, each dataset of tank/data sent by itself, without the scratch space
  zfsfleet.encryption.zfs_key_export:
    name: tank/data
    recursive: true
    exclude: [tank/data/scratch]
    target_dataset: vault/tank-data
    manifest: dataset_tank_keys.json
    dest_controller: "/srv/manifests/vault.json"

- name: The replica opens with it
  zfsfleet.encryption.zfs_unlock:
    name: vault/tank-data
    recursive: true
    manifest: /srv/manifests/vault.json
  delegate_to: vault.example.com

- name: The manifest of a replica by zfs send -wR
  zfsfleet.encryption.zfs_key_export:
    names: [tank/home, tank/media]
    target_dataset: vault/tank
    replicate: true
    manifest: dataset_tank_keys.json
    dest: /root/vault_keys.json
"""

RETURN = r"""
exported:
  description: Names in the manifest, those at the target with O(target_dataset); none if nothing was to be written.
  returned: unless the task was refused
  type: list
  elements: str
  sample: [vault/tank-data, vault/tank-data/projects]
missing:
  description: Encryption roots for which no key was offered. They are not in the manifest.
  returned: unless the task was refused
  type: list
  elements: str
dest:
  description: The manifest on the managed host. C(owner), C(group), C(mode), C(size) and more are told beside it.
  returned: with O(dest), if a manifest could be made
  type: str
dest_controller:
  description: Absolute path of the manifest on the controller.
  returned: with O(dest_controller), if a manifest could be made
  type: str
backup_file:
  description: Where the manifest that was replaced is kept.
  returned: with O(backup=true), if one was replaced
  type: str
unlocked: &none
  description: Always empty, here for what handles the results of several modules. Nothing is unlocked or locked.
  returned: always
  type: list
  elements: str
locked: *none
already: *none
mounted: *none
failures:
  description: What failed, by encryption root, or by path for the file.
  returned: always
  type: dict
  contains:
    reason:
      description: One of V(wrong_key), V(no_key) or V(unknown).
      type: str
    msg:
      description: What happened and what to do.
      type: str
    skipped:
      description: Always empty.
      type: list
      elements: str
    errno:
      description: The number that the kernel gave, where it gave one.
      type: int
actions:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - action: write_manifest
      after: {format: truenas, mode: "0600", protection: permissions, state: present, tank/home: key}
      path: /root/tank_keys.json
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, Stage, run_changing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_export import (
    export_wanted,
    observe_export,
    plan_export,
)

SPEC = Spec(
    arguments={
        **_arguments.choice(),
        **_arguments.offers(),
        **_arguments.escrow(),
        "exclude": {"type": "list", "elements": "str", "default": []},
        "target_dataset": {"type": "str"},
        "replicate": {"type": "bool", "default": False},
        "format": {"type": "str", "choices": ["truenas", "zfsfleet"], "default": "truenas"},
        "dest": {"type": "path"},
        "dest_controller": {"type": "str"},
        "vault_id": {"type": "str"},
        "backup": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "_seal": {"type": "str", "no_log": True},  # set by the action plugin only
    },
    mutually_exclusive=[("name", "names"), ("dest", "dest_controller"), ("dest", "vault_id")],
    required_one_of=[("name", "names"), ("dest", "dest_controller")],
)


def main() -> None:
    run_changing(SPEC, export_wanted, Stage(observe_export, plan_export))


if __name__ == "__main__":
    main()
