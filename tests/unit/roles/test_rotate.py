# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of hosts whose keys are rotated: where one fails or is lost, the others of its batch are tried, and no more
follow. The hosts are OpenZFS in memory; one that is lost is a closed port.
"""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.secrecy.plays import PLAYBOOK, said_of

pytestmark = pytest.mark.skipif(not PLAYBOOK.exists(), reason="there is no ansible-playbook beside this Python")

ROOT = Path(__file__).resolve().parents[3]
LOST = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
UNKNOWN: dict[str, t.Any] = {"places": []}
"""A host whose key is in escrow nowhere."""


@dataclass(frozen=True)
class Fleet:
    """What a run left.

    Args:
        directory: that it worked in.
        said: what Ansible said of it.
    """

    directory: Path
    said: str

    def of(self, task: str) -> str:
        """Return what was said of the task of the role whose name begins like this."""
        return self.said.partition(f"TASK [zfsfleet.encryption.rotate : {task}")[2].partition("\nTASK [")[0]

    def report(self, host: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads((self.directory / "reports" / host / "rotation.json").read_text())
        return found

    @property
    def rotated(self) -> list[str]:
        """Names of the hosts that have another key in escrow than their first one."""
        return sorted(path.name for path in (self.directory / "keys").iterdir() if len(list(path.glob("*.vault"))) > 1)


def rotate(
    directory: Path, hosts: t.Mapping[str, t.Mapping[str, t.Any]], batches: t.Sequence[int], **variables: t.Any
) -> Fleet:
    """Provision the hosts that can be reached, then rotate the keys of all."""
    for name in ("state", "keys"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    (directory / "password").write_text("a long random vault password of a test")
    place = {"type": "vault_file", "path": str(directory / "keys"), "allow_local": True}
    shared = {
        "ansible_connection": "simulated",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "simulated_state": str(directory / "state"),
        "places": [place],
        "rotate_escrow": [place],
        "rotate_max_age_days": 0,
        "rotate_report": str(directory / "reports"),
        **variables,
    }
    said = {"rotate_serial": list(batches)}
    inventory = {"zfs": {"hosts": hosts, "vars": shared}}
    created = {"name": "tank/data", "key": "{{ omit if places else 'ab' * 32 }}", "escrow": "{{ places or omit }}"}
    tasks = [{"zfsfleet.encryption.zfs_dataset_key": created, "when": "ansible_connection == 'simulated'"}]
    provisioning: dict[str, t.Any] = {"hosts": "zfs", "gather_facts": False, "tasks": tasks}
    plays = [provisioning, {"import_playbook": "zfsfleet.encryption.rotate"}]
    (directory / "inventory.json").write_text(json.dumps(inventory))
    options = ("--inventory=inventory.json", "--vault-password-file=password", "-e", json.dumps(said))
    connections = str(ROOT / "tests" / "benchmark" / "connection")
    places = {"ANSIBLE_CONNECTION_PLUGINS": connections, "PYTHONPATH": str(ROOT / ".tree")}
    return Fleet(directory, said_of(directory, plays, *options, **places))


def test_a_host_that_is_lost_ends_the_run_after_its_batch(tmp_path: Path) -> None:
    fleet = rotate(tmp_path, {"nas1": {}, "nas2": LOST, "nas3": {}}, batches=[2, 1])

    assert fleet.rotated == ["nas1"]
    assert "ok: [nas1]" in fleet.of("Every root is tried with what is in escrow")
    assert "nas2 could not be reached, or was lost while its keys were rotated." in fleet.of("Everything that was due")
    report = fleet.report("nas2")
    assert (report["failed"], report["reached"], report["rotated"]) == (True, False, [])
    assert "Connection refused" in report["msg"]


def test_where_one_host_fails_the_others_of_its_batch_are_tried_and_no_more_follow(tmp_path: Path) -> None:
    fleet = rotate(tmp_path, {"nas1": UNKNOWN, "nas2": {}, "nas3": {}}, batches=[2, 1])

    assert fleet.rotated == ["nas2"]
    assert "ok: [nas2]" in fleet.of("Every root is tried with what is in escrow")
    last = fleet.of("Everything that was due")
    assert "is an encryption root" in last
    assert "Escrow has no key for tank/data" in last
    reports = [fleet.report(host) for host in ("nas1", "nas2")]
    assert [(each["failed"], each["reached"], len(each["rotated"])) for each in reports] == [
        (True, True, 0),
        (False, True, 1),
    ]
    assert "is an encryption root" in reports[0]["msg"]
    assert all(each["at"] for each in reports)


def test_where_nothing_was_due_only_a_report_of_a_failure_is_written_anew(tmp_path: Path) -> None:
    before = {"nas1": {"failed": True}, "nas2": {"failed": False}}
    for host, report in before.items():
        (tmp_path / "reports" / host).mkdir(parents=True)
        (tmp_path / "reports" / host / "rotation.json").write_text(json.dumps(report))

    fleet = rotate(tmp_path, {"nas1": {}, "nas2": {}, "nas3": {}}, batches=[3], rotate_max_age_days=9)

    assert (fleet.report("nas1")["failed"], fleet.report("nas1")["already"]) == (False, ["tank/data"])
    assert fleet.report("nas2") == before["nas2"]
    assert not (tmp_path / "reports" / "nas3").exists()
