# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree that grows and changes at random, by modules and by a person beside them; what must hold after every call.

A call is what the edge makes of a task: observe, plan, carry out or foresee.
"""

from __future__ import annotations

import collections
import contextlib
import os
import typing as t

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _keys, _properties
from ansible_collections.zfsfleet.encryption.plugins.module_utils._carry_out import carry_out, foresee
from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import is_below, parent_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan import Outcome, Plan
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import observe_dataset, plan_dataset
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import observe_unlock, plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._step import Step
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import unlock_wanted
from ansible_collections.zfsfleet.encryption.tests.conformance import tree_requests
from ansible_collections.zfsfleet.encryption.tests.conformance.seen_tree import SeenTree, State
from ansible_collections.zfsfleet.encryption.tests.conformance.tree_requests import Request
from ansible_collections.zfsfleet.encryption.tests.conformance.world import World

DATA_BYTES = 16
_LOCKING = ("available", "unavailable")


class AnyTree(SeenTree, RuleBasedStateMachine):
    """It goes away in the end with all that was made."""

    def __init__(self, world: World, host: Host, tally: collections.Counter[str]) -> None:
        RuleBasedStateMachine.__init__(self)
        SeenTree.__init__(self, world, host)
        self.tally = tally
        self.holds: dict[str, contextlib.ExitStack] = {}
        self.left: set[str] = set()
        self.cloned: set[str] = set()
        self.promoted: set[str] = set()
        self.data: dict[str, bytes] = {}  # by the guid of the dataset
        self.is_sound = True

    # What modules do

    @initialize(request=tree_requests.FIRST)
    def begin(self, request: Request) -> None:
        self.call(request)

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """Have a module or a person do something. It is one rule, since hypothesis leaves out some of several."""
        data.draw(st.sampled_from((self.provision, self.unlock, self.lock, self.person)))(data)

    def provision(self, data: st.DataObject) -> None:
        self.call(data.draw(tree_requests.batches(self.scene())))

    def unlock(self, data: st.DataObject) -> None:
        self.call(data.draw(tree_requests.unlockings(self.scene())))

    def lock(self, data: st.DataObject) -> None:
        self.call(data.draw(tree_requests.lockings(self.scene())))

    def person(self, data: st.DataObject) -> None:
        """Let a person do something beside the modules."""
        deeds: tuple[t.Callable[[st.DataObject], None], ...] = (
            *(self.clone, self.promote, self.hold, self.let_go, self.mount_or_unmount, self.write),
            *(self.leave_a_file, self.take_files_away, self.keep_a_key),
        )
        data.draw(st.sampled_from(deeds))(data)

    # What a person does

    def drawn(self, data: st.DataObject) -> Dataset | None:
        """Draw a dataset, None if there is none."""
        return data.draw(st.sampled_from(tuple(self.tree().below(self.base)) or (None,)))

    def clone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(tree_requests.CLONES))
        origin, parent = self.drawn(data), self.tree().get(parent_of(self.full(name)) or "")
        is_free = name not in self.cloned and self.tree().get(self.full(name)) is None
        if origin is None or parent is None or self.is_locked(origin) or not is_free:
            return
        self.world.clone(origin.name, self.full(name))
        self.look()
        self.cloned.add(name)
        if origin.value("guid") in self.data:
            self.data[self.tree().datasets[self.full(name)].value("guid")] = self.data[origin.value("guid")]

    def promote(self, data: st.DataObject) -> None:
        """Promote a clone: a key that was loaded stays behind, what is in use stays so, and the clone is locked.

        Each once, since the kernel would take the key that stayed behind for the key of a root that comes back.
        """
        clones = sorted(self.cloned - self.promoted)
        clone = self.tree().get(self.full(data.draw(st.sampled_from(clones)))) if clones else None
        if clone is None or not clone.is_clone or clone.encryption_root is None:
            return
        origin, parent = clone.value("origin").partition("@")[0], self.tree().parent(clone.name)
        is_within = parent is not None and parent.encryption_root == clone.encryption_root
        if origin == clone.encryption_root or is_within:
            self.world.promote(clone.name)
            self.look()
            self.promoted.add(clone.name[len(self.base) + 1 :])

    def hold(self, data: st.DataObject) -> None:
        dataset = self.drawn(data)
        if dataset is not None and self.is_usable(dataset) and dataset.name not in self.holds:
            self.holds[dataset.name] = contextlib.ExitStack()
            self.holds[dataset.name].enter_context(self.world.hold(dataset.name))

    def let_go(self, _data: st.DataObject | None = None) -> None:
        for name in list(self.holds):
            self.holds.pop(name).close()

    def mount_or_unmount(self, data: st.DataObject) -> None:
        dataset = self.drawn(data)
        if dataset is not None and not dataset.is_volume:
            with contextlib.suppress(CallFailed):
                (self.host.unmount if dataset.is_mounted else self.host.mount)(dataset.name)
            self.look()

    def leave_a_file(self, data: st.DataObject) -> None:
        """Leave a file where a dataset would be mounted, on the file system that holds the tree."""
        dataset = self.tree().get(self.full(data.draw(st.sampled_from(("a", "d")))))
        if dataset is None or dataset.is_mounted or self.is_protected(dataset):
            return
        if dataset.value("mountpoint").startswith("/"):
            path = f"{dataset.value('mountpoint')}/left"
            self.world.put_file(path)
            self.left.add(path)

    def take_files_away(self, _data: st.DataObject | None = None) -> None:
        while self.left:
            path = self.left.pop()
            self.host.release_place(os.path.dirname(path))
            self.world.take_away(path)

    def write(self, data: st.DataObject) -> None:
        dataset = self.drawn(data)
        if dataset is not None and self.is_usable(dataset):
            content = data.draw(st.binary(min_size=DATA_BYTES, max_size=DATA_BYTES))
            self.world.put_data(dataset.name, content)
            self.data[dataset.value("guid")] = content

    def keep_a_key(self, data: st.DataObject) -> None:
        path = self.path_of(data.draw(st.sampled_from(tree_requests.KEY_FILES)))
        if self.host.read_key_file(path) is None:
            key = _keys.hex_key(data.draw(st.sampled_from(tree_requests.KEYS)), whose="a person")
            self.host.write_key_file(path, key.text(data.draw(st.sampled_from(("hex", "raw")))))

    # What must hold

    def call(self, request: Request) -> None:
        """Make a call in check mode, then for real, then once more."""
        self.is_sound = False
        params = self.params(request)
        before = self.state()
        foretold = self.foreseen(params)
        assert self.look() == before, "check mode changed something"
        real = self.carried_out(params)
        after = self.look()
        if isinstance(real, str) or isinstance(foretold, str):
            self.tally["refused"] += 1
            assert real == foretold, "check mode and the real run differ in what they refuse"
            assert after == before, f"refused, and yet something changed: {real}"
        else:
            self.tally["failed" if real.failures else "changed" if _changes(real) else "unchanged"] += 1
            self.follow(real)
            self.compare(foretold, real)
            self.tells_the_truth(real, before, after)
            self.keeps_what_it_should(params, before, after)
            self.is_unchanged_by_a_second_run(params, real)
            self.is_reversible(params, before, after)
        self.is_sound = True

    def follow(self, real: Outcome) -> None:
        """Note where files are that were moved aside."""
        for step in real.done:
            if step.action == "move_aside":
                path, aside = step.before["in_the_way"], step.after["in_the_way"]
                self.left = {aside + each[len(path) :] if is_below(each, path) else each for each in self.left}

    def is_unchanged_by_a_second_run(self, params: Request, real: Outcome) -> None:
        if not real.failures:
            again = self.foreseen(params)
            assert not isinstance(again, str), f"the second run is refused: {again}"
            assert not _changes(again), f"the second run changes {_shown(again)}"

    def is_reversible(self, params: Request, before: State, after: State) -> None:
        """What was locked after a proof opens with the keys that were given."""
        locked = [
            name
            for name in after
            if name in before and (before[name]["keystatus"], after[name]["keystatus"]) == _LOCKING
        ]
        if locked and params["verify_key"]:
            back = self.foreseen({**params, "state": "unlocked", "mount": False})
            assert not isinstance(back, str), back
            assert not set(locked) & back.failures.keys(), "what was locked does not open"

    def compare(self, foretold: Outcome, real: Outcome) -> None:
        """Only what is busy may come as a surprise: everything else is foretold, step by step."""
        for name, failure in foretold.failures.items():
            assert name in real.failures, f"{name} was foretold to fail: {failure.msg}"
            assert real.failures[name].reason == failure.reason, real.failures[name].msg
        surprises = {name: each for name, each in real.failures.items() if name not in foretold.failures}
        for name, failure in surprises.items():
            assert failure.reason == "busy", f"{name}: {failure.msg}"
            assert self.holds, f"{name}: {failure.msg}"
        if surprises:
            assert not collections.Counter(_shown(real)) - collections.Counter(_shown(foretold))
        else:
            assert _by_dataset(foretold) == _by_dataset(real)
            assert _skipped(foretold) == _skipped(real)

    def tells_the_truth(self, real: Outcome, before: State, after: State) -> None:
        """No change is reported that is not there, and none is kept silent."""
        if not _changes(real):
            assert after == before, "something changed that was not reported"
        reported: dict[str, dict[str, str]] = {}
        for step in real.done:
            reported.setdefault(step.dataset, {}).update(step.after)
        for name, values in reported.items():
            assert (name in after) == (values.get("state") != "absent"), name
            for prop, value in values.items():
                found = after.get(name, {}).get(prop, value)
                assert _properties.is_same(prop, value, found) or prop == "volsize", f"{prop} of {name} is {found}"

    def keeps_what_it_should(self, params: Request, before: State, after: State) -> None:
        """Nothing is locked but by locking, nothing goes but by state absent."""
        absent = {each["name"] for each in params.get("datasets", ()) if each.get("state") == "absent"}
        for name, was in before.items():
            assert name in after or name in absent, f"{name} is gone"
            if name in after and was["keystatus"] == "available" and params.get("state") != "locked":
                assert after[name]["keystatus"] == "available", f"{name} is locked"

    @invariant()
    def every_root_opens_with_a_known_key(self) -> None:
        before, self.keys = self.keys, {}
        for root in self.tree().roots_at_or_below(self.base):
            name = root.name[len(self.base) + 1 :]
            likely = [before[name]] if name in before else []
            for secret in (*likely, *tree_requests.SECRETS):
                key = self.key(secret, root.keyformat)
                if key is not None and self.host.verify(root, key).outcome == "opens":
                    self.keys[name] = secret
                    break
            assert name in self.keys, f"who knows the key of {root.name}?"

    def teardown(self) -> None:
        self.let_go()
        self.take_files_away()
        try:
            if self.is_sound:
                self.finally_all("unlocked", spared="mountpoint_occupied")  # by what is mounted inside
                self.finally_all("locked", spared="busy")
                self.finally_all("unlocked")
                self.all_data_can_be_read()
        finally:
            self.world.sweep(self.base)

    def all_data_can_be_read(self) -> None:
        for dataset in self.tree().datasets.values():
            if dataset.value("guid") in self.data and self.is_usable(dataset):
                assert self.world.data_of(dataset.name, DATA_BYTES) == self.data[dataset.value("guid")]

    def finally_all(self, state: str, spared: str = "") -> None:
        """Unlock or lock the whole tree with the keys that are known; only one reason may keep a root from it."""
        whole = {"name": "", "recursive": True, "secrets": None, "state": state, "move_aside": not spared}
        outcome = self.carried_out(self.params(whole))
        assert not isinstance(outcome, str), outcome
        self.look()
        for name, failure in outcome.failures.items():
            assert failure.reason == spared, f"{name}: {failure.msg}"
        kept = {name for root, failure in outcome.failures.items() for name in (root, *failure.skipped)}
        for root in self.tree().roots_at_or_below(self.base):
            assert root.is_key_loaded == (state == "unlocked") or root.name in kept, f"{root.name} is not {state}"

    # How the modules are called

    def foreseen(self, params: Request) -> Outcome | str:
        try:
            plan = self.planned(params)
        except Refused as refusal:
            return str(refusal)
        return " ".join(plan.missing) or foresee(plan)

    def carried_out(self, params: Request) -> Outcome | str:
        try:
            plan = self.planned(params)
        except Refused as refusal:
            return str(refusal)
        return " ".join(plan.missing) or carry_out(plan, self.host)

    def planned(self, params: Request) -> Plan:
        pools = self.host.pools()
        if "datasets" in params:
            batch = batch_wanted(params)
            return plan_dataset(batch, observe_dataset(batch, self.host, pools))
        want = unlock_wanted(params)
        return plan_unlock(want, observe_unlock(want, self.host, pools))

    def params(self, request: Request) -> Request:
        """Return a request with names and paths of this tree."""
        if "datasets" in request:
            return {**request, "datasets": [self.placed(entry) for entry in request["datasets"]]}
        request = {"recursive": False, "mount": True, "move_aside": False, "verify_key": True, **self.placed(request)}
        if "secrets" in request:
            secrets = tree_requests.EVERYTHING if request["secrets"] is None else request["secrets"]
            request["secrets"] = [self.placed(entry) for entry in secrets]
        if "manifest_content" in request:
            manifest = request["manifest_content"]
            request["manifest_content"] = {self.full(name): each for name, each in manifest.items()}
        return request

    def placed(self, entry: Request) -> Request:
        placed = {**entry, "name": self.full(entry["name"])}
        if "key_file" in entry:
            placed["key_file"] = self.path_of(entry["key_file"])
        if "current" in entry:
            placed["current"] = {
                kind: self.path_of(text) if kind == "key_file" else text for kind, text in entry["current"].items()
            }
        mountpoint = entry.get("properties", {}).get("mountpoint", "")
        if mountpoint.startswith("/"):
            place = f"{self.world.directory}-tree{self.number}{mountpoint}"
            placed["properties"] = {**entry["properties"], "mountpoint": place}
        return placed


def _changes(outcome: Outcome) -> list[Step]:
    return [step for step in outcome.done if step.before != step.after]


def _shown(outcome: Outcome) -> list[tuple[str, str]]:
    return [(step.action, step.dataset) for step in outcome.done]


def _by_dataset(outcome: Outcome) -> dict[str, list[str]]:
    """Return what was done to each dataset, in order: what does not depend on another is done side by side."""
    found: dict[str, list[str]] = {}
    for action, name in _shown(outcome):
        found.setdefault(name, []).append(action)
    return found


def _skipped(outcome: Outcome) -> dict[str, set[str]]:
    return {name: set(failure.skipped) for name, failure in outcome.failures.items()}
