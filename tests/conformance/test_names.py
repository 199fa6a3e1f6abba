# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of datasets, with all that OpenZFS permits in them."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    change,
    create,
    create_root,
    fails,
    make_root,
    make_volume,
    opens,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import SMALL_POOL

NAME_BYTES = 255
ODD = ("two words", "colon:dash-dot.under_score", "-dash", "1", "a b:c.d-e_f")


@pytest.mark.parametrize("last", ODD)
def test_an_odd_name_serves_for_every_call(host: Host, name: str, last: str) -> None:
    odd = f"{name}/{last}"
    create(host, name)
    made = make_root(host, odd)
    assert made.name == odd
    assert made.encryption_root == odd
    host.mount(odd)
    host.unmount(odd)
    host.unload_key(odd)
    assert opens(host, odd, KEY)
    host.load_key(made, KEY)
    change(host, odd, OTHER_KEY)

    host.destroy(odd)


@pytest.mark.any_binding
def test_odd_names_are_read_in_one_go(host: Host, small_name: str) -> None:
    names = {small_name, *(f"{small_name}/{last}" for last in ODD)}
    for name in sorted(names):
        create(host, name)

    assert names <= host.datasets([SMALL_POOL]).datasets.keys()


@pytest.mark.any_binding
def test_volumes_with_spaces_in_their_names_can_be_read_once_their_roots_key_is_loaded(host: Host, name: str) -> None:
    create_root(host, name)
    volumes = [make_volume(host, f"{name}/{last}") for last in ("two words", "no more words")]
    host.unload_key(name)
    host.load_key(read(host, name), KEY)
    for volume in volumes:
        host.prove_readable(volume)


def test_a_name_may_have_255_bytes(host: Host, name: str) -> None:
    longest = name + "x" * (NAME_BYTES - len(name))
    create_root(host, longest)
    host.unload_key(longest)
    host.load_key(read(host, longest), KEY)

    assert opens(host, longest, KEY)


@pytest.mark.any_binding
@pytest.mark.parametrize("suffix", ["%", "ü", "@", "#", "/", "a//b", "\t", "'", '"', "$", "+"])
def test_a_name_with_anything_else_is_refused(host: Host, name: str, suffix: str) -> None:
    with fails():
        create(host, name + suffix)


@pytest.mark.any_binding
def test_a_name_of_256_bytes_is_refused(host: Host, name: str) -> None:
    with fails():
        create(host, name + "x" * (NAME_BYTES + 1 - len(name)))
