# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every place for keys promises, whatever it is made of.

A backend joins by a line in ``PLACES``: a context manager that is given an empty directory, and gives a place. It is
made once for all statements, so each takes hosts and guids of its own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, KeyFormat
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import Backend, BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Binding, Entry, Kept, State, new_record
from ansible_collections.zfsfleet.encryption.tests.escrow import kmip_place, openbao, vault_file
from ansible_collections.zfsfleet.encryption.tests.escrow.place import (
    Place,
    a_binding,
    a_guid,
    a_host,
    a_version,
    fresh,
    kept,
)
from ansible_collections.zfsfleet.encryption.tests.fake.backend import MemoryBackend


class MemoryPlace:
    """The fake of other tests, which is held to all of this as well; other controllers find the same."""

    def __init__(self) -> None:
        self._backend = MemoryBackend("memory")

    def open(self) -> MemoryBackend:
        return self._backend


PLACES: dict[str, t.Callable[[pathlib.Path], contextlib.AbstractContextManager[Place]]] = {
    "memory": lambda _directory: contextlib.nullcontext(MemoryPlace()),
    "vault_file": vault_file.place,
    "openbao": openbao.place,
    "kmip": kmip_place.place,
}

PASSPHRASES = {
    "words": b"correct horse battery staple",
    "as long as can be": b"x" * 512,
    "what quoting gets wrong": b"a'b\"c\\d\te {{ f }} $g",
    "of two lines": b"first\nsecond\n",
    "in UTF-8": "pässwörd \u200b☃".encode(),
    "in no encoding": b"\xff\xfe\x80",
    "with spaces around": b"  spaced  ",
    "like a key": b"0a" * 32,
    "like a number": b"12345678",
    "like a document": b'{"key": "value"}',
}
HOSTS = ("..", ".git", "a/b", "a%2Fb", "web 1", "büro.example.org", "[fe80::1]", "a.json", "A" * 200)


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Place]:
    with PLACES[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def backend(place: Place) -> t.Iterator[Backend]:
    with contextlib.closing(place.open()) as opened:
        yield opened


@pytest.fixture
def other(place: Place) -> t.Iterator[Backend]:
    """The same place, opened by another controller."""
    with contextlib.closing(place.open()) as opened:
        yield opened


@pytest.fixture
def host() -> str:
    return a_host()


def only(entries: t.Sequence[Entry]) -> Entry:
    assert len(entries) == 1, entries
    return entries[0]


def put(backend: Backend, kept: Kept) -> Entry:
    """Keep a version and return its entry as the backend tells it."""
    backend.put(kept)
    return only([entry for entry in backend.entries(kept.version.host) if entry.key_id == kept.version.key_id])


class TestPutting:
    @pytest.mark.parametrize("keyformat", ["hex", "raw", "passphrase"])
    def test_what_was_put_comes_back_elsewhere(
        self, backend: Backend, other: Backend, host: str, keyformat: KeyFormat
    ) -> None:
        one = kept(a_version(host, keyformat=keyformat, pool_guid=a_guid(), keyguid=a_guid()))
        backend.put(one)
        entry = only(other.entries(host))
        assert (entry.version, entry.state, entry.bindings, entry.faults) == (one.version, "pre-active", (), ())
        assert other.fetch(entry) == one

    @pytest.mark.parametrize("secret", PASSPHRASES.values(), ids=PASSPHRASES)
    def test_passphrases_come_back_to_the_byte(self, backend: Backend, host: str, secret: bytes) -> None:
        one = kept(a_version(host, keyformat="passphrase"), Key("passphrase", secret))
        assert backend.fetch(put(backend, one)).key.secret == secret

    @pytest.mark.parametrize("secret", [b"\0" * 31 + b"\1", b"\n" * 32, b"0a" * 16, bytes(range(32))])
    @pytest.mark.parametrize("keyformat", ["hex", "raw"])
    def test_keys_come_back_to_the_byte(self, backend: Backend, host: str, keyformat: KeyFormat, secret: bytes) -> None:
        one = kept(a_version(host, keyformat=keyformat), Key("key", secret))
        assert backend.fetch(put(backend, one)).key == Key("key", secret)

    def test_the_receipt_tells_nothing_of_the_key(self, backend: Backend, host: str) -> None:
        one = kept(a_version(host))
        receipt = backend.put(one)
        assert receipt
        assert one.key.secret.hex() not in receipt

    def test_putting_again_is_no_error_and_no_second_version(self, backend: Backend, other: Backend, host: str) -> None:
        one = kept(a_version(host))
        receipt = backend.put(one)
        assert backend.put(one) == other.put(one) == receipt
        assert backend.fetch(only(other.entries(host))) == one

    def test_putting_again_takes_no_state_back(self, backend: Backend, host: str) -> None:
        one = kept(a_version(host))
        backend.advance(put(backend, one), "active")
        backend.put(one)
        assert only(backend.entries(host)).state == "active"

    def test_another_key_never_takes_the_place_of_one(self, backend: Backend, other: Backend, host: str) -> None:
        one = kept(a_version(host))
        another = kept(one.version)
        entry = put(backend, one)
        with pytest.raises(BackendFailed) as failure:
            other.put(another)
        assert another.key.secret.hex() not in str(failure.value)
        assert other.fetch(entry) == one

    @pytest.mark.parametrize(
        "changed", [{"dataset": "tank/other"}, {"keyformat": "raw"}, {"created": "2020-01-01T00:00:00.000000Z"}]
    )
    def test_nor_does_the_same_key_with_another_description(
        self, backend: Backend, host: str, changed: dict[str, t.Any]
    ) -> None:
        one = kept(a_version(host))
        entry = put(backend, one)
        with pytest.raises(BackendFailed, match=str(entry.key_id)):
            backend.put(Kept(dataclasses.replace(one.version, **changed), one.key))
        assert only(backend.entries(host)) == entry
        assert backend.fetch(entry) == one

    def test_versions_of_a_record_are_kept_side_by_side(self, backend: Backend, host: str) -> None:
        record = new_record()
        versions = [kept(a_version(host, record=record)) for _number in range(5)]
        for one in versions:
            backend.put(one)
        found = {entry.key_id: backend.fetch(entry) for entry in backend.entries(host)}
        assert found == {one.version.key_id: one for one in versions}

    def test_names_of_datasets_come_back(self, backend: Backend, host: str) -> None:
        names = {"tank", "tank/a b", "tank/a.b:c-d_e", "tank/" + "x" * 250, "tank/" + "d/" * 60 + "e", "tank/%2F"}
        for name in names:
            backend.put(kept(a_version(host, dataset=name)))
        assert {entry.version.dataset for entry in backend.entries(host)} == names

    def test_many_at_once_lose_nothing(self, place: Place, host: str) -> None:
        versions = [kept(a_version(host)) for _number in range(12)]

        def as_a_controller(mine: t.Sequence[Kept]) -> None:
            with contextlib.closing(place.open()) as opened:
                for one in mine:
                    opened.advance(put(opened, one), "active")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            # The last four are put by all.
            list(pool.map(as_a_controller, [versions[number:8:4] + versions[8:] for number in range(4)]))
        with contextlib.closing(place.open()) as opened:
            entries = opened.entries(host)
            assert len(entries) == len(versions)
            assert {entry.state for entry in entries} == {"active"}
            found = {entry.key_id: opened.fetch(entry) for entry in entries}
        assert found == {one.version.key_id: one for one in versions}


class TestHosts:
    def test_one_of_which_nothing_is_kept_has_nothing(self, backend: Backend, host: str) -> None:
        assert list(backend.entries(host)) == []

    def test_each_has_its_own(self, backend: Backend) -> None:
        first, second = (kept(a_version(a_host())) for _number in range(2))
        backend.put(first)
        backend.put(second)
        assert only(backend.entries(first.version.host)).version == first.version
        assert only(backend.entries(second.version.host)).version == second.version

    def test_whatever_they_are_called(self, backend: Backend, other: Backend) -> None:
        unique = a_host()
        versions = [kept(a_version(f"{name}{unique}" if name.isalnum() else name + unique)) for name in HOSTS]
        for one in versions:
            backend.put(one)
        for one in versions:
            assert other.fetch(only(other.entries(one.version.host))) == one


class TestStates:
    def test_they_go_on_and_never_back(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        steps: list[tuple[State, State]] = [
            ("active", "active"),
            ("pre-active", "active"),
            ("deactivated", "deactivated"),
            ("active", "deactivated"),
            ("compromised", "compromised"),
            ("deactivated", "compromised"),
        ]
        for asked, reached in steps:
            backend.advance(entry, asked)
            assert only(other.entries(host)).state == reached

    @pytest.mark.parametrize("state", ["deactivated", "compromised"])
    def test_some_may_be_left_out(self, backend: Backend, host: str, state: State) -> None:
        entry = put(backend, kept(a_version(host)))
        backend.advance(entry, state)
        assert only(backend.entries(host)).state == state

    def test_the_time_is_that_of_the_first_to_note_it(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        backend.advance(entry, "active")
        since = only(backend.entries(host)).since
        assert since >= entry.version.created
        other.advance(entry, "active")
        assert only(backend.entries(host)).since == since

    @pytest.mark.parametrize("state", ["active", "deactivated", "compromised"])
    def test_the_key_can_be_read_in_all_of_them(self, backend: Backend, host: str, state: State) -> None:
        one = kept(a_version(host))
        backend.advance(put(backend, one), state)
        assert backend.fetch(only(backend.entries(host))) == one

    def test_a_note_is_for_one_version(self, backend: Backend, host: str) -> None:
        record = new_record()
        first = put(backend, kept(a_version(host, record=record)))
        second = put(backend, kept(a_version(host, record=record)))
        backend.advance(second, "active")
        states = {entry.key_id: entry.state for entry in backend.entries(host)}
        assert states == {first.key_id: "pre-active", second.key_id: "active"}


class TestBindings:
    def test_they_come_back_oldest_first(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        bindings = [a_binding(at=f"2026-01-0{day}T00:00:00.000000Z") for day in (3, 1, 2)]
        for binding in bindings:
            backend.bind(entry, binding)
        found = only(other.entries(host)).bindings
        assert list(found) == sorted(bindings, key=lambda binding: binding.at)

    def test_one_that_is_there_is_not_noted_again(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        binding = a_binding()
        backend.bind(entry, binding)
        backend.bind(entry, binding)
        other.bind(entry, binding)
        assert only(backend.entries(host)).bindings == (binding,)

    def test_of_one_copy_all_are_kept(self, backend: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host, keyformat="passphrase")))
        guid, keyguid = a_guid(), a_guid()
        salts = ["18446744073709551615", "1"]
        bindings = [
            Binding(guid, "tank/a b", keyguid, salt, f"2026-01-0{day}T00:00:00.000000Z")
            for day, salt in enumerate(salts, start=1)
        ]
        for binding in bindings:
            backend.bind(entry, binding)
        assert only(backend.entries(host)).bindings == tuple(bindings)

    def test_they_change_neither_state_nor_key(self, backend: Backend, host: str) -> None:
        one = kept(a_version(host))
        entry = put(backend, one)
        backend.bind(entry, a_binding())
        after = only(backend.entries(host))
        assert (after.version, after.state) == (entry.version, "pre-active")
        assert backend.fetch(after) == one


class TestElsewhere:
    def test_finds_by_what_was_known_in_the_beginning(self, backend: Backend, host: str) -> None:
        one = put(backend, kept(a_version(host, pool_guid=a_guid(), keyguid=a_guid())))
        put(backend, kept(a_version(host, pool_guid=a_guid(), keyguid=a_guid())))
        assert only(backend.elsewhere([one.version.keyguid], [])) == one
        assert only(backend.elsewhere([], [one.version.pool_guid])) == one

    def test_finds_by_what_was_bound_later(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        binding = a_binding()
        backend.bind(entry, binding)
        assert only(other.elsewhere([binding.keyguid], [])).key_id == entry.key_id
        assert only(other.elsewhere([], [binding.pool_guid])).bindings == (binding,)

    def test_finds_each_once_and_of_all_hosts(self, backend: Backend) -> None:
        guid = a_guid()
        entries = [put(backend, kept(a_version(a_host(), pool_guid=guid, keyguid=a_guid()))) for _number in range(3)]
        for entry in entries:
            backend.bind(entry, a_binding(pool_guid=guid, keyguid=entry.version.keyguid))
        found = backend.elsewhere([entry.version.keyguid for entry in entries], [guid])
        assert sorted(str(entry.key_id) for entry in found) == sorted(str(entry.key_id) for entry in entries)

    def test_what_is_unknown_is_like_nothing(self, backend: Backend, host: str) -> None:
        put(backend, kept(a_version(host)))
        assert list(backend.elsewhere(["", a_guid()], ["", a_guid()])) == []
        assert list(backend.elsewhere([], [])) == []

    def test_what_it_finds_can_be_read_and_noted(self, backend: Backend, other: Backend, host: str) -> None:
        one = kept(a_version(host, keyguid=a_guid()))
        backend.put(one)
        found = only(other.elsewhere([one.version.keyguid], []))
        assert other.fetch(found) == one
        other.advance(found, "active")
        other.bind(found, a_binding())
        after = only(backend.entries(host))
        assert (after.state, len(after.bindings)) == ("active", 1)


class TestDestroying:
    @pytest.mark.parametrize("state", ["pre-active", "active", "deactivated", "compromised"])
    def test_nothing_tells_or_gives_it_any_more(
        self, backend: Backend, other: Backend, host: str, state: State
    ) -> None:
        stays = put(backend, kept(a_version(host)))
        entry = put(backend, kept(a_version(host, keyguid=a_guid())))
        backend.advance(entry, state)
        backend.destroy(entry)
        assert only(other.entries(host)) == stays
        assert list(other.elsewhere([entry.version.keyguid], [])) == []
        with pytest.raises(BackendFailed, match=str(entry.key_id)):
            other.fetch(entry)

    def test_it_may_be_repeated(self, backend: Backend, other: Backend, host: str) -> None:
        entry = put(backend, kept(a_version(host)))
        backend.destroy(entry)
        other.destroy(entry)
        assert list(backend.entries(host)) == []

    def test_a_note_destroys_nothing(self, backend: Backend, host: str) -> None:
        one = kept(a_version(host))
        entry = put(backend, one)
        with pytest.raises(BackendFailed, match=str(entry.key_id)):
            backend.advance(entry, "destroyed")
        assert backend.fetch(only(backend.entries(host))) == one


class TestWhatIsNotThere:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda backend, entry: backend.fetch(entry), id="fetch"),
            pytest.param(lambda backend, entry: backend.advance(entry, "active"), id="advance"),
            pytest.param(lambda backend, entry: backend.bind(entry, a_binding()), id="bind"),
        ],
    )
    def test_it_is_said(self, backend: Backend, host: str, call: t.Callable[[Backend, Entry], object]) -> None:
        there = put(backend, kept(a_version(host)))
        absent = fresh(a_version(host, record=there.key_id.record))
        with pytest.raises(BackendFailed) as failure:
            call(backend, absent)
        assert str(absent.key_id) in str(failure.value)
        assert backend.name in str(failure.value)
        assert only(backend.entries(host)) == there


def test_finding_out_leaves_nothing(backend: Backend, host: str) -> None:
    entry = put(backend, kept(a_version(host)))
    backend.find_out()
    backend.find_out()
    assert only(backend.entries(host)) == entry


def test_closing_may_be_repeated(place: Place) -> None:
    backend = place.open()
    backend.close()
    backend.close()
