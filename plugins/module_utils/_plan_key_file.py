# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the files that keys lie in: which one serves a root, what it has to hold, and where it must not lie.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from . import _keyfiles, _keys
from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._keyfiles import KeyFiles
from ._keys import Key
from ._model import Dataset, Tree
from ._offers import KeyFile, Secret
from ._plan import Observed


def serving_secret(entry: DatasetWanted, root: Dataset | None) -> Secret | None:
    """Return the entry's secret, a rotated key file standing for the one that was named."""
    if not isinstance(entry.secret, KeyFile) or root is None or not root.is_encryption_root:
        return entry.secret
    return KeyFile(_keyfiles.in_use(entry.secret.path, root.key_file))


def offered_key(secret: Secret | None, root: Dataset, key_files: KeyFiles) -> Key | None:
    """Return a secret as a key to be tried on an existing root, None where it cannot be its key."""
    if not isinstance(secret, KeyFile):
        return secret if isinstance(secret, Key) else None
    content = key_files.get(secret.path)
    if content is None:
        return None
    try:
        return _keys.from_file(content, root.keyformat, path=secret.path)
    except Refused:
        return None


def no_key_in(secret: Secret, root: Dataset, key_files: KeyFiles) -> str:
    """Say that a file holds no key of the form that a root has, empty where it does."""
    content = key_files.get(secret.path) if isinstance(secret, KeyFile) else None
    if content is None:
        return ""
    try:
        _keys.from_file(content, root.keyformat, path=t.cast(KeyFile, secret).path, way_out="")
    except Refused as refusal:
        return f". {str(refusal).rstrip(' .')}"
    return ""


def holds(content: bytes, keyformat: str, key: Key) -> bool:
    try:
        return _keys.from_file(content, keyformat, path="") == key
    except Refused:
        return False


def refuse_location_with_another_key(entry: DatasetWanted, key: Key, observed: Observed) -> None:
    """Refuse a ``keylocation`` whose file is there and holds something else: the next boot would find it."""
    content = _content_beside(entry, observed)
    if content is not None and not holds(content, entry.new_keyformat, key):
        raise Refused(
            f"keylocation of {entry.name} would be {entry.location_file}, which holds something else than the key "
            "given. Put the key into the file, or give key_file instead."
        )


def refuse_location_without_the_new_key(entry: DatasetWanted, observed: Observed) -> None:
    """Refuse a ``keylocation`` whose file is there, beside a key that is yet to be generated."""
    if _content_beside(entry, observed) is not None:
        raise Refused(
            f"keylocation of {entry.name} would be {entry.location_file}, which holds something else than the key that "
            f"is generated into {entry.key_file}. Leave keylocation out."
        )


def _content_beside(entry: DatasetWanted, observed: Observed) -> bytes | None:
    """Return what is in the file of a ``keylocation`` that is another one than the key's own, None if nothing."""
    path = entry.location_file
    return None if path is None or path == entry.key_file else observed.key_files.get(path)


def new_location(entry: DatasetWanted, root: Dataset) -> KeyFile | None:
    """Return the file that a task which offers no key makes a root's ``keylocation``."""
    path = entry.location_file
    if path is None or entry.secret is not None or entry.keylocation == root.value("keylocation"):
        return None
    return KeyFile(path)


def refuse_location_without_the_key(entry: DatasetWanted, root: Dataset, tree: Tree, observed: Observed) -> None:
    """Refuse a ``keylocation`` whose file does not open the root, or lies inside; one that is yet to come is fine."""
    file = new_location(entry, root)
    if file is None:
        return
    refuse_key_file_inside(entry, tree.members(root.name), observed)
    if observed.key_files.get(file.path) is None:
        return
    key = offered_key(file, root, observed.key_files)
    if key is None or observed.verdict(root.name, key).outcome == "wrong":
        raise Refused(
            f"keylocation of {entry.name} would be {file.path}, which holds something else than its key. "
            "Put the key into the file, or name another one."
        )


def refuse_key_file_inside(entry: DatasetWanted, opened: t.Iterable[Dataset], observed: Observed) -> None:
    """Refuse a key file that could be read only while what it opens is unlocked."""
    files = (entry.key_file, entry.location_file)
    paths = {path: observed.key_files.paths(path) for path in files if path is not None}
    for dataset in opened if paths else ():
        for path, ways in paths.items():
            inside = next((each for each in ways if dataset.is_encrypted and dataset.hides(each)), None)
            if inside is not None:
                raise Refused(
                    f"The key file {path} of {entry.name} lies inside {dataset.name}"
                    f"{'' if inside == path else f' (as {inside})'}, which it is to open, and could not be read when "
                    "that is locked. Keep it elsewhere."
                )
