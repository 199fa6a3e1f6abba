# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning to unlock and lock."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._choice import Choice
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._offers import offers_from
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Observed, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import UnlockWanted

from .trees import KEY, KEY_TEXT, OTHER_KEY, PASSPHRASE, dataset, inheriting, observed, root


def wanted(
    *names: str,
    recursive: bool = False,
    keys: dict[str, str] | None = None,
    state: t.Literal["unlocked", "locked"] = "unlocked",
    mount: bool = True,
    verify_key: bool = True,
) -> UnlockWanted:
    entries = [{"name": name, "key": text} for name, text in (keys or {}).items()]
    return UnlockWanted(Choice(names, recursive), offers_from(entries, {}), state, mount, verify_key)


def steps(plan: Plan) -> list[str]:
    every = [step for group in plan.groups for step in (*group.unmounts, *group.steps, *group.mounts)]
    return [f"{step.action} {step.dataset}" for step in every]


def refusal(want: UnlockWanted, seen: Observed) -> str:
    with pytest.raises(Refused) as refused:
        plan_unlock(want, seen)
    return str(refused.value)


# -- unlocking


def test_a_root_is_loaded_and_its_filesystems_are_mounted_parents_first() -> None:
    seen = observed(
        root("tank/a", locked=True),
        inheriting("tank/a/b", "tank/a", locked=True),
        inheriting("tank/a/noauto", "tank/a", locked=True, canmount="noauto"),
        opens={"tank/a": KEY},
    )
    assert steps(plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)) == [
        "load_key tank/a",
        "mount tank/a",
        "mount tank/a/b",
    ]


def test_an_unlocked_and_mounted_root_is_left_alone() -> None:
    plan = plan_unlock(wanted("tank/a"), observed(root("tank/a")))
    assert steps(plan) == []
    assert plan.already == ("tank/a",)


def test_an_unlocked_root_that_is_not_mounted_is_mounted() -> None:
    plan = plan_unlock(wanted("tank/a"), observed(root("tank/a", mounted="no")))
    assert steps(plan) == ["mount tank/a"]


def test_mount_false_only_loads() -> None:
    seen = observed(root("tank/a", locked=True), opens={"tank/a": KEY})
    assert steps(plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}, mount=False), seen)) == ["load_key tank/a"]


@pytest.mark.parametrize("properties", [{"type": "volume", "canmount": "-"}, {"canmount": "off"}])
def test_a_root_with_nothing_to_mount_is_proven_by_reading_it(properties: dict[str, str]) -> None:
    seen = observed(root("tank/a", locked=True, **properties), opens={"tank/a": KEY})
    plan = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)
    assert steps(plan) == ["load_key tank/a", "prove_readable tank/a"]


def test_recursion_takes_roots_below_parents_first_and_makes_them_depend() -> None:
    seen = observed(
        root("tank/a/b", locked=True),
        root("tank/a", locked=True),
        opens={"tank/a": KEY, "tank/a/b": KEY},
    )
    plan = plan_unlock(wanted("tank", recursive=True, keys={"tank/a": KEY_TEXT, "tank/a/b": KEY_TEXT}), seen)
    assert [group.name for group in plan.groups] == ["tank/a", "tank/a/b"]
    assert plan.groups[1].after == ("tank/a",)


