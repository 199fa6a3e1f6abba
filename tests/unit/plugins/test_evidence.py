# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down of what was done with keys: whole tasks, and chains that somebody tampered with."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import resource
import signal
import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._evidence import Evidence, NotRecorded, chains

from .acting import Controller, Died
from .trees import KEY_TEXT

ONE: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}]
TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "two"}]


@pytest.fixture
def place(controller: Controller, tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the controller's evidence lies."""
    controller.variables["zfsfleet_evidence"] = str(tmp_path)
    return tmp_path


def lines(place: pathlib.Path, host: str = "nas1") -> list[dict[str, t.Any]]:
    (file,) = (place / host).iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def short(place: pathlib.Path) -> list[str]:
    return [f"{line['module'].rpartition('.')[2]}: {line['action']} {line['dataset']}" for line in lines(place)]


def verified(controller: Controller, place: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_evidence_info", path=str(place), **options)


def test_every_operation_on_keys_is_a_line(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    controller.act("zfs_unlock", name="tank/a", state="locked", escrow=ONE)
    controller.act("zfs_key_retire", retain_days=0, retain_versions=0, escrow=ONE)
    controller.act("zfs_key_move", source=ONE, escrow=TWO)
    controller.act("zfs_key_move", source=ONE, escrow=TWO, clear_source=True)
    assert short(place) == [
        "zfs_dataset_key: escrow_key tank/a",
        "zfs_dataset_key: create tank/a",
        "zfs_key_rotate: escrow_key tank/a",
        "zfs_key_rotate: change_key tank/a",
        "zfs_key_rotate: deactivate_key tank/a",
        "zfs_unlock: unload_key tank/a",
        "zfs_key_retire: destroy_key tank/a",
        "zfs_key_retire: destroy_key tank/a",
        "zfs_key_move: move_key tank/a",
        "zfs_key_move: destroy_key tank/a",
    ]
    assert {line["host"] for line in lines(place)} == {"nas1"}
    (chain,) = verified(controller, place)["chains"]
    assert (chain["lines"], chain["problem"]) == (10, None)


def test_a_rotation_says_which_key_took_the_place_of_which(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    (row,) = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)["rotated"]
    changed, replaced = lines(place)[-2:]
    for name, column in {"key_id": "new_key_id", "old_key_id": "old_key_id", "keyguid": "keyguid"}.items():
        assert changed[name] == row[column]
    assert changed["receipts"] == row["receipts"]
    assert (replaced["action"], replaced["key_id"]) == ("deactivate_key", row["old_key_id"])


def test_a_key_that_was_begun_with_and_given_up_is_a_line(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    controller.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    begun = lines(place)[-1]["key_id"]
    controller.host.faults.clear()
    given = [{"name": "tank/a", "key": KEY_TEXT}]
    (row,) = controller.act("zfs_key_rotate", name="tank/a", new_keys=given, escrow=ONE)["rotated"]
    gone = [line["key_id"] for line in lines(place) if line["action"] == "deactivate_key"]
    assert sorted(gone) == sorted([begun, row["old_key_id"]])


def test_key_files_that_are_written_and_removed_are_lines(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key_file="/etc/zfs/a.key", generate_key=True, escrow=ONE)
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    (row,) = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)["rotated"]
    files = [line for line in lines(place) if "file" in line]
    assert [line["action"] for line in files] == [
        "write_key_file",
        "write_key_file",
        "write_key_file",
        "remove_key_file",
    ]
    new, old = row["new_key_id"], row["old_key_id"]
    assert [(line["key_id"], line["file"]) for line in files[2:]] == [
        (new, f"/etc/zfs/a.{new.partition('.')[2]}.key"),
        (old, f"/etc/zfs/a.{old.partition('.')[2]}.key"),
    ]
    assert not files[-1].keys() & {"old_key_id", "receipts"}


def test_a_new_key_says_what_finds_it(controller: Controller, place: pathlib.Path) -> None:
    created = controller.act("zfs_dataset_key", name="tank/a", escrow=[*ONE, *TWO])
    for line in lines(place):
        assert line["receipts"] == created["receipts"]["tank/a"]
        assert sorted(line["receipts"]) == ["one", "two"]
    assert controller.act("zfs_dataset_key", name="tank/a", escrow=[*ONE, *TWO])["receipts"] == {}


def test_a_rotation_that_failed_names_the_key_that_waits_in_escrow(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    controller.host.fail_on("change_key", "tank/a", CallFailed("the pool is full", errno=28))
    failure = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)["failures"]["tank/a"]
    (waiting,) = (key_id for key_id, each in controller.drawer("one").entries_by_id.items() if each.state != "active")
    last = lines(place)[-1]
    assert (last["result"], last["key_id"], failure["key_id"]) == ("failed", str(waiting), str(waiting))


def test_a_failure_is_a_line_too(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    controller.act("zfs_unlock", name="tank/a", state="locked", verify_key=False)
    controller.act("zfs_unlock", name="tank/a", secrets=[{"name": "tank/a", "key": "cd" * 32}])
    last = lines(place)[-1]
    assert (last["dataset"], last["result"], last["reason"]) == ("tank/a", "failed", "wrong_key")


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("zfs_key_retire", {"retain_days": 0, "retain_versions": 0, "escrow": ONE}),
        ("zfs_key_move", {"source": ONE, "escrow": TWO, "clear_source": True}),
    ],
)
def test_a_version_that_stays_where_it_was_to_go_is_a_line_of_its_dataset(
    controller: Controller, place: pathlib.Path, module: str, options: dict[str, t.Any]
) -> None:
    first = controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["key_ids"]["tank/a"]
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    controller.drawer("one").failing["destroy"] = BackendFailed("one is read-only.")
    failed = controller.act(module, **options)
    assert "one is read-only." in failed["failures"][first]["msg"]
    told = [(line["dataset"], line["key_id"]) for line in lines(place) if line["result"] == "failed"]
    assert ("tank/a", first) in told


@pytest.mark.parametrize("place_of_death", ["before destroy in one", "after destroy in one"])
def test_a_key_is_written_down_before_it_is_destroyed(
    controller: Controller, place: pathlib.Path, place_of_death: str
) -> None:
    names = [{"name": "tank/a"}, {"name": "tank/b"}]
    created = controller.act("zfs_dataset_key", datasets=names, escrow=ONE)["key_ids"]
    controller.act("zfs_key_rotate", name="tank", recursive=True, max_age_days=0, escrow=ONE)
    before = len(lines(place))

    def die(where: str) -> None:
        if where == place_of_death:
            raise Died

    controller.moment = die
    with pytest.raises(Died):
        controller.act("zfs_key_retire", retain_days=0, retain_versions=0, escrow=ONE)
    (begun,) = lines(place)[before:]
    assert (begun["action"], begun["result"], begun["key_id"]) == ("destroy_key", "begun", created["tank/a"])


def test_a_key_is_written_down_before_it_is_destroyed_by_hand(controller: Controller, place: pathlib.Path) -> None:
    first = controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["key_ids"]["tank/a"]
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    before = len(lines(place))
    controller.act("zfs_key_escrow", key_id=first, state="absent", force_destroy=True, escrow=ONE)
    told = [(line["action"], line["result"], line["key_id"]) for line in lines(place)[before:]]
    assert told == [("destroy_key", "begun", first), ("destroy_key", "done", first)]


def test_a_key_that_cannot_be_written_down_before_is_not_destroyed(
    controller: Controller, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)["key_ids"]["tank/a"]
    controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)

    def refuse(*_any: t.Any) -> None:
        raise NotRecorded("There is no space left.")

    monkeypatch.setattr(Evidence, "append", refuse)
    result = controller.act("zfs_key_retire", retain_days=0, retain_versions=0, escrow=ONE)
    assert (result["failed"], result["destroyed"], result["changed"]) == (True, [], False)
    assert f"The key {first} of tank/a is left as it is" in result["msg"]
    by_hand = controller.act("zfs_key_escrow", key_id=first, state="absent", force_destroy=True, escrow=ONE)
    assert f"The key {first} of tank/a is left as it is" in by_hand["msg"]
    assert first in [str(each) for each in controller.drawer("one").keys]


def test_an_export_is_a_line_for_each_key(
    controller: Controller, place: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT)
    dest = str(tmp_path_factory.mktemp("asked") / "keys.json")
    exported = controller.act("zfs_key_export", name="tank/a", secrets=[{"name": "tank/a", "key": KEY_TEXT}], dest=dest)
    assert not exported.get("failed"), exported["msg"]
    assert short(place)[-1] == "zfs_key_export: export_key tank/a"


def test_no_key_is_in_it(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT, escrow=ONE)
    assert KEY_TEXT not in json.dumps(lines(place))


def test_check_mode_writes_nothing(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE, check=True)
    assert list(place.iterdir()) == []


def test_nothing_is_done_that_cannot_be_written_down(controller: Controller, tmp_path: pathlib.Path) -> None:
    controller.variables["zfsfleet_evidence"] = str(tmp_path / "none")
    result = controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    assert "Evidence cannot be written to" in result["msg"]
    assert controller.calls == []


def test_two_runs_do_not_write_at_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Evidence.__module__}._PATIENCE", 0.2)
    with (
        contextlib.closing(Evidence(str(tmp_path), "nas1")) as first,
        contextlib.closing(Evidence(str(tmp_path), "nas1")) as second,
    ):
        (path,) = (tmp_path / "nas1").iterdir()
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(NotRecorded, match="Another run writes"):
                first.append("zfs_unlock", EVENTS)
        for evidence in (first, second, first):
            evidence.append("zfs_unlock", EVENTS)
    (chain,) = chains(str(tmp_path))
    assert (chain.lines, chain.problem) == (3, None)


