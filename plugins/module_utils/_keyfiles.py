# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files on the managed host: read with suspicion, written to last.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import typing as t
from dataclasses import dataclass, field, replace

from ._errors import CallFailed, Refused
from ._names import names_above

_LIMIT = 4096  # more than any key; a larger file is a mistake


@dataclass(frozen=True)
class KeyFiles:
    """Key files as they were read.

    Args:
        contents: by path, None for a file that is not there.
        problems: by path, a sentence about a file that cannot be read.
        real: by path, where the file really lies or would lie, all symbolic links followed.
        behind_links: mountpoints whose path, as OpenZFS shows it, leads over symbolic links, and where they really are.
    """

    contents: t.Mapping[str, bytes | None] = field(default_factory=dict, repr=False)
    problems: t.Mapping[str, str] = field(default_factory=dict)
    real: t.Mapping[str, str] = field(default_factory=dict)
    behind_links: t.Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str) -> bytes | None:
        """Return a file's content, None if it is not there.

        Raises:
            Refused: it could not be read.
        """
        if path in self.problems:
            raise Refused(self.problems[path])
        return self.contents.get(path)

    def paths(self, path: str) -> tuple[str, ...]:
        """Return a file's path as written, without detours, where its links lead, and by mountpoints behind links.

        Each may show a mountpoint that the others hide.
        """
        real = self.real.get(path, path)
        around = frozenset(names_above(real))
        behind = (f"{shown}{real[len(place) :]}" for shown, place in self.behind_links.items() if place in around)
        return tuple(dict.fromkeys((path, plain(path), real, *behind)))

    def without_those_below(self, places: t.Iterable[str]) -> KeyFiles:
        """Return the key files of which those below the given directories count as unreadable."""
        closed = frozenset(places)
        problems = {
            path: f"The key file {path} lies inside what is to be locked and could not be read then."
            for path in self.contents
            if any(above in closed for each in self.paths(path) for above in (*names_above(each), "/"))
        }
        return replace(self, problems={**self.problems, **problems})


def read(path: str) -> bytes | None:
    """Return the content of a key file, None if there is none.

    Raises:
        Refused: it cannot be read, or cannot be a key file.
    """
    try:
        # Not blocking: a pipe in this place must not hold up the run.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(f"The key file {path} is no regular file. Check the path.")
            content = file.read(_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"The key file {path} cannot be read: {error.strerror}.") from None
    if len(content) > _LIMIT:
        raise Refused(f"The key file {path} is larger than {_LIMIT} bytes; that is no key. Check the path.")
    return content


def write(path: str, content: bytes) -> None:
    """Write a new key file, mode 0400, on stable storage at return, and read it back.

    A run that is killed leaves it whole or not at all, where the file system knows files without names (open(2)).

    Raises:
        CallFailed: it exists, its directory is missing, or what was read back differs.
    """
    directory = os.path.dirname(path) or "."
    try:
        if not _appeared(path, directory, content):
            with _filled(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, content):
                pass
        sync_directory(directory)
        with open(path, "rb") as file:
            written = file.read()
    except FileExistsError:
        raise CallFailed(f"The key file {path} appeared meanwhile and was left alone. Run the task again.") from None
    except OSError as error:
        raise CallFailed(
            f"The key file {path} cannot be written: {error.strerror}. Nothing uses it yet.", errno=error.errno
        ) from None
    if written != content:
        raise CallFailed(f"The key file {path} does not hold what was written to it. Check the file system below it.")


def _appeared(path: str, directory: str, content: bytes) -> bool:
    """Write a file that has no name, then give it one; False where the file system cannot do that."""
    try:
        with _filled(directory, os.O_TMPFILE, content) as descriptor:
            # Without a descriptor of a directory os.link does not follow the link below /proc.
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError as error:
        # EISDIR from kernels, and EPERM and ENOENT from systems, that hide what it takes (open(2), linkat(2)).
        if error.errno in (errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.EPERM, errno.ENOENT):
            return False
        raise
    return True


@contextlib.contextmanager
def _filled(place: str, flags: int, content: bytes) -> t.Iterator[int]:
    """Give a new file that durably holds this content."""
    with os.fdopen(os.open(place, os.O_WRONLY | flags | os.O_CLOEXEC, 0o400), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        yield file.fileno()


def sync(path: str) -> None:
    """Make a key file that somebody else wrote durable before it is relied on, its directory entry included.

    Raises:
        CallFailed: it cannot be done.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EROFS, errno.ENOTSUP):
            return  # a file system that is never written to
        raise CallFailed(
            f"The key file {path} cannot be made durable: {error.strerror}. Nothing uses it yet.", errno=error.errno
        ) from None


def sync_directory(path: str) -> None:
    """Make a new directory entry durable: without this a power cut may lose the file that was fsynced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def versioned(path: str, version: str) -> str:
    """Return the file beside a key file, or beside one of its versions, that a rotation puts another version into.

    Args:
        path: the file that serves a root.
        version: of the key's id, 12 hexadecimal digits; ``in_use`` takes the result for the file that was named.
    """
    directory, name = os.path.split(path)
    stem = re.sub(r"(\.[0-9a-f]{12})?(\.key)?$", "", name) or name
    return os.path.join(directory, f"{stem}.{version}.key")


def plain(path: str) -> str:
    """Return a path without the slashes and dots that say nothing: one file has one name. Links are followed later."""
    words = [word for word in path.split("/") if word not in ("", ".")]
    return "/" + "/".join(words)


def in_use(key_file: str, keylocation_path: str | None) -> str:
    """Return the file that really serves a root: the named one, or the version that a rotation put beside it.

    A rotation writes ``NAME.VERSION.key`` next to ``NAME.key`` and points ``keylocation`` there in the same
    transaction as the key; provisioning takes that for the file it named.
    """
    if keylocation_path is None or os.path.dirname(plain(keylocation_path)) != os.path.dirname(plain(key_file)):
        return key_file
    stem = os.path.basename(key_file).removesuffix(".key")
    versioned = re.fullmatch(re.escape(stem) + r"\.[^/.]+\.key", os.path.basename(keylocation_path))
    return keylocation_path if versioned else key_file
