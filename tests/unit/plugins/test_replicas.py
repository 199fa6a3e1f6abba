# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicas: which changes of keys they forbid, and how a broken hierarchy is mended, as whole runs on the fake."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._dataset_wanted import batch_wanted
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Binding
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset, Property
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_dataset import plan_dataset
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE, observed, root

RECEIVED = Property("on", "received")
NEW_KEY_TEXT = "0c" * 32
CHANGE: dict[str, t.Any] = {"key": NEW_KEY_TEXT, "update_key": "always", "current": {"key": KEY_TEXT}}


def read(host: FakeOpenZFS, name: str) -> Dataset:
    found = host.dataset(name)
    assert found is not None
    return found


def refused(host: FakeOpenZFS, run: Run, **params: t.Any) -> str:
    """Run zfs_dataset_key, in check mode and for real, and see that it refuses and changes nothing."""
    before = len(host.changes)
    foreseen = run("zfs_dataset_key", check=True, **params)
    result = run("zfs_dataset_key", **params)
    assert result["failed"]
    assert foreseen["msg"] == result["msg"]
    assert len(host.changes) == before
    return str(result["msg"])


@pytest.fixture
def replica(host: FakeOpenZFS, run: Run) -> str:
    """A replica below a root of this host, with the sender's key, which is loaded."""
    run("zfs_dataset_key", datasets=[{"name": "tank/src", "key": OTHER_KEY_TEXT}, {"name": "tank/r", "key": KEY_TEXT}])
    host.replicate("tank/src", "tank/r/c", properties=False)
    host.load_key(read(host, "tank/r/c"), OTHER_KEY)
    return "tank/r/c"


@pytest.fixture
def broken(host: FakeOpenZFS, run: Run, replica: str) -> str:
    """A replica that inherits the key of tank/r, unlocked and unreadable since the last increment."""
    run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)
    host.replicate("tank/src", replica, properties=False)
    return replica


# -- what still receives

INTO_A_REPLICA: list[t.Any] = [
    pytest.param({"state": "inherited", "replication_ended": True}, id="inherit"),
    pytest.param({"key": NEW_KEY_TEXT, "update_key": "always", "current": {"key": OTHER_KEY_TEXT}}, id="another key"),
]


@pytest.mark.parametrize("wish", INTO_A_REPLICA)
def test_a_running_increment_keeps_the_key_from_being_touched(
    host: FakeOpenZFS, run: Run, replica: str, wish: dict[str, t.Any]
) -> None:
    with host.replication.running("tank/src", replica):
        sentence = refused(host, run, name=replica, **wish)
    assert "still receives a replica" in sentence
    assert "Let that end" in sentence
    assert run("zfs_dataset_key", name=replica, **wish)["changed"]


@pytest.mark.parametrize("wish", INTO_A_REPLICA)
def test_so_does_one_that_broke_off_and_can_be_resumed(
    host: FakeOpenZFS, run: Run, replica: str, wish: dict[str, t.Any]
) -> None:
    host.replication.break_off("tank/src", replica)
    assert f"'zfs receive -A {replica}'" in refused(host, run, name=replica, **wish)


def test_so_does_a_member_that_receives(host: FakeOpenZFS, run: Run, replica: str) -> None:
    run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)
    with host.replication.running("tank/src", replica):
        assert f"{replica} still receives" in refused(host, run, name="tank/r", **CHANGE)
        assert f"{replica} still receives" in refused(host, run, name=replica, key=NEW_KEY_TEXT)


def test_so_does_what_receives_below_a_pools_root_dataset(host: FakeOpenZFS, run: Run) -> None:
    host.add_pool("vault", {"encryption": "on", "keyformat": "hex"}, KEY)
    run("zfs_dataset_key", name="tank/src", key=OTHER_KEY_TEXT)
    host.replicate("tank/src", "vault/c", properties=False)
    host.load_key(read(host, "vault/c"), OTHER_KEY)
    run("zfs_dataset_key", name="vault/c", state="inherited", replication_ended=True)
    with host.replication.running("tank/src", "vault/c"):
        result = run("zfs_encrypted_pool", name="vault", **CHANGE)
    assert "vault/c still receives" in result["msg"]