def test_a_refusal_is_a_line(controller: Controller, place: pathlib.Path) -> None:
    controller.drawer("one").failing["put"] = BackendFailed("one is full.")
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    assert [(line["action"], line["result"]) for line in lines(place)] == [("none", "refused")]


def test_a_disk_that_fills_up_loses_no_result(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    (file,) = (place / "nas1").iterdir()
    with at_most(file.stat().st_size + 10):
        result = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    assert result["failed"]
    assert "What was done is done, but is not in" in result["msg"]
    assert [row["dataset"] for row in result["rotated"]] == ["tank/a"]
    controller.act("zfs_unlock", name="tank/a", state="locked", escrow=ONE)
    (chain,) = verified(controller, place)["chains"]
    assert (chain["torn"], chain["problem"]) == ([3], None)


@contextlib.contextmanager
def at_most(size: int) -> t.Iterator[None]:
    """Let no file grow beyond a size, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def lost(controller: Controller, module: str, number: int = 1) -> None:
    """Lose the connection to the host before a module that changes it runs for this time."""
    left = number

    def lose(where: str) -> None:
        nonlocal left
        left -= where == f"before {module}"
        if left == 0:
            raise AnsibleConnectionFailure("the host is gone")

    controller.moment = lose


def test_keys_that_were_put_before_the_host_was_lost_are_lines(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    lost(controller, "zfs_dataset_key", 2)  # after the rehearsal
    with pytest.raises(AnsibleConnectionFailure):
        controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    *_before, put, ending = lines(place)
    waiting = next(entry for entry in controller.drawer("one").entries_by_id.values() if entry.state == "pre-active")
    assert (put["action"], put["dataset"], put["key_id"]) == ("escrow_key", "tank/a", str(waiting.key_id))
    assert list(put["receipts"]) == ["one"]
    assert (ending["action"], ending["result"]) == ("none", "unreachable")


def test_keys_that_were_put_before_a_place_failed_are_lines(controller: Controller, place: pathlib.Path) -> None:
    controller.drawer("two").failing["put"] = BackendFailed("two is full.")
    controller.act("zfs_dataset_key", name="tank/a", escrow=[*ONE, *TWO])
    assert [(line["action"], line["result"]) for line in lines(place)] == [("escrow_key", "done"), ("none", "refused")]
    assert list(lines(place)[0]["receipts"]) == ["one"]


def test_what_was_changed_before_the_host_was_lost_is_a_line(controller: Controller, place: pathlib.Path) -> None:
    controller.act("zfs_dataset_key", name="tank/a", escrow=ONE)
    lost(controller, "zfs_encryption_info", 3)  # the look that proves
    failed = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, escrow=ONE)
    assert "What was done could not be verified: the host is gone" in failed["failures"]["tank/a"]["msg"]
    assert [(line["action"], line["result"]) for line in lines(place)[2:]] == [
        ("escrow_key", "done"),
        ("change_key", "done"),
        ("none", "failed"),
    ]


@pytest.mark.parametrize("module", ["command", "zfs_encryption_info"])
def test_a_host_that_is_lost_when_all_is_noted_loses_no_result(
    controller: Controller, place: pathlib.Path, module: str
) -> None:
    controller.act("zfs_dataset_key", name="tank/a", key_file="/etc/zfs/a.key", generate_key=True, escrow=ONE)
    lost(controller, module, 1 if module == "command" else 4)
    result = controller.act("zfs_key_rotate", name="tank/a", max_age_days=0, remove_named_files=True, escrow=ONE)
    assert [row["dataset"] for row in result["rotated"]] == ["tank/a"]
    assert "may be left on the host: the host is gone" in result["warnings"][-1]
    changed = next(line for line in lines(place) if line["action"] == "change_key")
    assert changed["key_id"] == result["rotated"][0]["new_key_id"]


def test_who_has_no_name_is_known_by_number(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with contextlib.closing(Evidence(str(tmp_path), "nas1")) as evidence:
        evidence.append("zfs_unlock", EVENTS)
    assert lines(tmp_path)[0]["user"] == str(os.getuid())


# -- tampering

EVENTS = [{"dataset": "tank/a", "action": "load_key", "result": "done"}]


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    """A chain of four lines, written in two runs."""
    for number in range(2):
        evidence = Evidence(str(tmp_path), "nas1")
        evidence.append("zfs_unlock", [{"dataset": f"tank/{number}{each}", "action": "load_key"} for each in "ab"])
        evidence.close()
    (found,) = (tmp_path / "nas1").iterdir()
    return found


def problem(file: pathlib.Path) -> str | None:
    (chain,) = chains(str(file.parent.parent))
    return chain.problem


def test_an_untouched_chain_is_whole(file: pathlib.Path) -> None:
    assert problem(file) is None


def test_a_changed_line_is_found(file: pathlib.Path) -> None:
    file.write_text(file.read_text().replace("tank/0b", "tank/9b"))
    assert "Line 3 does not follow the line before it" in str(problem(file))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_line_that_was_taken_out_is_found(file: pathlib.Path, number: int) -> None:
    kept = file.read_text().splitlines(keepends=True)
    del kept[number]
    file.write_text("".join(kept))
    assert f"Line {number + 1} does not follow" in str(problem(file))


def test_a_line_that_was_put_in_is_found(file: pathlib.Path) -> None:
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([first, first, *rest]))
    assert "Line 2 does not follow" in str(problem(file))


def test_lines_taken_off_the_end_are_found_by_whoever_noted_the_head(
    controller: Controller, file: pathlib.Path
) -> None:
    place = file.parent.parent
    heads = verified(controller, place)["heads"]
    evidence = Evidence(str(place), "nas1")
    evidence.append("zfs_unlock", [{"dataset": "tank/later", "action": "load_key"}])
    evidence.close()
    assert not verified(controller, place, heads=heads).get("failed")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:3]))
    assert problem(file) is None
    assert "does not go through the head" in verified(controller, place, heads=heads)["msg"]


@pytest.mark.parametrize("length", [1, 40, 100, -1])
def test_what_a_killed_run_left_is_told_and_breaks_no_chain(
    controller: Controller, file: pathlib.Path, length: int
) -> None:
    *before, last = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*before, last.rstrip("\n")[:length]]))
    place = file.parent.parent
    result = verified(controller, place)
    assert "a run was killed while it wrote line 4" in result["warnings"][0]
    assert (result.get("failed"), result["chains"][0]["torn"]) == (None, [4])
    with contextlib.closing(Evidence(str(place), "nas1")) as evidence:
        evidence.append("zfs_unlock", [{"dataset": "tank/next", "action": "load_key"}])
    (chain,) = verified(controller, place, heads=result["heads"])["chains"]
    assert (chain["lines"], chain["torn"], chain["problem"]) == (5, [4], None)
    assert json.loads(file.read_text().splitlines()[-1])["dataset"] == "tank/next"


def test_what_is_no_beginning_of_a_line_is_found(file: pathlib.Path) -> None:
    with file.open("a") as foreign:
        foreign.write('{"previous":"half a li')
    assert "Line 5 is no evidence" in str(problem(file))


def test_the_chain_of_another_host_is_found(file: pathlib.Path) -> None:
    other = file.parent.parent / "nas2"
    other.mkdir()
    (other / file.name).write_bytes(file.read_bytes())
    assert [chain.problem for chain in chains(str(file.parent.parent))][1] == (
        "Line 1 is about nas1: the chain of another host was put here."
    )


def test_an_empty_chain_has_a_head_that_it_goes_through(controller: Controller, tmp_path: pathlib.Path) -> None:
    Evidence(str(tmp_path), "nas1").close()
    heads = verified(controller, tmp_path)["heads"]
    with contextlib.closing(Evidence(str(tmp_path), "nas1")) as evidence:
        evidence.append("zfs_unlock", EVENTS)
    assert not verified(controller, tmp_path, heads=heads).get("failed")


def test_only_its_owner_reads_it(file: pathlib.Path) -> None:
    assert os.stat(file).st_mode & 0o777 == 0o600
