# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One place under two names is one copy: on real servers, and for directories."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed

from .acting import Controller
from .test_on_servers import Place, bao, files, kmip  # noqa: F401  # fixtures

ONE_PLACE = "are one place under two names, and what is there is one copy and not two"


@pytest.fixture(params=["kmip", "bao", "files"])
def names(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[Place, Place]:
    """The same place, named in two ways."""
    place: Place = request.getfixturevalue(request.param)
    if request.param == "files":
        (tmp_path / "alias").symlink_to(tmp_path)
        return place, {**place, "path": str(tmp_path / "alias" / "keys")}
    return place, {option: str(value).replace("127.0.0.1", "localhost") for option, value in place.items()}


@pytest.mark.parametrize("check", [True, False])
def test_it_is_refused_before_a_key_is_made(controller: Controller, names: tuple[Place, Place], check: bool) -> None:
    for _attempt in range(2):
        refused = controller.act("zfs_dataset_key", name="tank/a", escrow=list(names), check=check, as_host="refused")
        assert "1 of 2 places for keys could be written to; 2 are required." in refused["msg"]
        assert ONE_PLACE in refused["msg"]
    assert controller.host.dataset("tank/a") is None
    assert controller.act("zfs_key_escrow_info", escrow=[names[0]], as_host="refused")["versions"] == []


def test_it_counts_once_where_fewer_copies_will_do(controller: Controller, names: tuple[Place, Place]) -> None:
    memory = {"type": "memory", "name": "one"}
    escrow = [names[0], memory, names[1]]
    options: dict[str, t.Any] = {"name": "tank/a", "escrow": escrow, "escrow_require": 2, "as_host": "counted"}
    made = controller.act("zfs_dataset_key", **options)
    assert made["changed"]
    assert any(ONE_PLACE in warning for warning in made["warnings"])
    (action,) = (each for each in made["actions"] if each["action"] == "escrow_key")
    assert len(action["after"]["places"]) == 2
    again = controller.act("zfs_dataset_key", **options)
    assert (again["changed"], again.get("failed")) == (False, None)
    controller.drawer("one").failing["find_out"] = BackendFailed("one is read-only.")
    refused = controller.act("zfs_dataset_key", **{**options, "name": "tank/b"})
    assert "1 of 3 places for keys could be written to; 2 are required." in refused["msg"]
    assert controller.host.dataset("tank/b") is None


def test_reading_goes_on_by_either_name(controller: Controller, names: tuple[Place, Place]) -> None:
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[names[0]], as_host="read")["changed"]
    for state in ("locked", "unlocked"):
        result = controller.act("zfs_unlock", name="tank/a", state=state, escrow=list(names), as_host="read")
        assert result[state] == ["tank/a"]


def test_places_of_every_kind_are_as_many_as_they_are(
    controller: Controller,
    tmp_path: pathlib.Path,
    bao: Place,  # noqa: F811
    kmip: Place,  # noqa: F811
) -> None:
    places = [bao, kmip]
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        places.append({"type": "vault_file", "path": str(tmp_path / name), "allow_local": True})
    made = controller.act("zfs_dataset_key", name="tank/a", escrow=places, as_host="apart")
    assert (made.get("failed"), made.get("warnings")) == (None, None)
    assert made["changed"]
