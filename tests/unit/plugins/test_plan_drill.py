# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill says of roots and keys, whatever is in escrow and whatever the host said of it."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._drilled import Drilled, Finding
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._escrow import Held
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._plan_drill import judge
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._plan_escrow import Known
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import STATES, Entry, KeyId, State, Version
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._seen import Root, Seen, Tried

POOLS = {"tank": "11"}
ROOT = Root("tank/a", "11", "77", "hex")
OTHER = Root("tank/b", "11", "88", "hex")
REPLICA = Root("tank/copy", "11", "77", "hex")
AT = "2026-11-26T00:00:09.000000Z"


def key(number: int) -> Key:
    return Key("key", bytes([number]) * 32)


def held(number: int, state: State = "active", *bound: Root, record: int = 1, **changed: t.Any) -> Held:
    made = Version(
        KeyId(f"{record:016x}", f"{number:012x}"),
        "nas1",
        "tank/a",
        "hex",
        0,
        f"2026-11-26T00:00:0{number}.000000Z",
        "11",
        "77",
    )
    version = dataclasses.replace(made, **changed)
    entry = Entry(version, state, version.created, tuple(root.binding(AT) for root in bound))
    return Held(entry, {"one": entry, "two": entry})


def id_of(each: Held) -> str:
    return str(each.key_id)


def drilled(
    roots: t.Sequence[Root],
    *each: Held,
    tried: t.Mapping[str, Tried] | None = None,
    keys: t.Mapping[str, Key] | None = None,
    **more: t.Any,
) -> Drilled:
    """Every version was read, and has a key of its own unless ``keys`` says otherwise."""
    own = {id_of(one): key(number) for number, one in enumerate(each, 1)}
    seen = Seen(POOLS, {root.name: root for root in roots}, frozenset({"tank"}), tried or {})
    known = Known(seen, {id_of(one): one for one in each}, {**own, **(keys or {})})
    places = ("one", "two")
    return dataclasses.replace(
        Drilled(known, [root.name for root in roots], versions=each, places=places, readable=places), **more
    )


def kinds(what: Drilled) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in judge(what):
        found.setdefault(each.dataset, []).append(each.finding)
    return found


OLD = held(1, "deactivated", ROOT)
ACTIVE = held(2, "active", ROOT)
NEXT = held(3, "pre-active")


@pytest.mark.parametrize(
    ("noted", "opens", "wrong", "expected"),
    [
        ("", ACTIVE, [], ["ok"]),
        (id_of(ACTIVE), ACTIVE, [], ["ok"]),
        (id_of(OLD), ACTIVE, [], ["ok"]),
        ("not.known", ACTIVE, [], ["ok"]),
        ("", OLD, [ACTIVE], ["stale"]),
        ("", OLD, [], ["stale"]),
        (id_of(OLD), OLD, [ACTIVE], ["stale"]),
        (id_of(ACTIVE), OLD, [ACTIVE], ["changed_behind"]),
        (id_of(NEXT), NEXT, [ACTIVE], ["stale"]),
        (id_of(ACTIVE), NEXT, [ACTIVE], ["stale"]),
        ("", None, [ACTIVE, OLD], ["missing", "changed_behind"]),
        (id_of(NEXT), None, [NEXT], ["missing", "changed_behind"]),
        ("", None, [NEXT], ["missing"]),
        ("", None, [], ["missing"]),
    ],
)
def test_what_opens_and_what_is_noted(noted: str, opens: Held | None, wrong: list[Held], expected: list[str]) -> None:
    root = dataclasses.replace(ROOT, noted=noted)
    tried = Tried(() if opens is None else (id_of(opens),), tuple(id_of(each) for each in wrong))
    assert kinds(drilled([root], OLD, ACTIVE, NEXT, tried={"tank/a": tried})) == {"tank/a": expected}


