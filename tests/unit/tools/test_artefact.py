"""What the artefact may and must hold."""

from __future__ import annotations

from pathlib import PurePath

import artefact
import pytest

PROJECT = ("README.md", "Makefile", "plugins/modules/zfs_unlock.py", "roles/unlock/tasks/main.yml", "tests/config.yml")
SHIPPED = (*PROJECT, "FILES.json", "MANIFEST.json")
NEEDED = tuple(name for name in SHIPPED if name != "Makefile")


def paths(names: tuple[str, ...]) -> list[PurePath]:
    return [PurePath(name) for name in names]


def test_what_users_need_and_nothing_else_is_fine() -> None:
    assert artefact.misplaced(paths(NEEDED), paths(PROJECT)) == []


@pytest.mark.parametrize(
    ("shipped", "complaint"),
    [
        pytest.param(SHIPPED, "Makefile: no user needs it", id="for a checkout only"),
        pytest.param((*NEEDED, "tests/unit/a.py"), "tests/unit/a.py: no user needs it", id="a test"),
        pytest.param((*NEEDED, "plugins/disk.img"), "plugins/disk.img: shipped, though git ignores it", id="left over"),
        pytest.param(NEEDED[1:], "README.md: missing", id="a page missing"),
        pytest.param((*NEEDED[:1], *NEEDED[2:]), "plugins/modules/zfs_unlock.py: missing", id="a module missing"),
    ],
)
def test_what_is_misplaced_is_named(shipped: tuple[str, ...], complaint: str) -> None:
    (found,) = artefact.misplaced(paths(shipped), paths(PROJECT))

    assert found.startswith(complaint)


def test_relative_links_must_lead_to_something() -> None:
    page = "[a](LICENSE) [b](docs) [c](docs/none.md) [d](https://example.org/x) [e](#below) [f](docs/guide.rst#part)"

    assert artefact.dead_links(page, paths(("LICENSE", "docs/guide.rst"))) == ["docs/none.md is not in the artefact"]
