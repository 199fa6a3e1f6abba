# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that offer keys.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options:
  secrets:
    description:
      - >-
        Keys that are offered. They choose nothing: a key for a dataset that was not chosen is left alone.
      - >-
        For each root are tried, by verification, its own entries here, its value in the manifest, the entry of the
        nearest ancestor that shares, and the key file that its C(keylocation) names; the first that opens is used.
      - A name that an imported pool does not have is refused.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The dataset whose key this is.
        type: str
        required: true
      key:
        description:
          - 64 hexadecimal digits, for roots of C(keyformat) V(hex) and V(raw).
        type: str
      passphrase:
        description:
          - The passphrase.
        type: str
      key_file:
        description:
          - >-
            Absolute path of a key file on the managed host. Its form follows the root's C(keyformat), 32 bytes for
            V(raw), one line for V(hex) and V(passphrase).
        type: path
      share_with_children:
        description:
          - Try this key on the roots below O(secrets[].name) too.
        type: bool
        default: false
  manifest:
    description:
      - >-
        A file with a JSON object of dataset names and keys, V({"pool/dataset": "64 hex digits or a passphrase"}), as
        TrueNAS exports it, or a manifest in the format V(zfsfleet) of M(zfsfleet.encryption.zfs_key_export).
      - >-
        The file lies on the controller, plain or encrypted with ansible-vault, and is found as files of C(copy) are.
        With O(remote_src=true) it lies on the managed host.
      - >-
        A name that an imported pool does not have is refused; names in pools that are not imported are ignored, with
        a warning.
    type: path
  manifest_content:
    description:
      - >-
        The manifest itself, where it is a variable already, as an object or as its JSON text. The action plugin fills
        it in from O(manifest).
    type: dict
  remote_src:
    description:
      - The O(manifest) lies on the managed host.
    type: bool
    default: false
"""
