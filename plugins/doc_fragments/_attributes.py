# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that every module has, and what all of them rest on.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options: {}
requirements:
  - OpenZFS 2.1 or newer on the managed host.
  - >-
    The Python binding of libzfs_core (pyzfs; C(python3-pyzfs) in Debian and Ubuntu) for the Python that Ansible uses
    there. Where it cannot be imported the C(zfs) command does the same, more slowly.
notes:
  - >-
    Keys go to the managed host on the wire only. The action plugin switches pipelining on for its own execution and
    refuses where it cannot, since Ansible would else write the arguments into a file there: with O(ignore:async), with
    C(ANSIBLE_KEEP_REMOTE_FILES), with C(become_method=su), and with connections that do not have pipelining.
  - A key is never part of a result, a diff, a warning or an error.
  - >-
    Where the variable C(zfsfleet_evidence) names a directory on the controller, what is done with keys is written down
    there; M(zfsfleet.encryption.zfs_evidence_info) tells how.
attributes:
  action_group:
    description: Use C(group/zfsfleet.encryption.encryption) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - zfsfleet.encryption.encryption
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode).
  idempotent:
    description:
      - >-
        When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
  async:
    description: Supports being run with the C(async) keyword.
    support: none
    details:
      - Pipelining and C(async) exclude each other.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: Linux
"""

    CHANGING = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Offered keys are really tried, without being loaded.
      - A pool or parent that is not there counts as a change, with a warning, so that a whole play can be checked.
      - That a dataset is busy or cannot be mounted shows only in the real run.
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    IN_ESCROW = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Keys are really tried, without being loaded, and nothing is written into escrow.
      - What is named and not there is refused, as in a real run.
  diff_mode:
    support: none
    details:
      - Nothing is changed on the host. What is done in escrow is told in the result.
  idempotent:
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not change anything.
  diff_mode:
    support: N/A
    details:
      - This module does not change anything.
  idempotent:
    support: full
    details:
      - This module does not change anything.
"""
