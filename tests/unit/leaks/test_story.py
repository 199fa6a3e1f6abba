# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scan for leaks leaves out no module and no canary."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.zfsfleet.encryption.tests.leaks import case, cast, plants, story
from ansible_collections.zfsfleet.encryption.tests.leaks.chapters import roles
from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Flock

MODULES = sorted(path.stem for path in (Path(__file__).parents[3] / "plugins/modules").glob("zfs_*.py"))


@pytest.mark.parametrize("sample", [True, False], ids=["short", "whole"])
@pytest.mark.parametrize("module", MODULES)
def test_every_module_succeeds_and_fails(module: str, sample: bool) -> None:
    ends = {one.refused is None for one in story.whole(sample=sample) if one.module == module}
    assert ends == {True, False}


@pytest.mark.parametrize("module", ["zfs_dataset_key", "zfs_unlock"])
def test_modules_run_in_a_loop_and_for_many_datasets_at_once(module: str) -> None:
    cases = [one for one in story.whole(sample=False) if one.module == module and one.refused is None]
    assert any("loop" in one.keywords for one in cases)
    assert any(len(one.options.get(several) or []) > 1 for one in cases for several in ("datasets", "secrets"))


def test_every_canary_is_in_use() -> None:
    flock = Flock(1)
    canaries = cast.hatch(flock)
    told = json.dumps([[one.options, one.keywords] for one in story.whole(sample=False)] + roles.plays())
    on_the_host, on_the_controller = cast.files_on_the_host(canaries), cast.files_on_the_controller(canaries, {})
    held = flock.seen_in(b"\n".join([*on_the_host.values(), on_the_controller["broken.json"].encode()]))
    assert [name for name, canary in canaries.items() if f"c.{name} " not in told and canary.name not in held] == []


def test_a_leak_is_planted_wherever_the_product_could_leak() -> None:
    garden = plants.Garden(Flock(1))
    garden.on_the_host()
    garden.by_ansible()
    garden.in_a_path()
    assert {plant.place for plant in garden.plants} == {
        *("argument", "environment", "file", "journal", "core", "zfs", "console"),
        *("controller argument", "controller environment", "controller file", "output", "warnings", "log"),
        *("disk, root", "disk, d0", "disk, d1", "server"),
    }
    assert garden.missed({}) == garden.plants


def test_a_case_that_is_not_refused_as_it_should_be_is_named(tmp_path: Path) -> None:
    cases = [
        case.case("zfs_unlock", {"name": "p"}, refused="No pool"),
        case.case("zfs_unlock", {"name": "p"}, refused="another sentence"),
        case.case("zfs_unlock", {"name": "p"}),
        case.case("zfs_encryption_info", {"name": "p"}, refused="No pool"),
    ]
    ends: list[case.Task] = [
        {"ansible.builtin.fail": {"msg": "No\npool is there"}},
        {"ansible.builtin.fail": {"msg": "No pool"}},
        {"ansible.builtin.debug": {}},
        {"ansible.builtin.debug": {}},
    ]
    tasks = [{"register": f"it{number}", "ignore_errors": True, **end} for number, end in enumerate(ends)]
    playbook = tmp_path / "playbook.json"
    playbook.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [*tasks, case.verdict(cases)]}])
    )
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(playbook)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert case.blamed(done.stdout) == ["1, zfs_unlock, refused", "3, zfs_encryption_info, refused"]


def test_a_story_that_came_to_no_end_names_no_case() -> None:
    assert case.blamed("TASK [4, zfs_unlock, done]\nfatal") is None
