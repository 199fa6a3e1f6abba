# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning what becomes of keys: from what a task wants, what is in escrow, and what the host said of each key.

Nothing is read and nothing is changed here. The truth is what opens a root; a state in escrow only says what is likely.
Private to the collection.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from dataclasses import dataclass, field

from ..module_utils._choice import missing_parent, missing_pool
from ..module_utils._keys import Key, KeyFormat
from ..module_utils._names import parent_of, pool_of
from ._escrow import Held
from ._fitting import Index, age, is_bound_to, rank
from ._record import KeyId
from ._seen import Root, Seen, Tried
from ._wish import Wish

GIVEN = "given"
"""The id under which the key of a task is tried."""

Action = t.Literal["use", "resume", "mint", "adopt", "change", "refuse"]


@dataclass(frozen=True)
class Decision:
    """What becomes of one root's key.

    Args:
        wish: what was wanted.
        action:
            ``use``: the root is there and ``held`` opens it.
            ``resume``: the root is to be made with ``held``, which an earlier run put into escrow for it.
            ``mint``: the root is to be made with a key that has to be put into escrow first.
            ``adopt``: the root is there, and the key given opens it and is not in escrow yet.
            ``change``: the root is there, ``held`` opens it, and it gets another key.
            ``refuse``: nothing is done, of which ``sentence`` says why and what to do.
        held: the version that the root has, or is to have.
        begun: of a change that an earlier run began, the version that it put into escrow.
        root: the root as it was seen, None where there is none.
        sentence: a refusal, or what the person should know.
    """

    wish: Wish
    action: Action
    held: Held | None = None
    begun: Held | None = None
    root: Root | None = None
    sentence: str | None = None

    @property
    def dataset(self) -> str:
        return self.wish.dataset


@dataclass(frozen=True)
class Known:
    """All that a decision rests on.

    Args:
        seen: the host, and which of the keys that were tried opens what.
        held: the versions in escrow, by the id under which their key was tried.
        keys: those keys, by the same ids.
        problems: what could not be read.
    """

    seen: Seen
    held: t.Mapping[str, Held] = field(default_factory=dict)
    keys: t.Mapping[str, Key] = field(default_factory=dict, repr=False)
    problems: tuple[str, ...] = ()

    @functools.cached_property
    def _agreed(self) -> t.Mapping[KeyId, Key]:
        """The keys of those versions whose copies are all the same."""
        found: dict[KeyId, list[str]] = {}
        for known_as, held in self.held.items():
            found.setdefault(held.key_id, []).append(known_as)
        return {key_id: self.keys[ids[0]] for key_id, ids in found.items() if len(ids) == 1 and ids[0] in self.keys}

    @functools.cached_property
    def index(self) -> Index:
        return Index({each.key_id: each for each in self.held.values()}.values())  # copies that differ are one version

    def opener(self, root: str) -> Held | None:
        """Return the version that was seen to open a root, of several the likeliest."""
        ids = (known_as for known_as in self.seen.opened_by(root) if known_as in self.held)
        return min((self.held[known_as] for known_as in ids), key=rank, default=None)

    def with_given(self, roots: t.Iterable[str]) -> Known:
        """Return the same, with keys given for these roots that the host proved to open them."""
        tried = dict(self.seen.tried)
        for name in roots:
            before = tried.get(name, Tried())
            tried[name] = dataclasses.replace(before, opened_by=(*before.opened_by, GIVEN))
        return dataclasses.replace(self, seen=dataclasses.replace(self.seen, tried=tried))

    def key_of(self, held: Held) -> Key | None:
        """Return a version's key, None where it could not be read or where its copies differ."""
        return self._agreed.get(held.key_id)

    def is_compromised(self, held: Held) -> bool:
        """Tell whether a version's key is compromised, in this version or another: going back gives a key a second one.

        Other versions count as far as they were read.
        """
        key = self.key_of(held)
        same = (each for each in self.index.siblings(held) if key is not None and self.key_of(each) == key)
        return any(each.state == "compromised" for each in (held, *same))


def decide(
    wishes: t.Sequence[Wish], known: Known, *, made: t.Container[str] = (), foresee: bool = False
) -> tuple[Decision, ...]:
    """Decide about the key of every root that a task wants.

    Args:
        wishes: the roots.
        known: the host and what is in escrow.
        made: names of all datasets that the same task makes.
        foresee: for check mode, where a pool or parent that is missing is a change and no refusal.
    """
    homeless = {} if foresee else {wish.dataset: _homeless(wish, known.seen, made) for wish in wishes}
    return tuple(_decision(wish, known, homeless.get(wish.dataset)) for wish in wishes)


def _decision(wish: Wish, known: Known, homeless: str | None) -> Decision:
    root = known.seen.roots.get(wish.dataset)
    if root is not None:
        return _of_root(wish, root, known)
    if homeless is not None:
        return Decision(wish, "refuse", sentence=homeless)
    for held in known.index.waiting(wish.dataset):
        if _serves(held, wish, known):
            return Decision(wish, "resume", held)
    if wish.given is None and not wish.may_mint:
        return Decision(
            wish,
            "refuse",
            sentence=f"{wish.dataset} needs a key, and generate_key: false keeps one from being made. Give key or "
            "passphrase, or leave generate_key out.",
        )
    return Decision(wish, "mint")