def test_of_two_versions_with_one_key_the_active_one_counts() -> None:
    tried = {"tank/a": Tried((id_of(OLD), id_of(ACTIVE)))}
    (finding,) = judge(
        drilled([ROOT], OLD, ACTIVE, tried=tried, keys=dict.fromkeys((id_of(OLD), id_of(ACTIVE)), key(9)))
    )
    assert (finding.finding, finding.key_id) == ("ok", id_of(ACTIVE))


@pytest.mark.parametrize(
    "doubt",
    [
        {"tried": {"tank/a": Tried(wrong=(id_of(OLD),), unknown={id_of(ACTIVE): "Input/output error"})}},
        {"tried": {"tank/a": Tried(wrong=(id_of(OLD),))}, "unread": {id_of(ACTIVE): ("two",)}},
        {"tried": {"tank/a": Tried(wrong=(id_of(OLD),))}, "readable": ("one",)},
    ],
    ids=["not tried", "not read", "place down"],
)
def test_nothing_is_missing_that_may_be_there(doubt: dict[str, t.Any]) -> None:
    assert kinds(drilled([ROOT], OLD, ACTIVE, **doubt))["tank/a"][0] == "unproven"


def test_an_active_key_that_could_not_be_read_is_told_though_an_old_one_opens() -> None:
    what = drilled([ROOT], OLD, ACTIVE, tried={"tank/a": Tried((id_of(OLD),))}, unread={id_of(ACTIVE): ("one", "two")})
    assert kinds(what) == {"tank/a": ["stale", "unread"]}
    what = drilled([ROOT], OLD, ACTIVE, tried={"tank/a": Tried((id_of(ACTIVE),))}, unread={id_of(OLD): ("one",)})
    assert kinds(what) == {"tank/a": ["ok"]}


def test_only_what_was_noted_of_this_copy_tells_of_its_salt() -> None:
    worded = Root("tank/a", "11", "77", "passphrase", 1_300_000, "5")
    again = dataclasses.replace(worded, salt="6")
    elsewhere = dataclasses.replace(again, name="tank/copy", pool_guid="12")
    for bound, expected in ((worded, "ok"), (again, "changed_behind"), (elsewhere, "ok")):
        version = held(1, "active", bound, keyformat="passphrase")
        assert kinds(drilled([worded], version, tried={"tank/a": Tried((id_of(version),))})) == {"tank/a": [expected]}
    both = held(1, "active", again, keyformat="passphrase")
    entry = dataclasses.replace(both.entry, bindings=(*both.entry.bindings, worded.binding("2027")))
    both = Held(entry, {"one": entry, "two": entry})
    assert kinds(drilled([worded], both, tried={"tank/a": Tried((id_of(both),))})) == {"tank/a": ["ok"]}


def test_a_replica_has_the_key_of_its_source_by_nature() -> None:
    tried = {name: Tried((id_of(ACTIVE),)) for name in ("tank/a", "tank/copy")}
    assert kinds(drilled([ROOT, REPLICA], ACTIVE, tried=tried)) == {"tank/a": ["ok"], "tank/copy": ["ok"]}


