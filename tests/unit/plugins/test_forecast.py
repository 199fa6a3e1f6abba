# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any locked tree and any offer: check mode and the summary of ``zfs_encryption_info`` are right."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _info
from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import carry_out, foresee
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import hex_key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._mount_steps import MoveAside
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import parent_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Outcome, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import observe_unlock, plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import unlock_wanted
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run

NAMES = ("tank/a", "tank/a/b", "tank/a/b/c", "tank/a/d", "tank/e", "tank/e/f")
KEYS = ("0a" * 32, "0b" * 32)
WRONG = "0c" * 32
PLACES = ("/srv/x", "/srv/x/y", "/tank/a/b", "none", "legacy")


@dataclass(frozen=True)
class Member:
    """One dataset: how it is protected, where it is mounted, what stands there, what is offered for it."""

    key: str | None
    is_volume: bool
    properties: dict[str, str]
    occupied: bool
    in_use: bool
    is_locked: bool
    offered: str | None
    shared: bool


members = st.builds(
    Member,
    key=st.sampled_from((*KEYS, None)),
    is_volume=st.sampled_from((False, False, False, True)),
    properties=st.fixed_dictionaries(
        {"canmount": st.sampled_from(("on", "on", "on", "noauto", "off"))},
        optional={"mountpoint": st.sampled_from(PLACES)},
    ),
    occupied=st.sampled_from((False, False, False, True)),
    in_use=st.sampled_from((False, False, True)),
    is_locked=st.sampled_from((True, True, True, False)),
    offered=st.sampled_from((*KEYS, *KEYS, WRONG, None)),
    shared=st.booleans(),
)
trees = st.dictionaries(st.sampled_from(NAMES), members, min_size=1)
choices = st.one_of(st.just(("tank", True)), st.tuples(st.sampled_from(NAMES), st.booleans()))


def made(tree: dict[str, Member]) -> FakeOpenZFS:
    """Make the datasets, then lock what is to be locked, deepest first."""
    host = FakeOpenZFS("tank")
    for name, member in sorted(tree.items()):
        parent = host.dataset(parent_of(name) or "")
        if parent is None or parent.is_volume:
            continue
        wanted = {} if member.is_volume else dict(member.properties)
        key = None
        if member.key is not None:
            wanted |= {"encryption": "on", "keyformat": "hex"}
            key = hex_key(member.key, whose=name)
        host.create(Creation(name, wanted, volume_size="1M" if member.is_volume else None, key=key))
    for name, member in sorted(tree.items(), reverse=True):
        root = host.dataset(name)
        if root is not None and root.is_encryption_root and member.is_locked:
            host.unload_key(name)
    for name, member in tree.items():
        dataset = host.dataset(name)
        place = "none" if dataset is None else dataset.value("mountpoint")
        if member.occupied and place.startswith("/"):
            host.places.put(place, "is not empty.")
            if member.in_use:
                host.places.use(place).__enter__()
    host.calls.clear()
    return host


def task(host: FakeOpenZFS, tree: dict[str, Member], choice: tuple[str, bool], move_aside: bool) -> dict[str, t.Any]:
    offers = [
        {"name": name, "key": member.offered, "share_with_children": member.shared}
        for name, member in tree.items()
        if member.offered is not None and host.dataset(name) is not None
    ]
    name, recursive = choice
    assume(host.dataset(name) is not None)
    choosing = {"name": name, "recursive": recursive, "secrets": offers}
    return {**choosing, "state": "unlocked", "mount": True, "move_aside": move_aside, "verify_key": True}


def planned(host: FakeOpenZFS, params: dict[str, t.Any]) -> Plan:
    want = unlock_wanted(params)
    return plan_unlock(want, observe_unlock(want, host, host.pools()))