def test_what_receives_is_not_read_from(host: FakeOpenZFS, run: Run, replica: str) -> None:
    with host.replication.running("tank/src", replica):
        run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)
    assert ("prove_readable", replica) not in host.calls


# -- what was received


def test_a_replica_inherits_only_if_its_replication_is_said_to_have_ended(
    host: FakeOpenZFS, run: Run, replica: str
) -> None:
    sentence = refused(host, run, name=replica, state="inherited")
    assert "is a replica (tank/r/c@0 is older than it)" in sentence
    assert "replication_ended: true" in sentence
    assert run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)["changed"]


def test_received_properties_show_a_replica_too() -> None:
    received = replace(root("tank/r/a"), properties={**root("tank/r/a").properties, "readonly": RECEIVED})
    entry = {"name": "tank/r/a", "state": "inherited"}
    with pytest.raises(Refused, match="properties of it were received"):
        plan_dataset(batch_wanted(entry), observed(root("tank/r"), received))
    assert plan_dataset(batch_wanted({**entry, "replication_ended": True}), observed(root("tank/r"), received)).groups


@pytest.mark.parametrize("brings_properties", [True, False])
def test_another_key_for_a_replica_is_set_with_a_warning(
    host: FakeOpenZFS, run: Run, replica: str, brings_properties: bool
) -> None:
    host.set_properties("tank/src", {"readonly": "on"})
    host.replicate("tank/src", replica, properties=brings_properties)
    wish = {**CHANGE, "current": {"key": OTHER_KEY_TEXT}}
    (warning,) = run("zfs_dataset_key", name=replica, **wish)["warnings"]
    assert "The key of tank/r/c changes, which was received from elsewhere" in warning
    assert run("zfs_dataset_key", name=replica, **wish)["warnings"] == []


def test_a_key_around_a_replica_or_of_one_that_has_ended_is_set_without_a_word(
    host: FakeOpenZFS, run: Run, replica: str
) -> None:
    ended: dict[str, t.Any] = {"key": NEW_KEY_TEXT, "current": {"key": OTHER_KEY_TEXT}, "update_key": "always"}
    assert run("zfs_dataset_key", name=replica, replication_ended=True, **ended)["warnings"] == []
    assert not [name for call, name in host.calls if call == "received_snapshots"]
    run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)
    assert run("zfs_dataset_key", name="tank/r", **CHANGE)["warnings"] == []


# -- what is broken


def test_no_key_is_changed_above_a_broken_replica(host: FakeOpenZFS, run: Run, broken: str) -> None:
    assert "would crash the pool" in refused(host, run, name="tank/r", **CHANGE)
    assert "would crash the pool" in refused(host, run, name=broken, key=NEW_KEY_TEXT)


def test_no_root_inherits_above_a_broken_replica(host: FakeOpenZFS, run: Run) -> None:
    pair = [{"name": "tank/src", "key": OTHER_KEY_TEXT}, {"name": "tank/r", "key": KEY_TEXT}]
    run("zfs_dataset_key", datasets=[*pair, {"name": "tank/r/own", "key": NEW_KEY_TEXT}])
    host.replicate("tank/src", "tank/r/own/c", properties=False)
    host.load_key(read(host, "tank/r/own/c"), OTHER_KEY)
    run("zfs_dataset_key", name="tank/r/own/c", state="inherited", replication_ended=True)
    host.replicate("tank/src", "tank/r/own/c", properties=False)
    sentence = refused(host, run, name="tank/r/own", state="inherited", replication_ended=True)
    assert "tank/r/own/c inherits from tank/r/own, but" in sentence


def test_a_root_whose_loaded_key_an_increment_has_replaced_keeps_it(host: FakeOpenZFS, run: Run, replica: str) -> None:
    run("zfs_dataset_key", name="tank/src", **{**CHANGE, "current": {"key": OTHER_KEY_TEXT}})
    host.replicate("tank/src", replica, properties=False)
    sentence = refused(host, run, name=replica, key=KEY_TEXT, update_key="always", current={"key": NEW_KEY_TEXT})
    assert "unlock it with the sender's present key" in sentence


