# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options ``escrow`` and ``escrow_require`` to backends: what they say is judged before anything is contacted.

No sentence here quotes a value, which may be a secret in the wrong place. Private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._errors import Refused
from . import _kmip, _openbao, _vault_file
from ._backend import Backend, Kind, Option, Options, Surroundings
from ._unopened import NotOpened, Unopened

KINDS: dict[str, Kind] = {"kmip": _kmip.KIND, "openbao": _openbao.KIND, "vault_file": _vault_file.KIND}
"""All kinds of backends by the name that a task gives in ``type``."""


def backends_from(given: t.Any, around: Surroundings, option: str = "escrow") -> tuple[Backend, ...]:
    """Make the backends that a task names, in the order in which they are read.

    One of several that cannot be opened from this controller is as one that is down: the others may have the key.

    Args:
        given: the option ``escrow``; an empty list means none, said aloud.
        around: the run.
        option: what the option is called, for refusals.

    Raises:
        Refused: an entry is none, of an unknown kind, says too little or too much, or stands twice; or the only one
            cannot be opened.
    """
    if not isinstance(given, list):
        raise Refused(
            f"{option} is no list. Write one mapping for each backend, like [{{type: vault_file, path: ...}}]."
        )
    found: dict[str, Backend] = {}
    for number, entry in enumerate(given, start=1):
        backend = backend_from(entry, f"{option}, entry {number}", around, alone=len(given) == 1)
        if backend.name in found:
            raise Refused(f"{option} names {backend.name} twice. Two copies in one place are one: leave one entry out.")
        found[backend.name] = backend
    return tuple(found.values())


def required_copies(given: t.Any, backends: t.Sequence[Backend]) -> int:
    """Return how many backends must hold a key before it is used: ``escrow_require``, by default all of them.

    Raises:
        Refused: it is no number, less than one, or more than there are.
    """
    if given is None:
        return len(backends)
    number = _integer(given)
    if number is None or not 1 <= number <= len(backends):
        raise Refused(
            f"escrow_require is no number from 1 to {len(backends)}, which is how many backends escrow names. "
            "Leave it out to require all of them."
        )
    return number


def backend_from(entry: t.Any, where: str, around: Surroundings, *, alone: bool = True) -> Backend:
    """Make one backend.

    Args:
        entry: what the task says of it.
        where: where it says so, for refusals.
        around: the run.
        alone: whether there is no other that could do instead, if it cannot be opened.

    Raises:
        Refused: it makes no sense, or the only one cannot be opened.
    """
    if not isinstance(entry, t.Mapping) or not isinstance(entry.get("type"), str):
        raise Refused(f"{where}, has no type. It is one of {_listed(KINDS)}, as in {{type: vault_file, path: ...}}.")
    kind = KINDS.get(entry["type"])
    if kind is None:
        raise Refused(f"{where}, is of no type that is known. Types are {_listed(KINDS)}.")
    where = f"{where} ({entry['type']})"
    said = {name: value for name, value in entry.items() if name != "type" and value is not None}
    if any(name not in kind.options for name in said):
        raise Refused(f"{where}, says more than a backend of this type takes, which is {_listed(kind.options)}.")
    missing = [name for name, option in kind.options.items() if option.required and name not in said]
    if missing:
        raise Refused(f"{where}, lacks {_listed(missing)}, for which there is no default.")
    values = _values(kind, said, where, around)
    try:
        return kind.build(values, around)
    except NotOpened as failure:
        if alone:
            raise
        return Unopened(failure)


def _values(kind: Kind, said: Options, where: str, around: Surroundings) -> dict[str, t.Any]:
    return {
        name: _value(option, said[name], f"{name} of {where},", around) if name in said else option.default
        for name, option in kind.options.items()
    }


def _value(option: Option, value: t.Any, what: str, around: Surroundings) -> t.Any:
    if option.type == "bool":
        try:
            return boolean(value)
        except TypeError:
            raise Refused(f"{what} is neither true nor false.") from None
    if option.type == "int":
        number = _integer(value)
        if number is None:
            raise Refused(f"{what} is no whole number.")
        return number
    if not isinstance(value, str) or not value:
        raise Refused(f"{what} is no text. Write it as one string.")
    if option.choices and value not in option.choices:
        raise Refused(f"{what} is none of {_listed(option.choices)}.")
    return around.loader.path_dwim(value) if option.type == "path" else str(value)


def _integer(value: t.Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _listed(names: t.Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
