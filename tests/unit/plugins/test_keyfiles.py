# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files and locks on the managed host."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import stat

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keyfiles, _lock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Pool


@pytest.fixture(params=["files without names", "no files without names"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system can do, as far as it matters here."""
    really_open = os.open

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        return really_open(path, flags, mode)

    if request.param == "no files without names":
        monkeypatch.setattr(os, "open", opened)


def test_a_run_that_is_killed_leaves_a_key_file_whole_or_not_at_all(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.key"
    for name in ("fdopen", "fsync", "link"):
        child = os.fork()
        if not child:
            # Whatever calls it next dies.
            vars(os)[name] = lambda *_given, **_named: os.kill(os.getpid(), signal.SIGKILL)
            _keyfiles.write(str(path), b"secret")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
        assert not path.exists() or path.read_bytes() == b"secret"
        assert list(tmp_path.iterdir()) in ([], [path])
        path.unlink(missing_ok=True)


@pytest.mark.usefixtures("file_system")
def test_a_written_key_file_is_readable_by_its_owner_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.key"
    _keyfiles.write(str(path), b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert _keyfiles.read(str(path)) == b"secret"


@pytest.mark.usefixtures("file_system")
def test_a_new_key_file_and_its_directory_are_synced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    _keyfiles.write(str(tmp_path / "a.key"), b"secret")
    assert synced == [False, True]


@pytest.mark.usefixtures("file_system")
def test_an_existing_key_file_is_never_written_over(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(b"first")
    with pytest.raises(CallFailed, match="appeared meanwhile and was left alone"):
        _keyfiles.write(str(path), b"second")
    assert path.read_bytes() == b"first"


@pytest.mark.usefixtures("file_system")
def test_a_key_file_is_never_written_through_a_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CallFailed):
        _keyfiles.write(str(tmp_path / "a.key"), b"secret")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("file_system")
def test_a_key_file_in_a_directory_that_is_not_there_fails_with_its_reason(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CallFailed, match=r"cannot be written: No such file or directory\. Nothing uses it yet"):
        _keyfiles.write(str(tmp_path / "none" / "a.key"), b"secret")


def test_a_missing_key_file_is_none_and_a_huge_one_is_refused(tmp_path: pathlib.Path) -> None:
    assert _keyfiles.read(str(tmp_path / "none.key")) is None
    (tmp_path / "huge.key").write_bytes(bytes(5000))
    with pytest.raises(Refused, match="larger than 4096 bytes"):
        _keyfiles.read(str(tmp_path / "huge.key"))
    with pytest.raises(Refused, match="cannot be read: Is a directory"):
        _keyfiles.read(str(tmp_path))


@pytest.mark.parametrize(
    ("location", "serving"),
    [
        (None, "/etc/a.key"),
        ("/etc/a.key", "/etc/a.key"),
        ("/etc/a.3f9c.key", "/etc/a.3f9c.key"),
        ("/etc/ab.3f9c.key", "/etc/a.key"),
        ("/etc/a.3.9.key", "/etc/a.key"),
        ("/root/a.3f9c.key", "/etc/a.key"),
        ("/etc/a.3f9c.txt", "/etc/a.key"),
    ],
)
def test_only_a_version_beside_the_named_file_stands_for_it(location: str | None, serving: str) -> None:
    assert _keyfiles.in_use("/etc/a.key", location) == serving


def test_a_second_run_on_a_pool_is_refused_while_the_first_goes_on(tmp_path: pathlib.Path) -> None:
    pool, other = Pool("tank", "12"), Pool("lake", "13")
    with _lock.hold([pool], directory=str(tmp_path)):
        with _lock.hold([other], directory=str(tmp_path)):
            pass
        refusal = pytest.raises(Refused, match="Another run is changing keys of pool tank")
        with refusal, _lock.hold([pool], directory=str(tmp_path), patience=0.2):
            pass
    with _lock.hold([pool], directory=str(tmp_path), patience=0):
        pass
