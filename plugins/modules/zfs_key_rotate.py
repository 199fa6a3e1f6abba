#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that are replaced."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_rotate
short_description: Rotate the keys of OpenZFS encryption roots, never losing one
version_added: 0.1.0
description:
  - >-
    Gives encryption roots new wrapping keys. A new key is put into escrow and read back from there before the host uses
    it, and the old one stays in escrow, so that a run may be killed at any instant: whatever a root is opened by then
    is in escrow, and the next run goes on with what was begun. No second key is made for it. Where that run asks for
    something else, such as the key of another time, a key that is given, or more rounds, what was begun is given up.
  - >-
    All chosen roots of a host are rotated by one task, side by side. One that fails leaves the others alone. A root
    that no key in escrow opens refuses the task before anything is changed, as do broken hierarchies, datasets that
    still receive, clones and what else a key change could harm.
  - Without O(name) and O(names) it works on all encryption roots of all imported pools.
  - >-
    Only the wrapping key is replaced. The master key, which the data is encrypted with, stays: whoever had the old key
    and a copy of the pool or of a raw stream of it can still read that copy. Copy into a new dataset where that
    matters.
  - >-
    A root with C(keylocation=file://) gets a file of its own beside the present one for each version, like
    C(tank.0f3a9c2b7d11.key) beside C(tank.key). Key and C(keylocation) are switched in one transaction. A file that an
    earlier rotation made is removed when the new key is active in escrow and nothing else uses it; one that was left
    since a run died goes with the next rotation of its root. Put the new file into the initramfs where the old one is.
  - >-
    In check mode the present keys are tried and the change is rehearsed, and every place for keys is asked whether it
    could be written to. Nothing is written anywhere.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
attributes:
  check_mode:
    support: full
    details:
      - The present keys are really tried, without being loaded.
      - What is named and not there is refused, as in a real run.
  diff_mode:
    support: full
    details:
      - Of the host, not of escrow.
  idempotent:
    support: partial
    details:
      - With O(max_age_days=0) every key is due in every run. Use O(made_before) instead.
options:
  max_age_days:
    description:
      - Keys made longer ago than this are due. With V(0) all are. One that is compromised is due at any age.
      - >-
        What counts is when the version in escrow that opens the root was made. One that counts as made in the future,
        since a clock was ahead, is told in a warning.
    type: float
  made_before:
    description:
      - >-
        Keys made before this moment are due, in ISO 8601; without an offset it is UTC. Unlike O(max_age_days=0) a
        second run with the same moment is unchanged, so a run that was stopped can be repeated until all is done.
    type: str
  back_to:
    description:
      - >-
        Each root gets the key again that it had at this moment, as a new version of it in escrow. A root that has it
        is left alone, and one whose key of that time is compromised is refused. Format and rounds are those of that
        time, too, so O(keyformat) and O(pbkdf2iters) are refused beside it. A moment to come is refused.
    type: str
  new_keys:
    description:
      - >-
        The key or passphrase that a root is to get, instead of one made for it. A root that it opens already is left
        alone.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The encryption root.
        type: str
        required: true
      key:
        description:
          - 64 hexadecimal digits.
        type: str
      passphrase:
        description:
          - 8 to 512 bytes.
        type: str
  keyformat:
    description:
      - What the new keys are, by default the same as now. A root of another format is due.
      - A passphrase that is made has 148 bits and can be read from a screen and typed.
    type: str
    choices: [hex, raw, passphrase]
  pbkdf2iters:
    description:
      - PBKDF2 rounds of new passphrases, by default as now. A root with a passphrase and fewer rounds is due.
    type: int
  hierarchy:
    description:
      - >-
        The rules on what may lie below what, as M(zfsfleet.encryption.zfs_dataset_key) has them. Only a root that goes
        from a key to a passphrase, or back, is judged by them.
    type: str
    choices: [truenas, openzfs]
  replicas_keep_old_key:
    description:
      - >-
        Say aloud that other copies of the data may go on needing the old key until replication brings them the new one.
        Without it a root is refused whose key was seen to open another copy as well.
    type: bool
    default: false
  despite_checkpoint:
    description:
      - Say aloud that a pool may keep its checkpoint, though rewinding to it brings back the old keys.
    type: bool
    default: false
  remove_named_files:
    description:
      - >-
        Also remove the file that a root had before its first rotation. Something that this host does not show, like an
        exported pool, may need it; so it stays unless this is said. The files that rotations made are removed in any
        case when their keys were replaced, but for those of a pool with a checkpoint.
    type: bool
    default: false
seealso:
  - module: zfsfleet.encryption.zfs_dataset_key
  - module: zfsfleet.encryption.zfs_key_escrow
  - module: zfsfleet.encryption.zfs_key_escrow_info
"""

EXAMPLES = r"""
- name: What is older than a year gets a new key
  zfsfleet.encryption.zfs_key_rotate:
    name: tank
    recursive: true
    max_age_days: 365
    escrow: "{{ places }}"

- name: Every key, after somebody left; repeated until it is unchanged
  zfsfleet.encryption.zfs_key_rotate:
    name: tank
    recursive: true
    made_before: 2026-11-30T18:00:00Z
    escrow: "{{ places }}"

- name: The keys of this morning again
  zfsfleet.encryption.zfs_key_rotate:
    name: tank
    recursive: true
    back_to: 2026-11-30T08:00:00Z
    escrow: "{{ places }}"
"""

RETURN = r"""
rotated:
  description: Encryption roots that got another key, or would in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    dataset:
      description: The root.
      type: str
    old_key_id:
      description: The version that opened it before, deactivated now.
      type: str
    new_key_id:
      description: The version that opens it, V(new) in check mode.
      type: str
    keyguid:
      description: The id of its master key, which no rotation changes.
      type: str
    keyformat:
      description: What the new key is.
      type: str
    pbkdf2iters:
      description: PBKDF2 rounds of a passphrase, V(0) for any other key.
      type: int
    rotated_at:
      description: When the new key was made, as its version in escrow notes it.
      type: str
    verified_at:
      description: When the host tried the key that escrow gave back, and it opened the root; none in check mode.
      type: str
    resumed:
      description: Whether an earlier run had begun it.
      type: bool
    receipts:
      description: By place, what finds the new key there, where this run put it there.
      type: dict
already:
  description: Encryption roots whose keys were not due.
  returned: always
  type: list
  elements: str
unlocked:
  description: Locked roots whose keys were loaded for the change and are loaded still, since something failed.
  returned: when a key was to be changed
  type: list
  elements: str
locked: &none
  description: Always empty, here for what handles the results of several modules.
  returned: when a key was to be changed
  type: list
  elements: str
mounted: *none
removed_files:
  description: Key files on the host that held keys which were replaced.
  returned: when there were any, and not in check mode
  type: list
  elements: str
deactivated:
  description: >-
    By root, the ids of the versions in escrow that its key took the place of, used or only begun.
  returned: when there were any, and not in check mode
  type: dict
key_ids:
  description: The ids of the keys in escrow that the roots have, by root; of those that check mode only foresees, none.
  returned: always
  type: dict
failures:
  description: >-
    Roots that failed, with V(reason), V(msg) and V(skipped), and V(key_id) of the key that is in escrow for them.
  returned: always
  type: dict
actions:
  description: >-
    What was done, or would be done in check mode, in order. Check mode does not tell of key files that are removed.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(
    arguments={**_arguments.choice(), **_arguments.rotation(), **_arguments.escrow()},
    mutually_exclusive=[
        ("name", "names"),
        ("max_age_days", "made_before", "back_to"),
        ("back_to", "new_keys"),
        ("back_to", "keyformat"),
        ("back_to", "pbkdf2iters"),
    ],
    required_one_of=[("max_age_days", "made_before", "back_to", "new_keys", "keyformat", "pbkdf2iters")],
)


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