def test_a_wrong_key_is_the_failure_of_its_root_alone() -> None:
    seen = observed(
        root("tank/a", locked=True), root("tank/b", locked=True), opens={"tank/b": KEY}, wrong={"tank/a": KEY}
    )
    plan = plan_unlock(wanted("tank", recursive=True, keys={"tank/a": KEY_TEXT, "tank/b": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].reason == "wrong_key"
    assert steps(plan) == ["load_key tank/b", "mount tank/b"]


def test_no_key_is_a_failure_that_says_where_to_give_one() -> None:
    plan = plan_unlock(wanted("tank/a"), observed(root("tank/a", locked=True, keylocation="file:///k")))
    assert plan.failures["tank/a"].reason == "no_key"
    assert "key file /k is not there" in plan.failures["tank/a"].msg
    assert "secrets or in a manifest" in plan.failures["tank/a"].msg


@pytest.mark.parametrize(
    ("keyformat", "secret", "manifest", "remark"),
    [
        ("hex", {"passphrase": "correct horse"}, None, "It was given a passphrase; keyformat hex wants 64 hexadecimal"),
        ("passphrase", {"key": KEY_TEXT}, None, "It was given a key of 32 bytes; keyformat passphrase wants a pass"),
        (
            "raw",
            None,
            f"{KEY_TEXT}\n",
            "It was given a text that ends with a line feed, and so is no key; keyformat raw wants 64 hexadecimal",
        ),
    ],
)
def test_a_secret_of_another_kind_was_given_and_is_wrong(
    keyformat: str, secret: dict[str, str] | None, manifest: str | None, remark: str
) -> None:
    entries = [] if secret is None else [{"name": "tank/a", **secret}]
    offers = offers_from(entries, {} if manifest is None else {"tank/a": manifest})
    seen = observed(root("tank/a", locked=True, keyformat=keyformat))
    failure = plan_unlock(UnlockWanted(Choice(("tank/a",)), offers), seen).failures["tank/a"]
    assert failure.reason == "wrong_key"
    assert remark in failure.msg


def test_a_passphrase_with_a_line_feed_is_told_from_a_wrong_one() -> None:
    offers = offers_from([{"name": "tank/a", "passphrase": "correct horse\n"}], {})
    key = passphrase("correct horse\n", whose="a test")
    seen = observed(root("tank/a", locked=True, keyformat="passphrase"), wrong={"tank/a": key})
    failure = plan_unlock(UnlockWanted(Choice(("tank/a",)), offers), seen).failures["tank/a"]
    assert failure.reason == "wrong_key"
    assert "ends with a line feed, which none can: in YAML, quote it or use '|-'." in failure.msg


def test_a_root_whose_key_only_zfs_fetches_is_told_from_one_without() -> None:
    seen = observed(root("tank/a", locked=True, keylocation="https://keys/a"))
    failure = plan_unlock(wanted("tank/a"), seen).failures["tank/a"]
    assert failure.reason == "no_key"
    assert "Its keylocation is https://keys/a, which this collection never fetches. Give it in secrets" in failure.msg


def test_what_may_be_moved_aside_and_was_not_able_to_is_not_advised_again() -> None:
    seen = observed(root("tank/a", locked=True), opens={"tank/a": KEY}, occupied={"/tank/a": "is a file. It stays."})
    task = replace(wanted("tank/a", keys={"tank/a": KEY_TEXT}), move_aside=True)
    assert plan_unlock(task, seen).failures["tank/a"].msg.endswith("It stays.")


def test_a_shared_secret_of_another_kind_is_none_for_what_lies_below() -> None:
    offers = offers_from([{"name": "tank/a", "passphrase": "correct horse", "share_with_children": True}], {})
    seen = observed(root("tank/a/b", locked=True))
    failure = plan_unlock(UnlockWanted(Choice(("tank/a/b",)), offers), seen).failures["tank/a/b"]
    assert failure.reason == "no_key"


def test_an_error_other_than_a_wrong_key_is_not_taken_for_one() -> None:
    seen = observed(root("tank/a", locked=True))
    plan = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].reason == "unknown"


def test_a_key_that_could_not_be_tried_beside_a_wrong_one_leaves_open_whether_one_opens() -> None:
    seen = observed(root("tank/a", locked=True), wrong={"tank/a": KEY})
    offers = offers_from([{"name": "tank/a", "key": KEY_TEXT}], {"tank/a": OTHER_KEY})
    plan = plan_unlock(UnlockWanted(Choice(("tank/a",)), offers), seen)
    assert plan.failures["tank/a"].reason == "unknown"


def test_an_occupied_mountpoint_fails_before_the_key_is_loaded() -> None:
    seen = observed(root("tank/a", locked=True), opens={"tank/a": KEY}, occupied={"/tank/a": "is not empty."})
    plan = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].reason == "mountpoint_occupied"
    assert steps(plan) == []


def test_a_locked_ancestor_outside_the_request_refuses_the_whole_call() -> None:
    seen = observed(root("tank/a", locked=True), root("tank/a/b", locked=True), opens={"tank/a/b": KEY})
    sentence = refusal(wanted("tank/a/b", keys={"tank/a/b": KEY_TEXT}), seen)
    assert sentence == ("tank/a/b lies below tank/a, which is locked. Unlock tank/a in the same task or before.")


def test_what_lies_below_a_failed_root_is_skipped_and_named_there_whatever_its_own_keys() -> None:
    seen = observed(
        root("tank/a", locked=True),
        root("tank/a/b", locked=True),
        root("tank/a/b/c", locked=True),
        root("tank/d", locked=True),
        opens={"tank/a/b/c": KEY, "tank/d": KEY},
        wrong={"tank/a": KEY},
    )
    keys = dict.fromkeys(("tank/a", "tank/a/b/c", "tank/d"), KEY_TEXT)
    plan = plan_unlock(wanted("tank", recursive=True, keys=keys), seen)
    assert {name: failure.skipped for name, failure in plan.failures.items()} == {"tank/a": ("tank/a/b", "tank/a/b/c")}
    assert steps(plan) == ["load_key tank/d", "mount tank/d"]


def test_an_unlocked_root_below_a_failed_one_is_skipped_only_if_something_is_due() -> None:
    seen = observed(
        root("tank/a", locked=True), root("tank/a/done"), root("tank/a/due", mounted="no"), wrong={"tank/a": KEY}
    )
    plan = plan_unlock(wanted("tank", recursive=True, keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].skipped == ("tank/a/due",)


def test_a_root_whose_child_has_an_occupied_place_fails_before_its_key_is_loaded() -> None:
    seen = observed(
        root("tank/a", locked=True),
        inheriting("tank/a/b", "tank/a", locked=True, mountpoint="/srv/b"),
        opens={"tank/a": KEY},
        occupied={"/srv/b": "is a file."},
    )
    plan = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].msg == (
        "tank/a/b would be mounted on /srv/b, which is a file. zfs_unlock puts it elsewhere with move_aside: true."
    )
    assert steps(plan) == []


def test_two_filesystems_are_not_mounted_in_one_place() -> None:
    seen = observed(
        root("tank/a", locked=True, mountpoint="/srv/x"),
        root("tank/b", locked=True, canmount="off"),
        root("tank/b/c", locked=True, mountpoint="/srv/x"),
        opens={"tank/a": KEY, "tank/b": KEY, "tank/b/c": KEY},
    )
    keys = dict.fromkeys(("tank/a", "tank/b", "tank/b/c"), KEY_TEXT)
    plan = plan_unlock(wanted("tank", recursive=True, keys=keys), seen)
    assert set(plan.failures) == {"tank/b/c"}
    assert "tank/b/c would be mounted on /srv/x like tank/a" in plan.failures["tank/b/c"].msg


def test_a_place_that_a_failed_root_leaves_free_is_free() -> None:
    seen = observed(
        root("tank/a", locked=True, mountpoint="/srv/x"),
        root("tank/b", locked=True, mountpoint="/srv/x"),
        opens={"tank/b": KEY},
        wrong={"tank/a": KEY},
    )
    plan = plan_unlock(wanted("tank", recursive=True, keys=dict.fromkeys(("tank/a", "tank/b"), KEY_TEXT)), seen)
    assert steps(plan) == ["load_key tank/b", "mount tank/b"]


