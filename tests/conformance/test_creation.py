# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating datasets."""

from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, hex_key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Property
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    ITERATIONS,
    KEY,
    KEYFORMATS,
    OTHER_KEY,
    PASSPHRASE,
    create,
    create_root,
    create_volume,
    fails,
    key_of,
    make,
    make_locked_root,
    make_root,
    make_volume,
    opens,
    read,
    root_properties,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, SMALL_POOL

pytestmark = pytest.mark.any_binding

CIPHERS = ("on", *(f"aes-{bits}-{mode}" for mode in ("ccm", "gcm") for bits in (128, 192, 256)))

children = itertools.count(1)


@pytest.fixture(scope="module")
def encrypted_parent(host: Host) -> str:
    return make_root(host, f"{POOL}/parent", OTHER_KEY, encryption="aes-192-gcm").name


@pytest.fixture(scope="module")
def locked_parent(host: Host) -> str:
    return make_locked_root(host, f"{POOL}/locked").name


@pytest.mark.parametrize("keyformat", KEYFORMATS)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_root_has_the_cipher_and_format_that_it_was_made_with(
    host: Host, name: str, cipher: str, keyformat: str
) -> None:
    made = make_root(host, name, key_of(keyformat), keyformat, encryption=cipher)

    assert made.value("encryption") == ("aes-256-gcm" if cipher == "on" else cipher)
    assert made.keyformat == keyformat
    assert made.encryption_root == name
    assert made.is_key_loaded
    assert made.value("keylocation") == "prompt"
    assert made.number("keyguid") > 0


def test_a_passphrase_has_a_salt_and_the_iterations_that_were_asked_for(host: Host, name: str) -> None:
    made = make_root(host, name, PASSPHRASE, "passphrase", pbkdf2iters="123456")

    assert made.number("pbkdf2iters") == 123_456
    assert made.number("pbkdf2salt") > 0


def test_iterations_are_350000_where_none_are_asked_for(host: Host, name: str) -> None:
    host.create(Creation(name, {"encryption": "on", "keyformat": "passphrase"}, key=PASSPHRASE))

    assert read(host, name).number("pbkdf2iters") == 350_000


@pytest.mark.parametrize("keyformat", ["raw", "hex"])
def test_a_key_has_neither_salt_nor_iterations(host: Host, name: str, keyformat: str) -> None:
    made = make_root(host, name, KEY, keyformat)

    assert (made.value("pbkdf2salt"), made.value("pbkdf2iters")) == ("0", "0")


def test_two_roots_with_one_passphrase_have_different_salts(host: Host, name: str) -> None:
    first = make_root(host, name, PASSPHRASE, "passphrase")
    second = make_root(host, f"{name}/b", PASSPHRASE, "passphrase")

    assert first.number("pbkdf2salt") != second.number("pbkdf2salt")


OWN: t.Mapping[str, str] = {"encryption": "on", "keyformat": "hex"}


@pytest.mark.parametrize(
    ("properties", "key", "becomes"),
    [
        pytest.param({}, None, "plain", id="nothing"),
        pytest.param({"encryption": "off"}, None, "plain", id="off"),
        pytest.param({"encryption": "off", "keyformat": "hex"}, KEY, "refused", id="off-with-key"),
        pytest.param({"encryption": "on"}, None, "refused", id="on-without-format"),
        pytest.param({"keyformat": "hex"}, KEY, "refused", id="format-without-encryption"),
        pytest.param(OWN, None, "refused", id="format-without-key"),
        pytest.param({**OWN, "pbkdf2iters": str(ITERATIONS)}, KEY, "refused", id="iterations-for-hex"),
        pytest.param({"encryption": "aes-512-gcm", "keyformat": "hex"}, KEY, "refused", id="no-such-cipher"),
        pytest.param(OWN, KEY, "aes-256-gcm root", id="own-key"),
    ],
)
def test_below_a_plain_parent(
    host: Host, name: str, properties: t.Mapping[str, str], key: Key | None, becomes: str
) -> None:
    assert outcome(host, name, properties, key) == becomes


