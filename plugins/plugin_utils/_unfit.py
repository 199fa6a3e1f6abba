# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that Ansible cannot make anything of, such as a passphrase where a number belongs.

Its own refusal quotes them, on the managed host and on the controller. What an option takes is judged by its own rules
here, before anything is sent, and refused in a sentence that quotes nothing.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

Options = t.Mapping[str, t.Any]

_KINDS = {"bool": "neither true nor false", "int": "no whole number", "dict": "no mapping of its suboptions"}


def refuse_unfit(arguments: Options, spec: Options, inside: str = "") -> None:
    """Refuse a value that does not fit its option.

    Args:
        arguments: of a task, or of an entry in one.
        spec: what they are, as the module declares it.
        inside: where they stand, for the message.

    Raises:
        AnsibleActionFail: which option it is.
    """
    for option, rule in spec.items():
        value = arguments.get(option)
        if value is None:
            continue
        unfit = _unfit(rule, value)
        if unfit is not None:
            raise AnsibleActionFail(f"{option}{inside} is {unfit}. It may hold a secret, so it is not shown.")
        if "options" in rule:
            several = isinstance(value, list)
            for number, entry in enumerate(value if several else [value], 1):
                if isinstance(entry, Mapping):
                    place = f"{option}, entry {number}," if several else option
                    refuse_unfit(entry, rule["options"], f" in {place}{inside}")


def _unfit(rule: Options, value: t.Any) -> str | None:
    """Return what is wrong with a value, where Ansible would quote it."""
    choices = rule.get("choices")
    if choices is not None:
        return None if value in choices or _accepted(rule, value) else f"none of {', '.join(choices)}"
    kind = rule["type"]
    if kind == "dict" and "options" in rule and isinstance(value, str):
        # Ansible cuts a text at its equals signs, and then quotes what it takes for the names of suboptions.
        return None if _accepted(rule, value, rule["options"]) else _KINDS[kind]
    if kind in ("bool", "int"):
        return None if _accepted(rule, value) else _KINDS[kind]
    return None


def _accepted(rule: Options, value: t.Any, options: Options | None = None) -> bool:
    """Let Ansible judge, and keep what it says to ourselves."""
    alone = {name: rule[name] for name in ("type", "choices") if name in rule}
    if options is not None:
        alone["options"] = options
    return not ArgumentSpecValidator({"it": alone}).validate({"it": value}).error_messages
