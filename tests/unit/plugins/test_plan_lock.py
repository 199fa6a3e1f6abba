# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning to lock safely: what the system stands on, what is mounted by hand, mountpoints that are protected."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import foresee
from ansible_collections.zfsfleet.encryption.plugins.module_utils._choice import Choice
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Place
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mount_steps import Unmount
from ansible_collections.zfsfleet.encryption.plugins.module_utils._offers import offers_from
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Observed, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import UnlockWanted

from .trees import KEY, KEY_TEXT, dataset, inheriting, observed, root

BARE, MOUNTED, PROTECTED = Place("bare"), Place("mounted"), Place("protected")


def plan(*datasets: Dataset, places: dict[str, Place] | None = None, **options: t.Any) -> Plan:
    return plan_unlock(wanted(**options), replace(observed(*datasets), places=places or {}))


def wanted(names: tuple[str, ...] = ("tank",), **options: t.Any) -> UnlockWanted:
    given = {"verify_key": False, "protect_mountpoint": True, **options}
    return UnlockWanted(Choice(names, recursive=True), offers_from([], {}), "locked", **given)


def steps(planned: Plan) -> list[str]:
    every = [step for group in planned.groups for step in (*group.unmounts, *group.steps)]
    return [f"{step.action} {step.dataset}" for step in every]


# -- what the running system stands on


@pytest.mark.parametrize(
    ("what", "on"),
    [("tank/a", "the root itself"), ("tank/a/child", "a child"), ("tank/a/plain", "below"), ("tank/clone", "a clone")],
    ids=["root", "member", "plain", "clone"],
)
def test_what_the_system_stands_on_is_not_locked(what: str, on: str) -> None:
    seen: Observed = replace(
        observed(
            root("tank/a"),
            inheriting("tank/a/child", "tank/a"),
            dataset("tank/a/plain"),
            inheriting("tank/clone", "tank/a", origin="tank/a@s", mounted="no"),
        ),
        foundations={what: ("/", "/var")},
    )
    with pytest.raises(Refused) as refused:
        plan_unlock(wanted(), seen)
    assert str(refused.value) == (
        f"tank/a is not locked: the running system stands on {what} (/, /var). Leave it out; "
        "a rescue system can lock it."
    )


def test_what_the_system_stands_on_besides_is_no_obstacle() -> None:
    seen = replace(observed(root("tank/a"), root("tank/b")), foundations={"tank/b": ("/",), "rpool": ("/boot",)})
    assert steps(plan_unlock(wanted(("tank/a",)), seen)) == ["unmount tank/a", "unload_key tank/a"]


# -- what is mounted by hand, and force


def test_a_legacy_mount_keeps_its_root_unlocked() -> None:
    planned = plan(root("tank/a"), inheriting("tank/a/old", "tank/a", mountpoint="legacy"))
    assert planned.failures["tank/a"].reason == "busy"
    assert "tank/a/old is mounted by hand (mountpoint legacy)" in planned.failures["tank/a"].msg
    assert "force_unmount: true" in planned.failures["tank/a"].msg
    assert steps(planned) == []


def test_force_unmounts_everything_by_force_legacy_mounts_too() -> None:
    planned = plan(root("tank/a"), inheriting("tank/a/old", "tank/a", mountpoint="legacy"), force_unmount=True)
    unmounts = [step for group in planned.groups for step in group.unmounts]
    assert {step.dataset for step in unmounts} == {"tank/a", "tank/a/old"}
    assert all(isinstance(step, Unmount) and step.force for step in unmounts)


def test_force_does_not_reach_a_clone_elsewhere_that_nobody_named() -> None:
    clone = inheriting("tank/clone", "tank/a", origin="tank/a@s")
    planned = plan(root("tank/a"), clone, names=("tank/a",), force_unmount=True)
    assert planned.failures["tank/a"].reason == "busy"
    assert "tank/clone" in planned.failures["tank/a"].msg


# -- clones below that follow a root elsewhere


def with_clone(**clone: str) -> list[Dataset]:
    origin: dict[str, t.Any] = {"origin": "tank/a@s", **clone}
    return [root("tank/a"), root("tank/r"), inheriting("tank/r/cl", "tank/a", **origin)]


def test_a_clone_below_is_unmounted_with_the_tree_and_its_root_stays_unlocked() -> None:
    datasets = [*with_clone(), inheriting("tank/r/cl/of_a", "tank/a"), inheriting("tank/r/of_r", "tank/r")]
    planned = plan(*datasets, names=("tank/r",))
    expected = [f"unmount {each}" for each in ("tank/r/of_r", "tank/r/cl/of_a", "tank/r/cl", "tank/r")]
    assert steps(planned) == [*expected, "unload_key tank/r"]


def test_a_clone_below_is_unmounted_with_its_own_root_where_that_is_locked_too() -> None:
    planned = plan(*with_clone())
    assert [(group.name, [step.dataset for step in group.unmounts]) for group in planned.groups] == [
        ("tank/a", ["tank/r/cl", "tank/a"]),
        ("tank/r", ["tank/r"]),
    ]


@pytest.mark.parametrize("clone", [{"mounted": "no"}, {"mountpoint": "/srv"}], ids=["not mounted", "elsewhere"])
def test_a_clone_below_that_is_mounted_elsewhere_or_not_at_all_is_left_alone(clone: dict[str, str]) -> None:
    assert steps(plan(*with_clone(**clone), names=("tank/r",))) == ["unmount tank/r", "unload_key tank/r"]


