# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening volumes while the kernel is busy with its pools, as seen with 600 datasets on OpenZFS 2.3.9 (error 512)."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _mounts, _volume_nodes
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed

RESTART = 512
Busy = t.Callable[[int], None]


@pytest.fixture
def busy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Busy:
    """Have a volume whose node cannot be opened that many times."""
    (tmp_path / "tank").write_bytes(b"data")
    really_open = os.open
    left = 0

    def opened(path: str, flags: int) -> int:
        nonlocal left
        if left:
            left -= 1
            raise OSError(RESTART, os.strerror(RESTART))
        return really_open(path, flags)

    def refuse(times: int) -> None:
        nonlocal left
        left = times
        monkeypatch.setattr(os, "open", opened)

    monkeypatch.setattr(_mounts, "node_of", lambda name: str(tmp_path / name))
    return refuse


def test_a_volume_is_opened_when_the_kernel_has_time_again(busy: Busy) -> None:
    busy(3)

    _volume_nodes.read("tank")


def test_a_volume_that_never_opens_is_told_in_words(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mounts, "OPENING_TIMEOUT", 0)
    busy(1000)

    with pytest.raises(CallFailed, match="tank cannot be read: the kernel was too busy with its pools to open it"):
        _volume_nodes.read("tank")
