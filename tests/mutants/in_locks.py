# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong on the way to a lock that holds: force, foundations, protected mountpoints, the last look."""

from __future__ import annotations

from .fault import Fault

FORCE = (
    Fault(
        "a filesystem is unmounted lazily",
        "It is only out of sight: processes go on writing, and the key stays in use.",
        "module_utils/_force.py",
        'run("umount", "--force", mount.path)',
        'run("umount", "--lazy", mount.path)',
        ("test_force",),
    ),
    Fault(
        "a mount that is busy is passed over by force",
        "What is told to be unmounted is in use.",
        "module_utils/_force.py",
        'if answer.code != 0 and "not mounted" not in answer.error:',
        'if answer.code != 0 and "not mounted" in answer.error:',
        ("test_force",),
    ),
    Fault(
        "force begins with the outermost mount",
        "The inner ones keep it busy.",
        "module_utils/_force.py",
        "[mount for mount in reversed(seen) if mount.id in own or mount.parent in own]",
        "[mount for mount in seen if mount.id in own or mount.parent in own]",
        ("test_force",),
    ),
    Fault(
        "force reaches into what lies deeper inside",
        "A bind mount of /dev spreads its unmounting to the host.",
        "module_utils/_force.py",
        "mount.id in own or mount.parent in own]",
        "mount.id in own or mount.parent != '1']",
        ("test_force",),
    ),
    Fault(
        "mounts in other namespaces are forgotten by force",
        "A container keeps the key in use for ever.",
        "module_utils/_force.py",
        "        if link(file) not in known:\n",
        "        if link(file) in known:\n",
        ("test_force",),
    ),
    Fault(
        "force is not passed on",
        "What somebody asked for aloud is not done.",
        "module_utils/_plan_lock.py",
        "Unmount.of(dataset, force=wanted.force_unmount)",
        "Unmount.of(dataset, force=False)",
        ("test_locking",),
    ),
    Fault(
        "everything is unmounted by force",
        "Bind mounts and legacy mounts go that nobody gave up.",
        "module_utils/_plan_lock.py",
        "Unmount.of(dataset, force=wanted.force_unmount)",
        "Unmount.of(dataset, force=True)",
        ("test_locking",),
    ),
    Fault(
        "a mount by hand is taken away unasked",
        "Somebody's own mount goes, and nothing mounts it again.",
        "module_utils/_plan_lock.py",
        'if not dataset.value("mountpoint").startswith("/"):',
        'if dataset.value("mountpoint") == "":',
        ("test_plan_lock", "test_locking"),
    ),
)

FOUNDATIONS = (
    Fault(
        "what the system stands on is locked",
        "The host hangs at its next read from there.",
        "module_utils/_plan_lock.py",
        "            if name in observed.foundations:\n",
        "            if name in observed.occupied:\n",
        ("test_plan_lock", "test_locking"),
    ),
    Fault(
        "nobody looks at what the system stands on",
        "The host hangs at its next read from there.",
        "module_utils/_plan_unlock.py",
        "foundations=host.foundations() if roots else {}",
        "foundations={}",
        ("test_locking",),
    ),
    Fault(
        "only the root itself counts as what the system stands on",
        "The host hangs when a child goes that holds /usr.",
        "module_utils/_plan_lock.py",
        "domain = {each.name: each for each in (*observed.tree.members(root.name), *observed.tree.domain(root.name))}",
        "domain = {root.name: root}",
        ("test_plan_lock", "test_locking"),
    ),
    Fault(
        "a hidden mount counts as what the system stands on",
        "The file system that really holds /etc is locked.",
        "module_utils/_foundations.py",
        "max(reversed(holding), key=lambda each: len(each.path))",
        "max(holding, key=lambda each: len(each.path))",
        ("test_foundations",),
    ),
    Fault(
        "swap does not count",
        "The memory of processes is locked away.",
        "module_utils/_foundations.py",
        "    for path in swaps():\n",
        "    for path in swaps()[:0]:\n",
        ("test_foundations",),
    ),
    Fault(
        "a volume below a file system does not count",
        "The disk of /usr is locked.",
        "module_utils/_foundations.py",
        "        if number in self.volumes:\n            return {self.volumes[number]}\n",
        "        if number in self.volumes:\n            return set()\n",
        ("test_foundations",),
    ),
)

