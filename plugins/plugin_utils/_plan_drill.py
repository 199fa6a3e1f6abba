# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging what is in escrow for a host, from what the host said of each key: what opens, and what is not right.

Nothing is read and nothing is changed here. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils._keys import Key
from ..module_utils._names import pool_of
from ._drilled import Drilled, Finding, Kind
from ._escrow import Held
from ._fitting import is_bound_to, rank
from ._record import Binding
from ._seen import Root, Tried

_LIVE = ("active", "pre-active")
_ADOPT = "Take it in with the role adopt"
_ORDINALS = ("first", "second", "third", "later")


def judge(drilled: Drilled) -> tuple[Finding, ...]:
    """Return what a drill found, about the places first, then root by root, then about what has no root.

    A root of which there is nothing to say is ``ok``; one that nothing opens is ``missing`` or ``unproven``.
    """
    shared = _shared(drilled)
    found = [_unreadable(name) for name in drilled.places if name not in drilled.readable]
    for root in drilled.roots:
        held = drilled.opening(root)
        of_root = _of_unopened(root, drilled) if held is None else _of_opened(root, held, drilled)
        of_root += [*_disagreeing(root, drilled), *shared.pop(root.name, ()), *_weak(root, drilled.min_iterations)]
        found += of_root or [_ok(root, t.cast(Held, held))]
    found += [each for left in shared.values() for each in left]
    return (*found, *_without_roots(drilled))


def _unreadable(place: str) -> Finding:
    return Finding(
        "",
        "unread",
        f"{place} could not be read, so nothing is known of the keys that it holds; a warning says why. Drill again "
        "when it answers.",
    )


def _ok(root: Root, held: Held) -> Finding:
    return Finding(root.name, "ok", f"{root.name} is opened by {held.key_id}.", str(held.key_id))


# -- what nothing opens


def _of_unopened(root: Root, drilled: Drilled) -> list[Finding]:
    doubts = _doubts(root, drilled)
    if doubts:
        sentence = (
            f"Whether a key in escrow opens {root.name} could not be found out. {' '.join(doubts)} Mend that and drill "
            "again, before anything locks it."
        )
        found = [Finding(root.name, "unproven", sentence)]
    else:
        found = [Finding(root.name, "missing", _missing(root, drilled))]
    expected = [each for each in drilled.wrong(root) if root.noted == str(each.key_id) or is_bound_to(each, root)]
    if expected:
        held = min(expected, key=rank)
        sentence = (
            f"{root.name} was opened by {held.key_id}, and is no more: somebody set another key beside this "
            f"collection. Find out who did, and get that key. {_ADOPT}."
        )
        found.append(Finding(root.name, "changed_behind", sentence, str(held.key_id)))
    return found


def _doubts(root: Root, drilled: Drilled) -> list[str]:
    """Say why a root that nothing opened may be opened by something in escrow after all."""
    tried = drilled.known.seen.tried.get(root.name, Tried())
    unknown = [f"Trying {known_as} failed: {why.rstrip('.')}." for known_as, why in tried.unknown.items()]
    fitting = [str(held.key_id) for held in drilled.index.fitting(root)]
    unread = [
        f"{' and '.join(drilled.unread[key_id])} did not give {key_id} back."
        for key_id in fitting
        if drilled.unread.get(key_id)
    ]
    down = [f"{name} could not be read." for name in drilled.places if name not in drilled.readable]
    return [*unknown, *unread, *down]


def _missing(root: Root, drilled: Drilled) -> str:
    number = len(drilled.wrong(root))
    what = f"Escrow has no key for {root.name}"
    if number:
        what = f"No key in escrow opens {root.name}, and {number} {'was' if number == 1 else 'were'} tried"
    if root.locked:
        return f"{what}. It is locked. Look for its key in manifests, key files and backups. {_ADOPT}."
    return (
        f"{what}. It is unlocked, and may never be again once its host restarts. If its key is known anywhere, take "
        "it in with the role adopt. If not, set another one with zfs change-key while it is unlocked, and take that in."
    )


# -- what is opened


def _of_opened(root: Root, held: Held, drilled: Drilled) -> list[Finding]:
    changed = _changed_behind(root, held, drilled)
    found: list[tuple[Kind, str | None]] = [
        ("changed_behind", changed),
        ("stale", None if changed else _stale(root, held, drilled)),
        ("compromised", _compromised(root, held, drilled)),
        ("unread", _unread(root, held, drilled)),
        ("uneven", _uneven(root, held, drilled)),
    ]
    told = [Finding(root.name, kind, sentence, str(held.key_id)) for kind, sentence in found if sentence is not None]
    return [*told, *_unread_besides(root, held, drilled)]


