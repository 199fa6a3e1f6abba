# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup of keys for people: the likeliest one, or a sentence that says why there is none."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.lookup.escrow_key import keys_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import EncryptionError
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendDown, Surroundings
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept

from .acting import Controller
from .trees import KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}, {"type": "memory", "name": "two"}]
ANSIBLE = pathlib.Path(sys.executable).with_name("ansible")


@pytest.fixture
def kept(controller: Controller) -> Controller:
    datasets: list[dict[str, t.Any]] = [
        {"name": "tank/a", "key": KEY_TEXT},
        {"name": "tank/w", "passphrase": "correct horse", "pbkdf2iters": 100_000},
    ]
    assert controller.act("zfs_dataset_key", datasets=datasets, escrow=TWO)["changed"]
    return controller


def look(
    controller: Controller,
    *terms: str,
    host: str = "nas1",
    escrow: t.Any = None,
    warn: t.Callable[[str], object] = pytest.fail,
) -> list[str]:
    backends = backends_from(TWO if escrow is None else escrow, Surroundings(controller.loader, host, "ssh"))
    return keys_of(backends, host, terms, warn)


def test_keys_come_as_people_write_them(kept: Controller) -> None:
    calls = len(kept.calls)
    assert look(kept, "tank/w", "tank/a") == ["correct horse", KEY_TEXT]
    assert len(kept.calls) == calls
    assert kept.drawers["one"].is_closed
    assert look(kept, "tank/a", host="nas1", escrow=TWO[:1]) == [KEY_TEXT]


def test_the_present_key_comes_before_the_one_that_it_replaced(kept: Controller) -> None:
    change: dict[str, t.Any] = {"name": "tank/a", "key": OTHER_KEY_TEXT, "update_key": "always"}
    assert kept.act("zfs_dataset_key", escrow=TWO, **change)["changed"]
    assert look(kept, "tank/a") == [OTHER_KEY_TEXT]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": "nas2"}, "Escrow has no key for tank/a of nas2"),
        ({"escrow": []}, "escrow names no place for keys"),
        ({"escrow": [{"type": "memry"}]}, "is of no type that is known"),
    ],
)
def test_what_cannot_be_found_is_told(kept: Controller, options: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(EncryptionError, match=sentence):
        look(kept, "tank/a", **options)


def test_copies_that_differ_and_places_that_are_down_are_told(kept: Controller) -> None:
    drawer = kept.drawers["two"]
    drawer.damaged.update({key_id: Kept(each.version, OTHER_KEY) for key_id, each in drawer.keys.items()})
    with pytest.raises(EncryptionError, match=r"The copies of .* differ") as failure:
        look(kept, "tank/a")
    assert KEY_TEXT not in str(failure.value)
    for each in kept.drawers.values():
        each.failing["entries"] = BackendDown(f"{each.name} is down.")
    with pytest.raises(EncryptionError, match=r"one is down\. two is down\."):
        look(kept, "tank/a")


def test_a_place_that_may_have_a_newer_key_is_told(kept: Controller) -> None:
    change: dict[str, t.Any] = {"name": "tank/a", "key": OTHER_KEY_TEXT, "update_key": "always"}
    assert kept.act("zfs_dataset_key", escrow=TWO[:1], **change)["changed"]
    kept.drawers["one"].failing["entries"] = BackendDown("one is down.")
    warnings: list[str] = []
    assert look(kept, "tank/a", warn=warnings.append) == [KEY_TEXT]
    assert warnings == ["one is down."]


def test_ansible_finds_it_by_its_name(controller: Controller, tmp_path: pathlib.Path) -> None:
    places = [{"type": "vault_file", "path": str(tmp_path / "keys"), "allow_local": True}]
    (tmp_path / "keys").mkdir(mode=0o700)
    password = tmp_path / "password"
    password.write_text("a vault password")
    assert controller.act("zfs_dataset_key", name="tank/a", key=KEY_TEXT, escrow=places)["changed"]
    look_up = f"{{{{ lookup('zfsfleet.encryption.escrow_key', 'tank/a', host='nas1', escrow={places}) }}}}"
    done = subprocess.run(
        [str(ANSIBLE), "localhost", "-m", "debug", "-a", f"msg={look_up}", f"--vault-password-file={password}"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(__file__).resolve().parents[3] / ".tree")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert KEY_TEXT in done.stdout, done.stdout + done.stderr
