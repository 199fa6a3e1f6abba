# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import from_file
from ansible_collections.zfsfleet.encryption.tests.conformance.making import (
    KEY,
    OTHER_KEY,
    create_locked_root,
    fails,
    key_of,
    read,
)
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

pytestmark = pytest.mark.any_binding


@pytest.fixture
def path(directory: str, name: str) -> str:
    return f"{directory}-{name.rpartition('/')[2]}.key"


def test_there_is_no_content_where_there_is_no_file(host: Host, path: str) -> None:
    assert host.read_key_file(path) is None


@pytest.mark.parametrize("content", [b"\0\r\n\xff" * 8, b"0a" * 32 + b"\n"], ids=["raw", "hex"])
def test_a_key_file_is_written_whole_for_its_owner_only(host: Host, world: World, path: str, content: bytes) -> None:
    host.write_key_file(path, content)

    assert host.read_key_file(path) == content
    assert world.mode_of(path) == 0o400


def test_an_existing_key_file_is_never_overwritten(host: Host, path: str) -> None:
    host.write_key_file(path, KEY.text("hex"))
    with fails():
        host.write_key_file(path, OTHER_KEY.text("hex"))

    assert host.read_key_file(path) == KEY.text("hex")


def test_only_a_key_file_that_is_there_can_be_made_durable(host: Host, path: str) -> None:
    with fails():
        host.sync_key_file(path)
    host.write_key_file(path, KEY.text("hex"))
    host.sync_key_file(path)

    assert host.read_key_file(path) == KEY.text("hex")


LINES = {"hex": KEY.text("hex"), "passphrase": key_of("passphrase").text("passphrase"), "raw": KEY.text("raw")}


ENDS = (b"", b"\n", b"\n\n", b"\n# a comment\n")


@pytest.mark.parametrize("content", [(keyformat, rest) for keyformat in ("hex", "passphrase") for rest in ENDS])
def test_the_first_line_of_a_key_file_is_the_key(
    host: Host, world: World, name: str, path: str, content: tuple[str, bytes]
) -> None:
    keyformat, rest = content
    create_locked_root(host, name, key_of(keyformat), keyformat)
    host.write_key_file(path, LINES[keyformat] + rest)
    world.load_from_file(name, path)

    assert read(host, name).is_key_loaded
    assert from_file(LINES[keyformat] + rest, keyformat, path=path) == key_of(keyformat)


@pytest.mark.parametrize(
    "content",
    [
        ("hex", b"\n" + LINES["hex"]),
        ("hex", LINES["hex"] + b"\r\n"),
        ("hex", LINES["hex"] + b" \n"),
        ("passphrase", LINES["passphrase"] + b"\r\n"),
        ("raw", LINES["raw"] + b"\n"),
        ("raw", LINES["raw"][:-1]),
    ],
)
def test_what_is_no_key_in_its_first_line_or_no_32_bytes_does_not_load(
    host: Host, world: World, name: str, path: str, content: tuple[str, bytes]
) -> None:
    keyformat, text = content
    create_locked_root(host, name, key_of(keyformat), keyformat)
    host.write_key_file(path, text)
    with pytest.raises(CallFailed):
        world.load_from_file(name, path)

    assert not read(host, name).is_key_loaded
    with contextlib.suppress(Refused):
        assert from_file(text, keyformat, path=path) != key_of(keyformat)
