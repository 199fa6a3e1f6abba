# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which properties are set, which are given back, which are refused; whole runs on the fake."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT

PLAIN = {"encryption": "off"}


def value(host: FakeOpenZFS, name: str, prop: str) -> str:
    return host.datasets(["tank"], [prop]).datasets[name].value(prop)


def source(host: FakeOpenZFS, name: str, prop: str) -> str:
    return host.datasets(["tank"], [prop]).datasets[name].properties[prop].source


def provision(run: Run, name: str, **options: t.Any) -> dict[str, t.Any]:
    return run("zfs_dataset_key", name=name, **{**PLAIN, **options})


@pytest.mark.parametrize("prop", ["compression", "org:note", "mountpoint"])
def test_inherit_gives_a_value_back_once(run: Run, host: FakeOpenZFS, prop: str) -> None:
    own = {"compression": "lz4", "org:note": "mine", "mountpoint": "/elsewhere"}[prop]
    provision(run, "tank/a", properties={prop: own})
    first = provision(run, "tank/a", properties={prop: "inherit"})

    assert first["changed"]
    assert first["actions"][0]["action"] == "inherit_properties"
    assert source(host, "tank/a", prop) != "local"
    assert not provision(run, "tank/a", properties={prop: "inherit"})["changed"]


def test_inherit_gives_up_a_received_value_too(run: Run, host: FakeOpenZFS) -> None:
    run("zfs_dataset_key", name="tank/source", key="0a" * 32, properties={"compression": "lz4"})
    host.replicate("tank/source", "tank/copy")
    assert source(host, "tank/copy", "compression") == "received"
    result = run("zfs_dataset_key", name="tank/copy", key="0a" * 32, properties={"compression": "inherit"})

    assert result["changed"]
    assert source(host, "tank/copy", "compression") == "default"


