#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and their encrypted root datasets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_encrypted_pool
short_description: OpenZFS pools with encrypted root datasets
version_added: 0.1.0
description:
  - >-
    Creates, imports, exports and destroys pools of any topology, whose root dataset is an encryption root with the key
    given, or plain.
  - >-
    A disk that carries anything, or that anybody uses, is never taken unasked. A creation that fails leaves nothing
    behind.
  - >-
    A pool that is there keeps its topology. Where it differs from what the task says, that is reported and nothing is
    done about it. Properties are kept in step, and its root dataset is treated as by
    M(zfsfleet.encryption.zfs_dataset_key).
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._root
  - zfsfleet.encryption._offers
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._escrow.keeping
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.changing
options:
  name:
    description:
      - The pool. With O(state=absent), O(state=imported) and O(state=exported) a O(guid) alone will do.
    type: str
  guid:
    description:
      - The pool's GUID in decimal digits. A pool of that name with another GUID is refused.
      - Needed to import one of several pools that have the same name.
    type: str
  state:
    description:
      - >-
        V(present). The pool is there and imported. If it is not, it is created from O(topology), with a key for its
        root dataset or O(encryption=off), and mounted. A pool that was exported is not imported by this.
      - >-
        V(imported). It is imported, its encryption roots are unlocked for which O(secrets), O(manifest), O(escrow) or
        their key files hold a key, and what is mounted by default is mounted. Roots without a key stay locked, which is
        no failure; a wrong key is one. The same holds for a pool that is imported already.
      - >-
        V(exported). It is not imported. That locks all of it, so each unlocked root needs a key in O(secrets),
        O(manifest), O(escrow) or its key file that is proven to open it, unless O(verify_key=false). Who keeps the pool
        busy is named.
      - >-
        V(absent). It is destroyed with everything in it. Needs O(force_destroy=true), and O(guid) or its exact
        O(topology). A pool that is not imported but could be is refused.
    type: str
    choices: [present, absent, imported, exported]
    default: present
  topology:
    description:
      - The vdevs, as in TrueNAS's API. Disks are named by absolute paths, best those below C(/dev/disk/by-id); files
        do for tests and CI.
      - It is needed to create a pool. An existing pool is compared with it, and what differs is reported in RV(drift)
        and in a warning.
      - With O(state=absent) the pool must have exactly this topology.
    type: dict
    suboptions:
      data: &vdevs
        description:
          - The vdevs of this class.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - The kind of the vdev. Every disk of a V(stripe) is a vdev of its own.
            type: str
            choices: [stripe, mirror, raidz1, raidz2, raidz3, draid1, draid2, draid3]
            required: true
          disks:
            description:
              - Its disks, partitions or files.
            type: list
            elements: str
            required: true
          draid_data_disks:
            description:
              - Data disks in each group of a draid; OpenZFS decides by default.
            type: int
          draid_spare_disks:
            description:
              - Distributed spares of a draid, none by default.
            type: int
      special: *vdevs
      dedup: *vdevs
      log: *vdevs
      cache: &disks
        description:
          - The disks of this class.
        type: list
        elements: str
      spares: *disks
  file_size:
    description:
      - Make files of this size, sparse, where O(topology) names files that are missing. At least V(64M).
      - Files that are there are taken as they are. Files stay when the pool is destroyed.
    type: str
  overwrite:
    description:
      - Disks and files of O(topology) whose present content may be lost for ever. A disk that holds a file system, a
        partition or another pool, also a destroyed one, is refused and named unless it stands here.
      - A disk that is in use is refused in any case, and so is one of a pool of this very name that is only not
        imported. An existing pool is not touched by this.
      - Disks are cleared only after a rehearsal with C(zpool create -n) found nothing to complain of.
    type: list
    elements: str
  force:
    description:
      - Create a pool with vdevs of different redundancy or disks of different sizes, which C(zpool create) does only
        when forced. It overwrites nothing, see O(overwrite).
    type: bool
  pool_properties:
    description:
      - Properties of the pool, like C(ashift), C(autotrim) or C(feature@encryption). They are set on an existing pool
        where they differ.
    type: dict
  altroot:
    description:
      - Mount everything below this directory, until the pool is exported. With an imported pool a difference is
        reported.
    type: str
  search:
    description:
      - Directories and devices to look in for a pool that is to be imported; needed for pools made of files.
    type: list
    elements: str
  force_import:
    description:
      - Import a pool that another system used last and did not export. A pool that two systems write to is lost; be
        sure that it is not imported anywhere else.
    type: bool
  readonly:
    description:
      - Import read-only. With an imported pool a difference is reported.
    type: bool
  mount:
    description:
      - With O(state=imported), mount what is mounted by default; the default. With V(false) keys are loaded and
        nothing is mounted.
    type: bool
  verify_key:
    description:
      - With O(state=exported), export only if every unlocked root was proven to open again; the default. As with
        O(zfsfleet.encryption.zfs_unlock#module:verify_key), what is in use and another key wraps keeps its root.
    type: bool
  force_destroy:
    description:
      - Say aloud that O(state=absent) destroys a pool and its data.
    type: bool
seealso:
  - module: zfsfleet.encryption.zfs_dataset_key
  - module: zfsfleet.encryption.zfs_unlock
"""

EXAMPLES = r"""
- name: A mirror with a log, encrypted with a key from an encrypted variable
  zfsfleet.encryption.zfs_encrypted_pool:
    name: tank
    topology:
      data:
        - type: mirror
          disks: [/dev/disk/by-id/nvme-A, /dev/disk/by-id/nvme-B]
      log:
        - type: stripe
          disks: [/dev/disk/by-id/nvme-C]
    key: "{{ vault_tank_key }}"
    pool_properties:
      ashift: 12
      autotrim: true
    properties:
      compression: zstd
      mountpoint: /srv/tank

- name: A throw-away pool on files, with a key that stays on the host
  zfsfleet.encryption.zfs_encrypted_pool:
    name: scratch
    topology:
      data: [{type: raidz1, disks: [/var/tmp/z0, /var/tmp/z1, /var/tmp/z2]}]
    file_size: 256M
    key_file: /etc/zfs/scratch.key
    generate_key: true

- name: A pool that came from another host, unlocked by the manifest that came with it
  zfsfleet.encryption.zfs_encrypted_pool:
    name: tank
    state: imported
    manifest: dataset_tank_keys.json

- name: Ready to be carried away
  zfsfleet.encryption.zfs_encrypted_pool:
    name: tank
    state: exported
    manifest: dataset_tank_keys.json

- name: Gone for ever
  zfsfleet.encryption.zfs_encrypted_pool:
    name: scratch
    guid: "9472913342345243517"
    state: absent
    force_destroy: true
"""

RETURN = r"""
guid:
  description: The pool's GUID, V(null) where it is not imported in the end, or in check mode is not now.
  returned: unless the task was refused or its first step failed
  type: str
  sample: "9472913342345243517"
deactivated:
  description: >-
    By root, the ids of the versions in escrow that its key took the place of, used or only begun.
  returned: with O(escrow), when there were any, and not in check mode
  type: dict
key_ids:
  description: The ids of the keys in escrow that the roots have, by root; of those that check mode only foresees, none.
  returned: with O(escrow) and O(state=present)
  type: dict
  sample: {tank: c2a0f3d7b1e94a58.0f3a9c2b7d11}
receipts:
  description: What finds the key in each place, like its id on a KMIP server, by root; of keys that this run put there.
  returned: with O(escrow) and O(state=present)
  type: dict
  sample: {tank: {kmip kmip.example.org:5696: "4711"}}
drift:
  description: In what an existing pool differs from the task, where nothing is done about it.
  returned: with O(state=present) and O(state=imported), unless the task was refused
  type: list
  elements: str
  sample: ["log: stripe of /dev/disk/by-id/nvme-C is wanted and not there"]
still_locked:
  description: Encryption roots for which there was no key, and those below them.
  returned: with O(state=imported), once the pool is imported
  type: list
  elements: str
  sample: [tank/private]
unlocked:
  description: Encryption roots whose keys this run loaded, other than by creating the pool.
  returned: always
  type: list
  elements: str
locked:
  description: Encryption roots whose keys this run unloaded, other than by exporting the pool.
  returned: always
  type: list
  elements: str
already:
  description: Encryption roots that were as they should be.
  returned: always
  type: list
  elements: str
mounted:
  description: Filesystems that this run mounted, other than by creating the pool.
  returned: always
  type: list
  elements: str
failures:
  description: What failed, by pool or encryption root, with V(reason), V(msg) and V(skipped).
  returned: always
  type: dict
  sample:
    tank:
      msg: "Pool tank cannot be exported while it is in use: process 4711 (rsync) works in /tank/home."
      reason: busy
      skipped: []
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - action: import_pool
      after: {state: imported, guid: "9472913342345243517"}
      dataset: tank
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments, _pool_arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, Stage, run_changing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._observe_pool import observe_opened, observe_pool
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_import import plan_opened
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_pool import plan_pool
from ansible_collections.zfsfleet.encryption.plugins.module_utils._pool_wanted import pool_wanted

SPEC = Spec(
    arguments=_pool_arguments.pool(),
    mutually_exclusive=[_arguments.ONE_KEY_IN_TEXT],
    required_one_of=[("name", "guid")],
)


def main() -> None:
    run_changing(SPEC, pool_wanted, Stage(observe_pool, plan_pool), Stage(observe_opened, plan_opened))


if __name__ == "__main__":
    main()
