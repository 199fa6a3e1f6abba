# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several places for keys as one: enough copies, read back, and copies that differ are told."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._escrow import Escrow, Held
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import (
    STATES,
    Binding,
    Entry,
    Kept,
    KeyId,
    Version,
)
from ansible_collections.zfsfleet.encryption.tests.fake.backend import MemoryBackend

from .trees import KEY, OTHER_KEY

COPY = Binding("1", "tank/a", "77", "0", "2026-11-26T00:00:01.000000Z")
RENAMED = Binding("1", "tank/b", "77", "0", "2026-11-26T00:00:02.000000Z")


def version(number: int = 1, **changed: t.Any) -> Version:
    made = Version(
        KeyId(f"{number:016x}", f"{number:012x}"),
        "nas1",
        "tank/a",
        "hex",
        0,
        f"2026-11-26T00:00:0{number}.000000Z",
    )
    return dataclasses.replace(made, **changed)


def kept(number: int = 1, key: Key = KEY, **changed: t.Any) -> Kept:
    return Kept(version(number, **changed), key)


@pytest.fixture
def places() -> tuple[MemoryBackend, MemoryBackend, MemoryBackend]:
    return MemoryBackend("one"), MemoryBackend("two"), MemoryBackend("three")


def held_by(*places: MemoryBackend) -> Held:
    (held,) = Escrow(places, 1).entries("nas1")
    return held


# -- putting


def test_a_key_is_put_everywhere_and_comes_back(places: tuple[MemoryBackend, ...]) -> None:
    stored = Escrow(places, 3).put(kept())
    assert stored.kept == kept()
    assert list(stored.receipts) == ["one", "two", "three"]
    assert [place.calls for place in places] == [["put", "fetch"]] * 3


def test_enough_places_are_enough_and_the_other_is_told(places: tuple[MemoryBackend, ...]) -> None:
    places[1].failing["put"] = BackendFailed("two is full")
    escrow = Escrow(places, 2)
    assert list(escrow.put(kept()).receipts) == ["one", "three"]
    assert escrow.problems == ("two is full",)


def test_too_few_places_keep_the_key_from_being_used(places: tuple[MemoryBackend, ...]) -> None:
    places[1].failing["put"] = BackendFailed("two is full.")
    places[2].failing["fetch"] = BackendFailed("three does not read.")
    with pytest.raises(BackendFailed, match=r"1 of 3 .* 2 are required\. two is full\. three does not read\.") as error:
        Escrow(places, 2).put(kept())
    assert "the next run goes on with it" in str(error.value)


@pytest.mark.parametrize("back", [kept(key=OTHER_KEY), kept(iterations=1)], ids=["another key", "another version"])
def test_a_place_that_gives_back_something_else_does_not_count(places: tuple[MemoryBackend, ...], back: Kept) -> None:
    places[0].damaged[version().key_id] = back
    with pytest.raises(BackendFailed, match="one gave back something else than the key"):
        Escrow(places, 3).put(kept())
    escrow = Escrow(places, 2)
    assert escrow.put(kept()).kept == kept()


def test_a_place_that_is_down_is_asked_once_only(places: tuple[MemoryBackend, ...]) -> None:
    places[0].failing["put"] = BackendDown("one does not answer")
    escrow = Escrow(places, 2)
    for number in (1, 2, 3):
        escrow.put(kept(number))
    assert places[0].calls == ["put"]
    assert escrow.problems == ("one does not answer",)


def test_whether_enough_can_be_written_to_is_found_out_without_writing(places: tuple[MemoryBackend, ...]) -> None:
    places[2].failing["find_out"] = BackendFailed("three is read-only.")
    Escrow(places, 2).find_out()
    with pytest.raises(BackendFailed, match=r"2 of 3 places for keys could be written to; 3 are required\. three is"):
        Escrow(places, 3).find_out()
    assert not [place.writes for place in places if place.writes]


def test_one_place_under_two_names_counts_once(places: tuple[MemoryBackend, ...]) -> None:
    places[0].identity = places[2].identity = "the same"
    with pytest.raises(BackendFailed, match=r"2 of 3 places .* one and three are one place under two names"):
        Escrow(places, 3).find_out()
    escrow = Escrow(places, 2)
    escrow.find_out()
    assert list(escrow.put(kept()).receipts) == ["one", "two"]
    places[1].failing["put"] = BackendFailed("two is full.")
    with pytest.raises(BackendFailed, match=r"1 of 3 .* 2 are required"):
        escrow.put(kept(2))
    assert places[2].writes == []


def test_a_place_that_nothing_tells_of_is_taken_for_another(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).find_out()


# -- reading


