# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module zfs_key_export on a host without OpenZFS."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _document, _sealing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import hex_key
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .conftest import Run
from .trees import KEY, KEY_TEXT, OTHER_KEY_TEXT

WORDS = "correct horse, grün"
RAW_TEXT = "0c" * 32
TREE: list[dict[str, t.Any]] = [
    {"name": "tank/a", "key": KEY_TEXT},
    {"name": "tank/a/b", "state": "inherited"},
    {"name": "tank/a/b/c", "state": "inherited"},
    {"name": "tank/a/own", "key": OTHER_KEY_TEXT},
    {"name": "tank/a/own/x", "state": "inherited"},
    {"name": "tank/ab", "passphrase": WORDS, "pbkdf2iters": 100_000},
    {"name": "tank/disk", "key": RAW_TEXT, "keyformat": "raw", "volsize": "100M"},
    {"name": "tank/filed", "key_file": "/etc/filed.key", "generate_key": True},
    {"name": "tank/open", "encryption": "off"},
]
SECRETS: list[dict[str, t.Any]] = [
    {"name": "tank/a", "key": KEY_TEXT},
    {"name": "tank/a/own", "key": OTHER_KEY_TEXT},
    {"name": "tank/ab", "passphrase": WORDS},
    {"name": "tank/disk", "key": RAW_TEXT},
]
ROOTS = ["tank/a", "tank/a/own", "tank/ab", "tank/disk", "tank/filed"]
# A secret without which a run fails: nothing of it may show, nor of the wire's form of it.
ALL_TEXTS = (KEY_TEXT, OTHER_KEY_TEXT, RAW_TEXT, WORDS, json.dumps(WORDS)[1:-1])


@pytest.fixture
def provisioned(host: FakeOpenZFS, run: Run) -> FakeOpenZFS:
    assert run("zfs_dataset_key", datasets=TREE)["changed"]
    host.calls.clear()
    return host


