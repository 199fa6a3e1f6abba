"""Makes the base image of a suite: a root file system with a built OpenZFS module, its kernel and its initrd."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tarfile
import time
from pathlib import Path

from .apt_sources import host_mirror
from .failure import TestbedError
from .host_packages import SEARCH_PATH
from .locations import GUEST_FILES
from .logged_command import run_logged
from .progress import say, step
from .suites import BUILD_PACKAGES, PACKAGES, Suite, apt_preferences, apt_sources

ROOT_SIZE = "6G"
KEPT = ("root.qcow2", "vmlinuz", "initrd.img", "versions")

# Read by the guest's maintainers at most; left out before they are unpacked.
UNUSED_PATHS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")

# What mmdebstrap says, and what it means to the person who waits.
PHASES = (
    ("I: downloading packages with apt", "downloading packages"),
    ("I: extracting archives", "unpacking the base system"),
    ("I: installing remaining packages", "installing packages"),
    ("Setting up zfs-dkms", "compiling the OpenZFS module (about four minutes on two cores)"),
    ("testbed: dropping the compiler", "dropping the compiler"),
    ("testbed: setting up the guest", "setting up the guest"),
    ("I: creating tarball", "packing"),
)


class PhaseReporter:
    """Turns the lines of a long command into steps with their durations."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.waiting_for = list(PHASES)
        self.started = time.monotonic()

    def __call__(self, line: str) -> None:
        for phase in self.waiting_for:
            start, meaning = phase
            if line.startswith(start):
                self.waiting_for.remove(phase)
                say(f"{self.subject}: {meaning} [after {time.monotonic() - self.started:.0f} s]")
                return


def build_image(suite: Suite, directory: Path, log: Path) -> None:
    """Fill the directory with root.qcow2, vmlinuz, initrd.img and versions."""
    environment = {**os.environ, "PATH": SEARCH_PATH, "TMPDIR": str(directory), "LC_ALL": "C.UTF-8"}
    as_root = os.geteuid() == 0
    if not as_root:
        del environment["TMPDIR"]  # the mapped users of a user namespace cannot write to this user's cache
    tarball = directory / "root.tar"
    command = mmdebstrap_command(suite, host_mirror(), directory, tarball, "root" if as_root else "unshare")
    if as_root:
        # Mounts of the build vanish with it, however it ends.
        command = ["unshare", "--mount", "--propagation", "private", *command]
    with step(f"building the {suite.name} image; details in {log}"):
        run_logged(command, log, environment=environment, on_line=PhaseReporter(f"{suite.name} image"))
    with step(f"{suite.name} image: making the file system"):
        make_file_system(
            tarball, directory, log, environment, helper=[] if as_root else ["mmdebstrap", "--unshare-helper"]
        )
        extract_boot_files(tarball, directory)
    for path in directory.iterdir():
        if path.name not in KEPT:
            path.unlink()


def mmdebstrap_command(suite: Suite, mirror: str, directory: Path, tarball: Path, mode: str) -> list[str]:
    guest_files = directory / "guest.tar"
    guest_files.write_bytes(guest_archive())
    preferences = directory / "preferences"
    preferences.write_text(apt_preferences(suite))
    pin = f"upload {shlex.quote(str(preferences))} /etc/apt/preferences.d/testbed"
    unpack = f"tar-in {shlex.quote(str(guest_files))} /"
    finish = 'chroot "$1" /finish-image && rm "$1/finish-image"'
    return [
        "mmdebstrap",
        "--verbose",
        f"--mode={mode}",
        "--variant=apt",
        "--architectures=amd64",
        f"--include={','.join((*PACKAGES, *BUILD_PACKAGES))}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={path}" for path in UNUSED_PATHS),
        *([f"--setup-hook={pin}"] if suite.zfs_from else []),
        f"--customize-hook={unpack}",
        f"--customize-hook={finish}",
        suite.release,
        str(tarball),
        *apt_sources(suite, mirror),
    ]


def guest_archive() -> bytes:
    """The files of `guest/` as root's, whoever checked them out under whatever umask."""

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = 0
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted((GUEST_FILES / "root").iterdir()):
            archive.add(path, arcname=path.name, filter=as_root)
        archive.add(GUEST_FILES / "finish-image", arcname="finish-image", filter=as_root)
    return buffer.getvalue()


def make_file_system(tarball: Path, directory: Path, log: Path, environment: dict[str, str], helper: list[str]) -> None:
    """Needs no mount: mke2fs copies a directory. The helper gives someone who is not root the owners of the files."""
    script = f"""
        set -e
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        mkdir "$scratch/root"
        tar -x --numeric-owner --exclude='./dev/*' -C "$scratch/root"
        chmod 755 "$scratch/root"
        mke2fs -q -t ext4 -L testbed -m 0 -d "$scratch/root" "$scratch/root.img" {ROOT_SIZE} >&2
        tar -c --sparse -C "$scratch" root.img
    """
    raw = directory / "root.img"
    with tarball.open("rb") as source, log.open("a") as log_file:
        pack = subprocess.Popen(
            [*helper, "sh", "-c", script], stdin=source, stdout=subprocess.PIPE, stderr=log_file, env=environment
        )
        run_logged(["tar", "-x", "--sparse", "-C", str(directory)], log, standard_input=pack.stdout)
        if pack.wait() != 0:
            raise TestbedError(f"making the file system failed (exit code {pack.returncode}); see {log}")
    run_logged(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(directory / "root.qcow2")],
        log,
    )
    raw.unlink()


def extract_boot_files(tarball: Path, directory: Path) -> None:
    with tarfile.open(tarball) as archive:
        for name in KEPT[1:]:
            content = archive.extractfile(f"./boot/{name}")
            assert content, f"the build left no /boot/{name}"
            (directory / name).write_bytes(content.read())
