# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties as people write them."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _properties
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (True, "on"),
        (False, "off"),
        (1048576, "1048576"),
        (1048576.0, "1048576"),
        (1e16, "10000000000000000"),
        (1.5, "1.5"),
        ("1M", "1M"),
        ("yes", "yes"),
        ("", ""),
    ],
)
def test_yaml_values_become_openzfs_text(written: object, text: str) -> None:
    assert _properties.text("atime", written) == text


def test_a_number_in_a_user_property_is_kept_as_it_was_written() -> None:
    assert _properties.text("org:version", 1.0) == "1.0"
    assert _properties.text("copies", 2.0) == "2"


@pytest.mark.parametrize(("written", "text"), [("/srv/a/", "/srv/a"), ("/", "/"), ("none", "none"), ("/a b", "/a b")])
def test_a_mountpoint_ends_with_its_name(written: str, text: str) -> None:
    assert _properties.text("mountpoint", written) == text


@pytest.mark.parametrize(
    ("wanted", "observed"),
    [
        ("lz4", "lz4"),
        ("1M", "1048576"),
        ("1m", "1048576"),
        ("1MiB", "1048576"),
        ("1.5K", "1536"),
        ("128KB", "131072"),
        (".5K", "512"),
        ("1.K", "1024"),
        ("512B", "512"),
        ("010K", "10240"),
        ("none", "0"),
        ("none", "none"),
    ],
)
def test_values_that_mean_the_same_are_the_same(wanted: str, observed: str) -> None:
    assert _properties.is_same("reservation", wanted, observed)


@pytest.mark.parametrize(
    ("wanted", "observed"), [("1M", "131072"), ("on", "off"), ("none", "1024"), ("1M", "1M "), ("x", "0")]
)
def test_values_that_differ_differ(wanted: str, observed: str) -> None:
    assert not _properties.is_same("recordsize", wanted, observed)


def test_on_means_aes_256_gcm() -> None:
    assert _properties.is_same_cipher("on", "aes-256-gcm")
    assert not _properties.is_same_cipher("on", "aes-128-gcm")


@pytest.mark.parametrize(
    ("text", "block", "size"), [("10G", 16384, 10 * 2**30), ("10000000", 16384, 10010624), ("10000000", 0, 10000000)]
)
def test_a_volume_is_rounded_up_to_its_blocks(text: str, block: int, size: int) -> None:
    assert _properties.volume_size(text, block) == size


@pytest.mark.parametrize("text", ["", "big", "0", "-1G", "10 G", "10iB", "10BB", "0x10", "1e9", "."])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is no size"):
        _properties.volume_size(text, 16384)


@pytest.mark.parametrize(
    ("name", "wanted", "observed"),
    [
        ("acltype", "posixacl", "posix"),
        ("acltype", "noacl", "off"),
        ("aclinherit", "secure", "restricted"),
        ("compression", "gzip-6", "gzip"),
        ("compression", "zstd-fast-1", "zstd-fast"),
        ("version", "current", "5"),
        ("volmode", "geom", "full"),
        ("xattr", "on", "sa"),
        ("xattr", "on", "dir"),
    ],
)
def test_a_value_is_known_under_the_name_that_openzfs_prints(name: str, wanted: str, observed: str) -> None:
    assert _properties.is_same(name, wanted, observed)
    assert not _properties.is_same("other", wanted, observed)


@pytest.mark.parametrize("written", [0, "0", "0G", 0.0])
def test_no_quota_is_said_in_the_word_that_openzfs_wants(written: object) -> None:
    assert _properties.text("quota", written) == "none"
    assert _properties.text("filesystem_limit", written) != "none"


def test_no_limit_is_another_thing_than_a_limit_of_nothing() -> None:
    assert not _properties.is_same("filesystem_limit", "none", "0")
    assert not _properties.is_same("filesystem_limit", "0", "none")


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("atime", "yes", ("on", "off")),
        ("canmount", "auto", ("on", "off", "noauto")),
        ("copies", "4", ("1", "2", "3")),
        ("atime", "inherit", ()),
        ("canmount", "noauto", ()),
        ("org:atime", "yes", ()),
        ("compression", "of-a-version-to-come", ()),
    ],
)
def test_what_every_version_takes_is_known(name: str, value: str, choices: tuple[str, ...]) -> None:
    assert _properties.choices(name, value) == choices


def test_the_text_of_a_user_property_is_never_taken_for_a_size() -> None:
    assert not _properties.is_same("org:note", "1K", "1024")
    assert not _properties.is_same("org:note", "none", "0")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("compression", True),
        ("userquota@anna", True),
        ("userobjquota@1000", True),
        ("org.example:note", True),
        ("a:b+c_d-e.f", True),
        ("a,b", False),
        ("a=b", False),
        ("Org:note", False),
        ("-u", False),
        ("-a:b", False),
        ("a b", False),
        ("", False),
    ],
)
def test_what_can_name_a_property(name: str, is_one: bool) -> None:
    assert _properties.is_name(name) is is_one


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(number: float) -> None:
    with pytest.raises(Refused, match="is no number"):
        _properties.text("quota", number)


def test_an_automatic_reservation_shows_as_the_space_it_came_to() -> None:
    assert _properties.is_same("refreservation", "auto", "70254592")
    assert not _properties.is_same("refreservation", "auto", "0")


@pytest.mark.parametrize("value", [["lz4"], {"on": True}])
def test_a_property_is_one_value(value: object) -> None:
    with pytest.raises(Refused, match="Property compression was given a"):
        _properties.text("compression", value)
