# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that a task offers, and which of them are worth trying on a root, in which order.

Private to the collection.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from . import _keys
from ._errors import Refused
from ._keyfiles import KeyFiles, plain
from ._keys import Key
from ._model import Dataset, Tree
from ._names import is_below, pool_of

if t.TYPE_CHECKING:
    from ._manifest import Value


class _NoKeyInFile(Refused):
    """A key file is there, and what it holds is no key of the form that its root has."""


@dataclass(frozen=True)
class KeyFile:
    """A secret that lies in a file on the host."""

    path: str


@dataclass(frozen=True)
class ManifestText:
    """A manifest's value: hex digits or a passphrase, as the root's keyformat decides."""

    text: str = field(repr=False)


Secret = t.Union[Key, KeyFile, ManifestText]


@dataclass(frozen=True)
class Offer:
    """One secret for one dataset, and for the roots below it if ``shared``."""

    dataset: str
    secret: Secret
    shared: bool = False


@dataclass(frozen=True)
class Candidates:
    """Keys to try on a root, best first.

    Args:
        keys: those that a root of its keyformat can have.
        remarks: what could not even be tried, in words.
        has_unfit: whether a secret was given for this root by name that is of another kind than its key, or is a file
            that holds none.
    """

    keys: tuple[Key, ...] = ()
    remarks: tuple[str, ...] = ()
    has_unfit: bool = False

    @property
    def are_given(self) -> bool:
        return bool(self.keys) or self.has_unfit


@dataclass(frozen=True)
class Offers:
    """All that a task offers.

    Args:
        secrets: entries of the task; a later one for the same dataset follows an earlier one.
        manifest: values by dataset name.
    """

    secrets: tuple[Offer, ...] = ()
    manifest: t.Mapping[str, Secret] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def _by_dataset(self) -> t.Mapping[str, t.Sequence[Offer]]:
        found: dict[str, list[Offer]] = {}
        for offer in self.secrets:
            found.setdefault(offer.dataset, []).append(offer)
        return found

    @functools.cached_property
    def _shared(self) -> t.Sequence[Offer]:
        return [offer for offer in self.secrets if offer.shared]

    @property
    def pools(self) -> set[str]:
        return {pool_of(name) for name in (*(offer.dataset for offer in self.secrets), *self.manifest)}

    def names(self, root: Dataset) -> bool:
        """Tell whether a secret is given for this root by its name."""
        return root.name in self.manifest or root.name in self._by_dataset

    def key_file_paths(self) -> set[str]:
        return {offer.secret.path for offer in self.secrets if isinstance(offer.secret, KeyFile)}

    def for_root(self, root: Dataset, key_files: KeyFiles) -> Candidates:
        """Return what to try on a root: its own entry, the manifest, the nearest ancestor that shares, its key file."""
        keys: list[Key] = []
        remarks: list[str] = []
        has_unfit = False
        named = [*self._named(root)]
        for secret in self._in_order(root):
            try:
                key = _resolve(secret, root, key_files)
            except Refused as refusal:
                remarks.append(str(refusal))
                has_unfit = has_unfit or (isinstance(refusal, _NoKeyInFile) and secret in named)
                continue
            if key is not None and key.fits(root.keyformat) and key not in keys:
                keys.append(key)
        unfit = [remark for secret in named for remark in _unfit(secret, root)]
        return Candidates(tuple(keys), tuple(dict.fromkeys((*remarks, *unfit))), has_unfit or bool(unfit))

    def _named(self, root: Dataset) -> t.Iterator[Secret]:
        yield from (offer.secret for offer in self._by_dataset.get(root.name, ()))
        if root.name in self.manifest:
            yield self.manifest[root.name]

    def _in_order(self, root: Dataset) -> t.Iterator[Secret]:
        yield from self._named(root)
        above = [offer for offer in self._shared if is_below(root.name, offer.dataset)]
        yield from (offer.secret for offer in sorted(above, key=lambda offer: -len(offer.dataset)))
        if root.key_file is not None:
            yield KeyFile(root.key_file)

    def refuse_unknown_names(self, tree: Tree, pools: t.Container[str]) -> None:
        """Refuse a name that an imported pool does not have: it is a misspelling, or a dataset that is gone."""
        for name in (*(offer.dataset for offer in self.secrets), *self.manifest):
            if pool_of(name) in pools and tree.get(name) is None:
                source = "the manifest" if name in self.manifest else "secrets"
                raise Refused(
                    f"There is no dataset {name}, which {source} names. Correct the name, or leave the entry out."
                )

    def foreign_names(self, pools: t.Container[str]) -> tuple[str, ...]:
        """Return names in pools that are not imported here; their keys are ignored."""
        names = {*(offer.dataset for offer in self.secrets), *self.manifest}
        return tuple(sorted(name for name in names if pool_of(name) not in pools))

    def warnings(self, pools: t.Container[str]) -> tuple[str, ...]:
        names = ", ".join(self.foreign_names(pools))
        return (f"Keys for datasets of pools that are not imported were ignored: {names}.",) if names else ()


def _unfit(secret: Secret, root: Dataset) -> t.Iterator[str]:
    """Say that a secret is of another kind than a root's key; what a file holds tells only its content."""
    wants_text = root.keyformat == "passphrase"
    if isinstance(secret, Key) and not secret.fits(root.keyformat):
        given = "a key of 32 bytes" if wants_text else "a passphrase"
    elif isinstance(secret, ManifestText) and _keys.from_manifest(secret.text, root.keyformat, whose=root.name) is None:
        ends_line = secret.text.endswith(("\n", "\r"))
        given = "a text that ends with a line feed, and so is no key" if ends_line else "a text that is no key"
    else:
        return
    wanted = "a passphrase" if wants_text else "64 hexadecimal digits"
    yield f"It was given {given}; keyformat {root.keyformat} wants {wanted}."


def _resolve(secret: Secret, root: Dataset, key_files: KeyFiles) -> Key | None:
    if isinstance(secret, Key):
        return secret
    if isinstance(secret, ManifestText):
        return _keys.from_manifest(secret.text, root.keyformat, whose=root.name)
    content = key_files.get(secret.path)
    if content is None:
        raise Refused(f"Its key file {secret.path} is not there.")
    try:
        return _keys.from_file(content, root.keyformat, path=secret.path)
    except Refused as refusal:
        raise _NoKeyInFile(str(refusal)) from None


def offers_from(entries: t.Sequence[t.Mapping[str, t.Any]], manifest: t.Mapping[str, Value]) -> Offers:
    """Read the ``secrets`` option and a parsed manifest.

    Raises:
        Refused: an entry's key is malformed.
    """
    offers = tuple(
        Offer(entry["name"], secret_from(entry, whose=entry["name"]), bool(entry.get("share_with_children")))
        for entry in entries
    )
    values = {name: ManifestText(value) if isinstance(value, str) else value for name, value in manifest.items()}
    return Offers(offers, values)


def secret_from(entry: t.Mapping[str, t.Any], *, whose: str, way_out: str = _keys.AS_IT_WAS_SET) -> Secret:
    """Read one of ``key``, ``passphrase`` and ``key_file``; the argument spec sees to it that one is given."""
    if entry.get("key") is not None:
        return _keys.hex_key(entry["key"], whose=whose, way_out=way_out)
    if entry.get("passphrase") is not None:
        return _keys.passphrase(entry["passphrase"], whose=whose)
    if not entry["key_file"].startswith("/"):
        raise Refused(
            f"The key_file of {whose} is no absolute path on the host. It may be a key itself, so it is not shown."
        )
    return KeyFile(plain(entry["key_file"]))
