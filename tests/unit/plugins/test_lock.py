# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to a pool, one run at a time."""

from __future__ import annotations

import fcntl
import os
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _lock
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT


def is_held(guid: str) -> bool:
    descriptor = os.open(os.path.join(_lock.DIRECTORY, f"zfsfleet-{guid}.lock"), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


CHANGE = {"key": "0c" * 32, "update_key": "always", "current": {"key": KEY_TEXT}}
LOCK = {"state": "locked", "verify_key": False}


@pytest.mark.parametrize(
    ("call", "task"),
    [
        pytest.param("change_key", ("zfs_dataset_key", CHANGE), id="another key"),
        pytest.param("unload_key", ("zfs_unlock", LOCK), id="locking"),
    ],
)
def test_what_changes_a_pool_holds_its_lock(
    host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch, call: str, task: tuple[str, dict[str, t.Any]]
) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    guid, during, original = host.pools()["tank"].guid, [], getattr(host, call)

    def watched(*arguments: t.Any) -> None:
        during.append(is_held(guid))
        original(*arguments)

    monkeypatch.setattr(host, call, watched)
    module, options = task
    assert run(module, name="tank/a", **options)["changed"]
    assert during == [True]
    assert not is_held(guid)
