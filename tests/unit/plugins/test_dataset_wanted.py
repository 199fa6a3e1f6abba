# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of zfs_dataset_key that no host could make sense of, and how entries are completed."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._offers import KeyFile

from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        pytest.param({"name": "tank/a@s"}, "'@' is none of letters, digits, spaces", id="snapshot"),
        pytest.param({"name": "tank//a"}, "'tank//a' is no name", id="empty part"),
        pytest.param({"name": "tank/" + "x" * 251}, "it has 256 bytes, where OpenZFS takes 255", id="256 bytes"),
        pytest.param(
            {"name": "tank/a%b"}, "'tank/a%b' is no name of a filesystem or volume: '%' is none", id="percent"
        ),
        pytest.param({"name": "tank//a"}, "a part of it is empty", id="empty part"),
        pytest.param({"name": "tank/.."}, "a part of it is . or ..", id="two dots"),
        pytest.param({"key": "abc"}, "key of tank/a is not 64 hexadecimal digits", id="malformed key"),
        pytest.param(
            {"key": KEY_TEXT, "passphrase": "correct horse"}, "tank/a was given key and passphrase", id="two kinds"
        ),
        pytest.param(
            {"state": "inherited", "key": KEY_TEXT}, "state inherited, which takes no key", id="inherited key"
        ),
        pytest.param({"state": "absent", "key": KEY_TEXT}, "state absent, which takes no key", id="absent key"),
        pytest.param({"state": "inherited", "encryption": "off"}, "exclude each other", id="inherited and off"),
        pytest.param({"state": "inherited", "keylocation": "prompt"}, "which only an encryption root has", id="where"),
        pytest.param(
            {"state": "inherited", "keyformat": "hex", "pbkdf2iters": 200_000},
            "tank/a was given keyformat and pbkdf2iters, which only an encryption root has, and state: inherited",
            id="inherited format",
        ),
        pytest.param({"encryption": "off", "keyformat": "hex"}, "keyformat, .* and encryption: off", id="plain format"),
        pytest.param({"encryption": "off", "pbkdf2iters": 200_000}, "pbkdf2iters, which only", id="plain iterations"),
        pytest.param({"encryption": "off", "key": KEY_TEXT}, "encryption: off and a key", id="plain key"),
        pytest.param({"generate_key": True}, "Give key_file or escrow.", id="generated nowhere"),
        pytest.param(
            {"generate_key": True, "key_file": "/k", "keyformat": "passphrase"},
            "makes a hex or raw key, not a passphrase",
            id="generated passphrase",
        ),
        pytest.param({"key_file": "k"}, "key_file of tank/a is no absolute path", id="relative file"),
        pytest.param({"current": {"key_file": "k"}}, "key_file of tank/a .current.", id="relative current"),
        pytest.param({"key": KEY_TEXT, "keyformat": "passphrase"}, "do not go together", id="key as passphrase"),
        pytest.param({"passphrase": "correct horse", "keyformat": "raw"}, "do not go together", id="passphrase as raw"),
        pytest.param({"key": KEY_TEXT, "keylocation": "/k"}, "keylocation of tank/a is no location", id="location"),
        pytest.param(
            {"key": KEY_TEXT, "keylocation": "none"}, "keylocation of tank/a is no location", id="no location"
        ),
        pytest.param(
            {"passphrase": "correct horse", "pbkdf2iters": 99_999}, "pbkdf2iters of tank/a is 99999", id="iterations"
        ),
        pytest.param({"passphrase": "correct horse", "pbkdf2iters": 2**31}, "makes 2147483647 at most", id="too many"),
        pytest.param(
            {"properties": {"keyformat": "raw", "volsize": "1G"}},
            "properties of tank/a hold keyformat, volsize; use the option of that name",
            id="properties with options",
        ),
        pytest.param({"properties": {"mountpoint": "srv"}}, "mountpoint of tank/a would be 'srv'", id="relative place"),
        pytest.param({"properties": {"mountpoint": False}}, "Give an absolute path, none, legacy", id="no place"),
        pytest.param({"properties": {"atime": "yes"}}, "would be 'yes'. It is one of on, off", id="no switch"),
        pytest.param({"key": KEY_TEXT, "keylocation": "file:///"}, "is no location", id="no path"),
        pytest.param({"current": {"key": KEY_TEXT}}, "present key under current, but no new one", id="only current"),
        pytest.param({"name": "tank/a%b"}, "'tank/a%b' is no name", id="percent"),
        pytest.param({"name": "tank/.."}, "'tank/..' is no name", id="dots"),
        pytest.param({"type": "filesystem", "volsize": "1G"}, "is to be a filesystem and has a volsize", id="volsize"),
        pytest.param({"type": "filesystem", "sparse": True}, "given sparse, which only volumes have", id="sparse"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(params: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refusal:
        batch_wanted({"name": "tank/a", **params})
    assert KEY_TEXT not in str(refusal.value)
    assert "correct horse" not in str(refusal.value)


def test_a_dataset_that_stands_twice_is_refused() -> None:
    with pytest.raises(Refused, match="tank/a stands twice"):
        batch_wanted({"datasets": [{"name": "tank/a"}, {"name": "tank/a", "state": "absent"}]})


def test_a_dataset_below_one_that_shall_go_is_refused() -> None:
    with pytest.raises(Refused, match="tank/a is to be absent and tank/a/b/c below it is not"):
        batch_wanted({"datasets": [{"name": "tank/a", "state": "absent"}, {"name": "tank/a/b/c"}]})


def test_a_file_generated_in_two_formats_is_refused() -> None:
    entries = [{"name": f"tank/{form}", "key_file": "/k", "keyformat": form} for form in ("hex", "raw")]
    with pytest.raises(Refused, match="would generate the key file /k in two formats"):
        batch_wanted({"generate_key": True, "datasets": entries})


def test_removals_come_first_deepest_first_then_parents_before_children() -> None:
    entries = [
        {"name": "tank/new/child"},
        {"name": "tank/old", "state": "absent"},
        {"name": "tank/new"},
        {"name": "tank/old/child", "state": "absent"},
    ]
    batch = batch_wanted({"datasets": entries})
    assert [entry.name for entry in batch.entries] == ["tank/old/child", "tank/old", "tank/new", "tank/new/child"]


def test_the_top_level_gives_an_entry_its_defaults() -> None:
    batch = batch_wanted(
        {
            "key": KEY_TEXT,
            "update_key": "always",
            "properties": {"compression": "zstd", "atime": False},
            "datasets": [
                {"name": "tank/a", "properties": {"atime": True}},
                {"name": "tank/b", "key": OTHER_KEY_TEXT, "update_key": "on_create"},
                {"name": "tank/c", "passphrase": "correct horse"},
                {"name": "tank/d", "key_file": "/k"},
            ],
        }
    )
    a, b, c, d = batch.entries
    assert (a.secret, a.change, a.properties) == (KEY, True, {"compression": "zstd", "atime": "on"})
    assert (b.secret, b.change, b.properties) == (OTHER_KEY, False, {"compression": "zstd", "atime": "off"})
    assert (c.secret, c.new_keyformat) == (PASSPHRASE, "passphrase")
    assert (d.secret, d.keylocation) == (KeyFile("/k"), "file:///k")


def test_the_whole_world_of_defaults_is_that_of_the_design() -> None:
    (entry,) = batch_wanted({"name": "tank/a", "passphrase": "correct horse"}).entries
    assert (entry.state, entry.new_keyformat, entry.new_iterations) == ("present", "passphrase", 1_300_000)
    (entry,) = batch_wanted({"name": "tank/a", "key": KEY_TEXT}).entries
    assert (entry.new_keyformat, entry.new_iterations, entry.keylocation) == ("hex", 0, None)
    assert entry.keeps_truenas_hierarchy
    assert not entry.change


def test_defaults_that_an_entry_excludes_do_not_reach_it() -> None:
    batch = batch_wanted(
        {
            "key_file": "/k",
            "generate_key": True,
            "volsize": "1G",
            "datasets": [
                {"name": "tank/a", "state": "inherited", "type": "filesystem"},
                {"name": "tank/b", "state": "absent"},
                {"name": "tank/c", "encryption": "off"},
            ],
        }
    )
    assert all(entry.secret is None and not entry.generate and entry.keylocation is None for entry in batch.entries)
    assert next(entry for entry in batch.entries if entry.name == "tank/a").volume_size is None


@pytest.mark.parametrize("top", [{"encryption": "off"}, {"state": "inherited"}], ids=["plain", "inheriting"])
def test_a_default_format_is_for_those_entries_that_become_roots(top: dict[str, str]) -> None:
    entries: list[dict[str, t.Any]] = [{"name": "tank/a"}, {"name": "tank/b", "passphrase": "correct horse"}]
    if "state" in top:
        entries[1]["state"] = "present"
    batch = batch_wanted({**top, "keyformat": "passphrase", "pbkdf2iters": 200_000, "datasets": entries})
    assert [(entry.keyformat, entry.pbkdf2iters) for entry in batch.entries] == [(None, None), ("passphrase", 200_000)]


def test_a_default_present_key_is_for_those_entries_that_get_another() -> None:
    top = {"current": {"key": KEY_TEXT}, "update_key": "always"}
    entries = [{"name": "tank/a", "key": OTHER_KEY_TEXT}, {"name": "tank/b", "properties": {"quota": "1G"}}]
    keyed, other = batch_wanted({**top, "datasets": entries}).entries
    assert (keyed.current, other.current) == (KEY, None)
    assert [entry.current for entry in batch_wanted({**top, "key_file": "/k", "datasets": entries}).entries] == [
        KEY,
        KEY,
    ]


def test_no_datasets_at_all_are_a_fleets_everyday() -> None:
    assert batch_wanted({"datasets": []}).entries == ()


def test_what_an_entry_says_of_its_key_outweighs_the_defaults() -> None:
    worded, keyed, volume, child = batch_wanted(
        {
            "keyformat": "raw",
            "encryption": "off",
            "type": "filesystem",
            "datasets": [
                {"name": "tank/a", "passphrase": "correct horse"},
                {"name": "tank/b", "key": KEY_TEXT},
                {"name": "tank/c", "key": KEY_TEXT, "volsize": "1G"},
                {"name": "tank/d", "state": "inherited"},
            ],
        }
    ).entries
    assert (worded.new_keyformat, worded.is_plain) == ("passphrase", False)
    assert (keyed.new_keyformat, keyed.is_plain, keyed.is_volume) == ("raw", False, False)
    assert volume.is_volume
    assert not child.is_plain
