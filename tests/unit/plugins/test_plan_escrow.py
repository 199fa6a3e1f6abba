# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a root's key, decided from what is in escrow and what the host said."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._escrow import Held
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._fitting import Index
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._plan_escrow import (
    GIVEN,
    Decision,
    Known,
    decide,
    new_format,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import (
    Entry,
    KeyId,
    State,
    Version,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._seen import Root, Seen, Tried
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._wish import Wish, generated_passphrase

from .trees import KEY, OTHER_KEY, PASSPHRASE

POOLS = {"tank": "11"}
ROOT = Root("tank/a", "11", "77", "hex")
WORDED = Root("tank/a", "11", "77", "passphrase", 100_000, "5")
AT = "2026-11-26T00:00:09.000000Z"


def held(number: int, state: State = "active", *bound: Root, record: int = 1, **changed: t.Any) -> Held:
    made = Version(
        KeyId(f"{record:016x}", f"{number:012x}"),
        "nas1",
        "tank/a",
        "hex",
        0,
        f"2026-11-26T00:00:0{number}.000000Z",
    )
    version = dataclasses.replace(made, **changed)
    entry = Entry(version, state, version.created, tuple(root.binding(AT) for root in bound))
    return Held(entry, {"one": entry})


def known(
    root: Root | None, *each: Held, opens: t.Iterable[str] = (), wrong: t.Iterable[str] = (), **more: t.Any
) -> Known:
    """Each version was tried under its id, with KEY unless ``keys`` says otherwise."""
    tried = Tried(tuple(opens), tuple(wrong), more.pop("unknown", {}))
    seen = Seen(POOLS, {} if root is None else {root.name: root}, frozenset({"tank"}), {"tank/a": tried})
    by_id = {str(one.key_id): one for one in each}
    keys = more.pop("keys", dict.fromkeys(by_id, KEY))
    return Known(seen, by_id, keys, **more)


def decided(wish: Wish, what: Known, **more: t.Any) -> Decision:
    (decision,) = decide([wish], what, **more)
    return decision


def id_of(each: Held) -> str:
    return str(each.key_id)


WAITING = held(1, "pre-active")
ACTIVE = held(1, "active", ROOT)


# -- no root there


def test_a_new_root_without_a_key_in_escrow_gets_one() -> None:
    assert decided(Wish("tank/a"), known(None)).action == "mint"


def test_what_an_earlier_run_put_into_escrow_is_taken_up() -> None:
    younger = held(2, "pre-active", record=2)
    decision = decided(Wish("tank/a"), known(None, younger, WAITING))
    assert (decision.action, decision.held) == ("resume", WAITING)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(held(1, "active", ROOT), id="a key of a dataset that is gone"),
        pytest.param(held(1, "pre-active", keyguid="77"), id="a key that was to replace another"),
        pytest.param(held(1, "pre-active", dataset="tank/b"), id="a key for another dataset"),
        pytest.param(held(1, "pre-active", keyformat="raw"), id="another format"),
        pytest.param(held(1, "deactivated"), id="a key that was given up"),
    ],
)
def test_what_is_not_waiting_for_this_root_is_left_alone(other: Held) -> None:
    assert decided(Wish("tank/a"), known(None, other)).action == "mint"


def test_a_waiting_key_that_cannot_be_read_or_whose_copies_differ_is_not_used() -> None:
    assert decided(Wish("tank/a"), known(None, WAITING, keys={})).action == "mint"
    twice = Known(Seen(POOLS, others=frozenset({"tank"})), {"x": WAITING, "x/2": WAITING}, {"x": KEY, "x/2": OTHER_KEY})
    assert decided(Wish("tank/a"), twice).action == "mint"


def test_a_given_key_is_put_into_escrow_before_it_is_used() -> None:
    assert decided(Wish("tank/a", KEY), known(None)).action == "mint"
    assert decided(Wish("tank/a", KEY), known(None, WAITING)).action == "resume"
    assert decided(Wish("tank/a", OTHER_KEY), known(None, WAITING)).action == "mint"


def test_a_new_passphrase_is_taken_up_with_its_rounds() -> None:
    waiting = held(1, "pre-active", keyformat="passphrase", iterations=100_000)
    what = known(None, waiting, keys={id_of(waiting): PASSPHRASE})
    assert decided(Wish("tank/a", keyformat="passphrase", iterations=100_000), what).action == "resume"
    assert decided(Wish("tank/a", keyformat="passphrase"), what).action == "mint"


def test_what_inherits_or_is_plain_is_to_become_a_root() -> None:
    seen = Seen(POOLS, others=frozenset({"tank", "tank/a"}))
    assert decided(Wish("tank/a"), Known(seen)).action == "mint"


