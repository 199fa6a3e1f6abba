# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task whose keys are in escrow: which roots it wants, and how the keys get into what the host's module is given.

Private to the collection.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils._dataset_wanted import with_defaults
from ..module_utils._keys import Key
from ..module_utils._names import pool_of
from ..module_utils._offers import secret_from
from ._trial import Ask, Result, text
from ._wish import Wish

Options = t.Mapping[str, t.Any]

# What the key from escrow takes the place of.
_REPLACED = ("key", "passphrase", "generate_key", "current")


@dataclass(frozen=True)
class Assigned:
    """What the module is told about one root's key.

    Args:
        key: the key.
        current: the key that it replaces, or may have to be proven to be kept.
        marks: user properties that say which key it is.
        version: of the key's id, where the root gets it now; it tells the file that holds it from those beside it.
    """

    key: Key = field(repr=False)
    current: Key | None = field(default=None, repr=False)
    marks: t.Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True)
class KeyTask:
    """A task of ``zfs_dataset_key`` or ``zfs_encrypted_pool``.

    Args:
        module: its name.
        options: all that it says, but for ``escrow``.
        wishes: the roots whose keys are to be in escrow.
        made: names of everything that it makes.
    """

    module: str
    options: Options = field(repr=False)
    wishes: tuple[Wish, ...]
    made: frozenset[str]

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(sorted({pool_of(name) for name in self.made}))

    def run(self, ask: Ask, keys: t.Mapping[str, Assigned], *, check: bool) -> Result:
        """Have the host's module do its work, with these keys by root; with ``check`` only foretell it."""
        return ask(self.module, self.arguments(keys), check=check)

    def arguments(self, keys: t.Mapping[str, Assigned]) -> dict[str, t.Any]:
        """Return what the module is given, with these keys by root."""
        entries = self.options.get("datasets")
        if entries is None:
            return self._filled(self.options, keys)
        return {**self.options, "datasets": [self._filled(entry, keys) for entry in entries]}

    def _filled(self, entry: Options, keys: t.Mapping[str, Assigned]) -> dict[str, t.Any]:
        name = str(entry.get("name"))
        if name not in keys:
            return dict(entry)
        # An entry with a key of its own gets no key file from the task's defaults.
        file = {"key_file": self._files[name]} if name in self._files else {}
        return {**_with_key(entry, keys[name]), **file}

    @functools.cached_property
    def _files(self) -> t.Mapping[str, str]:
        return {wish.dataset: wish.key_file for wish in self.wishes if wish.key_file is not None}


def _with_key(entry: Options, assigned: Assigned) -> dict[str, t.Any]:
    kept = {name: value for name, value in entry.items() if name not in _REPLACED}
    current = {} if assigned.current is None else {"current": text(assigned.current)}
    properties = {**(entry.get("properties") or {}), **assigned.marks}
    return {**kept, **text(assigned.key), **current, **({"properties": properties} if assigned.marks else {})}


def typed(arguments: Options, spec: Options) -> dict[str, t.Any] | None:
    """Return arguments as a module sees them, None where it will refuse them: Ansible judges, and says nothing here."""
    validated = ArgumentSpecValidator(dict(spec)).validate(dict(arguments))
    return None if validated.error_messages else dict(validated.validated_parameters)


def dataset_task(module: str, options: Options, params: Options) -> KeyTask:
    """Read a task of ``zfs_dataset_key``.

    Args:
        module: its name.
        options: as the task says them.
        params: the same as the module would see them.

    Raises:
        Refused: a key is malformed.
    """
    entries = params.get("datasets")
    each = [dict(params)] if entries is None else [with_defaults(params, entry) for entry in entries]
    wishes = (_wish(entry) for entry in each if _has_own_key(entry))
    made = frozenset(entry["name"] for entry in each if entry.get("state") != "absent")
    return KeyTask(module, options, tuple(wishes), made)


def pool_task(module: str, options: Options, params: Options) -> KeyTask:
    """Read a task of ``zfs_encrypted_pool`` that wants a pool to be present; the rest as for datasets."""
    wishes = (_wish(params, brings_its_pool=True),) if _has_own_key({**params, "state": "present"}) else ()
    return KeyTask(module, options, wishes, frozenset({params["name"]}))


def _has_own_key(entry: Options) -> bool:
    """Tell whether an entry asks for a root; one that is re-pointed has its sender's key, or its parent's."""
    is_root = entry.get("state") in (None, "present") and entry.get("encryption") != "off"
    return is_root and not entry.get("repoint")


def _wish(entry: Options, *, brings_its_pool: bool = False) -> Wish:
    name = entry["name"]
    given = any(entry.get(option) is not None for option in ("key", "passphrase"))
    secret = secret_from(entry, whose=name) if given else None
    return Wish(
        name,
        secret if isinstance(secret, Key) else None,
        entry.get("key_file"),
        entry.get("keyformat"),
        entry.get("pbkdf2iters"),
        change=entry.get("update_key") == "always",
        may_mint=entry.get("generate_key") is not False,
        brings_its_pool=brings_its_pool,
    )
