# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning zfs_dataset_key."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Pool
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Observed, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import plan_dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._steps import ChangeKey, CreateDataset, SetProperties

from .trees import (
    KEY,
    KEY_TEXT,
    OTHER_KEY,
    OTHER_KEY_TEXT,
    PASSPHRASE,
    dataset,
    inheriting,
    observed,
    root,
)

Params = dict[str, t.Any]
PLAIN = dataset("tank/plain")
NOW = {"key": KEY_TEXT}


def plan(seen: Observed, **params: t.Any) -> Plan:
    return plan_dataset(batch_wanted(params if "datasets" in params else {"name": "tank/a", **params}), seen)


def steps(planned: Plan) -> list[str]:
    every = [step for group in planned.groups for step in (*group.steps, *group.mounts)]
    return [f"{step.action} {step.dataset}" for step in every]


def refusal(seen: Observed, **params: t.Any) -> str:
    with pytest.raises(Refused) as refused:
        plan(seen, **params)
    return str(refused.value)


def only_creation(planned: Plan) -> CreateDataset:
    (found,) = [step for group in planned.groups for step in group.steps if isinstance(step, CreateDataset)]
    return found


def only_change(planned: Plan) -> ChangeKey:
    (found,) = [step for group in planned.groups for step in group.steps if isinstance(step, ChangeKey)]
    return found


# -- creating


def test_a_new_root_is_created_with_its_key_and_mounted() -> None:
    planned = plan(observed(), key=KEY_TEXT, properties={"compression": "zstd"})
    assert steps(planned) == ["create tank/a", "mount tank/a"]
    creation = only_creation(planned).creation
    assert creation.properties == {"compression": "zstd", "encryption": "aes-256-gcm", "keyformat": "hex"}
    assert (creation.key, creation.keylocation, creation.volume_size) == (KEY, "prompt", None)


def test_a_passphrase_brings_its_iterations() -> None:
    creation = only_creation(plan(observed(), passphrase="correct horse", pbkdf2iters=100_000)).creation
    assert creation.properties["keyformat"] == "passphrase"
    assert creation.properties["pbkdf2iters"] == "100000"
    assert creation.key == PASSPHRASE


def test_a_volume_is_created_and_not_mounted() -> None:
    planned = plan(observed(), key=KEY_TEXT, volsize="1G", sparse=True)
    assert steps(planned) == ["create tank/a"]
    assert (only_creation(planned).creation.volume_size, only_creation(planned).creation.sparse) == (str(2**30), True)


@pytest.mark.parametrize("properties", [{"canmount": "noauto"}, {"canmount": False}, {"mountpoint": "legacy"}])
def test_what_is_not_mounted_by_default_is_not_mounted(properties: Params) -> None:
    assert steps(plan(observed(), key=KEY_TEXT, properties=properties)) == ["create tank/a"]


def test_a_key_file_that_is_there_is_used() -> None:
    creation = only_creation(plan(observed(key_files={"/k": KEY_TEXT.encode()}), key_file="/k")).creation
    assert (creation.key, creation.keylocation) == (KEY, "file:///k")


def test_a_key_is_generated_into_a_file_before_it_is_used() -> None:
    planned = plan(observed(key_files={"/k": None}), key_file="/k", generate_key=True)
    assert steps(planned) == ["generate_key_file tank/a", "create tank/a", "mount tank/a"]
    assert only_creation(planned).key_file == "/k"


def test_a_key_file_that_is_there_is_never_generated_again() -> None:
    planned = plan(observed(key_files={"/k": KEY_TEXT.encode()}), key_file="/k", generate_key=True)
    assert steps(planned) == ["sync_key_file tank/a", "create tank/a", "mount tank/a"]


