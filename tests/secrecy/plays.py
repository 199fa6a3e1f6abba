# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that Ansible runs on this machine, for all that it says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def said_by(directory: Path, tasks: t.Sequence[t.Mapping[str, t.Any]], *options: str) -> str:
    """Return all that ``ansible-playbook`` says of some tasks, with these options and no settings of anybody's."""
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    local = ("--inventory=localhost,", "--connection=local")
    return said_of(directory, plays, *local, *options, ANSIBLE_PYTHON_INTERPRETER=sys.executable)


def said_of(directory: Path, plays: t.Sequence[t.Mapping[str, t.Any]], *options: str, **variables: str) -> str:
    """Return all that ``ansible-playbook`` says of a playbook, run in a directory with these variables besides."""
    playbook, settings = directory / "play.json", directory / "ansible.cfg"
    playbook.write_text(json.dumps(plays))
    settings.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [str(PLAYBOOK), *options, str(playbook)],
        env={
            **environment,
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).resolve().parents[2] / ".tree"),
            **variables,
        },
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout
