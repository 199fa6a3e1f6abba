# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does beside the protocol: cloning, replicating, holding things open, leaving files about.

``fake_world`` does it to the fake, ``real_world`` to the machine.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key

POOL = os.environ.get("CONFORMANCE_POOL", "proof")  # runs that share a machine have pools of their own
SMALL_POOL = f"{POOL}.small"  # of few datasets, for what reads them all


class World(t.Protocol):
    """A machine with two pools whose root datasets are plain and never mounted.

    Their mountpoints are ``directory``, and the small pool's is ``small`` below it.
    """

    directory: str
    version: tuple[int, int]  # of OpenZFS, for what is not the same in all

    def host(self, binding: str) -> Host:
        """Return the machine as a binding reaches it."""

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset, which is named as the clone is."""

    def promote(self, name: str) -> None:
        """Let a clone and its origin change places."""

    def sweep(self, name: str) -> None:
        """Destroy a dataset and all below it, with snapshots, clones and mounts."""

    def put_data(self, name: str, content: bytes) -> None:
        """Write to a mounted filesystem, or a volume."""

    def data_of(self, name: str, size: int) -> bytes:
        """Read what was written first."""

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment."""

    def receiving(self, source: str, target: str) -> t.ContextManager[None]:
        """Have the next raw stream of a mounted filesystem being received, which ends without effect."""

    def break_off(self, source: str, target: str) -> None:
        """Lose the connection during the next raw stream of a mounted filesystem; the receiver keeps what it has."""

    def resume(self, target: str) -> None:
        """Receive the rest of a stream that broke off."""

    def replicate_tree(self, source: str, target: str) -> None:
        """Send a dataset raw with all below it and its properties, once."""

    def send_decrypted(self, source: str, target: str) -> None:
        """Send a dataset not raw; raises CallFailed as all that follows does where OpenZFS refuses."""

    def rename(self, old: str, new: str) -> None:
        """Rename a dataset with all below it."""

    def hold(self, name: str) -> t.ContextManager[None]:
        """Have a file of a mounted filesystem open, or a volume."""

    def mount(self, name: str) -> None:
        """Mount a filesystem by the command."""

    def mount_options(self, name: str) -> frozenset[str]:
        """Return the options that a filesystem is mounted with."""

    def nfs_server(self) -> t.ContextManager[None]:
        """Have a server for NFS; there is none for SMB."""

    def exports(self) -> frozenset[str]:
        """Return the directories in OpenZFS's list for that server."""

    def put_file(self, path: str) -> None:
        """Leave a file, and the directories above it."""

    def take_away(self, path: str) -> None:
        """Take a file that was left away."""

    def use(self, path: str) -> t.ContextManager[None]:
        """Have a process that works in a directory."""

    def lose_node(self, volume: str) -> None:
        """Have udev give no name to a volume's device."""

    def has_node(self, volume: str) -> bool:
        """Tell whether a volume can be opened by its name now."""

    def mount_units(self, name: str, *, masked: bool = False) -> t.ContextManager[None]:
        """Have systemd units for what lies at and below a dataset; the unit of its key may be masked."""

    def let_systemd_act(self) -> None:
        """Wait as long as systemd may take to unmount what it does not want mounted."""

    def load_from_file(self, name: str, path: str) -> None:
        """Load a root's key from a file by ``zfs``."""

    def mode_of(self, path: str) -> int:
        """Return a file's permissions."""

    def history(self) -> bytes:
        """Return all that the pool keeps of what was ever done to it."""

    def checkpointed(self, name: str) -> t.ContextManager[None]:
        """Have a checkpoint of a pool."""

    def encrypted_pool(self, name: str, key: Key) -> t.ContextManager[None]:
        """Have another pool, its root dataset an encryption root of keyformat hex."""

    def blank_disks(self) -> tuple[str, ...]:
        """Return three disks by lasting names, whatever lay on them gone."""

    def put_on(self, path: str, kind: str) -> None:
        """Make ``ext4`` or ``swap`` on a disk or file, labelled ``old``."""

    def mounted_disk(self, path: str) -> t.ContextManager[None]:
        """Have the ext4 on a disk mounted."""

    def attached_file(self, path: str) -> t.ContextManager[None]:
        """Have a file attached to a loop device."""

    def mount_apart(self, dataset: str) -> t.ContextManager[None]:
        """Have a process that has all file systems mounted in a mount namespace of its own."""

    def work_in(self, dataset: str) -> t.ContextManager[None]:
        """Have a process whose working directory is a mounted filesystem."""

    def swap_to(self, volume: str) -> t.ContextManager[None]:
        """Have the system swap to a volume."""

    def keep_mounted_apart(self, dataset: str) -> t.ContextManager[None]:
        """Have a mount namespace with all file systems mounted, kept by a file, with no process in it."""

    def bind(self, dataset: str) -> t.ContextManager[str]:
        """Have a mounted filesystem mounted a second time, and say where."""

    def mount_inside(self, dataset: str) -> t.ContextManager[None]:
        """Have another file system mounted inside a mounted filesystem."""

    def run_from(self, dataset: str) -> t.ContextManager[None]:
        """Have a process whose program lies on a mounted filesystem."""

    def look_into_snapshot(self, dataset: str) -> t.ContextManager[None]:
        """Have a file of a mounted filesystem's snapshot open."""

    def mount_volume(self, volume: str) -> t.ContextManager[None]:
        """Have an ext4 on a volume mounted."""

    def attach_volume(self, volume: str) -> t.ContextManager[None]:
        """Have a volume attached to a loop device."""

    def take_volume(self, volume: str) -> t.ContextManager[None]:
        """Have a volume opened exclusively, as a pool or a target does."""

    def send(self, dataset: str, *, raw: bool = False) -> t.ContextManager[None]:
        """Have a dataset sent, and nobody who takes the stream."""

    def receive(self, dataset: str) -> t.ContextManager[None]:
        """Have a new dataset received, and half of the stream to come."""

    def can_write_into(self, directory: str) -> bool:
        """Try to leave a file in a directory."""

    def boot_from(self, dataset: str) -> t.ContextManager[str]:
        """Have a filesystem with a legacy mountpoint mounted on /boot, and say what stands on it then."""

    def boot_from_volume(self, volume: str) -> t.ContextManager[str]:
        """Have an ext4 on a volume mounted on /boot, and say what stands on it then."""

    def swap_in_words(self, volume: str) -> t.ContextManager[str]:
        """Have the system swap to a volume, and say what stands on it then."""

    def hostid(self, number: int) -> t.ContextManager[None]:
        """Give this system a hostid."""

    def crash(self, pool: str) -> None:
        """Leave a pool on files as a system does that goes down without exporting it."""
