# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole tasks whose real server fails them: no host changes, no key is lost, and the sentence says what is wrong."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import now
from ansible_collections.zfsfleet.encryption.tests.escrow import (
    kmip_place,
    kmip_server,
    openbao,
    openbao_server,
    server,
)
from ansible_collections.zfsfleet.encryption.tests.escrow.certificates import Authority, Issued
from ansible_collections.zfsfleet.encryption.tests.escrow.kmip_server import Server as KmipServer
from ansible_collections.zfsfleet.encryption.tests.escrow.openbao_server import Server as BaoServer
from ansible_collections.zfsfleet.encryption.tests.escrow.place import a_host

from .acting import Controller

Place = dict[str, t.Any]
MEMORY: Place = {"type": "memory", "name": "one"}


@dataclass(frozen=True)
class World:
    """Servers as they should be, and what makes them fail."""

    authority: Authority
    stranger: Authority
    bao_server: BaoServer
    kmip_server: KmipServer
    misnamed_kmip: KmipServer
    client: Issued
    silent: int
    free: int

    @property
    def bao(self) -> Place:
        return openbao.OpenBaoPlace(self.bao_server, self.bao_server.token(openbao.policies())).in_a_task()

    @property
    def kmip(self) -> Place:
        return kmip_place.in_a_task(self.kmip_server, self.client)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[World]:
    paths = [tmp_path_factory.mktemp(name) for name in ("ca", "stranger", "openbao", "kmip", "misnamed")]
    ca, stranger = Authority("ca", paths[0]), Authority("stranger", paths[1])
    elsewhere = ca.server("elsewhere", valid_for=("other.example.org",))
    expired = ca.server("expired", expired=True)
    with contextlib.ExitStack() as stack:
        bao = openbao_server.running(paths[2], ca.ca, ca.server("openbao"), elsewhere, expired)
        yield World(
            ca,
            stranger,
            stack.enter_context(bao),
            stack.enter_context(kmip_server.running(paths[3], ca.ca, ca.server("kmip"))),
            stack.enter_context(kmip_server.running(paths[4], ca.ca, elsewhere)),
            ca.client("controller"),
            stack.enter_context(server.silent()),
            server.free_port(),
        )


def _expired_token(world: World) -> str:
    token = world.bao_server.token(openbao.policies(), ttl="1s")
    time.sleep(1.5)
    return token


NOTHING = 'path "secret/data/nothing" { capabilities = ["read"] }'
FAILING: dict[str, tuple[t.Callable[[World], Place], str]] = {
    "openbao, another name in its certificate": (
        lambda world: {**world.bao, "url": world.bao_server.other_urls[0]},
        "its certificate is not one for 127.0.0.1",
    ),
    "openbao, its certificate expired": (
        lambda world: {**world.bao, "url": world.bao_server.other_urls[1]},
        "its certificate has expired",
    ),
    "openbao, another authority": (
        lambda world: {**world.bao, "ca": str(world.stranger.ca)},
        "is not signed by the authority that the options name",
    ),
    "openbao, down": (lambda world: {**world.bao, "url": f"https://127.0.0.1:{world.free}"}, "nothing listens there"),
    "openbao, silent": (
        lambda world: {**world.bao, "url": f"https://127.0.0.1:{world.silent}", "timeout": 1},
        "it gave no answer within 1 seconds",
    ),
    "openbao, not permitted": (
        lambda world: {**world.bao, "token": world.bao_server.token({"nothing": NOTHING})},
        "guide on escrow shows the least that is needed",
    ),
    "openbao, its token expired": (
        lambda world: {**world.bao, "token": _expired_token(world)},
        "the token has expired, was revoked, or is none of this server's",
    ),
    "openbao, no engine": (lambda world: {**world.bao, "mount": "nowhere"}, "nowhere"),
    "kmip, another name in its certificate": (
        lambda world: {**world.kmip, "port": world.misnamed_kmip.port},
        "its certificate is not one for 127.0.0.1",
    ),
    "kmip, another authority": (
        lambda world: {**world.kmip, "ca": str(world.stranger.ca)},
        "is not signed by the authority that the options name",
    ),
    "kmip, the client's certificate expired": (
        lambda world: kmip_place.in_a_task(world.kmip_server, world.authority.client("former", expired=True)),
        "the client's certificate has expired",
    ),
    "kmip, a client of another authority": (
        lambda world: kmip_place.in_a_task(world.kmip_server, world.stranger.client("mallory")),
        "the server does not know the authority that signed the client's certificate",
    ),
    "kmip, down": (lambda world: {**world.kmip, "port": world.free}, "nothing listens there"),
    "kmip, silent": (
        lambda world: {**world.kmip, "port": world.silent, "timeout": 1},
        "it gave no answer within 1 seconds",
    ),
}


@pytest.fixture(params=FAILING)
def failing(request: pytest.FixtureRequest, world: World) -> tuple[Place, str]:
    """A place that fails, and words that say why."""
    place, words = FAILING[request.param]
    return place(world), words


@pytest.fixture
def made(controller: Controller) -> Controller:
    """A host whose one root has its key in the place that works."""
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[MEMORY])["changed"]
    return controller