def test_only_what_mounts_by_itself_is_mounted() -> None:
    seen = observed(
        root("tank/a", locked=True, mountpoint="none"),
        inheriting("tank/a/none", "tank/a", locked=True, mountpoint="none"),
        inheriting("tank/a/none/own", "tank/a", locked=True, mountpoint="/srv/own"),
        inheriting("tank/a/legacy", "tank/a", locked=True, mountpoint="legacy"),
        inheriting("tank/a/noauto", "tank/a", locked=True, canmount="noauto"),
        inheriting("tank/a/off", "tank/a", locked=True, canmount="off"),
        inheriting("tank/a/off/below", "tank/a", locked=True),
        opens={"tank/a": KEY},
    )
    assert steps(plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)) == [
        "load_key tank/a",
        "mount tank/a/none/own",
        "mount tank/a/off/below",
    ]


def test_the_nodes_of_all_volumes_under_a_key_are_awaited() -> None:
    seen = observed(
        root("tank/a", locked=True),
        inheriting("tank/a/my disk", "tank/a", locked=True, type="volume", canmount="-", mountpoint="-"),
        inheriting("tank/a/hidden", "tank/a", locked=True, type="volume", canmount="-", mountpoint="-", volmode="none"),
        opens={"tank/a": KEY},
    )
    (group,) = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen).groups
    assert [proof.dataset for proof in group.proofs] == ["tank/a/my disk"]
    (group,) = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}, mount=False), seen).groups
    assert group.proofs == ()


def test_a_missing_pool_is_told_and_nothing_is_planned() -> None:
    plan = plan_unlock(wanted("lake/a"), observed())
    assert plan.missing == ("There is no pool lake on this host. Import or create it first.",)
    assert plan.groups == ()


@pytest.mark.parametrize(
    ("name", "recursive", "sentence"),
    [
        ("tank/gone", False, "There is no dataset tank/gone. Correct the name, or create it first."),
        ("tank/plain", False, "tank/plain is not encrypted and has no key."),
        ("tank/a/child", False, "tank/a/child is no encryption root: it inherits the key of tank/a. Name tank/a"),
        ("tank/a/child", True, "tank/a/child is no encryption root: it inherits the key of tank/a. Name tank/a"),
    ],
)
def test_a_name_that_is_no_root_is_refused(name: str, recursive: bool, sentence: str) -> None:
    seen = observed(root("tank/a"), inheriting("tank/a/child", "tank/a"), dataset("tank/plain"))
    assert refusal(wanted(name, recursive=recursive), seen).startswith(sentence)


def test_mounts_go_by_path_and_plain_datasets_below_come_along() -> None:
    seen = observed(
        root("tank/a", locked=True),
        inheriting("tank/a/x", "tank/a", locked=True, mountpoint="/srv/y/x"),
        inheriting("tank/a/y", "tank/a", locked=True, mountpoint="/srv/y"),
        dataset("tank/a/plain", mounted="no"),
        opens={"tank/a": KEY},
    )
    assert steps(plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), seen)) == [
        "load_key tank/a",
        "mount tank/a/y",
        "mount tank/a/x",
        "mount tank/a",
        "mount tank/a/plain",
    ]


def test_nothing_is_mounted_below_a_locked_ancestor() -> None:
    seen = observed(root("tank/a", locked=True), root("tank/a/b", mounted="no"))
    assert "tank/a/b lies below tank/a, which is locked" in refusal(wanted("tank/a/b"), seen)


def test_a_volume_without_a_node_is_taken_at_its_keys_word() -> None:
    volume = root("tank/a", locked=True, type="volume", canmount="-", volmode="none")
    plan = plan_unlock(wanted("tank/a", keys={"tank/a": KEY_TEXT}), observed(volume, opens={"tank/a": KEY}))
    assert steps(plan) == ["load_key tank/a"]


# -- locking


