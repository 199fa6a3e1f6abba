# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With pipelining off in the configuration, no key gets onto the managed host's disk, not even for a moment."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.secrecy.controller import Controller
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Machine, given_away
from ansible_collections.zfsfleet.encryption.tests.wire.conftest import POOL, Canaries

KEYED = f"{POOL}/keyed"
PHRASED = f"{POOL}/phrased"

Task = dict[str, t.Any]


def offered(canaries: Canaries) -> list[dict[str, str]]:
    return [{"name": KEYED, "key": canaries.key.text}, {"name": PHRASED, "passphrase": canaries.passphrase.text}]


def creating(canaries: Canaries) -> Task:
    datasets = [{**entry, "pbkdf2iters": 100000} if "passphrase" in entry else entry for entry in offered(canaries)]
    return {"zfsfleet.encryption.zfs_dataset_key": {"datasets": datasets}}


def unlocking(canaries: Canaries, **options: t.Any) -> Task:
    return {"zfsfleet.encryption.zfs_unlock": {"names": [KEYED, PHRASED], "secrets": offered(canaries), **options}}


@pytest.fixture(autouse=True)
def _no_datasets(machine: Machine) -> t.Iterator[None]:
    yield
    machine.ask(f"zfs list -H -o name -d 1 {POOL} | grep / | xargs -r -n 1 zfs destroy -r")


def test_modules_write_no_key(machine: Machine, controller: Controller, canaries: Canaries) -> None:
    with machine.watched() as seen:
        run = controller.play(
            [
                creating(canaries),
                unlocking(canaries, state="locked"),
                unlocking(canaries),
                {
                    "zfsfleet.encryption.zfs_encryption_info": {
                        "names": [POOL],
                        "recursive": True,
                        "secrets": offered(canaries),
                    }
                },
            ]
        )
    assert run.code == 0, run.output
    assert machine.ask(f"zfs get -H -o value keystatus {KEYED} {PHRASED}").split() == ["available"] * 2
    assert given_away(canaries.flock, seen.packets) == {}
    assert canaries.flock.seen_in(run.output.encode()) == {}


def test_refused_and_failed_runs_write_no_key(machine: Machine, controller: Controller, canaries: Canaries) -> None:
    made = controller.play([creating(Canaries.fresh())])
    assert made.code == 0, made.output
    with machine.watched() as seen:
        run = controller.play(
            [
                {**creating(canaries), "register": "refused", "failed_when": "not refused.failed"},
                {**unlocking(canaries, state="locked"), "register": "failed", "failed_when": "not failed.failed"},
            ]
        )
    assert run.code == 0, run.output
    assert "wrong_key" in run.output
    assert given_away(canaries.flock, seen.packets) == {}
    assert canaries.flock.seen_in(run.output.encode()) == {}


def exporting(canaries: Canaries, **options: t.Any) -> Task:
    return {
        "zfsfleet.encryption.zfs_key_export": {"names": [KEYED, PHRASED], "secrets": offered(canaries), **options},
        "register": "exported",
        "failed_when": "exported.exported | default([]) | length != 2",
    }


def test_a_manifest_for_the_controller_is_nowhere_but_there(
    machine: Machine, controller: Controller, canaries: Canaries, tmp_path: Path
) -> None:
    assert controller.play([creating(canaries)]).code == 0
    manifests = [tmp_path / "plain.json", tmp_path / "own.json"]
    with machine.watched() as seen:
        run = controller.play(
            [
                exporting(canaries, dest_controller=str(manifests[0])),
                exporting(canaries, dest_controller=str(manifests[1]), format="zfsfleet"),
                {"ansible.builtin.debug": {"var": "exported"}},
            ],
            verbosity="-vvvv",
        )
    assert run.code == 0, run.output
    for manifest in manifests:
        assert canaries.flock.seen_in(manifest.read_bytes()).keys() == {"key", "passphrase"}
        assert manifest.stat().st_mode & 0o777 == 0o600
    assert "censored due to no log" in run.output
    assert canaries.flock.seen_in(run.output.encode()) == {}
    assert given_away(canaries.flock, seen.packets) == {}


def test_a_manifest_for_the_host_is_nowhere_else_on_its_disk(
    machine: Machine, controller: Controller, canaries: Canaries
) -> None:
    assert controller.play([creating(canaries)]).code == 0
    with machine.watched() as seen:
        run = controller.play([exporting(canaries, dest="/root/wire.json", force=True)], verbosity="-vvvv")
    assert run.code == 0, run.output
    places = given_away(canaries.flock, seen.packets)
    assert places.keys() == {"key", "passphrase"}
    assert places["key"] | places["passphrase"] <= {"file /root/wire.json", "file /root/.wire.json.new"}
    assert canaries.key.text in machine.ask("cat /root/wire.json; rm /root/wire.json")
    assert canaries.flock.seen_in(run.output.encode()) == {}


def test_the_watch_catches_a_module_without_protection(
    machine: Machine, controller: Controller, canaries: Canaries
) -> None:
    with machine.watched() as seen:
        run = controller.play(
            [{"secrecy.control.unprotected": {"name": KEYED, "key": canaries.key.text, "secrets": offered(canaries)}}]
        )
    assert run.code == 0, run.output
    assert given_away(canaries.flock, seen.at("file")).keys() == {"key", "passphrase"}
    assert any("AnsiballZ_unprotected.py" in where for where in given_away(canaries.flock, seen.packets)["key"])
    # The journal is looked at in earnest: without the protection a suboption's passphrase with a quote gets there.
    assert given_away(canaries.flock, seen.at("journal")).keys() == {"passphrase"}


@dataclass(frozen=True)
class Obstacle:
    """Something that keeps pipelining from being switched on."""

    cause: str
    task: Task = field(default_factory=dict)
    play: Task = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    "obstacle",
    [
        pytest.param(Obstacle("the task is asynchronous; leave async out", task={"async": 30, "poll": 1}), id="async"),
        pytest.param(
            Obstacle("ANSIBLE_KEEP_REMOTE_FILES is set; unset it", environment={"ANSIBLE_KEEP_REMOTE_FILES": "1"}),
            id="keep-remote-files",
        ),
        pytest.param(
            Obstacle("become_method su does not allow it; use sudo", play={"become": True, "become_method": "su"}),
            id="su",
        ),
    ],
)
def test_where_pipelining_is_impossible_nothing_is_sent(
    machine: Machine, controller: Controller, canaries: Canaries, obstacle: Obstacle
) -> None:
    with machine.watched() as seen:
        run = controller.play(
            [{**creating(canaries), **obstacle.task}], environment=obstacle.environment, **obstacle.play
        )
    assert run.code == 2, run.output
    assert f"pipelining cannot be switched on: {obstacle.cause}." in re.sub(r"\s+", " ", run.output)
    assert given_away(canaries.flock, seen.packets) == {}
    assert [packet.where for packet in seen.at("file") if "ansible" in packet.where.lower()] == []
    assert KEYED not in machine.ask(f"zfs list -H -o name -r {POOL}")
    assert canaries.flock.seen_in(run.output.encode()) == {}
