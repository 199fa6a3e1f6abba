# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole tasks on trees: conversions in one go, what a person moved, odd names, and creation that fails half-way."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run

KEY, OTHER_KEY = "0a" * 32, "0b" * 32
PHRASE = {"passphrase": "correct horse", "pbkdf2iters": 100000}
OTHER_PHRASE = {"passphrase": "battery staple", "pbkdf2iters": 100000}


def provision(run: Run, *datasets: dict[str, t.Any], **top: t.Any) -> dict[str, t.Any]:
    return run("zfs_dataset_key", datasets=list(datasets), **top)


def root_of(host: FakeOpenZFS, name: str) -> str | None:
    return host.datasets(["tank"]).datasets[name].encryption_root


# Policy is judged by what a task leaves behind


def test_a_parent_gets_a_passphrase_while_its_keyed_child_begins_to_inherit(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/a", "key": KEY}, {"name": "tank/a/b", "key": OTHER_KEY})
    task: list[dict[str, t.Any]] = [
        {"name": "tank/a", **PHRASE, "update_key": "always", "current": {"key": KEY}},
        {"name": "tank/a/b", "state": "inherited"},
    ]
    assert "would have a passphrase above tank/a/b" in provision(run, task[0])["msg"]

    assert provision(run, *task)["failures"] == {}
    assert root_of(host, "tank/a/b") == "tank/a"
    assert not provision(run, *task)["changed"]


def test_a_parent_and_a_child_swap_key_and_passphrase(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/a", "key": KEY}, {"name": "tank/a/b", **PHRASE})
    to_phrases: list[dict[str, t.Any]] = [
        {"name": "tank/a", **PHRASE, "update_key": "always", "current": {"key": KEY}},
        {"name": "tank/a/b", **OTHER_PHRASE, "update_key": "always", "current": {"passphrase": PHRASE["passphrase"]}},
    ]
    assert provision(run, *to_phrases)["changed"]
    back: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY, "update_key": "always", "current": {"passphrase": PHRASE["passphrase"]}},
        {
            "name": "tank/a/b",
            "key": OTHER_KEY,
            "update_key": "always",
            "current": {"passphrase": OTHER_PHRASE["passphrase"]},
        },
    ]
    assert "tank/a/b would have a key of its own below tank/a" in provision(run, back[1])["msg"]

    assert provision(run, *back)["failures"] == {}
    assert not provision(run, *back)["changed"]


