# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canaries of the story, what holds them, and the options that name them."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Canary, Flock

POOL, OTHER_POOL = "leaks", "leaks2"
ASKED = "/run/leaks/asked"
"""Where tasks want keys on the host: in memory, so that the disk has to be free of them."""

Options = dict[str, t.Any]
Canaries = t.Mapping[str, Canary]

KEYS = ("pool", "pool2", "keyed", "keyed2", "vol", "filed", "role", "late", "kept", "kept2")
NEVER_KEYS = (
    *("wrong", "bad_file", "twice", "mistyped", "listed", "mapped", "text", "nameless", "broken", "asynchronous"),
    "lost",
)
PASSPHRASES = ("signs", "signs2", "own_signs", "wrong_signs", "misspelled", "misplaced")
PASSPHRASES_IN_LETTERS = ("letters", "wrong_letters", "long")


def hatch(flock: Flock) -> dict[str, Canary]:
    """Make the canaries, by the names that tasks use."""
    return {
        **{name: flock.key(f"key {name}") for name in (*KEYS, *NEVER_KEYS)},
        "raw": flock.key("key raw", upper=True),
        **{name: flock.passphrase(f"passphrase {name}", "signs") for name in PASSPHRASES},
        **{name: flock.passphrase(f"passphrase {name}", "letters") for name in PASSPHRASES_IN_LETTERS},
    }


def files_on_the_host(canaries: Canaries) -> dict[str, bytes]:
    return {
        "filed.key": bytes.fromhex(canaries["filed"].text),
        "bad.key": bytes.fromhex(canaries["bad_file"].text) + b"\n",
        "manifest.json": json.dumps(manifest(canaries)).encode(),
    }


def files_on_the_controller(canaries: Canaries, servers: Options) -> dict[str, str]:
    broken = {f"{POOL}/keyed": canaries["broken"].text}
    return {
        "canaries.json": json.dumps(
            {"c": {name: canary.text for name, canary in canaries.items()}, "manifest": manifest(canaries), **servers}
        ),
        "manifest.json": json.dumps(manifest(canaries)),
        "broken.json": json.dumps(broken)[:-1] + ",",
        "mistyped.json": json.dumps({f"{POOL}/keyed": [canaries["broken"].text]}),
        "vault_password": "for tests",
    }


def manifest(canaries: Canaries) -> dict[str, str]:
    """Return the keys after they were changed."""
    changed = {"keyed": "keyed2", "signs": "signs2"}
    names = ("keyed", "raw", "vol", "letters", "signs")
    return {POOL: canaries["pool"].text, **{f"{POOL}/{name}": canaries[changed.get(name, name)].text for name in names}}


def given(name: str) -> str:
    """Return a template, as tasks of users have it: the playbook names secrets, it does not hold them."""
    return f"{{{{ c.{name} }}}}"


def phrased(name: str) -> Options:
    return {"name": f"{POOL}/{name}", "passphrase": given(name)}


def keyed(name: str) -> Options:
    return {"name": f"{POOL}/{name}", "key": given(name)}


def _pool(name: str, disk: str) -> Options:
    return {"name": name, "topology": {"data": [{"type": "stripe", "disks": [disk]}]}, "overwrite": [disk]}


ITERATIONS = {"pbkdf2iters": 100000}
POOL_OPTIONS = _pool(POOL, "/dev/disk/by-id/virtio-d0")
OTHER_OPTIONS = _pool(OTHER_POOL, "/dev/disk/by-id/virtio-d1")
DATASETS = [
    keyed("keyed"),
    {**keyed("raw"), "keyformat": "raw"},
    {**keyed("vol"), "volsize": "16M"},
    *({**phrased(name), **ITERATIONS} for name in ("letters", "signs")),
    {"name": f"{POOL}/filed", "keyformat": "raw", "key_file": f"{ASKED}/filed.key"},
    {"name": f"{POOL}/made", "key_file": f"{ASKED}/made.key", "generate_key": True},
]
# What opens them after keys were changed.
SECRETS = [
    {"name": POOL, "key": given("pool")},
    {"name": f"{POOL}/keyed", "key": given("keyed2")},
    *(keyed(name) for name in ("raw", "vol")),
    phrased("letters"),
    {"name": f"{POOL}/signs", "passphrase": given("signs2")},
]
WRONG_SECRETS = [
    {"name": f"{POOL}/keyed", "key": given("wrong")},
    {"name": f"{POOL}/signs", "passphrase": given("wrong_signs")},
    {"name": f"{POOL}/letters", "passphrase": given("wrong_letters")},
]
SOME: Options = {"names": [entry["name"] for entry in WRONG_SECRETS]}
MOVED_TO = "moved"
"""The folder on OpenBao."""
OPENBAO = {"type": "openbao", "url": "{{ bao.url }}", "ca": "{{ bao.ca }}"}
BY_TOKEN = {**OPENBAO, "token": "{{ bao.token }}"}
BY_APPROLE = {**OPENBAO, "auth": "approle", "role_id": "{{ bao.role_id }}", "secret_id": "{{ bao.secret_id }}"}
KMIP = {
    "type": "kmip",
    **{name: f"{{{{ kmip.{name} }}}}" for name in ("host", "port", "certificate", "key_file", "ca")},
}
VAULT_FILE = {"type": "vault_file", "path": "{{ escrow_path }}", "allow_local": True}
ESCROW: list[Options] = [VAULT_FILE, KMIP, BY_APPROLE]
MOVED: list[Options] = [{**VAULT_FILE, "path": "{{ moved_path }}"}, {**BY_TOKEN, "prefix": MOVED_TO}]
WHOLE: Options = {"name": POOL, "recursive": True}