def unlocked(host: FakeOpenZFS, outcome: Outcome | None, name: str) -> bool:
    """Tell whether a root is what a person calls unlocked after a run; None is one that was refused."""
    root = host.dataset(name)
    skipped = {below for failure in (outcome.failures.values() if outcome else ()) for below in failure.skipped}
    failed = set(outcome.failures) | skipped if outcome else set()
    return root is not None and root.is_key_loaded and name not in failed


def shown(outcome: Outcome) -> list[tuple[str, str, dict[str, str]]]:
    return [(step.action, step.dataset, dict(step.after)) for step in outcome.done]


@settings(max_examples=300, deadline=None)
@given(trees, choices, st.booleans())
def test_check_mode_and_the_summary_say_what_the_real_run_does(
    tree: dict[str, Member], choice: tuple[str, bool], move_aside: bool
) -> None:
    host = made(tree)
    params = task(host, tree, choice, move_aside)
    try:
        report = _info.report({**params, "candidates": []}, host)  # as strict about names as what unlocks
    except Refused:
        event("no choice of roots")
        return
    foretold: Outcome | None = None
    real: Outcome | None = None
    try:
        foretold = foresee(planned(host, params))
        assert host.changes == []
        real = carry_out(planned(host, params), host)
        assert shown(foretold) == shown(real)
        assert foretold.failures == real.failures
        event(f"failures: {sorted({failure.reason for failure in real.failures.values()})}")
        event("moved aside" if any(isinstance(step, MoveAside) for step in real.done) else "nothing moved")
    except Refused:
        event("refused")
        assert host.changes == []
    summary = {entry["name"]: entry["unlock_successful"] for entry in report["summary"]}
    assert summary == {name: unlocked(host, real, name) for name in summary}


@settings(max_examples=100, deadline=None)
@given(trees, st.sets(st.sampled_from(NAMES)))
def test_what_was_moved_aside_for_a_mount_that_failed_is_back(tree: dict[str, Member], failing: set[str]) -> None:
    host = made(tree)
    params = task(host, tree, ("tank", True), move_aside=True)
    before = dict(host.occupied)
    for name in failing:
        host.fail_on("mount", name, CallFailed(f"{name} was not mounted.", reason="mount_failed"))
    try:
        done = carry_out(planned(host, params), host).done
    except Refused:
        return
    mounted = {step.dataset for step in done if step.action == "mount"}
    moves = [step for step in done if isinstance(step, MoveAside)]
    assert {move.dataset for move in moves} <= mounted
    for path in before:
        moved = any(path == move.path or path.startswith(f"{move.path}/") for move in moves)
        assert (path in host.occupied) == (not moved)


# -- asking about any dataset


def asked(run: Run, name: str, **params: t.Any) -> tuple[list[str], list[str]]:
    result = run("zfs_encryption_info", name=name, **params)
    assert not result.get("failed"), result["msg"]
    assert [each["name"] for each in result["summary"]] == [each["name"] for each in result["roots"]]
    return [each["name"] for each in result["roots"]], result["warnings"]


def test_what_inherits_is_answered_by_its_root_and_what_is_plain_by_that_it_is(run: Run) -> None:
    entries: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEYS[0]},
        {"name": "tank/a/b", "state": "inherited"},
        {"name": "tank/a/b/c", "key": KEYS[0]},
    ]
    assert run("zfs_dataset_key", datasets=entries)["changed"]

    inherits = "tank/a/b is no encryption root: it inherits the key of tank/a, which is told of."
    assert asked(run, "tank/a/b") == (["tank/a"], [inherits])
    assert asked(run, "tank/a/b", recursive=True) == (["tank/a", "tank/a/b/c"], [inherits])
    assert asked(run, "tank") == ([], ["tank is not encrypted."])
    assert asked(run, "tank", recursive=True) == (["tank/a", "tank/a/b/c"], [])
    assert "There is no dataset tank/none" in run("zfs_encryption_info", name="tank/none")["msg"]


def test_with_candidates_a_name_is_that_of_a_root(run: Run) -> None:
    assert "tank is not encrypted and has no key" in run("zfs_encryption_info", name="tank", candidates=[])["msg"]
