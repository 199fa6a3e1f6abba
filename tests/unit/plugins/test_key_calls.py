# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What error numbers of libzfs_core mean, and what it is given. What it does is stated in tests/conformance."""

from __future__ import annotations

import errno
import types
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._key_calls import CoreKeys
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key

from .trees import KEY, PASSPHRASE, root

ROUNDS = 123_456  # more than the least


class ZFSError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number


class EncryptionKeyAlreadyLoaded(ZFSError):
    pass


class Core:
    """A libzfs_core that gives one answer, by error number, and notes what it was asked."""

    exceptions = types.SimpleNamespace(ZFSError=ZFSError, EncryptionKeyAlreadyLoaded=EncryptionKeyAlreadyLoaded)

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.asked: list[tuple[t.Any, ...]] = []

    def _answer(self, *arguments: t.Any) -> None:
        self.asked.append(arguments)
        if self.number:
            raise (EncryptionKeyAlreadyLoaded if self.number == errno.EEXIST else ZFSError)(self.number)

    lzc_load_key = lzc_unload_key = lzc_change_key = _answer


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        pytest.param(0, "opens", id="no error"),
        pytest.param(errno.EACCES, "wrong", id="EACCES"),
        pytest.param(errno.EINVAL, "unknown", id="no encryption root"),
        pytest.param(errno.EPERM, "unknown", id="not allowed"),
        pytest.param(errno.EAGAIN, "unknown", id="suspended pool"),
        pytest.param(errno.ENOENT, "unknown", id="gone"),
    ],
)
def test_only_one_error_says_that_a_key_is_wrong(number: int, outcome: str) -> None:
    verdict = CoreKeys(Core(number)).verify(root("tank/a"), KEY)
    assert verdict.outcome == outcome
    assert verdict.errno == (number if outcome == "unknown" else None)


def test_verifying_asks_without_loading() -> None:
    core = Core()
    CoreKeys(core).verify(root("tank/a"), KEY)
    CoreKeys(core).load(root("tank/a"), KEY)
    assert core.asked == [(b"tank/a", True, KEY.secret), (b"tank/a", False, KEY.secret)]


def test_a_key_that_is_loaded_already_was_tried_first_and_is_right() -> None:
    CoreKeys(Core(errno.EEXIST)).load(root("tank/a"), KEY)


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        pytest.param("load", errno.EACCES, "wrong_key", id="loading a wrong key"),
        pytest.param("load", errno.EPERM, "unknown", id="loading without permission"),
        pytest.param("unload", errno.EBUSY, "busy", id="unloading what is in use"),
        pytest.param("unload", errno.EACCES, "unknown", id="unloading what is locked"),
        pytest.param("drop", errno.EBUSY, "busy", id="dropping what is in use"),
        pytest.param("drop", errno.EINVAL, "unknown", id="dropping what cannot be"),
        pytest.param("change", errno.EACCES, "unknown", id="changing what is locked"),
        pytest.param("inherit", errno.EINVAL, "unknown", id="inheriting below what is plain"),
    ],
)
def test_what_a_number_means_depends_on_the_call(call: str, number: int, reason: str) -> None:
    keys = CoreKeys(Core(number))
    calls: dict[str, t.Callable[[], None]] = {
        "load": lambda: keys.load(root("tank/a"), KEY),
        "unload": lambda: keys.unload("tank/a"),
        "drop": lambda: keys.drop_left("tank/a"),
        "change": lambda: keys.change(KeyChange("tank/a", "hex", KEY, "prompt")),
        "inherit": lambda: keys.inherit("tank/a"),
    }
    with pytest.raises(CallFailed) as caught:
        calls[call]()
    assert (caught.value.reason, caught.value.errno) == (reason, number)
    assert "tank/a" in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM], ids=["there is none", "it may not be unloaded"])
def test_no_key_need_have_been_left_by_a_promotion(number: int) -> None:
    core = Core(number)
    CoreKeys(core).drop_left("tank/a")
    assert core.asked == [(b"tank/a",)]


@pytest.mark.parametrize("secret", [32, b"\x0a" * 31, b""], ids=["an int", "31 bytes", "nothing"])
def test_nothing_but_32_bytes_reaches_the_library(secret: t.Any) -> None:
    core = Core()
    with pytest.raises(Refused, match="32 bytes"):
        CoreKeys(core).change(KeyChange("tank/a", "hex", Key("key", secret), "prompt"))
    assert core.asked == []


def test_a_passphrase_is_set_under_a_salt_of_its_own_with_the_rounds_that_were_asked_for() -> None:
    core = Core()
    for _change in range(2):
        CoreKeys(core).change(KeyChange("tank/a", "passphrase", PASSPHRASE, "prompt", ROUNDS))
    given = [(properties, key) for _name, _command, properties, key in core.asked]
    for properties, key in given:
        assert properties[b"pbkdf2iters"] == ROUNDS
        assert key == PASSPHRASE.wrapping_key(salt=properties[b"pbkdf2salt"], iterations=ROUNDS)
    assert given[0][0][b"pbkdf2salt"] != given[1][0][b"pbkdf2salt"]


def test_a_key_is_set_together_with_its_location_and_without_salt() -> None:
    core = Core()
    CoreKeys(core).change(KeyChange("tank/a", "raw", KEY, "file:///etc/zfs/keys/a.key"))
    properties = {b"keyformat": 1, b"keylocation": b"file:///etc/zfs/keys/a.key"}
    assert core.asked == [(b"tank/a", "new_key", properties, KEY.secret)]