@pytest.mark.parametrize("volume", ["tank/r/disk", "tank/disk"])
def test_what_has_no_device_and_no_salt_is_not_wrapped_anew(host: FakeOpenZFS, run: Run, volume: str) -> None:
    own: dict[str, t.Any] = {"state": "inherited"} if "/r/" in volume else {"key": KEY_TEXT}
    run("zfs_dataset_key", name="tank/r", key=KEY_TEXT)
    run("zfs_dataset_key", name=volume, volsize="1M", properties={"volmode": "none"}, **own)
    named = "tank/r" if "/r/" in volume else volume
    assert "has no device (volmode=none)" in refused(host, run, name=named, **CHANGE)


def test_an_equal_salt_proves_as_much_as_reading(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/r", passphrase="correct horse", pbkdf2iters=100000)
    run("zfs_dataset_key", name="tank/r/disk", state="inherited", volsize="1M", properties={"volmode": "none"})
    current = {"passphrase": "correct horse"}
    result = run("zfs_dataset_key", name="tank/r", key=NEW_KEY_TEXT, update_key="always", current=current)
    assert result["changed"]


# -- re-pointing

HEAL: dict[str, t.Any] = {"key": OTHER_KEY_TEXT, "repoint": True}
BACK: dict[str, t.Any] = {"state": "inherited", "repoint": True, "current": {"key": OTHER_KEY_TEXT}}


def test_a_broken_replica_becomes_a_root_with_its_senders_key(host: FakeOpenZFS, run: Run, broken: str) -> None:
    assert run("zfs_dataset_key", check=True, name=broken, **HEAL)["changed"]
    result = run("zfs_dataset_key", name=broken, **HEAL)
    assert [each["action"] for each in result["actions"]] == ["repoint"]
    healed = read(host, broken)
    assert healed.is_encryption_root
    assert healed.is_key_loaded
    host.prove_readable(healed)
    assert not run("zfs_dataset_key", name=broken, **HEAL)["changed"]


def test_it_takes_increments_as_before_and_its_old_root_can_change_its_key(
    host: FakeOpenZFS, run: Run, broken: str
) -> None:
    run("zfs_dataset_key", name=broken, **HEAL)
    host.replicate("tank/src", broken, properties=False)
    host.prove_readable(read(host, broken))
    assert run("zfs_dataset_key", name="tank/r", **CHANGE)["changed"]


def test_a_key_that_does_not_open_it_leaves_it_as_it_was(host: FakeOpenZFS, run: Run, broken: str) -> None:
    before = read(host, broken)
    result = run("zfs_dataset_key", name=broken, key=NEW_KEY_TEXT, repoint=True)
    assert result["failures"][broken]["reason"] == "wrong_key"
    assert not result["changed"]
    assert read(host, broken) == before


def test_what_inherits_through_it_and_does_not_open_leaves_all_as_it_was(
    host: FakeOpenZFS, run: Run, replica: str
) -> None:
    run("zfs_dataset_key", name=replica, state="inherited", replication_ended=True)
    run("zfs_dataset_key", name=f"{replica}/here", state="inherited", properties={"canmount": "noauto"})
    host.replicate("tank/src", replica, properties=False)
    before = read(host, replica)
    result = run("zfs_dataset_key", name=replica, **HEAL)
    assert f"{replica}/here cannot be read" in result["msg"]
    assert read(host, replica) == before
    run("zfs_dataset_key", name=f"{replica}/here", key=KEY_TEXT, repoint=True)
    assert run("zfs_dataset_key", name=replica, **HEAL)["changed"]


def test_a_run_that_died_in_between_is_finished_or_taken_back(host: FakeOpenZFS, run: Run, broken: str) -> None:
    host.repoint(broken)
    assert run("zfs_dataset_key", name=broken, **HEAL)["already"] == [broken]
    assert "no key was given that opens both" in refused(host, run, name=broken, **BACK)


def test_one_that_cannot_be_taken_back_is_told(host: FakeOpenZFS, run: Run, broken: str) -> None:
    host.fail_on("reattach", broken, CallFailed("tank/r/c is stuck."))
    sentence = run("zfs_dataset_key", name=broken, key=NEW_KEY_TEXT, repoint=True)["msg"]
    assert "does not open tank/r/c" in sentence
    assert "tank/r/c is stuck. tank/r/c is an encryption root of its own now" in sentence


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        pytest.param({"repoint": True}, "without the key that its sender has", id="no key"),
        pytest.param({**HEAL, "keyformat": "raw"}, "its key is a hex as its sender has it", id="another format"),
        pytest.param({"passphrase": "correct horse", "repoint": True}, "no key for keyformat hex", id="a passphrase"),
        pytest.param({"key_file": "/k", "generate_key": True, "repoint": True}, "generate none", id="a new key"),
    ],
)
def test_a_re_pointing_that_makes_no_sense_is_refused(
    host: FakeOpenZFS, run: Run, broken: str, wish: dict[str, t.Any], sentence: str
) -> None:
    assert sentence in refused(host, run, name=broken, **wish)