def test_no_key_is_made_for_a_name_without_a_pool_or_a_parent() -> None:
    lake = decided(Wish("lake/a"), known(None))
    assert (lake.action, lake.sentence) == ("refuse", "There is no pool lake on this host. Import or create it first.")
    deep = decided(Wish("tank/b/c"), known(None))
    assert deep.action == "refuse"
    assert "tank/b/c has no parent: there is no dataset tank/b" in str(deep.sentence)
    assert decided(Wish("tank/b/c"), known(None), made={"tank/b"}).action == "mint"
    assert decided(Wish("lake", brings_its_pool=True), known(None)).action == "mint"


def test_no_key_is_made_against_the_will_of_the_task() -> None:
    refused = decided(Wish("tank/a", may_mint=False), known(None))
    assert refused.action == "refuse"
    assert "generate_key: false" in str(refused.sentence)
    assert decided(Wish("tank/a", KEY, may_mint=False), known(None)).action == "mint"


# -- the root is there


def test_a_root_that_a_key_in_escrow_opens_is_as_it_should_be() -> None:
    decision = decided(Wish("tank/a"), known(ROOT, ACTIVE, opens=[id_of(ACTIVE)]))
    assert (decision.action, decision.held, decision.sentence) == ("use", ACTIVE, None)


def test_what_opens_counts_and_not_what_is_noted() -> None:
    rotated = held(2, "pre-active", keyguid="77")
    decision = decided(Wish("tank/a"), known(ROOT, ACTIVE, rotated, wrong=[id_of(ACTIVE)], opens=[id_of(rotated)]))
    assert (decision.action, decision.held) == ("use", rotated)
    assert Index([ACTIVE, rotated]).superseded(rotated) == (ACTIVE,)
    assert Index([ACTIVE, rotated]).superseded(ACTIVE) == ()


def test_of_two_versions_with_one_key_the_active_one_counts() -> None:
    old = held(1, "deactivated", ROOT)
    again = held(2, "active", ROOT)
    assert decided(Wish("tank/a"), known(ROOT, old, again, opens=[id_of(old), id_of(again)])).held == again


@pytest.mark.parametrize(
    ("state", "words"), [("compromised", "which is compromised. Rotate"), ("deactivated", "somebody set it again")]
)
def test_a_root_that_opens_with_what_should_not_be_in_use_is_told(state: t.Any, words: str) -> None:
    found = held(1, state, ROOT)
    decision = decided(Wish("tank/a"), known(ROOT, found, opens=[id_of(found)]))
    assert decision.action == "use"
    assert words in str(decision.sentence)


def test_a_given_key_that_opens_and_is_not_in_escrow_is_taken_in() -> None:
    assert decided(Wish("tank/a", KEY), known(ROOT, opens=[GIVEN])).action == "adopt"
    assert decided(Wish("tank/a", KEY), known(ROOT, ACTIVE, opens=[GIVEN], wrong=[id_of(ACTIVE)])).action == "adopt"


def test_a_given_key_that_is_in_escrow_is_as_it_should_be() -> None:
    assert decided(Wish("tank/a", KEY), known(ROOT, ACTIVE, opens=[GIVEN, id_of(ACTIVE)])).action == "use"


def test_a_second_key_is_never_made_for_a_root_that_has_one() -> None:
    decision = decided(Wish("tank/a"), known(ROOT))
    assert decision.action == "refuse"
    assert "tank/a is an encryption root and escrow has no key for it" in str(decision.sentence)
    assert "take it into escrow with zfs_key_escrow" in str(decision.sentence)


def test_a_refusal_says_what_makes_it_uncertain() -> None:
    what = known(
        ROOT,
        ACTIVE,
        wrong=[id_of(ACTIVE), GIVEN],
        unknown={"x": "Input/output error"},
        problems=("two is down.",),
    )
    sentence = str(decided(Wish("tank/a", OTHER_KEY), what).sentence)
    for words in ("none of the 1 keys", "The key given does not", "x: Input/output error", "two is down."):
        assert words in sentence


def test_a_given_key_that_does_not_open_is_refused_unless_it_is_to_replace_the_present_one() -> None:
    what = known(ROOT, ACTIVE, opens=[id_of(ACTIVE)], wrong=[GIVEN])
    refused = decided(Wish("tank/a", OTHER_KEY), what)
    assert refused.action == "refuse"
    assert "the one in escrow does" in str(refused.sentence)
    change = decided(Wish("tank/a", OTHER_KEY, change=True), what)
    assert (change.action, change.held, change.begun) == ("change", ACTIVE, None)


def test_a_change_whose_present_key_is_not_in_escrow_is_refused() -> None:
    assert decided(Wish("tank/a", OTHER_KEY, change=True), known(ROOT, wrong=[GIVEN])).action == "refuse"


def test_a_change_that_was_begun_goes_on_with_the_same_version() -> None:
    begun = held(2, "pre-active", keyguid="77")
    stranger = held(3, "pre-active", record=9, keyguid="77")
    keys = {id_of(ACTIVE): KEY, id_of(begun): OTHER_KEY, id_of(stranger): OTHER_KEY}
    what = known(ROOT, ACTIVE, stranger, begun, opens=[id_of(ACTIVE)], wrong=[GIVEN], keys=keys)
    assert decided(Wish("tank/a", OTHER_KEY, change=True), what).begun == begun


