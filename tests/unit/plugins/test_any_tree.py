# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any tree and any request: check mode foretells, a second run changes nothing, refusals neither."""

from __future__ import annotations

import typing as t

from hypothesis import event, given, settings
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import carry_out, foresee
from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Outcome, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import observe_dataset, plan_dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import observe_unlock, plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import unlock_wanted
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

NAMES = ("tank/a", "tank/a/b", "tank/a/b/c", "tank/d", "tank/d/e")
KEYS = ("0a" * 32, "0b" * 32)
PHRASES = ("correct horse", "battery staple")
ROUNDS = 100_000
# Every secret in use, offered everywhere: what is locked by a random request can be opened again.
EVERYTHING = [
    *({"name": "tank", "key": key, "share_with_children": True} for key in KEYS),
    *({"name": "tank", "passphrase": text, "share_with_children": True} for text in PHRASES),
]

secrets = st.one_of(
    st.sampled_from(KEYS).map(lambda key: {"key": key}),
    st.sampled_from(PHRASES).map(lambda text: {"passphrase": text, "pbkdf2iters": ROUNDS}),
    st.just({"key_file": "/etc/k.key", "generate_key": True}),
)
currents = st.one_of(
    st.none(), *(st.just({"key": key}) for key in KEYS), *(st.just({"passphrase": p}) for p in PHRASES)
)
entries = st.one_of(
    st.builds(
        lambda secret, current, update_key, volsize: {
            **secret,
            "current": current,
            "update_key": update_key,
            "volsize": volsize,
        },
        secrets,
        currents,
        st.sampled_from(["on_create", "always"]),
        st.sampled_from([None, None, "100M"]),
    ),
    st.just({"state": "inherited"}),
    st.just({"encryption": "off"}),
    st.just({"state": "absent", "force_destroy": True}),
)
batches = st.dictionaries(st.sampled_from(NAMES), entries, min_size=1, max_size=4).map(
    lambda chosen: {"datasets": [{"name": name, **entry} for name, entry in chosen.items()]}
)
hierarchies = st.sampled_from(["truenas", "openzfs"])
provisioning = st.builds(lambda batch, hierarchy: {**batch, "hierarchy": hierarchy}, batches, hierarchies)
locking = st.fixed_dictionaries(
    {
        "name": st.sampled_from(("tank", *NAMES)),
        "recursive": st.booleans(),
        "state": st.sampled_from(["locked", "unlocked"]),
        "mount": st.booleans(),
        "verify_key": st.just(True),
        "secrets": st.just(EVERYTHING),
    }
)
requests = st.lists(st.one_of(provisioning, locking), min_size=1, max_size=6)


def planned(host: FakeOpenZFS, params: dict[str, t.Any]) -> Plan:
    pools = host.pools()
    if "datasets" in params:
        batch = batch_wanted(params)
        return plan_dataset(batch, observe_dataset(batch, host, pools))
    want = unlock_wanted(params)
    return plan_unlock(want, observe_unlock(want, host, pools))


def shown(outcome: Outcome) -> list[tuple[str, str]]:
    return [(step.action, step.dataset) for step in outcome.done]


def state_of(host: FakeOpenZFS) -> dict[str, dict[str, str]]:
    datasets = host.datasets(["tank"]).datasets
    return {name: {key: prop.value for key, prop in each.properties.items()} for name, each in datasets.items()}


@settings(max_examples=150, deadline=None)
@given(requests)
def test_check_mode_foretells_a_second_run_is_unchanged_and_a_refusal_changes_nothing(
    sequence: list[dict[str, t.Any]],
) -> None:
    host = FakeOpenZFS("tank")
    for params in sequence:
        before = state_of(host)
        try:
            plan = planned(host, params)
        except Refused:
            event("refused")
            assert state_of(host) == before
            continue
        if plan.missing:
            event("parent missing")
            continue
        foretold = foresee(plan)
        assert state_of(host) == before
        real = carry_out(plan, host)
        event("carried out" if real.done else "unchanged")
        assert shown(foretold) == shown(real)
        assert foretold.failures == real.failures
        again = planned(host, params)
        assert not [step for step in foresee(again).done if step.before != step.after]


@settings(max_examples=100, deadline=None)
@given(requests)
def test_whatever_was_locked_opens_again_with_the_keys_that_were_given(sequence: list[dict[str, t.Any]]) -> None:
    host = FakeOpenZFS("tank")
    for params in sequence:
        try:
            plan = planned(host, params)
        except Refused:
            continue
        if not plan.missing:
            carry_out(plan, host)
    whole = {"name": "tank", "recursive": True, "mount": True, "verify_key": True, "secrets": EVERYTHING}
    carry_out(planned(host, {**whole, "state": "unlocked"}), host)
    locked = carry_out(planned(host, {**whole, "state": "locked"}), host)
    opened = carry_out(planned(host, {**whole, "state": "unlocked"}), host)
    assert (locked.failures, opened.failures) == ({}, {})
    assert all(root.is_key_loaded for root in host.datasets(["tank"]).roots_at_or_below("tank"))
