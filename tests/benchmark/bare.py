# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that does nothing, for what starting one costs: Ansible's part and the import of libzfs_core."""

from __future__ import annotations

import libzfs_core  # noqa: F401  # pylint: disable=unused-import  # importing it is what is timed
from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    AnsibleModule(argument_spec={}).exit_json(changed=False)


if __name__ == "__main__":
    main()
