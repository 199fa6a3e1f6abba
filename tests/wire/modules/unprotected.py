# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control: takes secrets as our modules do, without an action plugin, and does nothing."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    secret = {"key": {"type": "str", "no_log": True}, "passphrase": {"type": "str", "no_log": True}}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            **secret,
            "secrets": {
                "type": "list",
                "elements": "dict",
                "no_log": False,
                "options": {"name": {"type": "str"}, **secret},
            },
        }
    )
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