def test_a_policy_that_a_task_breaks_is_refused_before_anything_changes(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/a", "key": KEY}, {"name": "tank/a/b", **PHRASE}, {"name": "tank/a/b/c", **PHRASE})
    before = len(host.changes)
    task: list[dict[str, t.Any]] = [
        {"name": "tank/a/b", "state": "inherited"},
        {"name": "tank/a", **PHRASE, "update_key": "always", "current": {"key": KEY}},
        {"name": "tank/a/new", "key": KEY},
    ]

    assert "tank/a would have a passphrase above tank/a/new" in provision(run, *task)["msg"]
    assert len(host.changes) == before


# Conversions


FORMS: dict[str, dict[str, t.Any]] = {
    "hex": {"key": KEY, "keyformat": "hex"},
    "raw": {"key": OTHER_KEY, "keyformat": "raw"},
    "passphrase": PHRASE,
    "file": {"key_file": "/etc/a.key", "generate_key": True, "keyformat": "hex"},
}
CURRENT: dict[str, dict[str, str]] = {
    "hex": {"key": KEY},
    "raw": {"key": OTHER_KEY},
    "passphrase": {"passphrase": "correct horse"},
    "file": {"key_file": "/etc/a.key"},
}


@pytest.mark.parametrize("before", FORMS)
@pytest.mark.parametrize("after", FORMS)
def test_a_root_goes_from_every_form_to_every_other(run: Run, host: FakeOpenZFS, before: str, after: str) -> None:
    if after == "file":
        host.key_files["/etc/a.key"] = b"0c" * 32 + b"\n"
    provision(run, {"name": "tank/a", **FORMS[before]}, {"name": "tank/a/child", "state": "inherited"})
    task = {"name": "tank/a", **FORMS[after], "update_key": "always", "current": CURRENT[before]}
    result = provision(run, task)

    assert result["changed"] is (before != after)
    root = host.datasets(["tank"]).datasets["tank/a"]
    assert root.keyformat == {"file": "hex"}.get(after, after)
    assert root.value("keylocation") == ("file:///etc/a.key" if after == "file" else "prompt")
    assert not provision(run, task)["changed"]


@pytest.mark.parametrize("form", FORMS)
def test_a_child_becomes_a_root_and_goes_back(run: Run, host: FakeOpenZFS, form: str) -> None:
    provision(run, {"name": "tank/a", **PHRASE}, {"name": "tank/a/b", "state": "inherited"})
    own: dict[str, t.Any] = {"name": "tank/a/b", **FORMS[form], "hierarchy": "openzfs"}

    assert provision(run, own)["changed"]
    assert root_of(host, "tank/a/b") == "tank/a/b"
    assert not provision(run, own)["changed"]
    assert provision(run, {"name": "tank/a/b", "state": "inherited"})["changed"]
    assert root_of(host, "tank/a/b") == "tank/a"
    assert not provision(run, {"name": "tank/a/b", "state": "inherited"})["changed"]


# Trees that a person renamed or promoted in


def test_a_renamed_root_is_as_it_should_be_under_its_new_name(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/a", "key": KEY}, {"name": "tank/a/child", "state": "inherited"})
    provision(run, {"name": "tank/b", "key": OTHER_KEY})
    host.rename("tank/a", "tank/b/a")

    assert not provision(run, {"name": "tank/b/a", "key": KEY}, {"name": "tank/b/a/child", "state": "inherited"})[
        "changed"
    ]
    locked = run("zfs_unlock", name="tank/b/a", state="locked", secrets=[{"name": "tank/b/a", "key": KEY}])
    assert locked["locked"] == ["tank/b/a"]
    assert run("zfs_unlock", name="tank/b/a", secrets=[{"name": "tank/b/a", "key": KEY}])["unlocked"] == ["tank/b/a"]


def test_before_a_promotion_the_clone_is_told_to_share_and_after_it_the_former_root(
    run: Run, host: FakeOpenZFS
) -> None:
    provision(run, {"name": "tank/a", "key": KEY, "properties": {"mountpoint": "none"}})
    host.clone("tank/a", "tank/clone")
    before = provision(run, {"name": "tank/clone", "key": OTHER_KEY})
    assert "tank/clone is a clone; it shares the key of its origin tank/a@" in before["msg"]
    host.promote("tank/clone")

    after = provision(run, {"name": "tank/a", "key": OTHER_KEY})
    assert "tank/a is a clone; it shares the key of its origin tank/clone@" in after["msg"]
    assert not provision(run, {"name": "tank/clone", "key": KEY})["changed"]
    unlocked = run("zfs_unlock", name="tank/clone", secrets=[{"name": "tank/clone", "key": KEY}])
    assert unlocked["unlocked"] == ["tank/clone"]
    task = {"name": "tank/clone", "key": OTHER_KEY, "update_key": "always", "current": {"key": KEY}}
    assert provision(run, task)["changed"]
    assert not provision(run, task)["changed"]


def test_a_locked_promoted_root_gets_another_key(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/a", "key": KEY, "properties": {"mountpoint": "none"}})
    host.clone("tank/a", "tank/clone")
    host.promote("tank/clone")
    task = {"name": "tank/clone", "key": OTHER_KEY, "update_key": "always", "current": {"key": KEY}}

    assert provision(run, task)["failures"] == {}
    assert not provision(run, task)["changed"]


# Names


NAMES = ("tank/two words", "tank/ lead", "tank/trail ", "tank/a:b", "tank/.x", "tank/-x", "tank/_", "tank/a.b-c_d:e f")


@pytest.mark.parametrize("name", [*NAMES, "tank/" + "x" * 250])
@pytest.mark.parametrize("kind", ["filesystem", "volume"])
def test_every_legal_name_goes_through_whole_runs(run: Run, host: FakeOpenZFS, name: str, kind: str) -> None:
    options: dict[str, t.Any] = {"volsize": "1M"} if kind == "volume" else {}
    task: dict[str, t.Any] = {"name": name, "key": KEY, **options}
    assert provision(run, task)["changed"]
    assert not provision(run, task)["changed"]
    change = {**task, "key": OTHER_KEY, "update_key": "always", "current": {"key": KEY}}
    assert provision(run, change)["changed"]
    secrets = [{"name": name, "key": OTHER_KEY}]
    assert run("zfs_unlock", name=name, state="locked", secrets=secrets)["locked"] == [name]
    unlocked = run("zfs_unlock", name=name, secrets=secrets)
    assert (unlocked["unlocked"], unlocked["mounted"]) == ([name], [] if kind == "volume" else [name])
    assert provision(run, {"name": name, "state": "absent", "force_destroy": True})["changed"]


@pytest.mark.parametrize("last", ["a%b", "a+b", "é", "..", ".", "/a", "x" * 251])
def test_an_illegal_name_is_refused(run: Run, host: FakeOpenZFS, last: str) -> None:
    assert "is no name of a filesystem or volume" in provision(run, {"name": f"tank/{last}", "key": KEY})["msg"]
    assert host.changes == []


# Creation that fails half-way


@pytest.mark.parametrize("call", ["create", "mount"])
def test_what_fails_half_way_leaves_nothing_behind_and_spares_the_rest(run: Run, host: FakeOpenZFS, call: str) -> None:
    host.fail_on(call, "tank/b", CallFailed(f"tank/b: {call} failed"))
    task = [{"name": name, "key": KEY} for name in ("tank/a", "tank/b", "tank/b/below", "tank/c")]
    result = provision(run, *task)

    assert result["failed"]
    assert result["failures"]["tank/b"]["msg"] == f"tank/b: {call} failed"
    assert result["failures"]["tank/b"]["skipped"] == ["tank/b/below"]
    assert [action["dataset"] for action in result["actions"] if action["action"] == "create"] == ["tank/a", "tank/c"]
    assert set(host.datasets(["tank"]).datasets) == {"tank", "tank/a", "tank/c"}
    host.faults.clear()
    assert provision(run, *task)["failures"] == {}
    assert not provision(run, *task)["changed"]


def test_a_key_file_that_cannot_be_written_makes_no_dataset(run: Run, host: FakeOpenZFS) -> None:
    host.fail_on("write_key_file", "/etc/a.key", CallFailed("no space left"))
    result = provision(run, {"name": "tank/a", "key_file": "/etc/a.key", "generate_key": True})

    assert result["failures"]["tank/a"]["msg"] == "no space left"
    assert set(host.datasets(["tank"]).datasets) == {"tank"}


def test_a_generated_key_stays_and_serves_the_next_run(run: Run, host: FakeOpenZFS) -> None:
    host.fail_on("create", "tank/a", CallFailed("out of space"))
    task = {"name": "tank/a", "key_file": "/etc/a.key", "generate_key": True}
    provision(run, task)
    key = host.key_files["/etc/a.key"]
    host.faults.clear()

    assert provision(run, task)["failures"] == {}
    assert host.key_files["/etc/a.key"] == key


def test_a_new_dataset_that_cannot_be_taken_back_is_told(run: Run, host: FakeOpenZFS) -> None:
    host.fail_on("mount", "tank/a", CallFailed("tank/a cannot be mounted", reason="mount_failed"))
    host.fail_on("destroy", "tank/a", CallFailed("tank/a is busy", reason="busy"))
    result = provision(run, {"name": "tank/a", "key": KEY})

    assert result["failures"]["tank/a"]["msg"] == "tank/a cannot be mounted tank/a is busy"
    assert [action["action"] for action in result["actions"]] == ["create"]


@pytest.mark.parametrize("properties", [{"compression": "nonsense"}, {"quota": "a lot"}])
def test_a_value_that_openzfs_refuses_makes_no_dataset(run: Run, host: FakeOpenZFS, properties: dict[str, str]) -> None:
    result = provision(run, {"name": "tank/a", "key": KEY, "properties": properties})

    assert result["failed"]
    assert not result["changed"]
    assert set(host.datasets(["tank"]).datasets) == {"tank"}


# Clones, which keep the key of their origin wherever they lie


@pytest.mark.parametrize(("clone", "parent_has"), [("tank/o/c", "the key of tank/o"), ("tank/c", "no key")])
def test_of_a_clone_below_another_key_it_is_told_whose_key_it_keeps(
    run: Run, host: FakeOpenZFS, clone: str, parent_has: str
) -> None:
    provision(run, {"name": "tank/e", "key": KEY}, {"name": "tank/o", "key": OTHER_KEY})
    host.clone("tank/e", clone)
    task = {"name": clone, "state": "inherited"}
    result = provision(run, task)

    (warning,) = result["warnings"]
    assert f"{clone} inherits the key of tank/e, as a clone of tank/e@" in warning
    assert f"has {parent_has}. Keep that key as long as you keep the clone." in warning
    assert not result["changed"]
    assert run("zfs_dataset_key", check=True, **task)["warnings"] == [warning]


def test_what_lies_below_a_clone_inherits_from_there(run: Run, host: FakeOpenZFS) -> None:
    provision(run, {"name": "tank/e", "key": KEY}, {"name": "tank/o", "key": OTHER_KEY})
    host.clone("tank/e", "tank/o/c")
    task = {"name": "tank/o/c/new", "state": "inherited"}

    assert provision(run, task)["changed"]
    assert root_of(host, "tank/o/c/new") == "tank/e"
    assert not provision(run, task)["changed"]