def test_nothing_is_re_pointed_while_it_is_mounted(host: FakeOpenZFS, run: Run, replica: str) -> None:
    host.mount(replica)
    assert f"while {replica} is mounted" in refused(host, run, name=replica, **BACK)


def test_nothing_is_re_pointed_without_libzfs_core(
    host: FakeOpenZFS, run: Run, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "binding", lambda: Binding("cli", "python3", "3.13", "zfs-2.3.9"))
    assert "Install python3-pyzfs" in refused(host, run, name=broken, **HEAL)


def test_nothing_is_re_pointed_while_it_receives(host: FakeOpenZFS, run: Run, broken: str) -> None:
    with host.replication.running("tank/src", broken):
        assert "still receives" in refused(host, run, name=broken, **HEAL)


@pytest.fixture
def apart(host: FakeOpenZFS, run: Run) -> str:
    """A child of a replicated tree that arrived by itself, so it is a root, with the key of its parent's root."""
    run("zfs_dataset_key", datasets=[{"name": "tank/src", "key": OTHER_KEY_TEXT}])
    run("zfs_dataset_key", datasets=[{"name": "tank/src/child", "state": "inherited"}])
    host.replicate("tank/src", "tank/copy", properties=False)
    host.replicate("tank/src/child", "tank/copy/child", properties=False)
    return "tank/copy/child"


def test_a_root_with_its_parents_key_is_attached_and_stays_a_replica(host: FakeOpenZFS, run: Run, apart: str) -> None:
    assert run("zfs_dataset_key", check=True, name=apart, **BACK)["changed"]
    result = run("zfs_dataset_key", name=apart, **BACK)
    assert [each["action"] for each in result["actions"]] == ["reattach"]
    assert read(host, apart).encryption_root == "tank/copy"
    assert not run("zfs_dataset_key", name=apart, **BACK)["changed"]
    host.load_key(read(host, "tank/copy"), OTHER_KEY)
    host.replicate("tank/src/child", apart, properties=False)
    host.prove_readable(read(host, apart))


def test_it_is_locked_for_that_and_opens_with_its_new_root(host: FakeOpenZFS, run: Run, apart: str) -> None:
    for name in ("tank/copy", apart):
        host.load_key(read(host, name), OTHER_KEY)
    run("zfs_dataset_key", name=apart, **BACK)
    assert read(host, apart).is_key_loaded
    host.prove_readable(read(host, apart))


def test_its_key_may_come_from_the_key_file_of_its_new_root(host: FakeOpenZFS, run: Run, apart: str) -> None:
    host.key_files["/k"] = OTHER_KEY_TEXT.encode()
    host.set_properties("tank/copy", {"keylocation": "file:///k"})
    assert run("zfs_dataset_key", name=apart, state="inherited", repoint=True)["changed"]


def test_a_root_with_another_key_is_not_attached(host: FakeOpenZFS, run: Run, replica: str) -> None:
    assert "no key was given that opens both" in refused(host, run, name=replica, **BACK)
    assert "no key was given that opens both" in refused(host, run, name=replica, state="inherited", repoint=True)


