# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without OpenZFS, and a way to run whole modules on it."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import types
import typing as t

import pytest
from ansible.module_utils import basic
from hypothesis import settings

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _edge, _lock
from ansible_collections.zfsfleet.encryption.plugins.modules import (
    zfs_dataset_key,
    zfs_encrypted_pool,
    zfs_encryption_info,
    zfs_key_drill,
    zfs_key_escrow,
    zfs_key_escrow_info,
    zfs_key_export,
    zfs_key_move,
    zfs_key_retire,
    zfs_key_rotate,
    zfs_unlock,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _backends, _record
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

from .acting import Controller
from .clocks import Clock

# How long an example takes tells only how busy the machine is.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")

MODULES: dict[str, types.ModuleType] = {
    "zfs_dataset_key": zfs_dataset_key,
    "zfs_encrypted_pool": zfs_encrypted_pool,
    "zfs_encryption_info": zfs_encryption_info,
    "zfs_key_drill": zfs_key_drill,
    "zfs_key_escrow": zfs_key_escrow,
    "zfs_key_escrow_info": zfs_key_escrow_info,
    "zfs_key_retire": zfs_key_retire,
    "zfs_key_rotate": zfs_key_rotate,
    "zfs_key_export": zfs_key_export,
    "zfs_key_move": zfs_key_move,
    "zfs_unlock": zfs_unlock,
}


class Run(t.Protocol):
    """Runs a module as Ansible would and returns its result; ``check`` for check mode."""

    def __call__(self, module: str, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]: ...


@pytest.fixture
def host() -> FakeOpenZFS:
    return FakeOpenZFS("tank")


@pytest.fixture
def run(
    host: FakeOpenZFS,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    locks: pathlib.Path = tmp_path_factory.mktemp("locks")
    monkeypatch.setattr(_lock, "DIRECTORY", str(locks))
    monkeypatch.setattr(_edge, "OpenZFS", lambda: host)
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    warnings: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warnings.append(text))

    def run_module(module: str, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True}
        payload = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", payload)
        warnings.clear()
        with pytest.raises(SystemExit):
            MODULES[module].main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        result.pop("invocation", None)
        return {**result, "warnings": list(warnings)}

    return run_module


@pytest.fixture
def controller(host: FakeOpenZFS, run: Run, monkeypatch: pytest.MonkeyPatch) -> Controller:
    made = Controller(run, host)
    monkeypatch.setattr(_backends, "KINDS", made.kinds)
    monkeypatch.setattr(_edge, "OpenZFS", lambda: made.host)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """Give the controller a clock that the test sets."""
    monkeypatch.setattr(_record, "datetime", Clock)
    monkeypatch.setattr(Clock, "offset", dt.timedelta())
    return Clock
