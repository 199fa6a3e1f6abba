# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys are tried on a root, in which order."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keyfiles import KeyFiles
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._offers import offers_from

from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, POOLS, root, tree

THIRD = "0c" * 32
FOURTH = "0d" * 32


def keys_for(name: str, entries: list[dict[str, object]], manifest: dict[str, str] | None = None) -> list[str]:
    offers = offers_from(entries, manifest or {})
    found = offers.for_root(root(name, keylocation="file:///k"), KeyFiles({"/k": FOURTH.encode()}))
    return [key.secret.hex() for key in found.keys]


def test_own_entry_then_manifest_then_nearest_sharing_ancestor_then_key_file() -> None:
    entries: list[dict[str, object]] = [
        {"name": "tank", "key": "0e" * 32, "share_with_children": True},
        {"name": "tank/a", "key": THIRD, "share_with_children": True},
        {"name": "tank/a/b", "key": KEY_TEXT},
    ]
    assert keys_for("tank/a/b", entries, {"tank/a/b": OTHER_KEY_TEXT}) == [
        KEY_TEXT,
        OTHER_KEY_TEXT,
        THIRD,
        "0e" * 32,
        FOURTH,
    ]


def test_an_entry_is_not_shared_unless_it_says_so() -> None:
    assert keys_for("tank/a/b", [{"name": "tank/a", "key": KEY_TEXT}]) == [FOURTH]


def test_an_ancestor_that_does_not_share_is_passed_over_for_one_further_up() -> None:
    entries: list[dict[str, object]] = [
        {"name": "tank", "key": KEY_TEXT, "share_with_children": True},
        {"name": "tank/a", "key": THIRD},
    ]
    assert keys_for("tank/a/b", entries) == [KEY_TEXT, FOURTH]


def test_a_manifest_shares_nothing() -> None:
    assert keys_for("tank/a/b", [], {"tank/a": KEY_TEXT}) == [FOURTH]


def test_a_shared_entry_does_not_reach_names_that_only_begin_alike() -> None:
    assert keys_for("tank/ab", [{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}]) == [FOURTH]


def test_a_key_offered_twice_is_tried_once() -> None:
    assert keys_for("tank/a", [{"name": "tank/a", "key": FOURTH}], {"tank/a": FOURTH}) == [FOURTH]


def test_what_does_not_fit_the_keyformat_is_not_tried() -> None:
    offers = offers_from([{"name": "tank/a", "key": KEY_TEXT}], {"tank/a": "correct horse"})
    assert offers.for_root(root("tank/a", keyformat="passphrase"), KeyFiles()).keys == (
        passphrase("correct horse", whose=""),
    )
    assert offers.for_root(root("tank/a"), KeyFiles()).keys == (KEY,)


def test_a_key_file_is_read_in_the_form_of_the_root_that_it_is_tried_on() -> None:
    offers = offers_from([{"name": "tank/a", "key_file": "/k"}], {})
    raw = offers.for_root(root("tank/a", keyformat="raw"), KeyFiles({"/k": b"x" * 32}))
    assert raw.keys == (Key("key", b"x" * 32),)


@pytest.mark.parametrize(
    ("content", "remark"), [(None, "key file /k is not there"), (b"short", "not 64 hexadecimal digits")]
)
def test_a_key_file_that_cannot_be_tried_is_remarked_on(content: bytes | None, remark: str) -> None:
    offers = offers_from([{"name": "tank/a", "key_file": "/k"}], {})
    found = offers.for_root(root("tank/a"), KeyFiles({"/k": content}))
    assert found.keys == ()
    assert remark in found.remarks[0]


def test_a_short_passphrase_may_be_tried_though_it_could_not_be_set() -> None:
    offers = offers_from([{"name": "tank/a", "passphrase": "short"}], {})
    assert offers.for_root(root("tank/a", keyformat="passphrase"), KeyFiles()).keys == (passphrase("short", whose=""),)


def test_a_malformed_key_is_refused_when_it_is_read() -> None:
    with pytest.raises(Refused, match="key of tank/a is not 64 hexadecimal digits"):
        offers_from([{"name": "tank/a", "key": "abc"}], {})


@pytest.mark.parametrize("source", ["secrets", "the manifest"])
def test_a_name_that_an_imported_pool_does_not_have_is_refused(source: str) -> None:
    entries: list[dict[str, object]] = [{"name": "tank/gone", "key": KEY_TEXT}] if source == "secrets" else []
    offers = offers_from(entries, {} if entries else {"tank/gone": KEY_TEXT})
    with pytest.raises(Refused, match=f"no dataset tank/gone, which {source} names"):
        offers.refuse_unknown_names(tree(), POOLS)


def test_names_of_other_pools_are_ignored_and_listed() -> None:
    offers = offers_from([], {"backup/b": OTHER_KEY.secret.hex(), "backup/a": KEY_TEXT})
    offers.refuse_unknown_names(tree(), POOLS)
    assert offers.foreign_names(POOLS) == ("backup/a", "backup/b")


def test_a_key_file_that_cannot_be_read_is_the_matter_of_its_root_alone() -> None:
    files = KeyFiles({}, {"/k": "The key file /k cannot be read: Permission denied."})
    found = offers_from([{"name": "tank/a", "key_file": "/k"}], {}).for_root(root("tank/a"), files)
    assert found.remarks == ("The key file /k cannot be read: Permission denied.",)


def test_a_manifest_that_says_the_kind_is_taken_at_its_word() -> None:
    looks_like_a_key = passphrase(KEY_TEXT, whose="")
    offers = offers_from([], {"tank/a": KEY, "tank/b": looks_like_a_key, "tank/c": looks_like_a_key})
    assert offers.for_root(root("tank/a"), KeyFiles()).keys == (KEY,)
    assert offers.for_root(root("tank/b", keyformat="passphrase"), KeyFiles()).keys == (looks_like_a_key,)
    assert offers.for_root(root("tank/c"), KeyFiles()).keys == ()


def test_a_secret_names_its_own_root_only() -> None:
    offers = offers_from([{"name": "tank/a", "key": KEY_TEXT, "share_with_children": True}], {"tank/c": KEY_TEXT})
    assert [offers.names(root(name)) for name in ("tank/a", "tank/a/b", "tank/c")] == [True, False, True]
