# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake's volumes reserve their space; what metadata would take is left out."""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed

from . import properties as props

Values = t.Mapping[str, str]
POOL = 1 << 50  # bytes, the size of every pool


def of_new_volume(wanted: str, local: Values, *, sparse: bool) -> dict[str, str]:
    """Return what a volume's size comes to, rounded up, and its reservation if it has one."""
    block = _block(local)
    size = -(-int(props.stored("volume", {"volsize": wanted})["volsize"]) // block) * block
    reserved = {} if sparse or "refreservation" in local else {"refreservation": str(size)}
    return {"volsize": str(size), **reserved}


def of_changed_volume(before: Values, given: Values) -> dict[str, str]:
    """Return what is stored: a reservation that is just the old size's follows a new one."""
    size = given.get("volsize", before.get("volsize", "0"))
    if int(size) % _block(before):
        raise CallFailed("'volsize' must be a multiple of volume block size")
    reserved = before.get("refreservation", "0")
    follows = {"refreservation": size} if reserved == before.get("volsize") else {}
    wanted = {name: size if name == "refreservation" and value == "auto" else value for name, value in given.items()}
    return {**follows, **wanted}


def _bytes(values: Values, prop: str) -> int:
    value = values.get(prop, "")
    return int(value) if value.isdigit() else 0


def _block(values: Values) -> int:
    return int(values.get("volblocksize", props.ONLY_AT_CREATION_OF_VOLUMES["volblocksize"]))


def refuse_without_room(name: str, local: Values, above: t.Iterable[Values]) -> None:
    """Refuse a reservation that is larger than the pool, or than a quota above."""
    room = min([POOL, *(_bytes(each, "quota") or POOL for each in above)])
    if max(_bytes(local, prop) for prop in ("reservation", "refreservation")) > room:
        raise CallFailed(f"{name} was not created: out of space")
