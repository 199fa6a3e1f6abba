#!/usr/bin/python
# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlocking and locking."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zfs_unlock
short_description: Unlock or lock encrypted OpenZFS datasets
version_added: 0.1.0
description:
  - >-
    Loads the keys of encryption roots and mounts their filesystems, or unmounts them and unloads the keys; one root,
    several, or a tree.
  - >-
    A root counts as unlocked when what it protects can be read. A key whose filesystems all fail to mount is unloaded
    again, and a volume or filesystem without a mount is read from.
  - >-
    A wrong key, a busy dataset or a failed mount is a failure of its root. What lies below a failed root is skipped,
    everything else proceeds, and the module fails in the end with the whole account.
  - Nothing ever prompts.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._choice
  - zfsfleet.encryption._offers
  - zfsfleet.encryption._escrow
  - zfsfleet.encryption._escrow.require
  - zfsfleet.encryption._escrow.offering
  - zfsfleet.encryption._attributes
  - zfsfleet.encryption._attributes.changing
options:
  state:
    description:
      - >-
        V(unlocked). The keys of the chosen roots are loaded and what is mounted by default is mounted, plain datasets
        below them too.
      - >-
        V(locked). Everything below the chosen roots is unmounted, plain datasets too, and their keys are unloaded,
        deepest first. Without O(recursive=true) it is refused while an unlocked root lies below.
      - >-
        A root that is mounted inside another one's filesystem is locked before that. If it cannot be locked, the other
        one is skipped: its mountpoint could not become bare. Nothing is ever mounted again, after a failure, in the
        mountpoint of a filesystem that is not mounted.
      - >-
        Clones in other places that share a root's key are unmounted with it if they were chosen too, by their names
        beside the root's or as what lies below a name with O(recursive=true); else one that is mounted is a failure.
        What C(zfs promote) left open without a loaded key is closed as well.
      - >-
        A clone that is mounted below a chosen root, and shares the key of a root elsewhere, is unmounted too, as by
        C(zfs unmount), and told. Its key stays loaded. Unlocking the root that it belongs to mounts it again.
      - >-
        What is busy is tried again for one and a half seconds; then the failure names who uses it: processes, sends
        and receives, what was built on volumes, other mount namespaces. In the end the state of every key is read
        again, and a root whose key is in memory all the same is a failure.
      - >-
        Locking what the running system stands on is refused: the datasets, and the volumes below other file systems,
        that hold C(/), C(/boot), C(/etc), C(/usr), C(/var), swap, or the Python, home and working directory of the
        run.
    type: str
    choices: [unlocked, locked]
    default: unlocked
  mount:
    description:
      - >-
        Mount what C(canmount) and C(mountpoint) say, share it as C(sharenfs) and C(sharesmb) say, and wait for the
        nodes of the volumes below F(/dev/zvol). With V(false) keys are loaded and nothing else is done.
      - >-
        What was delegated to a container, by C(zoned=on), is unlocked and left for the container to mount. Where it is
        mounted is said inside of that, and never becomes a place of this host.
      - >-
        A replica whose first stream has not come to its end (C(inconsistent) in OpenZFS) is unlocked too. There is
        nothing to mount or to read yet, and a warning names it.
      - >-
        A mountpoint that is occupied is a failure of its root, found before its key is loaded. So is one where another
        filesystem is mounted, or would be by the same task; and one inside the bare mountpoint of a filesystem that
        stays locked, which could not be unlocked any more.
      - >-
        Where systemd has units of C(zfs-mount-generator), the C(zfs-load-key@) units of the roots are started first, or
        systemd would unmount at once what is mounted.
    type: bool
    default: true
  move_aside:
    description:
      - >-
        A file or a directory with content that stands in the way of a mountpoint is renamed to
        C(<mountpoint>.aside-<number>) in the same directory, and told in RV(moved_aside). If the mount fails then, it
        is moved back.
      - >-
        What a process works in or has open there, what anything is mounted on or inside, symbolic links and the
        directories of the system itself are not moved, and are a failure as with V(false).
    type: bool
    default: false
  verify_key:
    description:
      - >-
        With O(state=locked), lock only what an offered key or its key file is proven to open again. Roots without one
        fail and stay unlocked. A key file that lies inside what is to be locked does not count.
      - >-
        A root also stays unlocked, and fails, while something of it is mounted, or a volume open, that another key
        wraps, as after a raw replication: once closed, it could not be read any more. Before that,
        O(zfsfleet.encryption.zfs_dataset_key#module:heal) mends it. Keys in C(raw) and C(hex) leave no mark by which it
        would show.
    type: bool
    default: true
  force_unmount:
    description:
      - >-
        With O(state=locked), take away what keeps the filesystems from being unmounted, and what no process would miss:
        bind mounts and legacy mounts of them, other file systems that are mounted directly inside, and mounts in other
        mount namespaces, as those of containers. What was taken away is not mounted again if locking fails then.
      - >-
        A filesystem with open files stays mounted all the same, and its processes are named. Linux takes no open file
        away from a process: the flag of C(zfs unmount -f) and C(umount -f) is heeded for network file systems and FUSE
        only. A lazy unmount (C(umount -l)) is never made: it would hide the filesystem, while open files go on being
        written and the key stays in use.
    type: bool
    default: false
  protect_mountpoint:
    description:
      - >-
        Set the immutable flag (C(chattr +i)) on the bare mountpoints of what is locked, so that nobody writes into them
        what a later mount would hide. With O(state=locked), roots that are locked already get it too.
      - >-
        With O(state=unlocked), it is set in the end where a chosen root failed, or was skipped, and nothing is mounted.
        What shows only inside of a filesystem that is mounted by the same task is not foretold by check mode.
      - >-
        Left alone is a mountpoint where the file system around it is read-only or knows no such flag, or whose flags
        this user may not change (C(CAP_LINUX_IMMUTABLE)), and a directory that holds something though nothing is
        mounted there, since it may be one of this host's own, as the C(/etc) that a replica's C(mountpoint) names. With
        O(state=locked) there is a warning. A mountpoint inside another filesystem that is locked too goes away with it
        and needs none.
      - >-
        The flag is taken off again when any module of this collection mounts there, destroys the dataset or gives it
        another mountpoint. C(zfs mount) by hand works with it. Where C(canmount=noauto) leaves mounting to a person,
        unlocking takes it off. Renamed by hand, a dataset leaves its old directory behind, which C(chattr -i) frees.
    type: bool
    default: false
seealso:
  - module: zfsfleet.encryption.zfs_dataset_key
  - module: zfsfleet.encryption.zfs_encryption_info
"""

EXAMPLES = r"""
- name: Unlock one root
  zfsfleet.encryption.zfs_unlock:
    name: tank/home
    secrets:
      - name: tank/home
        passphrase: "{{ vault_home_passphrase }}"

- name: Unlock a pool's roots by the manifest that TrueNAS exported, encrypted with ansible-vault on the controller
  zfsfleet.encryption.zfs_unlock:
    name: tank
    recursive: true
    manifest: dataset_tank_keys.json

- name: One passphrase for a tree of replicas
  zfsfleet.encryption.zfs_unlock:
    name: backup/customers
    recursive: true
    secrets:
      - name: backup/customers
        passphrase: "{{ vault_replica_passphrase }}"
        share_with_children: true

- name: Lock a backup disk before it is taken away, bind mounts and containers or not, and keep its places empty
  zfsfleet.encryption.zfs_unlock:
    name: backup
    state: locked
    recursive: true
    manifest: dataset_backup_keys.json
    force_unmount: true
    protect_mountpoint: true

- name: Lock everything, if it can be unlocked again
  zfsfleet.encryption.zfs_unlock:
    name: tank
    state: locked
    recursive: true
    manifest: dataset_tank_keys.json
"""

RETURN = r"""
unlocked:
  description: Encryption roots whose keys this run loaded.
  returned: always
  type: list
  elements: str
  sample: [tank/home]
locked:
  description: Encryption roots whose keys this run unloaded.
  returned: always
  type: list
  elements: str
already:
  description: Encryption roots whose keys were as they should be.
  returned: always
  type: list
  elements: str
mounted:
  description: Filesystems that this run mounted.
  returned: always
  type: list
  elements: str
  sample: [tank/home, tank/home/anna]
moved_aside:
  description: What stood in the way of mountpoints, and where it is now.
  returned: when something was moved
  type: dict
  sample: {/tank/home: /tank/home.aside-1}
failures:
  description: What failed, by encryption root.
  returned: always
  type: dict
  contains:
    reason:
      description:
        - >-
          One of V(wrong_key), V(no_key), V(busy), V(mount_failed), V(mountpoint_occupied) or V(unknown).
      type: str
    msg:
      description: What happened and what to do.
      type: str
    skipped:
      description:
        - >-
          Roots that were left alone because of it, whatever their own keys: those below it; with O(state=locked) those
          above it, and those in whose filesystems it is mounted.
      type: list
      elements: str
    errno:
      description: The number that the kernel gave, where it gave one.
      type: int
  sample:
    tank/home:
      msg: None of the keys given for tank/home opens it.
      reason: wrong_key
      skipped: [tank/home/anna]
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: dict
  sample:
    - action: load_key
      after: {keystatus: available}
      dataset: tank/home
"""

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _arguments
from ansible_collections.zfsfleet.encryption.plugins.module_utils._edge import Spec, Stage, run_changing
from ansible_collections.zfsfleet.encryption.plugins.module_utils._plan_unlock import observe_unlock, plan_unlock
from ansible_collections.zfsfleet.encryption.plugins.module_utils._unlock_wanted import unlock_wanted

SPEC = Spec(
    arguments={
        **_arguments.choice(),
        **_arguments.offers(),
        **_arguments.move_aside(),
        **_arguments.escrow(),
        "state": {"type": "str", "choices": ["unlocked", "locked"], "default": "unlocked"},
        "mount": {"type": "bool", "default": True},
        "verify_key": {"type": "bool", "default": True, "no_log": False},
        "force_unmount": {"type": "bool", "default": False},
        "protect_mountpoint": {"type": "bool", "default": False},
    },
    mutually_exclusive=[("name", "names")],
    required_one_of=[("name", "names")],
)


def main() -> None:
    run_changing(SPEC, unlock_wanted, Stage(observe_unlock, plan_unlock))


if __name__ == "__main__":
    main()