def test_a_tree_is_locked_deepest_first_after_its_keys_were_verified() -> None:
    seen = observed(
        root("tank/a"),
        inheriting("tank/a/x", "tank/a"),
        dataset("tank/a/plain"),
        root("tank/a/b"),
        inheriting("tank/a/b/y", "tank/a/b"),
        opens={"tank/a": KEY, "tank/a/b": KEY},
    )
    keys = {"tank/a": KEY_TEXT, "tank/a/b": KEY_TEXT}
    plan = plan_unlock(wanted("tank/a", recursive=True, state="locked", keys=keys), seen)
    assert steps(plan) == [
        "unmount tank/a/b/y",
        "unmount tank/a/b",
        "unload_key tank/a/b",
        "unmount tank/a/x",
        "unmount tank/a/plain",
        "unmount tank/a",
        "unload_key tank/a",
    ]
    assert plan.groups[1].after == ("tank/a/b",)


def test_a_plain_dataset_with_a_legacy_mount_is_left_alone() -> None:
    seen = observed(root("tank/a"), dataset("tank/a/plain", mountpoint="legacy"), opens={"tank/a": KEY})
    plan = plan_unlock(wanted("tank/a", state="locked", keys={"tank/a": KEY_TEXT}), seen)
    assert steps(plan) == ["unmount tank/a", "unload_key tank/a"]


def test_locking_wants_a_key_that_opens() -> None:
    plan = plan_unlock(wanted("tank/a", state="locked"), observed(root("tank/a")))
    assert plan.failures["tank/a"].reason == "no_key"
    assert "It stays unlocked" in plan.failures["tank/a"].msg
    assert steps(plan) == []


def test_locking_with_a_wrong_key_fails() -> None:
    seen = observed(root("tank/a"), wrong={"tank/a": KEY})
    plan = plan_unlock(wanted("tank/a", state="locked", keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].reason == "wrong_key"


def test_verify_key_false_said_aloud_locks_without_a_key() -> None:
    plan = plan_unlock(wanted("tank/a", state="locked", verify_key=False), observed(root("tank/a")))
    assert steps(plan) == ["unmount tank/a", "unload_key tank/a"]


def test_locking_above_an_unlocked_root_is_refused_without_recursion() -> None:
    sentence = refusal(wanted("tank/a", state="locked"), observed(root("tank/a"), root("tank/a/b")))
    assert sentence == (
        "tank/a cannot be locked alone: tank/a/b below it is unlocked. Lock tank/a/b first, or set recursive: true."
    )


def test_a_root_above_one_that_fails_is_not_locked() -> None:
    seen = observed(root("tank/a"), root("tank/a/b"), opens={"tank/a": KEY})
    plan = plan_unlock(wanted("tank/a", recursive=True, state="locked", keys={"tank/a": KEY_TEXT}), seen)
    assert set(plan.failures) == {"tank/a/b"}
    assert plan.groups[0].after == ("tank/a/b",)


def test_a_mounted_clone_elsewhere_holds_the_key() -> None:
    seen = observed(root("tank/a"), inheriting("tank/clone", "tank/a", origin="tank/a@s"), opens={"tank/a": KEY})
    plan = plan_unlock(wanted("tank/a", state="locked", keys={"tank/a": KEY_TEXT}), seen)
    assert plan.failures["tank/a"].reason == "busy"
    assert "tank/clone" in plan.failures["tank/a"].msg


def test_a_locked_root_is_already_so() -> None:
    plan = plan_unlock(wanted("tank/a", state="locked"), observed(root("tank/a", locked=True)))
    assert plan.already == ("tank/a",)
    assert plan.groups == ()


def test_no_sentence_of_a_failure_holds_a_key() -> None:
    seen = observed(
        root("tank/a", locked=True), root("tank/b", locked=True, keyformat="passphrase"), wrong={"tank/a": OTHER_KEY}
    )
    offers = offers_from(
        [{"name": "tank/a", "key": OTHER_KEY.secret.hex()}, {"name": "tank/b", "passphrase": "correct horse"}], {}
    )
    plan = plan_unlock(UnlockWanted(Choice(("tank",), True), offers), seen)
    texts = " ".join(failure.msg for failure in plan.failures.values())
    assert OTHER_KEY.secret.hex() not in texts
    assert PASSPHRASE.secret.decode() not in texts
