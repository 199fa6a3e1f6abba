# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of retirement do: tasks on two places for keys, and a look at what is there."""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Entry

from .acting import Controller

TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}, {"type": "memory", "name": "two"}]


def succeeded(result: dict[str, t.Any]) -> dict[str, t.Any]:
    assert not result.get("failed"), result["msg"]
    return result


def rotate(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    due: dict[str, t.Any] = {} if "back_to" in options or "made_before" in options else {"max_age_days": 0}
    return controller.act("zfs_key_rotate", escrow=TWO, **{**due, **options})


def retire(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    return controller.act("zfs_key_retire", **{"retain_days": 0, "retain_versions": 0, "escrow": TWO, **options})


def take_in(controller: Controller, name: str) -> None:
    succeeded(controller.act("zfs_key_escrow", name=name, escrow=TWO))


def compromise(controller: Controller, key_id: str) -> None:
    succeeded(controller.act("zfs_key_escrow", key_id=key_id, key_state="compromised", escrow=TWO))


def destroy_by_hand(controller: Controller, key_id: str) -> dict[str, t.Any]:
    said: dict[str, t.Any] = {"state": "absent", "key_id": key_id, "force_destroy": True}
    return controller.act("zfs_key_escrow", escrow=TWO, **said)


def set_by_a_person(controller: Controller, old: str, new: str) -> None:
    """Set the key of a version on tank/a, which has that of another, beside escrow."""
    key, current = key_of(controller, new).secret.hex(), {"key": key_of(controller, old).secret.hex()}
    changed = controller.act("zfs_dataset_key", name="tank/a", key=key, update_key="always", current=current)
    succeeded(changed)


def ids(controller: Controller) -> list[str]:
    return [str(key_id) for key_id in controller.drawer("one").keys]


def key_of(controller: Controller, key_id: str) -> Key:
    return next(kept.key for each, kept in controller.drawer("one").keys.items() if str(each) == key_id)


def entry_of(controller: Controller, key_id: str) -> Entry:
    return next(entry for each, entry in controller.drawer("one").entries_by_id.items() if str(each) == key_id)


def destroyed(result: dict[str, t.Any]) -> list[str]:
    return [each["key_id"] for each in succeeded(result)["destroyed"]]


def why_kept(result: dict[str, t.Any]) -> dict[str, str]:
    return {each["key_id"]: each["why"] for each in succeeded(result)["kept"]}