def test_a_root_with_another_salt_is_not_attached(host: FakeOpenZFS, run: Run) -> None:
    same = {"passphrase": "correct horse", "pbkdf2iters": 100000}
    run("zfs_dataset_key", datasets=[{"name": "tank/p", **same}, {"name": "tank/p/own", **same}])
    host.unmount("tank/p/own")
    wish = {"state": "inherited", "repoint": True, "current": {"passphrase": "correct horse"}}
    assert "pbkdf2salt and those of tank/p differ" in refused(host, run, name="tank/p/own", **wish)


def test_nothing_is_attached_to_a_key_that_the_same_batch_changes(host: FakeOpenZFS, run: Run, apart: str) -> None:
    change = {**CHANGE, "current": {"key": OTHER_KEY_TEXT}}
    batch = [{"name": "tank/copy", **change}, {"name": apart, **BACK}]
    assert "is not re-pointed" in refused(host, run, datasets=batch)


# -- healing by wrapping anew


@pytest.fixture
def mounted(host: FakeOpenZFS, run: Run) -> str:
    """A broken replica of a root with a passphrase, mounted since before it broke."""
    own = {"name": "tank/src", "passphrase": "correct horse", "pbkdf2iters": 100000}
    run("zfs_dataset_key", datasets=[own, {"name": "tank/r", "key": KEY_TEXT}])
    host.replicate("tank/src", "tank/r/c", properties=False)
    host.load_key(read(host, "tank/r/c"), PASSPHRASE)
    run("zfs_dataset_key", name="tank/r/c", state="inherited", replication_ended=True)
    host.mount("tank/r/c")
    host.replicate("tank/src", "tank/r/c", properties=False)
    return "tank/r/c"


def is_healed(host: FakeOpenZFS, name: str) -> bool:
    host.unmount(name)
    host.prove_readable(read(host, name))
    return read(host, name).keyformat == "hex"


def test_what_is_broken_and_mounted_is_wrapped_anew_only_if_that_is_asked_for(
    host: FakeOpenZFS, run: Run, mounted: str
) -> None:
    assert "heal: true lets the change wrap it too" in refused(host, run, name="tank/r", **CHANGE)
    assert run("zfs_dataset_key", name="tank/r", heal=True, **CHANGE)["changed"]
    assert is_healed(host, mounted)


def test_a_root_gets_the_key_that_it_has_to_heal_what_is_below_it(host: FakeOpenZFS, run: Run, mounted: str) -> None:
    wish: dict[str, t.Any] = {"key": KEY_TEXT, "update_key": "always", "heal": True}
    assert run("zfs_dataset_key", check=True, name="tank/r", **wish)["changed"]
    assert run("zfs_dataset_key", name="tank/r", **wish)["changed"]
    assert not run("zfs_dataset_key", name="tank/r", **wish)["changed"]
    assert is_healed(host, mounted)


def test_what_is_broken_and_not_mounted_is_never_wrapped_anew(host: FakeOpenZFS, run: Run, mounted: str) -> None:
    host.unmount(mounted)
    sentence = refused(host, run, name="tank/r", heal=True, **CHANGE)
    assert "by state: present and repoint: true" in sentence


def test_a_locked_root_heals_nothing(host: FakeOpenZFS, run: Run, mounted: str) -> None:
    host.unmount(mounted)
    run("zfs_unlock", name="tank/r", state="locked", verify_key=False)
    assert "would crash the pool" in refused(host, run, name="tank/r", heal=True, **CHANGE)


