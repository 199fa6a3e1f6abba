# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that change mountpoints and keys at once: what is unmounted on the way is read from before its key changes."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY_TEXT, OTHER_KEY_TEXT

Entry = dict[str, t.Any]
UNMOUNTS: Entry = {"name": "tank/a", "key": KEY_TEXT, "properties": {"mountpoint": "none"}}
CHANGES: Entry = {
    "name": "tank/a/b",
    "key": OTHER_KEY_TEXT,
    "update_key": "always",
    "current": {"key": KEY_TEXT},
}


@pytest.fixture
def tree(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """A root, another one below it, and what inherits from each; everything is mounted."""
    entries: list[Entry] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/a/b", "key": KEY_TEXT},
        {"name": "tank/a/b/c", "state": "inherited"},
        {"name": "tank/a/d", "state": "inherited"},
    ]
    assert run("zfs_dataset_key", datasets=entries)["changed"]
    host.calls.clear()
    return host


def provision(run: Run, *entries: Entry, check: bool = False) -> dict[str, t.Any]:
    return run("zfs_dataset_key", check=check, datasets=list(entries))


def carried_out(run: Run, *entries: Entry) -> list[str]:
    """Carry a task out as it was foretold, and nothing the second time; return what was done."""
    foretold = provision(run, *entries, check=True)
    real = provision(run, *entries)
    assert (real["failures"], real["actions"]) == ({}, foretold["actions"])
    settled = [{name: value for name, value in entry.items() if name != "current"} for entry in entries]
    assert provision(run, *settled)["changed"] is False
    return [f"{each['action']} {each['dataset']}" for each in real["actions"]]


@pytest.mark.parametrize(
    ("entry", "action"),
    [
        pytest.param(CHANGES, "change_key tank/a/b", id="a root gets another key"),
        pytest.param({"name": "tank/a/d", "key": OTHER_KEY_TEXT}, "change_key tank/a/d", id="it becomes a root"),
        pytest.param({"name": "tank/a/b", "state": "inherited"}, "inherit_key tank/a/b", id="it inherits"),
    ],
)
def test_the_key_of_what_its_parent_unmounts_changes(tree: FakeOpenZFS, run: Run, entry: Entry, action: str) -> None:
    assert carried_out(run, UNMOUNTS, entry) == ["set_properties tank/a", action]
    assert not any(each.is_mounted for each in tree.datasets(["tank"]).below("tank"))


def test_what_is_unmounted_is_read_from_before_its_key_changes(tree: FakeOpenZFS, run: Run) -> None:
    provision(run, UNMOUNTS, CHANGES)
    order = [call for call in tree.calls if call[0] in ("set_properties", "prove_readable", "change_key")]
    assert order[0] == ("set_properties", "tank/a")
    assert set(order[1:3]) == {("prove_readable", "tank/a/b"), ("prove_readable", "tank/a/b/c")}
    assert order[3] == ("change_key", "tank/a/b")


@pytest.mark.parametrize(
    ("entry", "broken"),
    [
        pytest.param(CHANGES, "tank/a/b/c", id="a root gets another key"),
        pytest.param({"name": "tank/a/d", "key": OTHER_KEY_TEXT}, "tank/a/d", id="it becomes a root"),
        pytest.param({"name": "tank/a/b", "state": "inherited"}, "tank/a/b/c", id="it inherits"),
    ],
)
def test_what_another_key_wraps_is_not_wrapped_anew_once_it_is_unmounted(
    tree: FakeOpenZFS, run: Run, entry: Entry, broken: str
) -> None:
    """It was mounted when all was looked at, so nothing told; wrapping it anew would panic the kernel."""
    run("zfs_dataset_key", name="tank/source", key=OTHER_KEY_TEXT)
    tree.replicate("tank/source", broken, properties=False)
    failure = provision(run, UNMOUNTS, entry)["failures"][entry["name"]]
    assert failure["msg"].startswith(f"{broken} cannot be read")
    assert {call for call, _name in tree.changes} == {"create", "mount", "set_properties"}


def test_what_moves_along_stays_in_use(tree: FakeOpenZFS, run: Run) -> None:
    moved = {**UNMOUNTS, "properties": {"mountpoint": "/srv/a"}}
    assert carried_out(run, moved, CHANGES) == ["set_properties tank/a", "change_key tank/a/b"]
    assert tree.mounts(["tank/a/b/c"]) == (("tank/a/b/c", "/srv/a/b/c"),)


def test_what_is_mounted_only_by_the_task_was_read_from(tree: FakeOpenZFS, run: Run) -> None:
    provision(run, UNMOUNTS)
    tree.calls.clear()
    mounts = {**UNMOUNTS, "properties": {"mountpoint": "/srv/a"}}
    assert carried_out(run, mounts, CHANGES) == ["set_properties tank/a", "change_key tank/a/b"]
    reads = [name for call, name in tree.calls if call == "prove_readable"]
    assert {"tank/a/b", "tank/a/b/c"} <= set(reads)


def test_a_clone_elsewhere_is_not_unmounted_while_the_key_of_its_origin_changes(
    tree: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.clone("tank/a/b", "tank/copy")
    tree.mount("tank/copy")
    begun = threading.Event()
    change_key, set_properties = tree.change_key, tree.set_properties

    def change(*args: t.Any) -> None:
        begun.set()
        change_key(*args)

    def unmount(*args: t.Any) -> None:
        assert not begun.wait(0.3), "the key changes beside it"
        set_properties(*args)

    monkeypatch.setattr(tree, "change_key", change)
    monkeypatch.setattr(tree, "set_properties", unmount)
    unmounts = {"name": "tank/copy", "state": "inherited", "properties": {"mountpoint": "none"}}
    assert provision(run, unmounts, CHANGES)["failures"] == {}
    assert begun.is_set()
