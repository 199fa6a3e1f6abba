# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with the canaries: every module, as it should be used and as it should not."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.tests.secrecy.canary import Canary, Flock

POOL, OTHER_POOL = "leaks", "leaks2"
ASKED = "/run/leaks/asked"
"""Where tasks want keys on the host: in memory, so that the disk has to be free of them."""

Options = dict[str, t.Any]
Task = dict[str, t.Any]


@dataclass(frozen=True)
class Case:
    """A task and how it has to end.

    Attributes:
        refused: words of the sentence that it has to fail with.
        sampled: a part of the short scan.
    """

    module: str
    options: Options
    refused: str | None = None
    sampled: bool = False
    keywords: Task = field(default_factory=dict)


def case(module: str, options: Options, *, refused: str | None = None, **keywords: t.Any) -> Case:
    return Case(module, options, refused, keywords=keywords)


def sampled(module: str, options: Options, *, refused: str | None = None, **keywords: t.Any) -> Case:
    return Case(module, options, refused, sampled=True, keywords=keywords)


def hatch(flock: Flock) -> dict[str, Canary]:
    """Make the canaries, by the names that tasks use."""
    keys = ("pool", "pool2", "keyed", "keyed2", "vol", "filed", "role")
    wrong_keys = (
        "wrong",
        "bad_file",
        "twice",
        "mistyped",
        "listed",
        "mapped",
        "text",
        "nameless",
        "broken",
        "asynchronous",
    )
    return {
        **{name: flock.key(f"key {name}") for name in (*keys, *wrong_keys)},
        "raw": flock.key("key raw", upper=True),
        "letters": flock.passphrase("passphrase letters", "letters"),
        "signs": flock.passphrase("passphrase signs", "signs"),
        "signs2": flock.passphrase("passphrase signs2", "signs"),
        "wrong_signs": flock.passphrase("passphrase wrong_signs", "signs"),
        "wrong_letters": flock.passphrase("passphrase wrong_letters", "letters"),
        "misspelled": flock.passphrase("passphrase misspelled", "signs"),
        "long": flock.passphrase("passphrase long", "letters"),
        "own_signs": flock.passphrase("passphrase own_signs", "signs"),
    }


def files_on_the_host(canaries: t.Mapping[str, Canary]) -> dict[str, bytes]:
    return {
        "filed.key": bytes.fromhex(canaries["filed"].text),
        "bad.key": bytes.fromhex(canaries["bad_file"].text) + b"\n",
        "manifest.json": json.dumps(manifest(canaries)).encode(),
    }


def files_on_the_controller(canaries: t.Mapping[str, Canary]) -> dict[str, str]:
    broken = {f"{POOL}/keyed": canaries["broken"].text}
    return {
        "canaries.json": json.dumps(
            {"c": {name: canary.text for name, canary in canaries.items()}, "manifest": manifest(canaries)}
        ),
        "manifest.json": json.dumps(manifest(canaries)),
        "broken.json": json.dumps(broken)[:-1] + ",",
        "mistyped.json": json.dumps({f"{POOL}/keyed": [canaries["broken"].text]}),
        "vault_password": "for tests",
    }


def manifest(canaries: t.Mapping[str, Canary]) -> dict[str, str]:
    """The keys after they were changed."""
    changed = {"keyed": "keyed2", "signs": "signs2"}
    names = ("keyed", "raw", "vol", "letters", "signs")
    return {POOL: canaries["pool"].text, **{f"{POOL}/{name}": canaries[changed.get(name, name)].text for name in names}}


def _given(name: str) -> str:
    """Return a template, as tasks of users have it: the playbook names secrets, it does not hold them."""
    return f"{{{{ c.{name} }}}}"


def _phrased(name: str) -> Options:
    return {"name": f"{POOL}/{name}", "passphrase": _given(name)}


def _keyed(name: str) -> Options:
    return {"name": f"{POOL}/{name}", "key": _given(name)}


ITERATIONS = {"pbkdf2iters": 100000}


def _pool(name: str, disk: str) -> Options:
    return {"name": name, "topology": {"data": [{"type": "stripe", "disks": [disk]}]}, "overwrite": [disk]}


