"""The Debian releases a machine can run. Another suite is another row."""

from __future__ import annotations

from dataclasses import dataclass

from .failure import TestbedError


@dataclass(frozen=True)
class Suite:
    name: str
    release: str
    zfs_from: str | None = None
    """A suite that OpenZFS, and nothing else, is taken from."""


SUITES = {
    suite.name: suite
    for suite in (
        Suite("bookworm", release="bookworm"),
        Suite("trixie", release="trixie"),
        Suite("trixie-backports", release="trixie", zfs_from="trixie-backports"),
    )
}
DEFAULT_SUITE = "trixie"


def suite_named(name: str) -> Suite:
    try:
        return SUITES[name]
    except KeyError:
        raise TestbedError(f"there is no suite {name!r}; choose one of {', '.join(SUITES)}.") from None


# Needed to make the OpenZFS module; the image loses them once it is built.
BUILD_PACKAGES = ("linux-headers-cloud-amd64", "zfs-dkms")

PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zfsutils-linux",
    "python3",
    "python3-apt",
    "python3-pyzfs",
    "python3-pytest",
    "python3-hypothesis",
    "openssh-server",
    "systemd-sysv",
    "udev",
    "kmod",
    "iproute2",
    "procps",
    "psmisc",
    "sudo",
    "strace",
    "inotify-tools",
    "acl",
    "attr",
    "e2fsprogs",
)


def apt_preferences(suite: Suite) -> str:
    """Pin the source package zfs-linux to the suite it is to come from."""
    if suite.zfs_from is None:
        return ""
    return f"Package: src:zfs-linux\nPin: release n={suite.zfs_from}\nPin-Priority: 990\n"


def apt_sources(suite: Suite, mirror: str) -> list[str]:
    suites = [suite.release, *([suite.zfs_from] if suite.zfs_from else [])]
    return [f"deb {mirror} {name} main contrib" for name in suites]
