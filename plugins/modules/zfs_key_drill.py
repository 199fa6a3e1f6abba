#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what is in escrow opens what is on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_drill
short_description: Prove that what is in escrow opens the encryption roots of a host
version_added: 0.1.0
description:
  - >-
    Reads the keys of a host from every place in O(escrow), has the host try them on its encryption roots, and tells
    of each root whether it could be opened by what is kept. Nothing is unlocked, and nothing is changed, neither on the
    host nor in escrow. Unlocked roots are tried as well.
  - Copies of a key are compared with each other, so that a root that is fine was opened by the copy in every place.
  - Without O(name) and O(names) all encryption roots of all imported pools are drilled.
  - What is found is in RV(findings). The task fails where one of them is of a kind in O(fail_on).
  - All of this is done on the controller. The host's part is to try keys.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.info
options:
  min_iterations:
    description:
      - >-
        A passphrase that is stretched by fewer rounds of PBKDF2 is a finding. The default is what
        M(zfsfleet.encryption.zfs_dataset_key) takes; the C(zfs) command takes 350,000 unless told otherwise.
    type: int
    default: 1300000
  fail_on:
    description:
      - The kinds of findings that fail the task, by default all that have to do with a root's being opened. An empty
        list lets none of them fail it.
      - Kinds are explained with RV(findings[].finding).
    type: list
    elements: str
    choices:
      - missing
      - unproven
      - changed_behind
      - stale
      - compromised
      - disagreeing
      - unread
      - uneven
      - unseen
      - orphaned
      - duplicated_key
      - weak_iterations
    default: [missing, unproven, changed_behind, stale, compromised, disagreeing, unread, uneven]
notes:
  - O(escrow_require) does not matter here, and is taken so that it can be a default for all modules.
seealso:
  - module: zfsfleet.encryption.zfs_key_escrow
  - module: zfsfleet.encryption.zfs_key_escrow_info
"""

EXAMPLES = r"""
- name: Would everything open again after a power cut?
  zfsfleet.encryption.zfs_key_drill:
    escrow:
      - type: vault_file
        path: /srv/escrow

- name: One pool; weak passphrases fail too
  zfsfleet.encryption.zfs_key_drill:
    name: tank
    recursive: true
    fail_on: [missing, unproven, changed_behind, weak_iterations]
    escrow: "{{ places }}"
"""

RETURN = r"""
drilled:
  description: How many encryption roots were drilled.
  returned: always
  type: int
opened:
  description: How many of them a key in escrow opens.
  returned: always
  type: int
ok:
  description: How many of them there is nothing else to say of.
  returned: always
  type: int
failing:
  description: How many findings are of a kind in O(fail_on).
  returned: always
  type: int
findings:
  description: What was found, about places first, then root by root, then about keys in escrow without a root.
  returned: always
  type: list
  elements: dict
  contains:
    dataset:
      description: The encryption root, a pool with V(unseen), or empty where a whole place is V(unread).
      type: str
    finding:
      description:
        - V(ok). Opened by the active key; nothing else to say.
        - V(missing). No key in escrow opens the root.
        - V(unproven). None opened it, but a key could not be read or could not be tried.
        - >-
          V(changed_behind). The dataset says which key it has, and that does not open it; or a key that opened it does
          not any more; or its passphrase was set again. Somebody did that beside this collection.
        - >-
          V(stale). Opened by a key that was replaced, or by one that is noted as never used.
        - V(compromised). Opened by a key that somebody may know.
        - V(disagreeing). The copies of its key differ.
        - V(unread). A place could not be read, or did not give back a key that it should hold.
        - V(uneven). A place lacks its key, or notes something else about it than the others.
        - V(unseen). Keys in escrow for a pool that is not imported, and was not drilled.
        - >-
          V(orphaned). A key in escrow that is active, or waits to be used, for a dataset that is not there, although
          its pool is.
        - >-
          V(duplicated_key). Two roots have the same key; replicas of each other, whose keys are the same by nature, are
          no finding. Hosts are not compared with each other.
        - V(weak_iterations). A passphrase with fewer rounds than O(min_iterations).
      type: str
    msg:
      description: What is the matter, and the way out.
      type: str
    key_id:
      description: The version of a key that it is about, none where it is about none.
      type: str
  sample:
    - dataset: tank/home
      finding: ok
      key_id: c2a0f3d7b1e94a58.0f3a9c2b7d11
      msg: tank/home is opened by c2a0f3d7b1e94a58.0f3a9c2b7d11.
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
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

_ABOUT_OPENING = ["missing", "unproven", "changed_behind", "stale", "compromised", "disagreeing", "unread", "uneven"]

SPEC = Spec(
    arguments={
        **_arguments.choice(),
        **_arguments.escrow(),
        "min_iterations": {"type": "int", "default": 1_300_000},
        "fail_on": {
            "type": "list",
            "elements": "str",
            "choices": [*_ABOUT_OPENING, "unseen", "orphaned", "duplicated_key", "weak_iterations"],
            "default": _ABOUT_OPENING,
        },
    },
    mutually_exclusive=[("name", "names")],
)


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
