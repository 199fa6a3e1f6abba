# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key and a key file for one root: the file holds the key, before anything relies on it and when it was lost."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE

PATH = "/etc/zfs/a.key"
LINE = KEY_TEXT.encode()
WISH: dict[str, t.Any] = {"name": "tank/a", "key": KEY_TEXT, "key_file": PATH}
DISK = "/dev/disk/by-id/new"


def opens(host: FakeOpenZFS, name: str = "tank/a", **expected: str) -> bool:
    root = host.dataset(name)
    assert root is not None
    for prop, value in expected.items():
        assert root.value(prop) == value
    return host.verify(root, KEY).outcome == "opens"


def actions(result: dict[str, t.Any]) -> list[str]:
    return [action["action"] for action in result["actions"]]


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({}, LINE),
        ({"keyformat": "raw"}, KEY.secret),
        ({"key": None, "passphrase": "correct horse", "pbkdf2iters": 100_000}, b"correct horse"),
    ],
)
def test_the_file_is_written_before_the_root_is_made(
    host: FakeOpenZFS, run: Run, options: dict[str, t.Any], content: bytes
) -> None:
    wish = {name: value for name, value in {**WISH, **options}.items() if value is not None}
    foretold = run("zfs_dataset_key", check=True, **wish)
    assert host.key_files == {}
    assert run("zfs_dataset_key", **wish) == foretold
    assert actions(foretold) == ["write_key_file", "create", "mount"]
    assert host.key_files == {PATH: content}
    assert run("zfs_dataset_key", **wish)["changed"] is False
    assert run("zfs_unlock", name="tank/a", state="locked")["locked"] == ["tank/a"]


