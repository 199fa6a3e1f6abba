# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest's file: replaced at once or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import signal
import stat

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _manifest_file
from ansible_collections.zfsfleet.encryption.plugins.module_utils._document import Document, Entry
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._manifest_file import Destination, WriteManifest

from .trees import KEY, OTHER_KEY

DOCUMENT = Document("2026-11-23T00:00:00Z", {"tank/a": Entry(KEY), "tank/b": Entry(OTHER_KEY)})
OLD = b'{"tank/a": "something older"}'


def step(path: pathlib.Path, backup_file: pathlib.Path | None = None) -> WriteManifest:
    kept = None if backup_file is None else str(backup_file)
    found = _manifest_file.look(str(path))
    planned = _manifest_file.plan_file(DOCUMENT, found, Destination(str(path), "truenas", kept, force=True))
    assert planned is not None
    return planned


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "keys.json"


def kill_at(call: str, planned: WriteManifest) -> None:
    """Write in a process of its own that is killed when it comes to a system call."""
    child = os.fork()
    if child == 0:
        setattr(os, call, lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL))
        planned.perform()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_run_that_is_killed_leaves_the_old_manifest_and_the_next_one_clears_up(
    path: pathlib.Path, tmp_path: pathlib.Path, call: str
) -> None:
    path.write_bytes(OLD)
    kill_at(call, step(path))
    assert path.read_bytes() == OLD
    (left,) = set(tmp_path.iterdir()) - {path}
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    step(path).perform()
    assert path.read_bytes() == DOCUMENT.rendered("truenas")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_everything_as_it_was(
    path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(OLD)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CallFailed, match=r"No space left on device\. What was there is as it was\.") as failure:
        step(path).perform()
    assert failure.value.errno == errno.ENOSPC
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (OLD, [path])


def test_the_file_is_durable_before_it_has_its_name_and_its_name_before_the_end(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    rename = os.rename

    def note(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def renamed(old: str, new: str) -> None:
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", renamed)
    step(path).perform()
    assert done == ["file", "directory", "rename", "directory"]


def test_nobody_else_can_read_it_for_a_moment(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    opened = os.open

    def watched(name: str, flags: int, mode: int = 0o777) -> int:
        descriptor = opened(name, flags, mode)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        step(path).perform()
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_what_somebody_else_wrote_meanwhile_is_left_alone(path: pathlib.Path) -> None:
    planned = step(path)
    path.write_bytes(OLD)
    with pytest.raises(CallFailed, match="was changed meanwhile and was left alone"):
        planned.perform()
    assert path.read_bytes() == OLD


def test_two_hosts_of_one_play_do_not_write_at_once(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_manifest_file, "PATIENCE", 0.1)
    planned = step(path)
    holder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(CallFailed, match="is locked by somebody else"):
        planned.perform()
    os.close(holder)
    planned.perform()
    assert path.exists()


def test_a_backup_is_never_written_over(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path.write_bytes(OLD)
    kept = tmp_path / "kept"
    kept.write_text("precious")
    with pytest.raises(CallFailed, match="File exists"):
        step(path, kept).perform()
    assert (path.read_bytes(), kept.read_text()) == (OLD, "precious")


def test_the_backup_is_there_before_the_manifest_is_replaced(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path.write_bytes(OLD)
    kill_at("rename", step(path, tmp_path / "kept"))
    assert (tmp_path / "kept").read_bytes() == OLD


def test_content_that_differs_when_read_back_is_not_put_in_place(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(OLD)
    planned = step(path)

    def spoil(_descriptor: int) -> None:
        path.with_name(".keys.json.new").write_bytes(b"spoilt")

    monkeypatch.setattr(os, "fsync", spoil)
    with pytest.raises(CallFailed, match="does not hold what was written to it"):
        planned.perform()
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("kind", ["link", "directory", "pipe", "below a file"])
def test_what_is_no_file_of_its_own_is_refused(path: pathlib.Path, tmp_path: pathlib.Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(OLD)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(OLD)
        path /= "keys.json"
    with pytest.raises(Refused, match=r"Name the file|cannot be read: Not a directory"):
        _manifest_file.look(str(path))


def test_neither_keys_nor_bytes_show_in_a_step(path: pathlib.Path) -> None:
    path.write_bytes(OLD)
    shown = repr(step(path)) + repr(_manifest_file.look(str(path)))
    assert "something older" not in shown
    assert KEY.secret.hex() not in shown
