# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control: a module that does with its key what no module should do. Ansible masks none of it."""

from __future__ import annotations

import subprocess
import syslog
import tempfile

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={"key": {"type": "str", "no_log": False}})
    key: str = module.params["key"]
    subprocess.run(["/bin/true", key], check=True)
    subprocess.run(["/bin/true"], env={"KEY": key}, check=True)
    syslog.syslog(key)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(key)
    module.warn(f"the key is {key}")
    module.exit_json(changed=False, key=key)


if __name__ == "__main__":
    main()
