# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting and inheriting properties."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    create,
    create_locked_root,
    create_root,
    fails,
    make,
    make_root,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import SMALL_POOL

pytestmark = pytest.mark.any_binding

USER_PROPERTY = "zfsfleet.encryption:key_id"


@pytest.mark.parametrize("keylocation", ["file:///absent/a.key", "https://keys.example/a", "prompt"])
def test_keylocation_can_be_set_on_a_root(host: Host, name: str, keylocation: str) -> None:
    create_root(host, name)
    host.set_properties(name, {"keylocation": keylocation})

    assert read(host, name).properties["keylocation"] == Property(keylocation, "local")


def test_keylocation_can_be_set_on_a_locked_root(host: Host, name: str) -> None:
    create_locked_root(host, name)
    host.set_properties(name, {"keylocation": "file:///absent/a.key"})

    assert read(host, name).key_file == "/absent/a.key"


@pytest.mark.parametrize("keylocation", ["none", "file://not/absolute", "/no/scheme", "nonsense"])
def test_a_bad_keylocation_is_refused(host: Host, name: str, keylocation: str) -> None:
    before = make_root(host, name)
    with fails():
        host.set_properties(name, {"keylocation": keylocation})

    assert read(host, name) == before


@pytest.mark.parametrize("encryption", ["on", "off"])
def test_keylocation_can_only_be_set_on_roots(host: Host, name: str, encryption: str) -> None:
    create_root(host, name)
    create(host, f"{name}/child", encryption=encryption)
    with fails():
        host.set_properties(f"{name}/child", {"keylocation": "prompt"})


def test_several_properties_are_set_in_one_go(host: Host, name: str) -> None:
    create_root(host, name)
    wanted = {
        "keylocation": "file:///absent/a.key",
        "readonly": "on",
        USER_PROPERTY: "r1.2",
        "zfsfleet.encryption:rotated_at": "2026-01-02T03:04:05Z",
    }
    host.set_properties(name, wanted)

    after = read(host, name)
    assert {prop: after.properties[prop] for prop in wanted} == {
        prop: Property(value, "local") for prop, value in wanted.items()
    }


@pytest.mark.parametrize("properties", [{"nonsense": "on"}, {"recordsize": "nonsense"}, {"compression": "nonsense"}])
def test_one_bad_property_and_none_is_set(host: Host, name: str, properties: dict[str, str]) -> None:
    before = make(host, name)
    with fails():
        host.set_properties(name, {"readonly": "on", **properties})

    assert read(host, name) == before


@pytest.mark.parametrize("prop", ["encryption", "keyformat", "pbkdf2iters", "utf8only"])
def test_what_is_decided_at_creation_cannot_be_set(host: Host, name: str, prop: str) -> None:
    values = {"encryption": "off", "keyformat": "raw", "pbkdf2iters": "200000", "utf8only": "on"}
    before = make_root(host, name)
    with fails():
        host.set_properties(name, {prop: values[prop]})

    assert read(host, name) == before


@pytest.mark.parametrize("value", ["two words", 'quote" and \\', "a=b,c", "tab\tand more", "ünïcode", ""])
def test_a_user_property_is_read_as_it_was_set(host: Host, name: str, value: str) -> None:
    create(host, name)
    host.set_properties(name, {USER_PROPERTY: value})

    assert read(host, name).properties[USER_PROPERTY] == Property(value, "local")


def test_properties_go_down_the_tree_and_name_where_they_come_from(host: Host, name: str) -> None:
    create(host, name, readonly="on", **{USER_PROPERTY: "r1.1"})
    create(host, f"{name}/a")
    create(host, f"{name}/a/b")
    host.set_properties(f"{name}/a", {USER_PROPERTY: "r1.2"})

    below = read(host, f"{name}/a/b")
    assert below.properties["readonly"] == Property("on", f"inherited from {name}")
    assert below.properties[USER_PROPERTY] == Property("r1.2", f"inherited from {name}/a")
    assert below.properties["canmount"] == Property("on", "default")
    assert below.properties["type"] == Property("filesystem", "-")


