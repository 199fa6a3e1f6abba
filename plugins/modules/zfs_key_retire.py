#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that nothing needs any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_retire
short_description: Destroy keys of OpenZFS encryption roots that were replaced long ago and open nothing
version_added: 0.1.0
description:
  - >-
    Destroys, in every place, versions of a host's keys that were replaced. Only what is old enough goes, after the host
    was asked what it opens.
  - >-
    A version is kept while it opens a root of the host, while it could not be tried or read, while it was seen to open
    a copy of the data that the host does not show, and unless a version of the same record that is newer than it is
    active and was proven to open a root.
  - >-
    It is kept, too, while something that inherits from a root may still be wrapped with it. On a replica an increment
    brings the root a new key before it does so for what is below. Passphrases show by their salt what they wrap. Of
    other keys it is certain only where this collection set, on this host, the key that opens the root now; so the old
    key of a replica with children is kept until the key of the replica's root is rotated there.
  - >-
    A version that never opened anything, as of a rotation that was given up, is kept for a day at least, since another
    controller may be about to set it, and while a copy that the other versions of its record opened is not shown.
  - Copies in the history of a repository or in backups are not reached by this.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.in_escrow
options:
  retain_days:
    description:
      - How many days a key is kept after it was replaced; one that came into use again, after it was last replaced.
      - >-
        Where notes contradict each other, since a controller's clock was behind, a key is kept and RV(kept) says so.
      - >-
        Old raw streams and backups of a pool need the key of their time. Keep it as long as you keep them.
    type: float
    required: true
  retain_versions:
    description:
      - >-
        How many replaced keys of each root are kept, whatever their age. Replicas are roots of their own, and copies
        that the host does not show count as well, unless O(unseen_copies=true). Those that were never used do not.
    type: int
    default: 1
  unseen_copies:
    description:
      - Say aloud that copies of the data which a version was seen to open and which this host does not show, such as
        replicas and exported pools, are gone or have another key, they and all that inherits from them.
      - >-
        That a newer version was noted there does not say so by itself. What inherits from a replica's root may still be
        wrapped with the older one.
    type: bool
    default: false
seealso:
  - module: zfsfleet.encryption.zfs_key_rotate
  - module: zfsfleet.encryption.zfs_key_escrow
"""

EXAMPLES = r"""
- name: Keys that were replaced a year ago, but for the last two of each root
  zfsfleet.encryption.zfs_key_retire:
    retain_days: 365
    retain_versions: 2
    escrow: "{{ places }}"
"""

RETURN = r"""
destroyed:
  description: The versions that were destroyed, or would be in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - key_id: c2a0f3d7b1e94a58.9b1d55e0c4a2
      dataset: tank/home
      state: deactivated
      created: "2025-11-30T18:00:00.000000Z"
      since: "2026-01-30T18:00:00.000000Z"
kept:
  description: Versions that are old enough and were kept, and why.
  returned: always
  type: list
  elements: dict
  sample:
    - key_id: c2a0f3d7b1e94a58.0f3a9c2b7d11
      dataset: tank/home
      state: deactivated
      created: "2025-11-30T18:00:00.000000Z"
      since: "2026-01-30T18:00:00.000000Z"
      why: it opens backup/home
failures:
  description: Versions that could not be destroyed, by their ids, with V(dataset), V(reason) and V(msg).
  returned: always
  type: dict
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(arguments={**_arguments.escrow(), **_arguments.retention()})


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
