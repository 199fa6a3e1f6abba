# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that something else, like TrueNAS, put on a KMIP server: read by their ids, and offered like any others.

Nothing there is changed. Private to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from ..module_utils._errors import Refused
from ..module_utils._keys import HEX_KEY, PASSPHRASE_BYTES
from ._backend import BackendDown, BackendFailed, Surroundings
from ._backends import backend_from
from ._kmip import Foreign, Kmip

_EXAMPLE = "{tank/home: 4711}"


@dataclass(frozen=True)
class Offered:
    """What was read.

    Args:
        secrets: entries as the option ``secrets`` takes them.
        remarks: by dataset, what is to be said where its key is not found.
    """

    secrets: tuple[dict[str, str], ...] = field(default=(), repr=False)
    remarks: t.Mapping[str, str] = field(default_factory=dict)


def kmip_secrets(source: t.Any, uids: t.Any, around: Surroundings) -> Offered:
    """Read what the options ``kmip_source`` and ``kmip_secrets`` name.

    Args:
        source: the server, as ``escrow`` takes a place.
        uids: by dataset, the id of its secret.
        around: the run.

    Raises:
        Refused: one of them is missing, or makes no sense.
    """
    if source is None and uids is None:
        return Offered()
    if source is None or uids is None:
        raise Refused(
            "kmip_secrets says which secrets are read, and kmip_source from which server. Give both, or none."
        )
    named = _named(uids)
    backend = backend_from(source, "kmip_source", around)
    with contextlib.closing(backend):
        if not isinstance(backend, Kmip):
            raise Refused("kmip_source is no KMIP server. It is a place of type kmip, like {type: kmip, host: ...}.")
        return _read(backend, named)


def _named(uids: t.Any) -> dict[str, str]:
    """Return the ids by dataset; one may be a key in the wrong place, so none is quoted."""
    if not isinstance(uids, t.Mapping):
        raise Refused(f"kmip_secrets is no mapping. It is one of datasets and ids, like {_EXAMPLE}. It is not shown.")
    for name, uid in uids.items():
        if isinstance(uid, bool) or not isinstance(uid, (str, int)) or uid == "":
            raise Refused(f"kmip_secrets has no id for {name}. Write it like {_EXAMPLE}; TrueNAS keeps it as kmip_uid.")
    return {str(name): str(uid) for name, uid in uids.items()}


def _read(backend: Kmip, uids: t.Mapping[str, str]) -> Offered:
    secrets: list[dict[str, str]] = []
    remarks: dict[str, str] = {}
    for name, uid in uids.items():
        try:
            found = backend.foreign(uid, name)
        except BackendDown as error:
            # It is not asked again: each time would last as long.
            remarks.update({left: str(error) for left in uids if left not in remarks and not _has(secrets, left)})
            break
        except BackendFailed as error:
            remarks[name] = str(error)
            continue
        secret = _secret(found)
        if secret is None:
            remarks[name] = f"What {backend.name} has for it is neither 64 hexadecimal digits nor long as a passphrase."
            continue
        secrets.append({"name": name, **secret})
        if found.dataset not in ("", name):
            remarks[name] = f"What {backend.name} has under the id that is given for it is named for {found.dataset}."
    return Offered(tuple(secrets), remarks)


def _secret(found: Foreign) -> dict[str, str] | None:
    """Return a secret as a task has it; what can open no root is not offered: Ansible masks it, whatever it is."""
    if HEX_KEY.fullmatch(found.text):
        return {"key": found.text}
    return {"passphrase": found.text} if len(found.text.encode("utf-8")) in PASSPHRASE_BYTES else None


def _has(secrets: t.Iterable[t.Mapping[str, str]], name: str) -> bool:
    return any(each["name"] == name for each in secrets)
