# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a host to run a module there: the module, all that it imports, and its arguments, in one file.

    ANSIBLE_COLLECTIONS_PATH=... payload.py MODULE < ARGUMENTS > PAYLOAD

A program of its own, since only a process into which nobody has imported the collection finds it as Ansible does.
"""

from __future__ import annotations

import importlib
import json
import sys
import typing as t
from pathlib import Path

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

COLLECTION = "zfsfleet.encryption"
MODULES = Path(__file__).resolve().parents[2] / "plugins" / "modules"
BARE = Path(__file__).with_name("bare.py")


def payload(name: str, path: Path, arguments: dict[str, t.Any]) -> bytes:
    made: bytes = modify_module(
        module_name=name,
        module_path=str(path),
        module_args=arguments,
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    ).b_module_data
    return made


def main() -> None:
    init_plugin_loader()
    importlib.import_module(f"ansible_collections.{COLLECTION}")
    name, arguments = sys.argv[1], json.load(sys.stdin)
    if name == BARE.stem:
        made = payload(name, BARE, arguments)
    else:
        made = payload(f"{COLLECTION}.{name}", MODULES / f"{name}.py", arguments)
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