POOL_OPTIONS = _pool(POOL, "/dev/disk/by-id/virtio-d0")
OTHER_OPTIONS = _pool(OTHER_POOL, "/dev/disk/by-id/virtio-d1")
DATASETS = [
    _keyed("keyed"),
    {**_keyed("raw"), "keyformat": "raw"},
    {**_keyed("vol"), "volsize": "16M"},
    *({**_phrased(name), **ITERATIONS} for name in ("letters", "signs")),
    {"name": f"{POOL}/filed", "keyformat": "raw", "key_file": f"{ASKED}/filed.key"},
    {"name": f"{POOL}/made", "key_file": f"{ASKED}/made.key", "generate_key": True},
]
SECRETS = [
    {"name": POOL, "key": _given("pool")},
    {"name": f"{POOL}/keyed", "key": _given("keyed2")},
    *(_keyed(name) for name in ("raw", "vol")),
    _phrased("letters"),
    {"name": f"{POOL}/signs", "passphrase": _given("signs2")},
]
WRONG_SECRETS = [
    {"name": f"{POOL}/keyed", "key": _given("wrong")},
    {"name": f"{POOL}/signs", "passphrase": _given("wrong_signs")},
    {"name": f"{POOL}/letters", "passphrase": _given("wrong_letters")},
]
SOME: Options = {"names": [entry["name"] for entry in WRONG_SECRETS]}
WHOLE = {"name": POOL, "recursive": True}
FORESEEN: Task = {"check_mode": True, "diff": True}


def making() -> list[Case]:
    """Pools and datasets come into being."""
    return [
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "key": _given("pool")}, **FORESEEN),
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "key": _given("pool")}, diff=True),
        case("zfs_encrypted_pool", {**POOL_OPTIONS, "key": _given("wrong")}, refused="does not open it"),
        sampled("zfs_encrypted_pool", {**POOL_OPTIONS, "kye": _given("mistyped")}, refused="Unsupported parameters"),
        case(
            "zfs_encrypted_pool", {**POOL_OPTIONS, "key": _given("twice") + "0"}, refused="is not 64 hexadecimal digits"
        ),
        sampled("zfs_dataset_key", {"datasets": DATASETS}, **FORESEEN),
        sampled("zfs_dataset_key", {"datasets": DATASETS}, diff=True),
        case("zfs_dataset_key", {"datasets": DATASETS}),
        case(
            "zfs_dataset_key",
            {"name": f"{POOL}/{{{{ item }}}}", "key": "{{ c[item] }}"},
            loop=["keyed", "vol"],
        ),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, "passphrase": _given("own_signs"), **ITERATIONS}),
        case("zfs_encrypted_pool", {**OTHER_OPTIONS, "state": "absent", "force_destroy": True}),
    ]


def changing() -> list[Case]:
    """Keys are changed, or not."""
    wanted = [
        {**_keyed("keyed"), "key": _given("keyed2"), "current": {"key": _given("keyed")}},
        {**_phrased("signs"), "passphrase": _given("signs2"), "current": {"passphrase": _given("signs")}},
    ]
    unproven = [{**entry, "current": {"key": _given("wrong")}} for entry in wanted]
    return [
        sampled("zfs_dataset_key", {"datasets": WRONG_SECRETS}, refused="does not open it"),
        case("zfs_dataset_key", {"datasets": unproven, "update_key": "always"}, refused="does not open it"),
        case("zfs_dataset_key", {"datasets": wanted, "update_key": "always"}, **FORESEEN),
        sampled("zfs_dataset_key", {"datasets": wanted, "update_key": "always"}, diff=True),
    ]