def test_the_state_furthest_in_nists_order_wins_and_bindings_are_united(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    entry = places[0].entries_by_id[version().key_id]
    places[0].advance(entry, "active")
    places[1].advance(entry, "deactivated")
    places[0].bind(entry, COPY)
    places[2].bind(entry, RENAMED)
    held = held_by(*places)
    assert held.state == "deactivated"
    assert held.entry.bindings == (COPY, RENAMED)
    assert not held.is_level(["one", "two", "three"])
    assert held.at["one"].state == "active"


@pytest.mark.parametrize("state", STATES[:-1])
@pytest.mark.parametrize("other", STATES[:-1])
def test_the_order_of_reading_does_not_matter_to_a_state(state: t.Any, other: t.Any) -> None:
    places = MemoryBackend("one"), MemoryBackend("two")
    Escrow(places, 2).put(kept())
    places[0].advance(places[0].entries_by_id[version().key_id], state)
    places[1].advance(places[1].entries_by_id[version().key_id], other)
    assert held_by(*places).state == held_by(*reversed(places)).state == max(state, other, key=STATES.index)


def test_versions_come_oldest_first_wherever_they_are(places: tuple[MemoryBackend, ...]) -> None:
    places[0].put(kept(2))
    places[1].put(kept(1))
    places[2].put(kept(2))
    found = Escrow(places, 1).entries("nas1")
    assert [(str(each.key_id)[15], list(each.at)) for each in found] == [("1", ["two"]), ("2", ["one", "three"])]
    assert Escrow(places, 1).entries("nas2") == ()


def test_places_that_cannot_be_read_are_told_and_the_others_answer(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    places[0].failing["entries"] = BackendDown("one is down.")
    escrow = Escrow(places, 3)
    (held,) = escrow.entries("nas1")
    assert list(held.at) == ["two", "three"]
    assert escrow.problems == ("one is down.",)
    for place in places[1:]:
        place.failing["entries"] = BackendDown(f"{place.name} is down.")
    with pytest.raises(BackendFailed, match=r"could be read\. one is down\. two is down\. three is down\."):
        Escrow(places, 1).entries("nas1")


def test_what_a_place_cannot_read_of_a_version_is_told(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    entries = places[1].entries_by_id
    entries[version().key_id] = dataclasses.replace(entries[version().key_id], faults=("two: a torn file.",))
    escrow = Escrow(places, 3)
    (held,) = escrow.entries("nas1")
    assert held.entry.faults == escrow.problems == ("two: a torn file.",)
    assert held.is_level(["one", "two", "three"])


def test_copies_of_one_key_agree(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    copies = Escrow(places, 3).copies(held_by(*places))
    assert (copies.agreed, copies.disagreement, list(copies.kept)) == (kept(), None, ["one", "two", "three"])


def test_a_copy_that_disagrees_is_told_and_none_is_chosen(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    places[1].damaged[version().key_id] = kept(key=OTHER_KEY)
    copies = Escrow(places, 3).copies(held_by(*places))
    assert [each.key for each in copies.distinct] == [KEY, OTHER_KEY]
    sentence = "differ: one key is in one and three, another in two"
    assert sentence in str(copies.disagreement)
    with pytest.raises(BackendFailed, match=sentence):
        str(copies.agreed)


def test_one_key_of_which_different_things_are_told_is_told(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    places[2].damaged[version().key_id] = kept(dataset="tank/other")
    copies = Escrow(places, 3).copies(held_by(*places))
    with pytest.raises(
        BackendFailed, match=r"What three tells of .* is not what one tells, though the key is the same"
    ):
        str(copies.agreed)


def test_a_version_that_nobody_gives_back_is_told(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    held = held_by(*places)
    places[0].failing["fetch"] = BackendFailed("one is torn.")
    assert list(Escrow(places, 3).copies(held).kept) == ["two", "three"]
    for place in places[1:]:
        place.failing["fetch"] = BackendFailed(f"{place.name} is torn.")
    with pytest.raises(BackendFailed, match=r"could not be read\. one is torn\. two is torn\. three is torn\."):
        Escrow(places, 3).copies(held)


# -- noting


def test_levelling_brings_every_place_to_the_same(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places[:2], 2).put(kept())
    places[0].bind(places[0].entries_by_id[version().key_id], COPY)
    escrow = Escrow(places, 3)
    held = escrow.level(held_by(*places), kept(), "active", RENAMED)
    assert held.is_level(["one", "two", "three"])
    for place in places:
        entry = place.entries_by_id[version().key_id]
        assert (entry.state, set(entry.bindings)) == ("active", {COPY, RENAMED})
    assert places[2].keys[version().key_id] == kept()
    before = [list(place.writes) for place in places]
    escrow.level(held_by(*places), kept(), "active", RENAMED)
    assert [place.writes for place in places] == before


def test_a_state_never_goes_back(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    places[1].advance(places[1].entries_by_id[version().key_id], "compromised")
    assert Escrow(places, 3).level(held_by(*places), kept(), "active").state == "compromised"
    assert {place.entries_by_id[version().key_id].state for place in places} == {"compromised"}


def test_what_a_key_opens_is_noted_before_that_it_is_active(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    Escrow(places, 3).level(held_by(*places), kept(), "active", COPY)
    assert [place.writes for place in places] == [["put", "bind", "advance"]] * 3


def test_too_few_places_that_note_it_fail(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    held = held_by(*places)
    places[0].failing["bind"] = BackendFailed("one is read-only.")
    assert list(Escrow(places, 2).level(held, kept(), "active", COPY).at) == ["two", "three"]
    with pytest.raises(BackendFailed, match=r"note that .* is active; 3 are required\. one is read-only\."):
        Escrow(places, 3).level(held, kept(), "active", RENAMED)


def test_destroying_takes_it_away_everywhere_or_says_where_not(places: tuple[MemoryBackend, ...]) -> None:
    Escrow(places, 3).put(kept())
    held = held_by(*places)
    places[1].failing["destroy"] = BackendFailed("two says no.")
    with pytest.raises(BackendFailed, match=r"not destroyed in two\. two says no\."):
        Escrow(places, 3).destroy(held)
    places[1].failing.clear()
    Escrow(places, 3).destroy(held)
    assert Escrow(places, 3).entries("nas1") == ()
    assert not any(place.keys for place in places)


def test_no_text_of_anything_shows_a_key(places: tuple[MemoryBackend, ...]) -> None:
    escrow = Escrow(places, 3)
    stored = escrow.put(kept())
    copies = escrow.copies(held_by(*places))
    for shown in (stored, copies, copies.held, kept(), Entry(version(), "active", "")):
        assert KEY.secret.hex() not in repr(shown)
        assert repr(KEY.secret) not in repr(shown)