def test_entries_that_name_one_file_share_the_key_that_is_generated_once() -> None:
    entries = [{"name": name, "key_file": "/k", "generate_key": True} for name in ("tank/a", "tank/b")]
    planned = plan(observed(key_files={"/k": None}), datasets=entries)
    assert steps(planned) == [
        "generate_key_file tank/a",
        "create tank/a",
        "mount tank/a",
        "create tank/b",
        "mount tank/b",
    ]


def test_an_inheriting_child_is_created_without_a_key() -> None:
    planned = plan(observed(root("tank/a")), datasets=[{"name": "tank/a/b", "state": "inherited"}])
    assert only_creation(planned).creation.properties == {}


def test_a_batch_creates_parents_first_and_plans_children_against_them() -> None:
    planned = plan(
        observed(),
        datasets=[{"name": "tank/a/b", "state": "inherited"}, {"name": "tank/a", "key": KEY_TEXT}],
    )
    assert steps(planned) == ["create tank/a", "mount tank/a", "create tank/a/b", "mount tank/a/b"]
    assert planned.groups[1].after == ("tank/a",)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        pytest.param(
            {},
            "tank/a needs a key to become an encryption root. Give key, passphrase, key_file or escrow,",
            id="no key",
        ),
        pytest.param({"keylocation": "file:///k"}, "key_file: /k takes what is in that file.", id="only a location"),
        pytest.param({"key_file": "/k"}, "The key file /k of tank/a is not there.", id="no file"),
        pytest.param({"passphrase": "1234567"}, "passphrase of tank/a has 7 bytes", id="short passphrase"),
        pytest.param({"passphrase": "x" * 513}, "passphrase of tank/a has 513 bytes", id="long passphrase"),
        pytest.param({"passphrase": "12345678\n"}, "holds a line feed", id="newline"),
        pytest.param({"key": "0" * 64}, "key of tank/a is all zeros", id="zeros"),
        pytest.param({"state": "inherited"}, "cannot inherit a key: tank is not encrypted", id="inherit from plain"),
        pytest.param({"key": KEY_TEXT, "type": "volume"}, "is to be a volume and has no volsize", id="no size"),
        pytest.param({"key": KEY_TEXT, "volsize": "huge"}, "volsize 'huge' is no size", id="bad size"),
    ],
)
def test_a_creation_that_makes_no_sense_is_refused(params: Params, sentence: str) -> None:
    assert sentence in refusal(observed(key_files={"/k": None}), **params)


def test_nothing_is_created_below_a_locked_parent() -> None:
    seen = observed(root("tank/a", locked=True))
    sentence = refusal(seen, datasets=[{"name": "tank/a/b", "key": KEY_TEXT}])
    assert sentence == "tank/a/b cannot be created: its parent tank/a is locked. Unlock tank/a first."


def test_nothing_is_created_where_something_else_would_be_hidden() -> None:
    seen = observed(occupied={"/tank/a": "is not empty (it holds 'x'). Move its content away."})
    sentence = refusal(seen, key=KEY_TEXT)
    assert "tank/a would be mounted on /tank/a, which is not empty" in sentence
    assert sentence.endswith("Or set another mountpoint, or canmount: noauto, under properties.")


def test_nothing_is_created_in_a_pool_that_is_read_only() -> None:
    seen = Observed({"tank": Pool("tank", "1", readonly=True)}, observed().tree)
    assert "pool tank is imported read-only" in refusal(seen, key=KEY_TEXT)


def test_only_what_will_be_mounted_minds_an_occupied_place() -> None:
    seen = observed(occupied={"/tank/a": "is not empty."})
    assert steps(plan(seen, key=KEY_TEXT, volsize="1G")) == ["create tank/a"]
    assert steps(plan(seen, key=KEY_TEXT, properties={"canmount": "off"})) == ["create tank/a"]


def test_rules_about_a_parent_wait_until_it_is_there() -> None:
    below = [{"name": "lake/p/c", "state": "inherited"}, {"name": "lake/p/c/d", "state": "inherited"}]
    planned = plan(observed(), datasets=below)
    assert "create lake/p/c" in steps(planned)
    assert planned.missing == ("There is no pool lake on this host. Import or create it first.",)
    gone = plan(observed(), datasets=[{"name": "lake/x", "state": "absent"}])
    assert (gone.groups, gone.missing) == ((), ())


