# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first steps of the guide on escrow, up to the prediction, with real places; the story keys_guide goes on."""

from __future__ import annotations

import os
import pathlib
import stat
import sys

from ansible_collections.zfsfleet.encryption.tests.escrow import openbao, tutorial

# What reaches a host in the tutorial; here all of them are this machine, on which nothing is changed in check mode.
SSH = """\
#!/bin/sh
for command in "$@"; do :; done
exec sh -c "$command"
"""


def test_everything_that_is_said_before_hosts_change_works(tmp_path: pathlib.Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(stat.S_IRWXU)
    python = {"ansible_python_interpreter": sys.executable, "ansible_become": False}
    home = tmp_path / "home"
    home.mkdir()
    with openbao.place(tmp_path) as place:
        steps = tutorial.first_steps(place.server, dict.fromkeys(tutorial.HOSTS, python), only_foresee=True)
        # Up to where there is nothing to be listed yet.
        steps = steps.partition("echo '$ bao kv list")[0]
        for disk in ("d2", "d3"):
            (tmp_path / disk).touch()
            os.truncate(tmp_path / disk, 64 << 20)
            steps = steps.replace(f"/dev/disk/by-id/virtio-{disk}", str(tmp_path / disk))
        done = tutorial.run(steps, home, place.server, ANSIBLE_SSH_EXECUTABLE=str(ssh))
    assert done.returncode == 0, done.stdout[-3000:]
    recap = done.stdout.partition("PLAY RECAP")[2]
    for host in tutorial.HOSTS:
        assert f"{host} " in recap
    assert recap.count("failed=0") == recap.count("unreachable=0") == len(tutorial.HOSTS)
    assert list((home / "fleet/keys").iterdir()) == []
    assert (home / ".fleet-bao-token").stat().st_mode & 0o777 == 0o600