@pytest.mark.parametrize("check", [True, False], ids=["check mode", "for real"])
def test_nothing_is_begun_with_a_server_that_fails(made: Controller, failing: tuple[Place, str], check: bool) -> None:
    place, words = failing
    drawer = made.drawer("one")
    kept = dict(drawer.keys)
    for escrow in ([MEMORY, place], [place]):
        for module, options in (
            ("zfs_dataset_key", {"name": "tank/new"}),
            ("zfs_dataset_key", {"name": "tank/a", "key": "0b" * 32, "update_key": "always"}),
            ("zfs_key_rotate", {"name": "tank/a", "max_age_days": 0}),
            ("zfs_key_escrow", {"name": "tank/a", "secrets": [{"name": "tank/a", "key": "0b" * 32}]}),
            ("zfs_key_move", {"source": [MEMORY], "clear_source": True}),
        ):
            if module == "zfs_key_move" and MEMORY in escrow:
                continue  # it would move keys to where they are
            refused = made.act(module, escrow=escrow, check=check, **options)
            assert refused.get("failed"), (module, escrow)
            assert words in refused["msg"], module
    assert made.host.dataset("tank/new") is None
    assert (drawer.keys, made.act("zfs_key_drill", escrow=[MEMORY])["ok"]) == (kept, 1)


def test_what_the_others_have_opens_and_the_failing_one_is_told(made: Controller, failing: tuple[Place, str]) -> None:
    place, words = failing
    assert made.act("zfs_unlock", name="tank/a", state="locked", escrow=[MEMORY])["locked"] == ["tank/a"]
    alone = made.act("zfs_unlock", name="tank/a", escrow=[place])
    assert alone["failed"]
    assert words in alone["msg"]
    for module in ("zfs_key_drill", "zfs_unlock"):
        result = made.act(module, name="tank/a", escrow=[place, MEMORY])
        assert any(words in warning for warning in result["warnings"]), module
    assert result["unlocked"] == ["tank/a"]


# -- it fails after it said that it would do


@dataclass
class Trouble:
    """A place, and what makes it fail and work again; with another token it is another place."""

    place: Place
    begin: t.Callable[[], object]
    end: t.Callable[[], object]


@contextlib.contextmanager
def sealed(world: World) -> t.Iterator[Trouble]:
    bao = world.bao_server
    administrator = bao.client().sys
    try:
        yield Trouble(world.bao, administrator.seal, lambda: administrator.submit_unseal_key(bao.unseal_key))
    finally:
        administrator.submit_unseal_key(bao.unseal_key)


@contextlib.contextmanager
def revoked(world: World) -> t.Iterator[Trouble]:
    place = world.bao
    tokens = world.bao_server.client().auth.token
    yield Trouble(place, lambda: tokens.revoke(place["token"]), lambda: place.update(token=world.bao["token"]))


@contextlib.contextmanager
def unheard_bao(world: World) -> t.Iterator[Trouble]:
    with server.between(int(world.bao_server.url.rpartition(":")[2])) as proxy:
        yield _unheard({**world.bao, "url": f"https://127.0.0.1:{proxy.port}"}, proxy)


@contextlib.contextmanager
def unheard_kmip(world: World) -> t.Iterator[Trouble]:
    with server.between(world.kmip_server.port) as proxy:
        yield _unheard({**world.kmip, "port": proxy.port}, proxy)


def _unheard(place: Place, proxy: server.Between) -> Trouble:
    return Trouble({**place, "timeout": 2}, lambda: proxy.muffle(muffled=True), lambda: proxy.muffle(muffled=False))


TROUBLES = {
    "openbao is sealed": sealed,
    "its token is revoked": revoked,
    "its answers are lost": unheard_bao,
    "answers of a KMIP server are lost": unheard_kmip,
}
MOMENTS = {"as the key is put": "after put in one", "as it is noted": "before bind in one"}
WORKS: dict[str, tuple[str, dict[str, t.Any]]] = {
    "creation": ("zfs_dataset_key", {"name": "tank/new"}),
    "rotation": ("zfs_key_rotate", {"name": "tank/a"}),
}


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_one_that_fails_in_the_middle_loses_nothing_and_the_next_run_finishes_with_the_same_key(
    controller: Controller, world: World, trouble: str, moment: str, work: str
) -> None:
    module, options = WORKS[work]
    host = a_host()
    with TROUBLES[trouble](world) as there:

        def act(module: str, *escrow: Place, **options: t.Any) -> dict[str, t.Any]:
            return controller.act(module, as_host=host, escrow=list(escrow), **options)

        def ids(place: Place) -> set[str]:
            return {each["key_id"] for each in act("zfs_key_escrow_info", place)["versions"]}

        def begin(where: str) -> None:
            if where == MOMENTS[moment]:
                there.begin()

        assert act("zfs_dataset_key", MEMORY, there.place, name="tank/a")["changed"]
        if work == "rotation":
            options = {**options, "made_before": now()}
        controller.moment = begin
        failed = act(module, MEMORY, there.place, **options)
        controller.moment = lambda _where: None
        assert failed["failed"]

        # Whatever key a root has now is in the place that works.
        begun = ids(MEMORY)
        drilled = act("zfs_key_drill", MEMORY)
        assert drilled["opened"] == drilled["drilled"] == 1 + (work == "creation" and moment == "as it is noted")
        there.end()
        finished = act(module, MEMORY, there.place, **options)
        assert not finished.get("failed"), finished["msg"]
        assert ids(MEMORY) == ids(there.place) == begun
        assert len(begun) == 2
        drilled = act("zfs_key_drill", there.place)
        assert drilled["ok"] == drilled["drilled"], drilled
