# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a raw replication does to keys, and which changes of keys it forbids.

A raw stream carries master keys as the sender's wrapping key wraps them, and puts them in place when it ends. It leaves
the reference to an encryption root as it was. So a replica that was given another key gets the sender's again with the
next increment; one that inherits a key of this host is then *broken*: its root's key is loaded, ``keystatus`` is
available, and nothing opens it (openzfs/zfs#12123, #12614). Every change of its root's key has to unwrap it, cannot,
and takes the kernel down in the middle of the transaction (#15028, #17425). Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ._dataset_wanted import DatasetWanted
from ._errors import Refused
from ._model import WRAPPED_WITH, Dataset, Tree
from ._observe import read_from
from ._plan import Failure, Observed

if t.TYPE_CHECKING:
    from ._host import Host
    from ._steps import ProveReadable


def differences(member: Dataset, tree: Tree) -> list[str]:
    """Return in which of these a dataset differs from its encryption root: then another key wraps it.

    Passphrases have a new salt with every change, so those of the same salt have the same key. Keys in ``raw`` and
    ``hex`` leave no mark; only reading tells.
    """
    root = tree.get(member.encryption_root or "") or member
    return [name for name in WRAPPED_WITH if member.value(name) != root.value(name)]


def healing(entry: DatasetWanted, root: Dataset, tree: Tree) -> str:
    """Say which members of a root are to be wrapped anew because another key wraps them, empty if none."""
    broken = [member.name for member in tree.members(root.name) if differences(member, tree)] if entry.heal else []
    return f"another key wraps {', '.join(broken)}" if broken else ""


def in_use(dataset: Dataset, tree: Tree, observed: Observed) -> tuple[Dataset, ...]:
    """Return what has its master key loaded only as long as it is in use, among all that a key change wraps anew.

    Should another key wrap it, the change is safe until it is unmounted or closed. Of a root, the key was tried; what
    a task mounts only now was read from.
    """
    if not dataset.is_key_loaded:
        return ()
    return tuple(
        member
        for member in tree.rewrapped_with(dataset)
        if not member.is_encryption_root
        and ((member.is_mounted and _was_mounted(member, observed)) or (member.is_volume and member.can_be_read))
    )


def to_be_read(dataset: Dataset, tree: Tree, observed: Observed) -> tuple[ProveReadable, ...]:
    """Return the proofs for what was not read from because it was mounted, and what the same task unmounts before."""
    from ._steps import ProveReadable

    return tuple(
        ProveReadable(member)
        for member in tree.rewrapped_with(dataset)
        if member.is_key_loaded and not member.is_mounted and _was_mounted(member, observed)
    )


def _was_mounted(member: Dataset, observed: Observed) -> bool:
    before = observed.tree.get(member.name)
    return before is not None and before.is_mounted


def read_open_volumes(roots: t.Iterable[Dataset], tree: Tree, host: Host) -> t.Mapping[str, str]:
    """Read from the volumes that another key wraps; return those that nobody has open, and what happened."""
    volumes = (
        member
        for root in roots
        for member in tree.members(root.name)
        if member.is_volume and member.is_key_loaded and member.can_be_read and differences(member, tree)
    )
    return read_from(host, volumes).unreadable


def lost_by_locking(closing: t.Iterable[Dataset], observed: Observed, *, kept: str) -> Failure | None:
    """Say what would not open again with the key of its root, though it can be read as long as it is in use.

    Args:
        closing: what is to be closed.
        observed: what was observed; a volume that can be read is open.
        kept: a sentence about what follows from it.
    """
    lost: dict[str, Dataset] = {}
    for each in closing:
        if differences(each, observed.tree) and (each.is_mounted or _is_open_volume(each, observed)):
            lost[each.name] = each
    root = next((each.encryption_root for each in lost.values()), None)
    if root is None:
        return None
    names = ", ".join(each.name for each in lost.values() if each.encryption_root == root)
    return Failure(
        "wrong_key",
        f"Another key than that of {root} wraps {names}, as after a raw replication. It can be read only as long as it "
        f"is in use, so locking would close it for good. {kept} Until then zfs_dataset_key heals it, by heal: true and "
        f"update_key: always with the key that {root} has; verify_key: false closes it all the same.",
    )


def _is_open_volume(dataset: Dataset, observed: Observed) -> bool:
    is_readable = dataset.is_volume and dataset.can_be_read and dataset.name not in observed.unreadable
    return is_readable and dataset.is_key_loaded


def observe_risks(affected: t.Iterable[tuple[DatasetWanted, Dataset]], observed: Observed, host: Host) -> Observed:
    """Look at everything whose key is about to change: whether it receives, can be read, was received.

    Args:
        affected: entries that change a key, each with the dataset that it names.
        observed: what was read before.
        host: where to look.

    Raises:
        Refused: whoever runs this may not look.
    """
    touched: set[str] = set()
    rewrapped: dict[str, Dataset] = {}
    to_ask: set[str] = set()
    can_repoint: bool | None = None
    for entry, dataset in affected:
        members = {member.name: member for member in observed.tree.rewrapped_with(dataset)}
        touched |= members.keys()
        if entry.repoint and dataset.is_encryption_root == (entry.state == "inherited"):
            can_repoint = host.binding().name != "cli" if can_repoint is None else can_repoint
            continue
        rewrapped |= members
        if not entry.replication_ended:
            replicas = members.values() if entry.state == "inherited" else (dataset,)
            to_ask.update(each.name for each in replicas if each.last_snapshot and not each.has_received_properties)
    if not touched:
        return observed
    receiving = _receiving((observed.tree.datasets[name] for name in touched), host)
    # A mounted filesystem's master key is loaded. What receives is not disturbed.
    unproven = [
        member
        for member in rewrapped.values()
        if member.is_key_loaded and not member.is_mounted and member.can_be_read and member.name not in receiving
    ]
    readings = read_from(host, unproven)
    for name, why in readings.undecided.items():
        raise Refused(f"No key is changed: {why} What the loaded key of {name} does not open would crash the pool.")
    return replace(
        observed,
        receiving=receiving,
        unreadable=readings.unreadable,
        received_snapshots=host.received_snapshots(to_ask) if to_ask else {},
        can_repoint=can_repoint is not False,
    )


def observe_replicas(roots: t.Iterable[Dataset], observed: Observed, host: Host) -> Observed:
    """Look for what receives, and for what its root's key does not open, and change nothing by it.

    A filesystem that is unlocked and not mounted is read by its last snapshot. One without, and volumes, which other
    programs may be about to open, are judged by their properties alone.
    """
    members = {member.name: member for root in roots for member in observed.tree.members(root.name)}
    if not members:
        return observed
    receiving = _receiving(members.values(), host)
    to_read = [
        member
        for member in members.values()
        if member.is_key_loaded
        and member.last_snapshot is not None
        and not (member.is_mounted or member.is_volume or member.name in receiving)
        and not differences(member, observed.tree)
    ]
    return replace(observed, receiving=receiving, unreadable=read_from(host, to_read).unreadable)


def _receiving(datasets: t.Iterable[Dataset], host: Host) -> frozenset[str]:
    """Return what a stream is being received into: a first one shows by itself, of an increment the host is asked."""
    is_half_received = {dataset.name: dataset.is_half_received for dataset in datasets}
    whole = [name for name, is_half in is_half_received.items() if not is_half]
    return frozenset({*(is_half_received.keys() - whole), *host.receiving(whole)})


def half_received_warnings(roots: t.Iterable[Dataset], tree: Tree) -> tuple[str, ...]:
    """Say which filesystems and volumes stay out of reach once these roots are unlocked, since they are half there."""
    halves = [each for root in roots for each in tree.domain(root.name) if each.is_half_received]
    return tuple(
        f"{each.name} is half received, so it is neither mounted nor read from. {_way_to_an_end(each)}."
        for each in halves
    )


def _way_to_an_end(dataset: Dataset) -> str:
    """Say what is to be done about a stream that is being received."""
    if dataset.value("receive_resume_token") == "-":
        return "Let that end"
    return f"Resume it, or abort it with 'zfs receive -A {dataset.name}'"


def broken_below(root: Dataset, observed: Observed) -> list[str]:
    """Return the members of a root, itself included, that its key does not open, as far as that was observed."""
    members = observed.tree.members(root.name)
    return [each.name for each in members if is_broken(each, observed)]


def is_broken(member: Dataset, observed: Observed) -> bool:
    """Tell whether the key of its root is known not to open a dataset."""
    return bool(differences(member, observed.tree)) or member.name in observed.unreadable


def receiving_below(root: Dataset, observed: Observed) -> list[str]:
    """Return the members of a root, itself included, that something is received into, or was until it broke off."""
    return [each.name for each in observed.tree.members(root.name) if _is_receiving(each, observed)]


def broken_warnings(roots: t.Iterable[Dataset], tree: Tree) -> tuple[str, ...]:
    """Say what stays unreadable once these roots are unlocked, where no mount will show it."""
    sentences: list[str] = []
    for root in roots:
        broken = [each.name for each in tree.members(root.name) if differences(each, tree) and not each.is_mounted]
        if broken:
            sentences.append(
                f"{', '.join(broken)} cannot be read though {root.name} is unlocked: another key wraps it, as after a "
                "raw replication. zfs_dataset_key heals it by repoint."
            )
    return tuple(sentences)


def _is_receiving(dataset: Dataset, observed: Observed) -> bool:
    return dataset.value("receive_resume_token") != "-" or dataset.name in observed.receiving


def refuse_receiving(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> None:
    """Refuse to touch the key of what still receives: the end of the stream would bring the sender's key back."""
    for member in tree.rewrapped_with(dataset):
        if not _is_receiving(member, observed):
            continue
        raise Refused(
            f"The key of {entry.name} is not touched: {member.name} still receives a replica, the end of which brings "
            f"the sender's key. {_way_to_an_end(member)}, and run again."
        )


def refuse_unsound(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> None:
    """Refuse a key change that would make the kernel panic, or of which nothing proves that it would not."""
    refuse_receiving(entry, dataset, tree, observed)
    for member in tree.rewrapped_with(dataset):
        problem = _problem(entry, member, tree, observed)
        if problem is not None:
            raise Refused(f"The key of {entry.name} is not touched: {problem}")


def _problem(entry: DatasetWanted, member: Dataset, tree: Tree, observed: Observed) -> str | None:
    """Say why a member must not be wrapped anew, None if it may."""
    root, differs = member.encryption_root, differences(member, tree)
    unreadable = observed.unreadable.get(member.name)
    if member.is_encryption_root and unreadable is not None:
        return (
            f"{unreadable}. The loaded key seems to be one that a raw increment has replaced since. Lock "
            f"{member.name}, unlock it with the sender's present key, and run again."
        )
    is_open = member.is_mounted or (member.is_volume and member.can_be_read)
    is_at_hand = is_open and unreadable is None and member.is_key_loaded
    if (differs or unreadable is not None) and not (entry.heal and is_at_hand):
        why = f"its {', '.join(differs)} differ" if differs else unreadable
        way_out = f"Make {member.name} a root with its sender's key, by state: present and repoint: true"
        if is_at_hand:
            way_out = "It is in use, so its master key is at hand: heal: true lets the change wrap it too"
        elif entry.heal and not is_open and _was_mounted(member, observed):
            way_out = (
                "The same task unmounts it, and it can be healed only while it is in use: do that in a task before"
            )
        return (
            f"{member.name} inherits from {root}, but {why}. It seems to be wrapped with another key, as after a raw "
            f"replication. Re-wrapping it would crash the pool. {way_out}."
        )
    # Salts are equal for passphrases. For what is locked now, the steps read before they change.
    is_provable = member.can_be_read or (member.keyformat == "passphrase" and not member.is_encryption_root)
    if not is_provable:
        return (
            f"nothing proves that the key of {root} opens {member.name}, which has no device (volmode=none), and if it "
            f"does not, the change would crash the pool. Set another volmode for the time of the change."
        )
    return None


def refuse_replica(entry: DatasetWanted, dataset: Dataset, tree: Tree, observed: Observed) -> None:
    """Refuse to give what was received a key of this host: the next raw increment would break it."""
    if entry.replication_ended:
        return
    for member in tree.rewrapped_with(dataset):
        sign = _sign_of_replication(member, observed)
        if sign is None:
            continue
        raise Refused(
            f"{entry.name} does not inherit a key: {member.name} is a replica ({sign}), and with another key around it "
            "the next raw increment would leave it unreadable. If it receives nothing any more, say "
            "replication_ended: true."
        )


def replica_warnings(changed: t.Iterable[DatasetWanted], observed: Observed) -> tuple[str, ...]:
    """Say of which datasets among those whose key changes the sender's key will come back, if they are replicas yet.

    What inherits is not looked at: the next raw increment would break it, whatever its root's key is.
    """
    datasets = (observed.tree.datasets[entry.name] for entry in changed if not entry.replication_ended)
    found = [each.name for each in datasets if _sign_of_replication(each, observed) is not None]
    if not found:
        return ()
    warning = (
        f"The key of {', '.join(found)} changes, which was received from elsewhere. If raw increments still arrive, "
        "the next one brings the sender's key back. Change the key at the source instead."
    )
    return (warning,)


def _sign_of_replication(member: Dataset, observed: Observed) -> str | None:
    """Say what shows that a dataset was received, None if nothing does."""
    snapshot = observed.received_snapshots.get(member.name)
    if snapshot is not None:
        return f"{snapshot} is older than it"
    return "properties of it were received" if member.has_received_properties else None
