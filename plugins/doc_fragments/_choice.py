# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of ``name``, ``names`` and ``recursive``.

Private to the collection.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Shared documentation."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The encryption root to work on.
      - >-
        A dataset that inherits its key is refused and its root named, since only roots can be locked and unlocked.
    type: str
  names:
    description:
      - Several encryption roots, instead of O(name).
    type: list
    elements: str
  recursive:
    description:
      - Take all encryption roots below the named datasets as well.
      - With it a plain dataset may be named, and stands for the roots below it.
    type: bool
    default: false
"""
