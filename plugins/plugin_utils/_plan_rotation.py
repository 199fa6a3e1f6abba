# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning a rotation: which roots get another key and which, from what is in escrow and what opens what.

Nothing is read and nothing is changed here. What was begun is finished first: a key that an earlier run put into escrow
for a root is the one that it gets, so that no second one is made. Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._errors import Refused
from ..module_utils._keys import Key, KeyFormat
from ..module_utils._names import pool_of
from ._escrow import Held
from ._plan_escrow import GIVEN, Known, is_begun
from ._record import Binding, State
from ._seen import Root
from ._wish import Wish

EVERYTHING = "everything"
"""Stands for the moment that all keys were made before, whatever clocks said."""
MATTERING: frozenset[State] = frozenset({"pre-active", "compromised"})
"""States of the versions of a record that have to be read besides the one that opens its root: those begun, and those
whose key must not be in use, whatever version it came back as."""
EVER: frozenset[State] = MATTERING | {"deactivated"}
"""The same for going back."""

_PASSING = ("/dev/", "/run/", "/var/run/", "/proc/", "/tmp/")


@dataclass(frozen=True)
class Policy:
    """Which keys are due, and what takes their place.

    Args:
        made_before: keys made before this moment are due, as records note it, or ``EVERYTHING``; empty where age makes
            none due.
        back_to: each root gets the key again that it had at this moment; empty where it does not.
        keyformat: of the new keys; by default as it is.
        iterations: PBKDF2 rounds of new passphrases; a root with fewer is due.
        given: by root, the key that it is to get.
        keeps_replicas: whether copies of the data may go on needing the old key.
        keeps_checkpoint: whether a pool may keep a checkpoint that the old keys belong to.
    """

    made_before: str = ""
    back_to: str = ""
    keyformat: KeyFormat | None = None
    iterations: int | None = None
    given: t.Mapping[str, Key] = field(default_factory=dict, repr=False)
    keeps_replicas: bool = False
    keeps_checkpoint: bool = False

    @property
    def since(self) -> str:
        """The moment that keys have to be younger than; empty where no moment was named."""
        return "" if self.made_before == EVERYTHING else self.made_before

    @property
    def states(self) -> frozenset[State]:
        """States of the versions that have to be read besides what opens the roots."""
        return EVER if self.back_to else MATTERING


def plan_rotation(policy: Policy, roots: t.Collection[str], known: Known) -> tuple[Wish, ...]:
    """Say what every chosen root is to have.

    Args:
        policy: what is wanted.
        roots: names of the chosen roots.
        known: the host and what is in escrow, with all versions in the policy's states.

    Returns:
        A wish for each root; one that nothing in escrow opens is refused or adopted by what decides about wishes.

    Raises:
        Refused: a root that is due must not get another key now; all of them are told.
    """
    wishes = [_wish(known.seen.roots[name], policy, known) for name in roots]
    renewed = [known.seen.roots[wish.dataset] for wish in wishes if wish.renew]
    refusals = [sentence for root in renewed for sentence in _refusals(root, policy, known)]
    refusals += [sentence for name in roots for sentence in _unread(name, known)]
    refusals += [sentence for name, key in policy.given.items() for sentence in _given_away(name, key, known)]
    pools = {pool_of(root.name) for root in renewed} & known.seen.checkpointed
    if not policy.keeps_checkpoint:
        refusals += [_checkpointed(pool) for pool in sorted(pools)]
    if refusals:
        raise Refused(" ".join(refusals))
    return tuple(wishes)


def _wish(root: Root, policy: Policy, known: Known) -> Wish:
    held = known.opener(root.name)
    if held is None:
        return Wish(root.name, policy.given.get(root.name))
    if policy.back_to:
        return _going_back(root, held, policy.back_to, known)
    given = policy.given.get(root.name)
    if given is not None:
        keyformat = policy.keyformat or (root.keyformat if given.fits(root.keyformat) else None)
        is_new = GIVEN not in known.seen.opened_by(root.name)
        iterations = policy.iterations if is_new else max(policy.iterations or 0, root.iterations) or None
        return Wish(root.name, given, None, keyformat, iterations, change=True, renew=is_new, gives_up=True)
    begun = _begun(root, held, policy, known)
    if begun is not None:
        version = begun.entry.version
        iterations = version.iterations or None
        return Wish(root.name, None, None, version.keyformat, iterations, change=True, renew=True, gives_up=True)
    keyformat = policy.keyformat or root.keyformat
    is_due = _is_due(root, held, policy) or known.is_compromised(held)
    return Wish(
        root.name, None, None, keyformat, policy.iterations, renew=is_due, begun_since=policy.since, gives_up=True
    )


def _begun(root: Root, held: Held, policy: Policy, known: Known) -> Held | None:
    """Return the version with which a rotation was begun, unless another kind of key is asked for now."""
    for each in known.index.siblings(held):
        version = each.entry.version
        is_weak = _is_weak(version.keyformat, version.iterations, policy)
        fits = policy.keyformat in (None, version.keyformat) and not is_weak
        is_meant = is_begun(each, held, root, known.seen.roots) and fits and not _is_old(each, policy)
        if is_meant and not known.is_compromised(each):
            return each
    return None


def _is_old(held: Held, policy: Policy) -> bool:
    return held.entry.version.created < policy.since


def _is_weak(keyformat: KeyFormat, iterations: int, policy: Policy) -> bool:
    """Tell whether a passphrase is stretched in fewer rounds than are asked for."""
    return keyformat == "passphrase" and iterations < (policy.iterations or 0)


