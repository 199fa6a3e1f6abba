#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys in escrow move house."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_key_move
short_description: Move the keys of a host from one place to another, all versions, each read back
version_added: 0.1.0
description:
  - >-
    Sees to it that every version of a host's keys which is in O(source) is in O(escrow) as well, with its state and
    with what it was seen to open. Versions that were replaced are moved like the present ones, since old copies of the
    data need them.
  - >-
    Each version is put there, read back and compared with what O(source) gave. Then the host tries what was read back,
    on every root that it has. Nothing is changed on the host.
  - >-
    O(source) stays as it is, until O(clear_source=true) is said. Then a version is destroyed there, after it was read
    elsewhere once more. That can be another run, days later.
  - A run that died is gone on with by the next one. What is in O(escrow) already is compared, and not put again.
  - All of this is done on the controller. The host's part is to try keys.
  - O(escrow) has to name a place.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.in_escrow
options:
  source:
    description:
      - >-
        Where the keys are, one mapping for each place, as O(escrow) takes them. All of these places have to answer,
        since one may have what the others do not. None of them may be in O(escrow) too.
    type: list
    elements: dict
    required: true
  clear_source:
    description:
      - >-
        Destroy in O(source) each version that O(escrow) was seen to hold, with all that is known of it, in as many
        places as O(escrow_require) says.
      - >-
        Refused where nothing on the host is opened by a key that was moved. Before anything is destroyed, it is noted
        in O(escrow) once more what a key opens, and looked whether O(source) knows of that; if so, both are the same
        place under two names.
      - Copies in the history of a repository or in backups are not reached by this.
    type: bool
    default: false
seealso:
  - module: zfsfleet.encryption.zfs_key_escrow
  - module: zfsfleet.encryption.zfs_key_escrow_info
"""

EXAMPLES = r"""
- name: From files to a server
  zfsfleet.encryption.zfs_key_move:
    source:
      - type: vault_file
        path: /srv/escrow
    escrow:
      - type: openbao
        url: https://bao.example.org:8200
        token_file: /etc/zfsfleet/token

- name: After everything was tried from there, the files go
  zfsfleet.encryption.zfs_key_move:
    source: "{{ old_places }}"
    escrow: "{{ new_places }}"
    clear_source: true
"""

RETURN = r"""
moved:
  description: Ids of the versions that were put into O(escrow), or about which something was noted there.
  returned: always
  type: list
  elements: str
  sample: [c2a0f3d7b1e94a58.0f3a9c2b7d11]
already:
  description: Ids of the versions of which O(escrow) held and knew everything before.
  returned: always
  type: list
  elements: str
cleared:
  description: Ids of the versions that were destroyed in O(source).
  returned: always
  type: list
  elements: str
opened:
  description:
    - >-
      The host's encryption roots that a key from O(escrow) was seen to open, with the id of that key; in check mode, a
      key from O(source). A warning names the others.
  returned: always
  type: dict
  sample: {tank/home: c2a0f3d7b1e94a58.0f3a9c2b7d11}
failures:
  description: Versions that were not moved, or not destroyed, by their ids, with V(dataset), V(reason) and V(msg).
  returned: always
  type: dict
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - action: move_key
      after: {key_id: c2a0f3d7b1e94a58.0f3a9c2b7d11, places: [vault_file /srv/escrow], state: active}
      dataset: tank/home
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, run_on_the_controller

SPEC = Spec(
    arguments={
        **_arguments.escrow(),
        "source": {"type": "list", "elements": "dict", "required": True},
        "clear_source": {"type": "bool", "default": False},
    },
)


def main() -> None:
    run_on_the_controller(SPEC)


if __name__ == "__main__":
    main()
