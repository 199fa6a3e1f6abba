# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of one's own, in which a file is whole and durable or not there, and never replaced.

Everything goes by descriptors, so that nobody can put another directory into the place of one that was looked at.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time

from ..module_utils._errors import EncryptionError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
SIZE_LIMIT = 64 * 1024  # a version takes two kilobytes
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TEMPORARY = ".new"
_ABANDONED = 3600.0  # seconds; no write takes as long


class Unfit(EncryptionError):
    """What is at a path cannot be used; the sentence says why, and the way out."""


class Directory:
    """An open directory.

    Args:
        path: its path, for messages.
        descriptor: it is closed with the directory.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def names(self, about: str = "") -> list[str]:
        """Return the names of what is in it, sorted, without hidden ones like git's and what a killed run left.

        Args:
            about: only those with this in them.
        """
        found = [name for name in os.listdir(self._descriptor) if about in name]
        return sorted(name for name in found if not name.startswith("."))

    def below(self, name: str) -> Directory:
        """Open a directory in it.

        Raises:
            Unfit: it is none, or not one's own.
            OSError: it is not there, or cannot be opened.
        """
        return _opened(name, os.path.join(self.path, name), self._descriptor)

    def is_directory(self, name: str) -> bool:
        """Tell whether there is a directory, or a link that may stand for one, of this name."""
        try:
            mode = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(mode) or stat.S_ISLNK(mode)

    def make(self, name: str) -> None:
        """Make a directory in it, durable at return, also where another run made it and was killed before it was.

        Raises:
            OSError: it cannot be made.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, DIRECTORY_MODE, dir_fd=self._descriptor)
        self.sync()

    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Raises:
            Unfit: it is no regular file, or too large.
            OSError: it is not there, or cannot be read.
        """
        path = os.path.join(self.path, name)
        # Not blocking: a pipe in this place must not hold up the run.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Unfit(f"{path} is a symbolic link. Put the file itself there.") from None
            raise
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unfit(f"{path} is no regular file. Move it away.")
            content = file.read(SIZE_LIMIT + 1)
        if len(content) > SIZE_LIMIT:
            raise Unfit(f"{path} is larger than anything that is kept. Move it away.")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a new file, whole and durable at return.

        Raises:
            FileExistsError: there is one of this name. It is as it was.
            OSError: it cannot be written; there is none.
        """
        temporary = f".{secrets.token_hex(8)}{_TEMPORARY}"
        try:
            self._fill(temporary, content)
            # Not renamed: that would replace what is there.
            os.link(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._descriptor)
        self.sync()

    def mark(self, name: str) -> None:
        """Make an empty file, durable at return, also where it is there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.sync()

    def remove(self, name: str) -> None:
        """Unlink a file, durably; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)
        self.sync()

    def sync(self) -> None:
        """Make durable what is listed in it."""
        os.fsync(self._descriptor)

    def sweep(self) -> None:
        """Remove what killed runs left: files without a name of their own that were never finished."""
        for name in os.listdir(self._descriptor):
            if not (name.startswith(".") and name.endswith(_TEMPORARY)):
                continue
            with contextlib.suppress(FileNotFoundError):
                written = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mtime
                if time.time() - written > _ABANDONED:
                    os.unlink(name, dir_fd=self._descriptor)

    def _fill(self, name: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
        try:
            os.fchmod(descriptor, FILE_MODE)  # whatever the umask is
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def opened(path: str) -> Directory:
    """Open a directory that has to be there.

    Raises:
        Unfit: it is none, a link, somebody else's, or others may write to it.
        OSError: it is not there, or cannot be opened.
    """
    return _opened(path, path, None)


def _opened(name: str, path: str, above: int | None) -> Directory:
    if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        raise Unfit(f"{path} is a symbolic link. Name the directory that it stands for, {os.path.realpath(path)}.")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=above)
    try:
        _refuse_shared(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return Directory(path, descriptor)


def _refuse_shared(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise Unfit(
            f"{path} belongs to user {status.st_uid}, and this is user {os.geteuid()}. Run as its owner, "
            "or keep keys in a directory of your own."
        )
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise Unfit(f"Others may write to {path}, so they could take keys away. Run chmod go-w {path}.")
