# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task may say about places for keys, and how it is told what it may not."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

from ansible_collections.zfsfleet.encryption.plugins.doc_fragments._escrow import ModuleDocFragment
from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _backends
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import (
    Backend,
    Kind,
    Option,
    Options,
    Surroundings,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from, required_copies
from ansible_collections.zfsfleet.encryption.tests.fake.backend import MemoryBackend

from .trees import KEY_TEXT

AROUND = Surroundings(DataLoader(), "nas1", "ssh")
BUILT: list[Options] = []
REAL = dict(_backends.KINDS)


def build(options: Options, _around: Surroundings) -> Backend:
    BUILT.append(options)
    return MemoryBackend(f"drawer {options['path']}")


@pytest.fixture(autouse=True)
def drawers(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "path": Option("path", required=True),
        "port": Option("int", default=5696),
        "allow_local": Option("bool", default=False),
        "auth": Option(default="token", choices=("token", "approle")),
    }
    monkeypatch.setattr(_backends, "KINDS", {"drawer": Kind(build, options), "shelf": Kind(build)})
    BUILT.clear()


def drawer(**options: t.Any) -> dict[str, t.Any]:
    return {"type": "drawer", "path": "/srv/keys", **options}


def test_options_get_their_defaults_and_types() -> None:
    backends_from([drawer(port="5697", allow_local="yes", auth=None)], AROUND)
    assert BUILT == [{"path": "/srv/keys", "port": 5697, "allow_local": True, "auth": "token"}]


def test_a_relative_path_is_relative_to_the_play() -> None:
    loader = DataLoader()
    loader.set_basedir("/srv/plays")
    backends_from([drawer(path="keys")], Surroundings(loader, "nas1", "ssh"))
    assert BUILT[0]["path"] == "/srv/plays/keys"


def test_the_order_is_that_of_reading() -> None:
    found = backends_from([drawer(path="/b"), drawer(path="/a")], AROUND)
    assert [each.name for each in found] == ["drawer /b", "drawer /a"]


def test_every_option_of_every_kind_is_documented_as_it_is() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["escrow"]["suboptions"]
    assert set(documented.pop("type")["choices"]) >= set(REAL)
    options = {name: option for kind in REAL.values() for name, option in kind.options.items()}
    assert set(documented) >= set(options)
    for name, option in options.items():
        assert documented[name]["type"] == option.type, name
        assert documented[name].get("choices", []) == list(option.choices), name
        told = " ".join(documented[name]["description"])
        assert option.default in (None, False) or f"V({option.default})" in told or name == "vault_id", name


def test_none_said_aloud_is_none() -> None:
    assert backends_from([], AROUND) == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("drawer", "escrow is no list"),
        (drawer(), "escrow is no list"),
        (["drawer"], "escrow, entry 1, has no type. It is one of drawer, shelf"),
        ([{"path": "/a"}], "escrow, entry 1, has no type"),
        ([drawer(), {"type": KEY_TEXT}], "escrow, entry 2, is of no type that is known. Types are drawer, shelf"),
        ([drawer(pth="/a")], r"entry 1 \(drawer\), says more than .* takes, which is path, port, allow_local, auth"),
        ([{"type": "drawer"}], r"entry 1 \(drawer\), lacks path, for which there is no default"),
        ([drawer(path=None)], "lacks path"),
        ([drawer(path="")], r"path of escrow, entry 1 \(drawer\), is no text"),
        ([drawer(path=["/a"])], "is no text"),
        ([drawer(port=KEY_TEXT)], r"port of escrow, entry 1 \(drawer\), is no whole number"),
        ([drawer(port=True)], "is no whole number"),
        ([drawer(allow_local="perhaps")], "is neither true nor false"),
        ([drawer(auth=KEY_TEXT)], "is none of token, approle"),
        ([drawer(), drawer()], "escrow names drawer /srv/keys twice"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_quoted(given: t.Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as refused:
        backends_from(given, AROUND)
    assert KEY_TEXT not in str(refused.value)


def test_all_copies_are_required_unless_it_is_said_how_many() -> None:
    backends = backends_from([drawer(path="/a"), drawer(path="/b")], AROUND)
    assert [required_copies(given, backends) for given in (None, 1, "2")] == [2, 1, 2]


@pytest.mark.parametrize("given", [0, 3, "many", -1, True, 1.5])
def test_a_number_of_copies_that_cannot_be_is_refused(given: t.Any) -> None:
    backends = backends_from([drawer(path="/a"), drawer(path="/b")], AROUND)
    with pytest.raises(Refused, match="escrow_require is no number from 1 to 2"):
        required_copies(given, backends)
