# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_encryption_info)."""

from __future__ import annotations

from ..modules.zfs_encryption_info import SPEC
from ..plugin_utils._secret_action import SecretAction


class ActionModule(SecretAction):
    """Nothing of its own: secrets on the wire only."""

    spec = SPEC.arguments