def test_another_format_or_number_of_rounds_is_a_change_if_changes_are_allowed() -> None:
    what = known(ROOT, ACTIVE, opens=[id_of(ACTIVE)])
    assert decided(Wish("tank/a", keyformat="raw", change=True), what).action == "change"
    assert decided(Wish("tank/a", keyformat="hex", change=True), what).action == "use"
    assert decided(Wish("tank/a", keyformat="raw"), what).action == "use"  # the module refuses, in its own words
    worded = held(1, "active", WORDED, keyformat="passphrase", iterations=100_000)
    what = known(WORDED, worded, opens=[id_of(worded)])
    assert decided(Wish("tank/a", change=True), what).action == "use"
    assert decided(Wish("tank/a", iterations=200_000, change=True), what).action == "change"


@pytest.mark.parametrize(
    ("wish", "root", "expected"),
    [
        (Wish("tank/a"), ROOT, ("hex", 0)),
        (Wish("tank/a", keyformat="raw"), ROOT, ("raw", 0)),
        (Wish("tank/a", PASSPHRASE), ROOT, ("passphrase", 1_300_000)),
        (Wish("tank/a"), WORDED, ("passphrase", 100_000)),
        (Wish("tank/a", iterations=200_000), WORDED, ("passphrase", 200_000)),
        (Wish("tank/a", KEY), WORDED, ("hex", 0)),
        (Wish("tank/a", KEY), dataclasses.replace(ROOT, keyformat="raw"), ("raw", 0)),
    ],
)
def test_a_next_key_has_the_format_that_was_asked_for_or_the_present_one(
    wish: Wish, root: Root, expected: tuple[str, int]
) -> None:
    assert new_format(wish, root) == expected


# -- which versions may open a root


def test_the_id_of_the_master_key_decides_and_the_name_only_where_there_is_none() -> None:
    here = held(1, "active", ROOT)
    copy = held(2, "active", dataclasses.replace(ROOT, pool_guid="22", name="bk/a"), record=2)
    before = held(3, "deactivated", ROOT)
    made_anew = held(4, "active", dataclasses.replace(ROOT, keyguid="78"), record=4)
    waiting = held(5, "pre-active", record=5)
    elsewhere = held(6, "pre-active", record=6, dataset="tank/b")
    found = Index([elsewhere, made_anew, waiting, copy, before, here]).fitting(ROOT)
    assert found == (here, before, copy, waiting)


def test_a_renamed_root_is_found_by_its_id() -> None:
    renamed = dataclasses.replace(ROOT, name="tank/z")
    assert Index([ACTIVE, WAITING]).fitting(renamed) == (ACTIVE,)


def test_a_key_that_was_made_before_its_pool_may_be_that_of_a_renamed_one() -> None:
    before = held(2, "pre-active", dataset="tank", record=2)
    renamed = Root("lake", "12", "78", "hex")
    assert Index([ACTIVE, before]).fitting(renamed) == (before,)
    assert Index([ACTIVE, before]).fitting(dataclasses.replace(renamed, name="lake/a")) == ()
    bound = held(3, "active", renamed, record=3)
    assert Index([before, bound]).fitting(renamed) == (bound,)


def test_what_had_to_do_with_a_name_is_tried_first_the_newest_active_one_before_all() -> None:
    bound = held(3, "active", ROOT, dataset="tank/old")
    index = Index([WAITING, held(2), bound, held(4, "deactivated"), held(5, dataset="x")])
    assert index.named("tank/a") == (bound, held(2), WAITING, held(4, "deactivated"))


def test_what_waits_for_a_dataset_was_seen_to_open_nothing_the_oldest_first() -> None:
    index = Index([held(4, "pre-active"), held(2), WAITING, held(3, "pre-active", ROOT)])
    assert index.waiting("tank/a") == (WAITING, held(4, "pre-active"))
    assert index.waiting("tank/b") == ()


# -- new keys


def test_a_generated_passphrase_can_be_typed_and_has_more_than_128_bits() -> None:
    made = {generated_passphrase() for _each in range(50)}
    assert len(made) == 50
    for key in made:
        text = key.secret.decode("ascii")
        assert len(text) == 35
        assert not set(text) - set("abcdefghjkmnpqrstuvwxyz23456789-")
    assert 31**30 > 2**128


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        (Wish("tank/a"), "key"),
        (Wish("tank/a", keyformat="raw"), "key"),
        (Wish("tank/a", keyformat="passphrase"), "passphrase"),
    ],
)
def test_a_new_key_is_made_at_random(wish: Wish, kind: str) -> None:
    first, second = wish.new_key(), wish.new_key()
    assert first != second
    assert first.kind == second.kind == kind
    assert Wish("tank/a", Key("key", b"k" * 32)).new_key() == Key("key", b"k" * 32)
