# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as people write them, drawn at random: names are relative to a tree, key files to its directory."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from hypothesis import strategies as st

Request = dict[str, t.Any]
Requests = st.SearchStrategy[Request]

ROUNDS = 100_000
KEYS = ("0a" * 32, "0b" * 32)
PHRASES = ("correct horse", "battery staple")
KEY_FILES = ("one.key", "two.key")
SECRETS: tuple[Request, ...] = (
    *({"key": key} for key in KEYS),
    *({"passphrase": text} for text in PHRASES),
    *({"key_file": path} for path in KEY_FILES),
)
# All that may be in use, offered to all roots: what ``secrets: None`` stands for.
EVERYTHING: tuple[Request, ...] = tuple({"name": "", **each, "share_with_children": True} for each in SECRETS)
WRONG: tuple[Request, ...] = ({"key": "ee" * 32}, {"passphrase": "no such horse"})

FILESYSTEMS = ("a", "a/b", "a/b/c", "d", "d/e")
VOLUMES = ("a/v", "w")
CLONES = ("x", "a/y", "d/z")
NAMES = (*FILESYSTEMS, *VOLUMES, *CLONES)
NOTHING: Request = {}


@dataclass(frozen=True)
class Scene:
    """What a person knows who writes a request.

    Args:
        names: the datasets that are there, parents first.
        keys: the secret that opens each root.
        plain: what is not encrypted.
    """

    names: t.Sequence[str] = ()
    keys: t.Mapping[str, Request] = field(default_factory=dict)
    plain: t.Collection[str] = ()

    def as_it_is(self, name: str) -> Request:
        """Return an entry that leaves the key of a dataset alone."""
        if name in self.plain:
            return {"name": name, "encryption": "off"}
        return {"name": name, **self.keys.get(name, {"state": "inherited"})}

    def below(self, name: str) -> list[str]:
        return [each for each in self.names if each.startswith(f"{name}/")]

    def name(self) -> st.SearchStrategy[str]:
        """One that is there, or seldom another."""
        return often(st.sampled_from((*self.keys, *self.names) or NAMES), st.sampled_from(NAMES))

    def secret(self, name: str) -> Requests:
        """The right one, or seldom another."""
        return often(st.just(self.keys.get(name, SECRETS[0])), st.sampled_from((*SECRETS, *WRONG)))


T = t.TypeVar("T")