def test_a_new_dataset_inherits_by_itself(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/a", properties={"compression": "lz4"})
    provision(run, "tank/a/b", properties={"compression": "inherit"})

    assert source(host, "tank/a/b", "compression") == "inherited from tank/a"


def test_a_value_that_is_inherited_already_is_not_set_again(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/a", properties={"compression": "lz4"})
    provision(run, "tank/a/b")

    assert not provision(run, "tank/a/b", properties={"compression": "lz4"})["changed"]
    assert source(host, "tank/a/b", "compression") == "inherited from tank/a"


def test_a_value_is_set_where_the_same_task_changes_what_would_be_inherited(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/a", properties={"compression": "lz4"})
    provision(run, "tank/a/b")
    provision(run, "tank/a/b/c")
    batch: dict[str, t.Any] = {
        "encryption": "off",
        "datasets": [
            {"name": "tank/a", "properties": {"compression": "zstd"}},
            {"name": "tank/a/b/c", "properties": {"compression": "lz4"}},
        ],
    }
    run("zfs_dataset_key", **batch)

    assert value(host, "tank/a/b", "compression") == "zstd"
    assert value(host, "tank/a/b/c", "compression") == "lz4"
    assert not run("zfs_dataset_key", **batch)["changed"]


def test_a_value_is_given_back_and_found_again_below_in_the_same_task(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/a", properties={"compression": "lz4", "mountpoint": "/elsewhere"})
    provision(run, "tank/a/b")
    batch: dict[str, t.Any] = {
        "encryption": "off",
        "datasets": [
            {"name": "tank/a", "properties": {"mountpoint": "inherit"}},
            {"name": "tank/a/b", "properties": {"mountpoint": "/tank/a/b"}},
        ],
    }
    run("zfs_dataset_key", **batch)

    assert source(host, "tank/a/b", "mountpoint") == "default"
    assert not run("zfs_dataset_key", **batch)["changed"]


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"quota": "inherit"}, "quota of tank/a is not inherited from its parent. Use none"),
        ({"canmount": "inherit"}, "canmount of tank/a is not inherited from its parent. Use on"),
        ({"utf8only": "inherit"}, "utf8only of tank/a is not inherited from its parent. Leave it out"),
        ({"userquota@anna": "inherit"}, "userquota@anna of tank/a is not inherited"),
        ({"used": "1G"}, "used of tank/a is what OpenZFS tells about a dataset"),
        ({"volblocksize": "8K"}, "tank/a is a filesystem and cannot have volblocksize, which only volumes have"),
        ({"a,b": "x"}, "'a,b' among the properties of tank/a is no name"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_changes(
    run: Run, host: FakeOpenZFS, properties: dict[str, str], sentence: str
) -> None:
    assert sentence in provision(run, "tank/a", properties=properties)["msg"]
    assert host.changes == []


def test_a_volume_that_is_there_is_refused_what_filesystems_have(run: Run) -> None:
    provision(run, "tank/v", volsize="1M")

    assert "tank/v is a volume and cannot have recordsize" in provision(
        run, "tank/v", properties={"recordsize": "1M"}
    ).get("msg", "")


def test_defaults_of_a_task_go_to_those_that_can_have_them(run: Run, host: FakeOpenZFS) -> None:
    batch: dict[str, t.Any] = {
        "encryption": "off",
        "properties": {"recordsize": "1M", "compression": "lz4", "volblocksize": "8K"},
        "datasets": [{"name": "tank/f", "type": "filesystem"}, {"name": "tank/v", "volsize": "1M"}],
    }
    run("zfs_dataset_key", **batch)

    assert value(host, "tank/f", "recordsize") == "1048576"
    assert value(host, "tank/v", "volblocksize") == "8192"
    assert value(host, "tank/v", "compression") == value(host, "tank/f", "compression") == "lz4"
    assert not run("zfs_dataset_key", **batch)["changed"]


def test_a_user_property_with_a_dash_is_told_from_none(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/a")

    assert provision(run, "tank/a", properties={"org:note": "-"})["changed"]
    assert not provision(run, "tank/a", properties={"org:note": "-"})["changed"]


def test_a_mountpoint_below_an_altroot_is_set_without_it_and_found_again(run: Run, host: FakeOpenZFS) -> None:
    host.add_disk("/dev/disk/by-id/x")
    disks = {"data": [{"type": "stripe", "disks": ["/dev/disk/by-id/x"]}]}
    pool: dict[str, t.Any] = {"name": "dozer", "encryption": "off", "topology": disks, "altroot": "/mnt"}
    run("zfs_encrypted_pool", **pool)
    moved = run("zfs_encrypted_pool", **pool, properties={"mountpoint": "/data"})
    assert moved["actions"][0]["after"] == {"mountpoint": "/data"}
    wanted: dict[str, t.Any] = {"name": "dozer/a", "encryption": "off", "properties": {"mountpoint": "/elsewhere"}}
    run("zfs_dataset_key", **wanted)

    assert host.datasets(["dozer"]).datasets["dozer/a"].value("mountpoint") == "/mnt/elsewhere"
    assert not run("zfs_dataset_key", **wanted)["changed"]
    assert not run("zfs_encrypted_pool", **pool, properties={"mountpoint": "/data"})["changed"]


def test_a_thick_volume_keeps_its_reservation_as_it_grows(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/v", volsize="1M")
    grown = provision(run, "tank/v", volsize="2M", sparse=False)

    assert grown["changed"]
    assert int(value(host, "tank/v", "refreservation")) >= 2 * 2**20
    assert not provision(run, "tank/v", volsize="2M", sparse=False)["changed"]


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_a_volume_becomes_sparse_or_reserved(run: Run, host: FakeOpenZFS, before: bool, after: bool) -> None:
    provision(run, "tank/v", volsize="1M", sparse=before)

    assert not provision(run, "tank/v", volsize="1M", sparse=before)["changed"]
    assert provision(run, "tank/v", volsize="1M", sparse=after)["changed"]
    assert (value(host, "tank/v", "refreservation") == "0") is after
    assert not provision(run, "tank/v", volsize="1M", sparse=after)["changed"]


def test_a_volume_keeps_what_it_reserves_where_the_task_does_not_say(run: Run) -> None:
    provision(run, "tank/v", volsize="1M", sparse=True)

    assert not provision(run, "tank/v", volsize="1M")["changed"]


def test_a_reservation_that_is_too_small_is_made_whole(run: Run, host: FakeOpenZFS) -> None:
    provision(run, "tank/v", volsize="2M", properties={"refreservation": "1M"})

    assert provision(run, "tank/v", sparse=False)["changed"]
    assert value(host, "tank/v", "refreservation") == str(2 * 2**20)


def test_sparse_and_a_reservation_exclude_each_other(run: Run) -> None:
    result = provision(run, "tank/v", volsize="1M", sparse=True, properties={"refreservation": "1M"})

    assert "sparse and refreservation" in result["msg"]


@pytest.mark.parametrize("sparse", [{}, {"sparse": True}, {"sparse": False}])
def test_a_volume_is_never_cut_off(run: Run, host: FakeOpenZFS, sparse: dict[str, bool]) -> None:
    provision(run, "tank/v", volsize="2M", **sparse)
    before = len(host.changes)

    message = provision(run, "tank/v", volsize="1M", **sparse)["msg"]
    assert "volsize of tank/v is 2097152 and is not reduced to 1048576" in message
    assert len(host.changes) == before


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("kind", [{}, {"type": "filesystem"}])
def test_a_filesystem_is_not_sparse_but_in_a_batch_with_volumes(
    host: FakeOpenZFS, run: Run, there: bool, kind: dict[str, str]
) -> None:
    entry: dict[str, t.Any] = {"name": "tank/f", "encryption": "off", **kind}
    if there:
        run("zfs_dataset_key", **entry)
    for check in (True, False):
        assert (
            "sparse, which only volumes have. Leave it out"
            in run("zfs_dataset_key", check=check, sparse=True, **entry)["msg"]
        )
    assert "sparse, which only volumes have" in run("zfs_dataset_key", datasets=[{**entry, "sparse": True}])["msg"]
    assert run("zfs_dataset_key", datasets=[{**entry, "sparse": False}])["failures"] == {}
    batch = [entry, {"name": "tank/v", "encryption": "off", "volsize": "1M"}]
    assert run("zfs_dataset_key", sparse=True, datasets=batch)["failures"] == {}
    assert host.datasets(["tank"], ["refreservation"]).datasets["tank/v"].number("refreservation") == 0


def test_a_locked_volume_does_not_grow(run: Run, host: FakeOpenZFS) -> None:
    volume: dict[str, t.Any] = {"name": "tank/v", "key": KEY_TEXT, "volsize": "1M"}
    run("zfs_dataset_key", **volume)
    host.unload_key("tank/v")
    before = len(host.changes)
    for check in (True, False):
        message = run("zfs_dataset_key", check=check, **{**volume, "volsize": "2M"})["msg"]
        assert message == "volsize of tank/v cannot be changed while it is locked. Unlock tank/v in a task before."
    assert run("zfs_dataset_key", **volume)["changed"] is False
    assert len(host.changes) == before


@pytest.mark.parametrize("wish", [{}, {"readonly": "off"}])
def test_nor_does_one_that_is_readonly_before_the_task(run: Run, host: FakeOpenZFS, wish: dict[str, str]) -> None:
    volume: dict[str, t.Any] = {"name": "tank/v", "encryption": "off", "volsize": "1M"}
    run("zfs_dataset_key", **volume, properties={"readonly": "on"})
    for check in (True, False):
        message = run("zfs_dataset_key", check=check, **{**volume, "volsize": "2M"}, properties=wish)["msg"]
        assert message.endswith("while its readonly is on. Set readonly: off in a task before.")
    run("zfs_dataset_key", **volume, properties={"readonly": "off"})
    assert provision(run, "tank/v", encryption="off", volsize="2M")["changed"]