def _changed_behind(root: Root, held: Held, drilled: Drilled) -> str | None:
    key_id = str(held.key_id)
    if held.state == "pre-active":
        return None  # a run of our own ended between setting the key and noting it
    if root.noted in {str(each.key_id) for each in drilled.wrong(root)}:
        return (
            f"{root.name} says that its key is {root.noted}, which does not open it; {key_id} does, which is "
            f"{held.state}. Somebody set the key beside this collection. Find out who did, and rotate the key."
        )
    binding = _last_binding(root, held)
    if binding is not None and binding.salt != root.salt and root.keyformat == "passphrase":
        return (
            f"{root.name} is opened by {key_id}, but its passphrase was set again since that was noted: its salt is "
            "another one. Somebody did it beside this collection. If that was meant, note it with the role adopt."
        )
    return None


def _last_binding(root: Root, held: Held) -> Binding | None:
    copies = [each for each in held.entry.bindings if each.copy == (root.pool_guid, root.name)]
    copies = [each for each in copies if each.keyguid == root.keyguid]
    return copies[-1] if copies else None


def _stale(root: Root, held: Held, drilled: Drilled) -> str | None:
    if held.state == "pre-active":
        return (
            f"{root.name} is opened by {held.key_id}, which is noted as never used: a run ended before it noted it. "
            "Run it again, or the role adopt."
        )
    if held.state != "deactivated":
        return None
    active = [str(each.key_id) for each in drilled.wrong(root) if each.state == "active"]
    instead = f", and {' and '.join(active)}, which is active, does not open it" if active else ""
    return (
        f"{root.name} is opened by {held.key_id}, which was replaced by another key{instead}. The pool was rewound, "
        "somebody set the old key again, or it is a replica that did not get the new one yet. Find out which; "
        "replicate again, or rotate the key."
    )


def _compromised(root: Root, held: Held, drilled: Drilled) -> str | None:
    if not drilled.known.is_compromised(held):
        return None
    return (
        f"{root.name} is opened by {held.key_id}, which is compromised. Rotate its key; whoever has the old key and an "
        "old copy of the data can read that copy all the same."
    )


def _unread(root: Root, held: Held, drilled: Drilled) -> str | None:
    places = drilled.unread.get(str(held.key_id), ())
    if not places:
        return None
    return (
        f"{root.name} is opened by {held.key_id}, which {' and '.join(places)} should hold as well and did not give "
        "back; a warning says why. Mend that place before the other copy is lost."
    )


def _unread_besides(root: Root, opening: Held, drilled: Drilled) -> t.Iterator[Finding]:
    """Tell of versions that should open the root as well, or instead, and that nobody could look at."""
    for held in drilled.index.fitting(root):
        places = drilled.unread.get(str(held.key_id), ())
        if held.key_id != opening.key_id and held.state in _LIVE and places:
            sentence = (
                f"{held.key_id} is {held.state} for {root.name}, and {' and '.join(places)} did not give it back; a "
                "warning says why. Mend that place and drill again."
            )
            yield Finding(root.name, "unread", sentence, str(held.key_id))


def _uneven(root: Root, held: Held, drilled: Drilled) -> str | None:
    if str(held.key_id) in drilled.disagreements or held.is_level(drilled.readable):
        return None
    lacking = [name for name in drilled.readable if name not in held.at]
    if lacking:
        what = f"is in {' and '.join(held.at)} and not in {' and '.join(lacking)}"
    else:
        what = "is in all places, which note different things about it"
    return f"The key {held.key_id} of {root.name} {what}. Run the role provision or adopt, which makes that good."


# -- what concerns opened and unopened roots


def _disagreeing(root: Root, drilled: Drilled) -> list[Finding]:
    found = []
    for held in drilled.tried(root):
        key_id = str(held.key_id)
        if key_id in drilled.disagreements:
            sentence = drilled.disagreements[key_id] + _which_opens(root, held, drilled)
            found.append(Finding(root.name, "disagreeing", sentence, key_id))
    return found


def _which_opens(root: Root, held: Held, drilled: Drilled) -> str:
    """Say which of the copies that differ opens a root, in the order in which the sentence before names them."""
    known = drilled.known
    ids = [known_as for known_as, each in known.held.items() if each.key_id == held.key_id]
    opening = [ids.index(each) for each in known.seen.opened_by(root.name) if each in ids]
    if len(ids) == 1 or not opening:
        return ""
    return f" The key that is named {_ORDINALS[min(opening[0], 3)]} opens {root.name}."


def _weak(root: Root, min_iterations: int) -> list[Finding]:
    if root.keyformat != "passphrase" or root.iterations >= min_iterations:
        return []
    sentence = (
        f"The passphrase of {root.name} is stretched by {root.iterations} rounds of PBKDF2, and {min_iterations} are "
        f"wanted. Change it with pbkdf2iters: {min_iterations} and update_key: always."
    )
    return [Finding(root.name, "weak_iterations", sentence)]


