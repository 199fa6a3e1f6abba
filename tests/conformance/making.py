# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and datasets that the statements are made with."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Reason
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host, KeyChange
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, hex_key, passphrase
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import Dataset

ITERATIONS = 100_000
if t.TYPE_CHECKING:
    P = t.ParamSpec("P")  # Python 3.10; the statements run on 3.9 too

KEYFORMATS = ("raw", "hex", "passphrase")

KEY = hex_key("1a" * 32, whose="a test")
OTHER_KEY = hex_key("2b" * 32, whose="a test")
THIRD_KEY = hex_key("3c" * 32, whose="a test")
PASSPHRASE = passphrase("correct horse battery staple", whose="a test")
OTHER_PASSPHRASE = passphrase("Tr0ub4dor&3", whose="a test")


def key_of(keyformat: str) -> Key:
    return PASSPHRASE if keyformat == "passphrase" else KEY


def other_key_of(keyformat: str) -> Key:
    return OTHER_PASSPHRASE if keyformat == "passphrase" else OTHER_KEY


def read(host: Host, name: str) -> Dataset:
    found = host.dataset(name)
    assert found is not None, f"{name} is not there"
    return found


def source_of(host: Host, name: str, prop: str) -> str:
    return read(host, name).properties[prop].source


def create(host: Host, name: str, /, **properties: str) -> None:
    """Create a filesystem that is plain or inherits."""
    host.create(Creation(name, properties))


def create_root(
    host: Host, name: str, /, key: Key = KEY, keyformat: str = "hex", keylocation: str = "prompt", **properties: str
) -> None:
    """Create an encryption root, its key loaded."""
    host.create(Creation(name, root_properties(keyformat, **properties), key=key, keylocation=keylocation))


def create_locked_root(host: Host, name: str, /, key: Key = KEY, keyformat: str = "hex") -> None:
    create_root(host, name, key, keyformat)
    host.unload_key(name)


def create_volume(
    host: Host, name: str, /, size: str = "1M", *, sparse: bool = True, key: Key | None = None, **properties: str
) -> None:
    """Create a volume; with a key an encryption root."""
    wanted = root_properties("hex", **properties) if key else properties
    host.create(Creation(name, wanted, volume_size=size, sparse=sparse, key=key))


def _and_read(
    create_one: t.Callable[t.Concatenate[Host, str, P], None],
) -> t.Callable[t.Concatenate[Host, str, P], Dataset]:
    """Create and read; reading only where it is looked at keeps the suite quick in an emulated machine."""

    def made(host: Host, name: str, /, *arguments: P.args, **options: P.kwargs) -> Dataset:
        create_one(host, name, *arguments, **options)
        return read(host, name)

    return made


make = _and_read(create)
make_root = _and_read(create_root)
make_locked_root = _and_read(create_locked_root)
make_volume = _and_read(create_volume)


def root_properties(keyformat: str, **properties: str) -> dict[str, str]:
    rounds = {"pbkdf2iters": str(ITERATIONS)} if keyformat == "passphrase" else {}
    return {"encryption": "on", "keyformat": keyformat, **rounds, **properties}


def change(host: Host, name: str, key: Key, keyformat: str = "hex", keylocation: str = "prompt") -> Dataset:
    host.change_key(KeyChange(name, keyformat, key, keylocation, ITERATIONS if keyformat == "passphrase" else 0))
    return read(host, name)


def opens(host: Host, name: str, key: Key) -> bool:
    """Tell whether a key opens a root as it is now; that it does not must be for certain."""
    verdict = host.verify(read(host, name), key)
    assert verdict.outcome != "unknown", verdict
    return verdict.outcome == "opens"


@contextlib.contextmanager
def fails(reason: Reason = "unknown") -> t.Iterator[None]:
    """Expect a call about a dataset to fail for this reason."""
    with pytest.raises(CallFailed) as caught:
        yield
    assert caught.value.reason == reason, caught.value