@pytest.mark.parametrize(
    ("properties", "key", "becomes"),
    [
        pytest.param({}, None, "aes-192-gcm inherits", id="nothing"),
        pytest.param({"encryption": "on"}, None, "aes-256-gcm inherits", id="on"),
        pytest.param({"encryption": "aes-128-ccm"}, None, "aes-128-ccm inherits", id="another-cipher"),
        pytest.param({"encryption": "off"}, None, "plain", id="off"),
        pytest.param({"encryption": "off", "keyformat": "hex"}, KEY, "refused", id="off-with-key"),
        pytest.param({"keyformat": "hex"}, KEY, "aes-192-gcm root", id="own-key-parents-cipher"),
        pytest.param(OWN, KEY, "aes-256-gcm root", id="own-key"),
        pytest.param(OWN, None, "refused", id="format-without-key"),
        pytest.param({"pbkdf2iters": str(ITERATIONS)}, None, "aes-192-gcm inherits", id="iterations-without-key"),
    ],
)
def test_below_an_encrypted_parent(
    host: Host, encrypted_parent: str, properties: t.Mapping[str, str], key: Key | None, becomes: str
) -> None:
    assert outcome(host, f"{encrypted_parent}/{next(children)}", properties, key) == becomes


@pytest.mark.parametrize(
    ("properties", "key", "becomes"),
    [
        pytest.param({}, None, "refused", id="nothing"),
        pytest.param(OWN, KEY, "aes-256-gcm root", id="own-key"),
        pytest.param({"encryption": "off"}, None, "plain", id="off"),
    ],
)
def test_below_a_locked_parent(
    host: Host, locked_parent: str, properties: t.Mapping[str, str], key: Key | None, becomes: str
) -> None:
    assert outcome(host, f"{locked_parent}/{next(children)}", properties, key) == becomes


def outcome(host: Host, name: str, properties: t.Mapping[str, str], key: Key | None) -> str:
    try:
        host.create(Creation(name, properties, key=key))
    except CallFailed:
        assert host.dataset(name) is None, "a refused creation left something behind"
        return "refused"
    made = read(host, name)
    if not made.is_encrypted:
        return "plain"
    return f"{made.value('encryption')} {'root' if made.is_encryption_root else 'inherits'}"


@pytest.mark.parametrize("length", [0, 7, 513])
def test_a_passphrase_of_another_length_than_8_to_512_bytes_makes_no_root(host: Host, name: str, length: int) -> None:
    with fails():
        create_root(host, name, passphrase("x" * length, whose=name), "passphrase")

    assert host.dataset(name) is None


@pytest.mark.parametrize("text", ["x" * 8, "x" * 512, "Schlüssel № 5 🔑", " blanks around ", 'quote" and \\ and $HOME'])
def test_a_passphrase_opens_what_was_made_with_it(host: Host, other_binding: Host, name: str, text: str) -> None:
    key = passphrase(text, whose=name)
    create_root(host, name, key, "passphrase")

    assert opens(host, name, key)
    assert opens(other_binding, name, key)


@pytest.mark.parametrize("keyformat", ["raw", "hex"])
def test_a_key_with_leading_zeros_and_a_newline_byte_is_kept_whole(
    host: Host, other_binding: Host, name: str, keyformat: str
) -> None:
    key = hex_key("0000" + "0a" * 30, whose=name)
    create_root(host, name, key, keyformat)

    assert opens(host, name, key)
    assert opens(other_binding, name, key)


def test_a_keylocation_may_name_an_absent_file(host: Host, name: str) -> None:
    assert make_root(host, name, keylocation="file:///absent/a.key").key_file == "/absent/a.key"


