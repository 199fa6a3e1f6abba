# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys in places where nobody expects them, and so nobody masks them; and what only the collection itself may say.

Ansible quotes a value that it cannot make sense of, whole, in its own refusal; so such a task is refused before Ansible
or the module looks at it, and the refusal shows nothing of what the option holds.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleActionFail

from ..module_utils._keys import HEX_KEY
from ..module_utils._properties import INHERIT

Options = t.Mapping[str, t.Any]

_KEYS = ("key", "passphrase")
# Masked, or looked at more closely elsewhere.
_NOT_SEARCHED = (*_KEYS, "manifest_content")
_OF_PLACES = ("escrow", "source")
_MARK = "zfsfleet.encryption:"
_PLACE, _DATASET = "{type: vault_file, path: ...}", "{name: pool/dataset, key: ...}"


def refuse_misplaced_keys(arguments: Options) -> None:
    """Refuse a task that may hold a key where it does not belong.

    Raises:
        AnsibleActionFail: which option it is.
    """
    _refuse_no_path(arguments.get("manifest"))
    _refuse_among(arguments)
    for option in ("secrets", "datasets", "candidates", "escrow", "source"):
        entries = arguments.get(option)
        if entries is None:
            continue
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise AnsibleActionFail(
                f"{option} is no list of mappings. It may hold keys, so it is not shown. Every entry is a mapping, "
                f"like {_PLACE if option in _OF_PLACES else _DATASET}."
            )
        for entry in entries:
            _refuse_among(entry)


def _refuse_no_path(manifest: t.Any) -> None:
    """Refuse the manifest itself instead of its path: whoever looks for the file would say its whole content."""
    if manifest is not None and (not isinstance(manifest, str) or "{" in manifest):
        raise AnsibleActionFail(
            "manifest is no path. It may hold keys, so it is not shown. A manifest in a variable goes into "
            "manifest_content."
        )


def _refuse_among(options: Options) -> None:
    """Look through the options of a task or of an entry."""
    current = options.get("current") or {}
    if not isinstance(current, Mapping):
        raise AnsibleActionFail(
            "current is no mapping. It may hold a key, so it is not shown. Write it like {key: ...}."
        )
    _refuse_marks(options.get("properties"))
    for option, value in (*options.items(), *current.items()):
        if option in _KEYS:
            _refuse_no_text(option, value)
        elif option not in _NOT_SEARCHED and isinstance(value, str) and HEX_KEY.fullmatch(value):
            raise AnsibleActionFail(
                f"{option} holds 64 hexadecimal digits. They may be a key, so they are not shown. A key goes into key."
            )


def _refuse_marks(properties: t.Any) -> None:
    """Refuse to set what tells which key in escrow a root has; whoever copied it may take it away again."""
    if not isinstance(properties, Mapping):
        return
    marks = [str(name) for name, value in properties.items() if str(name).startswith(_MARK) and value != INHERIT]
    if marks:
        raise AnsibleActionFail(
            f"properties hold {', '.join(marks)}, by which this collection notes the key that a root has from escrow. "
            "Leave that out."
        )


def _refuse_no_text(option: str, value: t.Any) -> None:
    """Refuse what Ansible would make a text of, as a passphrase that nobody could type again."""
    if isinstance(value, (bool, list, Mapping)):
        raise AnsibleActionFail(f"{option} is no text. It may be secret, so it is not shown. Write it as one string.")
