# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observing: one property read for all pools that a task touches, then key files, verdicts and mountpoints.

Private to the collection.
"""

from __future__ import annotations

import typing as t

from ._errors import CallFailed, NotPermitted, Refused
from ._keyfiles import KeyFiles, plain
from ._keys import Key
from ._model import Dataset, Pool, Tree, Verdict
from ._side_by_side import side_by_side

if t.TYPE_CHECKING:
    from ._host import Host


def observe_tree(
    host: Host, pools: t.Mapping[str, Pool], names: t.Iterable[str], properties: t.Iterable[str] = ()
) -> Tree:
    """Read the datasets of those of the named pools that are imported.

    Raises:
        Refused: one is suspended, and whoever asks for its datasets hangs.
    """
    imported = [name for name in names if name in pools]
    refuse_suspended(pools[name] for name in imported)
    return host.datasets(imported, properties)


def refuse_suspended(pools: t.Iterable[Pool]) -> None:
    """Refuse a pool that waits for its disks: every command about it would wait with it."""
    for pool in pools:
        if pool.health == "SUSPENDED":
            raise Refused(
                f"Pool {pool.name} is suspended: its disks are gone. Bring them back and run 'zpool clear {pool.name}'."
            )


def read_key_files(
    host: Host, paths: t.Iterable[str], *, written: t.Iterable[str] = (), mountpoints: t.Iterable[str] = ()
) -> KeyFiles:
    """Read key files; one that cannot be read matters only to who needs it.

    Args:
        host: where they are.
        paths: of the files.
        written: other files of which only the place matters.
        mountpoints: those that may turn out to hold a file.
    """
    contents: dict[str, bytes | None] = {}
    problems: dict[str, str] = {}
    for path in sorted(set(paths)):
        try:
            contents[path] = host.read_key_file(path)
        except Refused as refusal:
            problems[path] = str(refusal)
    real = {path: host.real_path(plain(path)) for path in (*contents, *problems, *written)}
    if not real:
        return KeyFiles()
    places = {path: host.real_path(path) for path in sorted(set(mountpoints)) if path.startswith("/")}
    behind_links = {path: place for path, place in places.items() if place != path}
    return KeyFiles(contents, problems, real, behind_links)


def mountpoints_of(tree: Tree) -> t.Iterator[str]:
    """Return the mountpoints of all datasets as OpenZFS shows them."""
    return (each.value("mountpoint") for each in tree.datasets.values())


def try_keys(host: Host, candidates: t.Mapping[str, tuple[Dataset, t.Sequence[Key]]]) -> dict[tuple[str, Key], Verdict]:
    """Try each root's candidates in their order until one opens; roots side by side.

    Args:
        host: where to try.
        candidates: by root name, the root and the keys to try.
    """

    def judge(entry: tuple[Dataset, t.Sequence[Key]]) -> list[tuple[tuple[str, Key], Verdict]]:
        root, keys = entry
        found = []
        for key in keys:
            verdict = host.verify(root, key)
            found.append(((root.name, key), verdict))
            if verdict.outcome == "opens":
                break
        return found

    return dict(pair for found in side_by_side(judge, list(candidates.values())) for pair in found)


def find_occupants(host: Host, datasets: t.Iterable[Dataset]) -> dict[str, str]:
    """Look at the places where these would be mounted by default; return what stands in the way, by path."""
    paths = {dataset.value("mountpoint") for dataset in datasets if dataset.is_mounted_by_default}
    looks = ((path, host.occupant(path)) for path in sorted(paths))
    return {path: occupant for path, occupant in looks if occupant is not None}


def find_in_the_way(host: Host, mounts: t.Iterable[Dataset], tree: Tree) -> dict[str, str]:
    """Look where these are to be mounted, and at the bare mountpoints of locked ones around: one in use is no obstacle.

    Return what stands there, by path.
    """
    due = list(mounts)
    around = (tree.closed_around(each.value("mountpoint")) for each in due)
    return find_occupants(host, [*due, *(each for each in around if each is not None)])


def find_asides(host: Host, occupied: t.Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what stands in the way, with the reason where it has to stay, and the new names of the rest; by path."""
    standing = dict(occupied)
    asides: dict[str, str] = {}
    for path, occupant in occupied.items():
        try:
            asides[path] = host.place_aside(path)
        except CallFailed as error:
            standing[path] = f"{occupant} {error}"
    return standing, asides


class Readings(t.NamedTuple):
    """What reading from datasets told, each by name with a sentence.

    Args:
        unreadable: what their root's key does not open.
        undecided: what whoever runs this may not read.
    """

    unreadable: t.Mapping[str, str]
    undecided: t.Mapping[str, str]


def read_from(host: Host, datasets: t.Iterable[Dataset]) -> Readings:
    """Read from unlocked datasets."""

    def problem(dataset: Dataset) -> CallFailed | None:
        try:
            host.prove_readable(dataset)
        except CallFailed as error:
            return error
        return None

    each = {dataset.name: dataset for dataset in datasets}
    problems = dict(zip(each, side_by_side(problem, list(each.values()))))
    undecided = {name: str(why) for name, why in problems.items() if isinstance(why, NotPermitted)}
    unreadable = {name: str(why).rstrip(".") for name, why in problems.items() if why and name not in undecided}
    return Readings(unreadable, undecided)


def key_files_of(roots: t.Iterable[Dataset]) -> set[str]:
    """Return the key files that roots name in their ``keylocation``."""
    return {root.key_file for root in roots if root.key_file is not None}
