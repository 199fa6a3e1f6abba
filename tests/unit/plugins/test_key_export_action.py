# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of zfs_key_export: the manifest comes back sealed, and a file is all that it becomes."""

from __future__ import annotations

import base64
import json
import pathlib
import stat
import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.action.zfs_key_export import ActionModule
from ansible_collections.zfsfleet.encryption.plugins.module_utils import _sealing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._document import Document, Entry
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._secret_action import SecretAction

from .trees import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PASSPHRASE

DOCUMENT = Document("2026-11-23T00:00:00Z", {"tank/a": Entry(KEY), "tank/b": Entry(PASSPHRASE)})
PLAIN = {"tank/a": KEY_TEXT, "tank/b": "correct horse"}
VAULT = [("default", VaultSecret(b"a vault password")), ("other", VaultSecret(b"another vault password"))]


class Exporting(ActionModule):
    """An action whose module is played."""

    document = DOCUMENT
    answer: t.ClassVar[dict[str, t.Any]] = {}

    def _execute_module(self, **arguments: t.Any) -> dict[str, t.Any]:  # type: ignore[override]
        self.executed = arguments["module_args"]
        self.no_log = (self._play_context.no_log, self._connection._play_context.no_log)
        result: dict[str, t.Any] = {"changed": False, "exported": self.document.names, "missing": [], "failures": {}}
        if "_seal" in self.executed:
            secret = bytes.fromhex(self.executed["_seal"])
            result["sealed"] = _sealing.seal(self.document.rendered("zfsfleet"), secret)
        return {**result, **self.answer}


def action(*, check: bool = False, **arguments: t.Any) -> Exporting:
    task = Task()
    task.action = "zfsfleet.encryption.zfs_key_export"
    task.args = {"name": "tank", "recursive": True, **arguments}
    task.check_mode = check
    context = PlayContext()
    connection = connection_loader.get("local", PlayContext())
    connection.set_options(direct={"pipelining": False})
    loader = DataLoader()
    loader.set_vault_secrets(VAULT)  # type: ignore[arg-type]
    return Exporting(task, connection, context, loader, Templar(loader), None)


def run(path: pathlib.Path, **arguments: t.Any) -> dict[str, t.Any]:
    return action(dest_controller=str(path), **arguments).run(task_vars={})


