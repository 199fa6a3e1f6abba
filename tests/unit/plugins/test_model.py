# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of datasets."""

from __future__ import annotations

from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Tree

from .trees import dataset, inheriting, root, tree


def names(found: object) -> list[str]:
    return [each.name for each in found]  # type: ignore[attr-defined]


def test_what_lies_below_is_told_from_what_only_begins_alike() -> None:
    here = tree(
        root("tank/a"), root("tank/a/b"), root("tank/a-b"), root("tank/a b"), root("tank/ab"), root("tank/a/b/c")
    )
    assert names(here.at_or_below("tank/a")) == ["tank/a", "tank/a/b", "tank/a/b/c"]
    assert names(here.below("tank/a")) == ["tank/a/b", "tank/a/b/c"]
    assert names(here.below("tank/none")) == []


def test_parents_come_before_children_everywhere() -> None:
    here = tree(root("tank/b/c"), root("tank/b"), root("tank/a.x/y"), root("tank/a.x"), root("tank/a"))
    found = names(here.at_or_below("tank"))
    assert all(found.index(name.rpartition("/")[0]) < found.index(name) for name in ("tank/b/c", "tank/a.x/y"))


def test_members_of_a_root_are_those_that_share_its_key_clones_elsewhere_included() -> None:
    here = tree(
        root("tank/a"),
        inheriting("tank/a/b", "tank/a"),
        root("tank/a/own"),
        dataset("tank/a/plain"),
        inheriting("tank/clone", "tank/a", origin="tank/a@s"),
    )
    assert names(here.members("tank/a")) == ["tank/a", "tank/a/b", "tank/clone"]
    assert names(here.roots_at_or_below("tank/a")) == ["tank/a", "tank/a/own"]


def test_ancestors_are_yielded_nearest_first() -> None:
    here = tree(root("tank/a"), dataset("tank/a/b"), dataset("tank/a/b/c"))
    assert names(here.ancestors("tank/a/b/c")) == ["tank/a/b", "tank/a", "tank"]


def test_a_tree_with_a_dataset_more_leaves_the_first_one_as_it_was() -> None:
    here = tree(root("tank/a"))
    more = here.with_datasets(root("tank/a/b"))
    assert names(more.below("tank/a")) == ["tank/a/b"]
    assert names(here.below("tank/a")) == []
    assert more.without("tank/a/b").get("tank/a/b") is None


def test_an_empty_tree_has_nothing() -> None:
    assert Tree({}).roots_at_or_below("tank") == ()
    assert Tree({}).members("tank") == ()


def test_only_filesystems_of_this_host_with_a_path_and_canmount_on_are_mounted_by_default() -> None:
    assert dataset("tank/a").is_mounted_by_default
    assert not dataset("tank/a", canmount="noauto").is_mounted_by_default
    assert not dataset("tank/a", canmount="off").is_mounted_by_default
    assert not dataset("tank/a", zoned="on").is_mounted_by_default
    assert not dataset("tank/a", mountpoint="legacy").is_mounted_by_default
    assert not dataset("tank/a", mountpoint="none").is_mounted_by_default
    assert not dataset("tank/a", type="volume", canmount="-", mountpoint="-").is_mounted_by_default


def test_a_key_file_is_a_file_location_only() -> None:
    assert root("tank/a", keylocation="file:///etc/a.key").key_file == "/etc/a.key"
    assert root("tank/a", keylocation="https://host/a.key").key_file is None
    assert root("tank/a").key_file is None


def test_a_domain_is_what_opens_and_closes_with_a_root_outermost_mount_first() -> None:
    here = tree(
        root("tank/a"),
        inheriting("tank/a/x", "tank/a", mountpoint="/srv/y/x"),
        inheriting("tank/a/y", "tank/a", mountpoint="/srv/y"),
        dataset("tank/a/plain"),
        root("tank/a/own"),
        dataset("tank/a/own/plain"),
    )
    assert names(here.domain("tank/a")) == ["tank/a/y", "tank/a/x", "tank/a", "tank/a/plain"]
    assert names(here.domain("tank/a/own")) == ["tank/a/own", "tank/a/own/plain"]


def test_a_changed_key_reaches_members_below_and_clones_of_them_elsewhere() -> None:
    here = tree(
        root("tank/a"),
        inheriting("tank/a/b", "tank/a"),
        inheriting("tank/a/b/c", "tank/a"),
        inheriting("tank/a/d", "tank/a"),
        inheriting("tank/Clone", "tank/a", origin="tank/a/b/c@s"),
        inheriting("tank/Clone/e", "tank/a"),
    )
    of_root, of_child = here.get("tank/a"), here.get("tank/a/b")
    assert of_root is not None
    assert of_child is not None
    assert len(here.rewrapped_with(of_root)) == 6
    assert names(here.rewrapped_with(of_child)) == ["tank/Clone", "tank/Clone/e", "tank/a/b", "tank/a/b/c"]
