#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written down of what was done with keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_evidence_info
short_description: Verify what was written down of what was done with keys
version_added: 0.1.0
description:
  - >-
    Where the variable C(zfsfleet_evidence) names a directory on the controller, every module of this collection writes
    down there what it did with keys, and what failed. There is a file for each host and controller,
    C(HOST/CONTROLLER.jsonl), with a line of JSON for each dataset. It says who, when, which host and dataset, which key
    by its id, and what finds it in escrow. It never says a key.
  - >-
    Each line names the SHA-256 digest of the one before it, so that a line which was changed, taken out or put in
    breaks the chain. Lines that are taken off its end are seen by O(heads). Note the heads where whoever can write to
    the directory cannot.
  - >-
    A module that cannot write there does nothing and fails. Check mode writes nothing.
  - >-
    What a module did is a line with C(result=done), and what failed one with C(result=failed). A task that ended
    without a result, since it was refused or since its host was lost, is a line with C(action=none) and
    C(result=refused) or C(result=unreachable); keys that it had put into escrow by then are lines before it. What a
    host was doing when it was lost is not known; the next run finds out.
  - All of this is done on the controller.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.info
attributes:
  action_group:
    support: none
    details:
      - It has no option in common with the others.
    membership: []
options:
  path:
    description:
      - The directory.
    type: path
    required: true
  heads:
    description:
      - The heads of chains as an earlier run returned them. Each chain has to go through its own.
    type: dict
"""

EXAMPLES = r"""
- name: The evidence is whole
  zfsfleet.encryption.zfs_evidence_info:
    path: /var/log/zfsfleet
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
chains:
  description: The chains, by host and controller.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host's name in the inventory.
      type: str
    controller:
      description: The host name of the controller that wrote it.
      type: str
    lines:
      description: How many lines it has.
      type: int
    head:
      description: The digest of its last line.
      type: str
    problem:
      description: What is wrong with it, none where it is whole.
      type: str
    torn:
      description:
        - >-
          Numbers of lines that a run was killed in. What it did last is not written there. They break no chain, since
          the line after each names its digest.
      type: list
      elements: int
heads:
  description: The heads by chain, to be noted elsewhere and given to a later run.
  returned: always
  type: dict
  sample: {nas1/control: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(arguments={"path": {"type": "path", "required": True}, "heads": {"type": "dict"}})


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
