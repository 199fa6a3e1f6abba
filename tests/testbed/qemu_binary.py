"""Finds a QEMU that runs the guests well, or unpacks one for the testbed alone.

Emulating several processors wants QEMU 10. Where apt on the host has only an older one (Debian 12), the packages are
taken from the backports of its release through an apt configuration of our own and unpacked into the cache: the host's
packages and its apt stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .accelerator import FIRST_QEMU_WITH_SOUND_THREADS
from .apt_sources import host_mirror, os_release
from .failure import TestbedError
from .locations import cache_directory, exclusive, remove_tree, require_space
from .logged_command import run_logged
from .progress import step

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
FIRMWARE = ("usr/share/qemu", "usr/share/seabios")


@dataclass(frozen=True)
class Qemu:
    program: str
    major: int
    unpacked: Path | None = None
    """Where it lies when it is not installed."""

    def environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self.unpacked:
            environment["LD_LIBRARY_PATH"] = ":".join(str(self.unpacked / part) for part in LIBRARIES)
            environment["QEMU_MODULE_DIR"] = str(self.unpacked / LIBRARIES[0] / "qemu")
        return environment

    def firmware_arguments(self) -> list[str]:
        if self.unpacked is None:
            return []
        return [argument for part in FIRMWARE for argument in ("-L", str(self.unpacked / part))]


def version_of(qemu: Qemu) -> str | None:
    """The version it reports, or None where it cannot run (the host's libraries may have changed since)."""
    try:
        answer = subprocess.run(
            [qemu.program, "--version"], env=qemu.environment(), capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"version (\S+)", answer)
    return match.group(1) if match else None


def major_version(version: str) -> int:
    """Of a version as QEMU or Debian writes it: `10.0.2`, `1:10.0.2+ds-2`."""
    match = re.match(r"(?:\d+:)?(\d+)", version)
    return int(match.group(1)) if match else 0


def installed() -> Qemu | None:
    program = shutil.which(PROGRAM)
    version = version_of(Qemu(program, 0)) if program else None
    return Qemu(program, major_version(version)) if program and version else None


def offered_major_version() -> int:
    """What `apt install` would bring on this host; 0 where apt has none."""
    answer = subprocess.run(["apt-cache", "policy", PACKAGE], capture_output=True, text=True, check=False)
    match = re.search(r"Candidate: (\S+)", answer.stdout)
    return major_version(match.group(1)) if match else 0


def host_package_suffices(kvm: bool) -> bool:
    return kvm or offered_major_version() >= FIRST_QEMU_WITH_SOUND_THREADS or os_release().get("ID") != "debian"


def find_qemu(kvm: bool) -> Qemu:
    qemu = installed()
    if qemu and (kvm or qemu.major >= FIRST_QEMU_WITH_SOUND_THREADS):
        return qemu
    if not host_package_suffices(kvm):
        return unpacked_from_backports()
    if qemu:
        return qemu
    raise TestbedError(f"{PROGRAM} is not installed: run `tests/testbed/vm packages`.")


def unpacked_from_backports() -> Qemu:
    codename = os_release()["VERSION_CODENAME"]
    directory = cache_directory() / f"qemu-{codename}-backports"
    qemu = Qemu(str(directory / "usr/bin" / PROGRAM), 0, unpacked=directory)
    with exclusive(cache_directory() / "qemu.lock"):
        version = version_of(qemu)
        if version is None:
            require_space(cache_directory(), 1, "unpacking QEMU")
            with step(f"unpacking QEMU from {codename}-backports into {directory}"):
                unpack_packages(codename, directory)
            version = version_of(qemu)
    if version is None:
        raise TestbedError(f"{qemu.program} does not run; its messages: `{qemu.program} --version`.")
    return Qemu(qemu.program, major_version(version), unpacked=directory)


def unpack_packages(codename: str, directory: Path) -> None:
    """Download QEMU and those of its libraries which the host lacks, and unpack them side by side."""
    with tempfile.TemporaryDirectory(prefix="qemu-", dir=cache_directory()) as scratch_name:
        scratch = Path(scratch_name)
        log = cache_directory() / "qemu.log"
        configuration = scratch / "apt.conf"
        configuration.write_text(private_apt_configuration(scratch))
        (scratch / "sources.list").write_text(
            "".join(f"deb {host_mirror()} {suite} main\n" for suite in (codename, f"{codename}-backports"))
        )
        for part in ("lists/partial", "cache/archives/partial", "root"):
            (scratch / part).mkdir(parents=True)
        environment = {**os.environ, "APT_CONFIG": str(configuration)}
        download = ["--yes", "--download-only", "--no-install-recommends", "--target-release", f"{codename}-backports"]
        run_logged(["apt-get", "update"], log, environment=environment)
        run_logged(["apt-get", "install", "--reinstall", *download, PACKAGE], log, environment=environment)
        for package in sorted((scratch / "cache/archives").glob("*.deb")):
            run_logged(["dpkg", "--extract", str(package), str(scratch / "root")], log)
        remove_tree(directory)
        (scratch / "root").rename(directory)


def private_apt_configuration(scratch: Path) -> str:
    """Reads what the host has installed, but keeps sources, lists and archives of its own."""
    return "".join(
        f'{key} "{value}";\n'
        for key, value in (
            ("Dir::Etc::sourcelist", scratch / "sources.list"),
            ("Dir::Etc::sourceparts", "-"),
            ("Dir::Etc::preferences", "-"),
            ("Dir::Etc::preferencesparts", "-"),
            ("Dir::State::lists", scratch / "lists"),
            ("Dir::Cache", scratch / "cache"),
            ("APT::Sandbox::User", ""),
            ("Debug::NoLocking", "true"),
        )
    )
