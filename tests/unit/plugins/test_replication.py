# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names at the target of a replication, and which copies are encryption roots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Tree
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below
from ansible_collections.zfsfleet.encryption.plugins.module_utils._replication import Excluded, Replication

from .trees import POOLS, dataset, inheriting, root, tree

TREE = tree(
    root("tank/a"),
    inheriting("tank/a/b", "tank/a"),
    inheriting("tank/a/b/deep", "tank/a"),
    root("tank/a/own"),
    inheriting("tank/a/own/x", "tank/a/own"),
    dataset("tank/a/plain"),
    root("tank/ab"),
    dataset("tank/open"),
    root("tank/open/c"),
)


@pytest.mark.parametrize(
    ("sources", "source", "name"),
    [
        pytest.param(["tank/a"], "tank/a", "bk", id="one source is the target itself"),
        pytest.param(["tank/a"], "tank/a/b/c", "bk/b/c", id="what lies below follows"),
        pytest.param(["tank/a", "tank/b"], "tank/b", "bk/b", id="siblings"),
        pytest.param(["tank/x/a", "tank/y/b"], "tank/y/b", "bk/y/b", id="cousins"),
        pytest.param(["tank/a", "tank/a/c"], "tank/a/c", "bk/c", id="one above the other"),
        pytest.param(["tank/a", "tank/a/c"], "tank/a", "bk", id="and the upper one"),
        pytest.param(["tank/ab", "tank/ac"], "tank/ab", "bk/ab", id="a path, not letters"),
        pytest.param(["tank/a", "tank/ab"], "tank/ab", "bk/ab", id="a name that another begins with"),
        pytest.param(["tank"], "tank/tank/x", "bk/tank/x", id="the source's name again"),
        pytest.param(["tank/a"], "tank/a/tank/a", "bk/tank/a", id="the source's path again"),
        pytest.param(["tank/a", "lake/a"], "lake/a", "bk/lake/a", id="two pools"),
    ],
)
def test_names_follow_the_longest_common_path(sources: list[str], source: str, name: str) -> None:
    assert Replication(tuple(sources), "bk").name_of(source) == name


def test_a_name_that_openzfs_would_not_take_is_refused() -> None:
    with pytest.raises(Refused, match="Choose a shorter target_dataset"):
        Replication(("tank",), "b" * 250).name_of("tank/longer")


components = st.lists(st.sampled_from(["a", "ab", "b", "tank"]), min_size=1, max_size=4)
paths = components.map(lambda parts: "/".join(["tank", *parts]))


@given(st.lists(paths, min_size=1, max_size=4, unique=True), st.lists(paths, max_size=12))
def test_any_copy_lies_at_or_below_the_target_and_none_shares_its_name(sources: list[str], below: list[str]) -> None:
    replication = Replication(tuple(sources), "bk/here")
    sent = {*sources, *(f"{source}/{path}" for source in sources for path in below)}
    names = [replication.name_of(name) for name in sent]
    assert all(name == "bk/here" or is_below(name, "bk/here") for name in names)
    assert len(set(names)) == len(sent)
    assert all(
        source.endswith(name[len("bk/here") :])
        for source, name in zip(sorted(sent), map(replication.name_of, sorted(sent)), strict=True)
    )


def received(*sources: str, recursive: bool = False, replicate: bool = False, seen: Tree = TREE) -> list[str]:
    replication = Replication(sources, "bk", recursive, replicate)
    return [each.name for each in replication.received_roots(seen, POOLS)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(received("tank/a"), ["tank/a"], id="alone"),
        pytest.param(
            received("tank/a", recursive=True),
            ["tank/a", "tank/a/b", "tank/a/b/deep", "tank/a/own", "tank/a/own/x"],
            id="each by itself, without its sibling tank/ab and what is plain",
        ),
        pytest.param(received("tank/a", replicate=True), ["tank/a", "tank/a/own"], id="one stream"),
        pytest.param(received("tank/a/b"), ["tank/a/b"], id="a source that inherits"),
        pytest.param(received("tank/a/b", replicate=True), ["tank/a/b"], id="in one stream, and not what is above"),
        pytest.param(received("tank/open", recursive=True), ["tank/open/c"], id="below what is plain"),
        pytest.param(received("tank/open"), [], id="plain"),
        pytest.param(
            received("tank/a", "tank/a/b", replicate=True), ["tank/a", "tank/a/b", "tank/a/own"], id="two streams"
        ),
        pytest.param(received("lake/x"), [], id="a pool that is not there"),
    ],
)
def test_the_copies_that_are_roots_are_known(names: list[str], expected: list[str]) -> None:
    assert names == expected


def test_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="There is no dataset tank/gone"):
        received("tank/gone")


def test_what_is_excluded_takes_what_lies_below_along_and_nothing_that_begins_alike() -> None:
    excluded = Excluded(("tank/a",))
    assert [name for name in ("tank/a", "tank/a/b", "tank/ab", "tank") if name in excluded] == ["tank/a", "tank/a/b"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tank/ab", "tank/ab cannot be excluded: it lies below none of tank/a"),
        ("tank/a", "tank/a cannot be excluded"),
        ("tank/a/gone", "There is no dataset tank/a/gone to exclude"),
    ],
)
def test_an_exclusion_that_leaves_nothing_out_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        Excluded((name,)).refuse_meaningless(("tank/a",), TREE, POOLS)