PROTECTION = (
    Fault(
        "a protection is not put back where a mount fails",
        "Somebody writes into the bare mountpoint, and it is hidden later.",
        "module_utils/_mount_steps.py",
        "                host.protect_place(path)\n        raise",
        "                pass\n        raise",
        ("test_locking",),
    ),
    Fault(
        "a protected mountpoint is not released before it is used",
        "OpenZFS can neither make a directory in it nor take it away.",
        "module_utils/_mount_steps.py",
        "    taken_off = [path for path in places if host.release_place(path)]\n",
        "    taken_off: list[str] = []\n",
        ("test_locking",),
    ),
    Fault(
        "a mountpoint that was mounted over stays protected",
        "It cannot be removed, and nobody knows why.",
        "module_utils/_mount_steps.py",
        "    for path in places:\n        host.release_place(path)\n",
        "",
        ("test_locking",),
    ),
    Fault(
        "a mountpoint stays protected though its root stays unlocked",
        "It shows as soon as somebody unmounts.",
        "module_utils/_mount_steps.py",
        "        return ReleaseMountpoint(self.dataset, self.path)\n",
        "        return None\n",
        ("test_locking",),
    ),
    Fault(
        "a mountpoint that is left stays protected",
        "An immutable directory that belongs to nothing lies about.",
        "module_utils/_plan_properties.py",
        'left = tuple(_places_of(dataset, tree)) if "mountpoint" in self.shown else ()',
        "left = ()",
        ("test_locking",),
    ),
    Fault(
        "the mountpoint of what is destroyed stays protected",
        "An immutable directory that belongs to nothing lies about.",
        "module_utils/_steps.py",
        "        with released(host, self.mountpoint):\n            host.destroy(self.dataset)",
        "        host.destroy(self.dataset)",
        ("test_locking",),
    ),
    Fault(
        "what lies inside what is closed is protected too",
        "The flag is set on a directory that nobody can see any more.",
        "module_utils/_plan_lock.py",
        "        is_seen = not any(is_below(path, other) for other in closing)\n",
        "        is_seen = True\n",
        ("test_plan_lock", "test_locking"),
    ),
    Fault(
        "that a mountpoint cannot be protected is kept silent",
        "Somebody relies on a protection that is not there.",
        "module_utils/_plan_lock.py",
        "        and observed.places[path].obstacle is not None\n",
        "        and observed.places[path].obstacle is None\n",
        ("test_plan_lock", "test_locking"),
    ),
)

LAST_LOOK = (
    Fault(
        "nobody looks again whether keys are gone",
        "A root is called locked that another program opened meanwhile.",
        "module_utils/_proof.py",
        "host.loaded(claimed) if claimed else frozenset()",
        "host.loaded(()) if claimed else frozenset()",
        ("test_locking",),
    ),
    Fault(
        "what was found locked is not looked at again",
        "A root is called locked that another program opened meanwhile.",
        "module_utils/_proof.py",
        "{*_locked(outcome.done), *plan.to_stay_locked}",
        "{*_locked(outcome.done)}",
        ("test_locking",),
    ),
    Fault(
        "a root that was opened again is told to be locked",
        "The result claims what the failure denies.",
        "module_utils/_proof.py",
        "if not (isinstance(step, UnloadKey) and step.dataset in loaded)]",
        "if step.dataset or loaded]",
        ("test_locking",),
    ),
    Fault(
        "a root that was opened again is told to be as it should",
        "The result claims what the failure denies.",
        "module_utils/_proof.py",
        "already=tuple(name for name in plan.already if name not in loaded)",
        "already=plan.already",
        ("test_locking",),
    ),
    Fault(
        "a root that keeps busy is told without its users",
        "Nobody knows whom to stop.",
        "module_utils/_steps.py",
        "raise in_use(error, (*mounted, *host.users(names))) from None",
        "raise in_use(error, mounted) from None",
        ("test_locking",),
    ),
)
