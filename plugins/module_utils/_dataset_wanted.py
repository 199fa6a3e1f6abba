# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of ``zfs_dataset_key`` asks for, one entry a dataset, judged as far as the request alone tells.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from . import _keys, _properties
from ._choice import refuse_no_name
from ._errors import Refused
from ._keyfiles import plain
from ._keys import Key
from ._model import file_of
from ._names import depth_of, parent_of, pool_of
from ._offers import KeyFile, Secret, secret_from

KEY_OPTIONS = ("key", "passphrase", "key_file")
_ATTRIBUTES = ("keylocation", "keyformat", "pbkdf2iters")
_ABOUT_KEYS = ("generate_key", "current", *_ATTRIBUTES)
# Whether its root is there, nobody knows yet.
_TWO_WAYS_OUT = f"If it has a key already, give that as it was set. {_keys.A_NEW_ONE}"


_KEYLOCATION = re.compile(r"prompt|file:///.*[^/]|https?://.+")
State = t.Literal["present", "inherited", "absent"]


@dataclass(frozen=True)
class DatasetWanted:
    """One dataset as it should be. What is None was not asked for and is not compared.

    Args:
        secret: the key its root should have: a key, a passphrase, or a file on the host.
        copied_to: a file on the host that shall hold the key or passphrase given.
        generate: make a key into that file where neither the file nor the root is there yet.
        current: the key that a root has now, to be replaced.
        change: whether an existing root may get another key.
        sparse: whether a volume shall do without a reservation of its space.
        sparse_by_default: whether that is said for the volumes of a batch, not for this one.
        properties: as OpenZFS takes them; ``inherit`` for none of its own.
        heal: whether what is wrapped with another key than its root may be wrapped anew, while it is in use.
        repoint: whether it shall refer to another encryption root and stay wrapped as it is.
        replication_ended: whether a replica is known to receive nothing any more.
        keeps_truenas_hierarchy: whether TrueNAS's rules on what may lie below what hold.
    """

    name: str
    state: State = "present"
    secret: Secret | None = None
    copied_to: str | None = None
    generate: bool = False
    keyformat: str | None = None
    keylocation: str | None = None
    pbkdf2iters: int | None = None
    encryption: str | None = None
    current: Secret | None = None
    change: bool = False
    volume_size: str | None = None
    sparse: bool | None = None
    sparse_by_default: bool = False
    is_volume: bool | None = None
    properties: t.Mapping[str, str] = field(default_factory=dict)
    force_destroy: bool = False
    heal: bool = False
    repoint: bool = False
    replication_ended: bool = False
    keeps_truenas_hierarchy: bool = True

    @property
    def is_plain(self) -> bool:
        return self.encryption == "off"

    @property
    def own_properties(self) -> dict[str, str]:
        """Those that a new dataset is given: what it inherits, it has by itself."""
        return {name: value for name, value in self.properties.items() if value != _properties.INHERIT}

    @property
    def key_file(self) -> str | None:
        """The file that holds its key, or shall hold it."""
        return self.secret.path if isinstance(self.secret, KeyFile) else self.copied_to

    @property
    def location_file(self) -> str | None:
        """The file that its ``keylocation`` shall name."""
        return None if self.keylocation is None else file_of(self.keylocation)

    @property
    def new_keyformat(self) -> str:
        """The format that a new key gets: as asked, else ``passphrase`` or ``hex`` as the secret is."""
        if self.keyformat is not None:
            return self.keyformat
        is_passphrase = isinstance(self.secret, Key) and self.secret.kind == "passphrase"
        return "passphrase" if is_passphrase else "hex"

    @property
    def new_iterations(self) -> int:
        if self.new_keyformat != "passphrase":
            return 0
        return self.pbkdf2iters or _keys.DEFAULT_ITERATIONS


