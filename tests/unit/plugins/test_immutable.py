# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a mountpoint on a real file system; the flag itself needs root and is held to in conformance."""

from __future__ import annotations

import pathlib

from ansible_collections.zfsfleet.encryption.plugins.module_utils._immutable import look


def test_a_directory_that_holds_something_cannot_be_protected(tmp_path: pathlib.Path) -> None:
    inhabited = tmp_path / "etc"
    inhabited.mkdir()
    empty = look(str(inhabited))
    (inhabited / "passwd").touch()
    place = look(str(inhabited))
    assert (place.state, place.obstacle) == ("bare", "it is not empty, so it may be in use")
    assert not place.can_be_protected(after_unmount=False)
    (inhabited / "passwd").unlink()
    assert look(str(inhabited)) == empty


def test_what_is_no_directory_is_no_mountpoint(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    assert [look(str(tmp_path / name)).state for name in ("file", "gone")] == ["none", "none"]