def test_one_that_is_unmounted_at_the_last_moment_keeps_the_key_from_being_touched(
    host: FakeOpenZFS, run: Run, mounted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_open = host.keep_open

    def late(datasets: t.Sequence[Dataset]) -> t.ContextManager[None]:
        host.unmount(mounted)
        return keep_open(datasets)

    monkeypatch.setattr(host, "keep_open", late)
    result = run("zfs_dataset_key", name="tank/r", heal=True, **CHANGE)
    assert "is no longer in use, so the key was not touched" in result["msg"]
    assert host.verify(read(host, "tank/r"), KEY).outcome == "opens"


def test_what_is_mounted_is_kept_open_whatever_it_is_wrapped_with(
    host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    run("zfs_dataset_key", name="tank/r", key=KEY_TEXT)
    children: list[dict[str, t.Any]] = [{"name": "tank/r/a"}, {"name": "tank/r/v", "volsize": "1M"}]
    run("zfs_dataset_key", state="inherited", datasets=children)

    def keep_open(datasets: t.Sequence[Dataset]) -> t.ContextManager[None]:
        kept.extend(dataset.name for dataset in datasets)
        return contextlib.nullcontext()

    monkeypatch.setattr(host, "keep_open", keep_open)
    run("zfs_dataset_key", name="tank/r", **CHANGE)
    assert kept == ["tank/r/a", "tank/r/v"]


# -- locking what only its use keeps readable


def close(run: Run, task: str, **params: t.Any) -> dict[str, t.Any]:
    """Lock the root, or export its pool, as check mode foretells."""
    secrets = [{"name": "tank/r", "key": KEY_TEXT}, {"name": "tank/src", "passphrase": "correct horse"}]
    name, state = {"zfs_unlock": ("tank/r", "locked"), "zfs_encrypted_pool": ("tank", "exported")}[task]
    wish: dict[str, t.Any] = {"name": name, "state": state, "secrets": secrets, **params}
    foretold = run(task, check=True, **wish)
    result = run(task, **wish)
    assert foretold["failures"] == result["failures"]
    return result


CLOSING = pytest.mark.parametrize("task", ["zfs_unlock", "zfs_encrypted_pool"], ids=["lock", "export"])


@CLOSING
def test_what_would_not_open_again_keeps_its_root_from_being_closed(
    host: FakeOpenZFS, run: Run, mounted: str, task: str
) -> None:
    result = close(run, task)
    kept = {"zfs_unlock": "tank/r stays unlocked", "zfs_encrypted_pool": "Pool tank stays imported"}[task]
    assert (result["changed"], result["failures"].keys()) == (False, {"tank/r"})
    assert result["failures"]["tank/r"]["reason"] == "wrong_key"
    assert result["failures"]["tank/r"]["msg"] == (
        f"Another key than that of tank/r wraps {mounted}, as after a raw replication. It can be read only as long as "
        f"it is in use, so locking would close it for good. {kept}. Until then zfs_dataset_key heals it, by heal: true "
        "and update_key: always with the key that tank/r has; verify_key: false closes it all the same."
    )
    assert read(host, mounted).is_mounted
    assert run("zfs_dataset_key", name="tank/r", key=KEY_TEXT, update_key="always", heal=True)["changed"]
    assert close(run, task)["changed"]


@CLOSING
def test_what_would_not_open_again_is_closed_if_that_is_said(
    host: FakeOpenZFS, run: Run, mounted: str, task: str
) -> None:
    assert read(host, mounted).is_mounted
    assert close(run, task, verify_key=False)["changed"]


@CLOSING
def test_what_is_not_in_use_loses_nothing_by_a_lock(host: FakeOpenZFS, run: Run, mounted: str, task: str) -> None:
    host.unmount(mounted)
    assert close(run, task)["changed"]


@CLOSING
def test_a_volume_that_would_not_open_again_counts_while_it_is_open(host: FakeOpenZFS, run: Run, task: str) -> None:
    own = {"name": "tank/src", "passphrase": "correct horse", "pbkdf2iters": 100000, "volsize": "1M"}
    run("zfs_dataset_key", datasets=[own, {"name": "tank/r", "key": KEY_TEXT}])
    host.replicate("tank/src", "tank/r/v", properties=False)
    host.load_key(read(host, "tank/r/v"), PASSPHRASE)
    run("zfs_dataset_key", name="tank/r/v", state="inherited", replication_ended=True)
    with host.hold("tank/r/v"):
        host.replicate("tank/src", "tank/r/v", properties=False)
        assert "wraps tank/r/v, as after a raw replication" in close(run, task)["failures"]["tank/r"]["msg"]
    assert close(run, task)["changed"]


# -- telling


def told(run: Run, name: str) -> dict[str, t.Any]:
    (root,) = run("zfs_encryption_info", name=name)["roots"]
    return {"broken": root["broken"], "receiving": root["receiving"]}


def test_info_tells_what_a_key_does_not_open_by_reading_a_snapshot(host: FakeOpenZFS, run: Run, broken: str) -> None:
    assert told(run, "tank/r") == {"broken": [broken], "receiving": []}
    run("zfs_dataset_key", name=broken, **HEAL)
    assert told(run, "tank/r") == {"broken": [], "receiving": []}


def test_info_tells_it_by_the_salt_though_locked_or_mounted(host: FakeOpenZFS, run: Run, mounted: str) -> None:
    assert told(run, "tank/r")["broken"] == [mounted]
    host.unmount(mounted)
    run("zfs_unlock", name="tank/r", state="locked", verify_key=False)
    assert told(run, "tank/r")["broken"] == [mounted]


def test_info_tells_of_a_loaded_key_that_an_increment_replaced(host: FakeOpenZFS, run: Run, replica: str) -> None:
    run("zfs_dataset_key", name="tank/src", **{**CHANGE, "current": {"key": OTHER_KEY_TEXT}})
    host.replicate("tank/src", replica, properties=False)
    assert told(run, replica)["broken"] == [replica]


def test_info_tells_what_receives_and_does_not_disturb_it(host: FakeOpenZFS, run: Run, replica: str) -> None:
    with host.replication.running("tank/src", replica):
        assert told(run, replica) == {"broken": [], "receiving": [replica]}
    host.replication.break_off("tank/src", replica)
    assert told(run, replica)["receiving"] == [replica]
    assert ("prove_readable", replica) not in host.calls


def test_info_reads_nothing_that_would_change_by_it(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/r", key=KEY_TEXT)
    children: list[dict[str, t.Any]] = [{"name": "tank/r/v", "volsize": "1M"}]
    children += [{"name": "tank/r/a", "properties": {"canmount": "noauto"}}]
    run("zfs_dataset_key", state="inherited", datasets=children)
    before = len(host.changes)
    assert told(run, "tank/r")["broken"] == []
    assert len(host.changes) == before
    assert not [call for call in host.calls if call[0] == "prove_readable" and call[1].startswith("tank/r/")]


def test_unlocking_warns_of_what_stays_unreadable(host: FakeOpenZFS, run: Run, mounted: str) -> None:
    host.unmount(mounted)
    run("zfs_unlock", name="tank/r", state="locked", verify_key=False)
    secrets = [{"name": "tank/r", "key": KEY_TEXT}]
    result = run("zfs_unlock", name="tank/r", secrets=secrets, mount=False)
    (warning,) = result["warnings"]
    assert "tank/r/c cannot be read though tank/r is unlocked: another key wraps it" in warning


def test_a_pools_root_dataset_heals_what_is_below_it(host: FakeOpenZFS, run: Run) -> None:
    host.add_pool("vault", {"encryption": "on", "keyformat": "hex"}, KEY)
    run("zfs_dataset_key", name="tank/src", passphrase="correct horse", pbkdf2iters=100000)
    host.replicate("tank/src", "vault/c", properties=False)
    host.load_key(read(host, "vault/c"), PASSPHRASE)
    run("zfs_dataset_key", name="vault/c", state="inherited", replication_ended=True)
    host.mount("vault/c")
    host.replicate("tank/src", "vault/c", properties=False)
    assert "heal: true lets the change wrap it too" in run("zfs_encrypted_pool", name="vault", **CHANGE)["msg"]
    assert run("zfs_encrypted_pool", name="vault", heal=True, **CHANGE)["changed"]
    assert is_healed(host, "vault/c")


# -- what cannot be mounted because another key wraps it

WORDS: dict[str, t.Any] = {"passphrase": "battery staple", "pbkdf2iters": 100_000}
OF_P: list[dict[str, t.Any]] = [{"name": "tank/p", "passphrase": "battery staple"}]


@pytest.fixture
def closed_above_a_broken_one(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    """A locked root with a passphrase; tank/p/rep inherits it, and an increment brought the sender's key back."""
    words = {"passphrase": "correct horse", "pbkdf2iters": 100_000}
    run("zfs_dataset_key", datasets=[{"name": "tank/src", **words}, {"name": "tank/p", **WORDS}])
    run("zfs_dataset_key", name="tank/p/fine", state="inherited")
    host.replicate("tank/src", "tank/p/rep", properties=False)
    run("zfs_unlock", name="tank/p/rep", secrets=[{"name": "tank/p/rep", "passphrase": "correct horse"}])
    run("zfs_dataset_key", name="tank/p/rep", state="inherited", replication_ended=True)
    host.replicate("tank/src", "tank/p/rep", properties=False)
    assert run("zfs_unlock", name="tank/p", state="locked", verify_key=False)["locked"] == ["tank/p"]
    return host


def test_its_mount_is_foretold_to_fail_and_the_others_are_not(closed_above_a_broken_one: FakeOpenZFS, run: Run) -> None:
    foretold = run("zfs_unlock", check=True, name="tank/p", secrets=OF_P)
    (summary,) = run("zfs_encryption_info", name="tank/p", secrets=OF_P)["summary"]
    real = run("zfs_unlock", name="tank/p", secrets=OF_P)
    assert real["mounted"] == ["tank/p", "tank/p/fine"]
    for result in (foretold, real):
        failure = result["failures"]["tank/p"]
        assert failure["reason"] == "mount_failed"
        assert failure["msg"].startswith("tank/p/rep was not mounted: ")
    for of_all in ("changed", "failed", "unlocked", "mounted", "actions"):
        assert foretold[of_all] == real[of_all]
    assert (summary["unlock_successful"], summary["reason"]) == (False, "mount_failed")
    assert summary["unlock_error"] == foretold["failures"]["tank/p"]["msg"]


def test_a_key_that_would_mount_nothing_else_is_foretold_to_go_out_again(
    closed_above_a_broken_one: FakeOpenZFS, run: Run
) -> None:
    noauto: dict[str, t.Any] = {"properties": {"canmount": "noauto"}}
    run("zfs_dataset_key", datasets=[{"name": "tank/p", **WORDS, **noauto}])
    run("zfs_dataset_key", name="tank/p/fine", state="inherited", **noauto)
    foretold = run("zfs_unlock", check=True, name="tank/p", secrets=OF_P)
    real = run("zfs_unlock", name="tank/p", secrets=OF_P)
    assert (foretold["changed"], foretold["unlocked"], foretold["mounted"]) == (False, [], [])
    assert (real["changed"], real["unlocked"], real["mounted"]) == (False, [], [])


# -- the policy on what lies below what


def test_a_replica_with_a_key_does_not_become_a_root_below_a_passphrase(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", datasets=[{"name": "tank/src", "key": KEY_TEXT}, {"name": "tank/p", **WORDS}])
    host.replicate("tank/src", "tank/p/rep", properties=False)
    run("zfs_unlock", name="tank/p/rep", secrets=[{"name": "tank/p/rep", "key": KEY_TEXT}], mount=False)
    run("zfs_dataset_key", name="tank/p/rep", state="inherited", replication_ended=True)
    host.replicate("tank/src", "tank/p/rep", properties=False)
    repoint: dict[str, t.Any] = {"name": "tank/p/rep", "key": KEY_TEXT, "repoint": True}
    assert "tank/p/rep would have a key of its own below tank/p" in refused(host, run, **repoint)
    assert run("zfs_dataset_key", hierarchy="openzfs", **repoint)["changed"]


def test_one_above_a_key_does_not_go_back_to_a_passphrase(host: FakeOpenZFS, run: Run) -> None:
    run("zfs_dataset_key", name="tank/src", **WORDS)
    run("zfs_dataset_key", name="tank/src/a", state="inherited")
    secrets = []
    for name in ("", "/a"):
        host.replicate(f"tank/src{name}", f"tank/copy{name}", properties=False)
        secrets.append({"name": f"tank/copy{name}", "passphrase": WORDS["passphrase"]})
    run("zfs_unlock", name="tank/copy", recursive=True, secrets=secrets, mount=False)
    run("zfs_dataset_key", name="tank/copy/a/keyed", key=KEY_TEXT, hierarchy="openzfs", properties={"canmount": "off"})
    back: dict[str, t.Any] = {"name": "tank/copy/a", "state": "inherited", "repoint": True}
    back["current"] = {"passphrase": WORDS["passphrase"]}
    assert "would inherit the passphrase of tank/copy above tank/copy/a/keyed" in refused(host, run, **back)
    assert run("zfs_dataset_key", hierarchy="openzfs", **back)["changed"]
