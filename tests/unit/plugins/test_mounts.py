# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, as ``/proc`` tells it: every path can be opened, whatever characters it has."""

from __future__ import annotations

import contextlib
import os
import pathlib
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _aside, _kept_open, _mounts, _users
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed

from .trees import dataset

HEAD = b"36 35 0:42 / %s rw,noatime shared:7 - zfs %s rw,xattr\n"


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A directory with every difficult character in its name, told to have two datasets mounted on it."""
    name = b"a b\\c\tline\nfeed\x0b\xc2\x85\xff"
    path = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.mkdir()
    escaped = os.fsencode(path).replace(b"\\", b"\\134")
    for character in (b" ", b"\t", b"\n"):
        escaped = escaped.replace(character, b"\\%03o" % ord(character))
    mountinfo = tmp_path / "mountinfo"
    device = _mounts.numbers(path.stat().st_dev).encode()
    lines = (HEAD % (escaped, b"tank/below"), HEAD % (escaped, b"tank/top\\040one"))
    mountinfo.write_bytes(b"".join(lines).replace(b"0:42", device))
    read = _mounts.lines
    monkeypatch.setattr(_mounts, "lines", lambda asked: read(str(mountinfo) if asked.endswith("mountinfo") else asked))
    return path


def test_a_path_is_read_as_it_is(place: pathlib.Path) -> None:
    assert [mount.path for mount in _mounts.mounts()] == [str(place)] * 2
    assert [mount.source for mount in _mounts.mounts()] == ["tank/below", "tank/top one"]
    assert all(mount.propagated for mount in _mounts.mounts())


def test_of_two_mounts_the_later_one_shows(place: pathlib.Path) -> None:
    top = _mounts.on_top_of(str(place))
    assert top is not None
    assert top.dataset == "tank/top one"
    assert _mounts.on_top_of(str(place.parent)) is None


def test_what_is_mounted_there_is_kept_open_and_nothing_else(place: pathlib.Path) -> None:
    with _kept_open.keep_open([dataset("tank/top one")]):
        assert str(place) in _links()
    assert str(place) not in _links()
    with (
        pytest.raises(CallFailed, match="tank/other is no longer in use"),
        _kept_open.keep_open([dataset("tank/other")]),
    ):
        pass


def test_what_another_file_system_hides_is_not_kept_open(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [replace(mount, device="0:1") for mount in _mounts.mounts()]
    monkeypatch.setattr(_kept_open, "mounts", lambda: seen)
    with pytest.raises(CallFailed, match="no longer in use"), _kept_open.keep_open([dataset("tank/top one")]):
        pass


def test_a_path_is_told_in_text_that_can_be_written(place: pathlib.Path) -> None:
    with pytest.raises(CallFailed) as kept:
        _aside.place_for(str(place.parent))
    assert str(kept.value).encode().endswith(b"\xc2\x85\xef\xbf\xbd. Unmount that first.")
    (words,) = [each for each in _users.find(["tank/top one"]) if each.startswith("tank/below is mounted on")]
    assert words.encode()


def _links() -> list[str]:
    """Return what this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found