def malformed() -> list[Case]:
    """Secrets stand where they do not belong, or are none."""
    name = {"name": f"{POOL}/new"}
    return [
        sampled("zfs_dataset_key", {"datasets": [_given("text")]}, refused="no list of mappings"),
        case("zfs_dataset_key", {"datasets": _given("text")}, refused="no list of mappings"),
        case("zfs_dataset_key", {**name, "current": _given("text")}, refused="current is no mapping"),
        sampled("zfs_dataset_key", {**name, "key": [_given("listed")]}, refused="key is no text"),
        case("zfs_dataset_key", {**name, "key": {"key": _given("mapped")}}, refused="key is no text"),
        case("zfs_dataset_key", {**name, "passphrase": [_given("misspelled")]}, refused="passphrase is no text"),
        sampled(
            "zfs_dataset_key",
            {"datasets": [{**name, "passfrase": _given("misspelled")}]},
            refused="Unsupported parameters",
        ),
        case(
            "zfs_dataset_key",
            {**name, "key": _given("twice"), "passphrase": _given("misspelled")},
            refused="mutually exclusive",
        ),
        case("zfs_dataset_key", {**name, "passphrase": "{{ c.long * 20 }}"}, refused="8 to 512 bytes"),
        sampled(
            "zfs_dataset_key", {**name, "keyformat": "raw", "key_file": f"{ASKED}/bad.key"}, refused="wants exactly 32"
        ),
        case(
            "zfs_dataset_key",
            {**name, "key": _given("asynchronous")},
            refused="asynchronous",
            **{"async": 30, "poll": 1},
        ),
        sampled(
            "zfs_unlock", {**WHOLE, "secrets": [{"key": _given("nameless")}]}, refused="missing required arguments"
        ),
        case("zfs_unlock", {**WHOLE, "secrets": _given("text")}, refused="no list of mappings"),
        case(
            "zfs_unlock", {**WHOLE, "secrets": {"name": POOL, "key": _given("mapped")}}, refused="no list of mappings"
        ),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [{"name": POOL, "key": {"key": _given("mapped")}}]},
            refused="key is no text",
        ),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [{**_keyed("keyed"), "share_with_children": "perhaps"}]},
            refused="share_with_children",
        ),
        sampled("zfs_unlock", {**WHOLE, "manifest": "broken.json"}, refused="is not JSON"),
        case("zfs_unlock", {**WHOLE, "manifest": "mistyped.json"}, refused="that is no text"),
        case("zfs_unlock", {**WHOLE, "manifest_content": _given("text")}, refused="is not JSON"),
        case("zfs_unlock", {**WHOLE, "manifest_content": [_given("listed")]}, refused="manifest_content"),
        case("zfs_unlock", {**WHOLE, "manifest": "{{ manifest }}"}, refused="manifest is no path"),
        sampled("zfs_unlock", {**WHOLE, "manifest": "{{ manifest | to_json }}"}, refused="manifest is no path"),
        case("zfs_unlock", {**WHOLE, "manifest": _given("text")}, refused="manifest holds 64"),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [{"name": POOL, "key_file": _given("text")}]},
            refused="key_file holds 64",
        ),
        case("zfs_dataset_key", {**name, "key_file": _given("misspelled")}, refused="no absolute path"),
        sampled("zfs_dataset_key", {**name, "keyformat": _given("text")}, refused="keyformat holds 64"),
        case("zfs_dataset_key", {**name, "keylocation": _given("misspelled")}, refused="no location"),
        case("zfs_unlock", {**WHOLE, "manifest_content": {_given("text"): _given("text")}}, refused="no dataset's"),
        case("zfs_unlock", {**WHOLE, "manifest_content": {POOL: {"key": _given("text")}}}, refused=POOL),
        case("zfs_encryption_info", {**WHOLE, "secrets": [{**_keyed("keyed"), "pasword": "x"}]}, refused="Unsupported"),
        case(
            "zfs_key_export",
            {**WHOLE, "dest": f"{ASKED}/x.json", "_seal": _given("text")},
            refused="_seal is no option",
        ),
    ]


def unlocking() -> list[Case]:
    """Roots are locked and unlocked, by all that can hold a key."""
    return [
        sampled("zfs_unlock", {**SOME, "state": "locked", "secrets": WRONG_SECRETS}, refused="opens it"),
        sampled("zfs_unlock", {**WHOLE, "state": "locked", "secrets": SECRETS}, diff=True),
        sampled(
            "zfs_unlock", {"names": [POOL, *SOME["names"]], "secrets": [SECRETS[0], *WRONG_SECRETS]}, refused="opens it"
        ),
        case("zfs_unlock", {**WHOLE, "secrets": SECRETS}, **FORESEEN),
        case(
            "zfs_unlock",
            {"name": "{{ item }}", "secrets": SECRETS},
            loop=[POOL, f"{POOL}/letters"],
        ),
        sampled("zfs_unlock", {**WHOLE, "manifest": "manifest.json"}),
        case("zfs_unlock", {**WHOLE, "state": "locked", "manifest_content": "{{ manifest }}"}, diff=True),
        case("zfs_unlock", {**WHOLE, "manifest": f"{ASKED}/manifest.json", "remote_src": True}, diff=True),
        case("zfs_unlock", {**WHOLE, "state": "locked", "manifest_content": "{{ manifest | to_json }}"}),
        case(
            "zfs_unlock",
            {**WHOLE, "secrets": [*SECRETS, {"name": POOL, "key": _given("pool"), "share_with_children": True}]},
        ),
        case("zfs_encrypted_pool", {"name": POOL, "state": "exported", "secrets": WRONG_SECRETS}, refused="opens it"),
        case("zfs_encrypted_pool", {"name": POOL, "state": "exported", "secrets": SECRETS}),
        case("zfs_encrypted_pool", {"name": POOL, "state": "imported", "secrets": SECRETS}, diff=True),
    ]