def test_two_records_with_one_key_are_told_on_both_sides() -> None:
    other = held(4, "active", OTHER, record=2, dataset="tank/b", keyguid="88")
    tried = {"tank/a": Tried((id_of(ACTIVE),)), "tank/b": Tried((id_of(other),))}
    same = {id_of(ACTIVE): key(9), id_of(other): key(9)}
    what = drilled([ROOT, OTHER], ACTIVE, other, tried=tried, keys=same)
    assert kinds(what) == {"tank/a": ["duplicated_key"], "tank/b": ["duplicated_key"]}
    assert kinds(dataclasses.replace(what, chosen=["tank/a"]))["tank/a"] == ["duplicated_key"]
    waiting = held(4, "pre-active", record=2, dataset="tank/new", keyguid="")
    what = drilled([ROOT], ACTIVE, waiting, tried=tried, keys={id_of(ACTIVE): key(9), id_of(waiting): key(9)})
    assert kinds(what) == {"tank/a": ["duplicated_key"], "tank/new": ["duplicated_key", "orphaned"]}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (held(1, "active", keyguid="99"), "orphaned"),
        (held(1, "pre-active", keyguid="", pool_guid=""), "orphaned"),
        (held(1, "pre-active", keyguid="", pool_guid="", dataset="lake/a"), "unseen"),
        (held(1, "active", keyguid="99", pool_guid="12"), "unseen"),
        (held(1, "active", Root("bk/a", "12", "99", "hex"), keyguid="99"), None),
        (held(1, "deactivated", keyguid="99"), None),
        (held(1, "compromised", keyguid="99"), None),
    ],
)
def test_keys_without_a_root(version: Held, expected: str | None) -> None:
    found = [each.finding for each in judge(drilled([], version))]
    assert found == ([] if expected is None else [expected])


def test_the_key_of_a_root_that_was_renamed_is_no_orphan_though_it_does_not_open_it() -> None:
    renamed = dataclasses.replace(ROOT, name="tank/z")
    tried = {"tank/z": Tried(wrong=(id_of(NEXT),))}
    assert kinds(drilled([renamed], NEXT, tried=tried)) == {"tank/z": ["missing"]}


# -- whatever there is

OUTCOMES = st.sampled_from(["opens", "wrong", "unknown", "untried"])
VERSIONS = st.lists(
    st.tuples(
        st.sampled_from(STATES[:4]), st.sampled_from(["77", "88", ""]), st.booleans(), OUTCOMES, st.integers(1, 3)
    ),
    max_size=5,
)


@given(
    VERSIONS,
    st.sampled_from(["hex", "passphrase"]),
    st.booleans(),
    st.integers(0, 6),
    st.lists(st.sampled_from(["one", "two"]), unique=True, min_size=1),
)
def test_every_root_is_told_of_and_no_key_shows(
    versions: list[tuple[State, str, bool, str, int]], keyformat: t.Any, locked: bool, noted: int, readable: list[str]
) -> None:
    made = [
        held(number, state, *([ROOT] if bound else []), record=number % 2, keyguid=keyguid)
        for number, (state, keyguid, bound, _outcome, _key) in enumerate(versions)
    ]
    keys = {id_of(one): key(0xA0 + number) for one, (_s, _g, _b, _o, number) in zip(made, versions)}
    ids: dict[str, list[str]] = {"opens": [], "wrong": [], "unknown": [], "untried": []}
    for one, (_state, _keyguid, _bound, outcome, _key) in zip(made, versions):
        ids[outcome].append(id_of(one))
    root = dataclasses.replace(
        ROOT, keyformat=keyformat, locked=locked, noted=id_of(made[noted]) if noted < len(made) else ""
    )
    tried = Tried(tuple(ids["opens"]), tuple(ids["wrong"]), dict.fromkeys(ids["unknown"], "Input/output error"))
    what = drilled([root], *made, tried={"tank/a": tried}, keys=keys, readable=readable, min_iterations=1)
    found = judge(what)
    of_root = [each.finding for each in found if each.dataset == "tank/a"]
    assert of_root
    assert "ok" not in of_root or set(of_root) <= {"ok", "orphaned"}
    assert bool({"missing", "unproven"} & set(of_root)) == (not ids["opens"])
    assert ("missing" in of_root) <= (not ids["unknown"] and len(readable) == 2)
    assert all(is_sentence(each) for each in found)
    shown = repr(found)
    assert not [one for one in keys.values() if one.secret.hex() in shown or repr(one.secret) in shown]


def is_sentence(finding: Finding) -> bool:
    return (
        finding.msg.endswith(".")
        and ".." not in finding.msg
        and (not finding.dataset or finding.dataset in finding.msg)
    )