@dataclass(frozen=True)
class BatchWanted:
    """All entries of a task: removals first, deepest first, then the rest, parents first."""

    entries: tuple[DatasetWanted, ...]

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(sorted({pool_of(entry.name) for entry in self.entries}))

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of all properties that any entry sets, to be read with the rest."""
        names = {name for entry in self.entries for name in entry.properties}
        reservation = {"refreservation"} if any(entry.sparse is not None for entry in self.entries) else set()
        return (*sorted(names | reservation), "volblocksize")


def batch_wanted(params: t.Mapping[str, t.Any]) -> BatchWanted:
    """Read ``name`` or ``datasets``; the top level gives every entry its defaults.

    Raises:
        Refused: an entry contradicts itself or another one, or a key is malformed.
    """
    entries = params.get("datasets")
    merged = [dict(params)] if entries is None else [with_defaults(params, entry) for entry in entries]
    wanted = [dataset_wanted(options) for options in merged]
    if entries is not None:
        wanted = [replace(each, sparse_by_default=own.get("sparse") is None) for each, own in zip(wanted, entries)]
    _refuse_contradictions(wanted)
    removals = sorted((e for e in wanted if e.state == "absent"), key=lambda e: (-depth_of(e.name), e.name))
    others = sorted((e for e in wanted if e.state != "absent"), key=lambda e: (depth_of(e.name), e.name))
    return BatchWanted((*removals, *others))


def with_defaults(top: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Fill an entry with those of the top level's options that can go with what it says itself."""
    given = {name: value for name, value in entry.items() if value is not None}
    to_volume = _is_volume({**top, **given} if given.get("type") is None else given)
    defaults = {
        name: value
        for name, value in (top.get("properties") or {}).items()
        if to_volume is None or _properties.applies(name, to_volume=to_volume)
    }
    properties = {**defaults, **(given.get("properties") or {})}
    excluded = _not_for(given, top)
    inherited = {name: value for name, value in top.items() if name not in excluded}
    return {**inherited, **given, "properties": properties}


def _is_volume(options: t.Mapping[str, t.Any]) -> bool | None:
    """Tell what kind of dataset options ask for, None where they leave it open."""
    if options.get("type") is None and options.get("volsize") is None:
        return None
    return (options.get("type") or "volume") == "volume"


def _not_for(given: t.Mapping[str, t.Any], top: t.Mapping[str, t.Any]) -> set[str]:
    """Return the defaults that an entry's own options exclude."""
    excluded: set[str] = set()
    has_own_key = any(name in given for name in KEY_OPTIONS)
    if given.get("state", "present") != "present":
        excluded.update(KEY_OPTIONS, _ABOUT_KEYS, ("encryption",))
    if given.get("encryption") == "off":
        excluded.update(KEY_OPTIONS, _ABOUT_KEYS)
    state, encryption = ({**top, **given}.get(name) for name in ("state", "encryption"))
    if not has_own_key and (encryption == "off" or state not in (None, "present")):
        excluded.update(_ATTRIBUTES)  # as defaults they are for those entries that become roots
    has_key = has_own_key or any({**top, **given}.get(name) for name in (*KEY_OPTIONS, "generate_key", "escrow"))
    if not has_key and state in (None, "present"):
        excluded.add("current")  # as a default it is for those entries that get another key
    if has_own_key:
        excluded.update(KEY_OPTIONS)
        excluded.update({"encryption"} if top.get("encryption") == "off" else ())
    if "key" in given or "passphrase" in given:
        excluded.add("generate_key")
        fits = (top.get("keyformat") == "passphrase") == ("passphrase" in given)
        excluded.update(() if fits else {"keyformat"})
    if given.get("type") == "filesystem":
        excluded.update(("volsize", "sparse"))
    if "volsize" in given:
        excluded.add("type")
    return excluded


