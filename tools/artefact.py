"""What may be in the artefact and what must be, told from names of files alone."""

from __future__ import annotations

import re
import tarfile
import typing as t
from pathlib import PurePath

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What Ansible loads: public plugins, roles and playbooks use nothing else.
LOADED = ("meta", "plugins", "roles", "playbooks")
# What people and their tools read.
READ = (
    *("CHANGELOG.rst", "CONTRIBUTING.md", "LICENSE", "README.md"),
    *("changelogs/changelog.yaml", "changelogs/config.yaml", "docs", "examples", "tests/config.yml"),
)
# Written by `ansible-galaxy collection build`.
BUILT = ("FILES.json", "MANIFEST.json")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def files_in(tarball: Path) -> list[PurePath]:
    with tarfile.open(tarball) as archive:
        return [PurePath(member.name) for member in archive if not member.isdir()]


def misplaced(shipped: Iterable[PurePath], project: Iterable[PurePath]) -> list[str]:
    """Files of the artefact that no user needs or git does not know, and files that it lacks."""
    ours = {file for file in shipped if str(file) not in BUILT}
    wanted = {file for file in ours if _is_below(file, LOADED) or _is_below(file, READ)}
    needed = {file for file in project if _is_below(file, LOADED) or _is_below(file, READ)}
    return [
        *(f"{file}: no user needs it; name it in build_ignore of galaxy.yml" for file in sorted(ours - wanted)),
        *(f"{file}: shipped, though git ignores it" for file in sorted(wanted - needed)),
        *(f"{file}: missing in the artefact" for file in sorted(needed - ours)),
    ]


def dead_links(page: str, shipped: Iterable[PurePath]) -> list[str]:
    """Relative links of a page in the root that lead to nothing in the artefact."""
    there = {entry for file in shipped for entry in (file, *file.parents)}
    return [f"{target} is not in the artefact" for target in LINK.findall(page) if PurePath(target) not in there]


def _is_below(file: PurePath, entries: Iterable[str]) -> bool:
    return any(file.is_relative_to(entry) for entry in entries)