def test_a_clone_below_that_the_system_stands_on_or_no_key_opens_keeps_the_tree_unlocked() -> None:
    seen = replace(observed(*with_clone()), foundations={"tank/r/cl": ("/boot",)})
    with pytest.raises(Refused, match="tank/r is not locked: the running system stands on tank/r/cl"):
        plan_unlock(wanted(("tank/r",)), seen)
    offers = offers_from([{"name": "tank/r", "key": KEY_TEXT}], {})
    seen = observed(*with_clone(keyformat="passphrase"), opens={"tank/r": KEY})
    planned = plan_unlock(replace(wanted(("tank/r",), verify_key=True), offers=offers), seen)
    assert "Another key than that of tank/a wraps tank/r/cl" in planned.failures["tank/r"].msg


# -- what is mounted inside of another root's filesystem


def order(planned: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(group.name, group.after) for group in planned.groups]


def test_what_is_mounted_inside_of_another_roots_filesystem_is_locked_before_it() -> None:
    planned = plan(
        root("tank/a", mountpoint="/lib/x/a"), root("tank/r", mountpoint="/srv"), root("tank/x", mountpoint="/srv/x")
    )
    assert order(planned) == [("tank/x", ()), ("tank/r", ("tank/x",)), ("tank/a", ())]
    planned = plan(root("tank/r", mountpoint="/srv/x"), root("tank/x", mountpoint="/srv"))
    assert order(planned) == [("tank/r", ()), ("tank/x", ("tank/r",))]


def test_what_holds_a_filesystem_that_cannot_be_locked_is_skipped_and_check_mode_foretells_it() -> None:
    inside = inheriting("tank/x/child", "tank/x", mountpoint="/srv/deep/child")
    seen = observed(root("tank/r", mountpoint="/srv"), root("tank/x"), inside, opens={"tank/r": KEY})
    offers = offers_from([{"name": "tank/r", "key": KEY_TEXT}], {})
    planned = plan_unlock(replace(wanted(verify_key=True), offers=offers), seen)
    assert planned.failures["tank/x"].reason == "no_key"
    outcome = foresee(planned)
    assert (outcome.failures["tank/x"].skipped, outcome.done) == (("tank/r",), [])


def test_where_places_and_names_disagree_the_order_of_names_holds() -> None:
    planned = plan(root("tank/a", mountpoint="/srv/a"), root("tank/a/b", mountpoint="/srv"))
    assert order(planned) == [("tank/a/b", ()), ("tank/a", ("tank/a/b",))]


def test_roots_that_lie_inside_of_each_other_are_locked_in_some_order() -> None:
    planned = plan(
        root("tank/a"),
        inheriting("tank/a/of_b", "tank/b", origin="tank/b@s"),
        root("tank/b"),
        inheriting("tank/b/of_a", "tank/a", origin="tank/a@s"),
    )
    assert order(planned) == [("tank/b", ()), ("tank/a", ("tank/b",))]


# -- protection


def test_a_mountpoint_is_protected_once_it_is_bare_and_before_the_key_goes() -> None:
    planned = plan(root("tank/a"), places={"/tank/a": MOUNTED})
    assert steps(planned) == ["unmount tank/a", "protect_mountpoint tank/a", "unload_key tank/a"]


def test_nothing_is_protected_that_is_not_asked_for() -> None:
    planned = plan(root("tank/a"), places={"/tank/a": MOUNTED}, protect_mountpoint=False)
    assert steps(planned) == ["unmount tank/a", "unload_key tank/a"]


def test_what_lies_inside_a_mountpoint_that_goes_away_too_needs_no_protection() -> None:
    planned = plan(
        root("tank/a"),
        inheriting("tank/a/child", "tank/a"),
        inheriting("tank/a/away", "tank/a", mountpoint="/srv/away"),
        root("tank/a/b"),
        places=dict.fromkeys(("/tank/a", "/tank/a/child", "/srv/away", "/tank/a/b"), MOUNTED),
    )
    assert [step for step in steps(planned) if step.startswith("protect")] == [
        "protect_mountpoint tank/a/away",
        "protect_mountpoint tank/a",
    ]


def test_the_mountpoint_of_a_root_that_is_locked_already_is_protected_too() -> None:
    planned = plan(root("tank/a", locked=True), places={"/tank/a": BARE})
    assert steps(planned) == ["protect_mountpoint tank/a"]
    assert planned.already == ("tank/a",)


@pytest.mark.parametrize("place", [PROTECTED, Place("none"), MOUNTED], ids=["protected", "none", "of another"])
def test_a_locked_root_whose_mountpoint_needs_nothing_is_left_alone(place: Place) -> None:
    planned = plan(root("tank/a", locked=True), places={"/tank/a": place})
    assert steps(planned) == []
    assert planned.warnings == ()


@pytest.mark.parametrize(("locked", "state"), [(True, "bare"), (False, "mounted")])
def test_a_mountpoint_that_cannot_be_protected_is_a_warning(locked: bool, state: t.Literal["bare", "mounted"]) -> None:
    place = Place(state, "its file system is read-only")
    planned = plan(root("tank/a", locked=locked), places={"/tank/a": place})
    assert "protect_mountpoint tank/a" not in steps(planned)
    assert planned.warnings == ("/tank/a, the mountpoint of tank/a, is not protected: its file system is read-only.",)


def test_a_root_that_fails_keeps_its_mountpoint_as_it_is() -> None:
    planned = plan(root("tank/a"), places={"/tank/a": MOUNTED}, verify_key=True)
    assert planned.failures["tank/a"].reason == "no_key"
    assert steps(planned) == []