def dataset_wanted(options: t.Mapping[str, t.Any]) -> DatasetWanted:
    """Read the options of one dataset.

    Raises:
        Refused: they contradict each other, or a key is malformed.
    """
    name = options["name"]
    state: State = options.get("state") or "present"
    given = options.get("properties") or {}
    properties = {key: _properties.text(key, value) for key, value in given.items() if value is not None}
    has_secret = any(options.get(key) is not None for key in KEY_OPTIONS)
    secret = secret_from(options, whose=name, way_out=_TWO_WAYS_OUT) if has_secret else None
    current = options.get("current")
    entry = DatasetWanted(
        name=name,
        state=state,
        secret=secret,
        copied_to=_copied_to(options, secret, name),
        generate=bool(options.get("generate_key")),
        keyformat=options.get("keyformat"),
        keylocation=_keylocation(options, name),
        pbkdf2iters=options.get("pbkdf2iters"),
        encryption=options.get("encryption"),
        current=secret_from(current, whose=f"{name} (current)") if current else None,
        change=options.get("update_key") == "always",
        volume_size=options.get("volsize"),
        sparse=options.get("sparse"),
        is_volume=_is_volume(options),
        properties=properties,
        force_destroy=bool(options.get("force_destroy")),
        heal=bool(options.get("heal")),
        repoint=bool(options.get("repoint")),
        replication_ended=bool(options.get("replication_ended")),
        keeps_truenas_hierarchy=(options.get("hierarchy") or "truenas") == "truenas",
    )
    _refuse_nonsense(entry, options)
    return entry


def _copied_to(options: t.Mapping[str, t.Any], secret: Secret | None, name: str) -> str | None:
    """Return the key file beside a key or passphrase: it shall hold that."""
    if not isinstance(secret, Key) or options.get("key_file") is None:
        return None
    return t.cast(KeyFile, secret_from({"key_file": options["key_file"]}, whose=name)).path


def _keylocation(options: t.Mapping[str, t.Any], name: str) -> str | None:
    location = options.get("keylocation")
    key_file = options.get("key_file")
    if location is None:
        return None if key_file is None else f"file://{plain(key_file)}"
    if not _KEYLOCATION.fullmatch(location):
        raise Refused(
            f"The keylocation of {name} is no location. Use prompt, file:///absolute/path or an https:// address."
        )
    path = file_of(location)
    return str(location) if path is None else f"file://{plain(path)}"


def _refuse_nonsense(entry: DatasetWanted, options: t.Mapping[str, t.Any]) -> None:
    """Refuse what no host could make sense of."""
    name = entry.name
    refuse_no_name(name)
    _refuse_senseless_properties(entry)
    if entry.volume_size is not None and entry.is_volume is False:
        raise Refused(f"{name} is to be a filesystem and has a volsize. Set type: volume, or leave volsize out.")
    if entry.sparse and entry.is_volume is False:
        raise Refused(f"{name} is to be a filesystem and was given sparse, which only volumes have. Leave it out.")
    if entry.pbkdf2iters is not None:
        _keys.refuse_unsettable_iterations(entry.pbkdf2iters, whose=name)
    _refuse_misplaced_key(entry, [option for option in KEY_OPTIONS if options.get(option) is not None])
    if entry.generate:
        _refuse_bad_generation(entry)


def _refuse_senseless_properties(entry: DatasetWanted) -> None:
    name, given = entry.name, set(entry.properties)
    clash = sorted(given & _properties.HAVE_OPTIONS)
    if clash:
        raise Refused(f"properties of {name} hold {', '.join(clash)}; use the option of that name.")
    for prop in sorted(given):
        if not _properties.is_name(prop):
            raise Refused(f"{prop!r} among the properties of {name} is no name of a property.")
        if prop in _properties.READ_ONLY:
            raise Refused(f"{prop} of {name} is what OpenZFS tells about a dataset; it cannot be set.")
        if prop == "mountpoint" and not _properties.is_mountpoint(entry.properties[prop]):
            raise Refused(
                f"mountpoint of {name} would be {entry.properties[prop]!r}. "
                "Give an absolute path, none, legacy or inherit."
            )
        choices = _properties.choices(prop, entry.properties[prop])
        if choices:
            raise Refused(f"{prop} of {name} would be {entry.properties[prop]!r}. It is one of {', '.join(choices)}.")
        if entry.properties[prop] == _properties.INHERIT and not _properties.is_inherited(prop):
            instead = _properties.NOT_INHERITED.get(prop, "none")
            way_out = "Leave it out." if prop in _properties.IMMUTABLE else f"Use {instead}, if that is meant."
            raise Refused(f"{prop} of {name} is not inherited from its parent. {way_out}")
    if entry.sparse is not None and "refreservation" in given:
        raise Refused(f"{name} was given sparse and refreservation, which say the same. Leave one of them out.")