def reading() -> list[Case]:
    """Keys are tried, and written into manifests."""
    exported = {**WHOLE, "secrets": SECRETS}
    return [
        sampled("zfs_encryption_info", {**WHOLE, "secrets": [*SECRETS[:3], *WRONG_SECRETS[1:]]}),
        case("zfs_encryption_info", {**WHOLE, "manifest": "manifest.json"}),
        case("zfs_key_export", {**exported, "dest_controller": "{{ asked }}/own.json"}, **FORESEEN),
        sampled("zfs_key_export", {**exported, "dest_controller": "{{ asked }}/plain.json"}, diff=True),
        case("zfs_key_export", {**exported, "dest_controller": "{{ asked }}/own.json", "format": "zfsfleet"}),
        case("zfs_key_export", {**exported, "dest_controller": "{{ asked }}/sealed.json", "vault_id": "default"}),
        sampled("zfs_key_export", {**exported, "dest": f"{ASKED}/exported.json", "force": True}, diff=True),
        case("zfs_key_export", {**SOME, "secrets": WRONG_SECRETS, "dest": f"{ASKED}/x.json"}, refused="opens it"),
        case(
            "zfs_key_export",
            {**SOME, "secrets": WRONG_SECRETS, "dest_controller": "{{ asked }}/x.json"},
            refused="opens it",
        ),
    ]


def whole(*, sample: bool) -> list[Case]:
    every = [*making(), *changing(), *malformed(), *unlocking(), *reading()]
    return [one for one in every if one.sampled] if sample else every


def tasks(cases: t.Sequence[Case]) -> list[Task]:
    """Return the cases as tasks, and a last one that says whether each ended as it should."""
    found: list[Task] = []
    claims: list[str] = []
    for number, one in enumerate(cases):
        task = {
            "name": f"{number}, {one.module}, {'refused' if one.refused else 'done'}",
            f"zfsfleet.encryption.{one.module}": one.options,
            "register": f"it{number}",
            **one.keywords,
        }
        if one.refused is not None:
            task["ignore_errors"] = True  # unlike failed_when, it shows the failure as a user sees it
            claims.append(f"it{number} is failed and {one.refused!r} in (it{number}.msg | split | join(' '))")
        found.append(task)
    return [*found, {"name": "What had to be refused was", "ansible.builtin.assert": {"that": claims}}]


def roles() -> list[dict[str, t.Any]]:
    """Return plays: what the collection's own playbooks and roles do with the same secrets."""
    shared: Options = {"target": "all", "provision_pools": [{**POOL_OPTIONS, "key": _given("pool")}]}
    provisioned = [{"name": f"{POOL}/role", "key": _given("role")}]
    offered = [*SECRETS, {"name": f"{POOL}/role", "key": _given("role")}]
    work: dict[str, Options] = {
        "provision": {"provision_datasets": provisioned},
        "unlock": {"unlock_secrets": offered, "unlock_state": "locked"},
        "export": {"export_secrets": offered, "export_dest": f"{ASKED}/role.json"},
    }
    plays: list[dict[str, t.Any]] = [
        {
            "hosts": "all",
            "gather_facts": False,
            "vars": shared,
            "roles": [{"role": f"zfsfleet.encryption.{role}", **options} for role, options in work.items()],
        }
    ]
    plays.append({"import_playbook": "zfsfleet.encryption.unlock", "vars": {**shared, "unlock_secrets": offered}})
    return plays
