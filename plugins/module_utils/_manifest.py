# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: one JSON object, dataset name to key text, as TrueNAS exports and imports it.

Private to the collection; used on the controller and on the managed host.
"""

from __future__ import annotations

import json
import re
import typing as t

from ._errors import Refused
from ._model import is_dataset_name

_LOOKS_LIKE_A_KEY = re.compile(r"[0-9a-fA-F]{64}")
SIZE_LIMIT = 10 * 1024 * 1024  # what TrueNAS reads


def parse(content: bytes | str, *, where: str) -> dict[str, str]:
    """Read a manifest.

    Args:
        content: the JSON text.
        where: the file's name, for the refusal.

    Raises:
        Refused: it is no object of strings, or too large. The text never quotes the content.
    """
    if len(content) > SIZE_LIMIT:
        raise Refused(f"The manifest {where} is larger than 10 MiB; that is no list of keys.")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.lstrip("\ufeff")
        data = json.loads(text, object_pairs_hook=_without_duplicates)
    except _Duplicate:
        raise Refused(f"The manifest {where} names a dataset twice. Keep one entry for each.") from None
    except (ValueError, RecursionError):
        raise Refused(
            f'The manifest {where} is not JSON. It should look like {{"pool/dataset": "64 hex digits"}}.'
        ) from None
    return checked(data, where=where)


def checked(data: t.Any, *, where: str) -> dict[str, str]:
    """Return the data if it is an object of strings.

    Raises:
        Refused: it is anything else.
    """
    if not isinstance(data, dict):
        raise Refused(f"The manifest {where} is no JSON object of dataset names and keys.")
    for name, text in data.items():
        if not isinstance(name, str) or not is_dataset_name(name) or _LOOKS_LIKE_A_KEY.fullmatch(name):
            raise Refused(
                f"The manifest {where} has an entry whose name is no dataset's; it may be a key, so it is not shown. "
                'Every entry is "pool/dataset": "key".'
            )
        if not isinstance(text, str):
            raise Refused(f"The manifest {where} has an entry for {name} that is no text. Every key is a string.")
    return data


def given(params: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the manifest that came with a task, or the one that it names on this host.

    Raises:
        Refused: it cannot be read, or is no manifest.
    """
    if params.get("manifest_content") is not None:
        return checked(params["manifest_content"], where="in manifest_content")
    path = params.get("manifest")
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            return parse(file.read(SIZE_LIMIT + 1), where=path)
    except OSError as error:
        raise Refused(
            f"The manifest {path} cannot be read on the host: {error.strerror}. "
            "Correct the path, or leave remote_src out if it lies on the controller."
        ) from None


class _Duplicate(Exception):
    """A name that stands twice in one object; json would silently keep the last."""


def _without_duplicates(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Duplicate
        found[name] = value
    return found