def _refuse_misplaced_key(entry: DatasetWanted, given: t.Sequence[str]) -> None:
    name = entry.name
    has_key = bool(given) or entry.generate
    if entry.current is not None and not has_key and entry.state == "present":
        raise Refused(
            f"{name} was given its present key under current, but no new one. Give key, passphrase or key_file."
        )
    if {"key", "passphrase"} <= set(given):
        raise Refused(f"{name} was given key and passphrase. A root has one key: give one of them.")
    if entry.state != "present" and has_key:
        raise Refused(f"{name} has state {entry.state}, which takes no key. Leave the key out, or use state present.")
    if entry.state == "inherited" and entry.is_plain:
        raise Refused(
            f"{name} has state inherited and encryption: off, which exclude each other. Leave one of them out."
        )
    attributes = [option for option in _ATTRIBUTES if getattr(entry, option) is not None]
    if attributes and (entry.state != "present" or entry.is_plain):
        why = f"state: {entry.state}" if entry.state != "present" else "encryption: off"
        raise Refused(
            f"{name} was given {' and '.join(attributes)}, which only an encryption root has, and {why}. "
            "Leave one of them out."
        )
    if entry.is_plain and has_key:
        raise Refused(f"{name} was given encryption: off and a key. Leave one of them out.")
    if isinstance(entry.secret, Key) and not entry.secret.fits(entry.new_keyformat):
        kind = "a passphrase" if entry.secret.kind == "passphrase" else "a key of 32 bytes"
        raise Refused(f"{name} was given {kind} and keyformat {entry.new_keyformat}, which do not go together.")


def _refuse_bad_generation(entry: DatasetWanted) -> None:
    if entry.key_file is None:
        raise Refused(
            f"generate_key for {entry.name} needs a place where the new key is kept. Give key_file or escrow."
        )
    if isinstance(entry.secret, Key):
        raise Refused(f"{entry.name} was given a key and generate_key, which would make one. Leave one of them out.")
    if entry.new_keyformat == "passphrase":
        raise Refused(
            f"generate_key for {entry.name} makes a hex or raw key, not a passphrase. Set keyformat accordingly."
        )


def _refuse_contradictions(wanted: t.Sequence[DatasetWanted]) -> None:
    states: dict[str, str] = {}
    for entry in wanted:
        if entry.name in states:
            raise Refused(f"{entry.name} stands twice in datasets. Keep one entry.")
        states[entry.name] = entry.state
    formats: dict[str | None, DatasetWanted] = {}
    copies: dict[str, DatasetWanted] = {}
    for entry in wanted:
        other = copies.setdefault(entry.key_file, entry) if entry.key_file and entry.state == "present" else entry
        if (other.copied_to or entry.copied_to) and (other.secret, other.new_keyformat) != (
            entry.secret,
            entry.new_keyformat,
        ):
            raise Refused(
                f"{other.name} and {entry.name} would have two keys in the file {entry.key_file}. Give each its own."
            )
        first = formats.setdefault(entry.key_file, entry) if entry.generate else entry
        if first.new_keyformat != entry.new_keyformat:
            raise Refused(
                f"{first.name} and {entry.name} would generate the key file {entry.key_file} in two formats. "
                "Give each its own file."
            )
        above = parent_of(entry.name)
        while above is not None:
            if entry.state != "absent" and states.get(above) == "absent":
                raise Refused(f"{above} is to be absent and {entry.name} below it is not. Decide for one of them.")
            above = parent_of(above)
