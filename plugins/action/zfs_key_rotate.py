# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of M(zfsfleet.encryption.zfs_key_rotate), which has no other side."""

from __future__ import annotations

import typing as t

from ..module_utils import _keys
from ..module_utils._choice import choice_from
from ..module_utils._errors import Refused
from ..module_utils._keys import Key
from ..module_utils._offers import secret_from
from ..modules.zfs_key_rotate import SPEC
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._escrow_action import EscrowAction
from ..plugin_utils._plan_rotation import EVERYTHING, Policy
from ..plugin_utils._record import days_ago, moment_from, now
from ..plugin_utils._rotating import Rotating

_CHOICE = ("name", "names", "recursive")
_POLICIES = ("max_age_days", "made_before", "back_to", "new_keys", "keyformat", "pbkdf2iters")
_MOMENTS = frozenset({"max_age_days", "made_before", "back_to"})


class ActionModule(EscrowAction):
    """Rotates the keys of a host; the host tries keys and changes them."""

    spec = SPEC.arguments

    def _with_escrow(self, arguments: dict[str, t.Any], escrow: Escrow) -> dict[str, t.Any]:
        params = self._typed(arguments)
        if params["names"] == []:
            raise Refused("names is empty and chooses no root. Leave it out if all roots of the host are meant.")
        rotating = Rotating(
            choice_from(params),
            {name: arguments[name] for name in _CHOICE if arguments.get(name) is not None},
            _policy(params),
            params.get("hierarchy"),
            removes_named_files=bool(params["remove_named_files"]),
        )
        return rotating.carry_out(self._trial(escrow), check=bool(self._task.check_mode))


def _policy(params: t.Mapping[str, t.Any]) -> Policy:
    """Read which keys are due.

    Raises:
        Refused: a moment or a key is malformed.
    """
    chosen = [name for name in _POLICIES if params.get(name) is not None]
    if not chosen:
        raise Refused(f"What is due has to be said. Give one of {', '.join(_POLICIES)}.")
    if len(_MOMENTS.intersection(chosen)) > 1 or ("back_to" in chosen and len(chosen) > 1):
        raise Refused(f"{' and '.join(chosen)} contradict each other. Give one of them.")
    made_before = ""
    if params.get("made_before") is not None:
        made_before = moment_from(params["made_before"], option="made_before")
    elif params.get("max_age_days") is not None:
        days = params["max_age_days"]
        made_before = days_ago(days, option="max_age_days") if days else EVERYTHING
    if made_before != EVERYTHING and made_before > now():
        raise Refused(
            "Keys made from now on would be due, and every run would replace them all. Name a moment before now."
        )
    back_to = "" if params.get("back_to") is None else moment_from(params["back_to"], option="back_to")
    if back_to > now():
        raise Refused("back_to is a moment to come, and nobody knows what keys will be then. Name a moment before now.")
    return Policy(
        made_before,
        back_to,
        params.get("keyformat"),
        params.get("pbkdf2iters"),
        _given(params.get("new_keys") or ()),
        keeps_replicas=bool(params["replicas_keep_old_key"]),
        keeps_checkpoint=bool(params["despite_checkpoint"]),
    )


def _given(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, Key]:
    names = [entry["name"] for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(f"new_keys names {', '.join(twice)} twice. Give one key for each root.")
    return {entry["name"]: _key(entry) for entry in entries}


def _key(entry: t.Mapping[str, t.Any]) -> Key:
    key = t.cast(Key, secret_from(entry, whose=entry["name"]))
    _keys.refuse_unsettable(key, whose=entry["name"])
    return key
