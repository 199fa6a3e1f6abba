# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, bindings and keys as names and texts, the way servers keep them, and back.

A person who has nothing but the server's own client can read them; what is empty is left out.

Private to the collection.
"""

from __future__ import annotations

import base64
import contextlib
import json
import typing as t
import urllib.parse
from dataclasses import asdict, fields

from ..module_utils import _keys
from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from ._record import Binding, KeyId, Version, key_id_from

_OF_VERSION = tuple(each.name for each in fields(Version) if each.name != "key_id")
_MAY_BE_EMPTY = ("pool_guid", "keyguid")


class Unreadable(Exception):
    """What is kept is nothing that this collection wrote; the text says what is wrong and never holds a key."""


def told(version: Version) -> dict[str, str]:
    """Return all that a version tells without its key."""
    texts = {name: str(getattr(version, name)) for name in _OF_VERSION}
    return {"key_id": str(version.key_id), **{name: text for name, text in texts.items() if text}}


def version_from(texts: t.Mapping[str, t.Any]) -> Version:
    """Read what :func:`told` wrote; other names are ignored.

    Raises:
        Unreadable: something is missing or malformed.
    """
    texts = {name: text for name, text in texts.items() if isinstance(text, str)}
    missing = [name for name in ("key_id", *_OF_VERSION) if not texts.get(name) and name not in _MAY_BE_EMPTY]
    if missing:
        raise Unreadable(f"it lacks {', '.join(missing)}")
    if texts["keyformat"] not in t.get_args(_keys.KeyFormat):
        raise Unreadable("its keyformat is none of OpenZFS's")
    try:
        key_id, iterations = key_id_from(texts["key_id"]), int(texts["iterations"])
    except (Refused, ValueError):
        raise Unreadable("its key_id or its iterations cannot be read") from None
    others = {name: texts.get(name, "") for name in _OF_VERSION if name != "iterations"}
    return Version(key_id=key_id, iterations=iterations, **others)


def secret_of(key: Key) -> dict[str, str]:
    """Return a key under the name that says how to read it.

    ``key`` is 64 hexadecimal digits, whatever the keyformat; ``passphrase`` is what a person types, or
    ``passphrase_base64`` where that is not UTF-8.
    """
    if key.kind == "key":
        return {"key": key.secret.hex()}
    try:
        return {"passphrase": key.secret.decode("utf-8")}
    except UnicodeDecodeError:
        return {"passphrase_base64": base64.b64encode(key.secret).decode("ascii")}


def key_from(secret: t.Mapping[str, t.Any]) -> Key:
    """Read what :func:`secret_of` wrote.

    Raises:
        Unreadable: it is no key; it is not shown.
    """
    given = {name: secret[name] for name in _SECRETS if name in secret}
    if len(given) == 1:
        ((name, text),) = given.items()
        with contextlib.suppress(Refused, ValueError, TypeError):
            return _SECRETS[name](text)
    raise Unreadable(f"it holds no {' and no '.join(_SECRETS)} that could be read")


_SECRETS: dict[str, t.Callable[[str], Key]] = {
    "key": lambda text: _keys.hex_key(text, whose="it"),
    "passphrase": lambda text: _keys.passphrase(text, whose="it"),
    "passphrase_base64": lambda text: Key("passphrase", base64.b64decode(text, validate=True)),
}


def binding_text(binding: Binding) -> str:
    """Return a binding as JSON in one line; with the longest names that OpenZFS has it stays below 512 bytes."""
    return json.dumps(asdict(binding), separators=(",", ":"))


def binding_from(text: str) -> Binding:
    """Read what :func:`binding_text` wrote.

    Raises:
        Unreadable: it is malformed.
    """
    try:
        return Binding(**{name: _text(value) for name, value in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError):
        raise Unreadable("one of its bindings is malformed") from None


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def path_segment(host: str) -> str:
    """Return an inventory name as one segment of a path, percent-encoded where it has to be."""
    encoded = urllib.parse.quote(host, safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def host_of(segment: str) -> str:
    """Return the inventory name that :func:`path_segment` encoded."""
    return urllib.parse.unquote(segment)


def is_key_id(names: KeyId) -> bool:
    """Tell whether two names are such as records and versions have."""
    try:
        return key_id_from(str(names)) == names
    except Refused:
        return False
