#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in escrow."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_escrow_info
short_description: List the keys of a host that are in escrow, without the keys
version_added: 0.1.0
description:
  - Tells what is in escrow for a host, the ids, states and times of keys, and what they were seen to open. Never a key.
  - It works on the controller alone; the host is not asked, and may be down.
  - A key that was seen to open a root once need not do so now. The role drill proves it.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.info
seealso:
  - module: zfsfleet.encryption.zfs_key_drill
  - module: zfsfleet.encryption.zfs_key_escrow
"""

EXAMPLES = r"""
- name: What is in escrow for this host?
  zfsfleet.encryption.zfs_key_escrow_info:
    escrow:
      - type: vault_file
        path: /srv/escrow
  register: kept

- name: What is kept in one place only?
  ansible.builtin.debug:
    msg: "{{ kept.versions | selectattr('missing_in') | map(attribute='dataset') }}"
"""

RETURN = r"""
places:
  description: The places, in the order in which they are read.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What the place is called in messages.
      type: str
    readable:
      description: Whether it could be read. If not, a warning says why.
      type: bool
versions:
  description: All versions of the host's keys that are not destroyed, oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    key_id:
      description: Id of the version, the id of its record before the dot. The versions of a record follow each other.
      type: str
    host:
      description: The host's name in the inventory when the version was made.
      type: str
    dataset:
      description: The encryption root, as it was called then.
      type: str
    state:
      description:
        - >-
          V(pre-active), not seen to open anything yet; V(active); V(deactivated), replaced by another version; or
          V(compromised).
      type: str
    since:
      description: When that state was noted.
      type: str
    created:
      description: When the version was made.
      type: str
    keyformat:
      description: How OpenZFS is given the key.
      type: str
    pbkdf2iters:
      description: PBKDF2 rounds, 0 unless the key is a passphrase.
      type: int
    pool_guid:
      description: GUID of the pool that it was made for, empty where the pool did not exist yet.
      type: str
    keyguid:
      description: Id of the root's master key, empty where the root did not exist yet.
      type: str
    bindings:
      description: The copies of the data that it was seen to open, each with the time.
      type: list
      elements: dict
      contains:
        pool_guid:
          description: GUID of the pool that the copy lies in.
          type: str
        dataset:
          description: Its encryption root there.
          type: str
        keyguid:
          description: Id of its master key.
          type: str
        pbkdf2salt:
          description: What a passphrase is stretched with there, in decimal; V(0) for other keys.
          type: str
        at:
          description: When that was seen.
          type: str
    places:
      description: The places that hold it.
      type: list
      elements: str
    missing_in:
      description: The places that could be read and do not hold it.
      type: list
      elements: str
    level:
      description: Whether all of them hold it, and note the same about it.
      type: bool
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(arguments=_arguments.escrow())


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
