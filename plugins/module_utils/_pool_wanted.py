# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of ``zfs_encrypted_pool`` asks for, judged as far as the request alone tells.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from . import _manifest, _properties
from ._arguments import ROOT_OPTIONS
from ._dataset_wanted import DatasetWanted, dataset_wanted
from ._devices import SMALLEST_FILE
from ._errors import Refused
from ._offers import Offers, offers_from
from ._topology import Topology, topology_from

State = t.Literal["present", "absent", "imported", "exported"]

# zpool_name_valid() in libzfs_pool.c
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.:-]*")
_RESERVED = re.compile(r"mirror.*|raidz.*|draid.*|spare.*|log|c[0-9].*")
_HAVE_OPTIONS = ("altroot", "readonly", "guid")

# Which options mean something in which state; name, guid and state itself always do.
_MEANT_FOR: t.Mapping[str, tuple[State, ...]] = {
    "topology": ("present", "absent"),
    "file_size": ("present",),
    "overwrite": ("present",),
    "force": ("present",),
    "pool_properties": ("present",),
    **dict.fromkeys(ROOT_OPTIONS, ("present",)),
    "altroot": ("present", "imported"),
    "search": ("imported", "absent"),
    "force_import": ("imported",),
    "readonly": ("imported",),
    "mount": ("imported",),
    "secrets": ("imported", "exported"),
    "manifest": ("imported", "exported"),
    "manifest_content": ("imported", "exported"),
    "verify_key": ("exported",),
    "force_destroy": ("absent",),
}


_SWITCHES = ("force", "force_import", "readonly", "force_destroy", "generate_key")  # off means nothing anywhere


@dataclass(frozen=True)
class PoolWanted:
    """A pool as it should be. What is None was not asked for and is not compared.

    Args:
        name: None where only ``guid`` says which pool.
        root: its root dataset, for ``present``.
        file_size: bytes of the files that are made where the topology names some that are missing.
        overwrite: disks whose content may go.
        force: allow mixed redundancy and sizes.
        search: where to look for the pool.
        mount: mount what is mounted by default after an import.
        verify_key: export only what is proven to open again.
    """

    name: str | None
    guid: str | None = None
    state: State = "present"
    topology: Topology | None = None
    root: DatasetWanted | None = None
    file_size: int | None = None
    overwrite: frozenset[str] = frozenset()
    force: bool = False
    pool_properties: t.Mapping[str, str] = field(default_factory=dict)
    altroot: str | None = None
    search: tuple[str, ...] = ()
    force_import: bool = False
    readonly: bool = False
    mount: bool = True
    offers: Offers = field(default_factory=Offers)
    verify_key: bool = True
    force_destroy: bool = False

    @property
    def pools(self) -> tuple[str, ...]:
        return () if self.name is None else (self.name,)

    @property
    def label(self) -> str:
        """Name the pool in a sentence."""
        return f"with GUID {self.guid}" if self.name is None else self.name


def pool_wanted(params: t.Mapping[str, t.Any]) -> PoolWanted:
    """Read the parameters of ``zfs_encrypted_pool``.

    Raises:
        Refused: they contradict each other, or describe no pool.
    """
    name, state = params.get("name"), params["state"]
    _refuse_bad_name(name)
    _refuse_unmeant(params, name or params["guid"])
    given = params.get("pool_properties") or {}
    wanted = PoolWanted(
        name=name,
        guid=params.get("guid"),
        state=state,
        topology=topology_from(params.get("topology"), whose=str(name or params["guid"])),
        root=_root(params) if state == "present" else None,
        file_size=_file_size(params),
        overwrite=frozenset(params.get("overwrite") or ()),
        force=bool(params.get("force")),
        pool_properties={key: _properties.text(key, value) for key, value in given.items() if value is not None},
        altroot=params.get("altroot"),
        search=tuple(params.get("search") or ()),
        force_import=bool(params.get("force_import")),
        readonly=bool(params.get("readonly")),
        mount=params.get("mount") is not False,
        offers=offers_from(params.get("secrets") or (), _manifest.given(params)),
        verify_key=params.get("verify_key") is not False,
        force_destroy=bool(params.get("force_destroy")),
    )
    _refuse_nonsense(wanted)
    return wanted


def _root(params: t.Mapping[str, t.Any]) -> DatasetWanted:
    if params.get("name") is None:
        raise Refused("A pool that is to be present needs a name. Give name, besides guid or instead of it.")
    return dataset_wanted({**{option: params.get(option) for option in ROOT_OPTIONS}, "name": params["name"]})


def _refuse_bad_name(name: str | None) -> None:
    if name is None:
        return
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name) or len(name) > 255:
        raise Refused(
            f"{name!r} is no name of a pool. It begins with a letter, holds letters, digits, spaces and _.:- only, "
            "and is none of OpenZFS's own words like mirror or log."
        )


def _refuse_unmeant(params: t.Mapping[str, t.Any], pool: str) -> None:
    """Refuse options of another state: whoever gave them expects something that would not happen."""
    state = params["state"]
    unmeant = [name for name, states in _MEANT_FOR.items() if state not in states and _is_given(name, params)]
    if unmeant:
        raise Refused(f"{', '.join(unmeant)} of pool {pool} means nothing with state {state}. Leave it out.")


def _is_given(name: str, params: t.Mapping[str, t.Any]) -> bool:
    value = params.get(name)
    return value not in (None, [], {}) and not (name in _SWITCHES and not value)


def _file_size(params: t.Mapping[str, t.Any]) -> int | None:
    text = params.get("file_size")
    if text is None:
        return None
    size = _properties.size(text)
    if size is None or size < SMALLEST_FILE:
        raise Refused(f"file_size {text!r} is no size, or less than the 64M that OpenZFS needs. Write it like 1G.")
    return size


def _refuse_nonsense(wanted: PoolWanted) -> None:
    clash = sorted(set(wanted.pool_properties) & set(_HAVE_OPTIONS))
    if clash:
        raise Refused(
            f"pool_properties of {wanted.label} hold {', '.join(clash)}, which is an option or cannot be set."
        )
    for path in (wanted.altroot, *wanted.search):
        if path is not None and not path.startswith("/"):
            raise Refused(f"{path!r} for pool {wanted.label} is no absolute path on the host.")
    strangers = sorted(wanted.overwrite - set(wanted.topology.disks if wanted.topology is not None else ()))
    if strangers:
        raise Refused(
            f"overwrite names {', '.join(strangers)}, which is not in the topology of pool {wanted.label}. "
            "Name disks as the topology does."
        )
