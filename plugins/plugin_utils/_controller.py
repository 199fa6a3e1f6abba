# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file on this controller outlives it, and lies elsewhere than the data that it opens.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from dataclasses import dataclass, field

# Connections to what shares the controller's disks. Containers may be on another machine, so they are not among them.
_HERE = ("local", "chroot", "jail", "iocage", "zone", "lxc", "libvirt_lxc", "buildah")
_IN_MEMORY = ("tmpfs", "ramfs")
_LAYERS = ("overlay", "aufs", "fuse.fuse-overlayfs")
# podman(1) and docker put one of these files into every container, podman and systemd-nspawn set the variable.
_MARKS = ("/run/.containerenv", "/.dockerenv")
# ansible-runner sets the first in every container that it starts, for ansible-navigator too; AWX sets the second for
# its jobs, and Kubernetes the third in the pods where some of them run. What belongs to ansible-runner is removed after
# such a job; what else is mounted there somebody asked for.
_JOBS = ("LAUNCHED_BY_RUNNER", "AWX_PRIVATE_DATA_DIR", "KUBERNETES_SERVICE_HOST")
_WAY_OUT = "Choose a path that lasts, or another backend; if this one does last, say allow_local: true."


@dataclass(frozen=True)
class Mount:
    """A file system of the controller, as /proc/self/mountinfo tells it."""

    directory: str
    kind: str


@dataclass(frozen=True)
class Controller:
    """What tells how long a file on the controller lasts.

    Args:
        transport: what carries tasks to the host, like ``ssh``.
        environment: variables of this process.
        mounts: all file systems, in the order of mounting; none where the system does not tell.
        is_container: whether this is one.
    """

    transport: str
    environment: t.Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    is_container: bool = False


def danger(path: str, controller: Controller) -> str | None:
    """Return why keys must not be kept at a path without saying allow_local, None where nothing speaks against it.

    Args:
        path: absolute, without symbolic links.
        controller: where this runs.
    """
    if controller.transport.rpartition(".")[2] in _HERE:
        return (
            f"Connection {controller.transport} means that the host is this machine, as with ansible-pull, so the keys "
            f"would lie beside the data that they open, and be lost with them. Run from another machine, or choose "
            "another backend; if the path lies on another machine's disk, say allow_local: true."
        )
    cause = _short_life(path, controller)
    return None if cause is None else f"{path} {cause}, and the keys in it with it. {_WAY_OUT}"


def _short_life(path: str, controller: Controller) -> str | None:
    environment = controller.environment
    if any(environment.get(mark) for mark in _JOBS) and _is_within(path, _of_runner(environment)):
        return "belongs to a job of ansible-runner and is removed after it"
    # docs.gitlab.com, predefined variables: set by all executors but shell and ssh.
    if environment.get("CI_DISPOSABLE_ENVIRONMENT") == "true":
        return "lies in a runner of GitLab that is disposed of after the job"
    if environment.get("RUNNER_ENVIRONMENT") == "github-hosted":
        return "lies in a runner that GitHub disposes of after the job"
    mount = _mount_of(path, controller.mounts)
    if mount is None:
        return None
    if mount.kind in _IN_MEMORY:
        return f"lies in memory ({mount.kind} at {mount.directory}): it is gone when this machine restarts"
    if mount.kind in _LAYERS or (controller.is_container and mount.directory == "/"):
        return "lies in a container, not on a volume of its own: it goes with the container"
    return None


def _of_runner(environment: t.Mapping[str, str]) -> str:
    """Return ansible-runner's private directory, of which AWX_ISOLATED_DATA_DIR is ``artifacts/<job>``."""
    artifacts = environment.get("AWX_ISOLATED_DATA_DIR", "/runner/artifacts/job")
    return os.path.dirname(os.path.dirname(artifacts.rstrip("/")))


def _mount_of(path: str, mounts: t.Iterable[Mount]) -> Mount | None:
    """Return the file system that a path is on: of those above it the innermost, of several there the last."""
    above = [mount for mount in mounts if _is_within(path, mount.directory)]
    return max(reversed(above), key=lambda mount: len(mount.directory), default=None)


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def this_controller(transport: str) -> Controller:
    """Look at the machine that this runs on."""
    mounts: tuple[Mount, ...] = ()
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = mounts_from(file.read())
    is_container = "container" in os.environ or any(map(os.path.exists, _MARKS))
    return Controller(transport, dict(os.environ), mounts, is_container)


def mounts_from(text: str) -> tuple[Mount, ...]:
    """Read what /proc/self/mountinfo holds (proc_pid_mountinfo(5))."""
    found = []
    for line in text.splitlines():
        place, _separator, source = line.partition(" - ")
        fields, kind = place.split(), source.split()[:1]
        if len(fields) > 4 and kind:
            found.append(Mount(_unescaped(fields[4]), kind[0]))
    return tuple(found)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
