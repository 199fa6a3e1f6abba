# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files on a host whose keys were replaced: which there may be, and how they go.

When the old key was read from escrow, the new one is active there, and the host proved that it opens the root, a file
with the old one is only a copy that somebody could find. A run that dies in between leaves it to a later one. Private
to the collection.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ..module_utils._keyfiles import versioned
from ._escrow import Held
from ._seen import Root
from ._trial import Ask, Result, Trial

_COMMAND = "ansible.builtin.command"
_MOST_FILES = 500  # on one command line
_REPLACED = ("deactivated", "compromised")


@dataclass(frozen=True)
class OldFile:
    """A file that may hold a key which was replaced.

    Args:
        path: the file.
        dataset: the root whose key it was.
        key_id: of that key.
        is_there: whether the root had it until now; others may have been left by runs that died, or never have been.
        is_named: whether a person named it, who may need it for what cannot be seen, an exported pool for instance.
    """

    path: str
    dataset: str
    key_id: str
    is_there: bool = False
    is_named: bool = False


def old_files(root: Root, before: Held | None, record: t.Iterable[Held], *, is_changed: bool) -> list[OldFile]:
    """Name the files that may hold keys which a root had before.

    Args:
        root: as it was before this run.
        before: the version that its present one took the place of in this run, or in one that this run finished.
        record: all versions of its record, as they were noted before this run.
        is_changed: whether this run gave it another key.
    """
    path = root.key_file
    if path is None:
        return []
    versions = list(record)
    is_named = all(path != versioned(path, each.key_id.version) for each in versions)
    had = [OldFile(path, root.name, str(before.key_id), True, is_named)] if is_changed and before is not None else []
    replaced = [each for each in versions if each.state in _REPLACED or each == before]
    files = {versioned(path, each.key_id.version): str(each.key_id) for each in replaced}
    return had + [OldFile(file, root.name, key_id) for file, key_id in files.items() if file != path]


def without_old_files(result: Result, files: t.Sequence[OldFile], trial: Trial) -> Result:
    """Remove files whose keys were replaced, once nothing that can be seen is opened by them any more.

    Returns:
        The result with what was removed, and with warnings where something could not be.
    """
    found, warnings = _that_are_there(files, trial.ask)
    if found:
        seen = trial.look((), {})
        in_use = {os.path.normpath(root.key_file) for root in seen.roots.values() if root.key_file is not None}
        gone = {each.path: each for each in found if os.path.normpath(each.path) not in in_use}
        failures = _left_after_removal(list(gone), trial.ask)
        removed = [each for path, each in gone.items() if path not in failures]
        actions = [*result["actions"], *map(_action, removed)]
        result = {**result, "actions": actions, "removed_files": [each.path for each in removed]}
        warnings += failures.values()
    return {**result, "warnings": [*result.get("warnings", ()), *warnings]} if warnings else result


def _action(file: OldFile) -> dict[str, t.Any]:
    after = {"key_file": file.path, "key_id": file.key_id}
    return {"dataset": file.dataset, "action": "remove_key_file", "after": after}


def _that_are_there(files: t.Sequence[OldFile], ask: Ask) -> tuple[list[OldFile], list[str]]:
    """Look for the files that earlier runs may have left, in one command; return those that are there, and warnings."""
    places = sorted({os.path.dirname(each.path) for each in files if not each.is_there})
    if not places:
        return list(files), []
    # What lies in a directory that is not there or cannot be read is not found; the others are told all the same.
    outcome = ask(_COMMAND, {"argv": ["find", "-H", *places, "-maxdepth", "1", "-type", "f", "-name", "*.key"]})
    there = set(str(outcome.get("stdout") or "").splitlines())
    why = outcome.get("stderr") or outcome.get("msg")
    failed = [f"Key files of earlier rotations may be left on the host: {why}"] if outcome.get("failed") else []
    return [each for each in files if each.is_there or each.path in there], failed


def _left_after_removal(paths: t.Sequence[str], ask: Ask) -> dict[str, str]:
    """Remove files on the host, hundreds in one command; return why some could not be."""
    left: dict[str, str] = {}
    for start in range(0, len(paths), _MOST_FILES):
        portion = paths[start : start + _MOST_FILES]
        if _why_left(portion, ask) is not None:
            left.update({path: why for path in portion for why in [_why_left([path], ask)] if why is not None})
    return left


def _why_left(paths: t.Sequence[str], ask: Ask) -> str | None:
    """Remove files, and nothing else that may lie there by now; say so where that failed."""
    outcome = ask(_COMMAND, {"argv": ["rm", "-f", "--", *paths]})
    if not outcome.get("failed"):
        return None
    why = outcome.get("stderr") or outcome.get("msg")
    return f"A key file whose key was replaced could not be removed: {why}"
