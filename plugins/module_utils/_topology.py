# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vdevs of a pool: as a task wants them, as ``zpool status`` shows them, and how the two differ.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from ._errors import Refused

CLASSES = ("data", "special", "dedup", "log")  # made of vdevs
LISTS = ("cache", "spares")  # made of single disks
TYPES = ("stripe", "mirror", "raidz1", "raidz2", "raidz3", "draid1", "draid2", "draid3")
FEWEST_DISKS = {"stripe": 1, "mirror": 2, "raidz1": 2, "raidz2": 3, "raidz3": 4, "draid1": 2, "draid2": 3, "draid3": 4}

_HEADINGS = {"special": "special", "dedup": "dedup", "logs": "log", "cache": "cache", "spares": "spares"}
_VDEV = re.compile(r"(mirror|raidz\d|draid\d)(?::(\d+)d:\d+c:(\d+)s)?-\d+$")
_PASSING = re.compile(r"(replacing|spare)-\d+$")  # while a disk is being replaced
_DRAID_SPARE = re.compile(r"draid\d-\d+-\d+$")
_FIRST_PARTITION = re.compile(r"(/dev/.+)-part1|(/dev/(?:[hsv]|xv)d[a-z]+)1|(/dev/.*[0-9])p1")


@dataclass(frozen=True)
class Vdev:
    """A top-level vdev.

    Args:
        type: one of TYPES; a stripe has one disk.
        disks: paths.
        data_disks: data disks of each group of a draid, None for OpenZFS's default.
        spare_disks: distributed spares of a draid.
    """

    type: str
    disks: tuple[str, ...]
    data_disks: int | None = None
    spare_disks: int = 0

    def words(self) -> list[str]:
        """Return it as ``zpool create`` takes it (zpoolconcepts(7))."""
        if self.type == "stripe":
            return list(self.disks)
        if not self.type.startswith("draid"):
            return [self.type, *self.disks]
        data = "" if self.data_disks is None else f":{self.data_disks}d"
        return [f"{self.type}{data}:{len(self.disks)}c:{self.spare_disks}s", *self.disks]

    def __str__(self) -> str:
        return f"{self.type} of {', '.join(self.disks)}"


@dataclass(frozen=True)
class Topology:
    """All vdevs of a pool; every disk of a stripe is a vdev of its own, as OpenZFS has it."""

    data: tuple[Vdev, ...] = ()
    special: tuple[Vdev, ...] = ()
    dedup: tuple[Vdev, ...] = ()
    log: tuple[Vdev, ...] = ()
    cache: tuple[Vdev, ...] = ()
    spares: tuple[Vdev, ...] = ()

    def of(self, kind: str) -> tuple[Vdev, ...]:
        vdevs: tuple[Vdev, ...] = getattr(self, kind)
        return vdevs

    @property
    def disks(self) -> tuple[str, ...]:
        return tuple(disk for kind in (*CLASSES, *LISTS) for vdev in self.of(kind) for disk in vdev.disks)

    def renamed(self, names: t.Mapping[str, str]) -> Topology:
        """Return the same vdevs on other disks."""
        made = {
            kind: tuple(replace(vdev, disks=tuple(names[disk] for disk in vdev.disks)) for vdev in self.of(kind))
            for kind in (*CLASSES, *LISTS)
        }
        return Topology(**made)

    def words(self) -> list[str]:
        """Return the vdevs as ``zpool create`` takes them; a single disk behind a mirror would be taken into it."""
        words: list[str] = []
        for kind in (*CLASSES, *LISTS):
            stripes_first = sorted(self.of(kind), key=lambda vdev: vdev.type != "stripe")
            heading = {"data": [], "spares": ["spare"]}.get(kind, [kind])
            vdevs = [word for vdev in stripes_first for word in vdev.words()]
            words += [*heading, *vdevs] if vdevs else []
        return words

    def __str__(self) -> str:
        named = ((kind, vdev) for kind in (*CLASSES, *LISTS) for vdev in self.of(kind))
        return "; ".join(str(vdev) if kind == "data" else f"{kind} {vdev}" for kind, vdev in named)


def topology_from(option: t.Mapping[str, t.Any] | None, *, whose: str) -> Topology | None:
    """Read the option ``topology``.

    Args:
        option: data, special, dedup and log with vdevs, cache and spares with disks.
        whose: the pool, for the refusal.

    Raises:
        Refused: no pool could look like this.
    """
    if option is None:
        return None
    made = {kind: _vdevs(option.get(kind) or (), kind, whose) for kind in CLASSES}
    made.update({kind: tuple(Vdev("stripe", (disk,)) for disk in option.get(kind) or ()) for kind in LISTS})
    topology = Topology(**made)
    _refuse_nonsense(topology, whose)
    return topology


def _vdevs(entries: t.Sequence[t.Mapping[str, t.Any]], kind: str, whose: str) -> tuple[Vdev, ...]:
    found: list[Vdev] = []
    for entry in entries:
        disks = tuple(entry["disks"])
        fewest = FEWEST_DISKS[entry["type"]]
        if len(disks) < fewest:
            raise Refused(
                f"{whose} has a {entry['type']} of {len(disks)} disks under {kind}; that takes at least {fewest}."
            )
        draid = (entry.get("draid_data_disks"), entry.get("draid_spare_disks") or 0)
        if draid != (None, 0) and not entry["type"].startswith("draid"):
            raise Refused(f"{whose} has draid options with a {entry['type']} under {kind}. Leave them out.")
        stripe = entry["type"] == "stripe"
        found += [Vdev("stripe", (disk,)) for disk in disks] if stripe else [Vdev(entry["type"], disks, *draid)]
    return tuple(found)


