# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a KMIP server, and what its backend says and does then; on a real server."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _kmip_connection, _strict_kmip
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip import Kmip, kmip_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._kmip_objects import Draft
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept, State
from ansible_collections.zfsfleet.encryption.tests.escrow import kmip_server, server
from ansible_collections.zfsfleet.encryption.tests.escrow.certificates import Authority, Issued
from ansible_collections.zfsfleet.encryption.tests.escrow.failing import failure_of
from ansible_collections.zfsfleet.encryption.tests.escrow.kmip_place import options, truenas
from ansible_collections.zfsfleet.encryption.tests.escrow.kmip_server import Server
from ansible_collections.zfsfleet.encryption.tests.escrow.place import (
    a_binding,
    a_host,
    a_version,
    fresh,
    kept,
    surroundings,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("kmip")


@pytest.fixture(scope="module")
def authority(directory: pathlib.Path) -> Authority:
    return Authority("ca", directory)


@pytest.fixture(scope="module")
def kmip(directory: pathlib.Path, authority: Authority) -> Iterator[Server]:
    with kmip_server.running(directory, authority.ca, authority.server("kmip")) as running:
        yield running


@pytest.fixture(scope="module")
def lesser(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """A server that is to be called localhost, and cannot register anything."""
    certificate = authority.server("lesser", valid_for=("localhost",))
    directory = tmp_path_factory.mktemp("lesser")
    with kmip_server.running(directory, authority.ca, certificate, lacking=["REGISTER"]) as running:
        yield running


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Issued:
    return authority.client("alice")


@pytest.fixture
def opened(kmip: Server, alice: Issued) -> Iterator[Callable[..., Kmip]]:
    """Opens the backend as most tests want it, but for the options that are given."""
    with contextlib.ExitStack() as stack:

        def with_options(client: Issued = alice, **given: t.Any) -> Kmip:
            chosen = options(kmip, client, **{"timeout": 60, **given})
            return stack.enter_context(contextlib.closing(kmip_from(chosen, surroundings())))

        yield with_options


@pytest.fixture
def host() -> str:
    return a_host()


class TestReaching:
    def test_another_name_in_the_certificate(self, lesser: Server, opened: Callable[..., Kmip], host: str) -> None:
        one = kept(a_version(host))
        sentence = failure_of(lambda: opened(port=lesser.port).put(one), one.key.secret)
        assert "its certificate is not one for 127.0.0.1, so it may be another server" in sentence

    def test_an_expired_certificate_of_the_server(
        self, authority: Authority, opened: Callable[..., Kmip], host: str
    ) -> None:
        with server.answering(b"", certificate=authority.server("old", expired=True)) as port:
            assert "its certificate has expired" in failure_of(lambda: opened(port=port).entries(host))

    def test_another_authority(self, opened: Callable[..., Kmip], tmp_path: pathlib.Path, host: str) -> None:
        backend = opened(ca=str(Authority("ours", tmp_path).ca))
        assert "is not signed by the authority that the options name" in failure_of(lambda: backend.entries(host))

    def test_an_expired_certificate_of_the_client(
        self, authority: Authority, opened: Callable[..., Kmip], host: str
    ) -> None:
        backend = opened(authority.client("former", expired=True))
        assert "the client's certificate has expired" in failure_of(lambda: backend.entries(host))

    def test_a_client_of_another_authority(
        self, opened: Callable[..., Kmip], tmp_path: pathlib.Path, host: str
    ) -> None:
        backend = opened(Authority("theirs", tmp_path).client("mallory"))
        sentence = failure_of(lambda: backend.entries(host))
        assert "the server does not know the authority that signed the client's certificate" in sentence

    def test_a_certificate_that_is_none_for_clients(
        self, authority: Authority, opened: Callable[..., Kmip], host: str
    ) -> None:
        for_servers = opened(authority.server("for-servers"))
        assert "the client's certificate is none for TLS clients" in failure_of(lambda: for_servers.entries(host))
        for_nothing = opened(authority.without_purpose("for-nothing"))
        assert "it does not accept the client's certificate" in failure_of(lambda: for_nothing.entries(host))

    def test_a_private_key_with_a_passphrase_asks_nobody(
        self, authority: Authority, opened: Callable[..., Kmip], host: str
    ) -> None:
        backend = opened(authority.client("locked", passphrase=b"correct horse"))
        assert "wants a passphrase; give one that is not protected" in failure_of(lambda: backend.entries(host))

    def test_a_key_of_another_certificate(
        self, authority: Authority, opened: Callable[..., Kmip], alice: Issued, host: str
    ) -> None:
        backend = opened(key_file=str(authority.client("bert").key_file))
        assert "the private key does not belong to the certificate" in failure_of(lambda: backend.entries(host))

    def test_nobody_listens(self, opened: Callable[..., Kmip], host: str) -> None:
        port = server.free_port()
        sentence = failure_of(lambda: opened(port=port).entries(host))
        assert sentence == f"kmip 127.0.0.1:{port} could not list the keys of {host}: nothing listens there."

    def test_nobody_answers(self, opened: Callable[..., Kmip], host: str) -> None:
        with server.silent() as port:
            begun = time.monotonic()
            backend = opened(port=port, timeout=1)
            assert "it gave no answer within 1 seconds" in failure_of(lambda: backend.put(kept(a_version(host))))
            assert time.monotonic() - begun < 5

    def test_a_name_that_nobody_knows(self, opened: Callable[..., Kmip], host: str) -> None:
        backend = opened(host="kmip.invalid")
        assert "the name kmip.invalid is not known here" in failure_of(lambda: backend.entries(host))

    def test_what_speaks_no_tls(self, opened: Callable[..., Kmip], host: str) -> None:
        with server.answering(b"220 mail.example.org ESMTP\r\n") as port:
            assert "it speaks no TLS on this port" in failure_of(lambda: opened(port=port).entries(host))

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_what_is_no_kmip_server(
        self, authority: Authority, opened: Callable[..., Kmip], host: str, address: str
    ) -> None:
        answer = b"HTTP/1.1 400 Bad Request\r\n" + b"\r\n" * 2**20
        with server.answering(answer, certificate=authority.server("page"), address=address) as port:
            backend = opened(port=port, host=address, timeout=5)
            with pytest.raises(BackendDown) as down:
                backend.entries(host)
        assert "does not answer as a KMIP server does" in str(down.value) or "closed the connection" in str(down.value)

    def test_an_answer_that_is_lost_does_not_make_a_second_key(
        self, kmip: Server, opened: Callable[..., Kmip], host: str
    ) -> None:
        one = kept(a_version(host))
        with server.between(kmip.port) as proxy:
            backend = opened(port=proxy.port, timeout=2)
            assert list(backend.entries(host)) == []
            proxy.muffle(muffled=True)
            assert "it gave no answer within 2 seconds" in failure_of(lambda: backend.put(one), one.key.secret)
            proxy.muffle(muffled=False)
            receipt = backend.put(one)
        assert opened().fetch(*opened().entries(host)) == one
        assert opened()._objects.named(name_of(one), "test") == [receipt]

    def test_a_connection_that_was_idle_is_opened_anew(
        self, opened: Callable[..., Kmip], monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        backend, one = opened(), kept(a_version(host))
        backend.put(one)
        backend._connection._client.proxy.socket.close()  # as the server's side would
        monkeypatch.setattr(_kmip_connection, "_IDLE_SECONDS", 0)
        assert backend.fetch(fresh(one.version)) == one


class TestFindingOut:
    def test_operations_that_are_missing_are_named(
        self, lesser: Server, opened: Callable[..., Kmip], host: str
    ) -> None:
        backend = opened(port=lesser.port, host="localhost")
        assert "does not list Register among its operations" in failure_of(backend.find_out)
        one = kept(a_version(host))
        assert "OPERATION_NOT_SUPPORTED" in failure_of(lambda: backend.put(one), one.key.secret)
        assert list(backend.entries(host)) == []

    def test_a_certificate_that_is_not_accepted(self, authority: Authority, opened: Callable[..., Kmip]) -> None:
        backend = opened(authority.client("former", expired=True))
        assert "the client's certificate has expired" in failure_of(backend.find_out)

    def test_nothing_is_taken_from_the_home_directory(
        self, opened: Callable[..., Kmip], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        configuration = tmp_path / ".pykmip/pykmip.conf"
        configuration.parent.mkdir()
        configuration.write_text("[client]\nhost=192.0.2.1\nusername=somebody\npassword=something\nca_certs=/nowhere\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr("kmip.core.config_helper.CONFIG_FILE", [str(configuration)])
        backend = opened()
        backend.find_out()
        assert backend._connection._client.proxy.username is None

    def test_a_server_is_the_same_by_any_name_and_no_other(
        self, kmip: Server, opened: Callable[..., Kmip], directory: pathlib.Path, authority: Authority
    ) -> None:
        first, by_name = opened().find_out(), opened(host="localhost").find_out()
        assert first == by_name != ""
        below = directory / "other"
        below.mkdir()
        with kmip_server.running(below, authority.ca, authority.server("kmip")) as other:
            assert opened(port=other.port).find_out() not in ("", first)

    def test_a_missing_package_is_named(self, kmip: Server, alice: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "kmip.pie.client", None)
        _strict_kmip.library.cache_clear()
        sentence = failure_of(lambda: kmip_from(options(kmip, alice), surroundings()))
        assert sentence.endswith(f"""'{sys.executable} -m pip install "pykmip>=0.11"'.""")

    @pytest.mark.parametrize("option", ["certificate", "ca"])
    def test_a_missing_file_is_named(self, kmip: Server, alice: Issued, option: str) -> None:
        sentence = failure_of(lambda: kmip_from(options(kmip, alice, **{option: "/nowhere/x.pem"}), surroundings()))
        name = f"kmip 127.0.0.1:{kmip.port}"
        assert sentence.startswith(f"{name} cannot be opened from this controller. Its {option}, /nowhere/x.pem")

    def test_a_key_that_is_given_for_its_file_is_not_shown(self, kmip: Server, alice: Issued) -> None:
        key = alice.key_file.read_text()
        sentence = failure_of(lambda: kmip_from(options(kmip, alice, key_file=key), surroundings()))
        assert sentence.endswith("Its key_file is not there. It is a file on the controller.")

    def test_a_task_names_it_by_its_type(self, kmip: Server, alice: Issued) -> None:
        files = {"certificate": str(alice.certificate), "key_file": str(alice.key_file), "ca": str(kmip.ca)}
        (backend,) = backends_from([{"type": "kmip", "host": "kmip.example.org", **files}], surroundings())
        assert isinstance(backend, Kmip)
        assert backend.name == "kmip kmip.example.org:5696"


class TestOthers:
    def test_each_client_has_its_own_objects(
        self, authority: Authority, opened: Callable[..., Kmip], host: str
    ) -> None:
        one = kept(a_version(host))
        uid = opened().put(one)
        bob = opened(authority.client("bob"))
        assert list(bob.entries(host)) == []
        assert "is not there, or was destroyed" in failure_of(lambda: bob.fetch(fresh(one.version)), one.key.secret)
        assert "shows it to others only" in failure_of(lambda: bob.foreign(uid, "tank"), one.key.secret)
        bob.destroy(fresh(one.version))
        assert opened().fetch(fresh(one.version)) == one

    @pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
    def test_an_unmodified_client_gets_the_key(
        self, kmip: Server, opened: Callable[..., Kmip], alice: Issued, host: str
    ) -> None:
        one = kept(a_version(host, dataset="tank/home"))
        uid = opened().put(one)
        library = _strict_kmip.library()
        files = {"cert": str(alice.certificate), "key": str(alice.key_file), "ca": str(kmip.ca)}
        with library.client.ProxyKmipClient(hostname=kmip.host, port=kmip.port, **files) as client:
            there = client.get(uid)
            name = library.attributes.Name.create(name_of(one), library.enums.NameType.UNINTERPRETED_TEXT_STRING)
            wanted = library.attribute_factory.create_attribute(library.enums.AttributeType.NAME, name)
            assert client.locate(attributes=[wanted]) == [uid]
        assert there.value == one.key.secret.hex().encode()
        assert there.data_type is library.enums.SecretDataType.PASSWORD

    @pytest.mark.parametrize("state", ["active", "deactivated", "compromised"])
    def test_states_are_those_of_the_server(
        self, kmip: Server, opened: Callable[..., Kmip], host: str, state: State
    ) -> None:
        one = kept(a_version(host))
        uid = opened().put(one)
        opened().advance(fresh(one.version), state)
        with contextlib.closing(_strict_kmip.strict_client(opened()._connection._address)) as client:
            client.open()
            (attribute,) = client.get_attributes(uid, ["State"])[1]
        assert attribute.attribute_value.value.name == state.upper()

    def test_secrets_of_truenas_are_read_by_their_id(self, kmip: Server, opened: Callable[..., Kmip]) -> None:
        objects, key = opened()._objects, "0f" * 32
        found = opened().foreign(truenas(objects, "tank/home-dir-1a2b3c4", key.encode()), "tank/home-dir")
        assert (found.dataset, found.text) == ("tank/home-dir", key)
        assert key not in repr(found)
        assert opened().foreign(truenas(objects, "a person's own", b"pass phrase"), "tank").dataset == ""
        uid = truenas(objects, "tank-1a2b3c4", b"\xff" * 32)
        assert "id that is given for tank holds no text" in failure_of(lambda: opened().foreign(uid, "tank"))
        assert "no object of the id that is given for tank, or" in failure_of(
            lambda: opened().foreign(key, "tank"), key
        )

    def test_two_keys_of_one_id_are_said_and_none_is_chosen(self, opened: Callable[..., Kmip], host: str) -> None:
        one = kept(a_version(host))
        another = kept(one.version)
        stale = opened()
        stale.entries(host)
        opened().put(one)
        stale.put(another)  # this server, unlike most, takes a name twice
        (entry,) = opened().entries(host)
        for call in (lambda: opened().fetch(entry), lambda: opened().put(one)):
            sentence = failure_of(call, one.key.secret, another.key.secret)
            assert f"two different keys of one id, the key {one.version.key_id} of tank/home" in sentence

    def test_the_same_key_twice_is_one(self, opened: Callable[..., Kmip], host: str) -> None:
        one, stale = kept(a_version(host)), opened()
        stale.entries(host)
        opened().put(one)
        stale.put(one)
        (entry,) = opened().entries(host)
        assert opened().fetch(entry) == one
        opened().advance(entry, "active")
        opened().destroy(entry)
        assert list(opened().entries(host)) == []

    def test_destroying_takes_what_was_noted_along(self, kmip: Server, opened: Callable[..., Kmip], host: str) -> None:
        one = kept(a_version(host))
        opened().put(one)
        opened().bind(fresh(one.version), a_binding())
        objects = opened()._objects
        assert len(objects.informed("zfsfleet.encryption.host", host, "test")) == 2
        opened().destroy(fresh(one.version))
        assert objects.informed("zfsfleet.encryption.host", host, "test") == []

    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            pytest.param({"dataset": ""}, "it lacks dataset", id="no dataset"),
            pytest.param({"key_id": "0123456789abcdef.0123456789ab"}, "is not the key", id="another version"),
            pytest.param({"value": "00" * 31}, "it does not hold 64 hexadecimal digits", id="no key"),
        ],
    )
    def test_what_is_no_version_is_said_and_never_used(
        self, opened: Callable[..., Kmip], host: str, changed: dict[str, str], sentence: str
    ) -> None:
        one, sound = kept(a_version(host)), kept(a_version(host))
        opened().put(sound)
        opened()._objects.register(draft_of(one, **changed), "test")
        for call in (lambda: opened().fetch(fresh(one.version)), lambda: opened().put(one)):
            assert sentence in failure_of(call, one.key.secret, "00" * 31)
        assert opened().fetch(fresh(sound.version)) == sound
        assert sound.version in [entry.version for entry in opened().entries(host)]

    def test_what_cannot_be_read_is_a_fault_of_its_version(
        self, kmip: Server, opened: Callable[..., Kmip], host: str
    ) -> None:
        one, sound = kept(a_version(host)), kept(a_version(host))
        opened().put(sound)
        opened()._objects.register(draft_of(one, dataset=""), "test")
        told = {"key_id": str(sound.version.key_id), "binding": "{"}
        opened()._objects.register(Draft("binding", f"{host}-x", host, a_binding(), told, b"{"), "test")
        faulty = {entry.key_id: entry.faults for entry in opened().entries(host)}
        assert "cannot be read: it lacks dataset" in faulty[one.version.key_id][0]
        assert "the binding in object" in faulty[sound.version.key_id][0]


def name_of(kept: Kept) -> str:
    return f"{kept.version.dataset}-{kept.version.key_id}"


def draft_of(kept: Kept, *, value: str = "", **changed: str) -> Draft:
    """Return an object as the backend would make it, but for what is changed."""
    version = kept.version
    told = {
        "key_id": str(version.key_id),
        "host": version.host,
        "dataset": version.dataset,
        "keyformat": version.keyformat,
        "iterations": str(version.iterations),
        "created": version.created,
        **changed,
    }
    return Draft("key", name_of(kept), version.host, version, told, (value or kept.key.secret.hex()).encode())
