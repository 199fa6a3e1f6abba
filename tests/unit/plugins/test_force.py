# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmounting by force: which mounts go, in which order, what no force takes away. A script stands in for umount."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _command, _force
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mounts import Mounted

STAND_IN = """#!/bin/sh
echo "$*" >> {log}
for word; do
    case "$word" in
        /busy*) echo "umount: $word: target is busy." >&2; exit 32 ;;
        /gone*) echo "umount: $word: not mounted." >&2; exit 32 ;;
    esac
done
"""


def mounted(number: int, path: str, source: str, *, inside: int = 1, kind: str = "zfs") -> Mounted:
    return Mounted(str(number), str(inside), "0:42", path, propagated=False, kind=kind, source=source)


class Machine(t.NamedTuple):
    """A machine on which umount only notes what it was asked.

    Args:
        mounts: what is mounted in each process's namespace, in the order in which it was mounted.
        log: the words of each call.
    """

    mounts: dict[str, list[Mounted]]
    log: pathlib.Path

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    log = tmp_path / "calls"
    for name in ("umount", "nsenter"):
        (tmp_path / name).write_text(STAND_IN.format(log=log))
        (tmp_path / name).chmod(0o700)
    mounts: dict[str, list[Mounted]] = {"self": []}
    monkeypatch.setattr(_command, "_ENVIRONMENT", {"LC_ALL": "C", "PATH": f"{tmp_path}:{_command.PATH}"})
    monkeypatch.setattr(_force, "mounts", lambda pid="self": mounts[pid])
    monkeypatch.setattr(_force, "listed", lambda _path: [pid for pid in mounts if pid != "self"])
    monkeypatch.setattr(_force, "link", lambda path: "same" if path.split("/")[2] == "self" else f"mnt of {path}")
    monkeypatch.setattr(_force, "kept_namespaces", dict)
    return Machine(mounts, log)


def test_all_its_mounts_go_and_what_lies_inside_them_innermost_first(machine: Machine) -> None:
    machine.mounts["self"] += [
        mounted(2, "/tank/a", "tank/a"),
        mounted(3, "/tank/a/inside", "tmpfs", inside=2, kind="tmpfs"),
        mounted(4, "/srv/bound", "tank/a"),
        mounted(5, "/tank/b", "tank/b"),
    ]
    _force.unmount("tank/a")
    assert machine.calls == ["--force /srv/bound", "--force /tank/a/inside", "--force /tank/a"]


def test_a_snapshot_that_somebody_looked_into_goes_too(machine: Machine) -> None:
    machine.mounts["self"] += [mounted(2, "/tank/a", "tank/a"), mounted(3, "/tank/a/.zfs/snapshot/s", "tank/a@s")]
    _force.unmount("tank/a")
    assert machine.calls == ["--force /tank/a/.zfs/snapshot/s", "--force /tank/a"]


def test_what_lies_deeper_than_inside_is_nobodys_to_take(machine: Machine) -> None:
    """Unmounting below a bind mount of /dev would spread to /dev itself."""
    machine.mounts["self"] += [
        mounted(2, "/tank/a", "tank/a"),
        mounted(3, "/tank/a/dev", "udev", inside=2, kind="devtmpfs"),
        mounted(4, "/tank/a/dev/pts", "devpts", inside=3, kind="devpts"),
    ]
    _force.unmount("tank/a")
    assert machine.calls == ["--force /tank/a/dev", "--force /tank/a"]


def test_what_a_process_uses_stays_and_is_busy(machine: Machine) -> None:
    """Unmounted lazily it would only be out of sight."""
    machine.mounts["self"] += [mounted(2, "/tank/a", "tank/a"), mounted(3, "/busy", "tank/a")]
    with pytest.raises(CallFailed) as failed:
        _force.unmount("tank/a")
    assert failed.value.reason == "busy"
    assert machine.calls == ["--force /busy"]


def test_what_is_gone_meanwhile_is_as_wanted(machine: Machine) -> None:
    machine.mounts["self"] += [mounted(2, "/gone", "tank/a")]
    _force.unmount("tank/a")


def test_mounts_in_other_namespaces_go_and_what_lies_inside_stays(machine: Machine) -> None:
    machine.mounts["7"] = [mounted(2, "/tank/a", "tank/a"), mounted(3, "/tank/a/x", "tmpfs", inside=2, kind="tmpfs")]
    _force.unmount("tank/a")
    assert machine.calls == ["--mount=/proc/7/ns/mnt umount --force /tank/a"]