def written(path: pathlib.Path) -> tuple[int, int, int]:
    """Tell when which file was written; reading it, which any run does, is another time."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "keys.json"


def test_the_manifest_is_written_for_its_owner_only_and_a_second_run_changes_nothing(path: pathlib.Path) -> None:
    result = run(path)
    assert (result["changed"], result["dest_controller"], result["exported"]) == (True, str(path), ["tank/a", "tank/b"])
    assert json.loads(path.read_text()) == PLAIN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    before = written(path)
    again = run(path)
    assert (again["changed"], again["dest_controller"]) == (False, str(path))
    assert written(path) == before


def test_our_own_format_is_written_on_request(path: pathlib.Path) -> None:
    run(path, format="zfsfleet")
    assert path.read_bytes() == DOCUMENT.rendered("zfsfleet")
    assert run(path, format="zfsfleet")["changed"] is False


def test_a_relative_path_is_relative_to_the_playbook(path: pathlib.Path) -> None:
    plugin = action(dest_controller="keys.json")
    plugin._loader.set_basedir(str(path.parent))
    assert plugin.run(task_vars={})["dest_controller"] == str(path)


def test_no_key_is_in_the_result_or_what_the_connection_saw(path: pathlib.Path) -> None:
    path.write_text(json.dumps({"tank/a": OTHER_KEY_TEXT}))
    results = [run(path), run(path, check=True, backup=True), run(path, backup=True), run(path, vault_id="default")]
    plugin = action(dest_controller=str(path))
    wire = plugin._execute_module(module_args={"_seal": "ab" * 32})["sealed"]
    shown = json.dumps(results) + wire + base64.b64decode(wire).decode("latin-1")
    for text in (KEY_TEXT, OTHER_KEY_TEXT, "correct horse"):
        for form in (text, base64.b64encode(text.encode()).decode()[:-4]):
            assert form not in shown
    assert all("sealed" not in result for result in results)


def test_the_connection_logs_nothing_while_the_module_runs(path: pathlib.Path) -> None:
    plugin = action(dest_controller=str(path))
    plugin.run(task_vars={})
    assert plugin.no_log == (True, True)
    assert not plugin._play_context.no_log
    assert not plugin._connection._play_context.no_log


def test_every_execution_has_a_secret_of_its_own(path: pathlib.Path) -> None:
    secrets = set()
    for _run in range(2):
        plugin = action(dest_controller=str(path))
        plugin.run(task_vars={})
        secrets.add(plugin.executed["_seal"])
    assert len(secrets) == 2
    assert "_seal" not in plugin._task.args


def test_the_wires_option_is_nobodys_to_set(path: pathlib.Path) -> None:
    destinations: list[dict[str, t.Any]] = [{"dest": "/root/keys.json"}, {"dest_controller": str(path)}]
    for arguments in destinations:
        plugin = action(**arguments, _seal="ab" * 32)
        with pytest.raises(AnsibleActionFail, match="_seal is no option"):
            plugin.run(task_vars={})
        assert not hasattr(plugin, "executed")


def test_a_file_on_the_host_is_the_modules_business() -> None:
    plugin = action(dest="/root/keys.json")
    result = plugin.run(task_vars={})
    assert "_seal" not in plugin.executed
    assert plugin.no_log == (False, False)
    assert "dest_controller" not in result


def test_check_mode_foretells_and_writes_nothing(path: pathlib.Path) -> None:
    foretold = run(path, check=True)
    assert not path.exists()
    assert foretold == run(path)


def test_a_failure_of_the_module_leaves_the_file_alone(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(path)
    before = path.read_bytes()
    monkeypatch.setattr(Exporting, "document", Document("", {"tank/a": Entry(OTHER_KEY)}))
    monkeypatch.setattr(Exporting, "_execute_module", lambda _self, **_arguments: {"failed": True, "msg": "no"})
    assert run(path, force=True) == {"failed": True, "msg": "no"}
    assert path.read_bytes() == before


def test_keys_that_would_be_lost_refuse_the_write(path: pathlib.Path) -> None:
    path.write_text('{"lake/x": "of another host"}')
    for check in (True, False):
        result = run(path, check=check)
        assert (result["failed"], result["changed"]) == (True, False)
        assert "those of lake/x" in result["msg"]
        assert result["exported"] == ["tank/a", "tank/b"]
    kept = pathlib.Path(run(path, backup="yes")["backup_file"])
    assert kept.read_text() == '{"lake/x": "of another host"}'


def test_a_result_that_was_masked_is_not_written(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exporting, "answer", {"sealed": "abc********def"})
    result = run(path)
    assert result["failed"]
    assert "arrived damaged, and nothing was written" in result["msg"]
    assert not path.exists()


# -- ansible-vault


def test_with_a_vault_identity_the_file_is_encrypted_and_left_alone_afterwards(path: pathlib.Path) -> None:
    assert run(path, vault_id="other")["changed"]
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;other\n")
    assert json.loads(VaultLib(VAULT).decrypt(path.read_bytes())) == PLAIN
    before = path.read_bytes()
    assert run(path, vault_id="other")["changed"] is False
    assert path.read_bytes() == before


def test_an_encrypted_manifest_can_be_offered_again(path: pathlib.Path) -> None:
    run(path, vault_id="default", format="zfsfleet")
    plugin = action(manifest=str(path))
    assert SecretAction._arguments(plugin)["manifest_content"] == {
        "tank/a": {"key": KEY_TEXT},
        "tank/b": {"passphrase": "correct horse"},
    }


def test_another_identity_encrypts_anew_and_a_plain_file_is_encrypted(path: pathlib.Path) -> None:
    run(path)
    assert run(path, vault_id="default")["changed"]
    result = run(path, vault_id="other")
    assert result["changed"]
    assert result["diff"]["before"][str(path)]["protection"] == "another"
    assert VaultLib(VAULT[1:]).decrypt(path.read_bytes())


def test_keys_in_an_encrypted_file_are_not_lost_either(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(path, vault_id="default")
    monkeypatch.setattr(Exporting, "document", Document("", {"tank/a": Entry(KEY)}))
    assert "those of tank/b" in run(path, vault_id="default")["msg"]


def test_an_encrypted_file_is_never_replaced_by_a_plain_one(path: pathlib.Path) -> None:
    run(path, vault_id="default")
    before = path.read_bytes()
    assert "would be replaced by a plain file" in run(path, force=True)["msg"]
    assert path.read_bytes() == before


def test_a_file_that_no_identity_decrypts_is_left_alone(path: pathlib.Path) -> None:
    stranger = VaultSecret(b"nobody knows")
    path.write_bytes(VaultLib([("x", stranger)]).encrypt(json.dumps(PLAIN), stranger))
    before = path.read_bytes()
    assert "none of this play's vault identities decrypts it" in run(path, vault_id="default", force=True)["msg"]
    assert path.read_bytes() == before


def test_an_unknown_identity_is_refused_before_anything_is_sent(path: pathlib.Path) -> None:
    plugin = action(dest_controller=str(path), vault_id="misspelt")
    with pytest.raises(AnsibleActionFail, match=r"no vault identity misspelt \(it has: default, other\)"):
        plugin.run(task_vars={})
    assert not hasattr(plugin, "executed")


# -- sealing


@given(st.binary(), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_only_the_same_secret_opens_a_seal(content: bytes, secret: bytes, other: bytes) -> None:
    sealed = _sealing.seal(content, secret)
    assert _sealing.unseal(sealed, secret) == content
    if secret != other and len(content) > 8:
        assert _sealing.unseal(sealed, other) != content


def test_a_damaged_seal_is_refused() -> None:
    with pytest.raises(Refused, match="Ansible mask parts"):
        _sealing.unseal("ab********cd", b"s" * 32)
