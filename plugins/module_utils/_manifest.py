# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest, in both formats: TrueNAS's object of names and key texts, and a document of our own that says more.

Private to the collection; used on the controller and on the managed host.
"""

from __future__ import annotations

import json
import typing as t

from . import _keys
from ._errors import Refused
from ._keys import Key
from ._names import is_dataset_name

FORMAT = "zfsfleet.encryption/manifest"
VERSION = 1
SIZE_LIMIT = 10 * 1024 * 1024  # what TrueNAS reads

_KINDS = ("key", "passphrase")

# A value of TrueNAS's format is text, whose kind the dataset's keyformat tells; our own says the kind.
Value = t.Union[str, Key]


def parse(content: bytes | str, *, where: str) -> dict[str, Value]:
    """Read a manifest of either format.

    Args:
        content: the JSON text.
        where: the file's name, for the refusal.

    Raises:
        Refused: it is no manifest, of an unknown version, or too large. The text never quotes the content.
    """
    return checked(load(content, where=where), where=where)


def load(content: bytes | str, *, where: str) -> t.Any:
    """Read JSON, without judging what it says.

    Raises:
        Refused: it is no JSON, or too large. The text never quotes the content.
    """
    if len(content) > SIZE_LIMIT:
        raise Refused(f"The manifest {where} is larger than 10 MiB; that is no list of keys.")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.lstrip("\ufeff")
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except _Duplicate:
        raise Refused(f"The manifest {where} names a dataset twice. Keep one entry for each.") from None
    except (ValueError, RecursionError):
        raise Refused(
            f'The manifest {where} is not JSON. It should look like {{"pool/dataset": "64 hex digits"}}.'
        ) from None


def checked(data: t.Any, *, where: str) -> dict[str, Value]:
    """Return the values of a manifest by dataset name.

    Raises:
        Refused: it is anything but a manifest.
    """
    if not isinstance(data, dict):
        raise Refused(f"The manifest {where} is no JSON object of dataset names and keys.")
    if is_own_format(data):
        return {name: _own_key(name, entry, where) for name, entry in own_datasets(data, where=where).items()}
    for name, text in data.items():
        _refuse_bad_name(name, where)
        if not isinstance(text, str):
            raise Refused(f"The manifest {where} has an entry for {name} that is no text. Every key is a string.")
    return dict(data)


def is_own_format(data: t.Any) -> bool:
    return isinstance(data, t.Mapping) and data.get("format") == FORMAT


def own_datasets(data: t.Mapping[str, t.Any], *, where: str) -> dict[str, t.Any]:
    """Return the entries of a document in our own format.

    Raises:
        Refused: another release wrote it, or it is damaged.
    """
    version, datasets = data.get("version"), data.get("datasets")
    if version != VERSION or isinstance(version, bool):
        shown = int(version) if isinstance(version, int) else "unknown"
        raise Refused(
            f"The manifest {where} is of version {shown}; this release of zfsfleet.encryption reads version {VERSION}. "
            "Read it with the release that wrote it, or a newer one."
        )
    if not isinstance(datasets, dict):
        raise Refused(f"The manifest {where} has no object 'datasets'; it is damaged.")
    return datasets


def _own_key(name: str, entry: t.Any, where: str) -> Key:
    _refuse_bad_name(name, where)
    found = [kind for kind in _KINDS if isinstance(entry, dict) and isinstance(entry.get(kind), str)]
    if len(found) != 1:
        raise Refused(f"The manifest {where} has an entry for {name} without one key or one passphrase.")
    return _key_of(found[0], entry[found[0]], name)


def _key_of(kind: str, text: str, name: str) -> Key:
    whose = f"{name} in the manifest"
    return _keys.hex_key(text, whose=whose) if kind == "key" else _keys.passphrase(text, whose=whose)


def _refuse_bad_name(name: t.Any, where: str) -> None:
    if not isinstance(name, str) or not is_dataset_name(name) or _keys.HEX_KEY.fullmatch(name):
        raise Refused(
            f"The manifest {where} has an entry whose name is no dataset's; it may be a key, so it is not shown. "
            'Every entry is "pool/dataset": "key".'
        )


def kind_and_text(key: Key) -> dict[str, str]:
    """Return a key as our own format has it.

    Raises:
        UnicodeDecodeError: a passphrase that is no UTF-8.
    """
    return {"key": key.secret.hex()} if key.kind == "key" else {"passphrase": key.secret.decode("utf-8")}


def for_the_wire(values: t.Mapping[str, Value]) -> dict[str, t.Any]:
    """Return values as ``manifest_content`` takes them to a host: names and secrets only.

    Ansible masks every value of that option in the result, so what is no secret must not be among them.
    """
    return {name: value if isinstance(value, str) else kind_and_text(value) for name, value in values.items()}


def _from_the_wire(data: t.Any, *, where: str) -> dict[str, Value]:
    if not isinstance(data, dict):
        return checked(data, where=where)
    kinds = {name: value for name, value in data.items() if isinstance(value, dict)}
    texts = {name: value for name, value in data.items() if name not in kinds}
    return {**checked(texts, where=where), **{name: _own_key(name, value, where) for name, value in kinds.items()}}


def given(params: t.Mapping[str, t.Any]) -> dict[str, Value]:
    """Return the manifest that came with a task, or the one that it names on this host.

    Raises:
        Refused: it cannot be read, or is no manifest.
    """
    if params.get("manifest_content") is not None:
        return _from_the_wire(params["manifest_content"], where="in manifest_content")
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