@pytest.fixture
def dest(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "keys.json"


def export(run: Run, path: pathlib.Path, /, **params: t.Any) -> dict[str, t.Any]:
    choice = {} if "names" in params else {"name": "tank", "recursive": True}
    given = {**choice, "secrets": SECRETS, "dest": str(path), **params}
    return run("zfs_key_export", **{name: value for name, value in given.items() if value is not None})


def content(dest: pathlib.Path) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads(dest.read_text())
    return found


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- what is exported


def test_every_root_is_listed_with_its_proven_key(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    result = export(run, dest)
    assert (result["changed"], result["exported"], result["missing"]) == (True, ROOTS, [])
    assert (result["dest"], result["failures"], result["warnings"]) == (str(dest), {}, [])
    assert content(dest) == {
        "tank/a": KEY_TEXT,
        "tank/a/own": OTHER_KEY_TEXT,
        "tank/ab": WORDS,
        "tank/disk": RAW_TEXT,
        "tank/filed": provisioned.key_files["/etc/filed.key"].decode(),
    }
    assert (mode(dest), dest.stat().st_uid) == (0o600, os.geteuid())
    assert list(dest.parent.iterdir()) == [dest]
    assert provisioned.changes == []


def test_locked_roots_are_exported_alike(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest)
    run("zfs_unlock", name="tank", recursive=True, state="locked", secrets=SECRETS)
    provisioned.calls.clear()
    assert export(run, dest)["changed"] is False
    assert export(run, dest.with_name("second.json"))["exported"] == ROOTS
    assert provisioned.changes == []


@pytest.mark.parametrize("form", ["truenas", "zfsfleet"])
def test_what_was_exported_unlocks(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, form: str) -> None:
    export(run, dest, format=form)
    everything: dict[str, t.Any] = {"name": "tank", "recursive": True, "manifest": str(dest), "remote_src": True}
    provisioned.key_files.clear()
    assert sorted(run("zfs_unlock", state="locked", **everything)["locked"]) == ROOTS
    assert sorted(run("zfs_unlock", **everything)["unlocked"]) == ROOTS


def test_our_own_format_says_what_is_known(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest, format="zfsfleet")
    found = content(dest)
    assert (found["format"], found["version"]) == ("zfsfleet.encryption/manifest", 1)
    shown = provisioned.datasets(["tank"]).datasets
    assert found["datasets"]["tank/disk"] == {
        "encryption": "aes-256-gcm",
        "guid": shown["tank/disk"].value("guid"),
        "key": RAW_TEXT,
        "keyformat": "raw",
        "keyguid": shown["tank/disk"].value("keyguid"),
        "pool_guid": provisioned.pools()["tank"].guid,
    }
    worded = found["datasets"]["tank/ab"]
    assert worded["passphrase"] == WORDS
    assert (worded["pbkdf2iters"], worded["pbkdf2salt"]) == (100_000, shown["tank/ab"].value("pbkdf2salt"))


def test_a_root_without_an_offered_key_is_missing_and_told(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path
) -> None:
    del provisioned.key_files["/etc/filed.key"]
    result = export(run, dest, secrets=SECRETS[:2])
    assert result["exported"] == ["tank/a", "tank/a/own"]
    assert result["missing"] == ["tank/ab", "tank/disk", "tank/filed"]
    (warning,) = result["warnings"]
    assert warning == (
        "No key was given for tank/ab, tank/disk, tank/filed, which the manifest therefore does not open. "
        "Its key file /etc/filed.key is not there."
    )


@pytest.mark.parametrize(
    ("secret", "failure"),
    [
        ({"key": OTHER_KEY_TEXT}, ("wrong_key", "None of the keys given for tank/a opens it.")),
        ({"passphrase": WORDS}, ("wrong_key", "It was given a passphrase; keyformat hex wants 64 hexadecimal digits.")),
        ({"key_file": "/none"}, ("no_key", "Its key file /none is not there.")),
    ],
)
def test_one_offered_key_that_does_not_open_keeps_all_from_being_written(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, secret: dict[str, str], failure: tuple[str, str]
) -> None:
    result = export(run, dest, secrets=[{"name": "tank/a", **secret}, *SECRETS[1:]])
    assert result["failed"]
    assert (result["changed"], result["exported"]) == (False, [])
    assert list(result["failures"]) == ["tank/a"]
    assert result["failures"]["tank/a"]["reason"] == failure[0]
    assert failure[1] in result["msg"]
    assert list(dest.parent.iterdir()) == []


def test_a_key_that_could_not_be_tried_is_no_proof(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    provisioned.fail_on("verify", "tank/a", CallFailed("the pool is suspended", errno=5))
    result = export(run, dest)
    assert result["failures"]["tank/a"]["reason"] == "unknown"
    assert not dest.exists()


def test_a_stale_key_file_is_a_failure(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    provisioned.key_files["/etc/filed.key"] = KEY_TEXT.encode()
    assert export(run, dest)["failures"]["tank/filed"]["reason"] == "wrong_key"
    assert not dest.exists()


def test_a_manifest_without_any_key_is_not_written(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    result = export(run, dest, names=["tank/a", "tank/ab"], secrets=[])
    assert result["failed"]
    assert {failure["reason"] for failure in result["failures"].values()} == {"no_key"}
    assert not dest.exists()


def test_a_passphrase_that_is_no_text_is_a_failure(host: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    host.key_files["/etc/k"] = b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"
    run("zfs_dataset_key", name="tank/a", key_file="/etc/k", keyformat="passphrase", pbkdf2iters=100_000)
    run("zfs_dataset_key", name="tank/b", key=OTHER_KEY_TEXT)
    result = export(run, dest, names=["tank/a", "tank/b"], secrets=[{"name": "tank/b", "key": OTHER_KEY_TEXT}])
    assert result["failed"]
    assert list(result["failures"]) == ["tank/a"]
    assert "The passphrase of tank/a is no UTF-8, so it can stand neither in a manifest" in result["msg"]
    assert not dest.exists()


# -- replication


def listed(run: Run, dest: pathlib.Path, **params: t.Any) -> dict[str, str]:
    assert export(run, dest, **{"names": ["tank/a"], "target_dataset": "bk/here", **params})["exported"]
    return {name: text for name, text in content(dest).items() if text in (KEY_TEXT, OTHER_KEY_TEXT)}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({}, {"bk/here": KEY_TEXT}, id="alone"),
        pytest.param(
            {"recursive": True},
            {
                "bk/here": KEY_TEXT,
                "bk/here/b": KEY_TEXT,
                "bk/here/b/c": KEY_TEXT,
                "bk/here/own": OTHER_KEY_TEXT,
                "bk/here/own/x": OTHER_KEY_TEXT,
            },
            id="each by itself",
        ),
        pytest.param({"replicate": True}, {"bk/here": KEY_TEXT, "bk/here/own": OTHER_KEY_TEXT}, id="one stream"),
        pytest.param(
            {"recursive": True, "exclude": ["tank/a/b", "tank/a/own/x"]},
            {"bk/here": KEY_TEXT, "bk/here/own": OTHER_KEY_TEXT},
            id="excluded",
        ),
        pytest.param(
            {"names": ["tank/a/b"], "recursive": True},
            {"bk/here": KEY_TEXT, "bk/here/c": KEY_TEXT},
            id="a source that inherits, and none of its siblings",
        ),
        pytest.param({"names": ["tank/a/b"], "replicate": True}, {"bk/here": KEY_TEXT}, id="the same in one stream"),
        pytest.param(
            {"names": ["tank/a/b", "tank/a/own", "tank/open"]},
            {"bk/here/a/b": KEY_TEXT, "bk/here/a/own": OTHER_KEY_TEXT},
            id="several, one of them plain",
        ),
    ],
)
def test_copies_are_listed_by_their_names_with_the_keys_of_their_sources(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, params: dict[str, t.Any], expected: dict[str, str]
) -> None:
    assert listed(run, dest, **params) == expected


def test_a_replica_opens_with_its_manifest(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest, name="tank/a", target_dataset="bk/here", format="zfsfleet")
    provisioned.add_pool("bk")
    for name in ("", "/b", "/b/c", "/own", "/own/x"):
        provisioned.replicate(f"tank/a{name}", f"bk/here{name}")
    result = run("zfs_unlock", name="bk", recursive=True, manifest=str(dest), remote_src=True)
    assert sorted(result["unlocked"]) == sorted(content(dest)["datasets"])
    assert len(result["unlocked"]) == 5


def test_our_own_format_says_where_a_copy_came_from(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest, names=["tank/a/b"], target_dataset="bk", format="zfsfleet")
    (entry,) = content(dest)["datasets"].values()
    assert entry["source"] == "tank/a/b"
    assert entry["keyguid"] == provisioned.datasets(["tank"]).datasets["tank/a/b"].value("keyguid")


# -- the file that is there


def _written(path: pathlib.Path) -> tuple[int, int]:
    """Return what changes with every writing of a file, and not with its being read."""
    found = path.stat()
    return found.st_ino, found.st_ctime_ns


def test_a_second_run_changes_nothing(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    for form in ("truenas", "zfsfleet"):
        path = dest.with_name(form)
        assert export(run, path, format=form)["changed"]
        before = _written(path)
        again = export(run, path, format=form, backup=True)
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], {"before": {}, "after": {}})
        assert (again["exported"], again["dest"]) == (ROOTS, str(path))
        assert _written(path) == before


def test_the_time_alone_is_no_change(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest, format="zfsfleet")
    dest.write_text(json.dumps({**content(dest), "created": "2020-01-01T00:00:00Z"}))
    assert export(run, dest, format="zfsfleet")["changed"] is False


def test_facts_that_are_out_of_date_are_written_anew(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest, format="zfsfleet")
    stale = content(dest)
    stale["datasets"]["tank/a"]["guid"] = "1"
    dest.write_text(json.dumps(stale))
    assert export(run, dest, format="zfsfleet")["changed"]
    assert content(dest)["datasets"]["tank/a"]["guid"] != "1"


def test_another_format_with_the_same_keys_replaces_the_file(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path
) -> None:
    export(run, dest)
    result = export(run, dest, format="zfsfleet")
    assert result["changed"]
    assert (result["diff"]["before"][str(dest)]["format"], result["diff"]["after"][str(dest)]["format"]) == (
        "truenas",
        "zfsfleet",
    )


def test_a_file_that_others_can_read_is_closed_to_them(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    export(run, dest)
    dest.chmod(0o644)
    result = export(run, dest, check=True)
    assert (result["changed"], mode(dest)) == (True, 0o644)
    result = export(run, dest)
    assert (result["changed"], mode(dest)) == (True, 0o600)
    assert result["diff"]["before"][str(dest)]["mode"] == "0644"
    assert export(run, dest)["changed"] is False


def test_a_file_of_somebody_else_is_taken_over(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(run, dest)
    before = dest.stat()
    monkeypatch.setattr(os, "geteuid", lambda: before.st_uid + 1)
    result = export(run, dest)
    assert result["changed"]
    assert result["diff"]["before"][str(dest)]["owner"] == str(before.st_uid)
    assert dest.stat().st_ino != before.st_ino


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"tank/old": KEY_TEXT}, id="a name that is dropped"),
        pytest.param({"tank/a": "0d" * 32}, id="a key that is replaced"),
    ],
)
def test_keys_that_would_be_lost_refuse_the_write(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, kept: dict[str, str]
) -> None:
    dest.write_text(json.dumps(kept))
    before = _written(dest)
    for check in (True, False):
        result = export(run, dest, check=check)
        assert result["failed"]
        assert f"those of {next(iter(kept))}. A replica or a roll-back may still need them." in result["msg"]
    assert _written(dest) == before


def test_the_old_file_is_kept_beside_the_new_one_on_request(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path
) -> None:
    old = json.dumps({"tank/old": KEY_TEXT, "tank/a": "0d" * 32})
    dest.write_text(old)
    dest.chmod(0o644)
    result = export(run, dest, backup=True)
    kept = pathlib.Path(result["backup_file"])
    assert (kept.parent, kept.read_text(), mode(kept)) == (dest.parent, old, 0o600)
    assert (mode(dest), result["exported"]) == (0o600, ROOTS)
    assert result["diff"]["before"][str(dest)]["tank/a"] == "another key"
    assert export(run, dest, backup=True)["changed"] is False
    assert len(list(dest.parent.iterdir())) == 2


def test_keys_are_let_go_of_on_request(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    dest.write_text('{"tank/old": "x"}')
    assert export(run, dest, force=True)["changed"]
    assert list(dest.parent.iterdir()) == [dest]
    assert "tank/old" not in content(dest)


def test_more_keys_than_before_need_no_request(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    dest.write_text(json.dumps({"tank/a": KEY_TEXT.upper()}))
    assert export(run, dest)["changed"]
    assert sorted(content(dest)) == ROOTS


@pytest.mark.parametrize("there", ["", "notes", "[]", '{"a": 1}', '{"format": "zfsfleet.encryption/manifest"}'])
def test_what_is_no_manifest_is_never_replaced(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, there: str
) -> None:
    dest.write_text(there)
    for told in ({}, {"force": True}, {"backup": True}):
        assert "is no manifest that can be read" in export(run, dest, **told)["msg"]
    assert dest.read_text() == there


def test_check_mode_foretells_and_writes_nothing(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    foretold = export(run, dest, check=True)
    assert list(dest.parent.iterdir()) == []
    real = export(run, dest)
    assert foretold == {name: real[name] for name in foretold}  # Ansible adds the mode and owner of a file at dest
    assert foretold["changed"]


def test_a_check_on_a_bare_host_counts_as_a_change(run: Run, dest: pathlib.Path) -> None:
    result = export(run, dest, check=True, names=["lake/a"], secrets=[])
    assert (result["changed"], result.get("failed")) == (True, None)
    assert "There is no pool lake" in json.dumps(result["warnings"])
    assert "Import or create it first" in export(run, dest, names=["lake/a"], secrets=[])["msg"]


def test_a_directory_that_is_not_there_is_a_failure_of_the_file(
    provisioned: FakeOpenZFS, run: Run, tmp_path: pathlib.Path
) -> None:
    result = export(run, tmp_path / "none" / "keys.json")
    assert list(result["failures"]) == [str(tmp_path / "none" / "keys.json")]
    assert "No such file or directory" in result["msg"]
    assert (result["changed"], result["exported"]) == (False, [])


# -- refusals


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"names": ["tank/a/b"]}, "tank/a/b is no encryption root: it inherits the key of tank/a"),
        ({"names": ["tank/open"]}, "tank/open is not encrypted and has no key"),
        (
            {"names": ["tank/open"], "recursive": True},
            "There is no key to export: nothing encrypted is among tank/open",
        ),
        ({"names": ["tank/open"], "target_dataset": "bk"}, "There is no key to export"),
        ({"names": ["tank/gone"], "target_dataset": "bk"}, "There is no dataset tank/gone"),
        ({"replicate": True}, "Name that with target_dataset"),
        ({"target_dataset": "bk//x"}, "'bk//x' is no name of a dataset"),
        ({"exclude": ["lake"]}, "lake cannot be excluded"),
        ({"dest": "keys.json"}, "is no absolute path"),
        ({"dest": "/tank/a/b/keys.json"}, "would lie inside tank/a/b, which cannot be read while tank/a is locked"),
        ({"dest": "/tank/open/../a/keys.json"}, "would lie inside tank/a"),
        ({"dest": "/manifests/keys.json"}, "would lie inside tank/a/b"),
        ({"dest": "/var/tank/a/keys.json"}, "would lie inside tank/a"),
        ({"dest": "//tank/a/keys.json"}, "would lie inside tank/a"),
        ({"dest": None}, "one of the following is required: dest, dest_controller"),
        ({"dest_controller": "x"}, "mutually exclusive: dest|dest_controller"),
        ({"vault_id": "default"}, "mutually exclusive: dest|vault_id"),
        ({"dest": None, "dest_controller": "x"}, "is written by the action plugin"),
        ({"secrets": [{"name": "tank/gone", "key": KEY_TEXT}]}, "There is no dataset tank/gone, which secrets names"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path, params: dict[str, t.Any], sentence: str
) -> None:
    provisioned.links.update({"/manifests": "/tank/a/b", "/tank": "/var/tank"})
    result = export(run, dest, **params)
    assert result["failed"]
    assert sentence in result["msg"]


# -- secrets


def test_for_the_controller_the_manifest_is_returned_sealed_and_nothing_is_written(
    provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path
) -> None:
    secret = b"s" * 32
    sealed = run(
        "zfs_key_export",
        name="tank",
        recursive=True,
        secrets=SECRETS,
        dest_controller=str(dest),
        _seal=secret.hex(),
    )
    assert (sealed["changed"], sealed["exported"]) == (False, ROOTS)
    assert not dest.exists()
    document = _document.document_from(_sealing.unseal(sealed["sealed"], secret), where="")
    assert document.entries["tank/a"].key == KEY
    assert document.entries["tank/disk"].key == hex_key(RAW_TEXT, whose="")


def test_nothing_sealed_is_returned_with_a_failure(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    wrong = [{"name": "tank/a", "key": OTHER_KEY_TEXT}]
    result = run("zfs_key_export", name="tank/a", dest_controller="x", _seal="ab" * 32, secrets=wrong)
    assert result["failed"]
    assert "sealed" not in result


def test_no_result_holds_a_key(provisioned: FakeOpenZFS, run: Run, dest: pathlib.Path) -> None:
    stranger = "the key of nobody here"
    dest.write_text(json.dumps({"tank/a": stranger, "tank/b": KEY_TEXT}))
    results = [
        export(run, dest),
        export(run, dest, backup=True),
        export(run, dest, format="zfsfleet", check=True),
        export(run, dest, format="zfsfleet"),
        export(run, dest, names=["tank/a"], target_dataset="bk"),
        export(run, dest, secrets=[{"name": "tank/a", "key": OTHER_KEY_TEXT}]),
    ]
    shown = json.dumps(results)
    for text in (*ALL_TEXTS, stranger, provisioned.key_files["/etc/filed.key"].decode()):
        assert text not in shown
