"""What the host must have installed, and installing it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from .accelerator import host_has_kvm
from .failure import TestbedError
from .locations import cache_directory, require_space
from .progress import say, step
from .qemu_binary import PACKAGE, PROGRAM, host_package_suffices, installed

IMAGE_SPACE = 6

# The program that shows a package is there, and the package. Some live in sbin, which is not on everyone's path.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tar": "tar",
}
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing_packages() -> list[str]:
    if not shutil.which("apt-get") or platform.machine() != "x86_64":
        raise TestbedError("the testbed builds and runs on amd64 hosts with apt (Debian 12 or newer).")
    tools = dict(TOOLS)
    if os.geteuid() != 0:
        tools["newuidmap"] = "uidmap"
    missing = {package for program, package in tools.items() if not shutil.which(program, path=SEARCH_PATH)}
    if not installed() and host_package_suffices(host_has_kvm()):
        missing.add(PACKAGE)
    return sorted(missing)


def require_packages() -> None:
    missing = missing_packages()
    if missing:
        raise TestbedError(f"this host lacks {', '.join(missing)}: run `tests/testbed/vm packages`.")


def install_packages() -> None:
    require_space(cache_directory(), IMAGE_SPACE, "the testbed")
    missing = missing_packages()
    if not missing:
        unpacked = "" if installed() else f" ({PROGRAM} is unpacked into the cache when it is first needed)"
        say(f"this host has all packages that the testbed needs{unpacked}")
        return
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    install = [*prefix, "apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if prefix and not shutil.which("sudo"):
        raise TestbedError(
            f"installing packages takes root, and there is no sudo. As root, run: {' '.join(install[1:])}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(missing)}"):
        for command in ([*prefix, "apt-get", "update"], install):
            # Both talk to stderr: stdout is kept for the results of commands.
            status = subprocess.run(command, env=environment, stdout=2, check=False).returncode
            if status != 0:
                raise TestbedError(f"`{' '.join(command)}` failed with exit code {status}; its messages are above.")
