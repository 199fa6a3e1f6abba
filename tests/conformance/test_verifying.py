# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking whether a key opens a root, without loading it."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, hex_key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    PASSPHRASE,
    create,
    create_root,
    fails,
    key_of,
    make_root,
    opens,
    other_key_of,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, World


@pytest.fixture(scope="module", params=KEYFORMATS)
def keyformat(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["locked", "loaded"])
def root(request: pytest.FixtureRequest, host: Host, keyformat: str) -> Dataset:
    """A root in either state; nothing here may change that."""
    made = make_root(host, f"{POOL}/{keyformat}-{request.param}", key_of(keyformat), keyformat)
    if request.param == "locked":
        host.unload_key(made.name)
    return read(host, made.name)


def test_the_right_key_opens_and_changes_nothing(host: Host, root: Dataset) -> None:
    assert host.verify(root, key_of(root.keyformat)).outcome == "opens"
    assert read(host, root.name) == root


def test_a_wrong_key_is_wrong_not_already_loaded(host: Host, root: Dataset) -> None:
    assert host.verify(root, other_key_of(root.keyformat)).outcome == "wrong"
    assert read(host, root.name) == root


def test_a_secret_of_the_other_kind_is_wrong(host: Host, root: Dataset) -> None:
    unfit = KEY if root.keyformat == "passphrase" else PASSPHRASE

    assert host.verify(root, unfit).outcome == "wrong"


LONGEST = "x" * 512
ODD = [
    pytest.param("", id="empty"),
    pytest.param("short", id="short"),
    pytest.param(LONGEST + "x" * 88, id="long"),
    pytest.param(PASSPHRASE.secret.decode() + "\n", id="line-feed"),
    pytest.param(PASSPHRASE.secret.decode() + "\r", id="carriage-return"),
    pytest.param(PASSPHRASE.secret.decode() + "\0more", id="text-after-NUL"),
    pytest.param("first\nsecond", id="two-lines"),
]


@pytest.mark.parametrize("text", ODD)
def test_a_passphrase_that_no_root_can_have_is_wrong(
    host: Host, world: World, binding: str, odd_target: Dataset, text: str
) -> None:
    """But ``zfs`` of OpenZFS 2.1 refuses other lengths by itself; the kernel, which would take them, is not asked."""
    verdict = host.verify(odd_target, passphrase(text, whose="a test"))

    if binding == "cli" and world.version < (2, 2) and not 8 <= len(text) <= len(LONGEST):
        assert verdict.outcome == "unknown"
        assert "Passphrase too " in verdict.detail
    else:
        assert verdict.outcome == "wrong"


@pytest.fixture(scope="module")
def odd_target(host: Host) -> Dataset:
    return make_root(host, f"{POOL}/odd", PASSPHRASE, "passphrase")


def test_a_key_of_zeros_is_wrong(host: Host, root: Dataset) -> None:
    if root.keyformat == "passphrase":
        assert host.verify(root, passphrase("0" * 8, whose="a test")).outcome == "wrong"
    else:
        assert host.verify(root, hex_key("0" * 64, whose="a test")).outcome == "wrong"


@pytest.mark.parametrize("key", [KEY, OTHER_KEY, PASSPHRASE], ids=["right", "wrong", "passphrase"])
@pytest.mark.parametrize("what", ["a child", "a plain dataset", "a clone"])
def test_what_is_no_root_leaves_the_question_open(host: Host, rootless: dict[str, str], what: str, key: Key) -> None:
    assert host.verify(read(host, rootless[what]), key).outcome == "unknown"


@pytest.fixture(scope="module")
def rootless(host: Host, world: World) -> dict[str, str]:
    base = f"{POOL}/rootless"
    names = {"a child": f"{base}/child", "a plain dataset": f"{POOL}/plain", "a clone": f"{POOL}/clone"}
    create_root(host, base)
    create(host, names["a child"])
    create(host, names["a plain dataset"])
    world.clone(base, names["a clone"])
    return names


def test_a_root_that_is_gone_leaves_the_question_open(host: Host, name: str) -> None:
    gone = make_root(host, name)
    host.destroy(name)

    assert host.verify(gone, KEY).outcome == "unknown"


def test_the_root_dataset_of_a_pool_can_be_a_root(host: Host, world: World, pool: str) -> None:
    with world.encrypted_pool(pool, KEY):
        root = read(host, pool)
        assert root.is_encryption_root
        assert opens(host, pool, KEY)
        host.unload_key(pool)
        host.load_key(root, KEY)
        with fails():
            host.inherit_key(pool)