def _refuse_nonsense(topology: Topology, whose: str) -> None:
    if not topology.data:
        raise Refused(f"{whose} has a topology without data vdevs. Give at least one under data.")
    seen: set[str] = set()
    for disk in topology.disks:
        if not disk.startswith("/"):
            raise Refused(f"{disk!r} in the topology of {whose} is no absolute path. Write it like /dev/disk/by-id/...")
        if disk in seen:
            raise Refused(f"{disk} stands twice in the topology of {whose}. A disk has one place.")
        seen.add(disk)


def parse_status(text: str) -> dict[str, Topology]:
    """Read ``zpool status -P``: the configuration of each pool, by indentation, as all versions print it.

    A disk that is gone is shown by number, with its last path behind ``was``; that path is kept.
    """
    found: dict[str, Topology] = {}
    for section in re.split(r"^\s*pool: ", text, flags=re.MULTILINE)[1:]:
        name, _newline, rest = section.partition("\n")
        config = re.search(r"^config:\n\n(.*?)(?:\n\n|\Z)", rest, flags=re.MULTILINE | re.DOTALL)
        if config is not None:
            found[name] = _parse_config(config.group(1).split("\n"))
    return found


def _parse_config(lines: t.Sequence[str]) -> Topology:
    """Read the rows below the heading and the pool itself."""
    vdevs: dict[str, list[Vdev]] = {kind: [] for kind in (*CLASSES, *LISTS)}
    kind = "data"
    for line in lines[2:]:
        text = line.removeprefix("\t")
        depth, row = len(text) - len(text.lstrip(" ")), text.strip()
        if depth == 0 and row:
            kind = _HEADINGS.get(row.split(maxsplit=1)[0], kind)
        elif depth == 2:
            vdevs[kind] += _vdev_of(row)
        elif row and vdevs[kind]:
            last = vdevs[kind][-1]
            vdevs[kind][-1] = replace(last, disks=(*last.disks, *_disk_of(row)))
    return _without_active_spares(Topology(**{name: tuple(found) for name, found in vdevs.items()}))


def _without_active_spares(topology: Topology) -> Topology:
    """Leave a spare that stands in for a disk among the spares only, where it is listed as well."""
    spares = {disk for vdev in topology.spares for disk in vdev.disks}
    found = {
        kind: tuple(
            replace(vdev, disks=tuple(disk for disk in vdev.disks if disk not in spares)) for vdev in topology.of(kind)
        )
        for kind in CLASSES
    }
    return replace(topology, **found)


def _vdev_of(row: str) -> list[Vdev]:
    """Return the vdev that a row begins; a disk is one of its own, a draid's distributed spare is none."""
    name = row.split(maxsplit=1)[0]
    vdev = _VDEV.match(name)
    if vdev is not None:
        return [Vdev(vdev.group(1), (), int(vdev.group(2)) if vdev.group(2) else None, int(vdev.group(3) or 0))]
    return [] if _DRAID_SPARE.match(name) else [Vdev("stripe", _disk_of(row))]


def _disk_of(row: str) -> tuple[str, ...]:
    was = re.search(r"\bwas (/.*?)(?:\s{2,}|$)", row)
    name = was.group(1) if was else re.split(r"\s{2,}", row)[0]
    return () if _PASSING.match(name) or _DRAID_SPARE.match(name) else (name,)


def whole_disk(path: str) -> str:
    """Return the disk to whose first partition OpenZFS wrote, by its name; a path without partition as it is."""
    found = _FIRST_PARTITION.fullmatch(path)
    return path if found is None else next(filter(None, found.groups()))


def drift(wanted: Topology, present: Topology, real: t.Callable[[str], str]) -> tuple[str, ...]:
    """Say in which vdevs a pool differs from what is wanted; nothing of it is ever repaired.

    Args:
        wanted: from the task.
        present: from ``zpool status``.
        real: resolves a path to what it is now; a path that leads nowhere stays as it is.
    """
    sentences: list[str] = []
    for kind in (*CLASSES, *LISTS):
        left = list(present.of(kind))
        for vdev in wanted.of(kind):
            match = next((each for each in left if _is_same(vdev, each, real)), None)
            if match is None:
                sentences.append(f"{kind}: {vdev} is wanted and not there")
            else:
                left.remove(match)
        sentences += [f"{kind}: {vdev} is there and not wanted" for vdev in left]
    return tuple(sentences)


def _is_same(wanted: Vdev, present: Vdev, real: t.Callable[[str], str]) -> bool:
    if wanted.type != present.type or len(wanted.disks) != len(present.disks):
        return False
    if wanted.spare_disks != present.spare_disks or wanted.data_disks not in (None, present.data_disks):
        return False
    left = list(present.disks)
    for disk in wanted.disks:
        match = next((each for each in left if is_same_disk(disk, each, real)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def is_same_disk(wanted: str, member: str, real: t.Callable[[str], str]) -> bool:
    """Tell whether a member of a pool is the disk that a task names: itself, or a partition OpenZFS made on it."""
    names = {wanted, real(wanted)}
    disk = whole_disk(member)
    return not names.isdisjoint({member, real(member), disk, real(disk), whole_disk(real(member))})