@dataclass(frozen=True)
class _User:
    """What has a key: a root, or a version that opens none.

    Args:
        name: the dataset.
        identity: its master key, or the record; a replica has its source's, and its wrapping key by nature.
        key_id: the version.
    """

    name: str
    identity: str
    key_id: str


def _shared(drilled: Drilled) -> dict[str, list[Finding]]:
    """Return, by dataset, what is to say of keys that several have."""
    told = {*drilled.chosen, *(held.entry.version.dataset for held in drilled.concerned)}
    found: dict[str, list[Finding]] = {}
    for users in _users(drilled).values():
        for user in users:
            others = sorted({f"{each.name} ({each.key_id})" for each in users if each.identity != user.identity})
            if others and user.name in told and user.name not in found:
                sentence = (
                    f"{user.name} ({user.key_id}) has the same key as {', '.join(others)}: whoever learns one has them "
                    "all. Rotate the key of all but one."
                )
                found[user.name] = [Finding(user.name, "duplicated_key", sentence, user.key_id)]
    return found


def _users(drilled: Drilled) -> dict[Key, list[_User]]:
    """Return what has which key: the roots of the host, and live versions that open none of them."""
    known = drilled.known
    users: dict[Key, list[_User]] = {}
    opening = set()
    for root in known.seen.roots.values():
        for known_as in known.seen.opened_by(root.name):
            if known_as in known.held:
                key_id = known.held[known_as].key_id
                opening.add(key_id.record)
                users.setdefault(known.keys[known_as], []).append(_User(root.name, root.keyguid, str(key_id)))
    for known_as, held in known.held.items():
        if held.state in _LIVE and held.key_id.record not in opening:
            version = held.entry.version
            user = _User(version.dataset, version.keyguid or held.key_id.record, str(held.key_id))
            users.setdefault(known.keys[known_as], []).append(user)
    return users


# -- what has no root


def _without_roots(drilled: Drilled) -> list[Finding]:
    orphaned: list[Finding] = []
    unseen: dict[str, list[Held]] = {}
    seen = drilled.known.seen
    keyguids = {root.keyguid for root in seen.roots.values()}
    used = {held.key_id for root in seen.roots.values() if (held := drilled.opening(root)) is not None}
    for held in drilled.concerned:
        if held.state not in _LIVE or held.key_id in used or keyguids & _keyguids(held):
            continue
        guids = _pool_guids(held)
        if not guids and pool_of(held.entry.version.dataset) in seen.pools:
            guids = {seen.pools[pool_of(held.entry.version.dataset)]}
        if guids and guids <= set(seen.pools.values()):
            orphaned.append(Finding(held.entry.version.dataset, "orphaned", _orphaned(held, drilled), str(held.key_id)))
        elif not guids & set(seen.pools.values()):
            unseen.setdefault(pool_of(held.entry.version.dataset), []).append(held)
    return [*orphaned, *(_unseen(pool, each) for pool, each in unseen.items())]


def _keyguids(held: Held) -> set[str]:
    entry = held.entry
    return {entry.version.keyguid, *(binding.keyguid for binding in entry.bindings)} - {""}


def _pool_guids(held: Held) -> set[str]:
    entry = held.entry
    return {entry.version.pool_guid, *(binding.pool_guid for binding in entry.bindings)} - {""}


def _orphaned(held: Held, drilled: Drilled) -> str:
    name, seen = held.entry.version.dataset, drilled.known.seen
    root = seen.roots.get(name)
    if _keyguids(held) and name in seen.others:
        what = f"{name}, which {held.key_id} opened, has no key of its own any more. If it is not to have it again"
    elif _keyguids(held):
        what = f"The dataset that {held.key_id} opened as {name} is gone from its pool. If it is not to come back"
    elif root is not None and drilled.opening(root) is not None:
        what = (
            f"{held.key_id} was made for {name}, which has another key: two runs made one at a time, or one could not "
            "read what the other kept. If nobody wants it"
        )
    else:
        what = (
            f"{held.key_id} was made for {name} and opens nothing. A run ended before it used it: run it again. If "
            "nobody wants it"
        )
    return f"{what}, destroy the key with zfs_key_escrow, state: absent; as long as backups need it, keep it."


def _unseen(pool: str, held: t.Sequence[Held]) -> Finding:
    return Finding(
        pool,
        "unseen",
        f"Pool {pool} is not imported on this host, so {len(held)} keys in escrow for it were not tried. Import it and "
        "drill again; if it is at another host now, drill there.",
    )