def test_the_root_looks_for_its_key_there(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", **WISH)
    assert opens(host, keylocation=f"file://{PATH}")
    run("zfs_dataset_key", name="tank/b", key=KEY_TEXT, key_file="/etc/zfs/b.key", keylocation="prompt")
    assert opens(host, "tank/b", keylocation="prompt")
    assert host.key_files["/etc/zfs/b.key"] == LINE


def test_a_file_that_holds_the_key_is_used_with_or_without_a_newline(host: FakeOpenZFS, run: Run) -> None:
    host.key_files[PATH] = LINE + b"\n"
    assert actions(run("zfs_dataset_key", **WISH)) == ["create", "mount"]
    assert host.key_files[PATH] == LINE + b"\n"
    assert run("zfs_dataset_key", **WISH)["changed"] is False


@pytest.mark.parametrize("content", [OTHER_KEY_TEXT.encode(), b"notes", KEY.secret, b""])
@pytest.mark.parametrize("is_there", [True, False], ids=["the root is there", "a new root"])
def test_a_file_that_holds_anything_else_is_left_alone(
    host: FakeOpenZFS, run: Run, content: bytes, is_there: bool
) -> None:
    if is_there:
        run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    host.key_files[PATH] = content
    host.calls.clear()
    result = run("zfs_dataset_key", **WISH)
    assert f"The key file {PATH} of tank/a holds something else than the key given" in result["msg"]
    assert (host.changes, host.key_files[PATH]) == ([], content)


def test_a_file_that_was_lost_is_written_again(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", **WISH)
    del host.key_files[PATH]
    assert actions(run("zfs_dataset_key", **WISH)) == ["write_key_file"]
    assert host.key_files == {PATH: LINE}


def test_a_root_without_a_file_gets_one(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    assert actions(run("zfs_dataset_key", **WISH)) == ["write_key_file", "set_properties"]
    assert opens(host, keylocation=f"file://{PATH}")


def test_the_file_that_a_rotation_put_beside_it_is_the_one(host: FakeOpenZFS, run: Run) -> None:
    versioned = "/etc/zfs/a.0f3a9c2b7d11.key"
    run("zfs_dataset_key", **{**WISH, "key_file": versioned})
    assert run("zfs_dataset_key", **WISH)["changed"] is False
    host.key_files.clear()
    run("zfs_dataset_key", **WISH)
    assert host.key_files == {versioned: LINE}


def test_a_key_and_its_place_change_in_one_transaction(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=OTHER_KEY_TEXT, key_file=PATH)
    change: dict[str, t.Any] = {"update_key": "always", "current": {"key": OTHER_KEY_TEXT}}
    refused = run("zfs_dataset_key", **WISH, **change)
    assert "holds something else than the key given" in refused["msg"]
    versioned = "/etc/zfs/a.0f3a9c2b7d11.key"
    assert actions(run("zfs_dataset_key", **{**WISH, "key_file": versioned}, **change)) == [
        "write_key_file",
        "change_key",
    ]
    assert opens(host, keylocation=f"file://{versioned}")
    assert host.key_files == {PATH: OTHER_KEY_TEXT.encode(), versioned: LINE}


def test_a_file_that_cannot_be_written_keeps_the_root_from_being_made(host: FakeOpenZFS, run: Run) -> None:
    host.fail_on("write_key_file", PATH, CallFailed("no space"))
    assert run("zfs_dataset_key", **WISH)["failures"]["tank/a"]["msg"] == "no space"
    assert host.dataset("tank/a") is None


def test_roots_share_a_file_with_one_key_only(host: FakeOpenZFS, run: Run) -> None:
    shared: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT, "key_file": PATH},
        {"name": "tank/b", "key": KEY_TEXT, "key_file": PATH},
    ]
    assert run("zfs_dataset_key", datasets=shared)["failures"] == {}
    assert run("zfs_dataset_key", datasets=shared)["changed"] is False
    for other in ({"key": OTHER_KEY_TEXT}, {"key": KEY_TEXT, "keyformat": "raw"}, {"generate_key": True}):
        entry = {"name": "tank/c", "key_file": PATH, **other}
        result = run("zfs_dataset_key", datasets=[shared[0], entry])
        assert f"would have two keys in the file {PATH}" in result["msg"]
    assert host.dataset("tank/c") is None
    assert OTHER_KEY.secret not in host.key_files.values()


def test_a_key_is_given_or_made(run: Run) -> None:
    assert "was given a key and generate_key" in run("zfs_dataset_key", generate_key=True, **WISH)["msg"]
    assert "no absolute path" in run("zfs_dataset_key", **{**WISH, "key_file": "a.key"})["msg"]


@pytest.mark.parametrize(
    "path",
    [
        *("/tank/a/key", "//tank/a/key", "/tank//a/./key", "/etc/../tank/a/key"),
        *("/keys/key", "/keys/below/key", "/var/tank/a/key", "/var//tank/a/./key"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False], ids=["of-what-is-there", "of-what-is-new"])
def test_a_file_inside_what_it_opens_is_refused(host: FakeOpenZFS, run: Run, path: str, is_there: bool) -> None:
    host.links.update({"/keys": "/tank/a", "/tank": "/var/tank"})
    if is_there:
        run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)

    assert "lies inside tank/a" in run("zfs_dataset_key", **{**WISH, "key_file": path})["msg"]
    location = {"key_file": None, "keylocation": f"file://{path}"}
    assert "lies inside tank/a" in run("zfs_dataset_key", **{**WISH, **location})["msg"]
    assert host.key_files == {}


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"name": "tank/new"}, "/data/new/key"),
        ({"name": "tank/new", "properties": {"mountpoint": "/srv/new"}}, "/data/srv/key"),
        ({"name": "tank/b/new"}, "/data/below/key"),
    ],
    ids=["by-name", "by-mountpoint", "below-what-moves"],
)
def test_a_file_inside_of_what_is_yet_to_be_mounted_there_is_refused(
    host: FakeOpenZFS, run: Run, entry: dict[str, t.Any], path: str
) -> None:
    run("zfs_dataset_key", name="tank/b", key=KEY_TEXT)
    host.links.update({"/tank/new": "/data/new", "/srv/new": "/data/srv", "/moved/new": "/data/below"})
    moved = {"name": "tank/b", "key": KEY_TEXT, "properties": {"mountpoint": "/moved"}}
    new = {**entry, "generate_key": True, "key_file": path}
    result = run("zfs_dataset_key", check=True, datasets=[moved, new])
    assert f"lies inside {entry['name']} (as " in result["msg"]


def test_a_location_alone_inside_of_what_it_opens_is_refused(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    assert "lies inside tank/a" in run("zfs_dataset_key", name="tank/a", keylocation="file:///tank/a/key")["msg"]
    host.links["/tank/b"] = "/srv/x"
    elsewhere = "file:///tank/b/../a/key"  # which is in /srv/a
    assert run("zfs_dataset_key", name="tank/a", keylocation=elsewhere)["failures"] == {}


def test_an_address_that_names_a_file_is_none(host: FakeOpenZFS, run: Run) -> None:
    location = "https://keys/k?file:///tank/a/key"
    assert run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, keylocation=location)["failures"] == {}