def _homeless(wish: Wish, seen: Seen, made: t.Container[str]) -> str | None:
    """Say what is missing that a new dataset needs: no key is made for a misspelled name."""
    pool, parent = pool_of(wish.dataset), parent_of(wish.dataset)
    if wish.brings_its_pool or seen.has(wish.dataset):
        return None
    if pool not in seen.pools:
        return missing_pool(pool)
    if parent is not None and parent not in made and not seen.has(parent):
        return missing_parent(wish.dataset, parent)
    return None


def _serves(held: Held, wish: Wish, known: Known) -> bool:
    """Tell whether a version that waits for its dataset is what would be made now."""
    key = known.key_of(held)
    if key is None or wish.given not in (None, key):
        return False
    version = held.entry.version
    # What was made for another pool of this name may be what a dataset of that pool has.
    here = known.seen.pools.get(pool_of(wish.dataset), version.pool_guid)
    if version.pool_guid not in ("", here):
        return False
    return (version.keyformat, version.iterations) == (wish.new_keyformat, wish.new_iterations)


def _of_root(wish: Wish, root: Root, known: Known) -> Decision:
    opened = known.seen.opened_by(root.name)
    held = known.opener(root.name)
    if held is None and GIVEN in opened:
        return Decision(wish, "adopt", root=root)
    if held is None:
        return Decision(wish, "refuse", root=root, sentence=_unknown_key(wish, root, known))
    is_wrong = wish.given is not None and GIVEN not in opened
    if is_wrong and not wish.change:
        sentence = (
            f"{root.name} is an encryption root and the key given does not open it; the one in escrow does "
            f"({held.key_id}). Leave the key out, or set update_key: always to change it."
        )
        return Decision(wish, "refuse", held, root=root, sentence=sentence)
    if wish.renew or (wish.change and (is_wrong or _drifts(wish, root))):
        return Decision(wish, "change", held, _begun(wish, held, root, known), root)
    return Decision(wish, "use", held, root=root, sentence=_warning(root, held, known))


def new_format(wish: Wish, root: Root) -> tuple[KeyFormat, int]:
    """Return format and PBKDF2 rounds of a root's next key: as asked, else as they are."""
    keeps_format = wish.given is None or wish.given.fits(root.keyformat)
    keyformat = wish.keyformat or (root.keyformat if keeps_format else wish.new_keyformat)
    if keyformat != "passphrase":
        return keyformat, 0
    return keyformat, wish.iterations or root.iterations or wish.new_iterations


def _drifts(wish: Wish, root: Root) -> bool:
    return new_format(wish, root) != (root.keyformat, root.iterations)


def _begun(wish: Wish, held: Held, root: Root, known: Known) -> Held | None:
    """Return the version with which a change to what is wanted was begun, and did not get to its end.

    The oldest is taken, whatever the clocks of controllers said, so that two runs that find the same go on with the
    same.
    """
    for each in known.index.siblings(held):
        version = each.entry.version
        wanted = new_format(wish, root) == (version.keyformat, version.iterations)
        key = known.key_of(each)
        is_recent = version.created >= wish.begun_since
        is_meant = is_begun(each, held, root, known.seen.roots) and is_recent and wanted
        if is_meant and key is not None and wish.given in (None, key) and not known.is_compromised(each):
            return each
    return None


def is_begun(each: Held, held: Held, root: Root, roots: t.Mapping[str, Root]) -> bool:
    """Tell whether a version was made to take the place of what opens a root; an older one was given up."""
    return each.state == "pre-active" and age(each) > age(held) and not is_of_a_copy(each, root, roots)


def is_of_a_copy(held: Held, root: Root, roots: t.Mapping[str, Root]) -> bool:
    """Tell whether a version was made for another copy of a root's data, whose key had been the same.

    Args:
        held: the version.
        root: the root.
        roots: all that can be seen, by name; where the other one is not among them, it may be this one's name before.
    """
    version = held.entry.version
    if is_bound_to(held, root):
        return False
    if version.pool_guid not in ("", root.pool_guid):
        return True
    other = roots.get(version.dataset)
    return other is not None and other.name != root.name and other.keyguid == root.keyguid


def _unknown_key(wish: Wish, root: Root, known: Known) -> str:
    """Say that a root is there whose key escrow does not have, why that is not certain, and what to do."""
    tried = known.seen.tried.get(root.name, Tried())
    in_escrow = [each for each in tried.wrong if each in known.held]
    unknown = [f"{each}: {why}" for each, why in tried.unknown.items()]
    what = f"none of the {len(in_escrow)} keys in escrow opens it" if in_escrow else "escrow has no key for it"
    given = " The key given does not open it either." if GIVEN in tried.wrong else ""
    doubt = f" Some could not be tried ({'; '.join(unknown)})." if unknown else ""
    unread = f" What could not be read may have it: {' '.join(known.problems)}" if known.problems else ""
    return (
        f"{root.name} is an encryption root and {what}.{given}{doubt}{unread} A second key is never made for a root "
        "that has one. If its key is known, take it into escrow with zfs_key_escrow."
    )


def _warning(root: Root, held: Held, known: Known) -> str | None:
    if known.is_compromised(held):
        return f"{root.name} is opened by {held.key_id}, which is compromised. Rotate its key."
    if held.state == "deactivated":
        return (
            f"{root.name} is opened by {held.key_id}, which was replaced by another key: somebody set it again, the "
            "pool was rewound, or it is a replica that did not get the new one yet. Find out which; replicate again, "
            "or rotate its key."
        )
    return None
