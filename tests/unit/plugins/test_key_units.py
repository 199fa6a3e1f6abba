# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of systemd's units, as systemd-escape 257 writes them, and how they are started."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _key_units
from ansible_collections.zfsfleet.encryption.plugins.module_utils._command import Answer
from ansible_collections.zfsfleet.encryption.plugins.module_utils._key_units import KeyUnits, mount_unit, unit_of

from .trees import root


@pytest.mark.parametrize(
    ("root", "unit"),
    [
        ("tank", "zfs-load-key@tank.service"),
        ("tank/a/in-ner x.y_z:1", r"zfs-load-key@tank-a-in\x2dner\x20x.y_z:1.service"),
        ("tank/.hidden", "zfs-load-key@tank-.hidden.service"),
    ],
)
def test_a_roots_unit(root: str, unit: str) -> None:
    assert unit_of(root) == unit


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/", "-.mount"),
        ("/tank/a b/c-d", r"tank-a\x20b-c\x2dd.mount"),
        ("/.x/y/", r"\x2ex-y.mount"),
        ("/srv/é", r"srv-\xc3\xa9.mount"),
    ],
)
def test_a_mountpoints_unit(path: str, unit: str) -> None:
    assert mount_unit(path) == unit


def test_a_unit_that_is_started_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """It would ask for a passphrase on every terminal, and wait."""
    (tmp_path / unit_of("tank/a")).touch()
    monkeypatch.setattr(_key_units, "_GENERATED", str(tmp_path))
    commands: list[tuple[str, ...]] = []

    def run(*words: str, **_options: t.Any) -> Answer:
        commands.append(words)
        return Answer(0, "", "")

    monkeypatch.setattr(_key_units, "run", run)
    KeyUnits().let_mount(root("tank/a"))
    assert commands == [("systemctl", "start", "--no-ask-password", "zfs-load-key@tank-a.service")]