def test_canmount_and_quota_are_not_inherited(host: Host, small_name: str) -> None:
    create(host, small_name, canmount="noauto", quota="20M")
    create(host, f"{small_name}/child")

    child = host.datasets([SMALL_POOL], ["quota"]).datasets[f"{small_name}/child"]
    assert child.properties["canmount"] == Property("on", "default")
    assert child.properties["quota"] == Property("0", "default")


def test_a_mountpoint_is_inherited_with_the_name_appended(host: Host, directory: str, name: str) -> None:
    create(host, name, mountpoint=f"{directory}/elsewhere")
    create(host, f"{name}/a")

    assert make(host, f"{name}/a/b").properties["mountpoint"] == Property(
        f"{directory}/elsewhere/a/b", f"inherited from {name}"
    )


@pytest.mark.parametrize("value", ["none", "legacy"])
def test_no_mountpoint_is_inherited_as_it_is(host: Host, name: str, value: str) -> None:
    create(host, name, mountpoint=value)
    child = make(host, f"{name}/child")

    assert child.properties["mountpoint"] == Property(value, f"inherited from {name}")
    assert not child.is_mounted_by_default


@pytest.fixture
def new_place(directory: str, name: str) -> dict[str, str]:
    return {"mountpoint": f"{directory}/moved-{name.rpartition('/')[2]}"}


@pytest.mark.parametrize("before", ["mounted", "not mounted", "none", "legacy"])
def test_a_new_mountpoint_mounts_even_what_was_not_mounted(
    host: Host, name: str, new_place: dict[str, str], before: str
) -> None:
    create(host, name, **({"mountpoint": before} if before in ("none", "legacy") else {}))
    if before == "mounted":
        host.mount(name)
    host.set_properties(name, new_place)

    assert read(host, name).is_mounted


def test_a_new_mountpoint_mounts_what_inherits_it_too(host: Host, name: str, new_place: dict[str, str]) -> None:
    create(host, name)
    create(host, f"{name}/child")
    create(host, f"{name}/noauto", canmount="noauto")
    host.set_properties(name, new_place)

    assert read(host, f"{name}/child").is_mounted
    assert not read(host, f"{name}/noauto").is_mounted


@pytest.mark.parametrize("canmount", ["off", "noauto"])
def test_a_new_mountpoint_mounts_nothing_that_is_not_mounted_by_itself(
    host: Host, name: str, new_place: dict[str, str], canmount: str
) -> None:
    create(host, name, canmount=canmount)
    host.set_properties(name, new_place)

    assert not read(host, name).is_mounted


def test_a_locked_filesystem_takes_a_new_mountpoint_and_stays_unmounted(
    host: Host, name: str, new_place: dict[str, str]
) -> None:
    create_locked_root(host, name)
    host.set_properties(name, new_place)

    after = read(host, name)
    assert after.value("mountpoint") == new_place["mountpoint"]
    assert not after.is_mounted


@pytest.mark.parametrize("value", ["none", "legacy"])
def test_no_mountpoint_any_more_unmounts(host: Host, name: str, value: str) -> None:
    create(host, name)
    host.mount(name)
    host.set_properties(name, {"mountpoint": value})

    assert not read(host, name).is_mounted


def test_canmount_off_unmounts(host: Host, name: str) -> None:
    create(host, name)
    host.mount(name)
    host.set_properties(name, {"canmount": "off"})

    assert not read(host, name).is_mounted


def test_sizes_are_read_in_bytes(host: Host, small_name: str) -> None:
    create(host, small_name)
    host.set_properties(small_name, {"quota": "1.5G", "recordsize": "1M", "refquota": "none"})

    shown = host.datasets([SMALL_POOL], ["quota", "recordsize", "refquota"]).datasets[small_name]
    assert [shown.value(prop) for prop in ("quota", "recordsize", "refquota")] == ["1610612736", "1048576", "0"]


def test_a_missing_dataset_takes_no_property(host: Host, name: str) -> None:
    with fails():
        host.set_properties(name, {"readonly": "on"})
