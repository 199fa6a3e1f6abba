# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options about encryption and properties that every dataset has, a pool's root dataset too.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options:
  key:
    description:
      - The wrapping key as 64 hexadecimal digits, for O(keyformat=raw) too.
      - For an existing root it is verified, and refused if it does not open it, unless O(update_key=always).
      - A key that is set must not be all zeros.
    type: str
  passphrase:
    description:
      - The passphrase, 8 to 512 bytes of UTF-8 on one line when it is set.
      - For an existing root it is verified, and refused if it does not open it, unless O(update_key=always).
    type: str
  key_file:
    description:
      - Absolute path of a key file on the managed host. 32 bytes for O(keyformat=raw), else its first line, which is
        all that OpenZFS reads. It must not lie inside what it opens. A file is not written where a dataset is yet to be
        mounted, and its directory has to be there.
      - >-
        With O(key) or O(passphrase), the file shall hold that key. Where it is not there, it is written with mode 0400,
        synced to disk and read back before the key is used; a file with anything else in it is refused.
      - It sets C(keylocation) to this file, also of an existing root, unless O(keylocation) says otherwise.
      - A root whose C(keylocation) names C(NAME.VERSION.key) beside C(NAME.key) is satisfied by that file, which a
        rotation put there.
      - >-
        With O(keylocation=prompt) nothing on the host says whose file it is. A rotation then leaves it there with the
        replaced key in it, and what names it afterwards is refused. Leave O(keylocation) out where keys are rotated.
    type: path
  generate_key:
    description:
      - Make a random key into O(key_file) where neither the file nor the root exists. The file is written with mode
        0400, synced to disk and read back before the key is used.
      - An existing file is used and verified. An existing root without its file is refused; a second key is never made.
    type: bool
  current:
    description:
      - The key that an existing root has now. It is needed to change it, as proof that the key which replicas and
        streams may still need is kept somewhere. A locked root is unlocked with it for the change, and locked again.
    type: dict
    suboptions:
      key:
        description:
          - 64 hexadecimal digits.
        type: str
      passphrase:
        description:
          - The passphrase.
        type: str
      key_file:
        description:
          - Absolute path of a key file on the managed host.
        type: path
  update_key:
    description:
      - V(on_create), the default. A key, O(keyformat) or O(pbkdf2iters) that an existing root does not have is refused.
      - V(always). The root gets it, once O(current) was verified. This renews the wrapping key only. The data stay
        encrypted with the same master key.
    type: str
    choices: [on_create, always]
  encryption:
    description:
      - The cipher of a new dataset, V(aes-256-gcm) by default; V(on) means that too. V(off) makes a plain dataset,
        which takes no key, nor O(keyformat), O(keylocation) or O(pbkdf2iters).
      - It can never be changed. For an existing dataset another value is refused.
    type: str
    choices: ["on", "off", aes-128-ccm, aes-192-ccm, aes-256-ccm, aes-128-gcm, aes-192-gcm, aes-256-gcm]
  keyformat:
    description:
      - How the key is kept, V(passphrase) with O(passphrase), else V(hex) by default.
      - For an existing root another value is refused, unless O(update_key=always).
    type: str
    choices: [hex, raw, passphrase]
  keylocation:
    description:
      - Where OpenZFS looks for the key by itself, V(prompt) by default; V(file:///path) or V(https://address).
      - With O(key_file) it is that file by default.
      - >-
        Where neither is given and O(update_key=always) changes a root, it stays as it is if the key and its
        O(keyformat) stay, or if its key file holds the new key already. Otherwise it is set to V(prompt), and a warning
        tells.
      - It is set on an existing root if given. That needs no key; but a file that is there and does not hold the root's
        key is refused.
    type: str
  pbkdf2iters:
    description:
      - PBKDF2 rounds of a new passphrase, at least 100000, by default 1300000. Nothing is derived from a key in hex or
        raw; there it says nothing, so that it can be a default.
      - For an existing root another value is refused, unless O(update_key=always).
    type: int
  properties:
    description:
      - >-
        Any other properties, by their names in OpenZFS, user properties too. YAML booleans mean V(on) and V(off), sizes
        are compared as sizes, and a C(quota) or C(refquota) of 0 is V(none).
      - >-
        They are set on an existing dataset where its value differs, wherever that comes from. A value that it inherits
        already is not set again. Those that only creation can set are refused there.
      - >-
        V(inherit) means no value of its own. A value that was set here or received is given up for the parent's, or the
        default; a user property that nobody above has is gone. Quotas, reservations, limits and C(canmount) are not
        inherited; use V(none) or V(on) for them.
    type: dict
  heal:
    description:
      - Let a change of a root's key wrap anew also what another key wraps, as after an inconsistent raw replication, as
        long as each such dataset is mounted or open, so that its master key is at hand. It is kept open during the
        change. Without it the change is refused, and so it is with it where one is not in use, since that would crash
        the pool.
      - With O(update_key=always) and the key that the root has, the root gets the same key again for this purpose.
      - A healed replica takes no raw increments from its sender without being broken again.
    type: bool
  hierarchy:
    description:
      - V(truenas), the default. A root with a key below one with a passphrase, and a plain dataset below an encrypted
        one, are refused; so is anything new below such a plain dataset.
      - V(openzfs). Whatever OpenZFS allows.
    type: str
    choices: [truenas, openzfs]
"""
