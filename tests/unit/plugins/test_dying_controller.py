# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller dies between any two calls to the host and to places for keys: the next run ends with one key."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed

from .acting import Controller
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}, {"type": "memory", "name": "two"}]


@dataclass(frozen=True)
class Story:
    """A task, and how things are in the end.

    Args:
        before: tasks of zfs_dataset_key that went well before.
        task: the options of the task that dies.
        states: by dataset, the states of its versions in the end, oldest first.
        key: by dataset, the key that opens it, where the task says it.
    """

    before: tuple[dict[str, t.Any], ...]
    task: dict[str, t.Any]
    states: dict[str, list[str]]
    key: dict[str, Key]
    module: str = "zfs_dataset_key"


STORIES = {
    "keys are made": Story(
        (),
        {"datasets": [{"name": "tank/a"}, {"name": "tank/a/b"}], "escrow": TWO},
        {"tank/a": ["active"], "tank/a/b": ["active"]},
        {},
    ),
    "a key is given": Story(
        (),
        {"datasets": [{"name": "tank/a", "key": KEY_TEXT}], "escrow": TWO},
        {"tank/a": ["active"]},
        {"tank/a": KEY},
    ),
    "a key is taken in": Story(
        ({"name": "tank/a", "key": KEY_TEXT},),
        {"datasets": [{"name": "tank/a", "key": KEY_TEXT}], "escrow": TWO},
        {"tank/a": ["active"]},
        {"tank/a": KEY},
    ),
    "one key replaces another": Story(
        ({"name": "tank/a", "key": KEY_TEXT, "escrow": TWO},),
        {"datasets": [{"name": "tank/a", "key": OTHER_KEY_TEXT, "update_key": "always"}], "escrow": TWO},
        {"tank/a": ["deactivated", "active"]},
        {"tank/a": OTHER_KEY},
    ),
    "an inheriting dataset becomes a root": Story(
        ({"datasets": [{"name": "tank/a", "key": KEY_TEXT}, {"name": "tank/a/b", "state": "inherited"}]},),
        {"datasets": [{"name": "tank/a/b"}], "escrow": TWO},
        {"tank/a/b": ["active"]},
        {},
    ),
    "a place is added": Story(
        ({"name": "tank/a", "escrow": TWO[:1]},),
        {"datasets": [{"name": "tank/a"}], "escrow": TWO},
        {"tank/a": ["active"]},
        {},
    ),
    "keys are rotated": Story(
        ({"datasets": [{"name": "tank/a"}, {"name": "tank/b", "keyformat": "raw"}], "escrow": TWO},),
        {"name": "tank", "recursive": True, "new_keys": [{"name": "tank/a", "key": OTHER_KEY_TEXT}], "escrow": TWO},
        {"tank/a": ["deactivated", "active"], "tank/b": ["active"]},
        {"tank/a": OTHER_KEY},
        "zfs_key_rotate",
    ),
    "a new kind of key is made": Story(
        ({"datasets": [{"name": "tank/a"}, {"name": "tank/a/b"}], "escrow": TWO},),
        {"names": ["tank/a", "tank/a/b"], "keyformat": "raw", "escrow": TWO},
        {"tank/a": ["deactivated", "active"], "tank/a/b": ["deactivated", "active"]},
        {},
        "zfs_key_rotate",
    ),
    "a key in a file is rotated": Story(
        ({"name": "tank/a", "key_file": "/etc/zfs/a.key", "keyformat": "raw", "escrow": TWO},),
        {"names": ["tank/a"], "keyformat": "hex", "escrow": TWO},
        {"tank/a": ["deactivated", "active"]},
        {},
        "zfs_key_rotate",
    ),
}


def begin(controller: Controller, story: Story) -> None:
    controller.forget()
    for task in story.before:
        assert not controller.act("zfs_dataset_key", **task).get("failed")


def moments_of(controller: Controller, story: Story) -> list[str]:
    """Run the task whole; return the boundaries that it passes."""
    begin(controller, story)
    found: list[str] = []
    controller.moment = found.append
    assert not controller.act(story.module, **story.task).get("failed")
    return found


def dies(controller: Controller, story: Story, number: int) -> bool:
    """Run the task, to its death at one of its boundaries; False if it had fewer."""
    return controller.dies(number, lambda: controller.act(story.module, **story.task))


def check_the_end(controller: Controller, story: Story) -> None:
    """The next run finishes; every root opens with the one key that counts for it, everywhere; then all is quiet."""
    result = controller.act(story.module, **story.task)
    assert not result.get("failed"), result["msg"]
    for drawer in (controller.drawer("one"), controller.drawer("two")):
        assert drawer.states() == story.states
        for entry in drawer.entries_by_id.values():
            root = controller.host.dataset(entry.version.dataset)
            assert root is not None
            key = drawer.keys[entry.key_id].key
            assert (controller.host.verify(root, key).outcome == "opens") == (entry.state == "active")
            if entry.state == "active":
                assert key == story.key.get(root.name, key)
                assert [binding.keyguid for binding in entry.bindings] == [root.value("keyguid")]
    assert controller.drawer("one").keys == controller.drawer("two").keys
    again = controller.act(story.module, **story.task)
    assert (again["changed"], again["actions"], again.get("warnings")) == (False, [], None)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_the_next_run_finishes_what_died_anywhere(controller: Controller, story: Story) -> None:
    moments = moments_of(controller, story)
    assert len(moments) > 10
    for number in range(len(moments)):
        begin(controller, story)
        assert dies(controller, story, number), moments[number]
        check_the_end(controller, story)


@given(st.sampled_from(sorted(STORIES)), st.lists(st.integers(0, 25), min_size=2, max_size=4))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_finishes_another_may_die_itself(controller: Controller, name: str, numbers: list[int]) -> None:
    story = STORIES[name]
    begin(controller, story)
    died = sum(dies(controller, story, number) for number in numbers)
    event(f"died {died} times")
    check_the_end(controller, story)


@pytest.mark.parametrize("call", ["entries", "find_out", "put", "fetch", "bind", "advance"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_what_a_place_refuses_is_done_by_the_next_run(controller: Controller, story: Story, call: str) -> None:
    begin(controller, story)
    controller.drawer("two").failing[call] = BackendFailed(f"two does not {call}.")
    first = controller.act(story.module, **story.task)
    assert first.get("failed") or first.get("warnings"), first
    controller.drawer("two").failing.clear()
    check_the_end(controller, story)
