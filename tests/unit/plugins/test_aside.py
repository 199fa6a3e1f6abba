# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in use is not moved aside, and nothing is moved over another."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _aside
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed


def test_a_directory_that_somebody_works_in_stays(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    assert _aside.place_for(str(place)) == f"{place}.aside-1"
    with subprocess.Popen(["sleep", "60"], cwd=place) as process:
        with pytest.raises(CallFailed, match=rf"process {process.pid} \(.*\) uses it"):
            _aside.place_for(str(place))
        process.kill()


def test_a_file_that_somebody_has_open_stays(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "place"
    with place.open("w"), pytest.raises(CallFailed, match="uses it"):
        _aside.place_for(str(place))


@pytest.mark.parametrize("is_directory", [True, False], ids=["a directory", "a file"])
def test_nothing_is_moved_over_what_appeared_meanwhile(tmp_path: pathlib.Path, is_directory: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for path in (source, target):
        if is_directory:
            path.mkdir()
        (path / "file" if is_directory else path).write_text(path.name)
    with pytest.raises(CallFailed, match="was not moved"):
        _aside.move(str(source), str(target))
    assert (target / "file" if is_directory else target).read_text() == "target"
    assert (source / "file" if is_directory else source).read_text() == "source"
