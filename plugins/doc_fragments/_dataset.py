# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that only other datasets than a pool's root have, and of a batch of them.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The dataset.
    type: str
  state:
    description:
      - V(present), the default. The dataset exists and is an encryption root with the key given; with
        O(encryption=off) it exists and is plain. A new filesystem is mounted, as C(canmount) and C(mountpoint) say, and
        taken back if it cannot be; one with C(zoned=on) is left for its container to mount.
      - V(inherited). It exists and inherits the key of its parent's encryption root. A root of its own gives up its
        key for good; both keys must be loaded. Be sure that the parent's key is kept, it alone opens the data then.
        A clone keeps the key of its origin; where that is another one, a warning says so.
      - V(absent). It does not exist. Needs O(force_destroy=true); what lies below it, and snapshots, are never
        destroyed with it.
      - An existing dataset that inherits its key becomes a root with V(present) and a key.
    type: str
    choices: [present, inherited, absent]
  type:
    description:
      - What to create, V(filesystem) by default, V(volume) if O(volsize) is given.
      - An existing dataset of the other type is refused.
    type: str
    choices: [filesystem, volume]
  volsize:
    description:
      - Size of a volume, like V(10G) or in bytes. A new one is rounded up by OpenZFS, and its node below C(/dev/zvol)
        is there at the end of the task.
      - An existing volume is enlarged, to whole blocks. It is never made smaller, since that would cut off data.
      - Enlarging is refused while it is locked or its C(readonly) is on, also where the same task sets C(readonly) off.
    type: str
  sparse:
    description:
      - Whether a volume does without a reservation of its space. A new one has one by default.
      - For a filesystem V(true) is refused. As a default of O(datasets) it goes for the volumes among them.
      - For an existing volume V(true) gives its C(refreservation) up, and V(false) reserves the whole volume if less
        than its size is reserved. Where it is not given, OpenZFS lets a full reservation follow C(volsize), and leaves
        any other alone.
    type: bool
  force_destroy:
    description:
      - Say aloud that O(state=absent) destroys a dataset and its data.
    type: bool
  repoint:
    description:
      - Change which encryption root a dataset refers to, and leave it wrapped with the key that it has. It heals a
        replica and keeps it one, since no wrapped key is touched. Needs python3-pyzfs on the host, and nothing under
        the dataset's key mounted. Where nothing has to be re-pointed, it does nothing.
      - With O(state=present), for a replica that inherits a key which does not open it. It becomes an encryption root
        with the key given, which has to be its sender's. That can only be tried by doing it; where the key does not
        open it, it inherits again at once, and the task fails with V(wrong_key). Check mode cannot foretell that.
      - With O(state=inherited), for an encryption root that has the key of its parent's root, as each dataset of a tree
        has that was received by itself. One key, under O(current) or in a key file that one of them names, has to open
        both.
    type: bool
  replication_ended:
    description:
      - Say aloud that a dataset which was received from elsewhere receives nothing any more.
      - Without it, O(state=inherited) is refused for an encryption root that shows signs of having been received, a
        snapshot older than itself or received properties. The next raw increment would leave it unlocked and
        unreadable. Another key for it is set with a warning, since the next raw increment brings the sender's key back.
    type: bool
  datasets:
    description:
      - Many datasets in one task. Every option can be given for each; those of the task's top level are the defaults.
      - >-
        Removals come first, then parents before children, and each entry is judged by what those before it leave; the
        rules of O(hierarchy) by what the whole task leaves, so that a parent and its children can change places.
        Nothing is changed if any entry is refused. An entry that fails while it is carried out keeps those below it
        from being tried.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The dataset.
        type: str
        required: true
      state:
        description:
          - As O(state).
        type: str
        choices: [present, inherited, absent]
      type:
        description:
          - As O(type).
        type: str
        choices: [filesystem, volume]
      key:
        description:
          - As O(key).
        type: str
      passphrase:
        description:
          - As O(passphrase).
        type: str
      key_file:
        description:
          - As O(key_file).
        type: path
      generate_key:
        description:
          - As O(generate_key).
        type: bool
      current:
        description:
          - As O(current).
        type: dict
        suboptions:
          key:
            description:
              - As O(current.key).
            type: str
          passphrase:
            description:
              - As O(current.passphrase).
            type: str
          key_file:
            description:
              - As O(current.key_file).
            type: path
      update_key:
        description:
          - As O(update_key).
        type: str
        choices: [on_create, always]
      encryption:
        description:
          - As O(encryption).
        type: str
        choices: ["on", "off", aes-128-ccm, aes-192-ccm, aes-256-ccm, aes-128-gcm, aes-192-gcm, aes-256-gcm]
      keyformat:
        description:
          - As O(keyformat).
        type: str
        choices: [hex, raw, passphrase]
      keylocation:
        description:
          - As O(keylocation).
        type: str
      pbkdf2iters:
        description:
          - As O(pbkdf2iters).
        type: int
      volsize:
        description:
          - As O(volsize).
        type: str
      sparse:
        description:
          - As O(sparse).
        type: bool
      properties:
        description:
          - As O(properties), which they are added to. Of those, a volume is not given what only filesystems have, nor a
            filesystem what only volumes have, where O(datasets[].type) or O(datasets[].volsize) says what it is.
        type: dict
      hierarchy:
        description:
          - As O(hierarchy).
        type: str
        choices: [truenas, openzfs]
      force_destroy:
        description:
          - As O(force_destroy).
        type: bool
      heal:
        description:
          - As O(heal).
        type: bool
      repoint:
        description:
          - As O(repoint).
        type: bool
      replication_ended:
        description:
          - As O(replication_ended).
        type: bool
"""
