# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action base: keys on the wire only."""

from __future__ import annotations

import importlib
import json
import pathlib
import types
import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar

from ansible_collections.zfsfleet.encryption.plugins.modules import (
    zfs_dataset_key,
    zfs_encrypted_pool,
    zfs_key_export,
    zfs_unlock,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._secret_action import SecretAction

from .conftest import MODULES
from .trees import KEY_TEXT


class Recording(SecretAction):
    """An action that notes how its module would have been run."""

    def _execute_module(self, **arguments: t.Any) -> dict[str, t.Any]:  # type: ignore[override]
        self.executed = {**arguments, "pipelining": self._connection.get_option("pipelining")}
        return {"changed": False, "invocation": {"module_args": arguments}}


def action(module: types.ModuleType = zfs_unlock, **arguments: t.Any) -> Recording:
    task = Task()
    task.action = "zfsfleet.encryption.zfs_unlock"
    task.args = arguments
    context = PlayContext()
    connection = connection_loader.get("local", context)
    connection.set_options(direct={"pipelining": False})
    loader = DataLoader()
    plugin = Recording(task, connection, context, loader, Templar(loader), None)
    plugin.spec = module.SPEC.arguments
    return plugin


def test_pipelining_is_on_while_the_module_runs_and_off_again_afterwards() -> None:
    plugin = action(name="tank")
    plugin.run(task_vars={})
    assert plugin.executed["pipelining"] is True
    assert plugin._connection.get_option("pipelining") is False


def test_nothing_is_written_to_the_hosts_journal() -> None:
    plugin = action(name="tank")
    plugin.run(task_vars={"kept": 1})
    quiet = {"ansible_no_target_syslog": True, "ansible_inject_invocation": False}
    assert plugin.executed["task_vars"] == {"kept": 1, **quiet}


def test_an_asynchronous_task_is_refused() -> None:
    plugin = action(name="tank")
    plugin._task.async_val = 60
    with pytest.raises(AnsibleActionFail, match="the task is asynchronous; leave async out"):
        plugin.run(task_vars={})
    assert plugin._connection.get_option("pipelining") is False


def test_keeping_remote_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = action(name="tank")
    monkeypatch.setattr("ansible.constants.DEFAULT_KEEP_REMOTE_FILES", True)
    with pytest.raises(AnsibleActionFail, match="ANSIBLE_KEEP_REMOTE_FILES is set; unset it"):
        plugin.run(task_vars={})


def test_su_is_refused() -> None:
    plugin = action(name="tank")
    plugin._connection.set_become_plugin(become_loader.get("su"))
    with pytest.raises(AnsibleActionFail, match="su does not allow it; use sudo"):
        plugin.run(task_vars={})


def test_a_manifest_on_the_controller_travels_as_content(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(f'{{"tank": "{KEY_TEXT}"}}')
    plugin = action(name="tank", manifest=str(path))
    plugin.run(task_vars={})
    assert plugin.executed["module_args"]["manifest_content"] == {"tank": KEY_TEXT}


def test_an_encrypted_manifest_is_decrypted_in_memory(tmp_path: pathlib.Path) -> None:
    secrets = [("default", VaultSecret(b"a vault password"))]
    path = tmp_path / "keys.json"
    path.write_bytes(VaultLib(secrets).encrypt(f'{{"tank": "{KEY_TEXT}"}}', secrets[0][1]))
    plugin = action(name="tank", manifest=str(path))
    plugin._loader.set_vault_secrets(secrets)  # type: ignore[arg-type]
    plugin.run(task_vars={})
    assert plugin.executed["module_args"]["manifest_content"] == {"tank": KEY_TEXT}
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_manifest_on_the_host_is_left_to_the_module() -> None:
    plugin = action(name="tank", manifest="/root/keys.json", remote_src=True)
    plugin.run(task_vars={})
    assert plugin.executed["module_args"] == {"name": "tank", "manifest": "/root/keys.json", "remote_src": True}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read on the controller"), ("[]", "no JSON object"), ('{"tank": 1}', "that is no text")],
)
def test_a_manifest_that_is_none_is_refused_before_anything_is_sent(
    tmp_path: pathlib.Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    plugin = action(name="tank", manifest=str(path))
    with pytest.raises(AnsibleActionFail, match=sentence):
        plugin.run(task_vars={})
    assert not hasattr(plugin, "executed")


def test_two_manifests_are_refused(tmp_path: pathlib.Path) -> None:
    plugin = action(name="tank", manifest="keys.json", manifest_content={"tank": KEY_TEXT})
    with pytest.raises(AnsibleActionFail, match="manifest and manifest_content were both given"):
        plugin.run(task_vars={})


def test_a_manifest_given_as_text_travels_as_an_object() -> None:
    plugin = action(name="tank", manifest_content=f'{{"tank": "{KEY_TEXT}"}}')
    plugin.run(task_vars={})
    assert plugin.executed["module_args"]["manifest_content"] == {"tank": KEY_TEXT}


OWN = {
    "format": "zfsfleet.encryption/manifest",
    "version": 1,
    "datasets": {"tank": {"passphrase": "correct horse", "keyformat": "passphrase", "pbkdf2iters": 350000}},
}


@pytest.mark.parametrize("content", [OWN, json.dumps(OWN)], ids=["object", "text"])
def test_of_our_own_format_only_names_and_secrets_travel(content: t.Any) -> None:
    plugin = action(name="tank", manifest_content=content)
    plugin.run(task_vars={})
    assert plugin.executed["module_args"]["manifest_content"] == {"tank": {"passphrase": "correct horse"}}


def test_the_result_does_not_repeat_the_call() -> None:
    plugin = action(name="tank", pasphrase="misspelled")
    assert "invocation" not in plugin.run(task_vars={})


def test_what_only_looks_like_a_key_passes() -> None:
    properties = {"org.example:checksum": KEY_TEXT}
    plugin = action(name="tank", passphrase=KEY_TEXT, properties=properties)
    plugin.run(task_vars={})
    assert plugin.executed["module_args"] == {"name": "tank", "passphrase": KEY_TEXT, "properties": properties}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"secrets": [["tank", {"key": KEY_TEXT}]]}, id="a list among secrets"),
        pytest.param({"secrets": {"name": "tank", "key": KEY_TEXT}}, id="one secret alone"),
        pytest.param({"secrets": KEY_TEXT}, id="a text"),
        pytest.param({"datasets": [{"name": "tank/a"}, KEY_TEXT]}, id="a text among datasets"),
        pytest.param({"datasets": [{"name": "tank/a", "current": KEY_TEXT}]}, id="the present key of an entry"),
        pytest.param({"current": [KEY_TEXT]}, id="the present key"),
        pytest.param({"key": [KEY_TEXT]}, id="a list as a key"),
        pytest.param({"secrets": [{"name": "tank", "passphrase": {"a": KEY_TEXT}}]}, id="a mapping as a passphrase"),
        pytest.param(
            {"datasets": [{"name": "tank/a", "current": {"key": [KEY_TEXT]}}]}, id="a list as the present key"
        ),
        pytest.param({"key_file": KEY_TEXT}, id="a key as the path of its file"),
        pytest.param({"datasets": [{"name": "tank/a", "keyformat": KEY_TEXT}]}, id="a key as its format"),
        pytest.param({"secrets": [{"name": "tank", "share_with_children": KEY_TEXT}]}, id="a key as a switch"),
        pytest.param({"manifest": KEY_TEXT}, id="a key as a manifest's path"),
        pytest.param({"manifest": {"tank": KEY_TEXT}}, id="a manifest as its own path"),
        pytest.param(
            {"manifest": json.dumps({"tank": KEY_TEXT}), "remote_src": True}, id="a manifest's text as its path"
        ),
    ],
)
def test_a_key_in_a_strange_place_is_refused_and_not_shown(arguments: dict[str, t.Any]) -> None:
    plugin = action(**arguments)
    with pytest.raises(AnsibleActionFail) as refused:
        plugin.run(task_vars={})
    assert KEY_TEXT not in str(refused.value)
    assert not hasattr(plugin, "executed")


