# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a version of a key becomes files: their names, which tell a person what is what, and what they hold.

All files of a version begin with ``<dataset>.<record>.<version>``, the dataset percent-encoded:

* ``.<keyformat>.vault``: the key. Decrypted, its first line is what ``zfs load-key`` wants to read (64 digits also for
  ``raw``), its last what the version is, in JSON.
* ``.json``: what the version is, for people, and to find it without decrypting.
* ``.<state>.<time>``: that a state was reached; the file is empty, so it cannot be torn.
* ``.bound.<digest>``: a binding, in JSON; the digest tells whether the file is whole.

Private to the collection.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from ..module_utils._errors import EncryptionError
from ..module_utils._keys import HEX_KEY, Key, KeyFormat
from ._record import Binding, Kept, KeyId, State, Version, digest_of, key_id_from

FORMAT = 1
_FORMAT_FIELD = "zfsfleet_escrow"
_DATASET_LENGTH = 160  # of 255 bytes that a name may have
_NAME = re.compile(
    r"(?P<dataset>.+)\.(?P<record>[0-9a-f]{16})\.(?P<version>[0-9a-f]{12})\."
    r"(?:(?P<keyformat>hex|raw|passphrase)\.vault"
    r"|(?P<about>json)"
    r"|(?P<state>active|deactivated|compromised|destroyed)\.(?P<since>\d{8}T\d{6}\.\d{6}Z)"
    r"|bound\.(?P<bound>[0-9a-f]{16}))",
    re.ASCII,
)


class Unreadable(EncryptionError):
    """What a file holds is not what belongs there; the sentence says in what way, and names no file."""


@dataclass
class Files:
    """The names of one version's files in one directory.

    Args:
        dataset: as the names tell it, with dots at the end where it was too long for a name.
        segments: of its key, by name, with the keyformat. More than one is somebody's mistake.
        abouts: what it is.
        states: what it reached, and when.
        bindings: names.
    """

    dataset: str
    segments: dict[str, KeyFormat] = field(default_factory=dict)
    abouts: list[str] = field(default_factory=list)
    states: list[tuple[State, str]] = field(default_factory=list)
    bindings: list[str] = field(default_factory=list)

    @property
    def keyformat(self) -> KeyFormat:
        """What the name of a segment tells; where there is none, nobody knows better."""
        return next(iter(self.segments.values()), "hex")


def part_of_names(key_id: KeyId) -> str:
    """Return what the names of a version's files have in them, and no others."""
    return f".{key_id}."


def sorted_out(names: t.Iterable[str]) -> dict[KeyId, Files]:
    """Return the versions that a directory's files belong to; a file of any other name is a person's own."""
    found: dict[KeyId, Files] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        key_id = KeyId(match["record"], match["version"])
        files = found.setdefault(key_id, Files(unquote(match["dataset"])))
        if match["keyformat"]:
            files.segments[name] = t.cast("KeyFormat", match["keyformat"])
        elif match["about"]:
            files.abouts.append(name)
        elif match["state"]:
            files.states.append((t.cast("State", match["state"]), _at_length(match["since"])))
        else:
            files.bindings.append(name)
    return found


def directory_of(host: str) -> str:
    """Return the name of a host's directory: one for each host, and never hidden or above."""
    return _encoded(host)


def host_of(directory: str) -> str:
    """Return the host whose directory has this name."""
    return unquote(directory)


def segment_name(version: Version) -> str:
    return f"{_stem(version)}.{version.keyformat}.vault"


def about_name(version: Version) -> str:
    return f"{_stem(version)}.json"


def state_name(version: Version, state: State, at: str) -> str:
    return f"{_stem(version)}.{state}.{re.sub(r'[-:]', '', at)}"


def binding_name(version: Version, content: bytes) -> str:
    return f"{_stem(version)}.bound.{digest_of(content)}"