def test_a_refused_keylocation_leaves_nothing_behind(host: Host, name: str) -> None:
    with fails():
        create_root(host, name, keylocation="file://not/absolute")

    assert host.dataset(name) is None


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"compression": "nonsense"}, id="bad-value"),
        pytest.param({"nonsense": "on"}, id="no-such-property"),
        pytest.param({"volblocksize": "8K"}, id="of-volumes-only"),
    ],
)
def test_a_refused_property_leaves_nothing_behind(host: Host, name: str, properties: t.Mapping[str, str]) -> None:
    with fails():
        host.create(Creation(name, {**root_properties("hex"), **properties}, key=KEY))

    assert host.dataset(name) is None


def test_properties_are_set_at_creation(host: Host, small_name: str) -> None:
    wanted = {"recordsize": "64K", "quota": "10M", "zfsfleet.encryption:key_id": "r1.1"}
    host.create(Creation(small_name, {**root_properties("hex"), **wanted}, key=KEY))

    made = host.datasets([SMALL_POOL], ["recordsize", "quota"]).datasets[small_name]
    assert [made.value(prop) for prop in ("recordsize", "quota")] == ["65536", "10485760"]
    assert made.properties["zfsfleet.encryption:key_id"] == Property("r1.1", "local")


def test_creation_does_not_mount(host: Host, name: str) -> None:
    made = make_root(host, name)

    assert made.is_mounted_by_default
    assert not made.is_mounted


@pytest.mark.parametrize("above", ["missing", "a volume"])
def test_a_parent_must_be_a_filesystem(host: Host, name: str, above: str) -> None:
    if above == "a volume":
        create_volume(host, name)
    with fails():
        create(host, f"{name}/child")


def test_what_exists_is_not_made_again(host: Host, name: str) -> None:
    guid = make(host, name).value("guid")
    with fails():
        create_root(host, name)

    assert read(host, name).value("guid") == guid


def test_each_child_has_a_master_key_of_its_own(host: Host, name: str) -> None:
    root = make_root(host, name)

    assert make(host, f"{name}/child").value("keyguid") != root.value("keyguid")


def test_a_child_shows_its_roots_format_and_salt_but_no_keylocation(host: Host, name: str) -> None:
    root = make_root(host, name, PASSPHRASE, "passphrase")
    child = make(host, f"{name}/child")

    for prop in ("keyformat", "keystatus", "pbkdf2iters", "pbkdf2salt"):
        assert child.value(prop) == root.value(prop)
    assert child.properties["keylocation"] == Property("none", "default")


def test_a_plain_dataset_shows_nothing_of_keys(host: Host, name: str) -> None:
    made = make(host, name)

    expected = {"encryption": "off", "keyformat": "none", "keylocation": "none", "keystatus": "-", "keyguid": "-"}
    assert {prop: made.value(prop) for prop in expected} == expected
    assert made.encryption_root is None
    assert (made.value("pbkdf2salt"), made.value("pbkdf2iters")) == ("0", "0")


def test_a_volume_can_be_a_root(host: Host, name: str) -> None:
    made = make_volume(host, name, key=KEY)

    assert made.is_volume
    assert made.is_encryption_root
    assert opens(host, name, KEY)
    assert (made.value("mounted"), made.value("mountpoint"), made.value("canmount")) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("size", "becomes"), [("1000000", 1_015_808), ("1M", 1_048_576), ("1.5M", 1_572_864), ("1", 16_384)]
)
def test_a_volumes_size_is_rounded_up_to_its_block_size(host: Host, name: str, size: str, becomes: int) -> None:
    assert make_volume(host, name, size, volblocksize="16K").number("volsize") == becomes


@pytest.mark.parametrize("sparse", [True, False])
def test_only_a_volume_that_is_not_sparse_reserves_its_space(host: Host, small_name: str, sparse: bool) -> None:
    create_volume(host, small_name, "1M", sparse=sparse)

    reserved = host.datasets([SMALL_POOL], ["refreservation"]).datasets[small_name].number("refreservation")
    assert reserved == 0 if sparse else reserved >= 1_048_576
