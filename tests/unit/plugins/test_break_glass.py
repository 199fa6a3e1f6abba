# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on opening datasets by hand: what it says is typed, and opens what our backends keep the keys of.

Real are the files, the servers, and the programs that get keys from them. Only the host is not: its ``zfs`` reads a key
as OpenZFS reads it, and knows one that opens. Stories on machines (`fleet_unlock`, `by_hand`) type it to the real one.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, KeyFormat
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Kept, State
from ansible_collections.zfsfleet.encryption.tests.escrow import guide, kmip_place, openbao, vault_file
from ansible_collections.zfsfleet.encryption.tests.escrow.by_hand import (
    CLIENTS,
    PAGE,
    PYTHONS,
    Desk,
    for_kmip,
    for_openbao,
    program,
)
from ansible_collections.zfsfleet.encryption.tests.escrow.place import (
    Place,
    a_binding,
    a_host,
    a_version,
    fresh,
    kept,
)

ROOT = "tank/home"
SAID = {"ssh": "root@the.host", "root": ROOT}
POOL_GUID = "4051815161718191920"
PASSPHRASE = Key("passphrase", " corréct 'horse' \"battery\" $taple  ".encode())

# A key is read as libzfs reads it from what is no terminal (libzfs_crypto.c, get_key_material_raw).
ZFS = """\
#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
command, root = sys.argv[1], sys.argv[-1]
if command == "load-key":
    given = sys.stdin.buffer
    key = given.read(33) if (here / "raw").exists() else given.readline().rstrip(b"\\n")
    opens = root == "tank/home" and key == (here / "key").read_bytes()
    if opens and "-n" not in sys.argv:
        (here / "loaded").touch()
    sys.exit(0 if opens else "Key load error: Incorrect key provided for '" + root + "'.")
if command == "mount":
    (here / "mounted").touch()
"""
SSH = """\
#!/bin/sh
[ "$1" = root@the.host ] || exit 255
shift
PATH="{host}:$PATH" exec sh -c "$*"
"""


@pytest.fixture
def host(tmp_path: pathlib.Path) -> pathlib.Path:
    """The managed host's programs, and what opens its root."""
    made = tmp_path / "host"
    made.mkdir()
    program(made / "zfs", ZFS.format(python=sys.executable))
    program(tmp_path / "ssh", SSH.format(host=made))
    return made


def stock(place: Place, name: str, keyformat: KeyFormat, host: pathlib.Path) -> Kept:
    """Keep a root's present key, an older one, and that of another root, and let the host know the present one."""
    present = kept(
        a_version(name, dataset=ROOT, keyformat=keyformat, pool_guid=POOL_GUID),
        PASSPHRASE if keyformat == "passphrase" else None,
    )
    older = kept(a_version(name, dataset=ROOT, keyformat=keyformat, record=present.version.key_id.record))
    other = kept(a_version(name, dataset="tank/home2", keyformat=keyformat))
    states: list[tuple[Kept, State]] = [(older, "deactivated"), (present, "active"), (other, "active")]
    with contextlib.closing(place.open()) as backend:
        for each, state in states:
            backend.put(each)
            backend.bind(fresh(each.version), a_binding(dataset=each.version.dataset))
            backend.advance(fresh(each.version), state)
    (host / "key").write_bytes(present.key.text(keyformat))
    if keyformat == "raw":
        (host / "raw").touch()
    return present


def check(done: subprocess.CompletedProcess[str], present: Kept, host: pathlib.Path) -> None:
    assert (host / "loaded").exists(), done.stderr
    assert (host / "mounted").exists()
    shown = done.stdout + done.stderr
    assert present.key.text("hex").decode() not in shown


@pytest.mark.parametrize("keyformat", ["hex", "raw", "passphrase"])
def test_a_key_in_a_file_opens(tmp_path: pathlib.Path, host: pathlib.Path, keyformat: KeyFormat) -> None:
    with vault_file.place(tmp_path) as place:
        present = stock(place, "nas1", keyformat, host)
    password = tmp_path / "password"
    password.write_bytes(vault_file.PASSWORD + b"\n")
    values = {"host": "nas1", **SAID, "keys": str(place.path), "password": str(password)}
    desk = Desk(tmp_path, values, [PYTHONS])
    done = desk.type_what_is_said(f"{PAGE}.vault_file", keyformat=keyformat)
    check(done, present, host)
    assert done.stdout.splitlines()[-1].endswith(f"{present.version.key_id}.{keyformat}.vault")


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[openbao.OpenBaoPlace]:
    with openbao.place(tmp_path_factory.mktemp("openbao")) as place:
        yield place


@pytest.mark.parametrize("keyformat", ["raw", "passphrase"])
def test_a_key_in_openbao_opens(
    bao: openbao.OpenBaoPlace, tmp_path: pathlib.Path, host: pathlib.Path, keyformat: KeyFormat
) -> None:
    name = a_host()
    present = stock(bao, name, keyformat, host)
    desk = Desk(tmp_path, {"host": name, **SAID, **for_openbao(bao, keyformat)}, [CLIENTS], f"{bao.token}\n")
    done = desk.type_what_is_said(f"{PAGE}.openbao", keyformat=keyformat)
    check(done, present, host)
    assert bao.token not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def kmip(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[kmip_place.KmipPlace]:
    with kmip_place.place(tmp_path_factory.mktemp("kmip")) as place:
        yield place


def test_a_key_on_a_kmip_server_opens(kmip: kmip_place.KmipPlace, tmp_path: pathlib.Path, host: pathlib.Path) -> None:
    name = a_host()
    present = stock(kmip, name, "hex", host)
    (tmp_path / "kmip_keys.py").write_text(guide.captioned(PAGE, "kmip_keys.py"))
    done = Desk(tmp_path, {"host": name, **SAID, **for_kmip(kmip)}, [PYTHONS]).type_what_is_said(
        f"{PAGE}.kmip", keyformat="hex"
    )
    check(done, present, host)


def test_what_has_to_do_with_a_pool_is_found_in_files(tmp_path: pathlib.Path, host: pathlib.Path) -> None:
    """The line for keys of a host that had another name."""
    with vault_file.place(tmp_path) as place:
        present = stock(place, "nas1.of.old", "hex", host)
    program(host / "zpool", f"#!/bin/sh\n[ \"$*\" = 'get -H -o value guid tank' ] && echo {POOL_GUID}\n")
    (line,) = [block.text for block in guide.blocks(PAGE, language="bash") if "grep -rl" in block.text]
    text = f"ssh=root@the.host root={ROOT} keys={place.path}\n{line}"
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    found = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=True).stdout
    assert f"/nas1.of.old/tank%2Fhome.{present.version.key_id}.json" in found


def test_what_opened_one_root_is_forgotten_before_the_next_is_tried() -> None:
    loops = [block.text for block in guide.blocks(PAGE, language="bash") if "&& opens=" in block.text]
    assert len(loops) == 3
    assert all(text.startswith("opens=\n") for text in loops)