def often(usual: st.SearchStrategy[T], other: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Draw what is usual three times of four."""
    return st.sampled_from((usual, usual, other, usual)).flatmap(lambda strategy: strategy)


def _merged(*parts: Requests) -> Requests:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def _one(*requests: Request) -> Requests:
    return st.sampled_from(requests)


_keys = _merged(st.sampled_from(KEYS).map(lambda key: {"key": key}), _one(NOTHING, NOTHING, {"keyformat": "raw"}))
_files = _merged(
    st.sampled_from(KEY_FILES).map(lambda path: {"key_file": path}),
    _one({"generate_key": True}, {"generate_key": True}, NOTHING),
    _one(NOTHING, NOTHING, {"keyformat": "raw"}, {"keyformat": "hex"}),
)
_phrases = st.sampled_from(PHRASES).map(lambda text: {"passphrase": text, "pbkdf2iters": ROUNDS})
# Passphrases are fewer: deriving from one takes an emulated machine seconds.
_new_keys = st.one_of(_keys, _keys, _files, _files, often(_keys, _phrases))
_FOR_ALL: tuple[Request, ...] = (
    {"properties": {"compression": "lz4", "org.example:owner": "storage"}},
    {"keylocation": "prompt"},
    {"encryption": "aes-128-gcm"},
)
_FOR_FILESYSTEMS: tuple[Request, ...] = (
    {"properties": {"canmount": "noauto"}},
    {"properties": {"canmount": "on"}},
    {"properties": {"mountpoint": "none"}},
    {"properties": {"mountpoint": "inherit"}},
)


def _attributes(name: str) -> Requests:
    special = (*_FOR_ALL, *(_FOR_FILESYSTEMS if name in FILESYSTEMS else ()))
    return often(st.just(NOTHING), _one(*special))


def _root(scene: Scene, name: str) -> Requests:
    current = scene.secret(name).map(lambda secret: {"update_key": "always", "current": secret})
    change = often(current, _one(NOTHING, {"update_key": "always"}))
    same = st.just(scene.keys.get(name, {"key": KEYS[0]}))
    return _merged(_attributes(name), st.one_of(_new_keys, _new_keys, same), change)


def _entry(scene: Scene, name: str) -> Requests:
    states = st.one_of(
        _root(scene, name),
        often(_root(scene, name), _one({"encryption": "off"}, {"state": "absent", "force_destroy": True})),
        st.just({"state": "inherited"}),
    )
    sizes = _one({"volsize": "1M", "sparse": True}, {"volsize": "2M", "sparse": True}, NOTHING)
    return _merged(states, sizes if name in VOLUMES else st.just(NOTHING), st.just({"name": name}))


_hierarchies = st.sampled_from(["openzfs", "openzfs", "truenas"])


def batches(scene: Scene) -> Requests:
    """Tasks of zfs_dataset_key."""
    return st.one_of(_any_entries(scene), _any_entries(scene), _moves(scene), _removals(scene))


def _moves(scene: Scene) -> Requests:
    """Another mountpoint for a filesystem, and another key for what lies below it."""
    upper = [name for name in scene.names if scene.below(name)]
    if not upper:
        return _any_entries(scene)

    def entries(name: str) -> Requests:
        places = ("none", "inherit", f"/moved-{name.replace('/', '-')}")
        moved = st.sampled_from(places).map(
            lambda place: {**scene.as_it_is(name), "properties": {"mountpoint": place}},
        )
        keyed = st.lists(st.sampled_from(scene.below(name)), min_size=1, max_size=2, unique=True).flatmap(
            lambda below: st.tuples(*(_rekeyed(scene, each) for each in below))
        )
        return st.builds(lambda first, rest: {"datasets": [first, *rest], "hierarchy": "openzfs"}, moved, keyed)

    return st.sampled_from(upper).flatmap(entries)


def _rekeyed(scene: Scene, name: str) -> Requests:
    if name in scene.plain:
        return st.just(scene.as_it_is(name))
    change: Request = {"update_key": "always", "current": scene.keys[name]} if name in scene.keys else {}
    own = _new_keys.map(lambda secret: {"name": name, **change, **secret})
    return often(own, st.just({"name": name, "state": "inherited"}))


def _removals(scene: Scene) -> Requests:
    """The end of a dataset with all that lies below it."""
    if not scene.names:
        return _any_entries(scene)

    def gone(name: str) -> Request:
        names = (name, *scene.below(name))
        return {"datasets": [{"name": each, "state": "absent"} for each in names], "force_destroy": True}

    return st.sampled_from(scene.names[1:] or scene.names).map(gone)


def _any_entries(scene: Scene) -> Requests:
    entries = st.lists(
        scene.name().flatmap(lambda name: _entry(scene, name)),
        min_size=1,
        max_size=3,
        unique_by=lambda each: str(each["name"]),
    )
    return st.builds(lambda each, hierarchy: {"datasets": each, "hierarchy": hierarchy}, entries, _hierarchies)


def _first_entry(name: str, *others: Request) -> Requests:
    size: Request = {"volsize": "1M", "sparse": True} if name in VOLUMES else {}
    return _merged(st.one_of(_new_keys, *map(st.just, others)), st.just({"name": name, **size}))


FIRST: Requests = st.builds(
    lambda *entries: {"datasets": entries, "hierarchy": "openzfs"},
    _first_entry("a"),
    _first_entry("a/b", {"state": "inherited"}),
    _first_entry("a/v", {"state": "inherited"}),
    _first_entry("d", {"encryption": "off"}),
    _first_entry("d/e", {"key": KEYS[0]}),
)


def _offers(scene: Scene) -> Requests:
    def named(name: str) -> Requests:
        offer = {"name": name, "share_with_children": True}
        return scene.secret(name).map(lambda secret: {**offer, **secret})

    secrets = st.lists(scene.name().flatmap(named), max_size=3).map(lambda found: {"secrets": found})
    values = {name: scene.secret(name) for name, each in scene.keys.items() if "key_file" not in each}
    manifest = st.fixed_dictionaries(values).map(
        lambda found: {"manifest_content": {name: each for name, each in found.items() if "key_file" not in each}}
    )
    return often(st.just({"secrets": None}), st.one_of(secrets, manifest))


def _chosen(scene: Scene) -> Requests:
    roots = st.sampled_from(tuple(scene.keys) or NAMES)
    named = _merged(
        often(roots, st.sampled_from((*scene.names, "no-such"))).map(lambda name: {"name": name}),
        st.booleans().map(lambda recursive: {"recursive": recursive}),
    )
    return often(named, st.just({"name": "", "recursive": True}))


def unlockings(scene: Scene) -> Requests:
    """Tasks of zfs_unlock that unlock."""
    how = _one({"mount": True}, {"mount": True, "move_aside": True}, {"mount": False})
    return _merged(_chosen(scene), _offers(scene), how, st.just({"state": "unlocked"}))


def lockings(scene: Scene) -> Requests:
    """Tasks of zfs_unlock that lock."""
    how = _one(NOTHING, {"force_unmount": True}, {"protect_mountpoint": True})
    return _merged(
        _chosen(scene),
        _offers(scene),
        how,
        often(st.just({"state": "locked", "verify_key": True}), st.just({"state": "locked", "verify_key": False})),
    )