def test_a_missing_parent_and_a_missing_pool_are_told_and_planned_as_if_there() -> None:
    planned = plan(observed(), datasets=[{"name": "tank/x/y", "key": KEY_TEXT}, {"name": "lake/a", "key": KEY_TEXT}])
    assert planned.missing == (
        "There is no pool lake on this host. Import or create it first.",
        "tank/x/y has no parent: there is no dataset tank/x. Create it first.",
    )
    assert "create tank/x/y" in steps(planned)
    assert "create lake/a" in steps(planned)


# -- what is there already


def test_a_root_that_the_key_opens_is_left_alone() -> None:
    planned = plan(observed(root("tank/a"), opens={"tank/a": KEY}), key=KEY_TEXT)
    assert planned.groups == ()
    assert planned.already == ("tank/a",)


def test_defaults_are_not_compared_with_what_is_there() -> None:
    seen = observed(root("tank/a", keyformat="passphrase", encryption="aes-128-ccm"), opens={"tank/a": PASSPHRASE})
    assert steps(plan(seen, passphrase="correct horse")) == []


def test_a_wrong_key_refuses_the_whole_batch_and_says_how_to_change_it() -> None:
    seen = observed(root("tank/a"), wrong={"tank/a": KEY})
    sentence = refusal(seen, datasets=[{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/new", "key": KEY_TEXT}])
    assert "tank/a is an encryption root and the key given does not open it. Give the right key, or set" in sentence
    assert "update_key: always" in sentence


def test_an_unknown_verdict_is_never_taken_for_a_wrong_key() -> None:
    assert "could not be found out" in refusal(observed(root("tank/a")), key=KEY_TEXT, update_key="always")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        pytest.param({"keyformat": "raw"}, "keyformat is hex, asked for is raw", id="keyformat"),
        pytest.param({"encryption": "aes-128-gcm"}, "encryption of tank/a is aes-256-gcm", id="cipher"),
        pytest.param({"type": "volume"}, "tank/a is a filesystem and cannot become anything else", id="type"),
        pytest.param({"properties": {"utf8only": True}}, "utf8only of tank/a is off and cannot be changed", id="utf8"),
    ],
)
def test_what_cannot_be_changed_is_refused(params: Params, sentence: str) -> None:
    seen = observed(root("tank/a", utf8only="off"), opens={"tank/a": KEY})
    assert sentence in refusal(seen, key=KEY_TEXT, **params)


def test_on_is_the_same_cipher_as_aes_256_gcm() -> None:
    assert steps(plan(observed(root("tank/a"), opens={"tank/a": KEY}), key=KEY_TEXT, encryption="on")) == []


def test_a_plain_dataset_is_not_encrypted_afterwards() -> None:
    assert "OpenZFS encrypts only at creation" in refusal(observed(dataset("tank/a")), key=KEY_TEXT)
    assert "OpenZFS encrypts only at creation" in refusal(observed(dataset("tank/a")), state="inherited")
    assert "encryption cannot be switched off" in refusal(observed(root("tank/a")), encryption="off")


def test_properties_are_set_where_they_differ_as_openzfs_understands_them() -> None:
    seen = observed(root("tank/a", recordsize="1048576", compression="lz4"), opens={"tank/a": KEY})
    planned = plan(seen, key=KEY_TEXT, properties={"recordsize": "1M", "compression": "zstd"})
    (step,) = planned.groups[0].steps
    assert isinstance(step, SetProperties)
    assert (step.before, step.after) == ({"compression": "lz4"}, {"compression": "zstd"})


def test_a_volume_grows_and_never_shrinks() -> None:
    volume = root("tank/a", type="volume", volsize=str(2**30), volblocksize="16384")
    seen = observed(volume, opens={"tank/a": KEY})
    assert steps(plan(seen, key=KEY_TEXT, volsize="1G")) == []
    assert plan(seen, key=KEY_TEXT, volsize="2G").groups[0].steps[0].after == {"volsize": str(2**31)}
    assert "is not reduced to" in refusal(seen, key=KEY_TEXT, volsize="512M")


def test_a_key_location_is_set_without_touching_the_key() -> None:
    seen = observed(root("tank/a"), opens={"tank/a": KEY}, key_files={"/k": KEY_TEXT.encode()})
    planned = plan(seen, key_file="/k")
    assert steps(planned) == ["sync_key_file tank/a", "set_properties tank/a"]
    assert planned.groups[0].steps[1].after == {"keylocation": "file:///k"}


def test_a_rotated_key_file_satisfies_the_one_that_is_named() -> None:
    seen = observed(
        root("tank/a", keylocation="file:///etc/a.3f.key"),
        opens={"tank/a": OTHER_KEY},
        key_files={"/etc/a.key": KEY_TEXT.encode(), "/etc/a.3f.key": OTHER_KEY_TEXT.encode()},
    )
    assert steps(plan(seen, key_file="/etc/a.key")) == []


def test_a_root_without_its_key_file_never_gets_a_second_key() -> None:
    sentence = refusal(observed(root("tank/a"), key_files={"/k": None}), key_file="/k", generate_key=True)
    assert "a second key is never generated" in sentence


# -- changing keys


def change(seen: Observed, **params: t.Any) -> Plan:
    return plan(seen, **{"key": OTHER_KEY_TEXT, "current": NOW, "update_key": "always", **params})


def test_a_key_is_changed_after_the_present_one_was_verified() -> None:
    step = only_change(change(observed(root("tank/a"), wrong={"tank/a": OTHER_KEY}, opens={"tank/a": KEY})))
    assert (step.key, step.replaced, step.keyformat, step.keylocation) == (OTHER_KEY, KEY, "hex", "prompt")


def test_a_locked_root_is_unlocked_for_the_change_its_members_read_and_locked_again() -> None:
    seen = observed(
        root("tank/a", locked=True),
        inheriting("tank/a/b", "tank/a", locked=True),
        wrong={"tank/a": OTHER_KEY},
        opens={"tank/a": KEY},
    )
    assert steps(change(seen)) == [
        "load_key tank/a",
        "prove_readable tank/a",
        "prove_readable tank/a/b",
        "change_key tank/a",
        "unload_key tank/a",
    ]


def test_a_key_that_verifies_is_not_changed_again() -> None:
    assert steps(change(observed(root("tank/a"), opens={"tank/a": OTHER_KEY}))) == []


def test_a_change_without_the_present_key_is_refused() -> None:
    seen = observed(root("tank/a"), wrong={"tank/a": OTHER_KEY})
    assert "the present key was not given" in refusal(seen, key=OTHER_KEY_TEXT, update_key="always")


def test_a_change_with_a_wrong_present_key_is_refused() -> None:
    seen = observed(root("tank/a"), wrong={"tank/a": OTHER_KEY})
    with pytest.raises(Refused, match="the present key does not open it"):
        change(seen)


def test_more_iterations_for_the_same_passphrase_are_a_change_too() -> None:
    seen = observed(root("tank/a", keyformat="passphrase"), opens={"tank/a": PASSPHRASE})
    wish: Params = {"passphrase": "correct horse", "pbkdf2iters": 200_000}
    sentence = refusal(seen, **wish)
    assert "pbkdf2iters is 100000, asked for is 200000. Leave that out, or set update_key: always" in sentence
    assert only_change(plan(seen, **wish, update_key="always")).iterations == 200_000


def test_a_passphrase_can_replace_a_key() -> None:
    seen = observed(root("tank/a"), wrong={"tank/a": PASSPHRASE}, opens={"tank/a": KEY})
    planned = plan(seen, passphrase="correct horse", current=NOW, update_key="always", pbkdf2iters=100_000)
    step = only_change(planned)
    assert (step.keyformat, step.iterations, step.key) == ("passphrase", 100_000, PASSPHRASE)


def test_a_change_keeps_the_format_and_rounds_that_the_task_leaves_open() -> None:
    raw = observed(root("tank/a", keyformat="raw"), wrong={"tank/a": OTHER_KEY}, opens={"tank/a": KEY})
    assert only_change(change(raw)).keyformat == "raw"
    words = passphrase("battery staple", whose="a test")
    worded = observed(root("tank/a", keyformat="passphrase"), wrong={"tank/a": words}, opens={"tank/a": PASSPHRASE})
    now = {"passphrase": "correct horse"}
    planned = plan(worded, passphrase="battery staple", current=now, update_key="always")
    assert only_change(planned).iterations == 100_000


def test_a_new_key_file_is_read_in_the_format_of_the_root() -> None:
    new = passphrase("battery staple", whose="a test")
    seen = observed(
        root("tank/a", keyformat="passphrase"),
        wrong={"tank/a": new},
        opens={"tank/a": PASSPHRASE},
        key_files={"/k": b"battery staple\n"},
    )
    planned = plan(seen, key_file="/k", current={"passphrase": "correct horse"}, update_key="always")
    assert (only_change(planned).key, only_change(planned).keylocation) == (new, "file:///k")


def test_the_location_goes_with_the_key_also_when_the_root_is_locked() -> None:
    seen = observed(
        root("tank/a", locked=True),
        wrong={"tank/a": OTHER_KEY},
        opens={"tank/a": KEY},
        key_files={"/k": OTHER_KEY_TEXT.encode()},
    )
    planned = plan(seen, key_file="/k", current=NOW, update_key="always")
    assert steps(planned)[-2:] == ["change_key tank/a", "unload_key tank/a"]
    assert only_change(planned).keylocation == "file:///k"


@pytest.mark.parametrize(
    "receiving",
    [root("tank/a", receive_resume_token="1-x"), inheriting("tank/a", "tank/r", receive_resume_token="1-x")],
)
def test_no_key_is_touched_while_a_replica_is_received(receiving: Dataset) -> None:
    seen = observed(root("tank/r"), receiving, wrong={"tank/a": OTHER_KEY}, opens={"tank/a": KEY})
    with pytest.raises(Refused, match="still receives a replica"):
        change(seen)


@pytest.mark.parametrize("bad", ["0" * 64])
def test_a_key_that_must_not_be_set_is_refused_for_a_change(bad: str) -> None:
    seen = observed(root("tank/a"), opens={"tank/a": KEY}, wrong={"tank/a": Key("key", bytes(32))})
    with pytest.raises(Refused, match="all zeros"):
        change(seen, key=bad)


def test_an_inheriting_dataset_becomes_a_root_of_its_own() -> None:
    seen = observed(root("tank/r"), inheriting("tank/a", "tank/r"))
    assert steps(plan(seen, key=OTHER_KEY_TEXT)) == ["change_key tank/a"]


def test_an_inheriting_dataset_gets_no_key_while_locked() -> None:
    seen = observed(root("tank/r", locked=True), inheriting("tank/a", "tank/r", locked=True))
    assert "while it is locked. Unlock tank/r first" in refusal(seen, key=KEY_TEXT)


def test_a_clone_gets_no_key_of_its_own() -> None:
    seen = observed(root("tank/r"), inheriting("tank/a", "tank/r", origin="tank/r@s"))
    assert "tank/a is a clone" in refusal(seen, key=KEY_TEXT)


@pytest.mark.parametrize(
    "replica",
    [
        pytest.param(
            inheriting("tank/a/r", "tank/a", keyformat="passphrase", pbkdf2salt="77", mounted="no"), id="another salt"
        ),
        pytest.param(inheriting("tank/a/r", "tank/a", receive_resume_token="1-x"), id="receiving"),
    ],
)
def test_no_key_is_changed_above_a_replica_that_another_key_wraps(replica: Dataset) -> None:
    keyformat = replica.keyformat
    seen = observed(root("tank/a", keyformat=keyformat), replica, wrong={"tank/a": PASSPHRASE}, opens={"tank/a": KEY})
    sentence = refusal(seen, passphrase="correct horse", current=NOW, update_key="always")
    assert "The key of tank/a is not touched: tank/a/r" in sentence


def test_no_key_is_changed_above_what_cannot_be_read() -> None:
    seen = observed(
        root("tank/a"),
        inheriting("tank/a/r", "tank/a", mounted="no"),
        wrong={"tank/a": OTHER_KEY},
        opens={"tank/a": KEY},
    )
    broken = replace(seen, unreadable={"tank/a/r": "permission denied"})
    assert "would crash the pool" in refusal(broken, key=OTHER_KEY_TEXT, current=NOW, update_key="always")
    assert only_change(change(seen)).key == OTHER_KEY


def test_a_key_file_inside_what_it_opens_is_refused() -> None:
    files: dict[str, bytes | None] = {"/tank/a/k": KEY_TEXT.encode()}
    assert "lies inside tank/a" in refusal(observed(key_files=files), key_file="/tank/a/k")
    there = observed(root("tank/a"), opens={"tank/a": KEY}, key_files=files)
    assert "lies inside tank/a" in refusal(there, key_file="/tank/a/k")


def test_a_key_file_inside_a_member_is_refused_and_an_unmounted_place_is_not() -> None:
    files: dict[str, bytes | None] = {"/srv/keys/k": KEY_TEXT.encode(), "/var/lib/k": KEY_TEXT.encode()}
    members = (
        root("tank/a", mountpoint="/var", canmount="off", mounted="no"),
        inheriting("tank/a/keys", "tank/a", mountpoint="/srv/keys"),
    )
    seen = observed(*members, opens={"tank/a": KEY}, key_files=files)
    assert "lies inside tank/a/keys" in refusal(seen, key_file="/srv/keys/k")
    assert plan(seen, key_file="/var/lib/k").groups


def test_a_location_that_holds_another_key_is_refused() -> None:
    files: dict[str, bytes | None] = {"/k": OTHER_KEY_TEXT.encode(), "/mine": KEY_TEXT.encode()}
    there = observed(root("tank/a"), opens={"tank/a": KEY}, key_files=files)
    for seen in (observed(key_files=files), there):
        for key in ({"key": KEY_TEXT}, {"key_file": "/mine"}):
            sentence = refusal(seen, **key, keylocation="file:///k")
            assert "holds something else than the key given" in sentence


def test_a_batch_may_change_a_root_and_free_what_inherits_from_it() -> None:
    seen = observed(
        root("tank/a", keyformat="passphrase"),
        inheriting("tank/a/b", "tank/a", keyformat="passphrase"),
        inheriting("tank/a/b/c", "tank/a", keyformat="passphrase"),
        opens={"tank/a": PASSPHRASE},
        wrong={"tank/a": KEY},
    )
    entries: list[Params] = [
        {"name": "tank/a", "key": KEY_TEXT, "current": {"passphrase": "correct horse"}, "update_key": "always"},
        {"name": "tank/a/b", "key": OTHER_KEY_TEXT},
        {"name": "tank/a/b/c", "key": KEY_TEXT},
    ]
    planned = plan(seen, datasets=entries)
    assert steps(planned) == ["change_key tank/a", "change_key tank/a/b", "change_key tank/a/b/c"]
    last = planned.groups[-1].steps[-1]
    assert isinstance(last, ChangeKey)
    assert last.old.encryption_root == "tank/a/b"


def test_a_batch_may_let_a_root_inherit_and_free_what_inherited_from_it() -> None:
    seen = observed(root("tank/a"), root("tank/a/b"), inheriting("tank/a/b/c", "tank/a/b"))
    entries: list[Params] = [{"name": "tank/a/b", "state": "inherited"}, {"name": "tank/a/b/c", "key": KEY_TEXT}]
    assert steps(plan(seen, datasets=entries)) == ["inherit_key tank/a/b", "change_key tank/a/b/c"]


def test_an_occupied_new_mountpoint_of_an_existing_dataset_is_refused() -> None:
    seen = observed(root("tank/a"), opens={"tank/a": KEY}, occupied={"/srv": "is not empty."})
    assert "would be mounted on /srv" in refusal(seen, key=KEY_TEXT, properties={"mountpoint": "/srv"})
    assert plan(seen, key=KEY_TEXT, properties={"mountpoint": "/srv", "canmount": "noauto"}).groups


def test_an_address_is_not_kept_for_a_key_that_it_does_not_serve() -> None:
    seen = observed(root("tank/a", keylocation="https://keys/a"), wrong={"tank/a": OTHER_KEY}, opens={"tank/a": KEY})
    assert only_change(change(seen)).keylocation == "prompt"


def test_a_format_asked_for_without_a_key_is_refused_where_it_differs() -> None:
    assert "keyformat is hex, asked for is raw" in refusal(observed(root("tank/a")), keyformat="raw")


ROTATED = root("tank/a", keyformat="passphrase", keylocation="file:///etc/a.3f.key")
BOTH_FILES: dict[str, bytes | None] = {"/etc/a.key": b"battery staple", "/etc/a.3f.key": b"correct horse"}


def test_a_rotated_file_is_never_turned_back() -> None:
    opened = observed(ROTATED, opens={"tank/a": PASSPHRASE}, key_files=BOTH_FILES)
    assert steps(plan(opened, key_file="/etc/a.key", keylocation="prompt")) == []
    more = only_change(plan(opened, key_file="/etc/a.key", pbkdf2iters=200_000, update_key="always"))
    assert (more.key, more.keylocation) == (PASSPHRASE, "file:///etc/a.3f.key")
    closed = observed(ROTATED, wrong={"tank/a": PASSPHRASE}, key_files=BOTH_FILES)
    now = {"passphrase": "something else"}
    sentence = refusal(closed, key_file="/etc/a.key", current=now, update_key="always")
    assert "which a rotation put beside /etc/a.key, but the key in it does not open it" in sentence


# -- inheriting


def test_a_root_gives_up_its_key_for_its_parents() -> None:
    seen = observed(root("tank/r"), root("tank/r/a"))
    planned = plan(seen, datasets=[{"name": "tank/r/a", "state": "inherited"}])
    assert steps(planned) == ["inherit_key tank/r/a"]


def test_what_inherits_already_is_left_alone() -> None:
    seen = observed(root("tank/r"), inheriting("tank/r/a", "tank/r"))
    assert steps(plan(seen, datasets=[{"name": "tank/r/a", "state": "inherited"}])) == []


@pytest.mark.parametrize(
    ("above", "below", "sentence"),
    [
        pytest.param(dataset("tank/r"), root("tank/r/a"), "tank/r is not encrypted", id="plain parent"),
        pytest.param(root("tank/r", locked=True), root("tank/r/a"), "while tank/r is locked", id="locked parent"),
        pytest.param(root("tank/r"), root("tank/r/a", locked=True), "while tank/r/a is locked", id="locked root"),
        pytest.param(root("tank/r"), root("tank/r/a", origin="tank@s"), "is a clone", id="clone"),
        pytest.param(
            root("tank/r"), root("tank/r/a", receive_resume_token="1-x"), "still receives a replica", id="receiving"
        ),
    ],
)
def test_a_root_that_cannot_inherit_is_refused(above: t.Any, below: t.Any, sentence: str) -> None:
    seen = observed(above, below)
    assert sentence in refusal(seen, datasets=[{"name": "tank/r/a", "state": "inherited"}])


def test_a_pool_s_root_dataset_has_nothing_to_inherit() -> None:
    seen = observed(root("tank"))
    assert "nothing it could inherit" in refusal(seen, datasets=[{"name": "tank", "state": "inherited"}])


# -- TrueNAS's hierarchy

WORDS = root("tank/w", keyformat="passphrase")
KEYED_BELOW = root("tank/w/k")


@pytest.mark.parametrize(
    ("seen", "entry", "sentence"),
    [
        pytest.param(
            observed(WORDS), {"name": "tank/w/a", "key": KEY_TEXT}, "below tank/w, which has a passphrase", id="create"
        ),
        pytest.param(
            observed(WORDS, inheriting("tank/w/a", "tank/w", keyformat="passphrase")),
            {"name": "tank/w/a", "key": KEY_TEXT},
            "below tank/w, which has a passphrase",
            id="convert",
        ),
        pytest.param(
            observed(root("tank/r"), root("tank/r/k"), opens={"tank/r": KEY}, wrong={"tank/r": PASSPHRASE}),
            {"name": "tank/r", "passphrase": "correct horse", "current": NOW, "update_key": "always"},
            "a passphrase above tank/r/k",
            id="change",
        ),
        pytest.param(observed(WORDS), {"name": "tank/w/a", "encryption": "off"}, "plain below tank/w", id="plain"),
        pytest.param(
            observed(root("tank/r"), dataset("tank/r/p")),
            {"name": "tank/r/p/k", "key": KEY_TEXT},
            "below tank/r/p, which is plain and lies below tank/r, which is encrypted",
            id="below plain",
        ),
        pytest.param(
            observed(WORDS, root("tank/w/a"), root("tank/w/a/k")),
            {"name": "tank/w/a", "state": "inherited"},
            "would inherit the passphrase of tank/w above tank/w/a/k",
            id="inherit",
        ),
    ],
)
def test_truenas_rules_refuse_and_openzfs_allows(seen: Observed, entry: Params, sentence: str) -> None:
    assert sentence in refusal(seen, datasets=[entry])
    assert plan(seen, datasets=[entry], hierarchy="openzfs").groups


def test_what_lies_below_a_plain_dataset_already_keeps_its_place() -> None:
    there = (root("tank/r"), dataset("tank/r/p"), root("tank/r/p/k"))
    seen = observed(*there, opens={"tank/r/p/k": KEY}, wrong={"tank/r/p/k": OTHER_KEY})
    change = {"name": "tank/r/p/k", "key": OTHER_KEY_TEXT, "current": NOW, "update_key": "always"}
    assert plan(seen, datasets=[change]).groups


# -- destroying


def test_nothing_is_destroyed_unless_it_is_said_aloud() -> None:
    assert "Set force_destroy: true" in refusal(observed(root("tank/a")), state="absent")
    assert steps(plan(observed(root("tank/a")), state="absent", force_destroy=True)) == ["destroy tank/a"]
    assert steps(plan(observed(), state="absent")) == []


def test_nothing_is_destroyed_recursively() -> None:
    seen = observed(root("tank/a"), inheriting("tank/a/b", "tank/a"))
    assert "tank/a/b lies below it" in refusal(seen, state="absent", force_destroy=True)
    both = [{"name": "tank/a", "state": "absent"}, {"name": "tank/a/b", "state": "absent"}]
    assert steps(plan(seen, datasets=both, force_destroy=True)) == ["destroy tank/a/b", "destroy tank/a"]


def test_a_pool_s_root_dataset_is_not_destroyed() -> None:
    sentence = refusal(observed(), datasets=[{"name": "tank", "state": "absent", "force_destroy": True}])
    assert "goes only with its pool" in sentence