def _is_due(root: Root, held: Held, policy: Policy) -> bool:
    wanted = policy.keyformat or root.keyformat
    is_weak = _is_weak(wanted, root.iterations, policy)
    is_old = _is_old(held, policy)
    return policy.made_before == EVERYTHING or is_old or is_weak or wanted != root.keyformat


def _going_back(root: Root, held: Held, moment: str, known: Known) -> Wish:
    """Wish for the key again that a root had at a moment.

    Raises:
        Refused: escrow does not have it, or somebody may know it who should not.
    """
    then = _held_then(root, held, moment, known)
    if then is None:
        raise Refused(
            f"{root.name} cannot go back: escrow has no key that was seen to open it at {moment} or before. "
            "zfs_key_escrow_info tells what it has had since when. Name the others to have them go back."
        )
    key = known.key_of(then)
    if key is None:
        raise Refused(f"{root.name} cannot go back: {then.key_id}, which it had at {moment}, cannot be read.")
    if known.is_compromised(then):
        raise Refused(f"{root.name} does not go back to {then.key_id}: it is compromised. Rotate to a new key instead.")
    version = then.entry.version
    is_other = key != known.key_of(held)
    return Wish(
        root.name,
        key if is_other else None,
        None,
        version.keyformat,
        version.iterations or None,
        change=is_other,
        renew=is_other,
        gives_up=True,
    )


def _held_then(root: Root, held: Held, moment: str, known: Known) -> Held | None:
    """Return the version that opened a root at a moment: of those that were seen to open it by then, the latest."""
    found: list[tuple[str, str, Held]] = []
    for each in (held, *known.index.siblings(held)):
        seen_at = [binding.at for binding in each.entry.bindings if _is_of(binding, root, known.seen.roots)]
        if seen_at and min(seen_at) <= moment:
            found.append((min(seen_at), each.entry.version.created, each))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _is_of(binding: Binding, root: Root, roots: t.Mapping[str, Root]) -> bool:
    """Tell whether a binding is that of this copy of a root's data, under the name that it has or one that it had."""
    other = roots.get(binding.dataset)
    is_another = other is not None and other.name != root.name and other.keyguid == root.keyguid
    return (binding.pool_guid, binding.keyguid) == (root.pool_guid, root.keyguid) and not is_another


def _unread(name: str, known: Known) -> t.Iterator[str]:
    """Say that a rotation was begun with a key that cannot be read now: no second one is made beside it."""
    held, roots = known.opener(name), known.seen.roots
    for each in known.index.siblings(held) if held is not None else ():
        if is_begun(each, t.cast(Held, held), roots[name], roots) and known.key_of(each) is None:
            yield (
                f"A rotation of {name} was begun with {each.key_id}, which cannot be read now, or whose copies differ. "
                "No second key is made beside it. Run again when its places answer; or, where it is lost, remove there "
                "what is left of it."
            )


def _given_away(name: str, key: Key, known: Known) -> t.Iterator[str]:
    """Say that a key given for a root is one that the root had, and that somebody may know who should not."""
    held = known.opener(name)
    for each in () if held is None else (held, *known.index.siblings(held)):
        if each.state == "compromised" and known.key_of(each) == key:
            yield f"The key in new_keys for {name} is {each.key_id}, which is compromised. Give another, or none."


def _refusals(root: Root, policy: Policy, known: Known) -> t.Iterator[str]:
    if root.location != "prompt" and root.key_file is None:
        yield (
            f"The key of {root.name} is not changed: OpenZFS fetches it from {root.location}, which would go on to "
            "hand out the old one. Set its keylocation to prompt first."
        )
    if (root.key_file or "").startswith(_PASSING):
        yield (
            f"The key of {root.name} is not changed: its key file {root.key_file} lies where a restart leaves nothing. "
            "Set its keylocation to prompt first, or to a file that lasts."
        )
    copies = _copies(root, known)
    if copies and not policy.keeps_replicas:
        yield (
            f"The key of {root.name} is not changed: it was seen to open {', '.join(copies)} as well, which would need "
            "it until replication brings them the new one. It stays in escrow; set replicas_keep_old_key: true to "
            "change it here."
        )


def _copies(root: Root, known: Known) -> list[str]:
    """Name the other copies of a root's data that its key was seen to open, and that are not known to be gone.

    A dataset that was renamed left a binding of its old name; where the pool can be seen and no root of that name has
    that master key, there is no such copy.
    """
    held = known.opener(root.name)
    bindings = () if held is None else held.entry.bindings
    guids = set(known.seen.pools.values())
    found: dict[str, None] = {
        f"{other.name} of the pool with GUID {other.pool_guid}": None
        for other in known.seen.roots.values()
        if other.keyguid == root.keyguid and other.name != root.name
    }
    for binding in bindings:
        if binding.copy == (root.pool_guid, root.name) or binding.keyguid != root.keyguid:
            continue
        there = known.seen.roots.get(binding.dataset)
        is_there = there is not None and (there.pool_guid, there.keyguid) == (binding.pool_guid, binding.keyguid)
        if is_there or binding.pool_guid not in guids:
            found[f"{binding.dataset} of the pool with GUID {binding.pool_guid}"] = None
    return list(found)


def _checkpointed(pool: str) -> str:
    return (
        f"The pool {pool} has a checkpoint, and rewinding to it would bring back the old keys. Discard it with 'zpool "
        f"checkpoint -d {pool}'; or set despite_checkpoint: true, since the old keys stay in escrow."
    )
