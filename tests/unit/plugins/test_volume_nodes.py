# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening volumes while the kernel is busy with its pools, as seen with 600 datasets on OpenZFS 2.3.9 (error 512).

And waiting for the nodes of new ones, where the system makes any.
"""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _mounts, _volume_nodes
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Property

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


@pytest.fixture
def system(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Have a system with udev and OpenZFS's default parameters, in which no node ever comes; it is not waited long."""
    (tmp_path / "control").touch()
    for parameter, value in (("zvol_inhibit_dev", "0"), ("zvol_volmode", "1")):
        (tmp_path / parameter).write_text(f"{value}\n", encoding="ascii")
    monkeypatch.setattr(_volume_nodes, "_UDEV", str(tmp_path / "control"))
    monkeypatch.setattr(_volume_nodes, "_PARAMETERS", str(tmp_path))
    monkeypatch.setattr(_volume_nodes, "UDEV_IS_ASKED_AFTER", ())
    monkeypatch.setattr(_volume_nodes, "TIMEOUT", 0)
    return tmp_path


def volume(volmode: str = "default") -> Dataset:
    return Dataset("tank/disk 1", {"type": Property("volume", "-"), "volmode": Property(volmode, "local")})


@pytest.mark.parametrize("volmode", ["default", "full", "dev"])
def test_a_new_volume_is_waited_for(system: pathlib.Path, volmode: str) -> None:
    with pytest.raises(CallFailed, match=r"/dev/zvol/tank/disk\+1 did not appear"):
        _volume_nodes.wait(volume(volmode))


def test_without_udev_no_volume_is_waited_for(system: pathlib.Path) -> None:
    (system / "control").unlink()

    _volume_nodes.wait(volume())


@pytest.mark.parametrize(
    ("parameter", "value", "volmode"),
    [
        pytest.param("zvol_inhibit_dev", "1", "full", id="of-none"),
        pytest.param("zvol_volmode", "3", "default", id="of-none-by-default"),
    ],
)
def test_no_volume_is_waited_for_whose_node_openzfs_does_not_make(
    system: pathlib.Path, parameter: str, value: str, volmode: str
) -> None:
    (system / parameter).write_text(f"{value}\n", encoding="ascii")

    _volume_nodes.wait(volume(volmode))


def test_a_default_of_none_does_not_matter_to_a_volume_that_has_its_own_mode(system: pathlib.Path) -> None:
    (system / "zvol_volmode").write_text("3\n", encoding="ascii")

    with pytest.raises(CallFailed, match="did not appear"):
        _volume_nodes.wait(volume("full"))
