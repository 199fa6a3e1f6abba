# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of places for keys, given as values in a task, are in nothing that Ansible shows at its loudest."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.escrow import openbao
from ansible_collections.zfsfleet.encryption.tests.secrecy.plays import said_by

CANARY = "s.canary-4711"
NOBODY = {"type": "openbao", "url": "https://127.0.0.1:1", "timeout": 1}

# Whoever gives a secret in one of these ways gets an answer that does not hold it.
PLACES: dict[str, t.Any] = {
    "a token": [{**NOBODY, "token": CANARY}],
    "a secret id": [{**NOBODY, "auth": "approle", "role_id": "role", "secret_id": CANARY}],
    "a list for a token": [{**NOBODY, "token": [CANARY]}],
    "a mapping for a token": [{**NOBODY, "token": {"value": CANARY}}],
    "a misspelled option": [{**NOBODY, "tokken": CANARY}],
    "a secret as the name of an option": [{**NOBODY, CANARY: "token"}],
    "a token for a number": [{**NOBODY, "timeout": CANARY}],
    "a token for a choice": [{**NOBODY, "auth": CANARY}],
    "a token for a type": [{"type": CANARY}],
    "a token for a file": [{**NOBODY, "token_file": CANARY}],
    "a secret id for a file": [{**NOBODY, "auth": "approle", "role_id": "role", "secret_id_file": CANARY}],
    "a password in the address": [{**NOBODY, "url": f"https://user:{CANARY}@127.0.0.1:1", "token": "x"}],
    "a text for the list": f"type=openbao token={CANARY}",
    "a mapping for the list": {"type": "openbao", "token": CANARY},
    "a text in the list": [f"type=openbao token={CANARY}"],
    "both ways": [{**NOBODY, "token": CANARY, "token_file": "/dev/null"}],
}
TASKS: dict[str, dict[str, t.Any]] = {
    "zfs_dataset_key": {"name": "tank/home"},
    "zfs_encrypted_pool": {"name": "tank", "topology": {"data": [{"type": "stripe", "disks": ["/dev/none"]}]}},
    "zfs_encryption_info": {},
    "zfs_key_escrow": {"name": "tank/home"},
    "zfs_key_escrow_info": {},
    "zfs_key_export": {"name": "tank", "dest_controller": "/dev/null/none"},
    "zfs_key_move": {"source": [{**NOBODY, "url": "https://127.0.0.1:2", "token": CANARY}]},
    "zfs_unlock": {"name": "tank"},
}


# Those that are refused before an option of a place is looked at, by whoever takes places.
SHAPES = ("a token", "a text for the list", "a mapping for the list", "a text in the list")


def tasks() -> t.Iterator[dict[str, t.Any]]:
    for module, options in TASKS.items():
        places = PLACES if module == "zfs_key_escrow_info" else {"a token": PLACES["a token"]}
        for place in places.values():
            yield {f"zfsfleet.encryption.{module}": {**options, "escrow": place}}
    for shape in SHAPES:
        yield {"zfsfleet.encryption.zfs_key_move": {"escrow": PLACES["a token"], "source": PLACES[shape]}}
        lookup = "lookup('zfsfleet.encryption.escrow_key', 'tank/home', escrow=place)"
        yield {"ansible.builtin.debug": {"msg": f"{{{{ {lookup} }}}}"}, "vars": {"place": PLACES[shape]}}


def test_no_secret_of_a_place_shows_where_it_fails(tmp_path: Path) -> None:
    wanted = list(tasks())
    rescued = [{"block": [each], "rescue": [{"ansible.builtin.debug": {"msg": "it failed"}}]} for each in wanted]
    said = said_by(tmp_path, rescued, "--diff", "-vvv")
    assert said.count('"msg": "it failed"') == len(wanted), said[-3000:]
    assert CANARY not in said, "\n".join(line for line in said.splitlines() if CANARY in line)


def test_no_secret_of_a_place_shows_where_it_works(tmp_path: Path) -> None:
    with openbao.place(tmp_path) as place:
        info = {"zfsfleet.encryption.zfs_key_escrow_info": {"escrow": [place.in_a_task()]}, "register": "kept"}
        said = said_by(tmp_path, [info, {"ansible.builtin.debug": {"var": "kept"}}], "--diff", "-vvv")
    assert '"readable": true' in said
    assert place.token not in said