def test_a_rotated_file_is_known_however_the_paths_are_written(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", **WISH)
    host.key_files["/etc//zfs/a.0123456789ab.key"] = LINE
    host.set_properties("tank/a", {"keylocation": "file:///etc//zfs/a.0123456789ab.key"})
    del host.key_files[PATH]

    for path in ("/etc//zfs/a.key", PATH):
        result = run("zfs_dataset_key", name="tank/a", key_file=path)
        assert (result["failures"], result["changed"]) == ({}, False)


def test_a_file_has_one_name_however_it_is_written(host: FakeOpenZFS, run: Run) -> None:
    for path in ("/etc/zfs//a.key", "//etc/./zfs/a.key", "/etc/zfs/a.key"):
        result = run("zfs_dataset_key", **{**WISH, "key_file": path})
    assert not result["changed"]
    assert [*host.key_files] == ["/etc/zfs/a.key"]
    root = host.dataset("tank/a")
    assert root is not None
    assert root.key_file == "/etc/zfs/a.key"


def test_a_key_is_not_generated_beside_a_location_that_holds_another(host: FakeOpenZFS, run: Run) -> None:
    host.key_files["/etc/zfs/old.key"] = OTHER_KEY_TEXT.encode()
    places: dict[str, t.Any] = {"key_file": "/etc/zfs/new.key", "keylocation": "file:///etc/zfs/old.key"}
    result = run("zfs_dataset_key", name="tank/a", generate_key=True, **places)
    assert "keylocation of tank/a would be /etc/zfs/old.key, which holds something else" in result["msg"]
    assert [*host.key_files] == ["/etc/zfs/old.key"]


def test_a_pools_root_dataset_is_like_any_other(host: FakeOpenZFS, run: Run) -> None:
    host.add_disk(DISK)
    wish: dict[str, t.Any] = {
        "name": "lake",
        "topology": {"data": [{"type": "stripe", "disks": [DISK]}]},
        "key": KEY_TEXT,
        "key_file": PATH,
    }
    assert actions(run("zfs_encrypted_pool", **wish))[0] == "write_key_file"
    assert opens(host, "lake", keylocation=f"file://{PATH}")
    assert run("zfs_encrypted_pool", **wish)["changed"] is False
    host.key_files.clear()
    assert actions(run("zfs_encrypted_pool", **wish)) == ["write_key_file"]


# -- where a root looks for a key that changed

WORDS: dict[str, t.Any] = {"passphrase": "correct horse", "pbkdf2iters": 100_000}
MORE_ROUNDS: dict[str, t.Any] = {**WORDS, "pbkdf2iters": 200_000, "update_key": "always"}
TO_ANOTHER: dict[str, t.Any] = {"key": OTHER_KEY_TEXT, "update_key": "always", "current": {"key": KEY_TEXT}}


def shows(host: FakeOpenZFS, name: str = "tank/a", **expected: str) -> bool:
    root = host.dataset(name)
    return root is not None and root.values(expected) == expected


def changed(run: Run, name: str = "tank/a", module: str = "zfs_dataset_key", **wish: t.Any) -> list[str]:
    """Change a key as it was foretold, and return the warnings."""
    foretold = run(module, check=True, name=name, **wish)
    result = run(module, name=name, **wish)
    assert (result, result["changed"], result["failures"]) == (foretold, True, {})
    return list(result["warnings"])


@pytest.mark.parametrize("location", ["file:///etc/zfs/a.key", "file:///not/there", "https://keys/a"])
def test_the_same_key_with_other_rounds_stays_where_it_is(host: FakeOpenZFS, run: Run, location: str) -> None:
    host.key_files[PATH] = b"correct horse\n"
    run("zfs_dataset_key", name="tank/a", keylocation=location, **WORDS)

    assert changed(run, **MORE_ROUNDS) == []
    assert shows(host, keylocation=location, pbkdf2iters="200000")


def test_so_does_that_of_a_pool(host: FakeOpenZFS, run: Run) -> None:
    host.key_files[PATH] = b"correct horse"
    properties = {"encryption": "on", "keyformat": "passphrase", "pbkdf2iters": "100000"}
    host.add_pool("lake", properties, PASSPHRASE)
    host.set_properties("lake", {"keylocation": f"file://{PATH}"})

    assert changed(run, "lake", "zfs_encrypted_pool", **MORE_ROUNDS) == []
    assert shows(host, "lake", keylocation=f"file://{PATH}", pbkdf2iters="200000")


def test_a_key_that_its_file_holds_already_stays_there(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", **WISH)
    host.key_files[PATH] = OTHER_KEY_TEXT.encode()
    assert changed(run, **TO_ANOTHER) == []

    assert shows(host, keylocation=f"file://{PATH}")
    assert ("sync_key_file", PATH) in host.calls


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(TO_ANOTHER, id="another key"),
        pytest.param({"key": KEY_TEXT, "keyformat": "raw", "update_key": "always"}, id="another form"),
    ],
)
@pytest.mark.parametrize("location", [f"file://{PATH}", "file:///not/there", "https://keys/a"])
def test_a_location_with_the_replaced_key_is_given_up_aloud(
    host: FakeOpenZFS, run: Run, wish: dict[str, t.Any], location: str
) -> None:
    host.key_files[PATH] = LINE
    run("zfs_dataset_key", name="tank/a", key=KEY_TEXT, keylocation=location)
    (warning,) = changed(run, **wish)

    assert f"keylocation of tank/a is set to prompt, since {location} is not known to hold the new key" in warning
    assert shows(host, keylocation="prompt")


def test_a_location_that_was_asked_for_is_no_matter_for_a_warning(run: Run) -> None:
    run("zfs_dataset_key", **WISH)
    assert changed(run, keylocation="prompt", **TO_ANOTHER) == []
