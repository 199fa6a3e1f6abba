# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a pool: one run at a time, by root and by users to whom something was delegated."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _lock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Pool

POOL = Pool("tank", "1234567890")


def test_a_second_run_waits_and_is_refused_in_the_end(tmp_path: pathlib.Path) -> None:
    with (
        _lock.hold([POOL], directory=str(tmp_path)),
        pytest.raises(Refused, match="Another run is changing keys of pool tank"),
        _lock.hold([POOL], directory=str(tmp_path), patience=0.2),
    ):
        pass
    with _lock.hold([POOL], directory=str(tmp_path), patience=0.2):
        pass


def test_a_file_that_is_there_is_opened_without_being_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sticky directory the kernel denies even root to open another user's file with O_CREAT."""
    (tmp_path / f"zfsfleet-{POOL.guid}.lock").touch()
    real_open = os.open

    def protected(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", protected)
    with _lock.hold([POOL], directory=str(tmp_path)):
        pass


def test_another_users_lock_is_told_with_a_way_out(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: t.Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with (
        pytest.raises(Refused, match=r"belongs to another user.*Nothing was changed\. Work as that user or as root"),
        _lock.hold([POOL], directory=str(tmp_path)),
    ):
        pass