WORDS = "correct horse = battery"
ENTRY = {"name": "tank/a", "key": KEY_TEXT}


@pytest.mark.parametrize(
    ("module", "arguments", "sentence"),
    [
        pytest.param(zfs_unlock, {"recursive": WORDS}, "recursive is neither true nor false", id="switch"),
        pytest.param(zfs_unlock, {"mount": 12345678}, "mount is neither true nor false", id="digits"),
        pytest.param(zfs_unlock, {"move_aside": [WORDS]}, "move_aside is neither true nor false", id="list"),
        pytest.param(zfs_unlock, {"state": WORDS}, "state is none of unlocked, locked", id="state"),
        pytest.param(
            zfs_unlock,
            {"secrets": [{"name": "tank", "key": KEY_TEXT}, {**ENTRY, "share_with_children": WORDS}]},
            "share_with_children in secrets, entry 2, is neither true nor false",
            id="secret",
        ),
        pytest.param(zfs_key_export, {"format": WORDS}, "format is none of truenas, zfsfleet", id="format"),
        pytest.param(zfs_dataset_key, {"pbkdf2iters": WORDS}, "pbkdf2iters is no whole number", id="number"),
        pytest.param(
            zfs_dataset_key,
            {"datasets": [{**ENTRY, "pbkdf2iters": WORDS}]},
            "pbkdf2iters in datasets, entry 1, is no whole number",
            id="number of a dataset",
        ),
        pytest.param(
            zfs_dataset_key,
            {"datasets": [{**ENTRY, "keyformat": WORDS}]},
            "keyformat in datasets, entry 1, is none of hex, raw, passphrase",
            id="keyformat of a dataset",
        ),
        pytest.param(zfs_encrypted_pool, {"topology": WORDS}, "topology is no mapping", id="topology"),
        pytest.param(
            zfs_encrypted_pool,
            {"topology": {"data": [{"type": WORDS, "disks": ["/dev/a"]}]}},
            "type in data, entry 1, in topology is none of stripe, mirror",
            id="vdev",
        ),
    ],
)
def test_what_fits_no_option_is_refused_and_not_shown(
    module: types.ModuleType, arguments: dict[str, t.Any], sentence: str
) -> None:
    plugin = action(module, **arguments)
    with pytest.raises(AnsibleActionFail, match=sentence) as refused:
        plugin.run(task_vars={})
    assert WORDS not in str(refused.value)
    assert not hasattr(plugin, "executed")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"encryption": True, "generate_key": "yes", "pbkdf2iters": "350000"}, id="as YAML has them"),
        pytest.param({"encryption": "False", "heal": 0, "pbkdf2iters": 350000.0}, id="as templates make them"),
        pytest.param({"topology": '{"data": [{"type": "stripe", "disks": ["/dev/a"]}]}'}, id="as text"),
        pytest.param({"state": None, "topology": None, "secrets": None}, id="nothing"),
    ],
)
def test_what_ansible_understands_is_left_to_it(arguments: dict[str, t.Any]) -> None:
    plugin = action(zfs_encrypted_pool, **arguments)
    plugin.run(task_vars={})
    assert plugin.executed["module_args"] == arguments


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_action_judges_by_the_arguments_of_its_module(module: types.ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    plugin = importlib.import_module(f"ansible_collections.zfsfleet.encryption.plugins.action.{name}")
    assert plugin.ActionModule.spec == module.SPEC.arguments


@pytest.mark.parametrize("is_batch", [True, False])
def test_what_notes_the_key_of_a_root_is_not_set_by_a_task(is_batch: bool) -> None:
    mark = {"zfsfleet.encryption:key_id": "c2a0f3d7b1e94a58.0f3a9c2b7d11"}
    entry: dict[str, t.Any] = {"name": "tank/a", "key": KEY_TEXT, "properties": mark}
    plugin = action(zfs_dataset_key, **({"datasets": [entry]} if is_batch else entry))
    with pytest.raises(
        AnsibleActionFail, match=r"properties hold zfsfleet\.encryption:key_id, by which this collection"
    ):
        plugin.run(task_vars={})
    entry["properties"] = dict.fromkeys(mark, "inherit")
    action(zfs_dataset_key, **({"datasets": [entry]} if is_batch else entry)).run(task_vars={})