def segment_content(kept: Kept) -> bytes:
    """Return what is encrypted."""
    return kept.key.text("hex") + b"\n" + json.dumps(_told(kept.version)).encode() + b"\n"


def kept_from(content: bytes) -> Kept:
    """Read what was encrypted.

    Raises:
        Unreadable: it is nothing of the kind.
    """
    if not content.endswith(b"\n"):
        raise Unreadable("it holds no version of a key")
    secret, separator, told = content[:-1].rpartition(b"\n")
    if not separator:
        raise Unreadable("it holds no version of a key")
    version = version_from(told)
    if version.keyformat == "passphrase":
        return Kept(version, Key("passphrase", secret))
    text = secret.decode("ascii", errors="replace")
    if not HEX_KEY.fullmatch(text):
        raise Unreadable("its first line is not 64 hexadecimal digits")
    return Kept(version, Key("key", bytes.fromhex(text)))


def about_content(version: Version) -> bytes:
    return _readable(_told(version))


def version_from(content: bytes) -> Version:
    """Read what a version is.

    Raises:
        Unreadable: it does not say so.
    """
    told = _loaded(content)
    if told.get(_FORMAT_FIELD) != FORMAT:
        raise Unreadable(f"it is not of format {FORMAT}, which is all that this release of zfsfleet.encryption knows")
    try:
        version = Version(
            key_id=key_id_from(_text(told, "key_id")),
            host=_text(told, "host"),
            dataset=_text(told, "dataset"),
            keyformat=t.cast("KeyFormat", _text(told, "keyformat")),
            iterations=told["iterations"],
            created=_text(told, "created"),
            pool_guid=_text(told, "pool_guid"),
            keyguid=_text(told, "keyguid"),
        )
    except (EncryptionError, KeyError):
        raise Unreadable("it does not say what a version of a key is") from None
    if version.keyformat not in t.get_args(KeyFormat) or not _is_count(version.iterations):
        raise Unreadable("it names no keyformat or no number of iterations")
    return version


def binding_content(binding: Binding) -> bytes:
    return _readable(dataclasses.asdict(binding))


def binding_from(name: str, content: bytes) -> Binding:
    """Read a binding.

    Raises:
        Unreadable: it is torn, or changed.
    """
    if not name.endswith(f".{digest_of(content)}"):
        raise Unreadable("it is torn, or was changed by hand")
    told = _loaded(content)
    try:
        return Binding(*(_text(told, field.name) for field in dataclasses.fields(Binding)))
    except KeyError:
        raise Unreadable("it names no copy of the data") from None


def _stem(version: Version) -> str:
    return f"{_shortened(_encoded(version.dataset))}.{version.key_id.record}.{version.key_id.version}"


def _encoded(text: str) -> str:
    encoded = quote(text, safe="")
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def _shortened(encoded: str) -> str:
    if len(encoded) <= _DATASET_LENGTH:
        return encoded
    return re.sub("%.?$", "", encoded[: _DATASET_LENGTH - 3]) + "..."


def _told(version: Version) -> dict[str, t.Any]:
    told = {**dataclasses.asdict(version), "key_id": str(version.key_id)}
    return {_FORMAT_FIELD: FORMAT, **told}


def _readable(told: t.Mapping[str, t.Any]) -> bytes:
    return json.dumps(told, indent=2).encode() + b"\n"


def _loaded(content: bytes) -> dict[str, t.Any]:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        raise Unreadable("it is torn: it is no whole JSON") from None
    if not isinstance(told, dict):
        raise Unreadable("it is no JSON object")
    return told


def _text(told: t.Mapping[str, t.Any], name: str) -> str:
    value = told[name]
    if not isinstance(value, str):
        raise Unreadable(f"its {name} is no text")
    return value


def _is_count(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at_length(since: str) -> str:
    """Return the time in a name as records note it."""
    return f"{since[:4]}-{since[4:6]}-{since[6:8]}T{since[9:11]}:{since[11:13]}:{since[13:]}"
