# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties as people write them."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _properties
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused


@pytest.mark.parametrize(
    ("written", "text"), [(True, "on"), (False, "off"), (1048576, "1048576"), ("1M", "1M"), ("yes", "yes")]
)
def test_yaml_values_become_openzfs_text(written: object, text: str) -> None:
    assert _properties.text("atime", written) == text


@pytest.mark.parametrize(
    ("wanted", "observed"),
    [
        ("lz4", "lz4"),
        ("1M", "1048576"),
        ("1m", "1048576"),
        ("1MiB", "1048576"),
        ("1.5K", "1536"),
        ("128KB", "131072"),
        ("none", "0"),
        ("none", "none"),
    ],
)
def test_values_that_mean_the_same_are_the_same(wanted: str, observed: str) -> None:
    assert _properties.is_same("recordsize", wanted, observed)


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


@pytest.mark.parametrize("text", ["", "big", "0", "-1G", "10 G B"])
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
        ("volmode", "geom", "full"),
        ("xattr", "on", "sa"),
        ("xattr", "on", "dir"),
    ],
)
def test_a_value_is_known_under_the_name_that_openzfs_prints(name: str, wanted: str, observed: str) -> None:
    assert _properties.is_same(name, wanted, observed)
    assert not _properties.is_same("other", wanted, observed)


def test_an_automatic_reservation_shows_as_the_space_it_came_to() -> None:
    assert _properties.is_same("refreservation", "auto", "70254592")
    assert not _properties.is_same("refreservation", "auto", "0")


@pytest.mark.parametrize("value", [["lz4"], {"on": True}])
def test_a_property_is_one_value(value: object) -> None:
    with pytest.raises(Refused, match="Property compression was given a"):
        _properties.text("compression", value)
